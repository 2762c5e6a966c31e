"""Messages that fail in the hands of one life: counted once, in whichever loop, fenced or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.lives import Lives
from threadsup import WorkerExited
from threadsup._exits import Abandoned, Shutdown
from threadsup._runtime.aside import Aside
from threadsup._runtime.failing import Failing, contained
from threadsup._runtime.marks import Failure
from threadsup._runtime.worker import HandlerBehaviour

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._runtime.actor import Life

FIRST = "first"


class WatchedList(list[Any]):
    """A hand that is no plain list: somebody might watch it."""


class NoServices:
    """Those of a tree in which no time passes."""

    def post(self, call: Any, argument: object) -> None:
        """Do nothing."""

    def set_timer(self, owner: Any, key: None, number: int, at: float | None) -> None:
        """Do nothing."""


class Scene(Lives):
    """Lives of a handler that holds its first message at a gate, and fails as it is told."""

    def __init__(self, hand: type[list[Any]] | None) -> None:
        super().__init__()
        self.aside = Aside(self.mailbox, NoServices())
        self.gate = Gate("the first message")
        self.tried: Recorder[Any] = Recorder()
        self.failures: dict[Any, int] = {}
        self._hand = hand

    def begin(self, pause: Callable[[Exception, int], float | None] | None) -> Life:
        """Begin the next life."""
        life = self.make(hand=None if self._hand is None else self._hand())
        failing = Failing(life, self.aside, pause)
        behaviour = HandlerBehaviour(life, self.handle, (), {}, reply_errors=False, failing=failing)
        return self.launch(life, behaviour)

    def handle(self, message: Any) -> Any:
        """Hold it, or fail, or return it."""
        self.tried(message)
        if message == FIRST:
            self.gate.meet()
        if self.failures.get(message, 0) > 0:
            self.failures[message] -= 1
            raise ValueError(message)
        return message


@pytest.fixture(params=[None, WatchedList], ids=["quick loop", "long loop"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def twice(error: Exception, tried: int) -> float | None:
    """Try once more, at once."""
    return 0.0 if tried < 2 else None


def test_what_is_no_exception_is_not_contained() -> None:
    """It ends the worker that it comes to."""

    def leave(message: Any) -> Any:
        raise message

    error = OSError("kept")
    result = contained(leave)(error)
    assert type(result) is Failure
    assert result.error is error
    with pytest.raises(SystemExit):
        contained(leave)(SystemExit(3))


def test_in_a_backlog_each_message_keeps_its_place(scene: Scene) -> None:
    """However often it fails, told or asked, taken alone or with others."""
    scene.failures = {1: 1, 2: 9, 4: 1, 5: 9}
    life = scene.begin(twice)
    scene.mailbox.put(FIRST)
    scene.gate.wait_reached()
    futures = [scene.ask(number) for number in range(3)]
    for number in range(3, 40):
        scene.mailbox.put(number)
    last = scene.ask("last")
    scene.gate.open()
    assert last.result(PATIENCE) == "last"
    assert scene.tried.items == [FIRST, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, *range(6, 40), "last"]
    assert [future.exception(PATIENCE) for future in futures[:2]] == [None, None]
    assert type(futures[2].exception(PATIENCE)) is ValueError
    scene.stop(life)
    assert scene.counts() == {"handled": 40, "failed": 2, "retried": 4}


def test_what_fails_when_its_life_was_given_up_on_is_not_tried_again(scene: Scene) -> None:
    """It has failed then already; what is behind it is the next life's."""
    scene.failures = {FIRST: 9}
    life = scene.begin(twice)
    first = scene.ask(FIRST)
    scene.gate.wait_reached()
    for number in range(3):
        scene.mailbox.put(number)
    life.fence(Abandoned(1.0, "message"))
    assert type(first.exception(PATIENCE)) is WorkerExited
    scene.gate.open()
    scene.end(life)
    after = scene.begin(twice)
    assert scene.ask("last").result(PATIENCE) == "last"
    scene.stop(after)
    assert scene.tried.items == [FIRST, 0, 1, 2, "last"]
    assert scene.counts() == {"handled": 4, "failed": 1}


def test_what_fails_as_its_life_is_asked_to_stop_is_kept_for_the_next(scene: Scene) -> None:
    """With the attempt that it has cost, at its place."""
    scene.failures = {FIRST: 1}
    life = scene.begin(twice)
    first = scene.ask(FIRST)
    scene.gate.wait_reached()
    scene.mailbox.put("behind it")
    life.ask_to_stop(Shutdown(), float("inf"))
    scene.gate.open()
    scene.end(life)
    assert scene.counts() == {"retried": 1, "pending": 2}
    scene.failures = {FIRST: 1}
    after = scene.begin(twice)
    assert type(first.exception(PATIENCE)) is ValueError
    assert scene.ask("last").result(PATIENCE) == "last"
    scene.stop(after)
    assert scene.tried.items == [FIRST, FIRST, "behind it", "last"]


def test_without_a_word_about_pauses_nothing_is_tried_again(scene: Scene) -> None:
    """It has failed, and the life goes on."""
    scene.gate.open()
    scene.failures = {1: 1}
    life = scene.begin(None)
    assert type(scene.ask(1).exception(PATIENCE)) is ValueError
    assert scene.ask(1).result(PATIENCE) == 1
    scene.stop(life)
    assert scene.counts() == {"handled": 1, "failed": 1}
