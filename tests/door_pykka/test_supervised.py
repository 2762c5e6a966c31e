"""A Pykka class under a supervisor, in the corners that concern its own ref and its ends.

What it has in common with an actor alone is tested together with that.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

import threadsup
from tests.helpers import PATIENCE, Gate, Recorder
from threadsup import CallingSelfError, Crashed, StartError, current

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeSupervisor
    from tests.door_pykka.conftest import Supervise


class Doing(pykka.ThreadingActor):
    """Calls what it is sent; notes its hooks."""

    def __init__(self, note: Callable[[Any], None] = lambda item: None) -> None:
        super().__init__()
        self.note = note
        self.made_in = threading.current_thread()
        self.first_ref = self.actor_ref
        note(("init", self.actor_ref))

    def on_start(self) -> None:
        self.note("on_start")

    def on_stop(self) -> None:
        self.note(("on_stop", self.actor_ref.is_alive()))

    def on_failure(self, *exc_info: Any) -> None:
        self.note(("on_failure", self.actor_ref.is_alive()))

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


def raising(error: BaseException) -> Callable[[Any], None]:
    def call(actor: Any) -> None:
        raise error

    return call


# -- its own ref ----------------------------------------------------------------------


@pytest.mark.parametrize("call", ["ask", "stop", "get"])
def test_to_wait_for_oneself_is_refused(supervise: Supervise, call: str) -> None:
    """At once, though the ref and its futures are Pykka's own."""

    def wait(actor: Any) -> Any:
        if call == "ask":
            return actor.actor_ref.ask("me")
        if call == "stop":
            return actor.actor_ref.stop(timeout=PATIENCE)
        return actor.actor_ref.ask("me", block=False).get()

    ref = supervise(Doing)
    with pytest.raises(CallingSelfError, match="its own answer"):
        ref.ask(wait)
    assert ref.ask("alive") == "alive"


def test_others_wait_for_what_it_asks_itself(supervise: Supervise) -> None:
    """An answer to itself is a future that may be passed on."""
    ref = supervise(Doing)
    future = ref.ask(lambda actor: actor.actor_ref.ask("me", block=False))
    assert isinstance(future, pykka.ThreadingFuture)
    assert future.get(timeout=PATIENCE) == "me"
    ref.ask(lambda actor: future.get())


def test_others_wait_for_its_end(supervise: Supervise) -> None:
    """`stop(block=False)` by itself gives a future of it."""
    ref = supervise(Doing, restart="transient")
    stopping = ref.ask(lambda actor: actor.actor_ref.stop(block=False))
    assert stopping.get(timeout=PATIENCE) is True


def test_a_ref_of_its_own_may_be_used_by_others(supervise: Supervise) -> None:
    """They tell, ask and stop through it as with any ref of Pykka's, while it lives."""
    ref = supervise(Doing)
    inner = ref.ask(lambda actor: actor.first_ref)
    assert inner.ask("asked", timeout=PATIENCE) == "asked"
    assert inner.proxy().made_in.get(timeout=PATIENCE) is not threading.current_thread()
    assert str(inner) == ref.ask(str)


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_it_is_dead_to_its_own_ref_in_the_last_hook(
    supervise: Supervise, notes: Recorder[Any], end: str
) -> None:
    """As in Pykka, where the hooks come after that."""
    ref = supervise(Doing, notes)
    if end == "stop":
        ref.stop()
        assert ("on_stop", False) in notes.items
    else:
        ref.tell(raising(ValueError("boom")))
        notes.wait_until(lambda items: ("on_failure", False) in items)


def test_a_ref_from_a_start_that_failed_is_dead(
    supervisor: MakeSupervisor, notes: Recorder[Any]
) -> None:
    """It would put messages into the mailbox of whoever comes next."""

    class Broken(Doing):
        def on_start(self) -> None:
            raise ValueError("no start")

    tree = supervisor(max_restarts=0).start()
    with pytest.raises(StartError):
        tree.add_worker(Broken, notes, id="broken")
    (_, inner) = notes.items[0]
    assert not inner.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        inner.tell("more")


# -- our class, supervised ------------------------------------------------------------


class Ours(threadsup.ThreadingActor):
    """Not started by itself here."""

    def __init__(self, number: int = 1) -> None:
        super().__init__()
        self.number = number

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message

    def twice(self) -> int:
        return self.number * 2


def test_our_class_is_supervised_as_pykkas(supervise: Supervise) -> None:
    """Built in the worker's own thread, restarted, and in no registry."""
    ref = supervise(Ours, 4)
    assert ref.proxy().twice().get(timeout=PATIENCE) == 8
    ref.tell(raising(ValueError("boom")))
    assert ref.ask(lambda actor: current().incarnation) == 2  # type: ignore[union-attr]
    assert pykka.ActorRegistry.get_all() == []


def test_our_class_stops_itself_under_a_supervisor(supervise: Supervise) -> None:
    """`stop()` is behind what is queued, and does not wait."""
    ref = supervise(Ours, restart="transient")
    ref.ask(lambda actor: actor.stop())
    ref.wait(PATIENCE)
    assert not ref.is_alive()


def test_our_class_does_not_wait_for_itself_under_a_supervisor(supervise: Supervise) -> None:
    """Its ref is Pykka's there, and its futures are ours."""
    ref = supervise(Ours)
    with pytest.raises(CallingSelfError):
        ref.ask(lambda actor: actor.actor_ref.ask("me", timeout=PATIENCE))


# -- groups ---------------------------------------------------------------------------


def test_members_of_a_group_are_reached_by_their_proxies(supervisor: MakeSupervisor) -> None:
    """Of each by its id; a crash of one under `one_for_all` gives all of them new parts."""
    tree = supervisor(max_restarts=10).start()
    members = [threadsup.worker_spec(Ours, number, id=str(number)) for number in (1, 2)]
    group = tree.add_group("g", members, strategy="one_for_all")
    first, second = group["1"].proxy(), group["2"].proxy()
    assert first.twice().get(timeout=PATIENCE) == 2
    assert second.twice().get(timeout=PATIENCE) == 4
    first.number = 10
    group.tell("2", raising(ValueError("boom")))
    assert group.ask("2", lambda actor: current().incarnation) == 2  # type: ignore[union-attr]
    assert first.twice().get(timeout=PATIENCE) == 2


# -- the three ends of a chain of failures --------------------------------------------


def test_pykkas_except_clauses_catch(supervise: Supervise) -> None:
    """`ActorDeadError` when it is dead or dies, `Timeout` when it takes too long."""
    ref = supervise(Doing)
    gate = Gate()
    ref.tell(lambda actor: gate.meet())
    with pytest.raises(pykka.Timeout):
        ref.ask("late", timeout=0)
    gate.open()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(raising(SystemExit(3)))
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("late")


def test_a_crash_tells_the_reason(supervise: Supervise) -> None:
    """What Pykka only logs, a monitor is told."""
    exits: Recorder[threadsup.Exit] = Recorder()
    ref = supervise(Doing)
    ref.monitor(exits)
    ref.tell(raising(KeyboardInterrupt()))
    (end,) = exits.wait_for(1)
    assert isinstance(end.reason, Crashed)
    assert "KeyboardInterrupt" in end.reason.error
