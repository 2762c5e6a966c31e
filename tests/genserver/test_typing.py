"""What a type checker knows of servers: checked by mypy, and run for what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_type

import threadsup
from threadsup import GenServer, ReplyToken, Request, Timer, Worker, WorkerRef

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


class Get(Request[int]):
    """Asks for the value."""


@dataclass(frozen=True, slots=True)
class Names(Request[list[str]]):
    """Asks for names that begin so."""

    prefix: str


class Server(GenServer):
    def init(self, value: int) -> None:
        self.value = value
        self.waiting: list[ReplyToken] = []
        assert_type(self.timeout, float | None)

    def handle_call(self, request: Get | Names | str) -> object:
        match request:
            case Get():
                return self.value
            case Names(prefix):
                return [prefix]
            case _:
                token = self.defer()
                assert_type(token, ReplyToken)
                self.reply(token, request)
                return None

    def handle_info(self, message: object) -> None:
        timer = self.send_after(1.0, message)
        assert_type(timer, Timer)
        assert_type(timer.cancel(), bool)
        assert_type(self.every(1.0, message), Timer)


class Plain(Worker):
    def on_start(self) -> None:
        assert_type(self.send_after(1.0, "later"), Timer)
        assert_type(threadsup.every(1.0, "again"), Timer)


def test_call_knows_the_type_of_the_answer(supervisor: MakeSupervisor) -> None:
    """Where the request's class says it; else it may be anything."""
    with supervisor() as sup:
        ref = sup.add_worker(Server, 3)
        assert_type(ref, WorkerRef)
        value = ref.call(Get())
        assert_type(value, int)
        names = ref.call(Names("a"), timeout=None)
        assert_type(names, list[str])
        anything = ref.call("anything", 5)
        assert_type(anything, Any)
        assert (value, names, anything) == (3, ["a"], "anything")


def test_timers_are_typed(supervisor: MakeSupervisor) -> None:
    """They are handles, whoever sets them."""
    with supervisor() as sup:
        assert sup.add_worker(Plain).is_alive()
