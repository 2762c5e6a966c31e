"""The scope of a chain: how its stream ends.

Owns the tokens that travel behind the items, and what the end of a stage means
for those behind it. It must not know how items are counted or sent.

A stage that ends for good ends the chain: the machine takes those before it
down, and those behind it get a token behind what they have; when it comes out at
the tail, they are through, and the scope is finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadsup._errors import NotRunningError
from threadsup._exits import Normal
from threadsup._policy.protocol import Request, Up
from threadsup._runtime.mailbox import Token
from threadsup._scope import WorkerScope

if TYPE_CHECKING:
    from collections.abc import Callable

    from threadsup._exits import ChildId
    from threadsup._policy.protocol import Notice

__all__ = ["ChainScope"]


class ChainScope(WorkerScope):
    """A scope whose children hand items on."""

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

    def finish(self) -> None:
        """Have the scope end by itself, normally: its stream has. Never blocks."""
        try:
            self.request(Request("finish", reason=Normal()))
        except NotRunningError:
            pass  # the tree has ended, and the chain with it

    def draining(self, after: ChildId) -> None:
        """Let the stages behind `after`, which has ended for good, finish."""
        self.send_through(self.finish)

    def told(self, notice: Notice) -> None:
        """As for any scope; a chain that comes up takes items."""
        if isinstance(notice, Up):
            self.facade.reopen()
        super().told(notice)
