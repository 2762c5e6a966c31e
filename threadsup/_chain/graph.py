"""Chains that feed chains, and those who listen to one: what becomes of end results.

Owns the links between chains, and the taps. It must not know how items go over, nor how
a chain handles them: what it decides, the outlets of the last stage carry out, as they
carry out `on_result`.

There is no way round: links are made under one lock, and one that would close a circle
is refused. Therefore whoever waits for room at a door waits for somebody who does not
wait for it, and there is an order in which all chains can be drained.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

from threadsup._chain.door import Door, Way
from threadsup._checks import shown
from threadsup._errors import NotRunningError, SpecError
from threadsup._runtime.future import Future
from threadsup._runtime.side import Listener
from threadsup._specs.targets import of_one_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from threadsup._cell import Services
    from threadsup._chain.door import Route
    from threadsup._chain.facade import Chain
    from threadsup._chain.scope import ChainScope
    from threadsup._specs import ChainSpec

__all__ = ["Graph", "Links", "fed_by", "upstream_first"]

_linking = threading.RLock()
"""Guards the links and taps of all chains; never held while anything waits. Re-entrant:
a signal handler may end a tap from within."""


def _after_fork_in_child() -> None:
    global _linking  # noqa: PLW0603 - who held it does not exist here
    _linking = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@final
class Links:
    """Where the end results of one chain go, beside `on_result` and who waits for them."""

    __slots__ = ("taps", "targets", "way")

    def __init__(self) -> None:
        self.taps: tuple[Listener[Any], ...] = ()
        self.targets: tuple[Chain, ...] = ()
        """Which chains they go on to. Replaced, never changed: anybody may read it."""
        self.way: Way | None = None
        """Which of these one goes on to."""


class Graph:
    """The part of a chain that says what becomes of its end results."""

    __slots__ = ()

    spec: ChainSpec
    _links: Links
    _scope: ChainScope
    _services: Services

    def tap(self, fn: Callable[[Any], object]) -> Callable[[], None]:
        """Have `fn(result)` called with each end result from now on.

        In the last stage's thread, after `on_result`, while the item is in hand: it holds
        the chain back as long as it takes. What it raises is reported, counted in
        `statistics().tap_failures`, and changes nothing. There may be several.

        Blocks: until the supervisor has taken it, which is at once.

        Returns:
            A function that ends it. Never blocks; no call begins after it has returned.

        Raises:
            SpecError: `fn` cannot be called with a result.
            NotRunningError: the tree has ended.
        """
        if problem := of_one_item(fn):
            raise SpecError(f"chain {shown(self.spec.id)}.tap: {problem}")
        links, tap = self._links, Listener(fn)

        def end() -> None:
            tap.fn = None
            with _linking:
                links.taps = tuple(each for each in links.taps if each is not tap)
            with suppress(NotRunningError):
                self._scope.services.request(self._join, None)

        with _linking:
            links.taps = (*links.taps, tap)
        try:
            self._have_joined()
        except BaseException:
            end()
            raise
        return end

    def to(self, *chains: Chain, by: Route | None = None) -> None:
        """Have end results go on as items of another chain, or of one of several.

        The other chain may be one of any supervisor of this process. Its room is waited
        for: it holds this one back. A future, a stream of `map` and the descendants of an
        item go along; what they get is the end result of the last chain. Here an item is
        completed when it is handed over; `on_result` and taps still hear of it. One that the other
        chain does not take, as it is closed or has ended, is undelivered there.

        Calling it again replaces what was said before, for the results that come from
        then on; `to()` ends it. To route in the middle of a chain, end a chain there.

        Blocks: until the supervisor has taken it, which is at once.

        Args:
            chains: Where to.
            by: `by(result)` returns the one of several to go to, or its id. Called in the
                last stage's thread; if it raises, or returns none of them, that item has failed.

        Raises:
            SpecError: one is no chain, or there would be a way round; `by` is missing
                where there are several, or cannot be called with a result.
            NotRunningError: the tree has ended.
        """
        if problems := _problems(chains, by):
            raise SpecError([f"chain {shown(self.spec.id)}.to: {each}" for each in problems])
        way = self._way_to(chains, by) if chains else None
        with _linking:
            for chain in chains:
                if circle := _path(chain, self):
                    shape = " -> ".join(shown(each.spec.id) for each in (self, *circle))
                    raise SpecError(
                        f"chain {shown(self.spec.id)}.to: would go round in a circle: {shape}"
                    )
            self._links.targets, self._links.way = chains, way
        self._have_joined()

    def _way_to(self, chains: tuple[Chain, ...], by: Route | None) -> Way:
        doors: dict[Any, Door] = {chain: Door(chain, self._services) for chain in chains}
        ids = [chain.id for chain in chains]
        # Two of one id, of two supervisors, can only be told apart as chains.
        named = {key: doors[chain] for key, chain in zip(ids, chains, strict=True)}
        doors |= {key: door for key, door in named.items() if ids.count(key) == 1}
        return Way(doors, doors[chains[0]] if by is None else None, by)

    @property
    def targets(self) -> tuple[Chain, ...]:
        """The chains its results go on to. Never blocks."""
        return self._links.targets

    def leads_to(self, other: object) -> bool:
        """Return whether results come to the other chain, be it by way of others."""
        return self is not other and any(_path(chain, other) for chain in self._links.targets)

    def _have_joined(self) -> None:
        future: Future[bool] = Future()
        self._scope.services.request(self._join, future, future)
        future.result()

    def _join(self, future: Future[bool] | None) -> None:
        """Have the last stage do what is said now. In the supervisor's thread."""
        links, scope = self._links, self._scope
        lines = {cell.line for cell in scope.cells.values()}
        for line in {*lines, scope.lines[-1]}:
            # One that was removed finishes what it has.
            if line is scope.lines[-1] or (line.removed and line.next is None):
                line.taps, line.onward = links.taps, links.way
                line.rewire()
        if future is not None:
            scope.services.settle(future, value=True)


def _problems(chains: tuple[Any, ...], by: object) -> list[str]:
    problems = [
        f"must be given chains, as add_chain() returns them, not {shown(chain)}"
        for chain in chains
        if not isinstance(chain, Graph)
    ]
    if len(set(map(id, chains))) < len(chains):
        problems.append("must be given each chain once")
    if by is not None and (problem := of_one_item(by)):
        problems.append(f"by: {problem}")
    elif by is None and len(chains) > 1:
        problems.append("by: must say which of several chains a result goes to")
    elif by is not None and not chains:
        problems.append("by: needs chains to choose from")
    return problems


def _path(start: Graph, goal: object) -> list[Graph]:
    """Return the chains from `start` to `goal`, both included; none if there is no way."""
    came: dict[Graph, Graph | None] = {start: None}
    waiting = [start]
    while waiting:
        chain: Graph | None = waiting.pop()
        if chain is goal:
            path = []
            while chain is not None:
                path.append(chain)
                chain = came[chain]
            return path[::-1]
        assert chain is not None
        for target in chain._links.targets:  # noqa: SLF001 - of one kind with it
            if target not in came:
                came[target] = chain
                waiting.append(target)
    return []


def fed_by(chains: Iterable[Chain]) -> set[Chain]:
    """Return the chains that these feed, be it by way of others."""
    found: set[Chain] = set()
    waiting = list(chains)
    while waiting:
        for target in waiting.pop().targets:
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def upstream_first(chains: Iterable[Chain]) -> list[Chain]:
    """Return the chains so that each comes before those it feeds, else in this order."""
    wanted = list(chains)
    behind: list[Graph] = []
    """Those that are through, each after all it feeds."""
    seen: set[Graph] = set()
    for first in reversed(wanted):
        waiting: list[tuple[Graph, bool]] = [(first, False)]
        while waiting:
            chain, fed = waiting.pop()
            if fed:
                behind.append(chain)
            elif chain not in seen:
                seen.add(chain)
                targets: Sequence[Graph] = chain._links.targets  # noqa: SLF001 - see above
                waiting += [(chain, True), *((target, False) for target in targets)]
    asked = set(wanted)
    return [chain for chain in reversed(behind) if chain in asked]
