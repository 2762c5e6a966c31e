"""One function as each kind of worker that handles messages.

Owns the classes and how they are declared. It must not know what the function does, or
under which rules it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka
import pytest

from threadsup import GenServer, Worker, handler

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "Actor", "Receiver", "Server", "declare"]


class Receiver(Worker):
    """Has a function handle what it receives."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def on_receive(self, message: Any) -> Any:
        return self.call(message)


class Server(GenServer):
    """The same, however it is sent."""

    def init(self, call: Any) -> None:
        self.call = call

    def handle_call(self, request: Any) -> Any:
        return super().handle_call(request) if request == "unknown" else self.call(request)

    def handle_cast(self, message: Any) -> None:
        self.call(message)

    def handle_info(self, message: Any) -> None:
        self.call(message)


class Actor(pykka.ThreadingActor):
    """A plain class of Pykka's."""

    def __init__(self, call: Any) -> None:
        super().__init__()
        self.call = call
        self.note = ""

    def on_receive(self, message: Any) -> Any:
        return self.call(message)

    def fetch(self, message: Any) -> Any:
        return self.call(message)


def declare(kind: Any, call: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return a target that has `call` handle messages, and its arguments."""
    return (handler(call),) if kind is handler else (kind, call)


KINDS = pytest.mark.parametrize("kind", [handler, Receiver, Server, Actor])
