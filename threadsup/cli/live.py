"""What `run` shows on a terminal: the tree at the bottom, lines above it.

Owns the painting, with `rich`, and when it is worth its time. It must not know which
numbers there are (`view`), nor what a line says (`progress`). The only module that
needs `rich`: it is imported when the display is wanted.

The cursor stays visible and the screen is the usual one, so that a process which is
stopped with Ctrl-Z, or killed, leaves a terminal that works.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from threadsup.cli.above import lines_to
from threadsup.cli.progress import Progress
from threadsup.cli.view import View, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from threadsup._exits import ChildId
    from threadsup._snapshot import StopReport
    from threadsup._supervisor.api import Supervisor
    from threadsup.cli.view import Row

__all__ = ["LiveProgress"]

FRAME = 0.25
"""Seconds between two frames at least."""

SHARE = 0.05
"""Of the time that frames may take: of a tree of thousands there are fewer."""

BELOW = 4
"""Lines of the terminal that are left for what is printed, the headings, and the sum."""

NAMES, NUMBER = 32, 9
"""Columns that the names and states take at most, and a number: what does not fit beside
them is left out, the least telling first."""

_COLOURS = {
    "up": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "held": "blue",
    "failed": "red",
}


class LiveProgress(Progress):
    """Paints the tree at the bottom of the terminal; prints lines above it.

    What the program prints comes above it too, in whole lines.

    Args:
        chains: Ids of the chains whose items the last line of statistics counts.
        clock: Monotonic seconds.
        width: Columns; by default the terminal's.
    """

    def __init__(
        self,
        chains: Sequence[ChildId] = (),
        clock: Callable[[], float] = time.monotonic,
        width: int | None = None,
    ) -> None:
        super().__init__(chains, clock)
        self._out: TextIO = sys.stdout
        self._console = Console(file=self._out, force_terminal=True, width=width, highlight=False)
        self._lock = threading.RLock()
        """Guards the screen: workers print in their threads, this paints in the main one."""
        self._view = View(clock)
        self._due = 0.0
        self._phase = "starting"
        self._live: Live | None = None
        self._leave = contextlib.ExitStack()

    @property
    def every(self) -> float:
        """Seconds between two frames."""
        return FRAME

    def __enter__(self) -> None:
        self._live = Live(
            Text(""), console=self._console, auto_refresh=False, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        with self._leave:
            self._leave.callback(self._close)
            self._live.start()
            self._console.show_cursor(True)
            streams = [name for name in ("stdout", "stderr") if _is(getattr(sys, name), self._out)]
            self._leave.enter_context(lines_to(self._above, *streams))
            self._leave = self._leave.pop_all()

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    def _close(self) -> None:
        with self._lock:
            live, self._live = self._live, None
            if live is not None:
                with self._screen():
                    live.stop()

    def say(self, text: str) -> None:
        """Print one line, above what is painted."""
        with self._lock:
            if self._live is None:
                super().say(text)
            else:
                self._print(Text(self.line(text)))

    def doing(self, what: str) -> None:
        """Have what the tree as a whole does in its heading."""
        self._phase = what

    def statistics(self, tree: Supervisor) -> None:
        """Paint the tree as it is now, if that was not done a moment ago."""
        began = self.clock()
        if self._live is None:
            super().statistics(tree)
        elif began >= self._due:
            frame = self._frame(tree)
            with self._lock, self._screen():
                self._live.update(frame, refresh=True)
            # What is to be shown is never worth slowing what it shows.
            self._due = began + max(FRAME, (self.clock() - began) / SHARE)

    def report(self, tree: Supervisor, report: StopReport) -> None:
        """Wipe what is painted, and say how the tree ended."""
        self._leave.close()
        super().report(tree, report)

    def _above(self, line: str) -> None:
        """Print what the program printed, its colours with it."""
        with self._lock:
            if self._live is None:
                with contextlib.suppress(OSError):
                    print(line, file=self._out, flush=True)
            else:
                self._print(Text.from_ansi(line))

    def _print(self, text: Text) -> None:
        with self._screen():
            self._console.print(text, soft_wrap=True)

    @contextlib.contextmanager
    def _screen(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # The terminal went away, which is no reason to end the work.
            self._live = None
            self.give_up()

    # -- painting -------------------------------------------------------------------

    def _frame(self, tree: Supervisor) -> Group:
        rows, left = fit(self._view.rows(tree), self._console.height - BELOW)
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
        table.add_column(self._heading(tree), no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("", no_wrap=True)
        numbers = max(1, (self._console.width - NAMES) // NUMBER)
        for name in ("handled", "per s", "queued", "failed", "restarts")[:numbers]:
            table.add_column(name, justify="right", no_wrap=True, header_style="dim")
        for row in rows:
            table.add_row(*_cells(row)[: 2 + numbers])
        if left:
            table.add_row(Text(f"and {left:,} more", style="dim"))
        return Group(table, Text(self._sum(tree), style="dim", no_wrap=True, overflow="ellipsis"))

    def _heading(self, tree: Supervisor) -> Text:
        minutes, seconds = divmod(int(self.clock() - self.began), 60)
        return Text.assemble((tree.name, "bold"), f"  {self._phase}  {minutes}:{seconds:02}")


def _cells(row: Row) -> list[Text]:
    numbers = row.counts
    state = f"{row.up} {row.state}" if row.up else row.state
    return [
        Text(f"{'  ' * row.depth}{row.kind} {row.name}"),
        Text(state, style=_COLOURS.get(row.state, "dim")),
        Text(f"{numbers.handled:,}"),
        Text(f"{row.speed:,.0f}" if row.speed else ""),
        Text(f"{numbers.pending:,}" if numbers.pending else ""),
        Text(f"{numbers.failed:,}" if numbers.failed else "", style="red"),
        Text(f"{numbers.restarts:,}" if numbers.restarts else "", style="yellow"),
    ]


def _is(stream: Any, other: TextIO) -> bool:
    """Tell whether a stream goes to the same terminal as another one."""
    try:
        return stream is other or os.path.sameopenfile(stream.fileno(), other.fileno())
    except (AttributeError, OSError, ValueError):
        return False
