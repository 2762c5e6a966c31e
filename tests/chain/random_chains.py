"""Chains made by dice, and what each of their items must become.

Owns the plan of one run, which follows from its seed alone, the stages that carry it
out, and the reference that says without threads what comes out. It must not know the
library's insides: the chain is used as users do, and judged by what they can see.

What an item meets at a stage depends on the item and the stage, and on nothing else. So
however the threads take turns, every future has one right answer. Only where a plan
says that messages may be dropped at a bound may an answer be missing instead.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from threadsup import (
    Backoff,
    Batch,
    Drop,
    Emit,
    MailboxFull,
    Rate,
    Reject,
    Rejected,
    Retry,
    Supervisor,
    WorkerExited,
    stage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadsup import Chain, Future, StageSpec

__all__ = ["Plan", "Run"]

PATIENCE = 30.0
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one", "before_for_one")
ROUTINGS = ("round_robin", "random", "least_loaded", "partition", "broadcast")
CHANGES = ("resize", "pause", "insert", "restart", "append", "capacity", "stop")
FATES = ("value", "drop", "reject", "emit", "yield", "boom", "late", "once")


class Boom(Exception):  # noqa: N818 - it goes boom
    """What the stages raise."""


@dataclass(frozen=True)
class Leaf:
    """One item, or what became of it: from which item, by which way."""

    number: int
    path: tuple[int, ...] = ()

    @property
    def key(self) -> int:
        return self.number % 5

    def child(self, at: int) -> Leaf:
        return Leaf(self.number, (*self.path, at))


@dataclass(frozen=True)
class StagePlan:
    """One stage: how it is declared, and what its dice are."""

    name: str
    salt: int
    odds: tuple[int, ...]
    workers: int
    routing: str
    batch: int
    on_error: str
    max_attempts: int
    capacity: int
    on_full: str
    rate: bool

    def fate(self, leaf: Leaf) -> str:
        """Return what the stage does with an item."""
        dice = random.Random(f"{self.salt} {leaf.number} {leaf.path}")
        fate = dice.choices(FATES, self.odds)[0]
        if self.batch and fate in {"boom", "late", "once", "yield"}:
            return "value"  # a batch shares the fate of the worst in it
        again = self.on_error == "crash" and self.max_attempts > 1
        if fate == "once" and self.on_error != "retry" and not again:
            return "value"
        if fate == "late" and again:
            return "value"  # what has gone on would go on twice
        return fate

    def spec(self, run: Run) -> StageSpec:
        """Return the stage."""
        on_error: Any = self.on_error
        if on_error == "retry":
            pause = Backoff(initial=0.0005, maximum=0.001) if self.salt % 2 else Backoff.none()
            on_error = Retry(attempts=2, backoff=pause, on=Boom)
        function = run.batch_of(self) if self.batch else run.function_of(self)
        return stage(
            function,
            id=self.name,
            workers=self.workers,
            routing=self.routing,  # type: ignore[arg-type]
            key=_key if self.routing == "partition" else None,
            batch=Batch(self.batch, 0.001) if self.batch else None,
            on_error=on_error,
            max_attempts=self.max_attempts,
            capacity=self.capacity,
            on_full=self.on_full,  # type: ignore[arg-type]
            rate=Rate(100_000, 0.01) if self.rate else None,
        )


def _key(leaf: Leaf) -> int:
    return leaf.key


@dataclass(frozen=True)
class Plan:
    """One run: a chain, and what is sent into it. Follows from the seed."""

    seed: int
    strategy: str
    stages: tuple[StagePlan, ...]
    items: int
    senders: tuple[str, ...]
    changes: tuple[str, ...] = ()

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Throw the dice."""
        dice = random.Random(seed)
        lossy = dice.random() < 0.15
        stages: tuple[StagePlan, ...] = ()
        for at in range(dice.randint(1, 6)):
            stages += (_stage_plan(dice, f"s{at}", lossy, stages),)
        kinds = dice.sample(("tell", "submit", "map", "unordered", "middle"), dice.randint(1, 3))
        changes: list[str] = []
        if dice.random() < 0.4:
            changes = dice.choices(CHANGES, k=dice.randint(1, 4))
        return cls(
            seed=seed,
            strategy=dice.choice(STRATEGIES),
            stages=stages,
            items=dice.randint(5, 30),
            senders=tuple(kinds),
            changes=tuple(changes),
        )

    @property
    def lossy(self) -> bool:
        """Whether messages may be dropped or refused at a bound."""
        return any(each.on_full != "wait" for each in self.stages)

    @property
    def keeps_order(self) -> bool:
        """Whether what has one key comes out in the order in which it went in."""
        return not self.lossy and all(
            (each.workers == 1 or each.routing == "partition")
            and each.on_error != "retry"
            and each.routing != "broadcast"
            for each in self.stages
        )

    @property
    def entered(self) -> tuple[StagePlan, ...]:
        """The stages that senders put into: while they are stopped they refuse."""
        return self.stages[0], self.stages[len(self.stages) // 2]

    @property
    def room(self) -> int:
        """Return how many items may be on their way, where none becomes several or fails."""
        senders = len(self.senders)
        room = 0
        for at, each in enumerate(self.stages):
            before = self.stages[at - 1].workers if at else 0
            hand = max(1, each.batch)
            # Queued, past the bound by those who put at once, in hand, made and kept.
            room += each.workers * (each.capacity + before + senders + 2 * hand)
        return room

    @property
    def calm(self) -> bool:
        """Whether every item just passes."""
        plain = all(each.odds[0] == sum(each.odds) for each in self.stages)
        return plain and not self.lossy and not self.changes

    def outcome(self, number: int, begin: int = 0) -> Any:
        """Return what must become of an item: the values, `"dropped"` or `"failed"`."""
        values: list[Leaf] = []
        states: Counter[str] = Counter()
        for leaf, state in self._leaves(Leaf(number), begin):
            states[state] += 1
            if state == "value":
                values.append(leaf)
        if states["failed"]:
            return "failed"
        several = any(leaf.path for leaf in values)
        if values:
            return values if several or self._copies(Leaf(number), begin) else values[0]
        if states["dropped"] and not self._copies(Leaf(number), begin):
            return "dropped"
        return []

    def _copies(self, leaf: Leaf, begin: int) -> bool:
        """Whether the item becomes several anywhere on its way, if it comes so far."""
        for each in self.stages[begin:]:
            if each.routing == "broadcast":
                return True
            fate = each.fate(leaf)
            if fate in {"emit", "yield"}:
                return True
            if fate not in {"value", "once"}:
                return False
        return False

    def _leaves(self, leaf: Leaf, at: int) -> Iterator[tuple[Leaf, str]]:
        if at == len(self.stages):
            yield leaf, "value"
            return
        each = self.stages[at]
        copies = each.workers if each.routing == "broadcast" else 1
        for _ in range(copies):
            fate = each.fate(leaf)
            if fate in {"value", "once"}:
                yield from self._leaves(leaf, at + 1)
            elif fate == "drop":
                yield leaf, "dropped"
            elif fate in {"emit", "yield"}:
                for child in range(2):
                    yield from self._leaves(leaf.child(child), at + 1)
            elif fate == "late":
                yield from self._leaves(leaf.child(0), at + 1)
                yield leaf, "failed"
            else:
                yield leaf, "failed"


def _stage_plan(
    dice: random.Random, name: str, lossy: bool, before: tuple[StagePlan, ...]
) -> StagePlan:
    workers = dice.choice((1, 1, 1, 2, 3))
    routing = dice.choice(ROUTINGS) if workers > 1 else "round_robin"
    batch = dice.choice((0, 0, 0, 2, 3))
    calm = dice.random() < 0.4
    odds = (1, 0, 0, 0, 0, 0, 0, 0) if calm else (60, 4, 4, 3, 3, 4, 1, 6)
    if routing == "broadcast" or any(each.routing == "broadcast" for each in before):
        odds = (*odds[:-1], 0)  # of equal copies nobody can tell which was tried before
    return StagePlan(
        name=name,
        salt=dice.getrandbits(32),
        odds=odds,
        workers=workers,
        routing=routing,
        batch=batch,
        on_error=dice.choice(("crash", "crash", "reject", "retry")),
        max_attempts=dice.choice((1, 1, 2)),
        capacity=dice.choice((1, 2, 5, 50)) if not batch else dice.choice((3, 5, 50)),
        on_full=dice.choice(("wait", "drop_new", "drop_old", "raise")) if lossy else "wait",
        rate=dice.random() < 0.1,
    )


@dataclass
class Run:
    """One chain at work, and what was seen of it."""

    plan: Plan
    results: list[Leaf] = field(default_factory=list)
    tried: Counter[Any] = field(default_factory=Counter)
    offered: int = 0
    most: int = 0
    """How many items were on their way at once."""
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    # -- stages ---------------------------------------------------------------------

    def function_of(self, plan: StagePlan) -> Any:
        """Return the function of a stage."""

        def work(leaf: Leaf) -> Any:
            return self._result(plan, leaf)

        return work

    def batch_of(self, plan: StagePlan) -> Any:
        """Return the function of a stage that takes several at once."""

        def work(leaves: list[Leaf]) -> list[Any]:
            if len(leaves) > plan.batch:
                self.problems.append(f"{plan.name} was given {len(leaves)} at once")
            return [self._result(plan, leaf) for leaf in leaves]

        return work

    def _result(self, plan: StagePlan, leaf: Leaf) -> Any:
        fate = plan.fate(leaf)
        if fate == "drop":
            return Drop("by dice")
        if fate == "reject":
            return Reject("by dice")
        if fate == "emit":
            return Emit(leaf.child(0), leaf.child(1))
        if fate in {"yield", "late"}:
            return self._values(leaf, fails=fate == "late")
        if fate == "boom":
            raise Boom(plan.name)
        if fate == "once":
            with self.lock:
                self.tried[plan.name, leaf] += 1
                first = self.tried[plan.name, leaf] == 1
            if first:
                raise Boom(f"{plan.name}, the first time")
        return leaf

    @staticmethod
    def _values(leaf: Leaf, *, fails: bool) -> Iterator[Leaf]:
        yield leaf.child(0)
        if fails:
            raise Boom("after the first value")
        yield leaf.child(1)

    # -- the run --------------------------------------------------------------------

    def go(self) -> list[str]:
        """Run the plan; return what was wrong."""
        plan = self.plan
        with Supervisor(f"dice-{plan.seed}", max_restarts=100_000, backoff=Backoff.none()) as sup:
            chain = sup.add_chain(
                "chain",
                [each.spec(self) for each in plan.stages],
                strategy=plan.strategy,  # type: ignore[arg-type]
                on_result=self._note,
            )
            # Lists of senders, each with its own range of items.
            threads = [
                threading.Thread(target=self._send, args=(chain, kind, at * 1_000))
                for at, kind in enumerate(plan.senders)
            ]
            for thread in threads:
                thread.start()
            self._change(chain)
            for thread in threads:
                thread.join(PATIENCE)
                if thread.is_alive():
                    self.problems.append("a sender hangs")
                    return self.problems
            if not chain.drain(PATIENCE):
                self.problems.append("it does not drain")
            self._judge(chain)
        return self.problems

    def _note(self, leaf: Leaf) -> None:
        with self.lock:
            self.results.append(leaf)

    def _change(self, chain: Chain) -> None:
        dice = random.Random(self.plan.seed + 1)
        for change in self.plan.changes:
            plan = dice.choice(self.plan.stages)
            if change == "resize" and plan.routing != "broadcast":
                chain.resize(plan.name, dice.randint(1, 3), timeout=PATIENCE)
            elif change == "pause":
                chain.pause()
                chain.resume()
            elif change == "restart":
                chain.restart_child(plan.name, timeout=PATIENCE)
            elif change == "append":
                new = f"new-{len(chain)}"
                chain.add_stage(_same, id=new, workers=dice.randint(1, 2))
                chain.remove_stage(new, timeout=PATIENCE)
            elif change == "capacity":
                chain.set_capacity(dice.randint(max(1, plan.batch), 9), plan.name)
            elif change == "stop" and plan not in self.plan.entered:
                chain.stop_child(plan.name, timeout=PATIENCE)
                chain.restart_child(plan.name, timeout=PATIENCE)
            elif change == "insert":
                new = f"new-{len(chain)}"
                chain.insert_stage(_same, id=new, before=plan.name)
                if dice.random() < 0.5:
                    chain.remove_stage(new, timeout=PATIENCE)

    # -- senders --------------------------------------------------------------------

    def _send(self, chain: Chain, kind: str, base: int) -> None:
        try:
            numbers = range(base, base + self.plan.items)
            if kind in {"map", "unordered"}:
                self._map(chain, numbers, ordered=kind == "map")
            elif kind == "submit":
                self._submit(chain, numbers)
            else:
                at = None
                if kind == "middle":
                    at = self.plan.stages[len(self.plan.stages) // 2].name
                for number in numbers:
                    self._put(chain, Leaf(number), at)
        except BaseException as error:
            self.problems.append(f"{kind}: {type(error).__name__}: {error}")

    def _put(self, chain: Chain, leaf: Leaf, at: str | None) -> None:
        try:
            chain.tell(leaf, at=at, timeout=PATIENCE)
        except MailboxFull:
            if not self.plan.lossy:
                raise
            return
        self._count_offered()

    def _count_offered(self) -> None:
        with self.lock:
            self.offered += 1
            self.most = max(self.most, self.offered - len(self.results))

    def _submit(self, chain: Chain, numbers: range) -> None:
        futures: dict[int, Future[Any]] = {}
        for number in numbers:
            try:
                futures[number] = chain.submit(Leaf(number), timeout=PATIENCE)
            except MailboxFull:
                if not self.plan.lossy:
                    raise
                continue
            self._count_offered()
        for number, future in futures.items():
            self._compare(number, _outcome(future))

    def _compare(self, number: int, found: Any) -> None:
        expected = self.plan.outcome(number)
        if found == expected or (self.plan.lossy and found == "exited"):
            return
        if self.plan.lossy and expected == "failed" and found == "failed":
            return
        self.problems.append(f"item {number} became {found!r}, not {expected!r}")

    def _map(self, chain: Chain, numbers: range, *, ordered: bool) -> None:
        pulled = []

        def items() -> Iterator[Leaf]:
            for number in numbers:
                pulled.append(number)
                yield Leaf(number)

        found = list(chain.map(items(), ordered=ordered, errors="skip"))
        with self.lock:
            self.offered += len(pulled)
        if self.plan.lossy:
            return
        expected: list[Leaf] = []
        failed = set()
        for number in numbers:
            outcome = self.plan.outcome(number)
            if outcome == "failed":
                failed.add(number)
            elif outcome != "dropped":
                expected += outcome if isinstance(outcome, list) else [outcome]
        kept = [leaf for leaf in found if leaf.number not in failed]
        if not ordered:
            kept.sort(key=_place)
            expected.sort(key=_place)
        if kept != expected:
            self.problems.append(f"map gave {kept!r}, not {expected!r}")

    # -- the judgement --------------------------------------------------------------

    def _judge(self, chain: Chain) -> None:
        found = chain.statistics()
        for name, each in found.stages.items():
            finals = each.handled + each.failed + each.undelivered + each.pending
            if each.accepted != finals or each.pending:
                self.problems.append(f"{name} does not add up: {each}")
        items = found.items
        finals = items.completed + items.dropped + items.failed + items.in_flight
        if items.offered != finals or items.in_flight:
            self.problems.append(f"items do not add up: {items}")
        if items.offered != self.offered and not self._maybe_refused():
            self.problems.append(f"{self.offered} were offered, not {items.offered}")
        if self.plan.calm and self.most > self.plan.room:
            self.problems.append(f"{self.most} were on their way, of {self.plan.room} at most")
        if not self.plan.lossy:
            self._judge_results(items.completed, items.dropped, items.failed)

    def _maybe_refused(self) -> bool:
        # A map cannot know which of its items were refused at a bound that raises.
        head = self.plan.stages[0]
        return head.on_full == "raise" and bool({"map", "unordered"} & set(self.plan.senders))

    def _judge_results(self, completed: int, dropped: int, failed: int) -> None:
        """Compare the counts and what came out with the reference."""
        expected: Counter[str] = Counter()
        leaves: Counter[Leaf] = Counter()
        partial: set[int] = set()
        for at, kind in enumerate(self.plan.senders):
            begin = len(self.plan.stages) // 2 if kind == "middle" else 0
            for number in range(at * 1_000, at * 1_000 + self.plan.items):
                outcome = self.plan.outcome(number, begin)
                if outcome == "failed":
                    expected["failed"] += 1
                    partial.add(number)
                elif outcome in ("dropped", []):
                    expected["dropped"] += 1
                else:
                    expected["completed"] += 1
                    leaves.update(outcome if isinstance(outcome, list) else [outcome])
        counts = {"completed": completed, "dropped": dropped, "failed": failed}
        if any(counts[name] != expected[name] for name in counts):
            self.problems.append(f"counted {counts}, expected {dict(expected)}")
        seen = Counter(leaf for leaf in self.results if leaf.number not in partial)
        if seen != leaves:
            self.problems.append(f"too much {seen - leaves}, too little {leaves - seen}")
        if self.plan.keeps_order:
            self._judge_order()

    def _judge_order(self) -> None:
        if self.plan.changes:
            return  # what passes a stage by that is just inserted may overtake
        by_key: dict[Any, list[Any]] = defaultdict(list)
        for leaf in self.results:
            by_key[leaf.number // 1_000, leaf.key].append(_place(leaf))
        for key, places in by_key.items():
            if places != sorted(places):
                self.problems.append(f"of key {key} the order was lost: {places}")


def _same(leaf: Leaf) -> Leaf:
    return leaf


def _place(leaf: Leaf) -> tuple[int, tuple[int, ...]]:
    return leaf.number, leaf.path


def _outcome(future: Future[Any]) -> Any:
    error = future.exception(PATIENCE)
    if isinstance(error, (Boom, Rejected)):
        return "failed"
    if isinstance(error, WorkerExited):
        return "exited"
    if error is not None:
        return error
    value = future.result()
    return "dropped" if type(value) is Drop else value
