"""What the works are made of: clocks, percentiles, shares, cores, and who crashes or idles."""

from __future__ import annotations

import threading
from functools import partial

import pytest

import threadsup
from bench import crashing, hanging, idling, pooling, rush, scaling, starting, tells
from bench.contestants import Goal
from bench.crews import ASKED, TOLD

# -- rush -------------------------------------------------------------------------------


def test_the_clock_starts_when_all_senders_are_up() -> None:
    """No sender begins before the last one is there, each in a thread of its own."""
    seen: list[int] = []
    goals = [Goal(1) for _ in range(3)]

    def job(goal: Goal) -> None:
        seen.append(threading.get_ident())
        goal(None)

    assert rush.rush([partial(job, goal) for goal in goals], goals) > 0
    assert len(seen) == 3
    assert threading.get_ident() not in seen


def test_a_goal_can_be_used_again() -> None:
    """After a warm-up it is as good as new."""
    goal = Goal(1)
    goal(None)
    rush.aim(goal, 2)
    goal(None)
    assert not goal.reached.is_set()
    goal(None)
    assert goal.reached.is_set()


def test_percentiles_are_times_that_were_measured() -> None:
    """Half of them, and 99 of 100, are no longer."""
    times = [float(number) for number in range(1, 201)]
    assert (rush.p50(times), rush.p99(times)) == (100.0, 198.0)
    assert (rush.p50([7.0]), rush.p99([7.0])) == (7.0, 7.0)


def test_calls_are_timed_one_by_one_after_some_for_nothing() -> None:
    """A tenth as many come before; the shortest comes first."""
    called: list[int] = []
    times = rush.each(called.append, 20)
    assert called == [*range(2), *range(20)]
    assert len(times) == 20
    assert times == sorted(times)


@pytest.mark.parametrize(("count", "parts", "each"), [(100, 4, 25), (3, 4, 1), (9, 4, 2)])
def test_a_share_is_never_nothing(count: int, parts: int, each: int) -> None:
    """A quick run of many senders still sends."""
    assert rush.share(count, parts) == each


def test_a_figure_is_per_item() -> None:
    """Seconds for all become microseconds for one."""
    (figure,) = rush.per_item(lambda count: count * 2e-6, 50)
    assert figure == pytest.approx(2.0)


def test_threads_are_kept_on_cores_and_let_go() -> None:
    """Those that are started meanwhile inherit the choice; afterwards all is as before."""
    try:
        before = rush.cores()
    except NotImplementedError:
        return
    with rush.on_cores(before[:1]):
        assert rush.cores() == before[:1]
    assert rush.cores() == before


# -- crews ------------------------------------------------------------------------------


@pytest.mark.parametrize("who", TOLD)
def test_each_crew_calls_the_function_of_the_one_told(who: str) -> None:
    """Once per message, with that message, in the thread of the one told."""
    found: list[tuple[str, int, int]] = []
    goals = [Goal(1), Goal(1)]

    def handle(name: str, goal: Goal, message: int) -> None:
        found.append((name, message, threading.get_ident()))
        goal(message)

    handles = [partial(handle, name, goal) for name, goal in zip("ab", goals, strict=True)]
    with TOLD[who](handles) as tells_of:
        for number, tell in enumerate(tells_of):
            tell(number)
        for goal in goals:
            goal.wait()
    assert sorted(each[:2] for each in found) == [("a", 0), ("b", 1)]
    assert len({each[2] for each in found} | {threading.get_ident()}) == 3


@pytest.mark.parametrize("who", ASKED)
def test_each_crew_answers(who: str) -> None:
    """With what the function returns."""
    with ASKED[who](lambda message: message + 1) as ask:
        assert [ask(number) for number in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(("shape", "sent"), [("1:1", 10), ("n:1", 8), ("1:n", 8), ("n:n", 8)])
def test_every_shape_sends_as_many_as_it_says(shape: str, sent: int) -> None:
    """What cannot be shared out evenly is left out, and not counted."""
    senders, receivers = (1 if side == "1" else tells.MANY for side in shape.split(":"))
    goals = [Goal(0) for _ in range(receivers)]
    with TOLD["floor"](goals) as puts:
        shares = [[put] for put in puts] if shape == "n:n" else [puts] * senders
        assert tells.send(shares, goals, 10)[0] == sent
    assert [goal.left for goal in goals] == [0] * receivers


# -- crashes, stops, idling ---------------------------------------------------------------


@pytest.mark.parametrize("way", [crashing.by_hand, crashing.actor, crashing.supervised])
def test_every_crash_is_followed_by_another_thread(way: object) -> None:
    """The figures are of so many crashes; whoever serves next is not who crashed."""
    low, high = crashing.crash(way, 5)
    assert 0 < low <= high


@pytest.mark.parametrize("way", [hanging.bare, hanging.actors, hanging.supervised])
def test_a_hung_worker_is_let_go_when_the_clock_has_stopped(way: object) -> None:
    """The stop takes its limit, and no thread is left hanging for it."""
    hung = hanging.Hung()
    assert way(hung) >= hanging.LIMIT * 0.9  # type: ignore[operator]
    assert hung.free.is_set()


def test_wake_ups_of_others_are_seen() -> None:
    """A thread that polls is not idle, one that waits is; our own thread does not count."""
    polls, over = threading.Event(), threading.Event()

    def poll() -> None:
        polls.set()
        while not over.wait(0.002):
            pass

    thread = threading.Thread(target=poll)
    thread.start()
    polls.wait()
    try:
        busy, woken = idling.quiet(0.1)
    except NotImplementedError:  # not told of on this system
        return
    finally:
        over.set()
        thread.join()
    assert busy > 0
    assert woken > 50


def test_an_executor_of_idle_threads_has_used_them_all() -> None:
    """One call cannot do another's work: memory is counted per thread."""
    seen = set()
    goals = [Goal(1) for _ in range(4)]

    def handle(goal: Goal, message: int) -> None:
        seen.add(threading.get_ident())
        goal(message)

    with idling.pooled([partial(handle, goal) for goal in goals]) as calls:
        idling.wake(calls, goals)
    assert len(seen) == 4


# -- the rest -----------------------------------------------------------------------------


def test_growth_is_the_exponent() -> None:
    """Ten times as many that take ten times as long are n^1, a hundred times n^2."""
    (linear,) = starting.growth(lambda n: (n / 2, n / 2), 2000)
    (square,) = starting.growth(lambda n: (float(n * n), 0.0), 2000)
    assert linear == pytest.approx(1.0)
    assert square == pytest.approx(2.0)


def test_cores_are_doubled_up_to_all() -> None:
    """However many there are, the last step is all of them."""
    assert scaling.steps(2) == [2]
    assert scaling.steps(4) == [2, 4]
    assert scaling.steps(6) == [2, 4, 6]
    assert scaling.steps(16) == [2, 4, 8, 16]


def test_a_pool_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version without one can still run the rest."""
    monkeypatch.delattr(threadsup, "Pool", raising=False)
    with pytest.raises(NotImplementedError, match=r"no threadsup\.Pool"):
        pooling.supervised(2)
