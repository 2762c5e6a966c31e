"""How a scope goes down: in which order, and racing with what."""

from __future__ import annotations

import pytest

from tests.policy.fakes import (
    BOOM,
    PAUSED,
    FakeHost,
    child,
    rules,
)
from threadsup._exits import ChildId, ExitReason, Normal, Shutdown
from threadsup._policy.protocol import (
    ChildRules,
    Deadline,
    Decided,
    Forgotten,
    Over,
)
from threadsup._policy.restart import NoRestart, RestartRule
from threadsup._policy.scope import step

# -- order ----------------------------------------------------------------------------


def test_a_stop_is_in_reverse_order_one_at_a_time() -> None:
    """Row 32: the last declared goes first, the next is asked when it is down."""
    host = FakeHost.up(rules(), b=child(), a=child(), c=child())
    for key in "abc":
        host.script(key, deaf=True)
    host.stop()
    for key in "cab":
        assert host.take_log() == f"stop {key}1"
        host.end(key, reason=Shutdown())
    assert host.take_log() == "over"
    assert host.over == Over(Shutdown(), came_up=True)


def test_equals_are_asked_together() -> None:
    """Members of a group are asked at once, last declared first."""
    host = FakeHost.up(rules(stop="together"), a=child(), b=child())
    for key in "ab":
        host.script(key, deaf=True)
    host.stop()
    assert host.take_log() == "stop b1, stop a1"
    host.end("b", reason=Shutdown())
    host.end("a", reason=Shutdown())
    assert host.take_log() == "over"


def test_an_empty_scope_comes_up_and_goes_down() -> None:
    """Row 1: without children it is up at once and down at once."""
    host = FakeHost.of(rules(), {})
    host.start()
    host.stop()
    assert host.take_log() == "up, over"


def test_a_scope_that_never_started_can_be_stopped() -> None:
    """Its children are told that nothing becomes of them."""
    host = FakeHost.of(rules(), {"a": child(), "b": child("temporary")})
    host.stop(reason=Normal(), fate="held")
    assert host.over == Over(Normal(), came_up=False)
    assert host.told(Decided) == [
        Decided("a", "held", NoRestart.SCOPE_STOPPING),
        Decided("b", "gone", NoRestart.SCOPE_STOPPING),
    ]
    assert host.told(Forgotten) == [Forgotten("b")]


REASONS: tuple[ExitReason, ...] = (Normal(), Shutdown(), Shutdown("x"), BOOM)
RESTARTS: tuple[RestartRule, ...] = ("permanent", "transient", "temporary")


def test_children_that_end_by_themselves_while_the_scope_stops() -> None:
    """Rows 28, 29: every reason is preserved and told once, nobody is restarted."""
    kinds = [(restart, reason) for restart in RESTARTS for reason in REASONS]
    first, last = "first", "last"
    children: dict[ChildId, ChildRules] = {first: child()}
    children.update((i, child(restart)) for i, (restart, _) in enumerate(kinds))
    host = FakeHost.of(rules(max_restarts=0), {**children, last: child()})
    host.start()
    host.log.clear()
    host.script(last, deaf=True)
    host.stop()
    for i, (_, reason) in enumerate(kinds):
        host.end(i, reason=reason)
    assert host.take_log() == "stop last1"
    host.end(last, reason=Shutdown())
    assert host.take_log() == "stop first1, over"
    assert host.over == Over(Shutdown(), came_up=True)
    assert [(key, reason) for key, _, reason, _, _ in host.downs()] == [
        *((i, reason) for i, (_, reason) in enumerate(kinds)),
        (last, Shutdown()),
        (first, Shutdown()),
    ]
    assert {why for *_, why in host.downs()} == {NoRestart.SCOPE_STOPPING}
    assert list(host.scope.children) == [first, *range(8), last]  # temporary ones are forgotten


@pytest.mark.parametrize("ending", [Normal(), BOOM, Shutdown("x")], ids=str)
def test_the_reason_of_one_that_was_asked_is_its_own(ending: ExitReason) -> None:
    """Row 28: who was asked and ends in its own way is told as it ended."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", ends_with=ending)
    host.stop()
    assert host.downs() == [("a", 1, ending, "gone", NoRestart.SCOPE_STOPPING)]


def test_the_asked_reason_is_that_of_the_stop() -> None:
    """A stop with a reason hands it on, one that gave up asks for a plain shutdown."""
    host = FakeHost.up(rules(), a=child())
    host.stop(reason=Shutdown("maintenance"))
    assert host.signals[-1].reason == Shutdown("maintenance")
    host = FakeHost.up(rules(max_restarts=0), a=child(), b=child())
    host.end("a")
    assert host.signals[-1].reason == Shutdown()


def test_what_becomes_of_the_children_is_told_with_the_stop() -> None:
    """A scope that is held holds its children; the temporary ones are gone all the same."""
    host = FakeHost.up(rules(), a=child(), b=child("transient"), t=child("temporary"))
    host.end("b", reason=Normal())
    host.stop(fate="held")
    assert [(s.key, s.fate) for s in host.signals] == [("t", "gone"), ("a", "held")]
    assert host.conditions() == "held ended"
    host.start()
    assert host.conditions() == "up up"


def test_a_stopped_scope_takes_no_events() -> None:
    """What still comes in after the end changes nothing."""
    host = FakeHost.up(rules(), a=child())
    host.stop()
    assert step(host.scope, Deadline("a", 1), 99.0) == (host.scope, [])
    assert step(host.scope, Deadline(None, host.scope.timer), 99.0) == (host.scope, [])


# -- racing with starts and restarts --------------------------------------------------


def test_a_stop_in_the_first_start_rolls_back() -> None:
    """Who is up and who is starting goes down in reverse; the rest never starts."""
    host = FakeHost.of(rules(), {key: child() for key in "abc"})
    host.script("b", slow=True, deaf=True)
    host.start()
    host.stop()
    assert host.take_log() == "start a1, start b1, stop b1"
    host.come_up("b")  # it came up before it saw the signal
    host.end("b", reason=Shutdown())
    assert host.take_log() == "stop a1, over"
    assert host.over == Over(Shutdown(), came_up=False)
    assert host.conditions() == "ended ended ended"


@pytest.mark.parametrize("reason", [BOOM, Shutdown()], ids=str)
def test_a_start_that_fails_while_the_scope_stops_is_no_culprit(reason: ExitReason) -> None:
    """Not yet asked and failing to start, it is down like the others."""
    host = FakeHost.of(rules(), {key: child() for key in "ab"})
    host.script("b", slow=True)
    host.start()
    host.ask("add", "c", rules=child())
    host.come_up("b")
    host.script("c", deaf=True)
    host.stop()
    host.end("c", reason=reason)
    assert host.over == Over(Shutdown(), came_up=True)


def test_a_stop_in_the_pause_is_served_at_once() -> None:
    """Row 93: stopping during the restart loop does not wait for the pause."""
    host = FakeHost.up(rules(backoff=PAUSED), a=child(), b=child())
    host.end("a")
    host.end("a")
    assert host.take_log() == "restart a, start a2, restart a in 1"
    host.stop()
    assert host.take_log() == "stop b1, over"
    assert host.told(Decided) == [Decided("a", "gone", NoRestart.SCOPE_STOPPING)]
    host.wait(9.0)
    assert host.take_log() == ""


def test_a_pause_is_over_with_the_stop() -> None:
    """Its timer rings for nobody any more, and the next start is a start."""
    host = FakeHost.up(rules(backoff=PAUSED), a=child(), b=child(shutdown=60.0), c=child())
    host.end("a")
    host.end("a")
    for key in "bc":
        host.script(key, deaf=True)
    host.log.clear()
    host.stop(fate="held")
    host.wait(2.0)
    assert host.take_log() == "stop c1"
    host.end(*"cb", reason=Shutdown())
    host.log.clear()
    host.start()
    assert host.take_log() == "start a3, start b2, start c2, up"


def test_one_that_had_ended_and_was_to_come_back_has_ended() -> None:
    """It was told that it is gone, and a stop in the pause leaves it so."""
    host = FakeHost.up(rules("one_for_all", backoff=PAUSED), a=child(), b=child("transient"))
    host.end("a")
    host.end("b", reason=Normal())
    host.end("a")
    assert host.conditions() == "restarting restarting"
    host.stop()
    assert host.conditions() == "ended ended"
    assert host.told(Decided) == [Decided("a", "gone", NoRestart.SCOPE_STOPPING)]


def test_a_stop_in_a_restart_starts_nothing() -> None:
    """Row 95: whoever was asked already is waited for, the rest is asked, nobody starts."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("b")
    assert host.take_log() == "restart b, stop c1"
    host.stop()
    assert host.take_log() == ""
    host.end("c", reason=Shutdown())
    assert host.take_log() == "stop a1, over"
    assert host.told(Decided) == [Decided("b", "gone", NoRestart.SCOPE_STOPPING)]


def test_a_stop_while_a_restarted_child_starts() -> None:
    """The one that is starting goes down first, wherever it stands."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("a", slow=True)
    host.end("a")
    host.stop()
    assert host.take_log() == "restart a, start a2, stop b1, stop a2, over"
