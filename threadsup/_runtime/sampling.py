"""Which messages of a replica are timed, so that timing costs next to nothing.

Owns the choice: every slow one, few of the fast ones, each with the weight of those it
stands for. It must not know how times are kept.

Service time is that from the hand to the result. Queue time is measured by a probe: a
token that rides the queue like a message would, put there by the consumer itself when
it times a message. So messages carry no time, and senders pay nothing.
"""

from __future__ import annotations

from time import monotonic, thread_time
from typing import TYPE_CHECKING, final

from threadsup._runtime.mailbox import Token

if TYPE_CHECKING:
    from threadsup._runtime.actor import Life
    from threadsup._runtime.timings import Timings

__all__ = ["Sampler"]


def _ride() -> None:
    """Mark a token as a probe; nobody calls it."""


@final
class Sampler:
    """Times some of the messages of one life, in its own thread."""

    __slots__ = ("_cpu", "_life", "_probe", "_since", "_stride", "_timings", "due")

    def __init__(self, life: Life, timings: Timings) -> None:
        self._life = life
        self._timings = timings
        self._probe: Token | None = None
        """The one that is under way."""
        self._since = 0.0
        self._stride = 1
        self.due = 1
        """In how many messages the next one is timed; counted down by the worker."""
        self._cpu: float | None = None

    def sample(self) -> int:
        """Time the message that has just been handled; return what is `due` now."""
        life, timings = self._life, self._timings
        now = monotonic()
        took = now - life.since
        weight, self._stride = self._stride, timings.stride(took)
        self.due = self._stride
        if life.fenced:
            return self.due  # its successor writes now
        timings.sampled(took, weight)
        cpu = thread_time()
        if self._cpu is not None:
            timings.spent(cpu - self._cpu, took * weight)
        self._cpu = cpu
        if self._probe is None:
            self._probe, self._since = Token(arrived=_ride), now
            life.mailbox.put_token(self._probe)
        return self.due

    def back(self, token: Token) -> bool:
        """Return whether the token is a probe; if it is this life's, note how long it rode."""
        if token is self._probe:
            self._probe = None
            if not self._life.fenced:
                self._timings.queued(monotonic() - self._since, self._stride)
        return token.arrived is _ride
