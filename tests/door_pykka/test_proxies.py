"""What Pykka documents of proxies: in both doors, whoever makes the proxy."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import TYPE_CHECKING, Any, assert_type, cast

import pykka
import pytest
from pykka.typing import ActorMemberMixin, proxy_field, proxy_method

import threadsup
from tests.helpers import PATIENCE, Recorder
from threadsup import CallingSelfError

if TYPE_CHECKING:
    from tests.door_pykka.conftest import Begin, Supervise


class Amplifier:
    """Traversed two floors below the actor."""

    volume = 3

    def louder(self) -> int:
        self.volume += 1
        return self.volume


class Playback:
    """Traversed below the actor; one of each kind of attribute."""

    label = "playback"

    def __init__(self) -> None:
        self.track = ""
        self.amplifier = pykka.traversable(Amplifier())
        self.plain = Amplifier()

    def play(self, track: str) -> str:
        self.track = track
        return f"playing {track}"

    def filter(self) -> str:
        """Have a name that a future has, too."""
        return "filtered"


@pykka.traversable
class Marked:
    """All of its instances are traversed."""

    def where(self) -> threading.Thread:
        return threading.current_thread()


class OldStyle:
    """Marked as before Pykka 2."""

    pykka_traversable = True
    value = 4


class Unequal:
    """Not to be compared."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")


class Hostile:
    """Not to be asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("asked")


class Player(pykka.Actor):
    """An actor with attributes of all kinds."""

    kind = "player"
    marked = Marked()
    old = OldStyle()
    unequal = Unequal()
    callback: Any = None

    def __init__(self, note: Any = None) -> None:
        super().__init__()
        self.note = note
        self.playback = pykka.traversable(Playback())
        self.greet = lambda name="you": f"hello {name}"
        self.total = 0
        self._own = "the actor's"

    def on_start(self) -> None:
        self.begun = True
        if self.note is not None:
            self.note("on_start")

    def on_stop(self) -> None:
        if self.note is not None:
            self.note("on_stop")

    def on_failure(self, *exc_info: Any) -> None:
        if self.note is not None:
            self.note(exc_info[1])

    def add(self, number: int, *, times: int = 1) -> int:
        self.total += number * times
        return self.total

    def fail(self) -> None:
        raise ValueError("failed")

    def late(self) -> None:
        self.arrived = "later"

    @property
    def double(self) -> int:
        return self.total * 2

    @double.setter
    def double(self, value: int) -> None:
        if value % 2:
            raise ValueError("odd")
        self.total = value // 2

    @staticmethod
    def square(number: int) -> int:
        return number**2

    @classmethod
    def named(cls) -> str:
        return cls.__name__

    def get_myself(self, what: str) -> Any:
        """Do through a proxy of one's own what would wait for oneself."""
        proxy: Any = self.actor_ref.proxy()
        future = proxy.add(1)
        if what == "get":
            return future.get()
        if what == "set":
            proxy.total = 5
        if what == "read":
            return proxy.total.get(timeout=PATIENCE)
        return future


class Alone(Player, threadsup.ThreadingActor):
    pass


def got(future: Any) -> Any:
    return future.get(timeout=PATIENCE)


@pytest.fixture
def proxy(begin: Begin) -> Any:
    return begin(Player).proxy()


# -- methods --------------------------------------------------------------------------


def test_a_method_gives_a_future(proxy: Any) -> None:
    """Of what it returns, with its arguments as they are."""
    future = proxy.add(2, times=3)
    assert isinstance(future, pykka.Future)
    assert got(future) == 6
    assert got(proxy.square(3)) == 9


def test_a_method_that_raises_raises_in_its_future(proxy: Any) -> None:
    """And nowhere else: the actor lives on."""
    with pytest.raises(ValueError, match="failed"):
        got(proxy.fail())
    assert got(proxy.add(1)) == 1


def test_a_deferred_call_is_a_tell(begin: Begin, notes: Recorder[Any]) -> None:
    """It returns nothing, and what it raises is the actor's failure."""
    proxy = begin(Player, notes).proxy()
    assert proxy.add.defer(2) is None
    assert got(proxy.total) == 2
    proxy.fail.defer()
    assert repr(notes.wait_for(2)[1]) == "ValueError('failed')"


def test_a_call_nobody_waits_for_is_made(proxy: Any) -> None:
    """In its turn; the next answer comes behind it."""
    proxy.add(1)
    proxy.add(2)
    assert got(proxy.total) == 3


def test_a_function_that_init_has_set_is_called(proxy: Any) -> None:
    """What can be called is, wherever the actor has it from."""
    assert got(proxy.greet("there")) == "hello there"


def test_what_pykkas_proxy_takes_for_a_value_is_called(supervise: Supervise) -> None:
    """A class method, and a function that is set where there was a value, by a proxy."""

    class Plain(Player, pykka.ThreadingActor):
        pass

    proxy = supervise(Plain).proxy()
    assert got(proxy.named()) == "Plain"
    assert got(proxy.callback) is None
    proxy.callback = lambda number: number + 1
    assert got(proxy.callback(1)) == 2


def test_hooks_are_methods(proxy: Any) -> None:
    """As any other that has a public name."""
    assert got(proxy.on_receive("what?")) is None


def test_stop_through_a_proxy_stops_it(begin: Begin, notes: Recorder[Any]) -> None:
    """The future says that it was told to; what is queued comes before."""
    proxy = begin(Player, notes).proxy()
    stopping = proxy.stop()
    assert got(stopping) is None
    assert notes.wait_until(lambda items: "on_stop" in items)


# -- attributes -----------------------------------------------------------------------


def test_an_attribute_gives_a_future(proxy: Any) -> None:
    """Of the class, of `__init__`, of `on_start`, and of any time after."""
    assert got(proxy.kind) == "player"
    assert got(proxy.total) == 0
    assert got(proxy.begun) is True
    got(proxy.late())
    assert got(proxy.arrived) == "later"


def test_a_property_is_read_and_set_in_the_actor(proxy: Any) -> None:
    """What its setter raises, the assignment raises."""
    proxy.double = 4
    assert (got(proxy.total), got(proxy.double)) == (2, 4)
    with pytest.raises(ValueError, match="odd"):
        proxy.double = 3


def test_setting_waits_until_it_is_set(proxy: Any) -> None:
    """Also an attribute that was not there."""
    proxy.total = 17
    proxy.brand_new = "new"
    assert (got(proxy.total), got(proxy.brand_new)) == (17, "new")


def test_what_cannot_be_compared_is_an_attribute(proxy: Any) -> None:
    """The proxy works all the same, and it is read."""
    assert type(got(proxy.unequal)) is Unequal


def test_what_cannot_be_asked_is_an_attribute(supervise: Supervise) -> None:
    """Whether it is marked; Pykka's own proxy fails over it."""

    class Plain(pykka.ThreadingActor):
        def on_start(self) -> None:
            self.hostile = Hostile()

    assert type(got(supervise(Plain).proxy().hostile)) is Hostile


def test_a_private_name_is_the_actors_own(proxy: Any) -> None:
    """A name with an underscore is refused at once."""
    with pytest.raises(AttributeError):
        _ = proxy._own


def test_dir_lists_what_the_actor_has(proxy: Any) -> None:
    """Public attributes of class and instance."""
    names = dir(proxy)
    assert {"add", "kind", "double", "total", "playback", "greet", "on_receive", "stop"} <= {*names}
    assert "_own" not in names


# -- traversable attributes -----------------------------------------------------------


def test_a_marked_attribute_is_gone_into(proxy: Any) -> None:
    """That of the class, marked by itself, by its class or in the old way."""
    assert got(proxy.marked.where()) is not threading.current_thread()
    assert got(proxy.old.value) == 4


def test_a_marked_attribute_of_the_instance_is_gone_into(proxy: Any) -> None:
    """As deep as all on the way are marked, whatever its names are."""
    assert got(proxy.playback.play("tune")) == "playing tune"
    assert got(proxy.playback.track) == "tune"
    assert got(proxy.playback.label) == "playback"
    assert got(proxy.playback.filter()) == "filtered"
    assert got(proxy.playback.amplifier.louder()) == 4
    assert got(proxy.playback.amplifier.volume) == 4
    proxy.playback.amplifier.volume = 9
    assert got(proxy.playback.amplifier.volume) == 9


def test_an_attribute_that_is_not_marked_is_a_value(proxy: Any) -> None:
    """Its future holds the object itself."""
    assert type(got(proxy.playback.plain)) is Amplifier


def test_marking_what_has_slots_is_refused() -> None:
    """By Pykka, where it is marked."""

    class Slotted:
        __slots__ = ()

    with pytest.raises(ValueError, match="slots"):
        pykka.traversable(Slotted())


# -- a proxy to oneself ---------------------------------------------------------------


def test_a_proxy_to_itself_schedules_work(begin: Begin) -> None:
    """Behind what is queued; its future may be got when that is done."""
    ref = begin(Player)
    future = got(ref.proxy().get_myself("later"))
    assert future.get(timeout=PATIENCE) == 1


@pytest.mark.parametrize("what", ["get", "set", "read"])
def test_to_wait_for_oneself_is_refused(begin: Begin, what: str) -> None:
    """At once; in Pykka the actor hangs, and everybody who waits for it."""
    ref = begin(Player)
    with pytest.raises(CallingSelfError):
        got(ref.proxy().get_myself(what))
    assert got(ref.proxy().kind) == "player"


def test_a_public_proxy_to_itself_does_no_harm(begin: Begin) -> None:
    """Pykka advises against it, and leaves it out."""

    class Selfish(pykka.Actor):
        foo = "bar"

        def on_start(self) -> None:
            self.self_proxy = self.actor_ref.proxy()

    assert got(begin(Selfish).proxy().foo) == "bar"


def test_a_part_that_leads_back_ends(begin: Begin) -> None:
    """A marked attribute that has its owner: no way round and round."""

    class Loop(pykka.Actor):
        def on_start(self) -> None:
            self._part = pykka.traversable(Playback())
            self._part.track = self._part  # type: ignore[assignment]

        def add(self) -> int:
            return 1

    assert got(begin(Loop).proxy().add()) == 1


# -- the proxy itself -----------------------------------------------------------------


def test_proxies_of_the_same_are_equal(begin: Begin) -> None:
    """And of the same hash; those of other actors and paths are others."""
    ref, other = begin(Player), begin(Player)
    proxy = ref.proxy()
    assert proxy == ref.proxy()
    assert hash(proxy) == hash(ref.proxy())
    assert proxy != other.proxy()
    assert proxy != proxy.playback
    assert proxy.actor_ref is ref


def test_a_proxy_says_what_it_is(proxy: Any) -> None:
    """Its kind and its path, in angle brackets."""
    shown = repr(proxy.playback)
    assert shown.startswith("<")
    assert "Proxy" in shown
    assert "playback" in shown


def test_neither_ref_nor_proxy_can_be_copied(begin: Begin) -> None:
    """There is one actor: a copy that is none of it would be a trap."""
    ref = begin(Player)
    for what in (ref, ref.proxy()):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(what)
        with pytest.raises((TypeError, AttributeError)):
            copy.deepcopy(what)


def test_a_dead_actor_has_no_proxy() -> None:
    """Pykka's own is refused; that of a worker outlives its actors."""
    ref = Alone.start()
    ref.stop()
    with pytest.raises(pykka.ActorDeadError, match="not found"):
        ref.proxy()


def test_a_proxy_of_a_dead_actor_refuses(begin: Begin) -> None:
    """A call fails in its future, a deferred one and an assignment at once."""
    ref = begin(Player)
    proxy = ref.proxy()
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        got(proxy.add(1))
    with pytest.raises(pykka.ActorDeadError):
        proxy.add.defer(1)
    with pytest.raises(pykka.ActorDeadError):
        proxy.total = 1


def test_a_proxy_is_valid_across_restarts(supervise: Supervise, notes: Recorder[Any]) -> None:
    """What the next instance has is what it shows, its parts as well."""

    class Plain(Player, pykka.ThreadingActor):
        pass

    proxy = supervise(Plain, notes).proxy()
    playback = proxy.playback
    got(playback.play("tune"))
    proxy.extra = pykka.traversable(Amplifier())
    assert got(proxy.extra.louder()) == 4
    proxy.fail.defer()
    notes.wait_until(lambda items: items.count("on_start") == 2)
    assert got(playback.track) == ""
    assert "extra" not in dir(proxy)


def test_the_instance_is_looked_at_in_its_own_thread(supervise: Supervise) -> None:
    """However it hooks into that, the caller looks at nothing that changes meanwhile."""
    lookers: Recorder[threading.Thread] = Recorder()

    class Watched:
        def __getattribute__(self, name: str) -> Any:
            lookers(threading.current_thread())
            return super().__getattribute__(name)

    class Plain(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.watched = Watched()

        def who(self) -> threading.Thread:
            return threading.current_thread()

    proxy = supervise(Plain).proxy()
    got(proxy.watched)
    dir(proxy)
    assert set(lookers.items) == {got(proxy.who())}


def test_messages_of_a_proxy_may_be_sent_by_hand(begin: Begin) -> None:
    """`pykka.messages` is public: a call without a proxy, told or asked."""
    ref = begin(Player)
    ref.tell(pykka.messages.ProxyCall(attr_path=("add",), args=(2,), kwargs={"times": 2}))
    assert ref.ask(pykka.messages.ProxyGetAttr(attr_path=("total",))) == 4
    ref.ask(pykka.messages.ProxySetAttr(attr_path=("total",), value=7))
    assert ref.ask(pykka.messages.ProxyGetAttr(attr_path=("total",))) == 7


# -- types ----------------------------------------------------------------------------


class CircleActor(threadsup.ThreadingActor):
    pi = 3.14

    def area(self, radius: float) -> float:
        return self.pi * radius**2


class CircleProxy(ActorMemberMixin, pykka.ActorProxy[CircleActor]):
    pi = proxy_field(CircleActor.pi)
    area = proxy_method(CircleActor.area)


def test_proxies_are_typed_as_pykka_types_them() -> None:
    """`pykka.typing` says what a field and a method of a proxy are."""
    ref = CircleActor.start()
    assert_type(ref.ask("message", block=False), threadsup.Future[Any])
    proxy = cast("CircleProxy", ref.proxy())
    assert_type(proxy.pi, pykka.Future[float])
    assert_type(proxy.area(1.0), pykka.Future[float])
    assert got(proxy.area(2.0)) == pytest.approx(12.56)
    assert_type(proxy.stop(), pykka.Future[None])
    assert_type(ref.stop(block=False), threadsup.Future[bool])
    wanted: pykka.ActorRef[CircleActor] = ref
    assert wanted is ref


def test_a_mock_stands_in_for_a_collaborator(begin: Begin) -> None:
    """The way in which Pykka's guide tests actors."""
    consumed: Recorder[Any] = Recorder()

    class Producer(pykka.Actor):
        def __init__(self, consumer: Any) -> None:
            super().__init__()
            self.consumer = consumer

        def produce(self) -> None:
            self.consumer({"item": 1})

    got(begin(Producer, consumed).proxy().produce())
    assert consumed.items == [{"item": 1}]
