"""A host without threads: it does what a scope says to children that only pretend.

Owns a manual clock, timers, and children that come up, fail, crash, hang and obey as
they are told, at once where nothing else is said. It keeps a log in short words, and
it holds the scope to its side of the contract after every step, whatever the test is
about. It must not know which decision is right: that is what the tests say.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, get_args

from threadsup._exits import Crashed, Shutdown
from threadsup._policy.backoff import Backoff
from threadsup._policy.protocol import (
    Answer,
    ChildDown,
    ChildRules,
    ChildUp,
    Deadline,
    Decided,
    Draining,
    Exited,
    Fate,
    Fence,
    Forgotten,
    GiveUp,
    Interrupt,
    Over,
    Overdue,
    Request,
    Restarting,
    ScopeRules,
    SetTimer,
    Signal,
    Start,
    Started,
    StartFailed,
    Tell,
    Up,
)
from threadsup._policy.scope import new_scope, step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threadsup._exits import ChildId, ExitReason
    from threadsup._policy.book import Child, Scope
    from threadsup._policy.protocol import Action, Event, Notice, Outcome, Verb
    from threadsup._policy.restart import NoRestart, RestartRule, Strategy

__all__ = [
    "ASKED",
    "BOOM",
    "ERRANDS",
    "PAUSED",
    "SETS",
    "STRATEGIES",
    "FakeHost",
    "Script",
    "at",
    "chain_of",
    "child",
    "in_pause",
    "order",
    "replicas",
    "rules",
]

ASKED = Shutdown()
BOOM = Crashed("ValueError: boom")

PAUSED = Backoff(1.0, 1.0, 1.0, 0.0)
"""A second before each restart but the first."""

STRATEGIES: tuple[Strategy, ...] = (
    "one_for_one",
    "one_for_all",
    "rest_for_one",
    "before_for_one",
)
SETS: tuple[Strategy, ...] = STRATEGIES[1:3]
"""Those in which who is behind goes with who is in front."""
ERRANDS: tuple[Verb, ...] = ("stop_child", "restart_child", "remove_child")

_FINAL = get_args(Fate)


def rules(strategy: str = "one_for_one", **changes: Any) -> ScopeRules:
    """Return the rules of a scope without pauses that bears three restarts in 5 s."""
    given = {"max_restarts": 3, "max_seconds": 5.0, "backoff": Backoff.none(), **changes}
    return ScopeRules(strategy=strategy, **given)  # type: ignore[arg-type]


def child(restart: RestartRule = "permanent", **changes: Any) -> ChildRules:
    """Return the rules of a child."""
    return ChildRules(restart=restart, **changes)


@dataclass
class Script:
    """How a child behaves that nobody tells otherwise."""

    fails: float = 0
    """How many of its next starts fail."""
    slow: bool = False
    """Whether it takes until `come_up` or `end` to start."""
    deaf: bool = False
    """Whether it takes until `end` to stop."""
    ends_with: ExitReason = ASKED
    """The reason it ends with when it is asked to."""


@dataclass
class FakeHost:
    """Feeds a scope, does what it says, and remembers all of it."""

    scope: Scope
    now: float = 0.0
    log: list[str] = field(default_factory=list)
    """What happened in short words: `start a1`, `stop a1`, `fence a1`, `up`, `over`."""
    notices: list[Notice] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    answers: dict[object, Outcome] = field(default_factory=dict)
    running: dict[ChildId, int] = field(default_factory=dict)
    """The incarnation of each child that runs and was not given up."""
    scripts: dict[ChildId, Script] = field(default_factory=dict)
    over: Over | None = None

    _queue: deque[Event] = field(default_factory=deque)
    _timers: dict[ChildId | None, tuple[float, int, int]] = field(default_factory=dict)
    _heap: list[tuple[float, int, ChildId | None]] = field(default_factory=list)
    _serials: count[int] = field(default_factory=count)
    _last: dict[ChildId, int] = field(default_factory=dict)
    _told: Counter[tuple[ChildId, int]] = field(default_factory=Counter)
    _fates: dict[ChildId, Fate] = field(default_factory=dict)

    @classmethod
    def of(cls, scope: ScopeRules, children: Mapping[Any, ChildRules]) -> FakeHost:
        """Return a host of a new scope."""
        return cls(new_scope(scope, children))

    @classmethod
    def up(cls, scope: ScopeRules, **children: ChildRules) -> FakeHost:
        """Return a host of a scope that has come up, with an empty log."""
        host = cls.of(scope, dict(children))
        host.start()
        assert host.phase == "up", host.log
        host.log.clear()
        host.notices.clear()
        return host

    # -- what a test does -----------------------------------------------------------

    def start(self, fate: Fate = "gone") -> None:
        """Have the scope started."""
        self.send(Request("start", fate=fate))

    def stop(self, verb: Verb = "stop", **options: Any) -> None:
        """Have the scope stopped."""
        self.send(Request(verb, **options))

    def ask(self, verb: Verb, key: ChildId | None, **options: Any) -> str:
        """Ask something of one child; return the token, for `answers`."""
        token = f"{verb} {key} {next(self._serials)}"
        self.send(Request(verb, key, token=token, **options))
        return token

    def script(self, key: ChildId, **how: Any) -> None:
        """Say how a child behaves from now on."""
        self.scripts[key] = Script(**how)

    def come_up(self, key: ChildId) -> None:
        """Have the present incarnation come up."""
        self.send(Started(key, self.running[key]))

    def end(self, *keys: ChildId, reason: ExitReason = BOOM, **more: Any) -> None:
        """Have the present incarnations end, or fail to start if they are starting.

        Several end in the same instant: before the scope hears of the first of them.
        """
        for key in keys:
            number = self.running.pop(key)
            if self.scope.children[key].condition == "starting":
                self._queue.append(StartFailed(key, number, reason))
            else:
                self._queue.append(Exited(key, number, reason, **more))
        self._work()

    def overdue(self, key: ChildId, reason: ExitReason) -> None:
        """Have the present incarnation sit on one message for too long."""
        self.send(Overdue(key, self.running[key], reason))

    def wait(self, seconds: float) -> None:
        """Let time pass and the timers in it be due, each at its moment."""
        end = self.now + seconds
        while (due := self._next_timer()) is not None and due[0] <= end:
            at, key = due
            self.now = max(self.now, at)
            _, number, _ = self._timers.pop(key)
            self.send(Deadline(key, number))
        self.now = end

    def send(self, event: Event) -> None:
        """Feed an event, and what the children answer to what follows from it."""
        self._queue.append(event)
        self._work()

    def _work(self) -> None:
        while self._queue:
            self.scope, actions = step(self.scope, self._queue.popleft(), self.now)
            for action in actions:
                self._do(action)

    # -- what a test looks at -------------------------------------------------------

    @property
    def phase(self) -> str:
        """How the scope stands."""
        return self.scope.phase

    def child(self, key: ChildId) -> Child:
        """Return what the scope knows of a child."""
        return self.scope.children[key]

    def conditions(self) -> str:
        """Return how all children stand, in declared order."""
        return " ".join(child.condition for child in self.scope.children.values())

    def take_log(self) -> str:
        """Return what was logged since the last time."""
        text = ", ".join(self.log)
        self.log.clear()
        return text

    def told(self, kind: type[Any]) -> list[Any]:
        """Return the notices of a kind."""
        return [notice for notice in self.notices if type(notice) is kind]

    def downs(self) -> list[tuple[ChildId, int, ExitReason, Fate, NoRestart | None]]:
        """Return the ends of incarnations that were told."""
        return [
            (down.key, down.incarnation, down.reason, down.fate, down.why)
            for down in self.told(ChildDown)
        ]

    def timers(self) -> dict[ChildId | None, float]:
        """Return when each timer is due that is set."""
        return {key: at for key, (at, _, _) in self._timers.items()}

    # -- what a scope has it do -----------------------------------------------------

    def _do(self, action: Action) -> None:
        match action:
            case Start():
                self._start(action)
            case Signal():
                self._signal(action)
            case Interrupt(key, number):
                assert self.running[key] == number
                self.log.append(f"interrupt {key}{number}")
            case Fence(key, number, _):
                assert self.running.pop(key) == number
                self.log.append(f"fence {key}{number}")
            case SetTimer(key, number, at):
                self._set_timer(key, number, at)
            case GiveUp(key, _):
                self.log.append(f"give up {key}")
            case Tell(notice):
                self.notices.append(notice)
                self._told_of(notice)

    def _start(self, action: Start) -> None:
        key, number = action.key, action.incarnation
        self.starts.append(action)
        assert key not in self.running, f"{key} runs twice"
        assert not self.scope.stopped, f"{key} was started after the stop"
        assert number > self._last.get(key, 0)
        self._last[key] = self.running[key] = number
        self._fates[key] = "restarts"
        self.log.append(f"start {key}{number}")
        script = self.scripts.get(key)
        if script is None:
            self._queue.append(Started(key, number))
        elif script.fails:
            script.fails -= 1
            del self.running[key]
            self._queue.append(StartFailed(key, number, BOOM))
        elif not script.slow:
            self._queue.append(Started(key, number))

    def _signal(self, signal: Signal) -> None:
        key, number = signal.key, signal.incarnation
        self.signals.append(signal)
        script = self.scripts.get(key) or Script()
        self.log.append(f"{'drain' if signal.drain else 'stop'} {key}{number}")
        if key not in self.running:
            # It has ended already: that event is in the queue.
            assert any(isinstance(e, Exited | StartFailed) and e.key == key for e in self._queue)
        elif not script.deaf:
            del self.running[key]
            self._queue.append(Exited(key, number, script.ends_with))

    def _set_timer(self, key: ChildId | None, number: int, at: float | None) -> None:
        self._timers.pop(key, None)
        if at is not None:
            assert at < inf
            serial = next(self._serials)
            self._timers[key] = (at, number, serial)
            heapq.heappush(self._heap, (at, serial, key))

    def _next_timer(self) -> tuple[float, ChildId | None] | None:
        while self._heap:
            at, serial, key = self._heap[0]
            if self._timers.get(key, (at, 0, None))[2] == serial:
                return at, key
            heapq.heappop(self._heap)
        return None

    def _told_of(self, notice: Notice) -> None:
        match notice:
            case Answer(token, outcome):
                assert token not in self.answers, f"{token} was answered twice"
                self.answers[token] = outcome
            case ChildUp(key, number):
                assert self._last[key] == number
            case ChildDown(key, number, _, fate, _):
                self._told[key, number] += 1
                assert self._told[key, number] == 1, f"the end of {key}{number} was told twice"
                assert self._last[key] == number
                self._fates[key] = fate
            case Decided(key, fate, _):
                assert key not in self.running
                assert _FINAL.index(fate) > _FINAL.index(self._fates.get(key, "restarts"))
                self._fates[key] = fate
            case Forgotten(key):
                assert key not in self.running
                self._fates.pop(key, None)
                # A new child of this name counts its incarnations anew.
                for number in range(1, self._last.pop(key, 0) + 1):
                    assert self._told.pop((key, number)) == 1
            case Restarting(key, _, delay):
                self.log.append(f"restart {key} in {delay:g}" if delay else f"restart {key}")
            case Draining(key):
                self.log.append(f"drain after {key}")
            case Up():
                self.log.append("up")
            case Over():
                self._over(notice)

    def _over(self, over: Over) -> None:
        self.over = over
        self.log.append("over")
        assert not self.running
        assert not self._timers, self._timers
        for key, number in self._last.items():
            assert all(self._told[key, n] == 1 for n in range(1, number + 1)), key
        for key, child in self.scope.children.items():
            assert child.fate == self._fates.get(key, "restarts")
            assert _FINAL.index(child.fate) >= _FINAL.index(self.scope.fate)
            assert not child.errands


def in_pause() -> FakeHost:
    """Return a host with a child `b` that is up and one `a` that waits for its restart."""
    host = FakeHost.up(rules(backoff=PAUSED), a=child(), b=child())
    host.end("a")
    host.end("a")
    assert host.conditions() == "restarting up"
    host.log.clear()
    host.notices.clear()
    return host


def at(place: str, restart: RestartRule = "transient", **changes: Any) -> ChildRules:
    """Return the rules of a replica: a significant child of this place."""
    return child(restart, significant=True, place=place, **changes)


def replicas(names: str, restart: RestartRule = "transient") -> dict[Any, ChildRules]:
    """Return replicas by name, "a0 a1 b0": the letter is the place."""
    return {name: at(name[0], restart) for name in names.split()}


def chain_of(
    names: str,
    strategy: Strategy = "one_for_one",
    *,
    restart: RestartRule = "transient",
    **more: Any,
) -> FakeHost:
    """Return a host of a chain of replicas that is up."""
    given = {"ends": "any", "drains": True, **more}
    return FakeHost.up(rules(strategy, **given), **replicas(names, restart))


def order(host: FakeHost) -> str:
    """Return the children of a scope in their order."""
    return " ".join(str(key) for key in host.scope.children)
