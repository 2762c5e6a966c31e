"""Servers without a supervisor, and a clock that stands still: the test is the supervisor.

Owns a loop that keeps timers by hand, and lives that have timers of it. It must not know
trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import ManualClock, Recorder
from tests.runtime.lives import Lives
from threadsup._runtime.genserver import GenServerBehaviour
from threadsup._runtime.mailbox import Token
from threadsup._runtime.ref import WorkerRef
from threadsup._runtime.timers import Due, Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from threadsup import GenServer
    from threadsup._runtime.actor import Life
    from threadsup._runtime.future import Future

__all__ = ["HandLoop", "Scene"]


class HandLoop:
    """The supervisor's thread as far as timers need it; the test is that thread."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.posted: list[tuple[Callable[[Any], None], Any]] = []
        self.heard: Recorder[object] = Recorder()
        self.timers: dict[Any, float] = {}
        self.wakeups = 0

    def post(self, call: Callable[[Any], None], argument: object) -> None:
        self.posted.append((call, argument))
        self.heard(call)

    def set_timer(self, owner: Any, key: None, number: int, at: float | None) -> None:
        del key, number
        self.timers.pop(owner, None)
        if at is not None:
            self.timers[owner] = at

    def turn(self) -> None:
        """Call what was posted."""
        while self.posted:
            self.wakeups += 1
            call, argument = self.posted.pop(0)
            call(argument)

    def wait(self, seconds: float) -> None:
        """Let time pass, and the timers be due in it, each at its time."""
        end = self.clock.now + seconds
        self.turn()
        while self.timers and min(self.timers.values()) <= end:
            owner = min(self.timers, key=lambda each: self.timers[each])
            self.fire(owner)
        self.clock.now = end

    def fire(self, owner: Any) -> None:
        """Have one be due, now if its time has passed."""
        self.clock.now = max(self.clock.now, self.timers.pop(owner))
        self.wakeups += 1
        owner.take(None)
        self.turn()


class _Target:
    """What a ref asks of a keeper, as far as these tests need it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.id, self.mailbox = "w", scene.mailbox
        self.target: Any = object
        self.ref = WorkerRef(self)  # type: ignore[arg-type]

    def make_timers(self) -> Timers:
        return self._scene.timers()


class Scene(Lives):
    """Lives of one server, one after another, and the loop that keeps their time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, start: float = 100.0) -> None:
        super().__init__()
        self.clock = ManualClock(start)
        for module in ("timers", "genserver"):
            monkeypatch.setattr(f"threadsup._runtime.{module}.monotonic", self.clock)
        self.loop = HandLoop(self.clock)
        self.keeper = _Target(self)

    def timers(self) -> Timers:
        put = self.mailbox.put_token
        return Timers(self.loop, lambda due: put(Token(arrived=due)))

    def marks(self) -> tuple[Timers, list[Due]]:
        """Return timers whose marks come into a list."""
        found: list[Due] = []
        return Timers(self.loop, found.append), found

    def make(self, kind: str = "worker", hand: list[Any] | None = None) -> Life:
        life = super().make(kind, hand)
        life.context._keeper = self.keeper  # type: ignore[assignment]
        return life

    def server(
        self, target: type[GenServer], *args: Any, hand: Any = None, reply_errors: bool = False
    ) -> Life:
        """Begin the next life as that of a server."""
        life = self.make(hand=hand)
        self.keeper.target = target
        behaviour = GenServerBehaviour(life, target, args, {}, reply_errors=reply_errors)
        return self.launch(life, behaviour)

    def settled(self) -> None:
        """Wait until the server has handled what is queued, by asking it."""
        future: Future[Any] = self.ask("settled?")
        future.exception(5)
