"""Answers that come later: one for each caller, whoever brings it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.genserver.scenes import Scene
from tests.helpers import PATIENCE, Gate, Recorder
from tests.runtime.lives import GatedHand
from threadsup import (
    Abandoned,
    Crashed,
    GenServer,
    ReplyTimeout,
    ReplyToken,
    Shutdown,
    WorkerExited,
)
from threadsup._runtime.future import Future
from threadsup._runtime.owed import Owed

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import ExitReason


class Desk(GenServer):
    """Lets its callers wait until it is told to serve them."""

    def init(self, *, last_words: bool = False) -> None:
        self.waiting: list[ReplyToken] = []
        self.last_words = last_words

    def handle_call(self, request: Any) -> Any:
        if request == "tokens":
            return self.waiting
        token = self.defer()
        self.waiting.append(token)
        if request == "early":
            self.reply(token, "at once")
        elif request == "twice":
            self.defer()
        elif request == "both":
            return "an answer"
        elif isinstance(request, BaseException):
            raise request
        return None

    def handle_cast(self, number: int) -> None:
        self.reply(self.waiting[number], f"served {number}")

    def handle_info(self, message: Any) -> None:
        if callable(message):
            message()
        elif message == "defer":
            self.defer()
        else:
            raise ValueError(message)

    def terminate(self, reason: ExitReason) -> None:
        if self.last_words:
            for token in self.waiting:
                self.reply(token, f"closed: {reason}")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_callers_are_answered_in_any_order(supervisor: MakeSupervisor) -> None:
    """Each gets its own answer; the calls count as handled when `handle_call` is through."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk)
        futures = [ref.ask("wait", block=False) for _ in range(3)]
        for number in (2, 0, 1):
            ref.cast(number)
        assert [future.result(5) for future in futures] == ["served 0", "served 1", "served 2"]
        counts = ref.statistics()
    assert (counts.handled, counts.failed) == (6, 0)


def test_another_thread_may_answer(supervisor: MakeSupervisor) -> None:
    """A value or an error; the server goes on meanwhile."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk)
        good, bad = ref.ask("wait", block=False), ref.ask("wait", block=False)
        first, second = ref.call("tokens")
        first.reply("from outside")
        second.reply(error=KeyError("from outside"))
        assert good.result(5) == "from outside"
        with pytest.raises(KeyError, match="from outside"):
            bad.result(5)
        assert ref.incarnation == 1


def test_a_second_answer_is_an_error(supervisor: MakeSupervisor) -> None:
    """The caller keeps the first; who answers twice hears of it."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, id="desk", on_ask_error="reply")
        future = ref.ask("wait", block=False)
        (token,) = ref.call("tokens")
        assert repr(token) == "<ReplyToken of 'desk', open>"
        token.reply("first")
        with pytest.raises(RuntimeError, match="the caller of 'desk' was replied to already"):
            token.reply("second")
        assert future.result(5) == "first"
        assert repr(token) == "<ReplyToken of 'desk', settled>"


def test_an_answer_may_come_before_the_callback_is_through(supervisor: MakeSupervisor) -> None:
    """`reply` within `handle_call`: the caller goes on while the server still works."""
    with supervisor() as sup:
        assert sup.add_worker(Desk).call("early") == "at once"


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ("twice", "RuntimeError: the answer to this call is deferred already"),
        ("both", "TypeError: handle_call() has deferred its answer, and returned one"),
    ],
)
def test_an_answer_is_deferred_once_and_not_returned(
    supervisor: MakeSupervisor, request_: str, problem: str
) -> None:
    """Anything else is a mistake of the server: its caller and its supervisor hear of it."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, restart="temporary")
        with pytest.raises((RuntimeError, TypeError)) as caught:
            ref.call(request_)
        assert str(caught.value) in problem
        reason = ref.wait(5)
    assert isinstance(reason, Crashed)
    assert reason.error == problem


def test_a_call_is_deferred_by_the_server_itself(supervisor: MakeSupervisor) -> None:
    """A helper's thread cannot: what is in hand may be another call by then."""
    errors: Recorder[BaseException] = Recorder()

    class Helped(GenServer):
        def handle_call(self, request: Any) -> None:
            thread = threading.Thread(target=self.help_out)
            thread.start()
            thread.join(PATIENCE)

        def help_out(self) -> None:
            try:
                self.defer()
            except RuntimeError as error:
                errors(error)

    with supervisor() as sup:
        assert sup.add_worker(Helped).call("request") is None
    (error,) = errors.items
    assert str(error) == "defer() is for handle_call, in the server's own thread"


def test_an_answer_that_is_returned_as_well_spends_the_token(supervisor: MakeSupervisor) -> None:
    """The caller has the error by then."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, on_ask_error="reply")
        with pytest.raises(TypeError, match="has deferred its answer, and returned one"):
            ref.call("both")
        (token,) = ref.call("tokens")
        with pytest.raises(RuntimeError, match="was told of the error of handle_call"):
            token.reply("too late")


def test_only_a_call_can_be_deferred(supervisor: MakeSupervisor) -> None:
    """Nobody waits for the answer to a message that was told."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, restart="temporary")
        ref.tell("defer")
        reason = ref.wait(5)
    assert isinstance(reason, Crashed)
    assert reason.error == "RuntimeError: there is nothing to defer: what is in hand is no call"


def test_a_call_that_fails_after_it_was_deferred_fails_its_caller(
    supervisor: MakeSupervisor,
) -> None:
    """With its own error, not with that of the end; the token is spent."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, on_ask_error="reply")
        with pytest.raises(ValueError, match="on purpose"):
            ref.call(ValueError("on purpose"))
        (token,) = ref.call("tokens")
        with pytest.raises(RuntimeError, match="was told of the error of handle_call"):
            token.reply("too late")


# -- the end of the server ------------------------------------------------------------------


def test_callers_that_still_wait_at_a_stop_are_told(supervisor: MakeSupervisor) -> None:
    """They get `WorkerExited` with the reason; what the token is used for then is refused."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, id="desk")
        future = ref.ask("wait", block=False)
        (token,) = ref.call("tokens")
        ref.stop()
        with pytest.raises(WorkerExited, match="'desk' ended without the answer that it owed") as e:
            future.result(5)
        assert e.value.reason == Shutdown()
        with pytest.raises(RuntimeError, match="was told that the worker has ended"):
            token.reply("too late")


def test_callers_can_be_answered_in_terminate(supervisor: MakeSupervisor) -> None:
    """The last word is the server's."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, kwargs={"last_words": True})
        future = ref.ask("wait", block=False)
        ref.call("tokens")
        ref.stop()
        assert future.result(5) == "closed: shutdown"


def test_callers_that_wait_when_the_server_crashes_are_told(supervisor: MakeSupervisor) -> None:
    """Their messages were handled: they are not tried again, and the next one owes nothing."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk, max_attempts=2)
        future = ref.ask("wait", block=False)
        (token,) = ref.call("tokens")
        ref.tell("crash")
        with pytest.raises(WorkerExited) as caught:
            future.result(5)
        assert isinstance(caught.value.reason, Crashed)
        assert ref.call("tokens") == []
        with pytest.raises(RuntimeError, match="was told that the worker has ended"):
            token.reply("from the old one")


def test_callers_of_a_server_that_is_given_up_on_do_not_wait_for_it(
    supervisor: MakeSupervisor,
) -> None:
    """It hangs in another message: they hear when it is abandoned, not when it ends."""
    gate = Gate("the server")
    with supervisor() as sup:
        ref = sup.add_worker(Desk, time_limit=0.05)
        future = ref.ask("wait", block=False)
        (token,) = ref.call("tokens")
        ref.tell(gate.meet)
        with pytest.raises(WorkerExited) as caught:
            future.result(5)
        assert isinstance(caught.value.reason, Abandoned)
        assert ref.call("tokens") == []
        with pytest.raises(RuntimeError, match="was told that the worker has ended"):
            token.reply("too late")
        gate.open()


def test_a_caller_that_waits_no_longer_can_be_answered(supervisor: MakeSupervisor) -> None:
    """Its time is up, which the server does not know: the answer goes nowhere, in peace."""
    with supervisor() as sup:
        ref = sup.add_worker(Desk)
        with pytest.raises(ReplyTimeout):
            ref.call("wait", timeout=0.01)
        ref.cast(0)
        assert len(ref.call("tokens")) == 1
        assert ref.incarnation == 1


def test_a_call_that_crashed_after_it_was_deferred_is_tried_again(
    supervisor: MakeSupervisor,
) -> None:
    """With `max_attempts` its caller waits on, for the next attempt."""
    attempts: Recorder[int] = Recorder()

    class Unsteady(GenServer):
        def handle_call(self, request: Any) -> Any:
            attempts(len(attempts))
            token = self.defer()
            if len(attempts) == 1:
                raise ValueError("on purpose")
            token.reply("the second time")

    with supervisor() as sup:
        assert sup.add_worker(Unsteady, max_attempts=2).call("request") == "the second time"
    assert len(attempts) == 2


# -- races, forced --------------------------------------------------------------------------


class GatedSet(set[ReplyToken]):
    """Stands at a gate before a token is let go of by who replies."""

    def __init__(self, tokens: set[ReplyToken], gate: Gate) -> None:
        super().__init__(tokens)
        self._gate = gate

    def discard(self, token: object) -> None:
        self._gate.meet()
        super().discard(token)


def test_an_answer_that_meets_the_end_is_the_answer() -> None:
    """It has the future and has not settled it: the end finds the token, and nothing in it."""
    owed, gate = Owed(), Gate("reply")
    future: Future[Any] = Future()
    token = owed.defer("desk", future)
    owed.tokens = GatedSet(owed.tokens, gate)
    thread = threading.Thread(target=token.reply, args=("in time",))
    thread.start()
    gate.wait_reached()
    owed.end(Shutdown(), lambda future, error: future.set_exception(error))
    gate.open()
    thread.join(PATIENCE)
    assert future.result(5) == "in time"


def test_an_answer_that_comes_after_the_end_is_refused() -> None:
    """The end has told the caller, once; who answers hears of it."""
    owed = Owed()
    future: Future[Any] = Future()
    token = owed.defer("desk", future)
    for _ in range(2):
        owed.end(Shutdown(), lambda future, error: future.set_exception(error))
    with pytest.raises(RuntimeError, match="was told that the worker has ended"):
        token.reply("too late")
    assert isinstance(future.exception(5), WorkerExited)


def test_nothing_is_deferred_after_the_end() -> None:
    """Else nobody would ever answer."""
    owed = Owed()
    owed.end(Shutdown(), lambda future, error: future.set_exception(error))
    with pytest.raises(RuntimeError, match="'desk' has ended, and its callers were told so"):
        owed.defer("desk", Future())


def test_a_call_fenced_after_it_was_deferred_has_one_outcome(scene: Scene) -> None:
    """Given up on between the return of `handle_call` and the count: it failed, once."""
    hand = GatedHand(at="before pop")
    life = scene.server(Desk, hand=hand)
    hand.life = life
    future = scene.ask("wait")
    hand.gate.wait_reached()
    life.fence(Abandoned(1.0, "message"))
    hand.gate.open()
    scene.end(life)
    assert isinstance(future.exception(5), WorkerExited)
    assert scene.counts() == {"failed": 1}


def test_a_server_that_was_given_up_on_defers_nothing(scene: Scene) -> None:
    """A zombie in `handle_call` leaves it, and its caller has been told already."""
    gate = Gate("handle_call")
    ends: list[BaseException] = []

    class Slow(Desk):
        def handle_call(self, request: Any) -> Any:
            gate.meet()
            try:
                return super().handle_call(request)
            except BaseException as error:
                ends.append(error)
                raise

    life = scene.server(Slow)
    future = scene.ask("wait")
    gate.wait_reached()
    life.fence(Abandoned(1.0, "message"))
    gate.open()
    scene.end(life)
    assert isinstance(future.exception(5), WorkerExited)
    assert [type(end).__name__ for end in ends] == ["WorkerExit"]
    assert scene.counts() == {"failed": 1}
