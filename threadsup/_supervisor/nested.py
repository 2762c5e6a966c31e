"""A supervisor in a supervisor: a scope of scopes that is itself a child.

Owns its lives: what it comes back with, what its end means for its parent, who waits
for its final end. It must not decide when it comes back: to its parent it is a scope
like a group, and is restarted when it has given up, as that is with `escalate`.

It has no thread of its own. A machine waits for nothing, so that one thread steps
those of a whole tree, and whatever passes between a supervisor and its parent is a
call behind the present one: no two threads ever have to agree on who stops first.

The races, all closed by that one thread and by looking at both books in one call:

* It is asked to end while it goes down by itself, to be restarted. `_asked` turns the
  end into one that was asked for, before the parent hears of it.
* It is asked to end between two lives, or while it starts. The parent is asked to
  stop it by hand, which calls a restart off and ends a start that is under way.
* A child is added while it goes down. It is refused, or it is in the book; what was
  added since the first start leaves the book when the next life begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from threadsup import events
from threadsup._errors import NotRunningError
from threadsup._exits import Exit, ExitReason, Normal, Shutdown
from threadsup._policy.book import Child
from threadsup._policy.ledger import Ledger
from threadsup._policy.protocol import ChildRules, Over, Request
from threadsup._runtime.ending import Ending
from threadsup._snapshot import Abandonment, StopReport
from threadsup._supervisor.branch import Adoption, Branch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Fate, ScopeRules
    from threadsup._policy.restart import NoRestart
    from threadsup._specs import ChildSpec
    from threadsup._supervisor.branch import Part
    from threadsup._supervisor.services import TreeServices

__all__ = ["Declared", "Nested"]

_NOTHING = StopReport(clean=True, stopped=0, abandoned=(), undelivered=0, seconds=0.0)


class Declared(NamedTuple):
    """A child that each life begins with."""

    scope: Part
    rules: ChildRules
    spec: ChildSpec


class Nested(Branch):
    """The scopes of a supervisor that is a child of another one."""

    kind = "supervisor"
    parent: Branch
    """Set by the supervisor that takes it in."""

    def __init__(
        self,
        id: ChildId,
        rules: ScopeRules,
        services: TreeServices,
        facade: Any,
        children: Iterable[Declared],
        make: Callable[[ChildSpec], Part],
    ) -> None:
        super().__init__(id, rules, services)
        self.facade = facade
        """What users hold of it."""
        self._make = make
        self._declared: dict[ChildId, Declared] = {}
        self._ending = Ending(services)
        self._asked: ExitReason | None = None
        """What it was asked to end with, from then until it is down."""
        self._gone = False
        """Whether it is over for good: it takes no children."""
        self._last = _NOTHING
        """How it went down last."""
        for child in children:
            child.scope.parent = self
            self._declared[child.scope.id] = child
        self.scopes = Ledger.of({key: one.scope for key, one in self._declared.items()})
        book = {key: Child(one.rules) for key, one in self._declared.items()}
        self.state = self.state._replace(children=Ledger.of(book))

    # -- anybody's ------------------------------------------------------------------

    def wait(self, timeout: float | None) -> ExitReason | None:
        """Wait for its final end; `None` when the time is up first."""
        return self._ending.wait(timeout)

    def final_report(self) -> StopReport:
        """Wait for its final end; return how it stopped."""
        self._ending.wait(None)
        return self._last

    @property
    def reason(self) -> ExitReason | None:
        """Why it ended for good, `None` if it has not."""
        final = self._ending.final
        return None if final is None else final.reason

    # -- children -------------------------------------------------------------------

    def adopt(self, what: Adoption) -> None:
        """Take a scope in; what comes before the first start is there in each life."""
        key = what.scope.id
        if self._gone:
            error = NotRunningError(f"supervisor {self.id!r} has ended", self.reason)
            self.services.settle(what.future, error=error)
            return
        new = key not in self.scopes and self.state.phase == "new"
        super().adopt(what)
        if new:
            self._declared[key] = Declared(what.scope, what.rules, what.spec)

    def _restore(self) -> None:
        """Have the children it was first started with, and no others."""
        scopes: dict[ChildId, Part] = {}
        book: dict[ChildId, Child] = {}
        for key, child in self._declared.items():
            scopes[key] = child.scope
            if self.scopes.get(key) is child.scope:
                book[key] = self.state.children[key]
                continue
            # It was removed, or was temporary and has ended.
            scopes[key] = made = self._make(child.spec)
            made.parent = self
            self._declared[key] = child._replace(scope=made)
            book[key] = Child(child.rules)
        for key, part in self.scopes.items():
            if scopes.get(key) is not part:
                self.lose(part)
        self.scopes = Ledger.of(scopes)
        self.state = self.state._replace(children=Ledger.of(book))

    # -- its own lives, in the supervisor's thread ----------------------------------

    def take(self, event: Any) -> None:
        """Step; a life that is not the first begins with what the first began with."""
        phase = self.state.phase
        if type(event) is Request and event.verb == "start" and phase in {"new", "down"}:
            self._gone, self._asked = False, None
            self._ending.reopen()
            self._abandoned, self._running, self._stopping_since = {}, {}, None
            if phase == "down":
                self._restore()
            else:  # whoever was removed before it was ever started is not declared
                self._declared = {k: d for k, d in self._declared.items() if k in self.scopes}
        super().take(event)

    def end(self, what: tuple[ExitReason, float]) -> None:
        """Have it end by itself, for a reason and by a moment.

        For its parent that is an end of its own: it is not restarted, and counts where
        it is significant.
        """
        reason, by = what
        above = self.parent.state
        child = above.children.get(self.id)
        if self._gone or child is None:
            return
        asked = child.condition == "stopping" or above.stopped
        if not asked and child.condition == "up":
            self._asked = reason
            self.take(Request("stop", reason=reason, by=by))
            return
        if not asked and child.condition != "held":
            self._last = _NOTHING
            self.parent.take(Request("stop_child", self.id))
        # After what its parent asks of it in that step, or has asked before: of a stop
        # that is under way only the end may come sooner.
        hurry = Request("stop", reason=reason, fate="restarts", by=by, hold=True)
        self.services.later(self._hurry, hurry)

    def _hurry(self, request: Request) -> None:
        if self.state.phase == "stopping":
            self.take(request)

    def abandoned(self, left: Abandonment) -> None:
        """Remember who did not stop; so does the tree, if it is stopping."""
        super().abandoned(left)
        self.parent.abandoned(left)

    def came_up(self) -> None:
        """Report it to the parent."""
        services = self.services
        services.publish(events.SupervisorStarted(services.name, events.now(), services.prefix))
        self.parent.scope_up(self)

    def went_over(self, over: Over) -> None:
        """Report it to the parent: a crash if it has given up, else a clean end."""
        if self._asked is not None:
            over = Over(self._asked, came_up=True, overran=over.overran)
        elif over.came_up and not over.gave_up and not isinstance(over.reason, Shutdown):
            over = Over(Shutdown(), came_up=True, overran=over.overran)
        self._asked = None
        self._last = self.report()
        self._running = {}
        services = self.services
        ended = events.SupervisorEnded(services.name, events.now(), over.reason, services.prefix)
        services.publish(ended)
        self.parent.scope_over(self, over)

    # -- what the parent says of it -------------------------------------------------

    def down(self, number: int, reason: ExitReason, fate: Fate) -> None:
        """Note that a life is over."""
        self._ending.down(Exit(self.id, number, reason, fate != "restarts"))

    def close(self, fate: Fate, why: NoRestart | None) -> None:
        """Decide for good what becomes of it and of its children."""
        self.close_all(fate, why)
        if fate == "gone":
            self._gone = True
            self.services.names.forget_below(self)
        self._ending.decided(Exit(self.id, 0, Normal(), final=True))

    def orphaned(self, error: BaseException) -> None:
        """Let go of who waits: the tree has failed."""
        self._gone = True
        self._ending.fail(error)
        self.orphan_below(error)

    def mark_forked(self, why: str) -> None:
        """Refuse everything: this is the child of a fork. Takes no lock."""
        super().mark_forked(why)
        self._ending.mark_forked(why)
        self.facade.mark_forked_below()
