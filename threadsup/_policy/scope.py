"""The life of one scope as a state machine: `step(scope, event, now)`.

Owns every decision about starting, stopping and restarting. It must not know
threads, clocks, logs or users: time is an argument, chance is injected, what is
to be done comes back as actions. Nothing outside this file moves a `Scope`.

Theory of operation. A scope has at most one *plan*: children still to be asked
to stop (`to_stop`), children asked and not down yet (`awaited`), children to be
started then (`to_start`). `advance` takes the next step of it. The first start
is a plan that only starts, a stop one that only stops, a restart one that does
both. A crash, or a start that failed, in the middle of a plan adds the children
that its strategy affects, and the plan goes on: nothing is postponed, nothing is
handled twice, and a child that goes down because it was to go down costs no
budget. What is asked of a child by hand (`errands`) runs beside the plan.

* The unit of position is the place. Children of one place are equals: they are asked
  to stop together, and a chain ends by one of them only when nobody else is there, or
  is to come back. Until then such an end is `pending`.
* Every end of an incarnation is told once (`ChildDown`); an event of an older
  incarnation changes nothing. What was told to become of a child is told anew
  (`Decided`) when it turns out to be less.
* A failed start is a crash of that child at that place: under `rest_for_one` the
  restart is thereby anchored on it, under `one_for_all` the set starts over.
* Before the scope has come up there are no retries: it is rolled back. Nor does
  it end by itself before that, however quick its significant children are.
* A scope that is going down starts nothing. Shortly before its time is up all
  who are left are asked at once: nobody is abandoned who was never asked.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from threadsup._exits import Abandoned
from threadsup._policy.book import Child, Scope
from threadsup._policy.endings import Endings
from threadsup._policy.intensity import Intensity
from threadsup._policy.ledger import Ledger
from threadsup._policy.protocol import (
    Action,
    ChildRules,
    ChildUp,
    Deadline,
    Event,
    Exited,
    Interrupt,
    Overdue,
    Request,
    ScopeRules,
    Started,
    StartFailed,
)
from threadsup._policy.turn import FATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threadsup._exits import ChildId
    from threadsup._policy.book import Condition
    from threadsup._policy.protocol import Fate

__all__ = ["INTERRUPT_GRACE", "LAST_CALL", "new_scope", "step"]

INTERRUPT_GRACE = 0.5
"""Seconds an interrupted worker has before it is abandoned: one that runs Python
code gets the exception within milliseconds, one that does not, never."""

LAST_CALL = 0.5
"""Seconds before the end of a stop at which all who are left are asked at once."""


def new_scope(rules: ScopeRules, children: Mapping[ChildId, ChildRules]) -> Scope:
    """Return a scope that has not been started, its children in declared order."""
    return Scope(rules, Ledger.of({key: Child(rule) for key, rule in children.items()}))


def step(scope: Scope, event: Event, now: float) -> tuple[Scope, list[Action]]:
    """Return the scope after `event` at time `now`, and what is to be done.

    Pure: neither argument is changed, and equal arguments give equal results.
    Events that no longer mean anything return the scope as it was.
    """
    turn = _Step(scope, now)
    turn.take(event)
    return turn.done()


class _Step(Endings):
    """The events, each to what it means."""

    def take(self, event: Event) -> None:
        match event:
            case Started(key, incarnation):
                self.started(key, incarnation)
            case StartFailed(key, incarnation, reason):
                self.exited(Exited(key, incarnation, reason))
            case Exited(key, incarnation):
                # Who ends by itself was up, be it that this is told first.
                self.started(key, incarnation)
                self.exited(event)
            case Deadline(None, number):
                self.scope_deadline(number)
            case Deadline():
                self.child_deadline(event)
            case Overdue():
                self.overdue(event)
            case _:
                self.requested(event)
        self.advance()

    def started(self, key: ChildId, incarnation: int) -> None:
        child = self.current(key, incarnation)
        if child is None or child.condition != "starting":
            return  # asked to stop while it was starting: its end is on the way
        self.time(key, incarnation, child.due, inf)
        self.change(key, condition="up", due=inf)
        self.tell(ChildUp(key, incarnation))
        self.landed(key)
        self.end_errand(key, "ok")

    def exited(self, event: Exited) -> None:
        key, reason = event.key, event.reason
        child = self.current(key, event.incarnation)
        if child is None:
            return
        self.overran = self.overran or event.overran
        due = self.launching == key
        self.lay_down(key, "failed" if event.gave_up else "ended")
        if self.expected(key, child):
            self.went_down(key, child, reason)
        elif child.condition == "starting":
            self.not_started(key, child, reason, due=due)
        elif why := self.refused(child, event):
            self.ended_for_good(key, child, reason, why)
        else:
            self.restart_from(key, reason, paid=event.paid)

    def expected(self, key: ChildId, child: Child) -> bool:
        """Whether the child is to go down, be it that it was not asked yet."""
        return child.condition == "stopping" or self.stopped or key in self.to_stop

    def scope_deadline(self, number: int) -> None:
        if number != self.timer:
            return
        if self.phase != "stopping":
            self.paused = False
        elif self.hurried:
            self.abandon_all()
        else:
            self.last_call()

    def last_call(self) -> None:
        """Ask all who are left, and to interrupt what is to be interrupted."""
        self.hurried = True
        self.set_scope_timer(self.by)
        self.holding = self.drain = False
        self.press()
        for key, child in list(self.children.items()):
            if child.condition == "stopping" and child.rules.interrupt and not child.interrupted:
                self.interrupt(key)

    def child_deadline(self, event: Deadline) -> None:
        key, incarnation = event.key, event.incarnation
        assert key is not None
        child = self.current(key, incarnation)
        if child is None or self.now < child.due:
            return  # of a timer that was replaced after it had been due
        if child.condition == "stopping" and child.rules.interrupt and not child.interrupted:
            self.interrupt(key)
            return
        if self.expected(key, child):
            self.overran = True  # from here on the rest is asked at once
        doing = "on_start" if child.condition == "starting" else ""
        reason = Abandoned(child.due - child.since, doing)
        self.fence(key, reason)
        self.exited(Exited(key, incarnation, reason))

    def overdue(self, event: Overdue) -> None:
        child = self.current(event.key, event.incarnation)
        # One that was asked to stop has a limit for that, unless it is to drain first.
        if child is not None and (child.condition == "up" or child.draining):
            self.fence(event.key, event.reason)
            self.exited(Exited(event.key, event.incarnation, event.reason))

    def interrupt(self, key: ChildId) -> None:
        child = self.change(key, interrupted=True)
        self.actions.append(Interrupt(key, child.incarnation))
        self.set_timer(key, self.now + INTERRUPT_GRACE)

    def requested(self, request: Request) -> None:
        key = request.key
        match request.verb:
            case "start":
                self.start_scope(request.fate)
            case "stop" | "finish":
                self.stop_scope(request)
            case "give_up":
                if self.phase in {"starting", "up"} and key is not None:
                    self.give_up(key, request.reason, f"{key!r} {request.reason}")
            case "abandon":
                self.stop_scope(request)
                self.abandon_all()
            case "add":
                self.add(request)
            case _:
                self.errand(request)

    def start_scope(self, fate: Fate) -> None:
        if self.phase not in {"new", "down"}:
            return
        for key, child in self.children.items():
            condition: Condition = "restarting" if child.incarnation else "new"
            if child.retired or child.condition != condition:
                self.change(key, condition=condition, retired=False)
        self.phase = "starting"
        self.came_up = self.gave_up = self.overran = self.hurried = self.drain = False
        self.holding = False
        self.fate = fate
        self.by = inf
        self.culprit = None
        self.pending = ()
        self.verdict = Scope(self.rules).verdict
        self.intensity = Intensity(self.rules.max_restarts, self.rules.max_seconds)
        self.streak = 0
        self.last_restart = -inf
        self.to_start = tuple(self.children)

    def stop_scope(self, request: Request) -> None:
        if self.phase == "down":
            self.settle(request.fate)
            return
        if self.phase != "stopping":
            self.drain, self.holding = request.drain, request.hold
            self.go_down(request.reason, request.fate)
        else:
            self.fate = max(self.fate, request.fate, key=FATES.index)
            # Nor is the end of a chain's stream, `finish`, what a stop waits for.
            if not request.hold and request.verb != "finish":
                self.stop_now(request)
        if request.by < self.by:
            self.by = request.by
            early = max(self.by - LAST_CALL, (self.now + self.by) / 2)
            self.set_scope_timer(self.by if self.hurried else early)
            self.press()

    def stop_now(self, request: Request) -> None:
        """Take up a stop that was on hold, or cut one short that lets everybody drain."""
        if self.holding:
            self.holding = False
            self.verdict = request.reason
            self.drain = request.drain
        elif not request.drain:
            self.drain = False
            self.press()
