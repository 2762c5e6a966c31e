"""What we rely on of Pykka's insides, and that an untouched class runs on our mailbox."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from typing import TYPE_CHECKING, Any, Self

import pykka
import pykka.messages
import pytest

from tests.helpers import Recorder
from tests.runtime.forcing import Hostile
from threadsup._errors import MailboxClosed
from threadsup._runtime.future import Future
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.pykka_compat import (
    ActorStop,
    Envelope,
    Inbox,
    build,
    fail,
    handle,
    is_traversable,
    retire,
    succeed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BOOM = ValueError("boom")


class Counter(pykka.ThreadingActor):
    """A plain actor, with arguments and a proxy to itself."""

    name = "counter"

    def __init__(self, start: int = 0, *, step: int = 1) -> None:
        super().__init__()
        self.count = start
        self.step = step
        self.early_ref = self.actor_ref
        self._in_future = self.actor_ref.proxy()

    def add(self, times: int = 1) -> int:
        self.count += self.step * times
        return self.count

    def add_later(self) -> Any:
        return self._in_future.add()

    def on_receive(self, message: Any) -> Any:
        return ("received", message)


class Setup:
    """An actor built on a mailbox of ours, and no loop."""

    def __init__(
        self, cls: type[pykka.ThreadingActor] = Counter, *args: Any, **kwargs: Any
    ) -> None:
        self.mailbox = Mailbox("counter")
        self.stops: Recorder[Any] = Recorder()
        self.inbox = Inbox(self.mailbox, self.stops)
        self.actor: Any = build(cls, args, kwargs, self.inbox)

    def handle_next(self) -> Any:
        """Do what the loop of a worker does with the next message."""
        raw = self.mailbox.get()
        if type(raw) is not Envelope:
            return handle(self.actor, raw)
        answer = handle(self.actor, raw.message)
        succeed(raw.reply_to, answer)
        return answer


# -- pins: Pykka's private names ------------------------------------------------------


def test_an_envelope_is_a_message_and_a_future() -> None:
    """`Envelope` has two slots, is told from messages by its type, and can be made."""
    envelope = Envelope("message")
    assert (envelope.message, envelope.reply_to) == ("message", None)
    future = Future[Any]()
    assert Envelope("message", future).reply_to is future
    assert Envelope("message", reply_to=future).reply_to is future
    assert Envelope.__slots__ == ["message", "reply_to"]


def test_refs_put_envelopes() -> None:
    """A tell, an ask, a proxy and a stop put what we expect of them into the inbox."""
    put: list[Envelope[Any]] = []

    class Probe:
        get = empty = None

        def put(self, envelope: Envelope[Any]) -> None:
            put.append(envelope)
            if envelope.reply_to is not None:
                envelope.reply_to.set(None)

    actor = build(Counter, (), {}, Probe())  # type: ignore[arg-type]
    ref: pykka.ActorRef[Any] = actor.actor_ref
    proxy: Any = ref.proxy()
    ref.tell(1)
    ref.ask(2)
    proxy.add(3)
    proxy.add.defer(4)
    proxy.count  # noqa: B018 - reading it asks
    proxy.count = 5
    ref.stop()
    actor.stop()
    assert all(type(envelope) is Envelope for envelope in put)
    assert [(type(e.message), e.reply_to is None) for e in put] == [
        (int, True),
        (int, False),
        (pykka.messages.ProxyCall, False),
        (pykka.messages.ProxyCall, True),
        (pykka.messages.ProxyGetAttr, False),
        (pykka.messages.ProxySetAttr, False),
        (ActorStop, False),
        (ActorStop, True),
    ]


def test_an_actor_makes_its_inbox_through_itself() -> None:
    """`Actor.__init__` calls `self._create_actor_inbox()`, and gives it to its ref."""
    assert isinstance(vars(pykka.ThreadingActor)["_create_actor_inbox"], staticmethod)
    setup = Setup()
    assert setup.actor.actor_inbox is setup.inbox
    assert vars(setup.actor)["_actor_ref"] is setup.actor.actor_ref
    assert setup.actor.actor_ref.actor_inbox is setup.inbox


def test_an_actor_handles_proxies_by_itself() -> None:
    """`_handle_receive` does what a proxy asked for and hands on the rest."""
    actor = Setup(Counter, 5).actor
    assert actor._handle_receive(pykka.messages.ProxyCall(("add",), (2,), {})) == 7
    assert actor._handle_receive(pykka.messages.ProxyGetAttr(("count",))) == 7
    assert actor._handle_receive(pykka.messages.ProxySetAttr(("count",), 1)) is None
    assert actor._handle_receive("message") == ("received", "message")


def test_an_actors_ref_is_alive_until_the_event() -> None:
    """`actor_stopped` is an event that the ref shares."""
    actor = Setup().actor
    assert isinstance(actor.actor_stopped, threading.Event)
    assert actor.actor_ref.actor_stopped is actor.actor_stopped
    assert actor.actor_ref.is_alive()


def test_a_traversable_attribute_is_marked() -> None:
    """`pykka.traversable` marks what a proxy goes into; a class may mark itself."""

    class Marked:
        pykka_traversable = True

    class Plain:
        pass

    plain = Plain()
    assert [is_traversable(it) for it in (Marked(), Marked, plain, "text")] == [
        True,
        True,
        False,
        False,
    ]
    assert is_traversable(pykka.traversable(plain))


def test_a_plain_future_refuses_a_second_answer() -> None:
    """Ours with `InvalidStateError`, Pykka's with `queue.Full`."""
    plain = pykka.ThreadingFuture[int]()
    plain.set(1)
    with pytest.raises(queue.Full):
        plain.set(2)
    with pytest.raises(queue.Full):
        plain.set_exception((ValueError, BOOM, None))


def test_a_plain_future_has_no_result_until_it_is_settled() -> None:
    """By `_result` one can see whether `get` would wait; a future makes others of its class."""
    plain = pykka.ThreadingFuture[int]()
    assert plain._result is None
    assert type(plain.map(str)) is pykka.ThreadingFuture
    plain.set(None)
    assert plain._result is not None


def test_a_ref_makes_futures_by_the_actors_class() -> None:
    """`ActorRef.ask` calls `_create_future`, of the class."""

    class Other(Counter):
        @staticmethod
        def _create_future() -> Future[Any]:
            return Future()

    future = Setup(Other).actor.actor_ref.ask("message", block=False)
    assert type(future) is Future


def test_the_registry_is_a_list_behind_a_lock() -> None:
    """In the order of registering; the lock is one that its thread may take again."""
    refs = [Setup().actor.actor_ref for _ in range(2)]
    with pykka.ActorRegistry._actor_refs_lock:
        for ref in refs:
            pykka.ActorRegistry.register(ref)
        assert type(pykka.ActorRegistry._actor_refs) is list
        assert pykka.ActorRegistry._actor_refs == refs
        for ref in refs:
            pykka.ActorRegistry.unregister(ref)
    assert pykka.ActorRegistry._actor_refs == []


# -- building -------------------------------------------------------------------------


def test_an_actor_is_built_with_its_arguments() -> None:
    """Positional and named, as the class would be called."""
    actor = Setup(Counter, 10, step=3).actor
    assert type(actor) is Counter
    assert (actor.count, actor.step) == (10, 3)
    assert actor.add() == 13
    with pytest.raises(TypeError, match="unexpected"):
        Setup(Counter, wrong=1)


def test_a_ref_taken_in_init_works() -> None:
    """The inbox is in place before `__init__` runs."""
    setup = Setup()
    early = setup.actor.early_ref
    early.tell("hello")
    assert setup.mailbox.pending == 1
    assert setup.handle_next() == ("received", "hello")
    future = early.ask("well?", block=False)
    setup.handle_next()
    assert future.get(timeout=0) == ("received", "well?")


def test_a_proxy_to_itself_works() -> None:
    """An actor schedules work for itself, behind what is queued."""
    setup = Setup(Counter, 1)
    outside = setup.actor.early_ref.proxy()
    later = outside.add_later()
    setup.mailbox.put("between")
    setup.handle_next()
    inner = later.get(timeout=0)
    assert setup.actor.count == 1
    assert setup.handle_next() == ("received", "between")
    setup.handle_next()
    assert inner.get(timeout=0) == 2
    outside.add.defer(3)
    assert type(setup.mailbox.get()) is pykka.messages.ProxyCall


def test_the_class_stays_as_it_is() -> None:
    """Nothing is put into it, and started as plain Pykka it has Pykka's inbox."""
    before = dict(vars(Counter))
    Setup()
    assert dict(vars(Counter)) == before
    assert "_create_actor_inbox" not in vars(Counter)
    ref = Counter.start(1)
    try:
        assert isinstance(ref.actor_inbox, queue.Queue)
        assert ref.proxy().add().get(timeout=10) == 2
    finally:
        ref.stop()


def test_nobody_registers_it_and_nobody_starts_it() -> None:
    """`ActorRegistry` knows nothing of it, and no thread was started."""
    threads = threading.active_count()
    setup = Setup()
    assert pykka.ActorRegistry.get_all() == []
    assert pykka.ActorRegistry.get_by_urn(setup.actor.actor_urn) is None
    assert threading.active_count() == threads


def test_an_init_that_forgets_super_is_told() -> None:
    """A class that never called Pykka's `__init__` is a `TypeError`, named."""

    class Forgetful(pykka.ThreadingActor):
        def __init__(self) -> None:
            self.ready = True

        def __getattr__(self, name: str) -> Any:
            return self.missing

    with pytest.raises(TypeError, match=r"Forgetful.__init__\(\) must call super\(\)"):
        Setup(Forgetful)


def test_an_init_that_fails_fails_as_it_is() -> None:
    """The user's exception, not wrapped."""

    class Failing(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            raise BOOM

    with pytest.raises(ValueError, match="boom") as raised:
        Setup(Failing)
    assert raised.value is BOOM


def test_a_class_with_ways_of_its_own_is_built() -> None:
    """A `__new__` with arguments, a `__setattr__` that needs `__init__`, both as ever."""

    class Particular(pykka.ThreadingActor):
        def __new__(cls, first: int, *, second: int) -> Self:
            made = super().__new__(cls)
            object.__setattr__(made, "seen", (first, second))
            return made

        def __init__(self, first: int, *, second: int) -> None:
            object.__setattr__(self, "written", [])
            super().__init__()

        def __setattr__(self, name: str, value: Any) -> None:
            self.written.append(name)  # type: ignore[attr-defined]
            super().__setattr__(name, value)

    actor = Setup(Particular, 1, second=2).actor
    assert actor.seen == (1, 2)
    assert "actor_inbox" in actor.written


# -- the inbox ------------------------------------------------------------------------


def test_a_tell_travels_without_an_envelope_and_an_ask_in_one() -> None:
    """What an actor sends itself looks like what anybody sends it."""
    setup = Setup()
    setup.actor.actor_ref.tell("told")
    future = setup.actor.actor_ref.ask("asked", block=False)
    told, asked = setup.mailbox.get(), setup.mailbox.get()
    assert told == "told"
    assert type(asked) is Envelope
    assert (asked.message, asked.reply_to) == ("asked", future)


def test_a_stop_goes_to_whom_it_concerns() -> None:
    """`actor.stop()` and `ref.stop()` never reach the mailbox as messages."""
    setup = Setup()
    setup.actor.stop()
    waiting = setup.actor.actor_ref.stop(block=False)
    (none, future) = setup.stops.items
    assert none is None
    assert setup.mailbox.qsize() == 0
    succeed(future, None)
    assert waiting.get(timeout=0) is True


def test_an_inbox_is_empty_when_its_mailbox_is() -> None:
    """`empty` counts messages, and `get` is nobody's to call."""
    setup = Setup()
    setup.mailbox.signal("stop")
    assert setup.inbox.empty()
    setup.actor.actor_ref.tell(1)
    assert not setup.inbox.empty()
    with pytest.raises(RuntimeError, match="a loop of ours"):
        setup.inbox.get()


def test_a_closed_mailbox_refuses_as_a_dead_actor_does() -> None:
    """A tell raises `ActorDeadError`, an ask's future does: as Pykka's refs do."""
    setup = Setup()
    setup.mailbox.close("over")
    with pytest.raises(pykka.ActorDeadError):
        setup.actor.actor_ref.tell(1)
    future = setup.actor.actor_ref.ask(2, block=False)
    with pytest.raises(MailboxClosed, match="over"):
        future.get(timeout=0)


def test_a_ref_dies_with_its_incarnation() -> None:
    """After `retire` a ref from inside says that the actor is dead."""
    setup = Setup()
    retire(setup.actor)
    assert not setup.actor.early_ref.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        setup.actor.early_ref.tell(1)


# -- handling and answering -----------------------------------------------------------


def test_a_message_is_received_and_a_proxys_wish_done() -> None:
    """`handle` returns what `on_receive`, the method or the attribute gives."""
    actor = Setup(Counter, 1).actor
    assert handle(actor, {"any": "message"}) == ("received", {"any": "message"})
    assert handle(actor, pykka.messages.ProxyCall(("add",), (), {"times": 2})) == 3
    assert handle(actor, pykka.messages.ProxyGetAttr(("name",))) == "counter"
    assert handle(actor, pykka.messages.ProxySetAttr(("step",), 9)) is None
    assert actor.step == 9


def test_a_message_that_resists_is_received() -> None:
    """Nobody asks it what it is but the actor."""
    actor, payload = Setup().actor, Hostile()
    received, message = handle(actor, payload)
    assert received == "received"
    assert message is payload


def test_pykkas_own_stop_is_out_of_reach() -> None:
    """A stop handed to `handle` is a message: no registry, no `on_stop`, no stop-all."""
    actor = Setup().actor
    assert handle(actor, ActorStop()) == ("received", ActorStop())
    assert actor.actor_ref.is_alive()


@pytest.mark.parametrize("make", [Future, pykka.ThreadingFuture])
def test_an_answer_given_twice_is_given_once(make: Callable[[], pykka.Future[Any]]) -> None:
    """`succeed` and `fail` settle either kind of future, and nobody, and let it be."""
    future = make()
    succeed(future, 1)
    succeed(future, 2)
    fail(future, BOOM)
    assert future.get(timeout=0) == 1
    future = make()
    fail(future, BOOM)
    fail(future, KeyError())
    succeed(future, 1)
    with pytest.raises(ValueError, match="boom") as raised:
        future.get(timeout=0)
    assert raised.value is BOOM
    succeed(None, 1)
    fail(None, BOOM)


def test_an_answer_to_a_cancelled_ask_is_dropped() -> None:
    """Who cancelled does not get it, and nobody fails over it."""
    for error in (None, BOOM):
        future: Future[Any] = Future()
        future.cancel()
        if error is None:
            succeed(future, 1)
        else:
            fail(future, error)
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(0)
