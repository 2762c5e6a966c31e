"""One task of a pool: what to call, and whom to tell what came of it.

Owns the two kinds: one that was submitted, which has a future, and one of a `map`, which
has a place in a stream and nobody but its reader to tell. It must not know who runs it.

A future costs more than most tasks do. What `map` makes is seen by nobody, so its tasks
do without: the outcome is put into a box, and so is the wake-up of a reader that finds
the box empty. Both are appended to one list, whose order every thread sees alike: who
comes second finds the other there. So no outcome is missed, without a lock.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, final

from threadsup._errors import ReplyTimeout
from threadsup._runtime.context import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threadsup._runtime.future import Future

__all__ = ["Mapped", "Submitted", "Work"]

Settle = Any
"""How a future is settled where no code of users may run."""


class Work(Protocol):
    """One task."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    tried: int
    """How many attempts have failed."""
    error: BaseException | None
    """What the last of them failed with."""
    key: Any
    """What it is told apart by, in a pool that goes by keys."""

    def begin(self) -> bool:
        """Mark it as running; return `False` if it was cancelled meanwhile."""

    def done(self, value: Any) -> None:
        """Tell the value. Runs callbacks of users."""

    def failed(self, error: BaseException) -> None:
        """Tell the error. Runs callbacks of users."""

    def failed_quietly(self, error: BaseException, settle: Settle) -> None:
        """Tell the error from a thread that runs no code of users."""

    def cancel(self) -> bool:
        """Cancel it; return whether it is cancelled: not once it has begun."""


@final
class Submitted:
    """A task with a future."""

    __slots__ = ("args", "error", "fn", "future", "key", "kwargs", "tried")

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        future: Future[Any],
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.future = future
        self.tried = 0
        self.error: BaseException | None = None
        self.key: Any = None

    def begin(self) -> bool:
        """See `Work`."""
        return self.future.set_running_or_notify_cancel()

    def done(self, value: Any) -> None:
        """See `Work`."""
        self.future.settle(value)

    def failed(self, error: BaseException) -> None:
        """See `Work`."""
        self.future.settle(error=error)

    def failed_quietly(self, error: BaseException, settle: Settle) -> None:
        """See `Work`."""
        settle(self.future, error=error)

    def cancel(self) -> bool:
        """See `Work`."""
        return self.future.cancel()


_NO_NAMES: dict[str, Any] = {}


@final
class Mapped:
    """A task of a stream."""

    __slots__ = ("_box", "_stream", "_value", "args", "error", "fn", "key", "kwargs", "tried")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], stream: list[None]) -> None:
        self.fn = fn
        self.args = args
        self.kwargs: Mapping[str, Any] = _NO_NAMES
        self.tried = 0
        self.error: BaseException | None = None
        self.key: Any = None
        self._value: Any = None
        self._box: list[Any] = []
        """The outcome and the reader's wake-up, whichever came first."""
        self._stream = stream
        """Is not empty when nobody reads any more."""

    def begin(self) -> bool:
        """See `Work`."""
        return not self._stream

    def done(self, value: Any) -> None:
        """See `Work`."""
        self._value = value
        self.error = None  # of an attempt before
        self._tell()

    def failed(self, error: BaseException) -> None:
        """See `Work`."""
        self.error = error
        self._tell()

    def failed_quietly(self, error: BaseException, settle: Settle) -> None:  # noqa: ARG002
        """See `Work`."""
        self.failed(error)

    def cancel(self) -> bool:
        """See `Work`."""
        self.failed(CancelledError())
        return True

    def _tell(self) -> None:
        box = self._box
        box.append(None)
        first = box[0]
        if first is not None:
            first.set()

    def result(self, end: float | None) -> Any:
        """Return the value, once. Blocks: until it is there, or until `end`.

        Raises:
            ReplyTimeout: it was not there in time.
            Exception: whatever the task failed with.
        """
        if not self._box:
            wakeup = Wakeup()
            self._box.append(wakeup)
            # Full by now if the outcome came first; then the box says so.
            if self._box[0] is wakeup:
                left = None if end is None else end - monotonic()
                if not wakeup.wait(left) and len(self._box) == 1:
                    raise ReplyTimeout("the next result was not there in time")
        error = self.error
        if error is None:
            return self._value
        try:
            raise error
        finally:
            # The traceback holds this frame, which must not hold the error in turn.
            del self, error
