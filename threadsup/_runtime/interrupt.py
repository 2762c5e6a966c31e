"""How the user code of one life is interrupted: an asynchronous exception, guarded.

Owns the handshake between the thread that runs user code and the one that wants it
to end. It must not know who they are, nor when it is time.

`PyThreadState_SetAsyncExc` makes a thread raise an exception at some next bytecode:
a moment too late, and it lands in the loop that called the user's code, or in the
next message's handler. So it is thrown under a lock, only while the thread is inside,
and once in a life; on the way out the thread takes the same lock, after which nothing
is thrown, and clears what was thrown and has not come yet:

    thrower  lock:  inside, and never thrown before?  throw
    thread   inside = True;  the user's code;  lock:  inside = False, clear

What was thrown can still come on that way out, before it is cleared: there it is
absorbed. As only one is ever thrown, whoever has absorbed it is safe from then on.

It is an attempt, never a promise: code that is blocked in a lock or a system call is
not reached, and code that catches every exception lives on. Where it comes down in a
call of this library, it does what Ctrl-C does there in the main thread.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, ParamSpec, TypeVar, final

from threadsup._errors import SpecError
from threadsup._exits import WorkerExit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Guard", "load"]

P = ParamSpec("P")
T = TypeVar("T")


@cache
def load() -> tuple[Callable[[int, object], int], object]:
    """Return what throws into a thread, and what to throw for nothing; cached.

    To be called early, by who declares: importing takes its time, seconds on a
    free-threaded build under load, and is not to count as the start of a worker.

    Raises:
        SpecError: this build of Python has no `ctypes`.
    """
    try:
        import ctypes  # noqa: PLC0415 - a build may lack it, and few workers need it
    except ImportError as error:
        raise SpecError("interrupt: needs ctypes, which this build of Python lacks") from error
    # By [] and not by name: a name's is shared with whoever else uses it.
    throw = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
    throw.argtypes = ctypes.c_ulong, ctypes.py_object
    return throw, ctypes.py_object()


@final
class Guard:
    """Runs the user code of one life, and interrupts it."""

    __slots__ = ("_inside", "_lock", "_nothing", "_thread", "_throw", "_thrown")

    def __init__(self) -> None:
        self._throw, self._nothing = load()
        self._lock = threading.Lock()
        """Guards `_thrown`, and the change of `_inside` to false."""
        self._inside = False
        self._thrown = False
        self._thread = 0

    def attach(self) -> None:
        """Note that the user code will run in this thread. Called by it, first."""
        self._thread = threading.get_ident()

    def around(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return `function`, to be called as user code: from here on it is inside."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            returned = False
            try:
                self._inside = True
                result = function(*args, **kwargs)
                returned = True
                self._leave()
            except BaseException as error:
                # What was thrown may come here as well. So this `try` opens before
                # anything is called: that is where an exception can come.
                try:  # noqa: SIM105 - see above: suppress() is a call
                    self._leave()
                except WorkerExit:
                    pass
                if returned and type(error) is WorkerExit:
                    return result  # it came too late: the work is done
                raise
            return result

        return guarded

    def aside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call from inside what is not to be interrupted, as it is not the user's."""
        self._leave()  # what was thrown may come here: then nothing has been called
        try:
            return function(*args, **kwargs)
        finally:
            self._inside = True

    def interrupt(self) -> None:
        """Throw `WorkerExit` into the user code, once, if it is running.

        Never blocks for long; from any other thread.
        """
        with self._lock:
            if self._inside and not self._thrown:
                self._thrown = True
                self._throw(self._thread, WorkerExit)

    def _leave(self) -> None:
        with self._lock:
            self._inside = False
            if self._thrown:
                self._throw(self._thread, self._nothing)
