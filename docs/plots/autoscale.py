"""Draws a stage that scales itself, from a real run: load, queue and replicas over time.

Owns the run (50 seconds) and the picture, `docs/plots/autoscale.svg`. Run from a checkout
as `python docs/plots/autoscale.py`; it wants `matplotlib`, which nothing else does. It
must not know the library's insides: what it draws, any user can read.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from threadsup import Autoscale, Chain, Supervisor, events, sleep, stage  # noqa: E402

RULES = Autoscale(1, 8, grow_after=0.5, shrink_after=1.5, cooldown=0.5)
"""Quicker than by default, so that two bursts fit into a picture."""
CAPACITY = 50
SERVICE = 0.05
"""Seconds that an item waits for something: a disk, a database, another machine."""
LOAD = [(4.0, 8), (10.0, 110), (14.0, 8), (9.0, 75), (13.0, 8)]
"""Seconds, and items per second that the source wants to send in them."""
LENGTH = sum(seconds for seconds, _ in LOAD)
EVERY = 0.1
"""Seconds from one sample to the next."""
OVER = 0.6
"""Seconds that a rate, or a mean, is taken over."""


@dataclass
class Seen:
    """What was read of the run."""

    at: list[float] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    replicas: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    changes: list[events.Scaled] = field(default_factory=list)
    begun: float = 0.0
    """Seconds since the epoch."""


def fetch(item: int) -> int:
    """Do what takes time and no processor."""
    sleep(SERVICE)
    return item


def send(chain: Chain, begun: float) -> None:
    """Send as planned; who was held up by a full stage makes up for it."""
    item, at = 0, begun
    for seconds, rate in LOAD:
        end = at + seconds
        while at < end:
            time.sleep(max(0.0, at - time.monotonic()))
            chain.tell(item)
            item += 1
            at += 1 / rate
        at = end


def wanted(at: float) -> float:
    """Return the rate that is planned for this moment."""
    for seconds, rate in LOAD:
        if at < seconds:
            return rate
        at -= seconds
    return 0.0


def observe(chain: Chain, seen: Seen, begun: float) -> None:
    """Read what there is to see, every `EVERY` seconds."""
    for number in range(int(LENGTH / EVERY) + 1):
        at = number * EVERY
        time.sleep(max(0.0, begun + at - time.monotonic()))
        found = chain.statistics()
        fetching = found.stages["fetch"]
        seen.at.append(time.monotonic() - begun)
        seen.wanted.append(wanted(at))
        seen.taken.append(found.items.offered)
        seen.finished.append(found.items.completed)
        seen.queued.append(fetching.pending)
        seen.replicas.append(len(chain["fetch"]))
        seen.places.append(CAPACITY * seen.replicas[-1])
        hands = [each.in_hand_since for each in fetching.replicas.values()]
        seen.busy.append(sum(since is not None for since in hands))


def run() -> Seen:
    """Run it."""
    seen = Seen()
    with Supervisor("plot") as sup:
        one = stage(fetch, workers=RULES, capacity=CAPACITY, routing="least_loaded")
        chain = sup.add_chain("chain", [one])

        def note(event: events.Event) -> None:
            if isinstance(event, events.Scaled):
                seen.changes.append(event)

        sup.subscribe(note)
        begun, seen.begun = time.monotonic(), time.time()
        source = threading.Thread(target=send, args=(chain, begun), daemon=True)
        source.start()
        observe(chain, seen, begun)
        source.join()
        chain.drain()
    return seen


def build() -> str:
    """Name the Python it ran on, and how many cores it had."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    kind = "with the GIL" if gil else "free-threaded"
    return f"CPython {platform.python_version()} {kind}, {os.cpu_count()} cores"


def rates(counts: list[int]) -> list[float]:
    """Return items per second, over the `OVER` seconds around each sample."""
    half = round(OVER / EVERY / 2)
    last = len(counts) - 1
    found = []
    for place in range(len(counts)):
        first, end = max(0, place - half), min(last, place + half)
        found.append((counts[end] - counts[first]) / ((end - first) * EVERY))
    return found


def means(counts: list[int]) -> list[float]:
    """Return the mean over the `OVER` seconds around each sample."""
    half = round(OVER / EVERY / 2)
    windows = [counts[max(0, place - half) : place + half + 1] for place in range(len(counts))]
    return [sum(window) / len(window) for window in windows]


INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, TEAL, AMBER, ROSE = "#2f6fde", "#0f9d8a", "#e09b2d", "#d64562"

STYLE = {
    "svg.hashsalt": "threadsup",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.framealpha": 0.92,
    "legend.fontsize": 8.5,
}


def draw(seen: Seen, name: str, target: Path) -> None:
    """Draw the three panels, one time axis for all."""
    import matplotlib as mpl  # noqa: PLC0415 - after the run: it is to measure without it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from matplotlib.ticker import MultipleLocator  # noqa: PLC0415

    with plt.rc_context(STYLE):
        shape = {"height_ratios": [1.0, 1.0, 1.0], "hspace": 0.16}
        figure, panels = plt.subplots(3, 1, sharex=True, figsize=(9.0, 7.2), gridspec_kw=shape)
        load, queue, replicas = panels
        at = seen.at

        load.plot(
            at,
            seen.wanted,
            color=FAINT,
            lw=1.2,
            ls=(0, (4, 2)),
            drawstyle="steps-post",
            label="the source wants to send",
        )
        load.plot(at, rates(seen.taken), color=BLUE, lw=1.8, label="sent: there was room")
        load.plot(at, rates(seen.finished), color=TEAL, lw=1.8, label="finished")
        load.set_ylabel("load\nitems per second")

        queue.fill_between(at, seen.queued, color=AMBER, alpha=0.28, lw=0)
        queue.plot(at, seen.queued, color=AMBER, lw=1.8, label="items queued")
        queue.plot(
            at,
            seen.places,
            color=FAINT,
            lw=1.2,
            drawstyle="steps-post",
            label=f"room: {CAPACITY} for each replica",
        )
        marks = [RULES.grow_at * places for places in seen.places]
        queue.plot(
            at,
            marks,
            color=ROSE,
            lw=1.2,
            ls=(0, (1, 1.5)),
            drawstyle="steps-post",
            label=f"half of it: above for {RULES.grow_after:g} s, it grows",
        )
        queue.set_ylabel("queue\nitems")

        replicas.fill_between(at, means(seen.busy), color=TEAL, alpha=0.28, lw=0, label="at work")
        replicas.plot(
            at, seen.replicas, color=INK, lw=1.8, drawstyle="steps-post", label="there are"
        )
        replicas.plot([], [], color=ROSE, alpha=0.5, lw=1.2, label="grows")
        replicas.plot([], [], color=BLUE, alpha=0.5, lw=1.2, label="shrinks")
        replicas.set_ylabel("replicas\ncount")
        replicas.set_ylim(0, RULES.max + 0.9)
        replicas.yaxis.set_major_locator(MultipleLocator(2))
        replicas.set_xlabel("time, seconds")
        replicas.set_xlim(0, LENGTH)
        replicas.xaxis.set_major_locator(MultipleLocator(5))

        for panel in panels:
            for change in seen.changes:
                color = ROSE if change.after > change.before else BLUE
                panel.axvline(change.at - seen.begun, color=color, alpha=0.35, lw=0.9, zorder=0.5)
            panel.set_ylim(bottom=0)
            panel.legend(loc="upper right", handlelength=1.8, borderaxespad=0.0)
        figure.align_ylabels(panels)
        figure.suptitle(
            "A stage that scales itself",
            x=0.083,
            y=0.965,
            ha="left",
            fontsize=14,
            fontweight="bold",
        )
        figure.text(
            0.083,
            0.912,
            f"Autoscale({RULES.min}, {RULES.max}), each item waits {SERVICE * 1000:.0f} ms; {name}",
            fontsize=9.5,
            color=FAINT,
        )
        figure.subplots_adjust(left=0.083, right=0.985, top=0.885, bottom=0.075)
        meta: dict[str, Any] = {"Date": None, "Creator": "docs/plots/autoscale.py"}
        figure.savefig(target, metadata=meta if target.suffix == ".svg" else None, dpi=160)


if __name__ == "__main__":
    name, seen = build(), run()
    for change in seen.changes:
        print(f"{change.at - seen.begun:5.1f} s: {change.before} to {change.after}, {change.why}")
    targets = [Path(argument) for argument in sys.argv[1:]] or [HERE / "autoscale.svg"]
    for target in targets:
        draw(seen, name, target)
