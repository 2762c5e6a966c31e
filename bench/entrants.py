"""Who takes part: the contestants with a name of their own, and what each needs.

Owns their order, and whether they can run on this interpreter. It must not know what
they do, and imports none of them: that alone may switch the GIL on.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.work import Contestant

__all__ = ["ENTRANTS", "Entrant", "lacking", "ordered", "rounds_of", "versions"]


@dataclass(frozen=True, slots=True)
class Entrant:
    """One contestant, and what the others may have to know of it."""

    name: Contestant
    about: str
    package: str = ""
    """What it needs: the distribution's name, and with other letters the module's."""
    module: str = ""
    free: bool = True
    """Whether a wheel for builds without the GIL is known."""
    most_rounds: int = 100
    """Fewer where each round first starts other processes, which takes seconds."""


ENTRANTS: tuple[Entrant, ...] = (
    Entrant("floor", "bare threads over `queue.SimpleQueue`; no bound, nothing accounted for"),
    Entrant("queue.Queue", "bare threads over `queue.Queue`"),
    Entrant("ThreadPoolExecutor", "`concurrent.futures`: a shared pool, or one of a thread each"),
    Entrant("Pykka", "plain actors, each a thread", "pykka", "pykka"),
    Entrant("pypeln", "`pypeln.thread`: stages of threads over bounded queues", "pypeln", "pypeln"),
    Entrant("Ray", "actors in processes of their own", "ray", "ray", free=False, most_rounds=2),
    Entrant(
        "Thespian",
        "actors on the `multiprocQueueBase` of Thespian, in processes of their own",
        "thespian",
        "thespian",
        most_rounds=2,
    ),
    Entrant(
        "xoscar",
        "actors in one pool of one process, as coroutines on one event loop",
        "xoscar",
        "xoscar",
        free=False,
        most_rounds=3,
    ),
    Entrant("threadsup", "supervised threads", "threadsup", "threadsup"),
)

_KNOWN = {each.name: each for each in ENTRANTS}


def ordered(names: Iterable[Contestant]) -> Iterator[Contestant]:
    """Yield the names in the order of `ENTRANTS`; those not in it before threadsup."""
    given = list(names)
    known = [name for name in _KNOWN if name in given and name != "threadsup"]
    yield from known
    yield from (name for name in given if name not in _KNOWN)
    yield from (name for name in given if name == "threadsup")


def lacking(who: Contestant) -> str:
    """Return why `who` cannot run on this interpreter, if it cannot."""
    entrant = _KNOWN.get(who)
    if entrant is None or not entrant.module or _found(entrant.module):
        return ""
    if sysconfig.get_config_var("Py_GIL_DISABLED") and not entrant.free:
        return "not installed: no wheel for builds without the GIL"
    return "not installed"


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def rounds_of(who: Contestant, rounds: int) -> int:
    """Return how many of so many rounds `who` takes part in."""
    entrant = _KNOWN.get(who)
    return rounds if entrant is None else min(rounds, entrant.most_rounds)


def versions() -> dict[str, str]:
    """Return the version of each package that takes part here."""
    found = {}
    for entrant in ENTRANTS:
        if entrant.package and _found(entrant.module):
            try:
                found[entrant.package] = metadata.version(entrant.package)
            except metadata.PackageNotFoundError:  # a checkout that is not installed
                found[entrant.package] = "from the checkout"
    return found
