"""The scope of a chain: how its stream ends.

Owns the tokens that travel behind the items, and what the end of a stage means
for those behind it. It must not know how items are counted or sent.

A stage that ends for good ends the chain: the machine takes those before it
down, and those behind it get a token behind what they have; when it comes out at
the tail, they are through, and the scope is finished.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from threadsup._errors import NotRunningError
from threadsup._exits import Normal
from threadsup._policy.protocol import Request
from threadsup._runtime.mailbox import Token
from threadsup._scope import WorkerScope

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Fate, Start
    from threadsup._policy.restart import NoRestart

__all__ = ["ChainScope"]


class ChainScope(WorkerScope):
    """A scope whose children hand items on."""

    _stream = 0
    """How many streams have ended for good and were followed by another one."""
    _ended = False
    """Whether this one has."""

    def send_through(self, arrived: Callable[[], None]) -> None:
        """Have `arrived()` called when what is in the chain now is through. Never blocks.

        In the last stage's thread, or, where no stage takes anything any more, here.
        """

        def again() -> None:
            # Its mailbox was closed on the way: what is behind that stage may still
            # be at work, so it goes on from the first one that is open.
            self._put_first(token)

        token = Token(arrived=arrived, lost=again)
        self._put_first(token)

    def _put_first(self, token: Token) -> None:
        for cell in self.cells.values():
            if cell.mailbox.put_token(token):
                return
        assert token.arrived is not None
        token.arrived()

    def finish_behind(self) -> None:
        """Have the scope end, normally, when what is in the chain now is through."""
        self.send_through(partial(self._request_finish, self._stream))

    def _request_finish(self, stream: int) -> None:
        with suppress(NotRunningError):  # the tree has ended, and the chain with it
            self.services.request(self._finish, stream)

    def _finish(self, stream: int) -> None:
        # A chain that has ended meanwhile in another way, and was started again, is not
        # to end by what was sent through it before.
        if stream == self._stream:
            self.take(Request("finish", reason=Normal()))

    def draining(self, after: ChildId) -> None:  # noqa: ARG002 - whoever is left is behind it
        """Let the stages behind `after`, which has ended for good, finish."""
        self.finish_behind()

    def start(self, start: Start) -> None:
        """Begin an incarnation of a stage; the first one after the end takes items again."""
        if self._ended:
            self._ended = False
            self._stream += 1
            self.facade.reopen()
        super().start(start)

    def close(self, fate: Fate, why: NoRestart | None) -> None:
        """As for any scope; note whether the stream is over."""
        super().close(fate, why)
        self._ended = self._ended or fate == "gone"
