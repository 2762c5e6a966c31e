"""What is asked of one child by hand, in whatever condition it is."""

from __future__ import annotations

import pytest

from tests.policy.fakes import (
    BOOM,
    ERRANDS,
    PAUSED,
    SETS,
    FakeHost,
    child,
    in_pause,
    rules,
)
from threadsup._exits import Normal, Shutdown
from threadsup._policy.protocol import (
    Answer,
    Decided,
    Forgotten,
    Over,
    Request,
    Signal,
    Start,
    Verb,
)
from threadsup._policy.restart import NoRestart, Strategy
from threadsup._policy.scope import step

# -- unknown, running -----------------------------------------------------------------


@pytest.mark.parametrize("verb", ERRANDS)
def test_an_unknown_child_is_told(verb: Verb) -> None:
    """Rows 37, 40, 41: of a child that is not there nothing can be asked."""
    host = FakeHost.up(rules(), a=child())
    assert host.answers[host.ask(verb, "b")] == "unknown"


def test_a_stopped_child_is_held() -> None:
    """Row 38: it ends with a shutdown, is kept, and its siblings go on."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child())
    token = host.ask("stop_child", "a")
    assert host.take_log() == "stop a1"
    assert host.answers[token] == "ok"
    assert host.signals == [Signal("a", 1, Shutdown(), "held", 5.0)]
    assert host.downs() == [("a", 1, Shutdown(), "held", NoRestart.STOPPED)]
    assert host.conditions() == "held up"


def test_a_restarted_child_is_stopped_and_started() -> None:
    """It costs no budget and starts nobody else, whatever the strategy."""
    host = FakeHost.up(rules("one_for_all", max_restarts=0), a=child(), b=child())
    token = host.ask("restart_child", "a")
    assert host.take_log() == "stop a1, start a2"
    assert host.answers[token] == "ok"
    assert host.downs() == [("a", 1, Shutdown(), "restarts", None)]


def test_a_removed_child_is_stopped_and_forgotten() -> None:
    """Row 41: it is gone, and its id is free."""
    host = FakeHost.up(rules(), a=child(), b=child())
    token = host.ask("remove_child", "a")
    assert host.take_log() == "stop a1"
    assert host.answers[token] == "ok"
    assert host.downs() == [("a", 1, Shutdown(), "gone", NoRestart.STOPPED)]
    assert host.told(Forgotten) == [Forgotten("a")]
    assert host.answers[host.ask("remove_child", "a")] == "unknown"
    assert host.answers[host.ask("add", "a", rules=child())] == "ok"


def test_an_errand_can_drain_first() -> None:
    """A stop that drains has no limit, until somebody asks for one that does not."""
    host = FakeHost.up(rules(), a=child())
    host.script("a", deaf=True)
    first = host.ask("stop_child", "a", drain=True)
    assert host.timers() == {}
    host.wait(100.0)
    second = host.ask("stop_child", "a", drain=True)
    assert host.take_log() == "drain a1"
    third = host.ask("stop_child", "a")
    assert host.take_log() == "stop a1"
    assert host.timers() == {"a": 105.0}
    host.ask("stop_child", "a")
    host.wait(5.0)
    assert host.take_log() == "fence a1"
    assert {host.answers[token] for token in (first, second, third)} == {"ok"}


def test_a_child_that_does_not_stop_by_hand_is_abandoned() -> None:
    """Its limit holds for an errand as well, and it is held all the same."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.script("a", deaf=True)
    token = host.ask("restart_child", "a")
    host.wait(5.0)
    assert host.take_log() == "stop a1, fence a1, start a2"
    assert host.answers[token] == "ok"


def test_nobody_waits_for_an_errand_without_a_token() -> None:
    """What is asked without a token is done and not answered."""
    host = FakeHost.up(rules(), a=child())
    host.send(Request("stop_child", "a"))
    assert host.conditions() == "held"
    assert host.told(Answer) == []


# -- starting -------------------------------------------------------------------------


def test_a_child_can_be_stopped_while_it_starts() -> None:
    """In the first start it is left out, and the scope comes up without it."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True)
    host.start()
    token = host.ask("stop_child", "a")
    assert host.take_log() == "start a1, stop a1, start b1, up"
    assert host.answers[token] == "ok"
    assert host.conditions() == "held up"


def test_a_child_can_be_stopped_before_it_starts() -> None:
    """Not yet started, it is passed over."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True)
    host.start()
    assert host.answers[host.ask("stop_child", "b")] == "ok"
    assert host.told(Decided) == [Decided("b", "held", NoRestart.STOPPED)]
    host.come_up("a")
    assert host.take_log() == "start a1, up"
    assert host.conditions() == "up held"


def test_a_child_that_is_restarted_by_hand_while_it_starts() -> None:
    """It is stopped and started, beside the start of the scope."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True, deaf=True)
    host.start()
    token = host.ask("restart_child", "a")
    assert host.take_log() == "start a1, stop a1, start b1, up"
    host.script("a")
    host.end("a")
    assert host.take_log() == "start a2"
    assert host.answers[token] == "ok"


def test_a_restart_by_hand_waits_for_its_place_in_the_first_start() -> None:
    """Who is to start anyway starts in its turn, and that answers it."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True)
    host.start()
    token = host.ask("restart_child", "b")
    assert host.take_log() == "start a1"
    host.come_up("a")
    assert host.take_log() == "start b1, up"
    assert host.answers[token] == "ok"


def test_a_restart_by_hand_does_not_spare_the_first_start_its_failure() -> None:
    """All or nothing holds although somebody has asked for the failing one."""
    host = FakeHost.of(rules(), {"a": child(), "b": child()})
    host.script("a", slow=True)
    host.script("b", fails=1)
    host.start()
    token = host.ask("restart_child", "b")
    after = host.ask("stop_child", "b")
    host.come_up("a")
    assert host.answers[token] == "start_failed"
    assert host.answers[after] == "ok"
    assert host.over == Over(BOOM, came_up=False, culprit="b")


# -- restarting -----------------------------------------------------------------------


def test_stopping_a_child_in_the_pause_calls_the_restart_off() -> None:
    """Row 92: it is held at once; a later restart by hand works."""
    host = in_pause()
    assert host.answers[host.ask("stop_child", "a")] == "ok"
    assert host.told(Decided) == [Decided("a", "held", NoRestart.STOPPED)]
    host.wait(5.0)
    assert host.take_log() == ""
    assert host.conditions() == "held up"
    assert host.answers[host.ask("restart_child", "a")] == "ok"
    assert host.take_log() == "start a3"


def test_restarting_a_child_in_the_pause_spares_it_the_pause() -> None:
    """By hand goes before by itself."""
    host = in_pause()
    assert host.answers[host.ask("restart_child", "a")] == "ok"
    assert host.take_log() == "start a3"
    host.wait(5.0)
    assert host.take_log() == ""


def test_restarting_one_in_the_pause_leaves_the_others_in_it() -> None:
    """Where children do not depend on each other nobody else is spared the pause."""
    host = in_pause()
    host.end("b")
    host.log.clear()
    assert host.answers[host.ask("restart_child", "b")] == "ok"
    assert host.take_log() == "start b2"
    assert host.conditions() == "restarting up"


def test_removing_a_child_in_the_pause() -> None:
    """Row 91: it is forgotten, not started any more."""
    host = in_pause()
    assert host.answers[host.ask("remove_child", "a")] == "ok"
    assert host.told(Decided) == [Decided("a", "gone", NoRestart.STOPPED)]
    host.wait(5.0)
    assert host.take_log() == ""
    assert list(host.scope.children) == ["b"]


def test_adding_a_child_whose_id_is_restarting() -> None:
    """Rows 35, 36, 91: its id is taken, whatever condition the child is in."""
    host = in_pause()
    assert host.answers[host.ask("add", "a", rules=child())] == "duplicate"
    host.ask("stop_child", "b")
    assert host.answers[host.ask("add", "b", rules=child())] == "duplicate"


@pytest.mark.parametrize("strategy", SETS)
def test_a_restart_by_hand_in_the_restart_of_a_set_keeps_the_order(strategy: Strategy) -> None:
    """Who comes back with its siblings anyway comes back with them, without the pause."""
    host = FakeHost.up(rules(strategy, backoff=PAUSED), a=child(), b=child(), c=child())
    host.end("a")
    host.log.clear()
    host.script("c", deaf=True)
    host.end("a")
    assert host.take_log() == "restart a in 1, stop c2"
    tokens = [host.ask("restart_child", key) for key in "abc"]
    assert host.take_log() == ""
    assert host.answers == {}
    assert None not in host.timers()
    host.end("c", reason=Shutdown())
    assert host.take_log() == "stop b2, start a3, start b3, start c3"
    assert [host.answers[token] for token in tokens] == ["ok", "ok", "ok"]
    assert [start.fate for start in host.starts[-3:]] == ["restarts"] * 3


def test_a_restart_by_hand_that_waits_for_its_set_may_fail_with_it() -> None:
    """The caller knows, the restart goes on by itself."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("b", fails=1)
    host.script("c", deaf=True)
    host.end("a")
    token = host.ask("restart_child", "b")
    host.end("c", reason=Shutdown())
    assert host.answers[token] == "start_failed"
    first = "restart a, stop c1, stop b1, start a2, start b2"
    assert host.take_log() == f"{first}, restart b, stop a2, start a3, start b3, start c2"


def test_a_stop_queued_behind_a_restart_that_failed() -> None:
    """The restart that goes on by itself is called off by who asked next."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child())
    host.script("b", fails=9)
    host.script("a", deaf=True)
    host.end("b")
    first = host.ask("restart_child", "b")
    second = host.ask("stop_child", "b")
    host.script("a")
    host.end("a", reason=Shutdown())
    assert (host.answers[first], host.answers[second]) == ("start_failed", "ok")
    assert host.conditions() == "up held"


def test_a_restart_queued_behind_one_that_gave_up() -> None:
    """The budget is spent: nobody is started any more, though the scope is to come back."""
    host = FakeHost.up(rules("one_for_all", max_restarts=1, escalate=True), a=child(), b=child())
    host.script("b", fails=9)
    host.script("a", deaf=True)
    host.end("b")
    tokens = [host.ask("restart_child", "b"), host.ask("restart_child", "b")]
    host.script("a")
    host.end("a", reason=Shutdown())
    assert [host.answers[token] for token in tokens] == ["start_failed", "not_running"]
    assert host.phase == "down"


def test_a_restart_by_hand_that_was_under_way_joins_the_restart_of_the_set() -> None:
    """A sibling's crash takes the starting child down; it comes back in its place."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("b", slow=True)
    token = host.ask("restart_child", "b")
    host.script("a", deaf=True)
    host.log.clear()
    host.end("c")
    assert host.take_log() == "restart c, stop b2, stop a1"
    host.script("b")
    host.end("a", reason=Shutdown())
    assert host.take_log() == "start a2, start b3, start c2"
    assert host.answers[token] == "ok"


def test_a_stop_in_the_restart_of_a_set_takes_the_child_out() -> None:
    """Row 92: it goes down like the others and stays down."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("a")
    first = host.ask("stop_child", "c")
    second = host.ask("stop_child", "b")
    assert host.take_log() == "restart a, stop c1, stop b1"
    host.end("c", reason=Shutdown())
    assert host.take_log() == "start a2"
    assert (host.answers[first], host.answers[second]) == ("ok", "ok")
    assert host.conditions() == "up held held"


def test_a_restart_takes_along_who_is_just_being_stopped() -> None:
    """As one that was held before: a crash of its sibling brings it back."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child())
    host.script("b", deaf=True)
    token = host.ask("stop_child", "b")
    host.end("a")
    host.script("b")
    host.end("b", reason=Shutdown())
    assert host.answers[token] == "ok"
    assert host.conditions() == "up up"


def test_one_that_was_stopped_and_started_in_the_restart_of_a_set() -> None:
    """It ended before it was its turn, and starts by hand: it is not asked to stop any more."""
    host = FakeHost.up(rules("one_for_all"), **{key: child() for key in "abcd"})
    host.script("d", deaf=True)
    host.end("a")
    host.end("b")
    tokens = [host.ask("stop_child", "b"), host.ask("restart_child", "b")]
    assert [host.answers[token] for token in tokens] == ["ok", "ok"]
    host.end("d", reason=Shutdown())
    assert host.take_log() == "restart a, stop d1, start b2, stop c1, start a2, start c2, start d2"
    assert host.conditions() == "up up up up"


def test_a_child_that_leaves_in_the_restart_of_a_set() -> None:
    """Removed in the middle of it, it goes down and the others come back without it."""
    host = FakeHost.up(rules("one_for_all"), a=child(), b=child(), c=child())
    host.script("c", deaf=True)
    host.end("a")
    token = host.ask("remove_child", "b")
    assert host.answers[token] == "ok"
    host.end("c", reason=Shutdown())
    assert host.take_log() == "restart a, stop c1, stop b1, start a2, start c2"


# -- down -----------------------------------------------------------------------------


def test_stopping_twice_is_fine() -> None:
    """Row 39: the second time there is nothing to do, and nothing to tell."""
    host = FakeHost.up(rules(), a=child())
    host.ask("stop_child", "a")
    host.notices.clear()
    token = host.ask("stop_child", "a")
    assert host.notices == [Answer(token, "ok")]


def test_stopping_one_that_has_ended_changes_nothing() -> None:
    """What is gone is not held."""
    host = FakeHost.up(rules(), a=child("transient"))
    host.end("a", reason=Normal())
    host.notices.clear()
    token = host.ask("stop_child", "a")
    assert host.notices == [Answer(token, "ok")]
    assert host.conditions() == "ended"


def test_stopping_a_scope_that_failed_leaves_it_marked() -> None:
    """A child that gave up is still the one that failed."""
    host = FakeHost.up(rules(), a=child("never"))
    host.end("a", gave_up=True)
    assert host.answers[host.ask("stop_child", "a")] == "ok"
    assert host.conditions() == "failed"
    assert host.answers[host.ask("restart_child", "a")] == "ok"
    assert host.conditions() == "up"


@pytest.mark.parametrize("how", ["held", "ended"])
def test_a_child_that_is_down_can_be_removed(how: str) -> None:
    """Row 41: then nothing is known of it."""
    host = FakeHost.up(rules(), a=child("transient"))
    if how == "held":
        host.ask("stop_child", "a")
    else:
        host.end("a", reason=Normal())
    assert host.answers[host.ask("remove_child", "a")] == "ok"
    assert host.told(Forgotten) == [Forgotten("a")]
    told = [Decided("a", "gone", NoRestart.STOPPED)]
    assert host.told(Decided) == (told if how == "held" else [])


def test_a_restart_by_hand_that_fails_leaves_the_child_held() -> None:
    """Row 11: the caller gets the error, the child is kept and stays stopped."""
    host = FakeHost.up(rules(max_restarts=0), a=child(), b=child())
    host.script("a", fails=1)
    token = host.ask("restart_child", "a")
    assert host.take_log() == "stop a1, start a2"
    assert host.answers[token] == "start_failed"
    assert host.downs()[-1] == ("a", 2, BOOM, "held", NoRestart.START_FAILED)
    assert host.conditions() == "held up"


def test_a_start_by_hand_says_what_becomes_of_the_child() -> None:
    """A child that is a scope knows what to tell its own if it does not come up."""
    host = FakeHost.up(rules(), a=child(), b=child())
    host.ask("stop_child", "a")
    _, actions = step(host.scope, Request("restart_child", "a"), 0.0)
    assert [a.fate for a in actions if isinstance(a, Start)] == ["held"]
    _, actions = step(host.scope, Request("add", "c", rules=child()), 0.0)
    assert [a.fate for a in actions if isinstance(a, Start)] == ["gone"]


# -- temporary children ---------------------------------------------------------------


@pytest.mark.parametrize("verb", ["stop_child", "remove_child"])
def test_a_temporary_child_is_gone_when_it_is_stopped(verb: Verb) -> None:
    """Stopped by hand it is forgotten at once, in the middle of a restart too."""
    host = FakeHost.up(rules("one_for_all"), a=child(), t=child("temporary"))
    host.script("t", deaf=True)
    token = host.ask(verb, "t")
    assert host.signals[-1].fate == "gone"
    host.end("a")
    host.end("t", reason=Shutdown())
    assert host.answers[token] == "ok"
    assert host.told(Forgotten) == [Forgotten("t")]
    assert host.take_log() == "stop t1, restart a, start a2"


def test_a_temporary_child_can_be_restarted_by_hand() -> None:
    """By hand it is stopped and started; a start that fails is its end."""
    host = FakeHost.up(rules(), t=child("temporary"))
    assert host.answers[host.ask("restart_child", "t")] == "ok"
    assert host.take_log() == "stop t1, start t2"
    assert host.signals[-1].fate == "restarts"
    host.script("t", fails=1)
    assert host.answers[host.ask("restart_child", "t")] == "start_failed"
    assert host.told(Forgotten) == [Forgotten("t")]
