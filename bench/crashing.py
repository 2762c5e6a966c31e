"""From the crash of a worker to the next incarnation of it at work.

Owns the crash, and who is there to begin again: by hand, or a supervisor. Figures are
milliseconds from just before the exception until the next message is handled. It must not
know the library's insides.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pykka

from bench import peers_ray
from bench.bars import at_most
from bench.contestants import PATIENCE
from bench.rush import p50, p99, share
from bench.work import Row, Work
from threadsup import Backoff, Supervisor, handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WORKS", "silence"]

CRASH = "crash"
AGAIN = "again"


class Mishap(Exception):  # noqa: N818 - its own word
    """What every contestant crashes of."""


class Patient:
    """Handles messages: at `CRASH` it raises, at any other it has recovered."""

    def __init__(self) -> None:
        self._began = 0.0
        self.times: list[float] = []
        self.well = threading.Semaphore(0)

    def __call__(self, message: Any) -> None:
        """Handle one message."""
        if message is CRASH:
            self._began = time.perf_counter()
            raise Mishap
        self.times.append(time.perf_counter() - self._began)
        self.well.release()


@contextmanager
def by_hand(handle: Patient) -> Iterator[Callable[[Any], Any]]:
    """Have a thread that dies of an exception start the next one over the same queue."""
    inbox = queue.SimpleQueue[Any]()
    ended = threading.Event()

    def run() -> None:
        try:
            while (message := inbox.get()) is not None:
                handle(message)
        except Mishap:
            threading.Thread(target=run, daemon=True).start()
        else:
            ended.set()

    threading.Thread(target=run, daemon=True).start()
    yield inbox.put
    inbox.put(None)
    ended.wait(PATIENCE)


class Reborn(pykka.ThreadingActor):
    """An actor that starts its successor when it fails: a mailbox dies with its actor."""

    def __init__(self, handle: Patient, refs: list[pykka.ActorRef[Any]]) -> None:
        super().__init__()
        self.handle = handle
        self.refs = refs

    def on_receive(self, message: Any) -> Any:
        """Handle one message."""
        self.handle(message)

    def on_failure(self, *_: Any) -> None:
        """Start the next and tell it what a supervised worker would find in its mailbox."""
        self.refs[0] = Reborn.start(self.handle, self.refs)
        self.refs[0].tell(AGAIN)


@contextmanager
def actor(handle: Patient) -> Iterator[Callable[[Any], Any]]:
    """Have an actor that fails start the next one."""
    refs: list[pykka.ActorRef[Any]] = []
    refs.append(Reborn.start(handle, refs))

    def tell(message: Any) -> None:
        if message is CRASH:  # the other message is from the successor
            refs[0].tell(message)

    yield tell
    refs[0].stop()


@contextmanager
def supervised(handle: Patient) -> Iterator[Callable[[Any], Any]]:
    """Have a worker restarted at once, however often."""
    with Supervisor("bench") as sup:
        yield sup.add_worker(
            handler(handle), id="patient", max_restarts=10**9, backoff=Backoff.none()
        ).tell


def crash(way: Any, count: int) -> tuple[float, ...]:
    """Crash so often, one after the other; return p50 and p99."""
    patient = Patient()
    early = share(count, 10)
    with silence("pykka", "threadsup"), way(patient) as tell:
        for number in range(early + count):
            if number == early:  # they were to warm up
                patient.times.clear()
            tell(CRASH)
            tell(AGAIN)
            if not patient.well.acquire(timeout=PATIENCE):
                raise TimeoutError("nobody came after the crash")
    patient.times.sort()
    return p50(patient.times) * 1e3, p99(patient.times) * 1e3


@contextmanager
def silence(*names: str) -> Iterator[None]:
    """Let loggers write to nobody: they are called, and no terminal is measured."""
    nobody = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(nobody)
        logger.propagate = False
    yield
    for logger, propagate in zip(loggers, before, strict=True):
        logger.removeHandler(nobody)
        logger.propagate = propagate


WORKS = (
    Work(
        rows=(
            Row(
                "crash to serving, p50",
                "ms",
                at_most(0.5, unit="ms", aim=at_most(0.2, unit="ms")),
            ),
            Row(
                "crash to serving, p99",
                "ms",
                at_most(5.0, unit="ms", aim=at_most(1.0, unit="ms")),
            ),
        ),
        ways={
            "floor": partial(crash, by_hand),
            "Pykka": partial(crash, actor),
            "Ray": peers_ray.crash,
            "threadsup": partial(crash, supervised),
        },
        count=500,
        quick=3,
    ),
)
