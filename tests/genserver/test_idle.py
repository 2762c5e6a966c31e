"""The time-out of an idle server: after so many seconds without a message, and once each."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest

from tests.genserver.scenes import Scene
from tests.helpers import Gate, Recorder
from tests.runtime.lives import GatedHand
from threadsup import Abandoned, Crashed, GenServer, Shutdown
from threadsup._runtime import ticking

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup._runtime.mailbox import Token


class Idler(GenServer):
    """Records what happens to it; what it is told it takes for its time-out."""

    def init(self, seen: Recorder[Any]) -> None:
        self.seen = seen
        self.timeout = 10

    def handle_info(self, message: Any) -> None:
        if callable(message):
            message()
            return
        self.seen(message)
        if message is None or type(message) is int:
            self.timeout = message

    def handle_call(self, request: Any) -> Any:
        return None

    def handle_timeout(self) -> None:
        self.seen("idle")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


@pytest.fixture
def seen() -> Recorder[Any]:
    return Recorder()


def test_a_server_hears_that_nothing_has_come(scene: Scene, seen: Recorder[Any]) -> None:
    """After its time-out, and after that again, as long as it is set."""
    life = scene.server(Idler, seen)
    scene.settled()
    scene.loop.wait(9.9)
    assert len(seen) == 0
    scene.loop.wait(0.2)
    seen.wait_for(1)
    scene.settled()
    scene.loop.wait(10)
    assert seen.wait_for(2) == ["idle", "idle"]
    scene.stop(life)


def test_a_message_begins_the_time_anew(scene: Scene, seen: Recorder[Any]) -> None:
    """Of any kind; the timer is looked at when it is due and not with every message."""
    life = scene.server(Idler, seen)
    scene.settled()
    for _ in range(3):
        scene.loop.wait(6)
        scene.mailbox.put("told")
        scene.settled()
    assert seen.items == ["told"] * 3
    assert scene.loop.wakeups <= 5
    scene.loop.wait(9.9)
    scene.settled()
    assert "idle" not in seen.items
    scene.loop.wait(10)
    seen.wait_until(lambda items: "idle" in items)
    scene.stop(life)


def test_what_was_sent_before_the_time_is_up_is_handled_first(
    scene: Scene, seen: Recorder[Any]
) -> None:
    """It stands before the mark in the mailbox: then the server was not idle."""
    gate = Gate("the server")
    life = scene.server(Idler, seen)
    scene.settled()
    scene.mailbox.put(gate.meet)
    gate.wait_reached()
    scene.mailbox.put("in time")
    scene.loop.wait(10)
    gate.open()
    scene.settled()
    assert seen.items == ["in time"]
    scene.loop.wait(10)
    assert seen.wait_for(2) == ["in time", "idle"]
    scene.stop(life)


def test_what_is_sent_when_the_time_is_up_is_handled_next(
    scene: Scene, seen: Recorder[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has taken the mark already: it was idle, and then it is not."""
    gate = Gate("the mark")
    timed = ticking.timed

    def held(mark: Token) -> Any:
        gate.meet()
        return timed(mark)

    monkeypatch.setattr("threadsup._runtime.genserver.timed", held)
    life = scene.server(Idler, seen)
    scene.loop.heard.wait_for(1)
    scene.loop.wait(10)
    gate.wait_reached()
    scene.mailbox.put("too late")
    gate.open()
    assert seen.wait_for(2) == ["idle", "too late"]
    scene.stop(life)


def test_a_shorter_time_counts_at_once(scene: Scene, seen: Recorder[Any]) -> None:
    """The timer that was set for longer is not waited for; that for none never comes."""
    life = scene.server(Idler, seen)
    scene.mailbox.put(2)
    scene.settled()
    scene.loop.wait(2)
    assert seen.wait_for(2) == [2, "idle"]
    scene.mailbox.put(None)
    scene.settled()
    scene.loop.wait(100)
    scene.settled()
    assert seen.items == [2, "idle", None]
    scene.mailbox.put(5)
    scene.settled()
    scene.loop.wait(5)
    assert seen.wait_for(5)[3:] == [5, "idle"]
    scene.stop(life)


def test_the_time_out_of_one_life_is_none_of_the_next(scene: Scene, seen: Recorder[Any]) -> None:
    """Its mark is queued when the life ends; the next one has a time-out of its own."""
    gate = Gate("the server")
    life = scene.server(Idler, seen)
    scene.settled()
    scene.mailbox.put(gate.meet)
    gate.wait_reached()
    scene.loop.wait(10)
    life.ask_to_stop(Shutdown(), inf)
    gate.open()
    scene.end(life)
    life = scene.server(Idler, seen)
    scene.settled()
    assert seen.items == []
    scene.loop.wait(10)
    assert seen.wait_for(1) == ["idle"]
    scene.stop(life)


def test_a_server_asked_to_stop_when_its_time_is_up_only_stops(
    scene: Scene, seen: Recorder[Any]
) -> None:
    """The stop was asked for before it began with the time-out: control goes first."""
    hand = GatedHand(at="after append")
    life = scene.server(Idler, seen, hand=hand)
    scene.loop.heard.wait_for(1)
    hand.life = life
    scene.loop.wait(10)
    hand.gate.wait_reached()
    life.ask_to_stop(Shutdown("told to"), inf)
    hand.gate.open()
    assert scene.end(life).reason == Shutdown("told to")
    assert seen.items == []
    assert scene.counts() == {}


def test_a_server_given_up_on_when_its_time_is_up_has_failed_it_once(
    scene: Scene, seen: Recorder[Any]
) -> None:
    """It hangs there: the fence settles what is in hand, as it would a message."""
    hand = GatedHand(at="after append")
    life = scene.server(Idler, seen, hand=hand)
    scene.loop.heard.wait_for(1)
    hand.life = life
    scene.loop.wait(10)
    hand.gate.wait_reached()
    life.fence(Abandoned(1.0, "message"))
    hand.gate.open()
    scene.end(life)
    assert seen.items == []
    assert scene.counts() == {"failed": 1}


def test_a_time_out_that_fails_is_a_crash(supervisor: MakeSupervisor) -> None:
    """And the server comes back; the dead letter says what it was."""

    class Impatient(GenServer):
        def init(self, times: list[float]) -> None:
            self.timeout = times.pop() if times else None

        def handle_timeout(self) -> None:
            raise ValueError("nothing to do")

    exits: Recorder[Any] = Recorder()
    with supervisor() as sup:
        ref = sup.add_worker(Impatient, [10.0])
        ref.monitor(exits)
        sup.restart_child(ref.id)
        other = sup.add_worker(Impatient, [0.01])
        other.monitor(exits)
        exits.wait_until(lambda items: any(type(e.reason) is Crashed for e in items))
        assert [repr(letter.message) for letter in sup.dead_letters()] == ["TIMEOUT"]


@pytest.mark.parametrize("seconds", [-1, nan, True, "1"])
def test_a_time_out_that_is_none_is_refused_at_once(seconds: Any) -> None:
    """Where it is set; the server keeps the one it had."""
    server = Idler()
    server.timeout = 5
    with pytest.raises(ValueError, match="timeout must be a number of seconds"):
        server.timeout = seconds
    assert server.timeout == 5


def test_a_time_out_is_set_in_init_and_not_by_the_class() -> None:
    """It would hide what checks it."""
    with pytest.raises(TypeError, match=r"Hasty.timeout must be set in init\(\)"):

        class Hasty(GenServer):
            timeout = 5.0
