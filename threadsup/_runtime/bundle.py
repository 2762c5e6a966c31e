"""Several messages in one hand: a batch, from the mailbox to its end.

Owns the type by which a batch is told from a message. It must not know when a batch is
complete, or what is done with it.
"""

from __future__ import annotations

from typing import Any, TypeAlias, final

__all__ = ["Bundle", "Tried", "messages_of"]

Tried: TypeAlias = tuple[int, Any]
"""How often a message was tried before, and the message."""


@final
class Bundle:
    """A batch in hand. Recognised by its exact type: no message is one."""

    __slots__ = ("messages",)

    def __init__(self, messages: list[Tried]) -> None:
        self.messages = messages


def messages_of(raw: Any, attempts: int) -> list[Tried]:
    """Return what is in hand message by message; `attempts` are those of a single one."""
    return raw.messages if type(raw) is Bundle else [(attempts, raw)]
