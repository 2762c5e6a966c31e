"""`statistics()` of a chain: counts per stage and replica, and how long items take and wait."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.chain.flows import outcome
from tests.chain.stops import Stops
from tests.helpers import PATIENCE, Gate, ManualClock, Recorder
from threadsup import Backoff, Batch, Drop, Emit, Reject, Retry, stage
from threadsup._runtime import batching, sampling, serving
from threadsup._snapshot import Times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chain.conftest import MakeFlow
    from tests.chain.flows import Flow
    from threadsup._snapshot import StageStatistics

COUNTS = ("accepted", "handled", "failed", "undelivered", "pending", "restarts", "retried")


def same(item: Any) -> Any:
    return item


def stage_of(f: Flow, id: str) -> StageStatistics:
    return f.chain.statistics().stages[id]


def about(seconds: float) -> Any:
    """A percentile is an eighth off at most."""
    return pytest.approx(seconds, rel=0.126)


def through(f: Flow) -> None:
    """Wait until all items are through, and then until what rode the queue with them is."""
    for _ in range(2):
        assert f.chain.drain(PATIENCE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Have time pass for stages only when a test says so."""
    manual = ManualClock(1_000.0)
    for module in (serving, batching, sampling):
        monkeypatch.setattr(module, "monotonic", manual)
    return manual


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Stops:
    return Stops(monkeypatch)


# -- times ----------------------------------------------------------------------------------


def test_service_time_is_that_from_the_hand_to_the_result(
    flow: MakeFlow, clock: ManualClock
) -> None:
    """Each slow item is timed; the mean is exact, a percentile nearly."""

    def work(item: float) -> float:
        clock.advance(item)
        return item

    f = flow(stage(same, id="a"), stage(work, id="b"))
    taken = [0.1] * 98 + [5.0] * 2
    for seconds in taken:
        f.chain.submit(seconds).result(5)
    found = stage_of(f, "b").service
    assert found.count == 100
    assert found.mean == pytest.approx(sum(taken) / 100)
    assert (found.p50, found.p99) == (about(0.1), about(5.0))
    assert stage_of(f, "b").replicas["b", 0].service == found


def test_queue_time_is_that_of_one_that_rides_the_queue(flow: MakeFlow, clock: ManualClock) -> None:
    """Behind four items of one second each it waits four seconds; behind none, none."""
    gate = Gate("the first item")

    def work(item: int) -> int:
        if item == 0:
            gate.meet()
        clock.advance(1.0)
        return item

    f = flow(stage(work, id="a"))
    for item in range(5):
        f.chain.tell(item)
    gate.open()
    through(f)
    found = stage_of(f, "a").queue
    assert found == Times(1, 4.0, about(4.0), about(4.0))
    assert f.chain.submit(5).result(5) == 5
    assert f.chain.drain(10)
    found = stage_of(f, "a").queue
    assert (found.count, found.mean) == (2, 2.0)


def test_fast_items_are_timed_now_and_then_and_weighed(flow: MakeFlow) -> None:
    """Those that were timed stand for those that were not: the count is nearly that handled."""
    f = flow(stage(same, id="a", capacity=5_000))
    for item in range(5_000):
        f.chain.tell(item)
    assert f.chain.drain(10)
    found = stage_of(f, "a")
    assert found.handled == 5_000
    assert 5_000 - 1_024 <= found.service.count <= 5_000
    assert 0 < found.service.p50 <= found.service.p99
    assert 0 < found.service.mean < 1


def test_the_times_of_a_stage_are_those_of_its_replicas(flow: MakeFlow, clock: ManualClock) -> None:
    """Together; each replica has its own."""
    f = flow(stage(clock.advance, id="a", workers=2, routing="partition", key=int))
    for seconds in [2, 3, 5, 7, 11, 13] * 3:
        f.chain.submit(seconds).result(5)
    found = stage_of(f, "a")
    assert found.service.count == 18
    assert found.service.mean == pytest.approx(41 * 3 / 18)
    parts = [each.service for each in found.replicas.values()]
    assert sum(each.count for each in parts) == 18
    assert sum(each.count * each.mean for each in parts) == pytest.approx(41 * 3)
    assert all(each.service.count == each.handled for each in found.replicas.values())


def test_items_of_a_batch_share_its_time(flow: MakeFlow, clock: ManualClock) -> None:
    """Each took a part of it."""

    def work(items: list[Any]) -> list[Any]:
        clock.advance(len(items) * 0.5)
        return items

    f = flow(stage(work, id="a", batch=Batch(4, 1_000.0)))
    for item in range(8):
        f.chain.tell(item)
    assert f.chain.drain(10)
    found = stage_of(f, "a").service
    assert found.count == 8
    assert found.mean == pytest.approx(0.5)


def test_neither_a_pause_nor_a_retry_pause_is_service_time(
    flow: MakeFlow, clock: ManualClock
) -> None:
    """What an item waits for is not what it takes; a failed attempt takes its time, too."""
    tried: Recorder[Any] = Recorder()

    def work(item: Any) -> Any:
        clock.advance(1.0)
        tried(item)
        if len(tried) == 1:
            raise ValueError(item)
        return item

    retry = Retry(attempts=2, backoff=Backoff(0.001, jitter=0.0))
    f = flow(stage(work, id="a", on_error=retry))
    assert f.chain.submit("item").result(5) == "item"
    f.chain.pause()
    future = f.chain.submit("other")
    clock.advance(100.0)
    f.chain.resume()
    assert future.result(5) == "other"
    found = stage_of(f, "a")
    assert found.service.count == 3
    assert found.service.mean == pytest.approx(1.0)
    assert found.retried == 1


def test_times_go_on_over_restarts(flow: MakeFlow, clock: ManualClock) -> None:
    """What rode the queue for a life that is over tells nothing of the next one."""
    gate = Gate("the first item")

    def work(item: Any) -> Any:
        if item == 0:
            gate.meet()
        clock.advance(1.0)
        if item == 1:
            clock.advance(100.0)
            raise ValueError(item)
        return item

    f = flow(stage(work, id="a"))
    for item in range(4):
        f.chain.tell(item)
    gate.open()
    through(f)
    found = stage_of(f, "a")
    assert found.restarts == 1
    assert found.service.count == 3
    assert found.service.mean == pytest.approx(1.0)
    assert (found.queue.count, found.queue.mean) == (1, 1.0)
    assert f.chain.submit(4).result(5) == 4
    assert f.chain.drain(10)
    assert stage_of(f, "a").queue.count > found.queue.count


def test_one_that_was_given_up_on_times_nothing(
    flow: MakeFlow, stops: Stops, clock: ManualClock
) -> None:
    """What it does when it comes back is nobody's: its successor has the numbers."""
    gate, back = Gate("the item that hangs"), Recorder[Any]()

    def work(item: Any) -> Any:
        if item == "hang":
            gate.meet()
            clock.advance(1_000.0)
            back(item)
        return item

    f = flow(stage(work, id="a", time_limit=0.15))
    assert outcome(f.chain.submit("hang")) == "exited"
    assert f.chain.submit(1).result(5) == 1
    gate.open()
    back.wait_for(1)
    stops.join_fenced()
    found = stage_of(f, "a")
    assert (found.service.count, found.failed, found.handled) == (1, 1, 1)
    assert found.service.mean < 1.0


def test_times_are_taken_on_after_a_resize(flow: MakeFlow, clock: ManualClock) -> None:
    """What rides a queue that is shared out anew is not lost for good."""
    gate = Gate("the first items")

    def work(item: int) -> int:
        if item < 0:
            gate.meet()
        clock.advance(1.0)
        return item

    f = flow(stage(work, id="a", workers=2, routing="partition", key=int))
    for item in (-1, -2, *range(20)):
        f.chain.tell(item)
    gate.open()
    f.chain.resize("a", 3, PATIENCE)
    assert f.chain.drain(10)
    f.chain.resize("a", 2, PATIENCE)
    before = {key: each.queue.count for key, each in stage_of(f, "a").replicas.items()}
    for item in range(20):
        f.chain.submit(item).result(5)
    assert f.chain.drain(10)
    after = {key: each.queue.count for key, each in stage_of(f, "a").replicas.items()}
    assert all(after[key] > before[key] for key in after)


# -- in hand --------------------------------------------------------------------------------


def test_what_is_in_hand_is_known_with_the_time_since_when(flow: MakeFlow) -> None:
    """Of a stage the earliest of its replicas; `None` with nothing in hand."""
    gates = [Gate(f"item {number}") for number in range(2)]

    def hold(item: int) -> int:
        gates[item].meet()
        return item

    f = flow(stage(hold, id="a", workers=2), stage(same, id="b"))
    assert stage_of(f, "a").in_hand_since is None
    start = monotonic()
    f.chain.tell(0)
    gates[0].wait_reached()
    between = monotonic()
    f.chain.tell(1)
    gates[1].wait_reached()
    found = stage_of(f, "a")
    first, second = sorted(each.in_hand_since or 0.0 for each in found.replicas.values())
    assert start <= first <= between <= second <= monotonic()
    assert found.in_hand_since == first
    assert stage_of(f, "b").in_hand_since is None
    gates[0].open()
    f.results.wait_for(1)
    assert stage_of(f, "a").in_hand_since == second
    gates[1].open()
    assert f.chain.drain(10)
    assert stage_of(f, "a").in_hand_since is None


# -- counts ---------------------------------------------------------------------------------


def mixed(item: int) -> Any:
    """End in every way there is."""
    match item % 8:
        case 1:
            return Drop()
        case 2:
            return Reject()
        case 3:
            return Emit(item - 3, item - 3, item - 3)
        case 4:
            raise ValueError(item)
        case 5:
            return generated(item)
    return item


def generated(item: int) -> Iterator[int]:
    yield item - 5
    yield item - 5


def adds_up(f: Flow) -> None:
    """Replicas make a stage, stages make the chain, and each has its equation."""
    found = f.chain.statistics()
    for each in found.stages.values():
        for name in COUNTS:
            parts = sum(getattr(replica, name) for replica in each.replicas.values())
            assert getattr(each, name) >= parts
        for one in (each, *each.replicas.values()):
            assert one.accepted == one.handled + one.failed + one.undelivered + one.pending
    for name in COUNTS[:-1]:
        parts = sum(getattr(each, name) for each in found.stages.values())
        assert getattr(found, name) == parts


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("routing", ["round_robin", "broadcast"])
def test_counts_add_up_against_the_senders_own(flow: MakeFlow, workers: int, routing: Any) -> None:
    """Items are what was sent, once each; messages are what the stages were given."""
    f = flow(
        stage(mixed, id="a", workers=workers, routing=routing),
        stage(same, id="b", workers=2),
        stage(same, id="c"),
        capacity=5,
    )
    for item in range(80):
        f.chain.tell(item)
    for item in range(0, 80, 8):
        f.chain.tell(item, at="b")
    assert f.chain.drain(10)
    assert f.items() == {"offered": 90, "completed": 60, "dropped": 10, "failed": 20}
    copies = workers if routing == "broadcast" else 1
    found = f.chain.statistics().stages
    assert (found["a"].accepted, found["a"].handled) == (80 * copies, 60 * copies)
    assert found["b"].accepted == copies * (30 + 10 * (3 + 2)) + 10
    assert found["c"].handled == len(f.results) == found["b"].handled
    assert list(found["a"].replicas) == [("a", number) for number in range(workers)]
    adds_up(f)


def test_numbers_can_be_read_after_the_end(flow: MakeFlow) -> None:
    """They stay as they were, also those of times; what was left is undelivered."""
    gate = Gate("the last stage")

    def hold(item: int) -> int:
        if item == 3:
            gate.meet()
        return item

    f = flow(stage(mixed, id="a"), stage(hold, id="b", shutdown=0.0), capacity=4)
    for item in (0, 6, 7):
        assert f.chain.submit(item).result(5) == item
    before = f.chain.statistics()
    f.chain.tell(3, at="b")
    gate.wait_reached()
    f.chain.tell(6, at="b")
    f.sup.stop(PATIENCE)
    after = f.chain.statistics()
    assert f.items() == {"offered": 5, "completed": 3, "failed": 2}
    assert after.stages["b"].undelivered == 1
    assert after.stages["b"].service.count == before.stages["b"].service.count
    assert after.stages["a"].service == before.stages["a"].service
    assert after.stages["b"].in_hand_since is None
    gate.open()
    adds_up(f)
    assert f.chain.statistics().handled == after.handled


def test_what_removed_replicas_did_stays_in_the_sums(flow: MakeFlow, clock: ManualClock) -> None:
    """Their counts and their times; they are no longer among the replicas."""

    def work(item: int) -> Any:
        clock.advance(1.0)
        return mixed(item)

    f = flow(stage(work, id="a", workers=4, on_error="reject"), stage(same, id="b"))
    for item in range(80):
        f.chain.tell(item)
    assert f.chain.drain(10)
    before = stage_of(f, "a")
    f.chain.resize("a", 1, PATIENCE)
    after = stage_of(f, "a")
    assert list(after.replicas) == [("a", 0)]
    for name in ("accepted", "handled", "failed", "undelivered", "pending", "retried"):
        assert getattr(after, name) == getattr(before, name)
    assert after.service == before.service
    assert after.queue.count >= before.queue.count
    f.chain.resize("a", 2, PATIENCE)
    for item in range(8):
        f.chain.tell(item)
    assert f.chain.drain(10)
    assert f.items() == {"offered": 88, "completed": 55, "dropped": 11, "failed": 22}
    adds_up(f)


def test_retries_are_counted_apart(flow: MakeFlow) -> None:
    """An item is accepted once, however often it is tried."""
    tried: dict[int, int] = {}

    def stumble(item: int) -> int:
        tried[item] = tried.get(item, 0) + 1
        if tried[item] < 3:
            raise ValueError(item)
        return item

    again = stage(stumble, id="crash", max_attempts=3)
    f = flow(again, stage(same, id="b"))
    for item in range(10):
        f.chain.tell(item)
    assert f.chain.drain(10)
    found = stage_of(f, "crash")
    assert (found.accepted, found.handled, found.retried, found.restarts) == (10, 10, 20, 20)
    assert f.items() == {"offered": 10, "completed": 10}
