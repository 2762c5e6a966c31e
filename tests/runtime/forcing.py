"""Threads for the tests of the machinery, and the points at which to hold them.

Owns running a function in a thread, as a worker too, hearing when somebody is about to
sleep, and seeing what is done with the queue of a mailbox. It must not know what is
tested with it.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tests.helpers import PATIENCE, Recorder
from threadsup._runtime.context import Context, StopToken, Wakeup, enter, leave
from threadsup._runtime.limiter import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from threadsup._runtime.mailbox import Mailbox

__all__ = [
    "Hostile",
    "Running",
    "Watched",
    "note_idle",
    "note_sleepers",
    "note_turns",
    "run",
    "run_as_worker",
]

T = TypeVar("T")


class Running(Generic[T]):
    """A function that runs in a thread of its own."""

    def __init__(self, fn: Callable[..., T], args: tuple[Any, ...]) -> None:
        self._outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(fn, args), daemon=True)
        self._thread.start()

    def _run(self, fn: Callable[..., T], args: tuple[Any, ...]) -> None:
        try:
            result = fn(*args)
        except BaseException as error:
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(result)

    def result(self) -> T:
        """Wait for the function to return; return or raise what it did."""
        return self._outcome.result(PATIENCE)

    @property
    def over(self) -> bool:
        """Whether it has returned or raised."""
        return self._outcome.done()

    def is_(self, thread: threading.Thread) -> bool:
        """Whether that is the thread it runs in."""
        return thread is self._thread

    def is_current(self) -> bool:
        """Whether the calling thread is that thread."""
        return self.is_(threading.current_thread())


def run(fn: Callable[..., T], *args: Any) -> Running[T]:
    """Run `fn(*args)` in a thread."""
    return Running(fn, args)


def run_as_worker(
    token: StopToken, fn: Callable[..., T], *args: Any, home: object = None
) -> Running[T]:
    """Run `fn(*args)` in a thread that is a worker's."""

    def body() -> T:
        enter(Context(id="w", kind="task", incarnation=1, token=token, home=home))
        try:
            return fn(*args)
        finally:
            leave()

    return Running(body, ())


def note_sleepers(
    monkeypatch: pytest.MonkeyPatch, then: Callable[[Wakeup], object] | None = None
) -> Recorder[Wakeup]:
    """Record who is about to sleep: what comes before, registering and looking, is done.

    `then(wakeup)` is called in the thread that is about to.
    """
    noted: Recorder[Wakeup] = Recorder()
    sleep_until = Wakeup.sleep_until

    @functools.wraps(sleep_until)
    def noting(self: Wakeup, end: float) -> bool:
        noted(self)
        if then is not None:
            then(self)
        return sleep_until(self, end)

    monkeypatch.setattr(Wakeup, "sleep_until", noting)
    return noted


def note_turns(monkeypatch: pytest.MonkeyPatch) -> Recorder[float]:
    """Record who is to wait for a turn, once, and for how long: it has nothing in hand then."""
    noted: Recorder[float] = Recorder()
    seen: list[Any] = []
    ask = Limiter._ask

    def noting(self: Limiter, me: Any) -> float:
        pause = ask(self, me)
        if pause > 0 and not any(each is me for each in seen):
            seen.append(me)
            noted(pause)
        return pause

    monkeypatch.setattr(Limiter, "_ask", noting)
    return noted


class Watched(deque[Any]):
    """The queue of a mailbox, with something called at what is done with it.

    It takes the place of the one that is there, with what is in it; so before a consumer
    begins, which keeps what it uses for every message.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        looked: Callable[[], object] | None = None,
        taken: Callable[[Any], object] | None = None,
        appended: Callable[[Any], object] | None = None,
    ) -> None:
        super().__init__(mailbox.queue)
        self._looked, self._taken, self._appended = looked, taken, appended
        is_open = mailbox.is_open
        mailbox.queue = self
        mailbox.qsize = self.__len__
        mailbox._append = self.append
        if is_open:
            mailbox._push = mailbox._append

    def __len__(self) -> int:
        seen = super().__len__()
        if self._looked is not None:
            self._looked()
        return seen

    def popleft(self) -> Any:
        raw = super().popleft()
        if self._taken is not None:
            self._taken(raw)
        return raw

    def append(self, raw: Any, /) -> None:
        super().append(raw)
        if self._appended is not None:
            self._appended(raw)


def note_idle(
    mailbox: Mailbox, then: Callable[[], object] | None = None
) -> Recorder[threading.Thread]:
    """Record which thread has found nothing to take, and is registered to be woken.

    `then()` is called in it, before it looks once more.
    """
    noted: Recorder[threading.Thread] = Recorder()

    class Sleepers(list[Any]):
        def append(self, wake: Any, /) -> None:
            super().append(wake)
            noted(threading.current_thread())
            if then is not None:
                then()

    mailbox.sleepers = Sleepers(mailbox.sleepers)
    return noted


class Hostile:
    """A payload that fails whoever compares, hashes, measures, tests or asks it."""

    def _fail(self, *args: object) -> Any:
        raise AssertionError("the library touched a payload")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _fail
    __hash__ = _fail
    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __call__ = _fail
    __str__ = __repr__ = __format__ = _fail
    __class__ = property(_fail)
