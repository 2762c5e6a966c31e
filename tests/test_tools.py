"""Rules used by themselves: around a function, and around a block."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, ManualClock, Recorder
from threadsup import Backoff, Breaker, BreakerOpen, Rate, Retry, WorkerExit, handler, stage
from threadsup._tools import Calls, Fuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeSupervisor

NOW = Backoff.none()
RULES = [Retry(), Breaker(), Rate(1)]


def flaky(tries: itertools.count[int], good: int) -> int:
    n = next(tries)
    if n < good:
        raise LookupError(n)
    return n


def test_retry_calls_until_it_succeeds() -> None:
    """As `call` and as a decorator; arguments are passed on."""
    retry = Retry(3, NOW)
    assert retry.call(flaky, itertools.count(1), good=3) == 3
    tries = itertools.count(1)

    @retry
    def fetch(good: int) -> int:
        """Fetch."""
        return flaky(tries, good)

    assert fetch(2) == 2
    assert fetch.__doc__ == "Fetch."


def test_retry_raises_the_last_error() -> None:
    """When all attempts have failed, or at once one that is not meant."""
    with pytest.raises(LookupError, match="2"):
        Retry(2, NOW).call(flaky, itertools.count(1), 9)
    with pytest.raises(LookupError, match="1"):
        Retry(2, NOW, on=OSError).call(flaky, itertools.count(1), 9)


def test_retry_leaves_its_pause_when_the_worker_is_stopped(supervisor: MakeSupervisor) -> None:
    """As any wait of the library: a task ends with `WorkerExit`."""
    gate = Gate()
    gate.open()
    seen: Recorder[type[BaseException]] = Recorder()

    def work() -> None:
        gate.meet()
        raise LookupError

    def task() -> None:
        try:
            Retry(2, Backoff(1000, 1, 1000)).call(work)
        except BaseException as error:
            seen(type(error))
            raise

    with supervisor() as sup:
        sup.add_worker(task)
        gate.wait_reached()
    assert seen.items == [WorkerExit]


def test_a_breaker_makes_no_more_calls_once_it_is_open() -> None:
    """As `call`, as a decorator and around a block, all of one object count together."""
    breaker = Breaker(failures=3, reset_after=1000.0)
    calls = itertools.count(1)

    @breaker
    def fetch() -> None:
        flaky(calls, 99)

    with pytest.raises(LookupError):
        fetch()
    with pytest.raises(LookupError):
        breaker.call(flaky, calls, 99)
    with pytest.raises(LookupError), breaker:
        flaky(calls, 99)
    with pytest.raises(BreakerOpen) as raised:
        fetch()
    with pytest.raises(BreakerOpen), breaker:
        raise AssertionError
    assert next(calls) == 4
    assert 0 < raised.value.retry_after <= 1000.0


def test_a_breaker_closes_again_after_a_probe() -> None:
    """One call is let through when its time is up; the others are told it is under way."""
    clock = ManualClock()
    fuse = Fuse(Breaker(failures=1, reset_after=10.0), clock)
    with pytest.raises(LookupError):
        fuse.call(flaky, itertools.count(), 9)
    clock.advance(10.0)
    fuse.enter()
    assert str(fuse.state) == "half_open"
    with pytest.raises(BreakerOpen, match="half-open"):
        fuse.call(abs, 1)
    fuse.leave(None)
    assert str(fuse.state) == "closed"
    assert fuse.call(abs, -1) == 1


def test_blocks_in_blocks_report_in_their_order() -> None:
    """And what is ended from outside says nothing of what was called."""
    fuse = Fuse(Breaker(failures=2, reset_after=10.0))
    fuse.enter()
    fuse.enter()
    fuse.leave(LookupError())
    fuse.leave(None)
    with pytest.raises(KeyboardInterrupt):
        fuse.call(_interrupt)
    assert str(fuse.state) == "closed"


def test_a_call_that_is_given_up_on_has_failed_and_says_nothing_any_more() -> None:
    """However it ends then: each call counts once."""
    fuse = Fuse(Breaker(failures=2, reset_after=10.0))
    calls = Calls(fuse)
    calls.give_up()  # none is under way
    with pytest.raises(LookupError):
        calls(flaky, itertools.count(), 9)
    calls.give_up()
    assert calls(_late, calls) == "late"
    assert str(fuse.state) == "open"
    with pytest.raises(BreakerOpen):
        calls(abs, -1)
    calls.give_up()


def test_a_probe_that_is_given_up_on_opens_the_breaker_again() -> None:
    """The time begins anew; what comes of it later closes nothing."""
    clock = ManualClock()
    fuse = Fuse(Breaker(failures=1, reset_after=10.0), clock)
    calls = Calls(fuse)
    with pytest.raises(LookupError):
        calls(flaky, itertools.count(), 9)
    clock.advance(10.0)
    assert calls(_late, calls) == "late"
    assert str(fuse.state) == "open"
    clock.advance(5.0)
    with pytest.raises(BreakerOpen):
        calls(abs, -1)
    clock.advance(5.0)
    assert calls(abs, -1) == 1
    assert str(fuse.state) == "closed"


def _late(calls: Calls) -> str:
    calls.give_up()
    return "late"


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_an_error_that_is_not_meant_counts_as_an_answer() -> None:
    """`on` says what a failure is."""
    breaker = Breaker(failures=1, reset_after=1000.0, on=OSError)
    for _ in range(3):
        with pytest.raises(LookupError):
            breaker.call(flaky, itertools.count(), 9)


def test_a_rate_lets_so_many_pass_and_has_the_others_wait(supervisor: MakeSupervisor) -> None:
    """As `call`, as a decorator and around a block; a worker leaves the wait."""
    rate = Rate(3, per=1000.0)
    gate = Gate()
    gate.open()
    seen: Recorder[type[BaseException]] = Recorder()
    assert rate.call(abs, -1) == 1
    assert rate(abs)(-2) == 2
    with rate:
        pass

    def task() -> None:
        gate.meet()
        try:
            with rate:
                raise AssertionError
        except BaseException as error:
            seen(type(error))
            raise

    with supervisor() as sup:
        sup.add_worker(task)
        gate.wait_reached()
    assert seen.items == [WorkerExit]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_rule_that_is_used_stays_a_value(rule: Any) -> None:
    """What it counts is in no copy, no comparison and no pickle."""
    fresh = copy.copy(rule)
    rule.call(abs, -1)
    assert rule == fresh
    assert hash(rule) == hash(fresh)
    assert repr(rule) == repr(fresh)
    for other in (copy.copy(rule), copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):  # noqa: S301
        assert other == rule
        assert not hasattr(other, "_own")


def test_two_threads_that_use_a_rule_first_count_together() -> None:
    """It gets one state, whoever comes first."""
    for _ in range(20):
        breaker = Breaker(failures=4, reset_after=1000.0)
        barrier = threading.Barrier(4)

        def use(breaker: Breaker = breaker, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(PATIENCE)
            with pytest.raises(LookupError):
                breaker.call(flaky, itertools.count(), 9)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        with pytest.raises(BreakerOpen):
            breaker.call(abs, 1)


async def _coroutine() -> None: ...


def _generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize(
    ("fn", "what"),
    [(3, "around a function"), (_coroutine, "coroutine"), (_generator, "generator")],
)
def test_what_a_rule_cannot_go_around_is_refused(rule: Any, fn: Any, what: str) -> None:
    """At once, with what to do instead."""
    with pytest.raises(TypeError, match=what):
        rule(fn)
    with pytest.raises(TypeError, match=what):
        rule.call(fn)


def test_guarded_functions_are_stages_and_handlers(supervisor: MakeSupervisor) -> None:
    """A rule around a function of a chain or a worker needs no option there."""
    breaker = Breaker(failures=1, reset_after=1000.0)

    @breaker
    def half(x: int) -> float:
        return 1 / x

    seen: Recorder[object] = Recorder()
    with supervisor() as sup:
        chain = sup.add_chain("c", [stage(half)], on_error="reject", on_result=seen)
        assert chain["half"] is not None
        assert type(chain.submit(0).exception(PATIENCE)) is ZeroDivisionError
        assert type(chain.submit(1).exception(PATIENCE)) is BreakerOpen
        ref = sup.add_worker(handler(Retry(2, NOW)(abs)))
        assert ref.ask(-1) == 1
