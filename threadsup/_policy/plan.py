"""What goes down and what comes up, in order: the plan of a scope.

Owns the order of stopping (last declared first, those of one place together) and
of starting (first declared first), and the end of the scope. It must not know
why: a first start, a restart and a stop are the same plan with different parts
empty.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from threadsup._exits import Shutdown
from threadsup._policy.protocol import Over, Signal, Start, Up
from threadsup._policy.restart import NoRestart
from threadsup._policy.turn import Turn, without

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadsup._exits import ChildId, ExitReason
    from threadsup._policy.book import Child
    from threadsup._policy.protocol import Fate, Verb

__all__ = ["Plan"]

_FATES: dict[Verb, Fate] = {
    "stop_child": "held",
    "restart_child": "restarts",
    "remove_child": "gone",
}
"""What becomes of a child when an errand takes it down."""


def leaves(child: Child) -> bool:
    """Return whether a scope that goes down forgets this child."""
    if child.rules.restart == "temporary":
        return True
    errands = child.errands
    return bool(errands) and any(errand.verb in {"add", "remove_child"} for errand in errands)


class Plan(Turn):
    """The steps of a plan; `advance` takes the next one."""

    def plan(self, keys: Iterable[ChildId]) -> None:
        """Add these children to what goes down and comes up again."""
        wanted = set(keys)
        if len(wanted) > 1:
            self.overran = self.overran and bool(self.awaited)
            going = {*self.to_stop, *wanted}.difference(self.awaited)
            self.to_stop = self.live_reversed(key for key in self.children if key in going)
        back = {key for key in wanted if self.children[key].rules.restart != "temporary"}
        for key in back:
            if self.children[key].condition in {"ended", "held"}:  # these come back, too
                self.change(key, condition="restarting")
        self.to_start = self.in_order({*self.to_start, *back})

    def go_down(self, verdict: ExitReason, fate: Fate) -> None:
        """Make the plan one that only stops."""
        self.set_scope_timer(None)
        self.phase = "stopping"
        self.verdict = verdict
        self.fate = fate
        self.overran = self.overran and bool(self.awaited)
        self.paused = False
        self.to_start = ()
        asked = {key for key, child in self.children.items() if child.condition == "stopping"}
        self.awaited = dict.fromkeys(asked, True)
        self.to_stop = self.live_reversed(key for key in self.children if key not in asked)
        self.press()

    def advance(self) -> None:
        """Take the next step of the plan, if one can be taken now."""
        if self.holding and any(self.children[key].live for key in self.to_stop):
            return
        if self.to_stop:
            self.ask_to_stop()
        if self.awaited:
            return
        if self.phase == "stopping":
            self.over()
        elif self.launching is not None or self.paused:
            return
        elif self.to_start:
            key = self.launching = self.to_start[0]
            self.to_start = self.to_start[1:]
            errands = self.children[key].errands
            added = bool(errands) and errands[0].verb == "add"
            self.launch(key, "gone" if added else "restarts" if self.came_up else self.fate)
        elif self.phase == "starting":
            self.phase = "up"
            self.came_up = True
            self.tell(Up())

    @property
    def together(self) -> bool:
        return self.rules.stop == "together" or self.overran or self.hurried

    @property
    def ordered(self) -> bool:
        """Whether a child that is to start now has to wait for its place in the order."""
        if self.phase == "starting":
            return True
        busy = bool(self.to_start) or self.launching is not None
        return busy and self.rules.strategy != "one_for_one"

    def ask_to_stop(self) -> None:
        """Ask the next ones: those of one place together, place after place."""
        together, asked, passed = self.together, [], 0
        places = set() if together else {self.place(key) for key in self.awaited}
        for key in self.to_stop:
            if self.children[key].live:  # or it ended by itself before it was its turn
                if not together:
                    place = self.place(key)
                    if places - {place}:
                        break
                    places.add(place)
                asked.append(key)
                self.signal(key, drain=self.drain)
            passed += 1
        self.to_stop = self.to_stop[passed:]
        self.awaited.update(dict.fromkeys(asked, True))

    def outlook(self, child: Child) -> Fate:
        """Return what becomes of a child when it is down, as it stands now."""
        temporary = child.rules.restart == "temporary"
        if self.stopped:
            return "gone" if leaves(child) else self.fate
        verb = child.errands[0].verb if child.errands else "add"
        fate = _FATES.get(verb, "gone" if temporary else "restarts")
        return "gone" if child.retired or (temporary and fate == "held") else fate

    def signal(self, key: ChildId, *, drain: bool) -> None:
        """Ask a child to stop, or one that was asked before to be quicker about it."""
        child = self.children[key]
        by = inf if drain else min(self.now + child.rules.shutdown, self.by)
        since = child.since
        if child.condition != "stopping":
            since = self.now
        elif child.interrupted or drain or (by >= child.due and not child.draining):
            return
        asked = self.verdict if isinstance(self.verdict, Shutdown) else Shutdown()
        fate, number = self.outlook(child), child.incarnation
        self.actions.append(Signal(key, number, asked, fate, by, drain))
        self.time(key, number, child.due, by)
        self.change(key, condition="stopping", since=since, draining=drain, due=by)

    def press(self) -> None:
        """Tell those who were asked to stop that there is less time than they think."""
        for key, child in list(self.children.items()):
            if child.condition == "stopping":
                self.signal(key, drain=self.drain)

    def launch(self, key: ChildId, fate: Fate) -> None:
        """Start an incarnation; `fate` becomes of the child if it does not come up."""
        if key in self.to_stop:  # it ended before it was its turn, and starts by hand
            self.to_stop = without(self.to_stop, key)
        child, now = self.children[key], self.now
        number, due = child.incarnation + 1, now + child.rules.start_timeout
        self.actions.append(Start(key, number, fate))
        self.time(key, number, child.due, due)
        self.change(
            key, condition="starting", incarnation=number, fate="restarts", since=now, due=due
        )

    def over(self) -> None:
        self.phase = "down"
        self.set_scope_timer(None)
        for key, child in list(self.children.items()):
            for errand in child.errands:
                done = errand.verb in {"stop_child", "remove_child"}
                self.answer(errand, "ok" if done else "not_running")
            self.decide(key, self.outlook(child), NoRestart.SCOPE_STOPPING)
            if child.errands:
                self.change(key, errands=())
            if leaves(child):
                self.forget(key)
        self.tell(Over(self.verdict, self.came_up, self.gave_up, self.overran, self.culprit))

    def settle(self, fate: Fate) -> None:
        """Tell the children of a scope that is down what becomes of them after all."""
        for key in self.children:
            self.decide(key, fate, NoRestart.SCOPE_STOPPING)
