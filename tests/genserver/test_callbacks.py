"""A `GenServer`: which callback a message goes to, and what becomes of what it returns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import Gate, Recorder
from threadsup import (
    CallingSelfError,
    Crashed,
    GenServer,
    Normal,
    Shutdown,
    SpecError,
    StartError,
    Worker,
    WorkerExit,
    WorkerExited,
    handler,
    load,
    stage,
    worker_spec,
)
from threadsup.genserver import Cast

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import ExitReason


class Counter(GenServer):
    """Counts, and says what was called."""

    def init(self, start: int = 0, *, step: int = 1) -> None:
        self.value, self.step = start, step
        self.seen: list[Any] = []

    def handle_call(self, request: Any) -> Any:
        if request == "value":
            return self.value
        if request == "seen":
            return self.seen
        if isinstance(request, BaseException):
            raise request
        if request == "leave":
            self.stop(Shutdown("had enough"))
            return "bye"
        return super().handle_call(request)

    def handle_cast(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        self.value += self.step

    def handle_info(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        self.seen.append(message)


class Bare(GenServer):
    """Defines nothing."""


# -- where messages go --------------------------------------------------------------------


def test_each_kind_of_message_has_its_callback(supervisor: MakeSupervisor) -> None:
    """Calls and asks, casts, and what was told."""
    with supervisor() as sup:
        ref = sup.add_worker(Counter, 10, kwargs={"step": 5})
        ref.cast("anything")
        ref.tell("told")
        ref.tell_nowait("told at once")
        assert ref.call("value") == 15
        assert ref.ask("value") == 15
        assert ref.ask("seen", block=False).result(5) == ["told", "told at once"]
        counts = ref.statistics()
    assert (counts.accepted, counts.handled) == (6, 6)


def test_a_server_is_a_member_like_any_other(supervisor: MakeSupervisor) -> None:
    """In a group it is asked and told through the group, or by its own ref."""
    with supervisor() as sup:
        group = sup.add_group("counters")
        for number in range(3):
            group.add_worker(Counter, number, id=number)
        assert group.broadcast("all") == 3
        group[1].cast("more")
        assert [group.ask(number, "value") for number in range(3)] == [0, 2, 2]
        assert group[2].call("seen") == ["all"]


def test_each_incarnation_begins_with_the_same_arguments(supervisor: MakeSupervisor) -> None:
    """State does not outlive a crash; the ref does."""
    with supervisor() as sup:
        ref = sup.add_worker(Counter, 7)
        ref.cast("more")
        assert ref.call("value") == 8
        ref.tell(ValueError("on purpose"))
        assert ref.call("value") == 7
        assert ref.incarnation == 2


def test_a_server_does_not_call_itself(supervisor: MakeSupervisor) -> None:
    """It would wait for its own answer: an error at once."""

    class Selfish(GenServer):
        def handle_call(self, request: Any) -> Any:
            return self.ref.call(request)

    with supervisor() as sup:
        ref = sup.add_worker(Selfish, on_ask_error="reply")
        with pytest.raises(CallingSelfError):
            ref.call("anything")


def test_a_server_is_declared_in_a_file_like_any_class() -> None:
    """The class is recognised; its arguments are those of `init`, and checked."""
    target = "examples.genserver.waiting:Room"
    tree: dict[str, Any] = {"supervisor": {"name": "app"}}
    fine, wrong = [{"target": target, "args": [1, 60.0]}], [{"target": target, "args": [1]}]
    spec = load({**tree, "worker": fine}, allow=("examples",))
    assert [child.id for child in spec.children] == ["Room"]
    with pytest.raises(SpecError, match="missing a required argument: 'longest'"):
        load({**tree, "worker": wrong}, allow=("examples",))


# -- what nothing handles -------------------------------------------------------------------


def test_a_call_without_a_handle_call_is_refused_at_the_caller(supervisor: MakeSupervisor) -> None:
    """Nothing is sent: neither by `call` nor by `cast`."""
    with supervisor() as sup:
        ref = sup.add_worker(Bare, id="bare")
        with pytest.raises(TypeError, match="'bare' has no handle_call: Bare must define it"):
            ref.call("anything")
        with pytest.raises(TypeError, match="'bare' has no handle_cast: Bare must define it"):
            ref.cast("anything")
        assert ref.statistics().accepted == 0


def test_call_and_cast_are_for_servers(supervisor: MakeSupervisor) -> None:
    """Of anything else the caller hears which verb it is."""
    with supervisor() as sup:
        for target in (Worker, handler(print)):
            ref = sup.add_worker(target, id="w")
            with pytest.raises(TypeError, match=r"'w' is no GenServer: use ask\(\)"):
                ref.call("anything")
            with pytest.raises(TypeError, match=r"'w' is no GenServer: use tell\(\)"):
                ref.cast("anything")
            sup.remove_child("w")


def test_an_unknown_request_is_the_caller_s_error(supervisor: MakeSupervisor) -> None:
    """The caller gets a `TypeError` at once; state and incarnation stay as they are."""
    with supervisor() as sup:
        ref, bare = sup.add_worker(Counter, 3), sup.add_worker(Bare)
        with pytest.raises(TypeError, match="Counter does not handle this request: 'what'"):
            ref.call("what")
        with pytest.raises(TypeError, match="Bare does not handle this request: 'what'"):
            bare.ask("what")
        assert (ref.call("value"), ref.incarnation, bare.incarnation) == (3, 1, 1)
        assert bare.statistics().failed == 1
    assert [letter.message for letter in sup.dead_letters()] == ["what", "what"]


def test_unexpected_messages_are_logged_and_not_each_of_them(
    supervisor: MakeSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """The first, the tenth: a wrong sender does not drown the log, nor end the server."""
    with supervisor() as sup, caplog.at_level(logging.WARNING, "threadsup"):
        group = sup.add_group("g")
        ref = group.add_worker(Bare, id="bare")
        for number in range(12):
            ref.tell(number)
        with pytest.raises(TypeError):
            ref.ask("what")
        assert ref.statistics().handled == 12
    lines = [record.getMessage() for record in caplog.records if "unexpected" in record.message]
    assert lines == [
        "unexpected message received by Bare (1 so far): 0",
        "unexpected message received by Bare (10 so far): 9",
    ]


def test_an_unexpected_cast_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As a message is; it can only come past the ref, which refuses it."""
    with caplog.at_level(logging.WARNING, "threadsup"):
        Bare().handle_cast("what")
    assert "unexpected cast received by Bare (1 so far): 'what'" in caplog.messages


# -- errors -------------------------------------------------------------------------------


def test_an_error_in_handle_call_is_the_caller_s_and_a_crash(supervisor: MakeSupervisor) -> None:
    """It gets the exception as it is, and the server starts anew."""
    with supervisor() as sup:
        ref = sup.add_worker(Counter)
        with pytest.raises(ValueError, match="on purpose"):
            ref.call(ValueError("on purpose"))
        assert ref.call("value") == 0
        assert ref.incarnation == 2


def test_an_error_may_be_answered_only(supervisor: MakeSupervisor) -> None:
    """With `on_ask_error="reply"` the server lives; an error in a cast is a crash always."""
    with supervisor() as sup:
        ref = sup.add_worker(Counter, on_ask_error="reply")
        ref.cast("more")
        with pytest.raises(ValueError, match="on purpose"):
            ref.call(ValueError("on purpose"))
        assert (ref.call("value"), ref.incarnation) == (1, 1)
        ref.cast(ValueError("cast"))
        assert (ref.call("value"), ref.incarnation) == (0, 2)


def test_a_dead_letter_tells_that_it_was_cast(supervisor: MakeSupervisor) -> None:
    """It is a `Cast`, which keeps the message; told as it is it would be cast again."""
    with supervisor() as sup:
        ref = sup.add_worker(Counter)
        error = ValueError("on purpose")
        ref.cast(error)
        assert ref.call("value") == 0
        (letter,) = sup.dead_letters()
        assert letter.message == Cast(error)
        ref.tell(Cast("more"))
        assert ref.call("value") == 1


# -- the beginning --------------------------------------------------------------------------


def test_init_returns_nothing(supervisor: MakeSupervisor) -> None:
    """Who returns a state, as in OTP, is told where it lives."""

    class Returning(GenServer):
        def init(self) -> Any:
            return ("ok", {})

    with supervisor() as sup, pytest.raises(StartError) as caught:
        sup.add_worker(Returning)
    assert str(caught.value.__cause__) == (
        "init() returned a tuple: state lives in self, return nothing"
    )


def test_an_init_that_fails_is_a_start_that_fails(supervisor: MakeSupervisor) -> None:
    """The caller gets the error as the cause; `terminate` is not called."""
    ends: list[Any] = []

    class Failing(GenServer):
        def init(self) -> None:
            raise ValueError("on purpose")

        def terminate(self, reason: ExitReason) -> None:
            ends.append(reason)

    with supervisor() as sup, pytest.raises(StartError) as caught:
        sup.add_worker(Failing)
    assert isinstance(caught.value.__cause__, ValueError)
    assert ends == []


class Awaiting(GenServer):
    async def handle_call(self, request: Any) -> Any: ...


class Generating(GenServer):
    def handle_info(self, message: Any) -> Any:
        yield message


class Both(Worker, GenServer):
    pass


class Constructed(GenServer):
    def __init__(self, start: int) -> None:
        self.start = start


class Plainly(GenServer):
    def __init__(self) -> None:
        self.made = True


@pytest.mark.parametrize(
    ("target", "args", "problem"),
    [
        (Counter, (1, 2), "target: cannot be called with its arguments: too many"),
        (Constructed, (1,), "target: must take its arguments in init(), not in __init__()"),
        (Awaiting, (), "target: must have a plain handle_call, not a coroutine function"),
        (Generating, (), "target: must have a plain handle_info, not a generator function"),
        (Both, (), "target: must be a subclass of Worker or of GenServer, not of both"),
        (Counter(), (), "target: must be the class Counter, not an instance of it"),
    ],
)
def test_a_server_that_cannot_be_run_is_refused_where_it_is_declared(
    target: Any, args: tuple[Any, ...], problem: str
) -> None:
    """Nothing is started; the error says what to do."""
    with pytest.raises(SpecError, match=f".*{problem}".replace("(", r"\(").replace(")", r"\)")):
        worker_spec(target, *args)


def test_a_server_may_have_an_init_of_python_s_without_arguments() -> None:
    """It is called, before `init`."""
    assert worker_spec(Plainly).kind == "worker"


def test_a_server_is_no_stage() -> None:
    """A stage is given items, not requests."""
    with pytest.raises(SpecError, match="a function or a Worker class, not the GenServer Counter"):
        stage(Counter)


def test_a_server_by_itself_has_no_timers(supervisor: MakeSupervisor) -> None:
    """An instance that nobody runs can be looked at and called; it cannot wait."""
    counter = Counter()
    counter.init(4)
    assert counter.handle_call("value") == 4
    with pytest.raises(RuntimeError, match="this Counter is not run by a supervisor"):
        counter.send_after(1, "message")


# -- what is put off ------------------------------------------------------------------------


class Putting(GenServer):
    """Puts off what it is told to, and records the order of all."""

    def init(self, seen: Recorder[Any], gate: Gate) -> None:
        self.seen, self.gate = seen, gate
        self.continue_with("from init")

    def handle_continue(self, term: Any) -> None:
        self.seen(term)
        if term == "from init":
            self.gate.meet()
        if term == "once more":
            self.continue_with("the last")
        if isinstance(term, BaseException):
            raise term

    def handle_call(self, request: Any) -> Any:
        self.seen(request)
        self.continue_with(request)
        return "answer"

    def handle_info(self, message: Any) -> None:
        self.seen(message)
        for term in ("one", "once more"):
            self.continue_with(term)


def test_what_init_puts_off_comes_before_the_first_message(supervisor: MakeSupervisor) -> None:
    """The start is over by then: `add_worker` has returned."""
    seen: Recorder[Any] = Recorder()
    gate = Gate("handle_continue")
    with supervisor() as sup:
        ref = sup.add_worker(Putting, seen, gate)
        gate.wait_reached()
        ref.tell("message")
        gate.open()
        assert seen.wait_for(5) == ["from init", "message", "one", "once more", "the last"]


def test_what_a_call_puts_off_comes_after_its_answer(supervisor: MakeSupervisor) -> None:
    """The caller has it even where what follows is a crash."""
    seen: Recorder[Any] = Recorder()
    gate = Gate("handle_continue")
    gate.open()
    with supervisor() as sup:
        ref = sup.add_worker(Putting, seen, gate)
        assert ref.call(ValueError("on purpose")) == "answer"
        assert ref.call("again") == "answer"
        assert ref.incarnation == 2
        assert ref.statistics().failed == 0


def test_nothing_is_put_off_without_a_handle_continue(supervisor: MakeSupervisor) -> None:
    """It is a mistake of the server's own, and so a crash."""

    class Wrong(GenServer):
        def handle_call(self, request: Any) -> Any:
            self.continue_with(request)

    with supervisor() as sup:
        ref = sup.add_worker(Wrong, restart="temporary")
        assert ref.call("more") is None
        reason = ref.wait(5)
    assert isinstance(reason, Crashed)
    assert reason.error == "NotImplementedError: Wrong has no handle_continue for 'more'"


# -- the end --------------------------------------------------------------------------------


class Ending(Counter):
    """Says why it ends."""

    def init(self, start: int = 0, *, step: int = 1, ends: Recorder[Any] | None = None) -> None:
        super().init(start, step=step)
        self.ends = ends

    def terminate(self, reason: ExitReason) -> None:
        assert self.ends is not None
        self.ends(reason)


def test_a_server_that_stops_itself_answers_first(supervisor: MakeSupervisor) -> None:
    """`stop` takes effect after the message in hand; `terminate` hears the reason."""
    ends: Recorder[Any] = Recorder()
    with supervisor() as sup:
        ref = sup.add_worker(Ending, kwargs={"ends": ends}, restart="transient")
        assert ref.call("leave") == "bye"
        assert ref.wait(5) == Shutdown("had enough")
    assert ends.items == [Shutdown("had enough")]


def test_a_server_that_leaves_by_an_exception_answers_nobody(supervisor: MakeSupervisor) -> None:
    """`raise WorkerExit` ends it now: the caller gets `WorkerExited`."""
    ends: Recorder[Any] = Recorder()
    with supervisor() as sup:
        ref = sup.add_worker(Ending, kwargs={"ends": ends}, restart="transient")
        with pytest.raises(WorkerExited) as caught:
            ref.call(WorkerExit(Normal()))
        assert caught.value.reason == Normal()
        assert ref.wait(5) == Normal()
    assert ends.items == [Normal()]


def test_terminate_is_called_at_a_stop_and_after_a_crash(supervisor: MakeSupervisor) -> None:
    """With the reason; a crash of the server's own code is one, too."""
    ends: Recorder[Any] = Recorder()
    with supervisor() as sup:
        ref = sup.add_worker(Ending, kwargs={"ends": ends})
        ref.tell(ValueError("on purpose"))
        assert ref.call("value") == 0
    crash, stop = ends.items
    assert isinstance(crash, Crashed)
    assert crash.error == "ValueError: on purpose"
    assert stop == Shutdown()


def test_a_server_stops_for_a_reason_that_is_clean() -> None:
    """Who wants to crash raises."""
    counter = Counter()
    with pytest.raises(TypeError, match=r"must be Normal\(\) or Shutdown\(...\), not a Crashed"):
        counter.stop(Crashed("on purpose"))
    with pytest.raises(TypeError, match="not a str"):
        counter.stop("on purpose")  # type: ignore[arg-type]


def test_a_server_may_stop_itself_while_it_starts(supervisor: MakeSupervisor) -> None:
    """It was up, and then ends for that reason, without a message."""

    class Brief(GenServer):
        def init(self) -> None:
            self.stop(Normal())

    with supervisor() as sup:
        ref = sup.add_worker(Brief, restart="transient")
        assert ref.wait(5) == Normal()


def test_a_worker_stops_itself_as_a_server_does(supervisor: MakeSupervisor) -> None:
    """What is in hand is answered, what is queued stays for the next one."""

    class Leaving(Worker):
        def on_receive(self, message: Any) -> Any:
            self.stop()
            return self.ref.id

    with supervisor() as sup:
        ref = sup.add_worker(Leaving, id="leaving", restart="temporary")
        assert ref.ask("message") == "leaving"
        assert ref.wait(5) == Shutdown()
