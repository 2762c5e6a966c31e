"""A batch: what a fence finds in it, and what a sender finds while it is taken."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import pytest

from threadsup._runtime.lanes import Token
from threadsup._runtime.mailbox import Mailbox
from threadsup._runtime.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_fence_gives_a_token_back_that_is_next() -> None:
    """It is in nobody's hand, and not to fail as a message would."""
    run, token = Run(Lock()), Token()
    run.batch += ["done", token, "waits"]
    run.made.append(None)
    assert run.cut() == ([], [token, "waits"])
    assert (run.lost, run.done, run.in_hand) == (0, 1, 0)


def test_a_fence_finds_the_message_that_is_next_in_hand() -> None:
    """And what is behind it is given back."""
    run = Run(Lock())
    run.batch += ["hand", "waits"]
    assert run.cut() == (["hand"], ["waits"])
    assert run.lost == 1


@pytest.mark.parametrize("put", [Mailbox.offer, Mailbox.admit, Mailbox.put_nowait])
def test_who_does_not_wait_is_refused_only_where_it_is_full(
    put: Callable[[Mailbox, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is just done with looks full for a moment: then it is looked at again."""
    mailbox, looks = Mailbox("box", 1, "raise"), iter([0, 1, 1])
    mailbox.run = Run(Lock())
    mailbox.reserve(1)
    monkeypatch.setattr(Mailbox, "room", lambda _: next(looks))
    put(mailbox, "message")
    assert list(mailbox.queue) == ["message"]
