"""Trees, as a user's program has them: supervisors, groups, chains, their options and numbers.

Checked by type checkers, and run by nobody. Where a line must be an error it says so to
each of them, and one that is none is an error in turn.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, assert_type

import threadsup
from threadsup import (
    Autoscale,
    Backoff,
    Batch,
    Breaker,
    Chain,
    ChainStatistics,
    DeadLetter,
    Defaults,
    Drop,
    Emit,
    ExitReason,
    Future,
    Group,
    Node,
    Rate,
    Reject,
    Retry,
    ScopeStatistics,
    Stage,
    StageSpec,
    StageStatistics,
    StopReport,
    Supervisor,
    SupervisorSpec,
    SupervisorStatistics,
    WorkerRef,
    WorkerSpec,
    events,
    handler,
    load,
    stage,
    worker_spec,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ChildId = str | int | tuple[str | int, ...]


def parse(line: str) -> int | Drop | Reject:
    return int(line) if line else Drop("empty")


def enrich(number: int) -> Emit:
    return Emit(number, number + 1)


def save(result: object) -> None:
    assert result


def supervisors() -> None:
    options = Supervisor("app", max_restarts=3, max_seconds=5.0, defaults=Defaults(max_restarts=1))
    with options as sup:
        assert_type(sup, Supervisor)
        assert_type(sup.name, str)
        assert_type(sup.children(), tuple[ChildId, ...])
        assert_type(sup.failed(), tuple[ChildId, ...])
        assert_type(sup.tree(), Node)
        assert_type(sup.tree().to_mermaid(), str)
        assert_type(sup.statistics(), SupervisorStatistics)
        assert_type(sup.dead_letters(), tuple[DeadLetter, ...])
        assert_type(sup.worker("w"), WorkerRef)
        assert_type(sup.group("g"), Group)
        assert_type(sup.chain("c"), Chain)
        assert_type(sup.add_supervisor("inner", significant=True), Supervisor)
        assert_type(sup.supervisor("inner"), Supervisor)
        assert_type(sup.stop(timeout=1.0, drain=True), StopReport)
        assert_type(sup.wait(), ExitReason | None)
        sup.request_stop("enough")
        sup.stop_child("w")
        sup.restart_child("w")
        sup.remove_child("w")
    assert_type(threadsup.running(), Mapping[str, Supervisor])
    assert_type(threadsup.get("app"), Supervisor)
    spec = load("app.toml", allow=("myapp",))
    assert_type(spec, SupervisorSpec)
    assert_type(Supervisor.from_spec(spec), Supervisor)

    Supervisor("app", max_restart=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Supervisor("app", auto_shutdown="some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def subscribers(sup: Supervisor) -> None:
    def heard(event: events.Event) -> None:
        match event:
            case events.Restarting():
                assert_type(event.delay, float)
                assert_type(event.reason, ExitReason)
            case events.WorkerEnded():
                assert_type(event.final, bool)
            case _:
                assert_type(event.supervisor, str)

    end = sup.subscribe(heard)
    callback: Callable[[], None] = end
    callback()
    sup.subscribe("heard")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def workers(sup: Supervisor) -> None:
    sup.add_worker(
        parse,
        "1",
        id=("parse", 1),
        kwargs={"base": 2},
        restart="temporary",
        significant=True,
        shutdown=1.0,
        max_restarts=None,
        max_seconds=1.0,
        backoff=Backoff(0.1),
        escalate=True,
        capacity=10,
        on_full="drop_old",
        mailbox="drop",
        max_attempts=3,
        on_ask_error="reply",
        time_limit=1.0,
        start_timeout=1.0,
        interrupt=True,
    )
    sup.add_worker(handler(save), breaker=Breaker(), rate=Rate(10), on_error=Retry(3))
    sup.add_worker(handler(save), on_error="reject")
    sup.add_worker(handler(save), on_error="retry")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.add_worker(handler(save), rate=10)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.add_worker(parse, restart="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.add_worker(parse, shutdown="1 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.add_worker(parse, retart="permanent")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    sup.add_worker(parse, id=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def groups(sup: Supervisor) -> None:
    member = worker_spec(handler(save), id="w0")
    assert_type(member, WorkerSpec)
    cache = sup.add_group("cache", [member], strategy="one_for_all", max_restarts=3)
    assert_type(cache, Group)
    assert_type(cache.add_worker(handler(save), id="w1"), WorkerRef)
    assert_type(cache["w1"], WorkerRef)
    assert_type(cache.worker("w1"), WorkerRef)
    assert_type(len(cache), int)
    assert_type(list(cache), list[ChildId])
    cache.tell("w1", "message")
    assert_type(cache.ask("w1", "message", timeout=1.0), Any)
    assert_type(cache.ask("w1", "message", block=False), Future[Any])
    assert_type(cache.broadcast("message"), int)
    assert_type(cache.tell_any("message", routing="random"), ChildId)
    assert_type(cache.statistics(), ScopeStatistics)
    sup.add_group("cache", strategy="all_for_one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.add_group("cache", capacity=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.tell_any("message", routing="partition", key="a")
    cache.tell_any("message", keys="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.tell_any("message", routing="broadcast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def chains(sup: Supervisor) -> None:
    head = stage(parse, workers=Autoscale(1, 8), routing="partition", key=len, rate=Rate(10))
    assert_type(head, StageSpec)
    tail = stage(enrich, workers=4, batch=Batch(10, 0.1), on_error=Retry(3), id="enrich")
    etl = sup.add_chain(
        "etl", [head, tail], strategy="one_for_all", capacity=50, on_result=save, on_error="reject"
    )
    assert_type(etl, Chain)
    etl.tell("1")
    etl.tell(1, at="enrich", timeout=1.0)
    etl.tell_nowait("1")
    assert_type(etl.submit("1"), Future[Any])
    assert_type(etl.map(["1", "2"], ordered=True), Generator[Any, None, None])
    assert_type(etl.drain(timeout=30), bool)
    assert_type(etl["enrich"], Stage)
    assert_type(etl["enrich"].replicas, tuple[ChildId, ...])
    assert_type(etl["enrich"].statistics(), StageStatistics)
    assert_type(etl.statistics(), ChainStatistics)
    assert_type(etl.statistics().items.in_flight, int)
    assert_type(etl.add_stage(save, id="save"), Stage)
    assert_type(etl.insert_stage(save, before="enrich"), Stage)
    etl.resize("enrich", 8)
    etl.remove_stage("save")
    etl.pause()
    etl.resume()
    etl.close()

    stage(parse, worker=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    stage(parse, routing="anyone")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    stage(parse, on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sup.add_chain("etl", [parse])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    etl.map(["1"], errors="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    etl.map(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
