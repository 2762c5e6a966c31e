"""The actor of the Thespian works: its class has to be importable where Thespian is.

Owns the one class. It must be imported by nobody but `peers_thespian`, and late.
"""

from __future__ import annotations

from typing import Any

from thespian.actors import Actor  # type: ignore[import-not-found]

__all__ = ["Answers"]


class Answers(Actor):  # type: ignore[misc,unused-ignore]
    """Counts what it is told, and answers how many."""

    handled = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802 - Thespian's name
        """Handle one message."""
        if type(message) is int:
            self.handled += 1
        elif message == "count":
            self.send(sender, self.handled)
