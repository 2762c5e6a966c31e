"""How many replicas a stage should have: the decision, and what it comes to over time."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from threadsup._errors import SpecError
from threadsup._policy.autoscale import Autoscale, Load, Scaling, decide

if TYPE_CHECKING:
    from collections.abc import Callable

RULES = Autoscale(1, 8)
QUIET = Load(replicas=2, busy=1, queued=0, capacity=100, cpu=0.1, process=0.3)
FULL = QUIET._replace(busy=2, queued=80)


@dataclass
class Stage:
    """Looks at a stage at moments of our choice, and does what is decided."""

    rules: Autoscale = RULES
    gil: bool = False
    state: Scaling = field(default_factory=Scaling)

    def look(self, load: Load, now: float) -> tuple[int, str]:
        self.state, target, why = decide(self.rules, self.state, load, now, gil=self.gil)
        return target, why

    def looks(self, load: Load, *moments: float) -> list[int]:
        return [self.look(load, now)[0] for now in moments]


# -- growing --------------------------------------------------------------------------


def test_a_queue_above_the_mark_for_long_enough_adds_a_replica() -> None:
    """Nothing happens before `grow_after`; then one more, and the reason says how long."""
    stage = Stage()
    assert stage.looks(FULL, 10.0, 10.25, 10.4375) == [2, 2, 2]
    assert stage.look(FULL, 10.5) == (3, "queue at 80% for 0.5 s")


def test_the_mark_itself_counts() -> None:
    """A queue of exactly `grow_at` is full, one of an item less is not."""
    stage = Stage()
    assert stage.looks(FULL._replace(queued=49), 0.0, 1.0, 2.0) == [2, 2, 2]
    assert stage.looks(FULL._replace(queued=50), 3.0, 4.0) == [2, 3]


def test_one_look_below_the_mark_begins_the_time_anew() -> None:
    """A queue that is worked off between two bursts needs no replica."""
    stage = Stage()
    assert stage.looks(FULL, 0.0, 0.4375) == [2, 2]
    assert stage.looks(QUIET, 0.4688) == [2]
    assert stage.looks(FULL, 0.5, 0.9375, 1.0) == [2, 2, 3]


def test_after_a_change_the_queue_must_be_seen_full_anew() -> None:
    """The cool-down passes first, and what was seen before the change does not count."""
    stage = Stage(replace(RULES, cooldown=2.0))
    assert stage.looks(FULL, 0.0, 0.5) == [2, 3]
    more = FULL._replace(replicas=3, busy=3, capacity=150, queued=149)
    assert stage.looks(more, 0.75, 2.25) == [3, 3]
    assert stage.looks(QUIET._replace(replicas=3, capacity=150), 2.375) == [3]
    assert stage.looks(more, 2.5, 2.75, 3.0) == [3, 3, 4]


def test_a_change_that_was_not_made_is_decided_anew_after_the_cool_down() -> None:
    """Whoever could not add a replica is asked again, not at each look."""
    stage = Stage()
    assert stage.looks(FULL, 0.0, 0.5, 0.625, 1.25, 1.5) == [2, 3, 2, 2, 3]


def test_it_grows_by_half_of_what_is_there_up_to_the_most() -> None:
    """Any size is reached in few steps; one replica becomes two."""
    stage, replicas, now = Stage(Autoscale(1, 20)), 1, 0.0
    sizes: list[int] = []
    while not sizes or sizes[-1] < 20:
        now += 1.0
        stage.look(Load(replicas, replicas, 50 * replicas, 50 * replicas, None, None), now)
        now += 1.0
        load = Load(replicas, replicas, 50 * replicas, 50 * replicas, None, None)
        replicas, _ = stage.look(load, now)
        sizes.append(replicas)
    assert sizes == [2, 3, 4, 6, 9, 13, 19, 20]


def test_at_the_most_it_stays_and_says_so() -> None:
    """A stage at `max` does not grow; the text says what it would need."""
    stage = Stage(Autoscale(1, 2))
    assert stage.looks(FULL, 0.0, 0.5) == [2, 2]
    assert stage.look(FULL, 9.0) == (2, "queue at 80%, but at most 2 are wanted")


def test_replicas_that_do_nothing_get_no_company() -> None:
    """Paused, or held back by a rate or one key: it grows once half of them are at work."""
    stage = Stage()
    few = FULL._replace(replicas=4, busy=1)
    assert stage.looks(few, 0.0) == [4]
    assert stage.look(few, 1.0) == (4, "only 1 of 4 replicas are at work")
    assert stage.looks(few._replace(busy=2), 1.125) == [6]


# -- the GIL --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "process", "why"),
    [
        (0.5, 0.6, "CPU-bound (50%), and there is one GIL for all replicas"),
        (0.97, None, "CPU-bound (97%), and there is one GIL for all replicas"),
        (0.25, 0.9, "the GIL is taken (90% of a core in use)"),
        (0.05, 0.95, "the GIL is taken (95% of a core in use)"),
        (None, 1.0, "the GIL is taken (100% of a core in use)"),
    ],
)
def test_with_a_gil_what_computes_gets_no_replicas(
    cpu: float | None, process: float | None, why: str
) -> None:
    """They would only take the GIL from each other; without one they are added."""
    load = FULL._replace(cpu=cpu, process=process)
    stage = Stage(gil=True)
    assert stage.looks(load, 0.0) == [2]
    assert stage.look(load, 1.0) == (2, why)
    assert Stage(gil=False).looks(load, 0.0, 1.0) == [2, 3]


@pytest.mark.parametrize(
    ("cpu", "process"), [(0.49, 0.89), (0.04, 1.0), (0.3, None), (None, 0.5), (None, None)]
)
def test_with_a_gil_what_waits_gets_replicas(cpu: float | None, process: float | None) -> None:
    """A stage that mostly waits, for anything but the GIL, works faster with more."""
    load = FULL._replace(cpu=cpu, process=process)
    assert Stage(gil=True).looks(load, 0.0, 1.0) == [2, 3]


def test_a_stage_that_stops_computing_grows_at_the_next_look() -> None:
    """The time its queue has been full goes on while it is held back."""
    stage = Stage(gil=True)
    assert stage.looks(FULL._replace(cpu=0.9), 0.0, 1.0, 2.0) == [2, 2, 2]
    assert stage.look(FULL, 2.125) == (3, "queue at 80% for 2.1 s")


def test_the_gil_rule_can_be_set_and_switched_off() -> None:
    """Work in C that releases the GIL is CPU-bound and gains by replicas all the same."""
    load = FULL._replace(cpu=0.9, process=1.9)
    assert Stage(replace(RULES, cpu_bound=None), gil=True).looks(load, 0.0, 1.0) == [2, 3]
    strict = Stage(replace(RULES, cpu_bound=0.1), gil=True)
    assert strict.looks(FULL._replace(cpu=0.1), 0.0, 1.0) == [2, 2]


# -- shrinking ------------------------------------------------------------------------


def test_an_idle_replica_is_taken_away_after_a_while() -> None:
    """Nothing happens before `shrink_after`; then one fewer, and the reason says how long."""
    stage = Stage()
    assert stage.looks(QUIET, 10.0, 12.5, 14.9375) == [2, 2, 2]
    assert stage.look(QUIET, 15.0) == (1, "1 replica idle for 5.0 s")


@pytest.mark.parametrize("load", [QUIET._replace(busy=2), QUIET._replace(queued=6), FULL])
def test_one_look_at_a_stage_with_work_for_all_begins_the_time_anew(load: Load) -> None:
    """All replicas busy, or a queue above the lower mark: none is one too many."""
    stage = Stage()
    assert stage.looks(QUIET, 0.0, 4.875) == [2, 2]
    assert stage.looks(load, 4.9375) == [2]
    assert stage.looks(QUIET, 5.0, 9.9375, 10.0) == [2, 2, 1]


def test_between_the_marks_nothing_happens() -> None:
    """A queue that is neither long nor short is left alone for ever, busy or not."""
    stage = Stage()
    for queued in (6, 20, 49):
        for busy in (0, 1, 2):
            load = QUIET._replace(queued=queued, busy=busy)
            assert stage.looks(load, *range(0, 10_000, 500)) == [2] * 20


def test_an_empty_queue_can_be_asked_for() -> None:
    """With `shrink_at=0` a single queued item keeps the replicas."""
    stage = Stage(replace(RULES, shrink_at=0.0))
    assert stage.looks(QUIET._replace(queued=1), 0.0, 6.0) == [2, 2]
    assert stage.looks(QUIET, 7.0, 12.0) == [2, 1]


def test_it_shrinks_one_by_one_down_to_the_fewest() -> None:
    """While it stays idle, one more goes every `shrink_after` seconds."""
    stage, replicas = Stage(Autoscale(2, 8)), 6
    changes = []
    for tick in range(61):
        load = Load(replicas, 0, 0, 50 * replicas, None, None)
        target, why = stage.look(load, float(tick))
        if target != replicas:
            changes.append((tick, target, why))
            replicas = target
    assert changes == [
        (5, 5, "6 replicas idle for 5.0 s"),
        (10, 4, "5 replicas idle for 10.0 s"),
        (15, 3, "4 replicas idle for 15.0 s"),
        (20, 2, "3 replicas idle for 20.0 s"),
    ]


# -- patience -------------------------------------------------------------------------


def regretted(stage: Stage, now: float, rest: float = 1.0) -> float:
    """Let it shrink, and `rest` seconds later grow; return the moment of the growth."""
    idle = 0.0
    while stage.looks(QUIET, now + idle) == [2]:
        idle += 0.5
    one = FULL._replace(replicas=1, busy=1, queued=40, capacity=50)
    at = now + idle + rest
    assert stage.looks(one, at - 0.5, at) == [1, 2]
    return at


def test_a_shrink_that_is_regretted_makes_the_next_one_wait() -> None:
    """Twice as long each time, up to eight times as long."""
    stage, now = Stage(), 0.0
    waits = []
    for _ in range(6):
        grown = regretted(stage, now)
        waits.append(grown - 1.0 - now)
        now = grown
    assert waits == [5.0, 10.0, 20.0, 40.0, 40.0, 40.0]


def test_a_shrink_that_lasted_makes_up_for_one_that_did_not() -> None:
    """A growth long after the shrink halves the patience; it never ends below one."""
    stage = Stage()
    now = regretted(stage, regretted(stage, 0.0))
    assert stage.state.patience == 4
    for patience in (2, 1, 1):
        now = regretted(stage, now, rest=50.0)
        assert stage.state.patience == patience


def test_a_second_growth_in_a_row_changes_no_patience() -> None:
    """Only the first growth after a shrink tells whether that was a mistake."""
    stage = Stage()
    now = regretted(stage, 0.0)
    assert stage.looks(FULL, now + 1.0, now + 2.0) == [2, 3]
    assert stage.state.patience == 2


def test_patience_is_for_the_first_of_several_shrinks() -> None:
    """When the load is gone for good, the rest go as quickly as ever."""
    stage = Stage(state=Scaling(patience=8))
    load = QUIET._replace(replicas=4, busy=0)
    assert stage.looks(load, 0.0, 39.5, 40.0) == [4, 4, 3]
    assert stage.looks(load._replace(replicas=3), 44.5, 45.0) == [3, 2]


# -- bounds ---------------------------------------------------------------------------


def test_outside_its_bounds_it_is_brought_back_at_once() -> None:
    """Too few or too many, as after a change of the rules, are corrected at the first look."""
    stage = Stage(Autoscale(3, 5))
    assert stage.look(QUIET, 0.0) == (3, "at least 3 are wanted")
    assert stage.look(FULL._replace(replicas=9), 0.125) == (5, "at most 5 are wanted")
    assert stage.looks(FULL._replace(replicas=5, busy=5), 0.25, 1.0, 1.125) == [5, 5, 5]


def test_a_stage_that_has_ended_is_left_alone() -> None:
    """Where nobody is left, nobody is brought back, and nothing is remembered."""
    stage = Stage(state=Scaling(full_since=1.0, patience=4))
    assert stage.look(QUIET._replace(replicas=0, busy=0), 2.0) == (0, "")
    assert stage.state == Scaling()


def test_a_decision_is_a_function_of_what_it_is_given() -> None:
    """The same look at the same state decides the same; neither is changed by it."""
    state = Scaling(full_since=0.0)
    first, second = (decide(RULES, state, FULL, 1.0, gil=True) for _ in range(2))
    assert first == second
    assert state == Scaling(full_since=0.0)


# -- over time ------------------------------------------------------------------------

MINUTES = 10


@dataclass
class Run:
    """A stage under a load, look by look: each replica does 20 items a second."""

    load: Callable[[float], float]
    """How many replicas the items that come would keep busy."""
    rules: Autoscale = RULES
    changes: list[tuple[float, int, int]] = field(default_factory=list)
    replicas: int = 1

    def __post_init__(self) -> None:
        stage, queue, work = Stage(self.rules), 0.0, 0.0
        step = self.rules.interval
        each = 20 * step
        for tick in range(int(MINUTES * 60 / step)):
            now, room = tick * step, 50 * self.replicas
            queue = min(queue + self.load(now) * each, room)  # the rest waits at the sender
            done = min(queue, self.replicas * each)
            queue -= done
            work += done / each
            busy = min(self.replicas, int(work + 1e-9))
            work -= busy
            seen = Load(self.replicas, busy, int(queue), room, None, None)
            target, _ = stage.look(seen, now)
            if target != self.replicas:
                self.changes.append((now, self.replicas, target))
                self.replicas = target

    @property
    def turns(self) -> int:
        """How often it grew after it had shrunk, or shrank after it had grown."""
        grew = [after > before for _, before, after in self.changes]
        return sum(one != other for one, other in pairwise(grew))


def steady(level: float) -> Callable[[float], float]:
    return lambda _: level


def sawtooth(period: float, top: float = 6.0) -> Callable[[float], float]:
    return lambda now: top * (now % period) / period


def square(period: float, top: float = 6.0) -> Callable[[float], float]:
    return lambda now: top if now % period < period / 2 else 0.0


def bursts(period: float) -> Callable[[float], float]:
    return lambda now: 10.0 if now % period < 0.8 else 0.3


@pytest.mark.parametrize(
    ("level", "replicas"),
    [(0.0, 1), (0.5, 1), (1.0, 1), (1.1, 2), (1.9, 2), (2.5, 3), (2.95, 3), (7.5, 8), (30.0, 8)],
)
def test_under_a_steady_load_it_grows_to_what_is_needed_and_stays(
    level: float, replicas: int
) -> None:
    """No replica too few, none too many, and no change after the last step up."""
    run = Run(steady(level))
    assert run.replicas == replicas
    assert run.turns == 0
    assert len(run.changes) <= 5
    assert all(now < 60 for now, _, _ in run.changes)


@pytest.mark.parametrize("load", [bursts, square, sawtooth])
@pytest.mark.parametrize("period", [0.5, 1.0, 2.0, 5.0])
def test_what_is_shorter_than_the_marks_is_ridden_out(load: Any, period: float) -> None:
    """Bursts faster than `shrink_after` leave it at one size: it never turns round."""
    run = Run(load(period))
    assert run.turns == 0
    assert len(run.changes) <= 5


@pytest.mark.parametrize("load", [bursts, square, sawtooth])
@pytest.mark.parametrize("period", [7.0, 10.0, 12.0, 15.0, 20.0, 30.0, 40.0])
def test_a_load_that_comes_and_goes_is_learned(load: Any, period: float) -> None:
    """It turns round a few times, then keeps what the next wave needs, for good."""
    run = Run(load(period))
    assert run.turns <= 8
    assert all(now < 300 for now, _, _ in run.changes)


@pytest.mark.parametrize("period", [120.0, 300.0])
def test_a_slow_load_is_followed(period: float) -> None:
    """Where each change lasts, replicas come and go with the load, twice a period."""
    run = Run(square(period))
    waves = MINUTES * 60 / period
    assert waves <= run.turns <= 2 * waves
    sizes = [after for _, _, after in run.changes]
    assert (min(sizes), max(sizes)) == (1, 8)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_load_changes_are_bounded(seed: int) -> None:
    """Noise and steps at random: at most one change a cool-down, few turns, within bounds."""
    chance = random.Random(seed)
    length = chance.choice((0.1, 1.0, 3.0, 7.0, 15.0))
    levels = [chance.expovariate(1 / 3) for _ in range(int(MINUTES * 60 / length) + 1)]
    run = Run(lambda now: levels[int(now / length)])
    moments = [now for now, _, _ in run.changes]
    assert all(later - now >= RULES.cooldown - 1e-6 for now, later in pairwise(moments))
    assert all(1 <= after <= 8 for _, _, after in run.changes)
    assert run.turns <= 6 + MINUTES * 60 / (3 * RULES.shrink_after)


@pytest.mark.parametrize("rests", [(0.0,), (50.0,), (0.0, 50.0), (0.0, 0.0, 50.0), (49.0,)])
def test_not_even_a_load_that_knows_the_rules_makes_it_flap(rests: tuple[float, ...]) -> None:
    """Work that comes just when it has shrunk: it turns round once in 3 `shrink_after`."""
    stage, replicas, now, turns, back = Stage(), 2, 0.0, 0, 0.0
    end = 1800.0
    while now < end:
        now += 0.125
        if replicas == 2:
            target, _ = stage.look(QUIET, now)
            back = now + rests[turns // 2 % len(rests)]
        else:
            full = now >= back
            load = QUIET._replace(replicas=1, busy=1, capacity=50, queued=50 if full else 10)
            target, _ = stage.look(load, now)
        turns += target != replicas
        replicas = target
    assert turns <= 6 + end / (3 * RULES.shrink_after)


# -- the rules ------------------------------------------------------------------------


def test_a_stage_may_have_one_to_eight_replicas() -> None:
    """The bounds come first and may be left out; the rest goes by name."""
    assert Autoscale(2, 4) == Autoscale(min=2, max=4)
    assert (Autoscale().min, Autoscale().max, Autoscale(max=3)) == (1, 8, Autoscale(1, 3))
    assert (RULES.interval, RULES.cpu_bound) == (0.1, 0.5)
    with pytest.raises(TypeError):
        Autoscale(1, 2, 0.5)  # type: ignore[call-arg]


def test_every_wrong_value_is_named_at_once() -> None:
    """All faults are in one error, each with its path."""
    with pytest.raises(SpecError) as caught:
        Autoscale(
            0,
            True,
            grow_at=0,
            shrink_at=2,
            grow_after=-1,
            shrink_after=math.inf,
            cooldown=math.nan,
            interval=0,
            cpu_bound=0,
        )
    assert caught.value.problems == (
        "autoscale.min: must be a whole number of at least 1, not 0",
        "autoscale.max: must be a whole number of at least 1, not True",
        "autoscale.grow_at: must be a number above 0, not 0",
        "autoscale.shrink_at: must be at most 1, not 2",
        "autoscale.grow_after: must be a number of seconds of at least 0, not -1",
        "autoscale.shrink_after: must be at most 4000000, not inf",
        "autoscale.cooldown: must be a number of seconds of at least 0, not nan",
        "autoscale.interval: must be a number of seconds above 0, not 0",
        "autoscale.cpu_bound: must be a number above 0, not 0",
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"min": 3, "max": 2}, "max: must be at least min, 3, not 2"),
        ({"min": 9}, "max: must be at least min, 9, not 8"),
        (
            {"grow_at": 0.2, "shrink_at": 0.2},
            "shrink_at: must be below grow_at, 0.2, not 0.2",
        ),
    ],
)
def test_bounds_and_marks_stand_in_order(options: dict[str, Any], problem: str) -> None:
    """Fewest before most, and the lower mark below the upper one."""
    with pytest.raises(SpecError) as caught:
        Autoscale(**options)
    assert caught.value.problems == (f"autoscale.{problem}",)
