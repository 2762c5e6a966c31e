"""How rules are used by themselves: `retry.call(fn)`, `with breaker:`, `@rate`.

Owns the waiting, the locks and the clock of that, and brings them to the rules. It must
not know stages, pools or workers: what waits here is whatever thread calls, and if that
is a worker's it leaves the wait when it is asked to stop, as every wait of the library.

What a rule counts by itself is made when it is first used, under one lock, so that two
threads that use it first at once count together.
"""

from __future__ import annotations

import functools
import inspect
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, final

from threadsup._checks import shown
from threadsup._errors import BreakerOpen
from threadsup._policy.breaker import Breaker, Circuit
from threadsup._policy.rate import Rate, Window
from threadsup._policy.retry import Retry
from threadsup._policy.usable import bring
from threadsup._runtime.clock import monotonic
from threadsup._runtime.context import sleep
from threadsup._runtime.limiter import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._policy.breaker import CircuitState

__all__ = ["Calls", "Fuse", "calls_under", "chance", "pause_by"]

P = ParamSpec("P")
T = TypeVar("T")

chance = random.Random().random
"""The dice of the pauses between attempts."""


class _Use(Protocol):
    """One rule in use."""

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    def enter(self) -> None: ...

    def leave(self, error: BaseException | None) -> None: ...


@final
class Fuse:
    """A breaker that several threads share: the circuit and its lock."""

    __slots__ = ("_circuit", "_clock", "_local", "_lock", "_rules")

    def __init__(self, rules: Breaker, clock: Callable[[], float] = monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._circuit = Circuit(rules)
        self._lock = threading.RLock()
        """Guards the circuit; never held while anything runs or waits. Re-entrant: what
        the collector destroys may make a call of its own."""
        self._local = threading.local()

    @property
    def state(self) -> CircuitState:
        """Whether calls pass, as of the last one."""
        return self._circuit.state

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn(*args, **kwargs)` if calls pass.

        Raises:
            BreakerOpen: they do not; nothing was called.
        """
        granted = self.admit()
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            self.report(granted, error)
            raise
        self.report(granted, None)
        return result

    def enter(self) -> None:
        """Begin a block, if calls pass; raises as `call`."""
        granted = self.admit()
        if not hasattr(self._local, "blocks"):
            self._local.blocks = []
        self._local.blocks.append(granted)

    def leave(self, error: BaseException | None) -> None:
        """End the block that this thread began last."""
        self.report(self._local.blocks.pop(), error)

    def failed(self, granted: int | None = None) -> None:
        """Count a failure of a call that cannot report: it was given up on.

        By the pass it got, if that is known.
        """
        with self._lock:
            if granted is None:
                self._circuit.lost(self._clock())
            else:
                self._circuit.failed(granted, self._clock())

    # -- one call, by who makes it --------------------------------------------------

    def admit(self) -> int:
        """Return a pass for one call, which is to be reported; raises as `call`."""
        with self._lock:
            now = self._clock()
            granted = self._circuit.enter(now)
            if granted >= 0:
                return granted
            wait = self._circuit.wait(now)
            state = self._circuit.state
        if state == "half_open":
            raise BreakerOpen("the breaker is half-open, and its probes are under way", wait)
        raise BreakerOpen(f"the breaker is open for {wait:.3g} s more", wait)

    def report(self, granted: int, error: BaseException | None) -> None:
        """Say how the call of a pass has ended."""
        with self._lock:
            if error is None:
                self._circuit.succeeded(granted)
            elif self._rules.is_failure(error):
                self._circuit.failed(granted, self._clock())
            elif isinstance(error, Exception):
                self._circuit.succeeded(granted)
            else:  # a stop, Ctrl-C: it says nothing of what was called
                self._circuit.withdrawn(granted)


@final
class Calls:
    """The calls that one life makes under a breaker, one at a time.

    The pass of the one under way lies in a one-slot list: who pops it reports, the thread
    that has made the call, or who gives up on that. So each call is counted once.
    """

    __slots__ = ("_fuse", "_under_way")

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self._under_way: list[int] = []

    def __call__(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn(*args, **kwargs)` if calls pass; raises as `Fuse.call`."""
        self._under_way.append(self._fuse.admit())
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            self._report(error)
            raise
        self._report(None)
        return result

    def give_up(self) -> None:
        """Count the call under way, if there is one, as failed. From another thread."""
        with suppress(IndexError):
            self._fuse.failed(self._under_way.pop())

    def _report(self, error: BaseException | None) -> None:
        with suppress(IndexError):  # it was given up on, and has failed
            self._fuse.report(self._under_way.pop(), error)


@final
class _Turns:
    """A rate that several threads share."""

    __slots__ = ("_limiter",)

    def __init__(self, rules: Rate) -> None:
        self._limiter = Limiter(Window(rules))

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn(*args, **kwargs)` when it is its turn."""
        self._limiter.turn(give_way=False)
        return fn(*args, **kwargs)

    def enter(self) -> None:
        """Wait for a turn."""
        self._limiter.turn(give_way=False)

    def leave(self, error: BaseException | None) -> None:
        """Do nothing: a turn is for a beginning."""


@final
class _Attempts:
    """Attempts in the calling thread; there is nothing to count from call to call."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Retry) -> None:
        self._rules = rules

    def call(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn(*args, **kwargs)`, again after a pause while it fails."""
        tried = 0
        while True:
            tried += 1
            try:
                return fn(*args, **kwargs)
            except Exception as error:
                pause = self._rules.pause(error, tried, chance)
                if pause is None:
                    raise
            sleep(pause)

    def enter(self) -> None:
        """Be out of reach: a block cannot be run again."""
        raise NotImplementedError

    def leave(self, error: BaseException | None) -> None:
        """Be out of reach."""


_USES: dict[type, Callable[[Any], _Use]] = {Breaker: Fuse, Rate: _Turns, Retry: _Attempts}

_making = threading.RLock()
"""Guards the first use of a rule."""


@final
class _ByThemselves:
    """The tools that rules are brought."""

    def call(
        self, rule: Any, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> T:
        """Call a function under a rule."""
        _check_called(rule, fn)
        return _use_of(rule).call(fn, *args, **kwargs)

    def around(self, rule: Any, fn: Callable[P, T]) -> Callable[P, T]:
        """Return a function that calls `fn` under a rule."""
        _check_called(rule, fn)
        call = _use_of(rule).call

        @functools.wraps(fn)
        def under_the_rule(*args: P.args, **kwargs: P.kwargs) -> T:
            return call(fn, *args, **kwargs)

        return under_the_rule

    def enter(self, rule: Any) -> None:
        """Begin a block under a rule."""
        _use_of(rule).enter()

    def leave(self, rule: Any, error: BaseException | None) -> None:
        """End it."""
        _use_of(rule).leave(error)


def _fuse_of(rule: Breaker) -> Fuse:
    fuse = _use_of(rule)
    assert isinstance(fuse, Fuse)
    return fuse


def _use_of(rule: Any) -> _Use:
    try:
        made: _Use = rule._own  # noqa: SLF001 - kept there for this module
    except AttributeError:
        with _making:
            made = getattr(rule, "_own", None) or _USES[type(rule)](rule)
            object.__setattr__(rule, "_own", made)
    return made


def calls_under(rule: Breaker | None) -> Calls | None:
    """Return what makes the calls of one life under a rule that is an option of it.

    All that have this very object as an option count together.
    """
    return None if rule is None else Calls(_fuse_of(rule))


def pause_by(rule: object) -> Callable[[Exception, int], float | None] | None:
    """Return what says when a message is tried again, `pause(error, tried)`; `None`: never.

    As an option says it, which may be another thing than a `Retry`.
    """
    return functools.partial(_pause, rule) if type(rule) is Retry else None


def _pause(retry: Retry, error: Exception, tried: int) -> float | None:
    return retry.pause(error, tried, chance)


def _check_called(rule: object, fn: object) -> None:
    """Refuse what would be over before the rule could see how it ends.

    Raises:
        TypeError: it is no function, or one whose call only makes something to be run.
    """
    name = type(rule).__name__
    if not callable(fn):
        raise TypeError(f"{name} goes around a function, not around {shown(fn)}")
    target = inspect.unwrap(fn)
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        raise TypeError(
            f"{name} waits in a thread and cannot go around a coroutine function: "
            "put it around what that calls"
        )
    if inspect.isgeneratorfunction(target):
        raise TypeError(
            f"{name} cannot go around a generator function, whose call runs nothing: "
            "put it around what that calls"
        )


bring(_ByThemselves())
