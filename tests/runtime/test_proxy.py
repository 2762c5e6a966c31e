"""A proxy reaches the public names of a Pykka class, whichever actor is behind it."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from tests.helpers import PATIENCE, Recorder
from threadsup import (
    CallingSelfError,
    Future,
    MailboxClosed,
    ReplyTimeout,
    Worker,
    current,
    handler,
)
from threadsup._runtime.proxy import Method, Proxy

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import Supervisor


class Playback:
    """What an actor has, and its proxy goes into."""

    def __init__(self) -> None:
        self.volume = 5

    def play(self, track: str) -> str:
        return f"playing {track}"


@pykka.traversable
class Deck:
    """A class all of whose instances are gone into."""

    playback = pykka.traversable(Playback())
    label = "deck"


class Counter(pykka.ThreadingActor):
    """A plain actor with one of each kind of attribute."""

    unit = "apples"
    deck = Deck()
    slow: Any

    def __init__(self, total: int = 0) -> None:
        super().__init__()
        self.total = total
        self.hook = lambda: "called"

    def add(self, number: int, *, times: int = 1) -> int:
        self.total += number * times
        return self.total

    twice = functools.partialmethod(add, times=2)

    def fail(self) -> None:
        raise ValueError("failed")

    def incarnation(self) -> int:
        context = current()
        assert context is not None
        return context.incarnation

    def who(self) -> threading.Thread:
        return threading.current_thread()

    def rename_myself(self, ref: Any) -> None:
        ref.proxy().unit = "pears"

    @property
    def double(self) -> int:
        return self.total * 2

    @property
    def broken(self) -> int:
        raise LookupError("broken")

    @staticmethod
    def square(number: int) -> int:
        return number**2

    @classmethod
    def named(cls) -> str:
        return cls.__name__

    def _private(self) -> None:
        raise AssertionError("nobody reaches it")


@pytest.fixture
def tree(supervisor: MakeSupervisor) -> Supervisor:
    return supervisor(max_restarts=10).start()


@pytest.fixture
def proxy(tree: Supervisor) -> Any:
    return tree.add_worker(Counter, id="counter").proxy()


# -- methods --------------------------------------------------------------------------


def test_a_method_returns_a_future_of_what_it_returns(proxy: Any) -> None:
    """Our future, with Pykka's words and those of the standard library."""
    future = proxy.add(2, times=3)
    assert type(future) is Future
    assert future.get(timeout=PATIENCE) == 6
    assert proxy.add(1).result(PATIENCE) == 7


@pytest.mark.parametrize(("name", "result"), [("square", 9), ("twice", 6)])
def test_methods_of_all_kinds_are_called(proxy: Any, name: str, result: int) -> None:
    """What a class makes of a function is a method as well."""
    assert getattr(proxy, name)(3).get(timeout=PATIENCE) == result


def test_a_class_method_is_called(proxy: Any) -> None:
    """On the class, in the actor's thread."""
    assert proxy.named().get(timeout=PATIENCE) == "Counter"


def test_a_method_runs_in_the_actors_thread(proxy: Any) -> None:
    """One after another with everything else the actor handles."""
    thread = proxy.who().get(timeout=PATIENCE)
    assert thread is not threading.current_thread()
    assert thread is proxy.who().get(timeout=PATIENCE)


def test_what_a_method_raises_its_future_raises(proxy: Any) -> None:
    """As it was raised, and the actor lives: that is the default for Pykka's classes."""
    with pytest.raises(ValueError, match="failed"):
        proxy.fail().get(timeout=PATIENCE)
    assert proxy.incarnation().get(timeout=PATIENCE) == 1


def test_a_deferred_call_returns_nothing(proxy: Any) -> None:
    """It is told: done in its turn, with nobody waiting."""
    assert proxy.add.defer(5) is None
    assert proxy.total.get(timeout=PATIENCE) == 5


def test_an_exception_in_a_deferred_call_is_a_crash(tree: Supervisor) -> None:
    """Nobody waits for it, so it ends the actor, and the next one serves the same proxy."""
    exits: Recorder[object] = Recorder()
    ref = tree.add_worker(Counter, id="counter")
    ref.monitor(exits)
    proxy = ref.proxy()
    proxy.fail.defer()
    assert proxy.incarnation().get(timeout=PATIENCE) == 2
    exits.wait_for(1)


# -- attributes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("unit", "apples"), ("total", 0), ("double", 0)], ids=str
)
def test_an_attribute_is_a_future_of_its_value(proxy: Any, name: str, value: object) -> None:
    """Of the class, set in `__init__`, or computed: the actor gives it."""
    future = getattr(proxy, name)
    assert type(future) is Future
    assert future.get(timeout=PATIENCE) == value


def test_a_property_is_computed_in_the_actor(proxy: Any) -> None:
    """What it raises the future raises; the caller's thread runs none of it."""
    with pytest.raises(LookupError, match="broken"):
        proxy.broken.get(timeout=PATIENCE)


def test_a_name_that_nobody_has_fails_in_its_future(proxy: Any) -> None:
    """Only the actor can know: `__init__` may have set it."""
    future = proxy.nothing
    with pytest.raises(AttributeError, match="nothing"):
        future.get(timeout=PATIENCE)
    assert proxy.incarnation().get(timeout=PATIENCE) == 1


def test_an_attribute_that_is_declared_only_is_asked_for(proxy: Any) -> None:
    """An annotation is no value: the actor is asked, as it may have one."""
    with pytest.raises(AttributeError):
        proxy.slow.get(timeout=PATIENCE)


def test_setting_waits_until_it_is_set(proxy: Any) -> None:
    """When the statement is over the actor has the value."""
    proxy.total = 40
    assert proxy.add(2).get(timeout=PATIENCE) == 42


def test_setting_raises_what_the_actor_raises(proxy: Any) -> None:
    """A property without a setter refuses, to whoever sets it."""
    with pytest.raises(AttributeError):
        proxy.double = 1


def test_setting_from_the_actor_itself_is_refused(tree: Supervisor) -> None:
    """It would wait for its own thread, and is told so at once."""
    ref = tree.add_worker(Counter, id="counter")
    with pytest.raises(CallingSelfError):
        ref.proxy().rename_myself(ref).get(timeout=PATIENCE)


@pytest.mark.parametrize("name", ["_private", "__secret__", "_path_of_mine"])
def test_private_names_are_refused_at_once(proxy: Any, name: str) -> None:
    """Nothing is sent: neither to read nor to set."""
    handled = proxy.actor_ref.statistics().accepted
    with pytest.raises(AttributeError, match="public names"):
        getattr(proxy, name)
    with pytest.raises(AttributeError, match="public names"):
        setattr(proxy, name, 1)
    assert proxy.actor_ref.statistics().accepted == handled


def test_the_ref_is_not_to_be_set(tree: Supervisor) -> None:
    """`actor_ref` is the worker's ref, as in Pykka's proxies, and stays it."""
    ref = tree.add_worker(Counter, id="counter")
    proxy = ref.proxy()
    assert proxy.actor_ref is ref
    with pytest.raises(AttributeError):
        proxy.actor_ref = ref


# -- traversable attributes -----------------------------------------------------------


def test_a_traversable_attribute_is_gone_into(proxy: Any) -> None:
    """Marked one by one or as a class, and any number deep."""
    assert type(proxy.deck) is Proxy
    assert proxy.deck.label.get(timeout=PATIENCE) == "deck"
    assert proxy.deck.playback.play("song").get(timeout=PATIENCE) == "playing song"
    assert proxy.deck.playback.volume.get(timeout=PATIENCE) == 5


def test_what_is_traversed_can_be_set(proxy: Any) -> None:
    """The path is the actor's to follow."""
    proxy.deck.playback.volume = 11
    try:
        assert proxy.deck.playback.volume.get(timeout=PATIENCE) == 11
    finally:
        proxy.deck.playback.volume = 5


# -- the proxy itself -----------------------------------------------------------------


def test_it_is_valid_across_restarts(tree: Supervisor) -> None:
    """Taken once, before the actor was up or after it has been replaced."""
    ref = tree.add_worker(Counter, 1, id="counter")
    proxy = ref.proxy()
    assert proxy.add(1).get(timeout=PATIENCE) == 2
    tree.restart_child("counter")
    assert proxy.add(1).get(timeout=PATIENCE) == 2
    assert proxy.incarnation().get(timeout=PATIENCE) == 2


def test_of_a_worker_that_has_ended_it_says_so(tree: Supervisor) -> None:
    """Pykka's `ActorDeadError`: in the future, and from a deferred call."""
    ref = tree.add_worker(Counter, id="counter")
    proxy = ref.proxy()
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        proxy.add(1).get(timeout=PATIENCE)
    with pytest.raises(MailboxClosed):
        proxy.add.defer(1)
    with pytest.raises(pykka.ActorDeadError):
        proxy.total = 1


def test_it_looks_at_the_class_only(tree: Supervisor) -> None:
    """Nothing of the actor is read in the caller's thread, however it hooks into reading."""
    readers: Recorder[threading.Thread] = Recorder()

    class Watchful(pykka.ThreadingActor):
        def __getattribute__(self, name: str) -> Any:
            if name in {"value", "method"}:
                readers(threading.current_thread())
            return super().__getattribute__(name)

        value = 1

        def method(self) -> int:
            return 2

    proxy = tree.add_worker(Watchful, id="w").proxy()
    assert (proxy.value.get(timeout=PATIENCE), proxy.method().get(timeout=PATIENCE)) == (1, 2)
    dir(proxy)
    repr(proxy)
    assert len(readers) == 2
    assert threading.current_thread() not in readers.items


def test_a_worker_that_is_no_pykka_class_has_none(tree: Supervisor) -> None:
    """The error says what to use instead."""

    class Plain(Worker):
        pass

    refs = [tree.add_worker(handler(len), id="h"), tree.add_worker(Plain, id="w")]
    for ref in refs:
        with pytest.raises(TypeError, match=r"no Pykka class.*tell\(\) and ask\(\)"):
            ref.proxy()


def test_two_of_the_same_are_equal(tree: Supervisor) -> None:
    """Same worker and same path; so they can be kept in sets, as Pykka's."""
    ref, other = (tree.add_worker(Counter, id=name) for name in "ab")
    assert ref.proxy() == ref.proxy()
    assert ref.proxy() != other.proxy()
    assert ref.proxy().deck != ref.proxy()
    assert ref.proxy() != "a"
    assert len({ref.proxy(), ref.proxy(), other.proxy()}) == 2


def test_it_says_what_it_is(proxy: Any) -> None:
    """Its repr names the worker and the path, and asks nobody."""
    assert repr(proxy) == "<Proxy of 'counter'>"
    assert repr(proxy.deck.playback) == "<Proxy of 'counter'.deck.playback>"
    assert type(proxy.add) is Method
    assert repr(proxy.add) == "<Method 'counter'.add>"


def test_dir_names_what_the_class_has(proxy: Any) -> None:
    """Public names of the class and its bases, for who explores it."""
    names = dir(proxy)
    assert {"add", "double", "square", "unit", "deck", "on_receive", "actor_ref"} <= set(names)
    assert not {"_private", "_handle_receive"} & set(names)
    assert {"play", "volume"} <= set(dir(proxy.deck.playback))


def test_a_waiting_caller_may_give_up(tree: Supervisor) -> None:
    """A future of a call that takes too long raises Pykka's `Timeout`."""
    go = threading.Event()

    class Slow(pykka.ThreadingActor):
        def wait(self) -> bool:
            return go.wait(PATIENCE)

    future = tree.add_worker(Slow, id="slow").proxy().wait()
    with pytest.raises(pykka.Timeout) as raised:
        future.get(timeout=0)
    assert type(raised.value) is ReplyTimeout
    go.set()
    assert future.get(timeout=PATIENCE)
