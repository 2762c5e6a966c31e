"""The end of a child and what follows from it: nothing, a restart, or the end.

Owns restart decisions: the restart table, the budget, the pause, the giving up,
significance. It must not know how a plan is carried out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._exits import Abandoned, Crashed
from threadsup._policy.errands import Errands
from threadsup._policy.plan import leaves
from threadsup._policy.protocol import Draining, Exited, GiveUp, Restarting
from threadsup._policy.restart import NoRestart, affected, refusal

if TYPE_CHECKING:
    from threadsup._exits import ChildId, ExitReason
    from threadsup._policy.book import Child
    from threadsup._policy.protocol import Fate

__all__ = ["Endings"]


class Endings(Errands):
    """What follows from the end of a child."""

    def refused(self, child: Child, event: Exited) -> NoRestart | None:
        if child.rules.restart == "escalate":
            return None if event.gave_up else NoRestart.ENDED
        return refusal(child.rules.restart, event.reason)

    def not_started(self, key: ChildId, child: Child, reason: ExitReason, *, due: bool) -> None:
        """Handle a start that failed, of a child that was `due` or started by hand."""
        if child.errands and not (due and child.errands[0].verb == "restart_child"):
            self.errand_start_failed(key, child, reason)
            return
        if self.came_up:
            self.restart_from(key, reason)
        else:
            self.change(key, condition="failed")
            self.down(key, reason, self.fate, NoRestart.START_FAILED)
            self.culprit = key
            self.go_down(reason, self.fate)
        self.end_errand(key, "start_failed")  # whoever waited for it knows; the scope goes on

    def restart_from(self, key: ChildId, reason: ExitReason, *, paid: bool = False) -> None:
        """Grant the restart that a crash or a failed start asks for, or give up.

        One that is paid for goes with a restart that was granted, and waits for its pause.
        """
        allowed = paid
        if not paid:
            self.intensity, allowed = self.intensity.record(self.now)
        if not allowed:
            fate: Fate = "restarts" if self.rules.escalate else "gone"
            self.change(key, condition="failed")
            self.down(key, reason, fate, NoRestart.GAVE_UP)
            limit = f"more than {self.rules.max_restarts} restarts"
            limit += f" in {self.rules.max_seconds:g} s"
            self.give_up(key, reason, f"{limit}; last, {key!r} {reason}")
            return
        self.change(key, condition="restarting")
        self.down(key, reason, "restarts")
        order = (other for other, child in self.children.items() if not child.retired)
        self.plan(affected(self.rules.strategy, order, key, self.place))
        if paid:
            self.tell(Restarting(key, reason, 0.0))
            return
        # A quiet time as long as the window makes the next pause a first one again.
        if self.now - self.last_restart > self.rules.max_seconds:
            self.streak = 0
        delay = self.rules.backoff.delay(self.streak, self.rules.chance)
        self.streak += 1
        self.last_restart = self.now + delay
        self.paused = delay > 0
        if self.paused:
            self.set_scope_timer(self.last_restart)
        self.tell(Restarting(key, reason, delay))

    def give_up(self, key: ChildId, reason: ExitReason, why: str) -> None:
        self.gave_up = True
        self.culprit = key
        if key in self.children:
            self.actions.append(GiveUp(key, reason))
        self.go_down(Crashed(f"gave up: {why}"), "restarts" if self.rules.escalate else "gone")

    def went_down(self, key: ChildId, child: Child, reason: ExitReason) -> None:
        """Handle the end of a child that was to go down: it costs no budget."""
        self.awaited.pop(key, None)
        temporary = child.rules.restart == "temporary"
        if self.stopped:
            self.down(key, reason, self.outlook(child), NoRestart.SCOPE_STOPPING)
        elif child.errands and (child.retired or child.errands[0].verb != "add"):
            self.errand_stopped(key, child, reason)
        elif child.retired:
            self.down(key, reason, "gone", NoRestart.CHAIN_ENDED)
        elif temporary:
            self.down(key, reason, "gone", NoRestart.TEMPORARY)
            # A bystander's end counts for nothing, but a chain may have a hole there, if
            # it was a stage already: one that was just being added was not.
            stage = child.rules.significant and self.rules.drains and not child.errands
            self.leave(key, child, reason, counts=stage)
        else:
            self.down(key, reason, "restarts")

    def ended_for_good(
        self, key: ChildId, child: Child, reason: ExitReason, why: NoRestart
    ) -> None:
        self.down(key, reason, "gone", why)
        counts = child.rules.significant and self.rules.ends != "never"
        self.leave(key, child, reason, counts=counts)

    def leave(self, key: ChildId, child: Child, reason: ExitReason, *, counts: bool) -> None:
        """Forget a temporary child that has ended, and note whether its end `counts`."""
        if child.rules.restart == "temporary" and not (counts and self.rules.drains):
            self.forget(key)  # but it may mark the place up to which a chain has ended
        if counts:
            self.pending += ((key, reason),)

    def advance(self) -> None:
        """Mind those who have ended, then take the next step."""
        if not self.came_up:
            super().advance()
        if self.came_up:
            self.mind_the_ended()
            super().advance()

    def mind_the_ended(self) -> None:
        """Have follow what follows from ends by themselves; of a chain, once a place is empty.

        Who is being added may never be there, and who is being removed will not be: where
        nobody else is, it is decided when that is over.
        """
        if not self.pending:
            return
        ends, self.pending = self.pending, ()
        last = {self.place(key): (key, reason) for key, reason in ends if key in self.children}
        staying, unsure = self.company()
        for key, reason in ends:
            if self.stopped or not self.is_over(key):
                continue
            if not self.rules.drains:
                self.significant_end(key, reason)
            elif (place := self.place(key)) not in staying | unsure:
                self.significant_end(*last[place])
            elif place in staying and self.children[key].rules.restart == "temporary":
                self.forget(key)
            else:
                self.pending += ((key, reason),)

    def is_over(self, key: ChildId) -> bool:
        """Whether one that had ended by itself was not brought back, nor its chain ended."""
        child = self.children.get(key)
        if child is None:
            return True  # it was temporary
        return not (self.comes_back(key, child) or child.condition == "held" or child.retired)

    def company(self) -> tuple[set[ChildId], set[ChildId]]:
        """Return the places at which somebody stays, and those where that is not sure."""
        staying: set[ChildId] = set()
        unsure: set[ChildId] = set()
        to_start = set(self.to_start)
        for key, child in self.children.items():
            if child.retired or not (child.live or key in to_start or child.condition == "held"):
                continue
            where = unsure if child.errands and leaves(child) else staying
            where.add(self.place(key))
        return staying, unsure

    def significant_end(self, key: ChildId, reason: ExitReason) -> None:
        if self.rules.drains:
            self.retire_up_to(key, reason)
        elif self.rules.ends == "any" or not any(
            child.rules.significant and self.comes_back(other, child)
            for other, child in self.children.items()
        ):
            self.go_down(reason, "gone")

    def comes_back(self, key: ChildId, child: Child) -> bool:
        """Whether a child runs, or is to."""
        return child.live or key in self.to_start

    def retire_up_to(self, last: ChildId, reason: ExitReason) -> None:
        """End the children up to the place of `last`; let those after it finish."""
        keys, place = list(self.children), self.place(last)
        behind = keys[: 1 + max(at for at, key in enumerate(keys) if self.place(key) == place)]
        self.to_start = tuple(key for key in self.to_start if key not in behind)
        self.pending = tuple(end for end in self.pending if end[0] not in behind)
        for key in behind:
            child = self.change(key, retired=True)
            if child.live:
                continue
            if child.errands:
                self.errand_stopped(key, child, None)
            else:
                self.decide(key, "gone", NoRestart.CHAIN_ENDED)
        going = {*self.to_stop, *behind}.difference(self.awaited)
        self.to_stop = self.live_reversed(key for key in self.children if key in going)
        if len(behind) == len(keys):
            self.go_down(reason, "gone")
        else:
            self.tell(Draining(last))

    def abandon_all(self) -> None:
        """Fence whoever is left: the time for stopping is up."""
        for key, child in list(self.children.items()):
            if child.live:
                self.overran = True
                reason = Abandoned(self.now - child.since if child.condition != "up" else 0.0)
                self.fence(key, reason)
                self.lay_down(key, "ended")
                self.went_down(key, child, reason)
