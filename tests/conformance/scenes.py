"""One scope of failure in each membership, and the check that is made after every fault.

Owns the places a worker can stand in, workers whose behaviour is what they are sent,
the `Scene` that runs them beside a bystander outside their scope, and `Scene.check`.
It must not know any single fault.

A message that can be called is called by the worker that gets it, so a test says in
the message what is to happen; everything else is answered, or handed on, as it is. The
scene counts what it has sent: the accounting is held against that, not against itself.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pykka

from tests.helpers import PATIENCE, Recorder
from threadsup import (
    Backoff,
    MailboxClosed,
    Worker,
    current,
    events,
    handler,
    receive,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from threadsup import (
        Chain,
        Exit,
        Future,
        Group,
        StageSpec,
        StopReport,
        Supervisor,
        WorkerRef,
        WorkerStatistics,
    )
    from threadsup._snapshot import Counts, StageStatistics

__all__ = [
    "CLASSES",
    "MEMBERSHIPS",
    "PLACES",
    "SHARED",
    "Actor",
    "Boom",
    "Part",
    "Place",
    "PykkaActor",
    "Scene",
    "act",
    "boom",
    "incarnation",
    "is_balanced",
    "noted",
    "only_in",
    "part",
    "raising",
    "worker_of",
]

Hook = Any
"""What a hook calls; an alias, so that it reads as what it is."""

_pings = count()


class Boom(Exception):  # noqa: N818 - it is what a test says, not an error of anybody
    """What a worker under test fails with."""


def raising(error: BaseException | type[BaseException]) -> Callable[[], object]:
    """Return what raises `error` when it is called."""

    def fail() -> object:
        raise error

    return fail


def boom() -> object:
    """Fail, as a message or a hook."""
    raise Boom("boom")


def incarnation() -> int:
    """Return which incarnation calls."""
    context = current()
    assert context is not None
    return context.incarnation


def only_in(incarnations: Iterable[int], hook: Callable[[], object]) -> Callable[[], object]:
    """Return a hook that does something in some incarnations only."""
    chosen = frozenset(incarnations)

    def call() -> object:
        return hook() if incarnation() in chosen else None

    return call


# -- workers that do what they are sent -----------------------------------------------


def act(message: Any) -> Any:
    """Handle a message: call it, or return it as it is."""
    return message() if callable(message) else message


def work() -> None:
    """Be a task that does the same, message by message."""
    context = current()
    assert context is not None
    while True:
        result = act(receive())
        with suppress(RuntimeError):  # it was told, not asked
            context.reply(result)


def _nothing() -> None:
    """Do nothing, as a hook."""


class Actor(Worker):
    """A worker whose hooks are given to it."""

    def __init__(
        self,
        *,
        init: Hook = _nothing,
        start: Hook = _nothing,
        stop: Hook = _nothing,
        failure: Hook = _nothing,
    ) -> None:
        self._at_start = start
        self._at_stop = stop
        self._at_failure = failure
        init()

    def on_start(self) -> None:
        self._at_start()

    def on_receive(self, message: Any) -> Any:
        return act(message)

    def on_stop(self) -> None:
        self._at_stop()

    def on_failure(self, *_: object) -> None:
        self._at_failure()


class PykkaActor(pykka.ThreadingActor):
    """The same as a plain Pykka class."""

    def __init__(
        self,
        *,
        init: Hook = _nothing,
        start: Hook = _nothing,
        stop: Hook = _nothing,
        failure: Hook = _nothing,
    ) -> None:
        super().__init__()
        self._at_start = start
        self._at_stop = stop
        self._at_failure = failure
        init()

    def on_start(self) -> None:
        self._at_start()

    def on_receive(self, message: Any) -> Any:
        return act(message)

    def on_stop(self) -> None:
        self._at_stop()

    def on_failure(self, *_: object) -> None:
        self._at_failure()


# -- where they stand -----------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A membership and the kind of worker in it."""

    membership: str
    """`"worker"`, `"group"` or `"chain"`."""
    kind: str

    def __str__(self) -> str:
        return f"{self.membership}-{self.kind}"

    @property
    def target(self) -> Any:
        targets = {"task": work, "handler": handler(act), "worker": Actor, "pykka": PykkaActor}
        return targets.get(self.kind, act)

    def thread(self, id: str, incarnation: int) -> str:
        """Return the name of the thread of a worker at this place."""
        replica = "/0" if self.membership == "chain" else ""
        return f"threadsup-{id}{replica}-{incarnation}"


PLACES = tuple(
    Place(membership, kind)
    for membership, kinds in {
        "worker": ("task", "handler", "worker", "pykka"),
        "group": ("task", "handler", "worker", "pykka"),
        "chain": ("stage", "worker"),
    }.items()
    for kind in kinds
)
"""Every kind of worker in every membership that takes it."""

CLASSES = tuple(place for place in PLACES if place.kind in {"worker", "pykka"})
"""Those that have hooks."""

MEMBERSHIPS = tuple(Place(membership, "worker") for membership in ("worker", "group", "chain"))
"""A standalone worker, a member of a group and a stage of a chain, each with hooks."""

SHARED = MEMBERSHIPS[1:]
"""Those of several children under one strategy."""


@dataclass(frozen=True)
class Part:
    """A worker of a scene: its id, its hooks and its options."""

    id: str
    hooks: Mapping[str, Hook]
    options: Mapping[str, Any]
    target: Any = None
    """What it runs, if not what is usual at its place."""


_HOOKS = frozenset({"init", "start", "stop", "failure"})


def part(id: str, target: Any = None, **given: Any) -> Part:
    """Describe a worker of a scene; `init`, `start`, `stop`, `failure` are its hooks."""
    hooks = {name: hook for name, hook in given.items() if name in _HOOKS}
    options = {name: value for name, value in given.items() if name not in _HOOKS}
    return Part(id, hooks, options, target)


def noted(id: str, log: Recorder[str], failing: Iterable[int] = (), **given: Any) -> Part:
    """Describe a worker that notes its starts (`+a1`), stops (`-a1`) and failures (`!a1`).

    Args:
        id: Its id.
        log: Where it notes them.
        failing: Incarnations that do not start; noted as `xa2`.
        given: What else there is to it.
    """
    bad = frozenset(failing)

    def start() -> None:
        number = incarnation()
        log(f"{'x' if number in bad else '+'}{id}{number}")
        if number in bad:
            raise Boom(f"{id} does not start")

    return part(
        id,
        start=start,
        stop=lambda: log(f"-{id}{incarnation()}"),
        failure=lambda: log(f"!{id}{incarnation()}"),
        **given,
    )


# -- what it runs in ------------------------------------------------------------------


class _Handle(Protocol):
    """What a scene needs of a ref or a stage."""

    @property
    def incarnation(self) -> int: ...

    def is_alive(self) -> bool: ...

    def monitor(self, fn: Callable[[Exit], object]) -> Callable[[], None]: ...

    def statistics(self) -> WorkerStatistics | StageStatistics: ...


def worker_of(event: Any) -> Any:
    """Return the id of the worker an event is about; of a replica that of its stage."""
    return event.path[1] if len(event.path) == 3 else event.path[-1]


def is_balanced(counts: Counts) -> bool:
    """Tell whether every accepted message has exactly one outcome."""
    outcomes = counts.handled + counts.failed + counts.undelivered + counts.pending
    return counts.accepted == outcomes


@dataclass
class _Sent:
    """How many messages the test has sent, by worker."""

    counts: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def one(self, id: str) -> None:
        with self.lock:
            self.counts[id] = self.counts.get(id, 0) + 1


class Scene:
    """A tree: the workers under test in one membership, and `outside`, a bystander.

    Not started until `start()` is called; ended by `check()`, which every test makes.
    """

    OUTSIDE = "outside"

    def __init__(
        self,
        sup: Supervisor,
        place: Place,
        parts: Iterable[Part],
        main: Scene | None = None,
        **scope: Any,
    ) -> None:
        self._before = set(threading.enumerate())
        self.sup = sup
        self.name = "scope" if main is None else "beside"
        """The id of the group or chain under test."""
        self.membership = place.membership
        self.place = place
        self._options: dict[str, Any] = {"backoff": Backoff.none(), **scope}
        self.events: Recorder[events.Event] = Recorder() if main is None else main.events
        """Everything the tree has told."""
        self.results: Recorder[Any] = Recorder()
        """What has come out of a chain."""
        self.exits: dict[str, Recorder[Exit]] = {}
        """By worker: every end of it."""
        self._handles: dict[str, _Handle] = {}
        self._sent = _Sent()
        self._probes = count()
        self.report: StopReport | None = None
        """Of the end, once `stop()` has returned."""
        self.checked = False
        self._beside: list[Scene] = []
        if main is None:
            sup.subscribe(self.events)
            self._outside = sup.add_worker(handler(act), id=self.OUTSIDE)
        self._build(list(parts))

    def beside(self, place: Place, *parts: Part, **scope: Any) -> Scene:
        """Return a second scope under test in the same tree; checked with this one."""
        other = Scene(self.sup, place, parts, self, **scope)
        self._beside.append(other)
        return other

    def _build(self, parts: list[Part]) -> None:
        if self.membership == "group":
            members = [self._spec(each) for each in parts]
            self.sup.add_group(self.name, members, **self._options)
        elif self.membership == "chain":
            stages = [self.stage_of(each) for each in parts]
            options = {"on_result": self.results, **self._options}
            self.sup.add_chain(self.name, stages, **options)
        else:
            for each in parts:
                self.add(each)
        for each in parts:
            self._watch(each.id)

    def _given(self, each: Part) -> dict[str, Any]:
        options = dict(each.options)
        if each.hooks:
            options["kwargs"] = each.hooks
        return options

    def _spec(self, each: Part) -> Any:
        return worker_spec(self._target(each), id=each.id, **self._given(each))

    def stage_of(self, each: Part) -> StageSpec:
        """Describe a stage as this scene would."""
        return stage(self._target(each), id=each.id, **self._given(each))

    def _target(self, each: Part) -> Any:
        return self.place.target if each.target is None else each.target

    def _watch(self, id: str) -> None:
        if id in self.exits:
            return
        recorder: Recorder[Exit] = Recorder()
        handle = self.handle(id)
        handle.monitor(recorder)
        self.exits[id] = recorder
        self._handles[id] = handle

    def add(self, each: Part) -> None:
        """Add a worker, while it runs too; not to a chain."""
        given = self._given(each)
        if self.membership == "worker":
            self.sup.add_worker(self._target(each), id=each.id, **self._options, **given)
        else:
            self.group.add_worker(self._target(each), id=each.id, **given)
        self.exits.pop(each.id, None)
        self._sent.counts.pop(each.id, None)
        self._watch(each.id)

    def start(self) -> Scene:
        """Start the tree."""
        self.sup.start()
        return self

    def stop(self, timeout: float | None = None) -> StopReport:
        """Stop the tree and keep the report."""
        self.report = self.sup.stop(timeout)
        return self.report

    # -- the workers ------------------------------------------------------------------

    @property
    def ids(self) -> tuple[str, ...]:
        """The workers under test, in declared order."""
        return tuple(self._handles)

    @property
    def group(self) -> Group:
        """The group under test."""
        return self.sup.group(self.name)

    @property
    def chain(self) -> Chain:
        """The chain under test."""
        return self.sup.chain(self.name)

    def owner(self, id: str) -> str:
        """Return the id by which the supervisor knows the scope of a worker."""
        return id if self.membership == "worker" else self.name

    def handle(self, id: str) -> _Handle:
        """Return the ref, or the stage, of a worker."""
        if self.membership == "group":
            return self.group.worker(id)
        return self.chain[id] if self.membership == "chain" else self.sup.worker(id)

    def kept(self, id: str) -> _Handle:
        """Return the first handle of a worker, which may have been removed since."""
        return self._handles[id]

    def incarnation(self, id: str) -> int:
        """Return how often a worker has been started."""
        return self._handles[id].incarnation

    def state(self, id: str) -> str:
        """Return what the tree shows of a worker."""
        owner = next(node for node in self.sup.tree().children if node.id == self.owner(id))
        if self.membership == "worker":
            return owner.state
        return next(node.state for node in owner.children if node.id == id)

    def tell(self, id: str, message: Any) -> None:
        """Send a message, or an item in at this stage."""
        if self.membership == "chain":
            self.chain.tell(message, at=id, timeout=PATIENCE)
        else:
            self.ref(id).tell(message, PATIENCE)
        self._sent.one(id)

    def tell_nowait(self, id: str, message: Any) -> None:
        """Send a message, or an item in at this stage, if there is room."""
        if self.membership == "chain":
            self.chain.tell_nowait(message, at=id)
        else:
            self.ref(id).tell_nowait(message)
        self._sent.one(id)

    def sent(self, id: str) -> int:
        """Return how many messages the test has got in at a worker."""
        return self._sent.counts.get(id, 0)

    def ask(self, id: str, message: Any) -> Future[Any]:
        """Send a message, or an item in at this stage, and return its future."""
        if self.membership == "chain":
            future = self.chain.submit(message, at=id, timeout=PATIENCE)
        else:
            future = self.ref(id).ask(message, block=False)
            if future.done() and isinstance(future.exception(), MailboxClosed):
                return future  # refused: it was never accepted
        self._sent.one(id)
        return future

    def ref(self, id: str) -> WorkerRef:
        """Return the ref of a worker or member."""
        return self.group.worker(id) if self.membership == "group" else self.sup.worker(id)

    def answers(self, id: str) -> bool:
        """Tell whether a worker, and in a chain all behind it, still does its work."""
        ping = f"ping {next(_pings)}"
        return bool(self.ask(id, ping).result(PATIENCE) == ping)

    def restart(self, id: str) -> None:
        """Restart a worker by hand."""
        if self.membership == "worker":
            self.sup.restart_child(id, PATIENCE)
        elif self.membership == "group":
            self.group.restart_child(id, PATIENCE)
        else:
            self.chain.restart_child(id, PATIENCE)

    # -- waiting ----------------------------------------------------------------------

    def up(self, id: str, incarnation: int) -> None:
        """Wait until this incarnation of a worker has been up."""

        def is_it(event: events.Event) -> bool:
            return (
                isinstance(event, events.WorkerStarted)
                and worker_of(event) == id
                and event.incarnation == incarnation
            )

        what = f"start of {id!r}, incarnation {incarnation}"
        self.events.wait_until(lambda seen: any(map(is_it, seen)), what)

    def ended(self, id: str, times: int = 1) -> Exit:
        """Wait for the n-th end of a worker and return it."""
        return self.exits[id].wait_for(times)[times - 1]

    def gave_up(self, id: str | None = None) -> events.GaveUp:
        """Wait until a scope has given up; return what it told."""

        def found(seen: list[events.Event]) -> list[events.GaveUp]:
            told = [event for event in seen if isinstance(event, events.GaveUp)]
            return [event for event in told if id is None or worker_of(event) == id]

        seen = self.events.wait_until(lambda items: bool(found(items)), "giving up")
        return found(seen)[-1]

    def all_of(self, kind: type[events.Event], id: str | None = None) -> list[Any]:
        """Return the events of a kind that have been told so far, of one worker or of all."""
        told: list[Any] = [event for event in self.events.items if type(event) is kind]
        return [event for event in told if id is None or worker_of(event) == id]

    def sync(self) -> None:
        """Return when the supervisor has done all it was told, and the side thread too.

        Asks the supervisor for something, and waits to be told of its end: monitors are
        told in the thread that events are delivered in, and never dropped as these are.
        """
        probe = f"probe-{next(self._probes)}"
        told = threading.Event()
        ref = self.sup.add_worker(handler(act), id=probe)
        ref.monitor(lambda _: told.set())
        assert ref.ask("there?", PATIENCE) == "there?"
        self.sup.remove_child(probe, PATIENCE)
        assert told.wait(PATIENCE), f"the end of {probe} was not told"

    # -- the check --------------------------------------------------------------------

    def check(self, *, kept: Iterable[str] = (), up: Iterable[str] | None = None) -> None:
        """Make the check that follows every fault, then stop the tree and make it again.

        The supervisor answers; who stands outside the scope, and who is `kept`, has
        the incarnation it began with; no thread is left over; every message that was
        sent has one outcome.

        Args:
            kept: Workers under test that the fault was not to touch.
            up: Workers under test that run now; all of them if not given.
        """
        self.checked = True
        ids = self.ids if up is None else tuple(up)
        if self.report is None:
            self.sync()
            assert self._outside.ask("still there?", PATIENCE) == "still there?"
            assert self._outside.incarnation == 1
            for key in kept:
                assert self.incarnation(key) == 1, f"{key!r} was touched"
            self._settle(ids)
            for other in self._beside:
                other._settle(other.ids)
            self._check_threads(ids)
            if self.place.kind != "task":  # which has its last message in hand until the next
                self.check_counts()
            self.stop()
        for key in kept:
            assert self.incarnation(key) == 1, f"{key!r} was touched"
        self._check_end()
        for other in self._beside:
            other._check_end()

    def _settle(self, ids: Iterable[str]) -> None:
        """Have the workers that run finish what they have."""
        running = tuple(ids)
        # First: one that was started is up only when its thread has come to that.
        if self.membership != "chain":
            for key in running:
                assert self.answers(key)
        elif running == self.ids:
            assert self.answers(running[0])
        assert {key for key in self.ids if self._handles[key].is_alive()} == set(running)

    def _check_threads(self, ids: Iterable[str]) -> None:
        """Find the threads of those that run, the tree's own two and no other."""
        expected = {self.place.thread(key, self.incarnation(key)) for key in ids}
        for other in self._beside:
            expected |= {other.place.thread(key, other.incarnation(key)) for key in other.ids}
        expected |= {f"threadsup-{self.OUTSIDE}-1"}
        expected |= {f"{self.sup.name}-supervisor", f"{self.sup.name}-side"}
        assert self._threads_but(expected) == expected

    def _threads_but(self, expected: set[str]) -> set[str]:
        """Return the names of the threads since the beginning, when all others are gone."""
        for thread in set(threading.enumerate()) - self._before:
            if thread.name not in expected:
                thread.join(PATIENCE)  # it has reported its end and is about to be gone
        return {thread.name for thread in set(threading.enumerate()) - self._before}

    def check_counts(self) -> None:
        """Find one outcome for each message, and as many as were sent."""
        sent = self._sent.counts
        for key, handle in self._handles.items():
            counts = handle.statistics()
            assert is_balanced(counts), f"{key!r}: {counts}"
            if self.membership != "chain":
                assert counts.accepted == sent.get(key, 0), f"{key!r}: {counts}"
        if self.membership == "group":
            assert is_balanced(self.group.statistics())
        elif self.membership == "chain":
            of_chain = self.chain.statistics()
            items = of_chain.items
            assert is_balanced(of_chain)
            assert items.offered == sum(sent.values()), items
            parts = items.completed + items.dropped + items.failed + items.in_flight
            assert items.offered == parts, items
        assert is_balanced(self.sup.statistics())

    def _check_end(self) -> None:
        assert self.sup.wait(PATIENCE) is not None
        assert str(self.sup.tree())  # a tree that has ended can be looked at
        assert self._threads_but(set()) == set()
        self.check_counts()
        for key, handle in self._handles.items():
            assert handle.statistics().pending == 0, f"{key!r} has messages left"
            assert not handle.is_alive()
