"""Run a tree in the foreground: until it has ended, or was told to stop and did.

Owns the main thread of `threadsup run`: it waits for notices (events, signals, the end)
and acts on one after the other; the tree is started and waited for by a second thread,
so that a signal is answered also while a child takes its time to start. It must not
know what a line says (`progress`), nor where the tree comes from.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, final

from threadsup._errors import NotRunningError, StartError
from threadsup._exits import Crashed, describe_exception
from threadsup._supervisor.signals import HURRY, stopping_on_signals
from threadsup.cli.progress import complain, in_one_line, shown

if TYPE_CHECKING:
    from threadsup._exits import ExitReason
    from threadsup._snapshot import StopReport
    from threadsup._supervisor.api import Supervisor
    from threadsup.cli.progress import Progress

__all__ = ["DONE", "GAVE_UP", "SIGNALLED", "run_tree"]

DONE, GAVE_UP, SIGNALLED = 0, 1, 130
"""Exit codes; the shells' convention makes the last one 128 + SIGINT."""


@final
@dataclass(frozen=True, slots=True)
class _Signalled:
    name: str
    limit: float | None


@final
@dataclass(frozen=True, slots=True)
class _Started:
    pass


@final
@dataclass(frozen=True, slots=True)
class _Ended:
    reason: ExitReason | None


@final
@dataclass(frozen=True, slots=True)
class _Broken:
    error: BaseException


_Last: TypeAlias = _Ended | _Broken

_TOLD = (StartError, NotRunningError)
"""What can keep a tree from running without anybody's fault in this library."""


def run_tree(tree: Supervisor, progress: Progress, every: float) -> int:
    """Start `tree`, print what happens, and return the exit code.

    Blocks until the tree has ended. SIGINT and SIGTERM stop it in order; a second one
    leaves the stop `HURRY` seconds.

    Args:
        tree: Not started yet.
        progress: Where lines go.
        every: Seconds between two looks at the statistics; 0 for none.
    """
    return _Run(tree, progress, every).run()


class _Run:
    def __init__(self, tree: Supervisor, progress: Progress, every: float) -> None:
        self.tree = tree
        self.progress = progress
        self.every = every
        # The one queue that may be put to from a signal handler: its put is reentrant.
        self.notices: SimpleQueue[Any] = SimpleQueue()
        self.signals = 0

    def run(self) -> int:
        with self.progress:  # whatever ends it, the terminal is as it was
            return self._run()

    def _run(self) -> int:
        self.tree.subscribe(self.notices.put)
        thread = threading.Thread(target=self.live, name="threadsup-run", daemon=True)
        # The handler only leaves a notice: the stop is the main thread's next step, and
        # does not happen wherever the signal found it.
        with stopping_on_signals(lambda *came: self.notices.put(_Signalled(*came))):
            thread.start()
            last = self.listen()
            thread.join()
            if type(last) is _Broken and not isinstance(last.error, _TOLD):
                raise last.error
            # It has ended: what comes back is the report of that, once the tree's own
            # threads are gone and the last of its events are here.
            report = self.tree.stop(timeout=HURRY)
        self.tell_the_rest()
        return self.conclude(last, report)

    def live(self) -> None:
        """Start the tree and wait for its end; on the second thread."""
        try:
            self.tree.start()
            self.notices.put(_Started())
            reason = self.tree.wait()
        except BaseException as error:  # noqa: BLE001 - the main thread decides what it is
            self.notices.put(_Broken(error))
        else:
            self.notices.put(_Ended(reason))

    def listen(self) -> _Last:
        due = self.progress.clock() + self.every
        while True:
            left = due - self.progress.clock()
            if self.every and left <= 0:
                self.progress.statistics(self.tree)
                due += self.every
                continue
            try:
                notice = self.notices.get(timeout=left if self.every else None)
            except Empty:
                continue
            match notice:
                case _Signalled():
                    self.signalled(notice)
                case _Started():
                    self.progress.say("started")
                    self.progress.doing("stopping" if self.signals else "running")
                    if self.signals:
                        self.request_stop()
                case _Ended() | _Broken():
                    return notice
                case event:
                    self.progress.event(event)

    def signalled(self, notice: _Signalled) -> None:
        self.signals += 1
        self.progress.doing("stopping")
        if notice.limit is None:
            self.progress.say(f"{notice.name}: stopping in order (again: within {HURRY:g} s)")
            self.request_stop()
        elif self.signals == 2:  # noqa: PLR2004 - more haste is not to be had
            self.progress.say(f"{notice.name} again: {notice.limit:g} s are left")
            with contextlib.suppress(NotRunningError):
                self.tree.stop(timeout=notice.limit)

    def request_stop(self) -> None:
        # Refused by a tree that is not started yet: asked again when it is.
        with contextlib.suppress(NotRunningError):
            self.tree.request_stop("signal")

    def tell_the_rest(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                notice = self.notices.get_nowait()
                if not isinstance(notice, _Signalled):
                    self.progress.event(notice)

    def conclude(self, last: _Last, report: StopReport) -> int:
        """Say how it ended and return the exit code."""
        self.progress.report(self.tree, report)
        if self.signals:
            return SIGNALLED
        if isinstance(last, _Broken):
            complain(in_one_line(f"not started: {last.error}"))
            if last.error.__cause__ is not None:
                complain(in_one_line(f"because of {describe_exception(last.error.__cause__)}"))
            return GAVE_UP
        failed = self.tree.failed()
        if failed:
            complain(f"gave up: {', '.join(shown((ident,)) for ident in failed)}")
        elif isinstance(last.reason, Crashed):
            complain(in_one_line(f"gave up: {last.reason}"))
        else:
            return DONE
        return GAVE_UP
