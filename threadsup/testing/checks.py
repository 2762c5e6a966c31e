"""What a test has left behind: threads, asks without an answer, crashes it did not announce.

Owns the looking and the words of the report. It must not know pytest.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, fields
from math import inf
from typing import TYPE_CHECKING, Any, final

from threadsup._errors import NotRunningError, ThreadsupError
from threadsup._exits import Crashed
from threadsup._policy.restart import NoRestart
from threadsup._runtime import clock, process
from threadsup._runtime.bundle import messages_of
from threadsup._runtime.future import Future
from threadsup._runtime.pykka_compat import Envelope
from threadsup._supervisor import Supervisor
from threadsup.events import WorkerEnded
from threadsup.testing.capture import EventLog
from threadsup.testing.expect import is_announced, is_failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup._cell import Cell

__all__ = ["Checks", "Watch"]

_LINES = 12
"""Of a traceback, and of where a thread stands: the last ones."""


@dataclass(frozen=True)
class Checks:
    """What a test is failed for, and how long it is waited for."""

    crashes: bool = True
    """Workers that crashed or were given up on, unannounced."""
    asks: bool = True
    """Asks that nobody had answered at the end."""
    threads: bool = True
    """Threads that are left, and supervisors that still run."""
    dead_letters: bool = False
    """Messages that failed or were not delivered."""
    stop_timeout: float = 5.0
    """Seconds that each supervisor has to stop, and then all threads to end."""
    answer_timeout: float = 1.0
    """Seconds that asks which are still open have to be answered."""

    def with_options(self, options: dict[str, Any]) -> Checks:
        """Return these with some changed.

        Raises:
            TypeError: there is no such check, or it is no `bool` or number of seconds.
        """
        known: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for name, value in options.items():
            if name not in known:
                raise TypeError(f"there is no check {name!r}; there are {', '.join(known)}")
            is_bool = isinstance(value, bool)
            if isinstance(known[name], bool):
                wanted, is_right = "True or False", is_bool
            else:
                wanted = "a number of seconds of 0 or more"
                is_right = not is_bool and isinstance(value, int | float) and 0 <= value < inf
            if not is_right:
                raise TypeError(f"{name} must be {wanted}, not {value!r}")
        return Checks(**(known | options))


@final
class Watch:
    """The supervisors of one test, and what there was before it."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._trees: list[tuple[Supervisor, EventLog]] = []
        self._threads = set(threading.enumerate())
        self._running = set(process.trees().values())

    def make(self, name: str, **options: Any) -> Supervisor:
        """Make a supervisor that is stopped and looked at in the end; not started."""
        tree = Supervisor(name, **options)
        log = EventLog()
        tree.subscribe(log)
        self._trees.append((tree, log))
        return tree

    def end(self) -> list[str]:
        """Stop everything; return what is wrong, a section for each kind of it.

        Blocks: for as long as the limits say, at most.
        """
        clock.release()  # a limit that a test's clock held up is to come
        checks = self._checks
        asks = self._open_asks()
        stopped = self._stop()
        crashes = [line for tree, log in self._trees for line in _crashes(tree, log)]
        found = [("supervisors that could not be stopped", stopped)]
        if checks.crashes:
            found += [("crashes that the test did not announce", crashes)]
        if checks.asks:
            found += [("asks without an answer", asks)]
        if checks.dead_letters:
            found += [("dead letters", [_letter(tree, x) for tree, x in self._dead_letters()])]
        if checks.threads:
            left = self._others()
            found += [("supervisors left running", left), ("threads left behind", self._left())]
        return [
            "\n".join((f"{what} ({len(lines)}):", *(_indented(line) for line in lines)))
            for what, lines in found
            if lines
        ]

    def _stop(self) -> list[str]:
        problems = []
        for tree, _ in reversed(self._trees):
            try:
                tree.stop(self._checks.stop_timeout)
            except NotRunningError:
                continue  # it was never started
            except ThreadsupError as error:
                problems.append(f"{tree.name!r}: {error}")
        return problems

    # -- what is left ---------------------------------------------------------------

    def _open_asks(self) -> list[str]:
        """Return those that are open, and stay so for a while, before the trees are stopped."""
        if not self._checks.asks:
            return []
        cells = [cell for tree, _ in self._trees for cell in _cells(tree)]
        asks = dict(ask for cell in cells for ask in _asks(cell))
        wait(asks, self._checks.answer_timeout)
        # Where they are now: one that was queued may be in hand, or put off.
        found = dict(ask for cell in cells for ask in _asks(cell) if ask[0] in asks)
        found |= {future: text for future, text in asks.items() if future not in found}
        return [text for future, text in found.items() if not future.done()]

    def _others(self) -> list[str]:
        """Stop what the test has started without the fixture; return their names."""
        left = []
        for tree in process.trees().values():
            if tree not in self._running and isinstance(tree, Supervisor):
                left.append(f"{tree.name!r}: use it as a context manager, or call stop()")
                with suppress(ThreadsupError):  # that it ran is what is to be said
                    tree.stop(self._checks.stop_timeout)
        return left

    def _left(self) -> list[str]:
        """Return the threads that there were not before, and where they stand."""
        end = time.monotonic() + self._checks.stop_timeout
        left = [each for each in threading.enumerate() if each not in self._threads]
        left = [each for each in left if not isinstance(each, threading._DummyThread)]  # noqa: SLF001
        for thread in left:
            thread.join(max(0.0, end - time.monotonic()))
        return [_where(thread) for thread in left if thread.is_alive()]

    def _dead_letters(self) -> Iterator[tuple[Supervisor, Any]]:
        for tree, _ in self._trees:
            for letter in tree.dead_letters():
                yield tree, letter


def _crashes(tree: Supervisor, log: EventLog) -> Iterator[str]:
    services = tree._services  # noqa: SLF001
    # The side thread may not have come to the last ones; and the history is bounded.
    events = [*log, *tree.history()]
    for event in {id(event): event for event in events if is_failure(event)}.values():
        assert isinstance(event, WorkerEnded)
        error = event.reason.error if isinstance(event.reason, Crashed) else ""
        # Who was linked to another one has ended because of that: it is listed itself.
        # And who did not start when it was added has told so who added it.
        told = event.why == str(NoRestart.START_FAILED)
        if told or error.startswith("linked to ") or is_announced(services, event):
            continue
        path = "/".join(map(str, event.path))
        text = f"{path!r} of {tree.name!r}, incarnation {event.incarnation}: {event.reason}"
        if isinstance(event.reason, Crashed):
            text += "".join(f"\n{line}" for line in _tail(event.reason.traceback))
        yield text


def _cells(tree: Supervisor) -> list[Cell]:
    return list(tree._root.all_cells())  # noqa: SLF001


def _asks(cell: Cell) -> Iterator[tuple[Future[Any], str]]:
    """Yield the open asks of a worker, and what to say of them."""
    mailbox, life = cell.mailbox, cell.life
    queued = [raw for _, raw in [*mailbox.gathered.copy(), *mailbox.returned.copy()]]
    places = {"queued": [*queued, *mailbox.queue.copy()]}
    if life is not None:
        hand = [each for raw in life.hand.copy() for _, each in messages_of(raw, 0)]
        places["in hand"] = [*hand, *(each for _, each in life.rest.copy())]
        owed = life.context.owed
        tokens = [] if owed is None else owed.tokens.copy()
        places["deferred"] = [
            Envelope("the answer", future)
            for token in tokens
            for future in token._future.copy()  # noqa: SLF001
        ]
    for place, raws in places.items():
        for raw in raws:
            future = raw.reply_to if type(raw) is Envelope else None
            if isinstance(future, Future) and not future.done():
                yield future, f"{cell.address!r}: {_shown(raw.message)}, {place}"


def _letter(tree: Supervisor, letter: Any) -> str:
    error = f": {letter.error}" if letter.error else ""
    return f"{letter.to!r} of {tree.name!r}: {_shown(letter.message)}, {letter.reason}{error}"


def _shown(message: object) -> str:
    try:
        text = repr(message)
    except Exception as error:  # noqa: BLE001 - a report survives what it reports of
        text = f"a {type(message).__name__} whose repr raises {type(error).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."  # noqa: PLR2004


def _where(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001
    stack = "" if frame is None else "".join(traceback.format_stack(frame))
    return "\n".join([f"{thread.name}, at", *_tail(stack)])


def _tail(text: str) -> list[str]:
    lines = text.rstrip().splitlines()[-_LINES:]
    frames = [at for at, line in enumerate(lines) if line.startswith("  File ")]
    return [f"  {line}" for line in lines[frames[0] if frames else 0 :]]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
