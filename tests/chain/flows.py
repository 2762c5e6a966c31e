"""A chain under test: its tree, its results, its events, its account.

Owns what is asked of a chain in every test. It must not know
what the stages do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import Recorder
from threadsup import Backoff, Exit, Rejected, WorkerExited, events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import MakeSupervisor
    from threadsup import Chain, Future, StageSpec, Supervisor


__all__ = ["Flow", "outcome"]


class Flow:
    """One chain in a tree of its own that forgives any number of crashes."""

    def __init__(
        self,
        supervisor: MakeSupervisor,
        stages: Iterable[StageSpec],
        tree: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        self.results: Recorder[Any] = Recorder()
        self.events: Recorder[Any] = Recorder()
        self.sup: Supervisor = supervisor(
            **{"max_restarts": 1_000, "backoff": Backoff.none(), **tree}
        )
        self.sup.subscribe(self.events)
        self.sup.start()
        self.chain: Chain = self.sup.add_chain(
            "chain", stages, **{"on_result": self.results, **options}
        )

    def items(self) -> dict[str, int]:
        """Return the item counts that are not 0; they, and every stage's, add up."""
        found = self.chain.statistics()
        for each in (found, *found.stages.values()):
            finals = each.handled + each.failed + each.undelivered + each.pending
            assert each.accepted == finals, each
        items = found.items
        finals = items.completed + items.dropped + items.failed + items.in_flight
        assert items.offered == finals, items
        names = ("offered", "completed", "dropped", "failed", "in_flight")
        return {name: getattr(items, name) for name in names if getattr(items, name)}

    def replicas(self) -> list[Any]:
        """Return the ids of all replicas that items are sent to."""
        return [replica for key in self.chain for replica in self.chain[key].replicas]

    def wait_ended(self) -> None:
        """Wait until every replica has ended for good.

        Of one that was to come back, and does not, only a monitor hears.
        """
        monitors = [self.chain[key].monitor(self.events) for key in self.chain]

        def over(told: list[Any]) -> bool:
            last = {e.path: e for e in told if isinstance(e, events.WorkerEnded)}
            after_all = {(e.id, e.incarnation) for e in told if isinstance(e, Exit) and e.final}
            ends = [(key, last.get((self.chain.id, *key))) for key in self.replicas()]
            return all(e and (e.final or (key, e.incarnation) in after_all) for key, e in ends)

        self.events.wait_until(over, "end of the chain")
        for end in monitors:
            end()

    def reasons(self, stage: str, count: int = 1) -> list[Any]:
        """Wait until so many incarnations of a stage have ended; return why."""

        def ends(told: list[Any]) -> list[Any]:
            mine = [e for e in told if isinstance(e, events.WorkerEnded)]
            return [e.reason for e in mine if e.path[:2] == (self.chain.id, stage)]

        return ends(self.events.wait_until(lambda told: len(ends(told)) >= count, "ends"))

    def letters(self) -> list[tuple[Any, Any, str]]:
        """Return the dead letters: what, to whom, and whether it failed or why not."""
        return [(each.message, each.to, each.reason) for each in self.sup.dead_letters()]


def outcome(future: Future[Any]) -> Any:
    """Wait for a future; return its value, or in words what it raised."""
    error = future.exception(10)
    if error is None:
        return future.result()
    if isinstance(error, Rejected):
        return f"rejected: {error.reason}"
    if isinstance(error, WorkerExited):
        return "exited"
    return f"{type(error).__name__}: {error}"
