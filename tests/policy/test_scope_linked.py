"""An end that goes with another one: its restart is paid for, everything else is as ever."""

from __future__ import annotations

import pytest

from tests.policy.fakes import BOOM, STRATEGIES, FakeHost, child, in_pause, rules
from threadsup._exits import Shutdown
from threadsup._policy.protocol import Restarting
from threadsup._policy.restart import NoRestart, Strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_paid_for_costs_nothing(strategy: Strategy) -> None:
    """However many go with the first, whatever the strategy."""
    host = FakeHost.up(rules(strategy, max_restarts=1), a=child(), b=child(), c=child())
    host.end("a")
    for key in ("b", "c", "b"):
        host.end(key, paid=True)
    assert host.phase == "up"
    assert host.conditions() == "up up up"
    host.end("c")
    assert host.over is not None


def test_it_says_so_as_any_restart_does() -> None:
    """Without a pause of its own."""
    host = FakeHost.up(rules(), a=child())
    host.end("a", paid=True)
    assert host.told(Restarting) == [Restarting("a", BOOM, 0.0)]
    assert host.timers() == {}


def test_it_waits_for_the_pause_of_the_other() -> None:
    """The two come up together."""
    host = in_pause()
    host.end("b", paid=True)
    assert host.conditions() == "restarting restarting"
    host.wait(60.0)
    assert host.conditions() == "up up"


@pytest.mark.parametrize(
    ("restart", "why"),
    [("transient", NoRestart.CLEAN_END), ("temporary", NoRestart.TEMPORARY)],
)
def test_who_is_not_restarted_is_not_restarted(restart: str, why: NoRestart) -> None:
    """What decides is the child's own type, and the reason it was given."""
    host = FakeHost.up(rules(), a=child(), b=child(restart))  # type: ignore[arg-type]
    host.end("b", reason=Shutdown(), paid=True)
    assert host.downs()[-1] == ("b", 1, Shutdown(), "gone", why)


def test_in_a_scope_that_goes_down_it_changes_nothing() -> None:
    """Nobody is started any more."""
    host = FakeHost.up(rules(max_restarts=0), a=child(), b=child())
    host.script("b", deaf=True)
    host.end("a")
    host.end("b", paid=True)
    assert host.over is not None
