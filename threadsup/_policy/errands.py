"""What is asked of one child by hand: add, stop, restart, remove.

Owns the errands of a child: one is under way, the others wait behind it, each is
answered once. It must not know restart types or budgets: what is done by hand
costs nothing and starts nobody else.

By hand goes before by itself: a restart that is due is called off when the child
is stopped or removed, and is spared the pause when the child is to be restarted.
It has to keep its place in the order, though, where the children of the scope
depend on each other: who starts in the middle of a restart is started with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._policy.book import Child
from threadsup._policy.plan import Plan
from threadsup._policy.restart import NoRestart
from threadsup._policy.turn import without

if TYPE_CHECKING:
    from threadsup._exits import ChildId, ExitReason
    from threadsup._policy.protocol import ChildRules, Outcome, Request

__all__ = ["Errands"]


class Errands(Plan):
    """Requests about one child, served beside the plan of the scope."""

    def add(self, request: Request) -> None:
        key, rules = request.key, request.rules
        assert key is not None
        assert rules is not None
        if self.stopped:
            self.answer(request, "not_running")
        elif key in self.children:
            self.answer(request, "duplicate")
        elif refused := self.insert(key, rules, request.before):
            self.answer(request, refused)
        elif self.phase == "new":
            self.answer(request, "ok")
        else:
            self.change(key, errands=(request,))
            if self.ordered:
                self.to_start = self.in_order({*self.to_start, key})
            else:
                self.launch(key, "gone")

    def insert(self, key: ChildId, rules: ChildRules, before: ChildId | None) -> Outcome | None:
        """Enter a new child where it belongs in the order, or return why it cannot be."""
        at, beside = len(self.children), None
        if rules.place is not None or before is not None:
            order = list(self.children)
            places = [self.place(other) for other in order]
            if rules.place in places:
                at -= places[::-1].index(rules.place)
                beside = order[at - 1]
            elif before in places:
                at = places.index(before)
                beside = order[at]
            elif before is not None:
                return "unknown"
        if beside is not None and self.children[beside].retired:
            return "not_running"  # the chain has ended there
        if at == len(self.children):
            self.children[key] = Child(rules)
        else:
            entries = [*self.children.items()]
            self.children = dict([*entries[:at], (key, Child(rules)), *entries[at:]])
        return None

    def errand(self, request: Request) -> None:
        """Begin what is asked of one child, or put it behind what is under way."""
        key = request.key
        assert key is not None
        child = self.children.get(key)
        if self.stopped:
            self.answer(request, "not_running")
        elif child is None:
            self.answer(request, "unknown")
        elif self.phase == "new" and request.verb != "remove_child":
            self.answer(request, "not_running")
        else:
            self.change(key, errands=(*child.errands, request))
            if request.whole:
                place = self.place(key)
                here = {other for other in self.children if self.place(other) == place}
                self.pending = tuple(end for end in self.pending if end[0] not in here)
            if not child.errands:
                self.begin_errand(key)
            elif child.draining:
                self.signal(key, drain=request.drain)  # whoever asks next need not wait

    def begin_errand(self, key: ChildId) -> None:
        child = self.children[key]
        request = child.errands[0]
        if request.verb == "restart_child" and key in self.to_start and self.ordered:
            self.unpause()
            return  # due anyway, in its place; that start answers it
        self.to_start = without(self.to_start, key)
        if not child.live:
            self.errand_stopped(key, child, None)
        else:
            self.landed(key)
            self.signal(key, drain=request.drain)

    def unpause(self) -> None:
        if self.paused:
            self.paused = False
            self.set_scope_timer(None)

    def errand_stopped(self, key: ChildId, child: Child, reason: ExitReason | None) -> None:
        """Go on with an errand whose child is down now (`None`: it was before)."""
        verb, fate = child.errands[0].verb, self.outlook(child)
        if fate == "restarts":
            if reason is not None:
                self.down(key, reason, fate)
            if key not in self.to_start:
                self.launch(key, "held")
            return
        why = NoRestart.CHAIN_ENDED if child.retired else NoRestart.STOPPED
        if reason is None:
            self.decide(key, fate, why)
        else:
            self.down(key, reason, fate, why)
        leaves = verb in {"add", "remove_child"} or child.rules.restart == "temporary"
        done = verb in {"stop_child", "remove_child"}
        self.end_errand(key, "ok" if done else "not_running", leaves=leaves)

    def errand_start_failed(self, key: ChildId, child: Child, reason: ExitReason) -> None:
        leaves = child.errands[0].verb == "add" or child.rules.restart == "temporary"
        self.down(key, reason, "gone" if leaves else "held", NoRestart.START_FAILED)
        self.end_errand(key, "start_failed", leaves=leaves)

    def end_errand(self, key: ChildId, outcome: Outcome, *, leaves: bool = False) -> None:
        """Answer the errand under way; forget the child or begin its next one."""
        errands = self.children[key].errands
        if errands:
            self.answer(errands[0], outcome)
            self.change(key, errands=errands[1:])
        if leaves:
            self.forget(key)
        elif errands[1:] and not self.stopped:
            self.begin_errand(key)
