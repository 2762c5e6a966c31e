"""One scope at run time: its machine, its children, its timers.

Owns `Driver`, which feeds events to the machine of `_policy` and carries out what
comes back, and `WorkerScope`, the driver whose children are workers. It must not
decide anything: every "whether" and "in which order" is the machine's.

All of it runs in the supervisor's thread, but `request` and what is read of
`cells`, a table that is replaced and never changed.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from threadsup import events
from threadsup._errors import (
    DuplicateChildError,
    NotRunningError,
    StartError,
    ThreadsupError,
    UnknownChildError,
)
from threadsup._exits import Abandoned
from threadsup._policy.ledger import Ledger
from threadsup._policy.protocol import (
    Answer,
    ChildDown,
    ChildRules,
    ChildUp,
    Decided,
    Draining,
    Fence,
    Forgotten,
    GiveUp,
    Interrupt,
    Over,
    Request,
    Restarting,
    ScopeRules,
    SetTimer,
    Signal,
    Start,
    Tell,
    Up,
)
from threadsup._policy.restart import NoRestart
from threadsup._policy.scope import new_scope, step
from threadsup._runtime.clock import monotonic
from threadsup._runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadsup._cell import Cell, Services
    from threadsup._exits import ChildId, ExitReason
    from threadsup._policy.protocol import Action, Event, Notice, Outcome, Verb
    from threadsup._snapshot import Abandonment
    from threadsup._specs import Budget, StageSpec, WorkerSpec

__all__ = ["Driver", "Parent", "WorkerScope", "rules_of_scope", "rules_of_worker"]

chance = random.Random().random
"""The dice of the pauses; nobody's but this library's."""


class Driver(ABC):
    """Feeds a machine and does what it says; waits for none of it."""

    def __init__(self, id: ChildId, rules: ScopeRules, services: Services) -> None:
        self.id = id
        self.services = services
        self.state = new_scope(rules, {})

    def take(self, event: Event) -> None:
        """Step, and carry out the actions in order, the answers last.

        Whoever hears one is to find everything as it says: who was removed is gone.
        """
        self.state, actions = step(self.state, event, monotonic())
        answers: list[Answer] = []
        for action in actions:
            if type(action) is not Tell:
                self._do(action)
            elif type(action.notice) is Answer:
                answers.append(action.notice)
            else:
                self.told(action.notice)
        for answer in answers:
            self.answer(answer.token, answer.outcome)

    def _do(self, action: Action) -> None:
        match action:
            case SetTimer(key, number, at):
                self.services.set_timer(self, key, number, at)
            case Start():
                self.start(action)
            case Signal():
                self.signal(action)
            case Interrupt(key, _):
                self.interrupt(key)
            case Fence():
                self.fence(action)
            case GiveUp():
                self.gave_up(action)

    @abstractmethod
    def start(self, start: Start) -> None:
        """Begin an incarnation of a child."""

    @abstractmethod
    def signal(self, signal: Signal) -> None:
        """Ask a child to stop."""

    @abstractmethod
    def interrupt(self, key: ChildId) -> None:
        """Interrupt a child."""

    @abstractmethod
    def fence(self, fence: Fence) -> None:
        """Give a child up."""

    @abstractmethod
    def gave_up(self, what: GiveUp) -> None:
        """Say that the budget is spent."""

    @abstractmethod
    def told(self, notice: Notice) -> None:
        """Pass a notice on."""

    @abstractmethod
    def start_error(self, key: ChildId) -> StartError:
        """Return why a child did not start."""

    def answer(self, token: Any, outcome: Outcome) -> None:
        """Settle the future of whoever asked for something by hand.

        Who asked for a stop through a ref wants to know whether it `was_up`; then one
        that is gone meanwhile is no error.
        """
        key, future, was_up = token
        if outcome == "ok":
            self.services.settle(future, value=was_up)
        elif outcome == "unknown" and was_up is not None:
            self.services.settle(future, value=False)
        else:
            self.services.settle(future, error=self._error(key, outcome))

    def _error(self, key: ChildId, outcome: Outcome) -> ThreadsupError:
        match outcome:
            case "duplicate":
                return DuplicateChildError(f"{self.id!r} has a child {key!r} already")
            case "unknown":
                return UnknownChildError(f"{self.id!r} has no child {key!r}")
            case "start_failed":
                return self.start_error(key)
            case _:
                return NotRunningError(f"{self.id!r} is not running", self.state.verdict)


class Parent(ABC):
    """Who a scope reports to."""

    @abstractmethod
    def scope_up(self, scope: WorkerScope) -> None:
        """All its children are up."""

    @abstractmethod
    def scope_over(self, scope: WorkerScope, over: Over) -> None:
        """Nothing of it runs any more."""

    @abstractmethod
    def abandoned(self, left: Abandonment) -> None:
        """Somebody had to be given up."""

    @abstractmethod
    def stop_child(self, id: ChildId, *, was_up: bool, drain: bool) -> Future[bool]:
        """Have one of its scopes stopped by hand; the future gets `was_up`."""


class WorkerScope(Driver):
    """A scope whose children are workers: a standalone one, a group, a chain."""

    def __init__(
        self,
        id: ChildId,
        kind: str,
        rules: ScopeRules,
        cells: Iterable[tuple[Cell, ChildRules]],
        services: Services,
    ) -> None:
        super().__init__(id, rules, services)
        self.kind = kind
        self.parent: Parent
        """Set by the supervisor that takes it in."""
        self.facade: Any = None
        """What users hold of it: the ref, the group or the chain."""
        self._not_started: Cell | None = None
        """The last worker that did not start; it may be forgotten already."""
        given = dict(cells)
        self.cells: Ledger[ChildId, Cell] = Ledger.of({cell.id: cell for cell in given})
        for cell in given:
            cell.scope = self
        self.state = new_scope(rules, {cell.id: rule for cell, rule in given.items()})

    def take_in(self, cell: Cell) -> None:
        """Have the cell in the table: it is added, or about to be."""
        cell.scope = self
        self.cells = self.cells.put(cell.id, cell)

    def drop(self, cell: Cell) -> None:
        """Have the cell out of the table, if it is there: it was not added."""
        if self.cells.get(cell.id) is cell:
            self.cells = self.cells.without(cell.id)

    # -- requests, from any thread --------------------------------------------------

    def add(self, cell: Cell, rules: ChildRules) -> Future[bool]:
        """Have a child added and started."""
        future: Future[bool] = Future()
        self.services.request(self._add, (cell, rules, future), future)
        return future

    def _add(self, what: tuple[Cell, ChildRules, Future[bool]]) -> None:
        cell, rules, future = what
        if cell.id not in self.cells and not self.state.stopped:
            self.take_in(cell)
        self.take(Request("add", cell.id, token=(cell.id, future, None), rules=rules))

    def errand(
        self, verb: Verb, key: ChildId, *, was_up: bool | None = None, drain: bool = False
    ) -> Future[bool]:
        """Have something done with one child by hand. From any thread."""
        future: Future[bool] = Future()
        request = Request(verb, key, token=(key, future, was_up), drain=drain)
        self.services.request(self.take, request, future)
        return future

    def request_stop_of(self, cell: Cell, *, drain: bool) -> Future[bool]:
        """Have a child stopped for good; the future tells whether it was running."""
        if self.kind == "worker":  # a standalone worker is a scope of its own
            return self.parent.stop_child(self.id, was_up=cell.alive, drain=drain)
        return self.errand("stop_child", cell.id, was_up=cell.alive, drain=drain)

    # -- actions --------------------------------------------------------------------

    def start(self, start: Start) -> None:
        """Begin an incarnation of a worker."""
        self.cells[start.key].start(start.incarnation)

    def signal(self, signal: Signal) -> None:
        """Ask a worker to stop."""
        self.cells[signal.key].signal(signal)

    def interrupt(self, key: ChildId) -> None:
        """Interrupt a worker."""
        self.cells[key].interrupt()

    def fence(self, fence: Fence) -> None:
        """Give a worker up."""
        cell = self.cells[fence.key]
        reason = fence.reason
        left = cell.fence(reason)
        self.parent.abandoned(left)
        services = self.services
        services.publish(
            events.WorkerAbandoned(
                services.name, events.now(), cell.path, fence.incarnation, left.doing, left.since
            )
        )
        self._bear_zombies(fence.key, reason)

    def _bear_zombies(self, key: ChildId, reason: ExitReason) -> None:
        """Give up if the tree has more zombies than it bears, and they are of this scope."""
        if self.services.too_many_zombies:
            self.services.later(self.take, Request("give_up", key, reason=reason))

    def gave_up(self, what: GiveUp) -> None:
        """Say that the budget is spent."""
        services, path = self.services, self.cells[what.key].path
        escalates = self.state.rules.escalate
        services.publish(events.GaveUp(services.name, events.now(), path, what.reason, escalates))

    def told(self, notice: Notice) -> None:
        """Do what a notice means for the cell, and pass it on."""
        services = self.services
        match notice:
            case ChildUp(key, number):
                path = self.cells[key].path
                services.publish(events.WorkerStarted(services.name, events.now(), path, number))
            case ChildDown(key, number, reason, fate, why):
                cell = self.cells[key]
                if isinstance(reason, Abandoned) and cell.left is not None:
                    reason = Abandoned(reason.after, cell.left.doing)
                if why is NoRestart.START_FAILED:
                    self._not_started = cell
                cell.down(number, reason, fate, why)
                final, text = fate != "restarts", "" if why is None else str(why)
                ended = events.WorkerEnded(
                    services.name, events.now(), cell.path, number, reason, final, text
                )
                if final or why is not None:
                    services.publish(ended)
                else:  # who comes back need not wait for the log
                    services.later(services.publish, ended)
            case Decided(key, fate, why):
                self.cells[key].decided(fate, why)
            case Restarting(key, reason, delay):
                path = self.cells[key].path
                restarting = events.Restarting(services.name, events.now(), path, reason, delay)
                services.later(services.publish, restarting)  # behind the end, as above
            case Forgotten(key):
                services.undelivered += self.cells[key].mailbox.undelivered
                services.names.forget(self.cells[key])
                self.cells = self.cells.without(key)
            case Draining(key):
                self.draining(key)
            case Up():
                self.came_up()
            case Over():
                self.parent.scope_over(self, notice)

    def came_up(self) -> None:
        """Report it; who was given up on in the stop before is a zombie all the same."""
        self.parent.scope_up(self)
        for cell in self.cells.values():
            if cell.zombie is not None:
                self._bear_zombies(cell.id, cell.zombie)

    def draining(self, after: ChildId) -> None:
        """Let the children behind `after` finish; only a chain has any."""

    def start_error(self, key: ChildId) -> StartError:
        """Return why a worker did not start, with its own error as the cause."""
        cell = self.cells.get(key, self._not_started)
        if cell is None:
            return StartError(f"{key!r} of {self.id!r} did not start: it was stopped")
        error = StartError(f"{cell.address!r} did not start: {cell.why_not_started()}")
        error.__cause__, cell.cause = cell.cause, None
        return error

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        for cell in self.cells.values():
            cell.mark_forked(why)
        if self.kind != "worker":
            self.facade.mark_forked()

    def close(self, fate: Any, why: Any) -> None:
        """Decide for good what becomes of the children: the scope is down."""
        for cell in self.cells.values():
            cell.decided(fate, why)


def rules_of_worker(
    spec: WorkerSpec | StageSpec, *, significant: bool = True, place: ChildId | None = None
) -> ChildRules:
    """Return the rules of a worker, whose `place` it shares with its equals if any."""
    return ChildRules(
        restart=spec.restart,
        significant=significant,
        shutdown=spec.shutdown,
        start_timeout=spec.start_timeout,
        interrupt=spec.interrupt,
        place=place,
    )


def rules_of_scope(budget: Budget, *, escalate: bool, **shape: Any) -> ScopeRules:
    """Return the rules of a scope with this budget."""
    return ScopeRules(
        max_restarts=budget.max_restarts,
        max_seconds=budget.max_seconds,
        backoff=budget.backoff,
        escalate=escalate,
        chance=chance,
        **shape,
    )
