"""Results of one life that wait to be handed on together.

Owns the handing on of what a batch has become, until the next stage has it, or the
outlet. It must not know how results are made, nor when it is time: who makes them says so.

A put that wakes a thread is what costs, so results are handed on together as long as the
next stage has a backlog. They are the replica's and not its life's: if the life is given
up on, the next one hands them on. Who does holds a lock, which is held while nothing
waits: who comes after waits until the one before it is through, and finds what that had no
room for. So nothing goes on twice, and nothing is left. Who counts takes it as well.

Who was given up on hands on nothing more. It looks under the lock: either it sees that it
was given up on, or its last result was made before that and is counted.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from threadsup._exits import WorkerExit

if TYPE_CHECKING:
    from threadsup._runtime.actor import Life
    from threadsup._runtime.inlet import Inlet
    from threadsup._runtime.mailbox import Mailbox
    from threadsup._runtime.outlet import Outlet
    from threadsup._runtime.run import Run

__all__ = ["Ready"]


@final
class Ready:
    """Results of one life for one mailbox, or for what has taken its place since."""

    __slots__ = ("_life", "_lock", "_outlet", "backlog", "inlet", "run")

    def __init__(self, life: Life, outlet: Outlet, inlet: Inlet, box: Mailbox) -> None:
        self._life = life
        self._outlet = outlet
        self._lock = threading.RLock()
        """Re-entrant: what the collector destroys within, or who hears of a message that was
        too late, may count."""
        self.inlet = inlet
        """Where they go."""
        self.backlog = box.queue
        """What the next stage still has to do: false when it is idle, or about to be."""
        self.run: Run = life.run
        """The batch they are made of."""

    @property
    def waiting(self) -> int:
        """How many results are made and not handed on."""
        with self._lock:  # else one that is there, or through already, may count here still
            run = self.run
            return max(0, len(run.results) - run.sent)

    # -- for the thread of the life -------------------------------------------------

    def room(self, enough: int) -> int:
        """Return how many results the next stage has room for; see `Mailbox.room`."""
        return self.inlet.room(enough)

    def flush(self) -> None:
        """Hand on all there is.

        Blocks: while the next stage is full.

        Raises:
            WorkerExit: asked to stop while it waited; what is left is kept.
        """
        if self.flush_now():
            return
        run, inlet = self.run, self.inlet
        apart, run.apart = run.apart, True
        try:
            while not self.flush_now():
                # For any of them: where there is one mailbox, all want the same.
                if not inlet.wait_for_room(None, give_way=True):
                    self.put_away()
                    raise WorkerExit(self._life.token.reason)
        finally:
            run.apart = apart
            inlet.pass_on()  # woken for room that it does not take, while who needs it sleeps

    def flush_now(self) -> bool:
        """Hand on what there is room for; return whether that is all. Never blocks."""
        run = self.run
        if run.sent == len(run.made):
            return True
        with self._lock:
            if self._life.fenced:
                return True  # the next life has them, or will
            made = run.made[run.sent :]
            taken = self.inlet.hand_on_all(made)
            run.sent += taken
            return taken == len(made)

    def put_away(self) -> None:
        """Hand on what there is room for, and keep the rest for the next life. Never blocks."""
        if not self.flush_now():
            for result in self.take():
                if not self._outlet.keep(result, self.inlet, self._life):
                    self.inlet.adopt([result])  # given up on, and it counts: it was taken

    # -- for who comes after ----------------------------------------------------------

    def take(self) -> list[Any]:
        """Take what is there, to be handed on by others. Never blocks for long."""
        with self._lock:
            run = self.run
            left = run.results[run.sent :]
            run.sent += len(left)
        return left
