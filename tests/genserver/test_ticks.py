"""Marks of timers that are taken while something else happens: orders that are forced."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from tests.genserver.scenes import Scene
from tests.helpers import Gate, Recorder
from tests.runtime.lives import GatedHand
from threadsup import Abandoned, GenServer, Normal, Shutdown, Worker, receive
from threadsup._runtime.mailbox import Token
from threadsup._runtime.ticking import timed
from threadsup._runtime.timers import NOTHING
from threadsup._runtime.worker import HandlerBehaviour, TaskBehaviour, WorkerBehaviour

if TYPE_CHECKING:
    from threadsup._runtime.actor import Life

KINDS = ["task", "handler", "worker"]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


@pytest.fixture
def seen() -> Recorder[Any]:
    return Recorder()


def begin(scene: Scene, kind: str, seen: Recorder[Any], hand: list[Any] | None = None) -> Life:
    """Begin the next life of a worker that records what it gets."""
    life = scene.make(kind, hand)

    def task() -> None:
        while True:
            seen(receive())

    class Seeing(Worker):
        def on_receive(self, message: Any) -> None:
            seen(message)

    if kind == "task":
        return scene.launch(life, TaskBehaviour(life, task, (), {}))
    if kind == "handler":
        return scene.launch(life, HandlerBehaviour(life, seen, (), {}, reply_errors=False))
    return scene.launch(life, WorkerBehaviour(life, Seeing, (), {}, reply_errors=False))


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_asked_to_stop_when_it_has_taken_a_mark_only_stops(
    scene: Scene, seen: Recorder[Any], kind: str
) -> None:
    """The message is in hand and was not begun: it goes nowhere, and to no next life."""
    hand = GatedHand(at="after append")
    life = begin(scene, kind, seen, hand)
    hand.life = life
    life.context.send_after(1.0, "tick")
    scene.loop.wait(1.0)
    hand.gate.wait_reached()
    life.ask_to_stop(Shutdown("told to"), inf)
    hand.gate.open()
    assert scene.end(life).reason == Shutdown("told to")
    scene.stop(begin(scene, kind, seen))
    assert seen.items == []
    assert scene.counts() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_given_up_on_when_it_has_taken_a_mark_has_failed_it(
    scene: Scene, seen: Recorder[Any], kind: str
) -> None:
    """The fence finds the message in the hand and settles it, once."""
    hand = GatedHand(at="after append")
    life = begin(scene, kind, seen, hand)
    hand.life = life
    life.context.send_after(1.0, "tick")
    scene.loop.wait(1.0)
    hand.gate.wait_reached()
    life.fence(Abandoned(1.0, "message"))
    hand.gate.open()
    scene.end(life)
    assert seen.items == []
    assert scene.counts() == {"failed": 1}


def test_a_tick_given_up_on_before_it_is_counted_has_failed(
    scene: Scene, seen: Recorder[Any]
) -> None:
    """It was handled, and the fence was faster than the count: one outcome."""
    hand = GatedHand(at="before pop")
    life = begin(scene, "worker", seen, hand)
    hand.life = life
    life.context.send_after(1.0, "tick")
    scene.loop.wait(1.0)
    hand.gate.wait_reached()
    life.fence(Abandoned(1.0, "message"))
    hand.gate.open()
    scene.end(life)
    assert seen.items == ["tick"]
    assert scene.counts() == {"failed": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_the_mark_of_an_earlier_life_means_nothing_to_the_next(
    scene: Scene, seen: Recorder[Any], kind: str
) -> None:
    """It was queued when that life ended; the messages beside it are handled."""
    hand = GatedHand(at="after append")
    life = begin(scene, kind, seen, hand)
    hand.life = life
    scene.mailbox.put("held")
    hand.gate.wait_reached()
    timers = [life.context.send_after(1.0, "tick"), life.context.every(1.0, "tick")]
    scene.loop.wait(1.0)
    life.ask_to_stop(Shutdown("told to"), inf)
    hand.gate.open()
    scene.end(life)
    assert not any(timer.cancel() for timer in timers)
    scene.mailbox.put("told")
    life = begin(scene, kind, seen)
    assert seen.wait_for(2) == ["held", "told"]
    assert scene.stop(life, drain=True) == Shutdown()
    assert seen.items == ["held", "told"]
    assert scene.counts() == {"handled": 2}


def test_a_timer_set_while_its_life_ends_is_ended_too(scene: Scene) -> None:
    """The first of a life, in the moment of its end: whoever comes second sees the other."""
    life = scene.make("worker")
    life.context.end(Shutdown(), lambda future, error: None)
    timer = life.context.send_after(0, "message")
    assert not timer.active
    scene.loop.wait(1)
    assert scene.mailbox.qsize() == 0


def test_a_server_given_up_on_does_not_go_on_with_what_it_put_off(
    scene: Scene, seen: Recorder[Any]
) -> None:
    """It hangs in the first; the second is the next life's to do, if anybody's."""
    gate = Gate("handle_continue")

    class Putting(GenServer):
        def init(self) -> None:
            self.continue_with("first")
            self.continue_with("second")

        def handle_continue(self, term: Any) -> None:
            seen(term)
            gate.meet()

    life = scene.server(Putting)
    gate.wait_reached()
    life.fence(Abandoned(1.0, "message"))
    gate.open()
    scene.end(life)
    assert seen.items == ["first"]


def test_a_worker_that_is_to_stop_ends_for_the_reason_it_was_given(scene: Scene) -> None:
    """It stops itself as well, for another one, which comes too late."""
    gate = Gate("the worker")

    class Leaving(Worker):
        def on_receive(self, message: Any) -> None:
            gate.meet()
            self.stop(Normal())

    life = scene.worker(Leaving)
    scene.mailbox.put("message")
    gate.wait_reached()
    life.ask_to_stop(Shutdown("told to"), inf)
    gate.open()
    assert scene.end(life).reason == Shutdown("told to")


def test_a_token_that_is_no_mark_is_no_message() -> None:
    """Whatever is to be called when it arrives."""
    for token in (Token(), Token(arrived=lambda: None)):
        assert timed(token) is NOTHING
