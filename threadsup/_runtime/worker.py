"""The kinds of worker: what it means to start, run, stop and fail each of them.

Owns the behaviours of tasks, handlers and `Worker` classes, and `receive()`. It must not
know restarts, groups or chains: a behaviour runs one incarnation, in the incarnation's
own thread, and its exceptions are the boundary's to judge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, partial
from math import inf
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._errors import NoReply
from threadsup._exits import ExitReason, Normal, Shutdown, WorkerExit
from threadsup._runtime.context import current
from threadsup._runtime.failing import contained
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import Token
from threadsup._runtime.pykka_compat import Envelope, fail, succeed
from threadsup._runtime.serving import serve
from threadsup._runtime.taking import begin, forget, give_back, put_down, take_back
from threadsup._runtime.ticking import drop, handle_due, timed
from threadsup._runtime.timers import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threadsup._runtime.actor import Life
    from threadsup._runtime.context import Context
    from threadsup._runtime.failing import Failing
    from threadsup._runtime.interrupt import Guard

__all__ = [
    "HandlerBehaviour",
    "TaskBehaviour",
    "WorkerBehaviour",
    "called_by",
    "receive",
    "with_arguments",
]

_NOTHING: Any = object()


def receive(timeout: float | None = None, *, default: Any = _NOTHING) -> Any:
    """Take the next message of the task whose thread this is.

    The message counts as handled at the next `receive()`, or when the task returns.

    Blocks: until there is a message, for up to `timeout` seconds, `None` without
    limit. A task that is asked to stop leaves it by `WorkerExit`, once.

    Args:
        timeout: Seconds.
        default: What to return when nothing came in time, instead of raising.

    Raises:
        TimeoutError: nothing came in time and there is no default.
        RuntimeError: this is not the thread of a task.
    """
    context = current()
    if context is None or context.tasks is None:
        raise RuntimeError("receive() is for tasks; a handler is given its messages")
    try:
        return context.tasks.receive(timeout)
    except Empty:
        if default is not _NOTHING:
            return default
        raise TimeoutError(f"no message within {timeout:g} s") from None


class TaskBehaviour:
    """A function that runs once and may read its mailbox."""

    ready = True

    def __init__(
        self,
        life: Life,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._life = life
        self._call = target, args, kwargs
        life.context.tasks = self if life.guard is None else _Aside(self, life.guard)

    def start(self) -> None:
        """Do nothing: a task is up when its thread is."""

    def run(self) -> ExitReason:
        """Call the function; its return is a normal end, whatever it returns."""
        target, args, kwargs = self._call
        self._life.doing = "task"
        self._life.guarded(target)(*args, **kwargs)
        self._settle()
        return Normal()

    def stop(self) -> None:
        """Do nothing: a task cleans up in its own `finally`."""

    def fail(self, error: BaseException) -> None:
        """Do nothing, as above."""

    # -- what `receive` and `current().reply` do ------------------------------------

    def receive(self, timeout: float | None) -> Any:
        """Return the next message; `queue.Empty` when the time is up."""
        self._settle()
        life, mailbox, token = self._life, self._life.mailbox, self._life.token
        end = inf if timeout is None else monotonic() + timeout
        while True:
            raw = self._take(end)
            mark = type(raw) is Token
            if mark:
                if token.leaves:
                    give_back(life, raw)
                    continue
                mailbox.took_token()
                if raw is life.end:
                    raise WorkerExit(Shutdown())
                raw = timed(raw)
                if raw is NOTHING:
                    continue
            life.since = monotonic()
            life.hand.append(raw)
            life.taken += 1
            if token.leaves:  # only now, for the reason that is given in `serve`
                (drop if mark else put_down)(life)
                continue
            if mailbox.senders:
                mailbox.wake_senders()
            if type(raw) is not Envelope:
                return raw
            if type(raw.reply_to) is not Future or begin(raw.reply_to):
                return raw.message
            forget(life)

    def _take(self, end: float) -> Any:
        """Take something of the mailbox; leave when asked to stop.

        Asking puts a token into the mailbox after the flag is set, so a stop is seen
        before the wait, or ends it.
        """
        life, mailbox, token = self._life, self._life.mailbox, self._life.token
        while True:
            if token.asked:
                token.check()
                if monotonic() >= token.by:
                    raise WorkerExit(token.reason)
            if mailbox.returned:
                return take_back(life)
            life.attempts = 0
            limit = min(end, token.by)
            try:
                if limit == inf:
                    return mailbox.get()
                return mailbox.get(timeout=max(0.0, limit - monotonic()))
            except Empty:
                if limit == end:
                    raise
                # Not the caller's time is up, but that for stopping.

    def reply(self, value: object) -> None:
        """Answer the ask in hand."""
        raw = next(iter(self._life.hand), None)  # one look: it may be fenced meanwhile
        if type(raw) is not Envelope or raw.reply_to is None:
            raise RuntimeError("there is nothing to reply to: what was received last was told")
        if type(raw.reply_to) is Future and raw.reply_to.done():
            raise RuntimeError("the message has been replied to already")
        succeed(raw.reply_to, value)

    def _settle(self) -> None:
        """Count the message in hand as handled; an ask left open gets `NoReply`."""
        try:
            raw = self._life.hand.pop()
        except IndexError:
            return
        self._life.handled += 1
        if type(raw) is Envelope and not (type(raw.reply_to) is Future and raw.reply_to.done()):
            fail(raw.reply_to, NoReply(f"{self._life.id!r} went on without a reply"))


class _Aside:
    """What a task calls that may be interrupted, but not in the middle of these.

    Between the mailbox and the hand a message would be lost, and a future that is
    half settled never wakes who waits for it.
    """

    def __init__(self, task: TaskBehaviour, guard: Guard) -> None:
        self._task = task
        self._guard = guard

    def receive(self, timeout: float | None) -> Any:
        return self._guard.aside(self._task.receive, timeout)

    def reply(self, value: object) -> None:
        self._guard.aside(self._task.reply, value)


class Serving(ABC):
    """What handles message after message: a function, or an instance of a class."""

    def __init__(
        self,
        life: Life,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        reply_errors: bool,
        caller: Callable[..., Any] | None = None,
        failing: Failing | None = None,
    ) -> None:
        self._life = life
        self._call = target, args, kwargs
        self._reply_errors = reply_errors
        self._caller = caller
        """Who makes the calls that handle messages, and may refuse to; `None`: the loop."""
        self._failing = failing
        """What becomes of messages whose handling fails; `None`: that is a crash."""

    @property
    @abstractmethod
    def handler(self) -> Callable[[Any], Any]:
        """What each message goes to, once it has started."""

    def run(self) -> ExitReason:
        """Handle messages until told to stop."""
        if self._failing is not None:
            return self._failing.serve(self.handler, self._arrived)
        return serve(
            self._life, self.handler, arrived=self._arrived, reply_errors=self._reply_errors
        )

    def _calling(
        self, handle: Callable[[Any], Any], apart: Callable[[Any], bool] | None = None
    ) -> Callable[[Any], Any]:
        """Return what calls `handle`, under the rules there are."""
        call = called_by(self._caller, handle, apart=apart)
        return call if self._failing is None else contained(call)

    def _arrived(self, token: Token) -> bool:
        return self._is_due(token) or self._holds(token)

    def _is_due(self, token: Token) -> bool:
        """Handle the message of a timer, if a token is the mark of one; return whether it is."""
        failing = self._failing
        deliver = None if failing is None else failing.deliver
        return handle_due(self._life, token, self.handler, deliver)

    def _holds(self, token: Token) -> bool:
        """Put a token away if it is to come behind messages that are; return whether it is."""
        return self._failing is not None and self._failing.hold(token)


class HandlerBehaviour(Serving):
    """A function that is called once per message."""

    ready = True

    @cached_property
    def handler(self) -> Callable[[Any], Any]:
        """What each message goes to."""
        return self._calling(with_arguments(*self._call))

    def start(self) -> None:
        """Do nothing: a function is always ready."""

    def stop(self) -> None:
        """Do nothing: there is nothing to clean up."""

    def fail(self, error: BaseException) -> None:
        """Do nothing, as above."""


def with_arguments(
    target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Callable[[Any], Any]:
    """Return a function of one message; the target itself where nothing is to be added."""
    if not args and not kwargs:
        return target
    return lambda message: target(message, *args, **kwargs)


def called_by(
    caller: Callable[..., Any] | None,
    handle: Callable[[Any], Any],
    *,
    apart: Callable[[Any], bool] | None = None,
) -> Callable[[Any], Any]:
    """Return what has `caller(handle, message)` make the calls; `handle` itself for `None`.

    Messages for which `apart(message)` is true are none of the caller's.
    """
    if caller is None:
        return handle
    if apart is None:
        return partial(caller, handle)
    return lambda message: handle(message) if apart(message) else caller(handle, message)


class WorkerBehaviour(Serving):
    """An instance of a `Worker` class: made, called and ended in its own thread."""

    ready = False
    instance: Any = None

    @property
    def context(self) -> Context:
        """What its code may ask for."""
        return self._life.context

    def start(self) -> None:
        """Make the instance and run `on_start`."""
        target, args, kwargs = self._call
        self._make(target, *args, **kwargs)
        self.instance.on_start()

    def _make(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.context.own = self  # by which its `__init__` finds what is set only then
        self.instance = target(*args, **kwargs)
        # Past a __setattr__ of the class.
        object.__setattr__(self.instance, "_threadsup_own", self)

    @cached_property
    def handler(self) -> Callable[[Any], Any]:
        """What each message goes to, once it has started."""
        return self._calling(self.instance.on_receive)

    def took(self, token: Token) -> bool:  # noqa: ARG002 - it puts none
        """As a stage: see to a token if it is one of its own; return whether it was."""
        return False

    def end(self, reason: ExitReason) -> None:
        """Have the incarnation end after the message in hand. Never blocks."""
        if not self._life.token.asked:  # else it ends already, with the reason it was given
            self._life.ask_to_stop(reason, inf)

    def stop(self) -> None:
        """Run `on_stop`."""
        self.instance.on_stop()

    def fail(self, error: BaseException) -> None:
        """Run `on_failure`."""
        self.instance.on_failure(type(error), error, error.__traceback__)
