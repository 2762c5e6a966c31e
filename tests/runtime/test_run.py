"""A batch: what a fence finds in it, and what a sender finds while it is taken."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import pytest

from threadsup._errors import MailboxFull
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
    put: Callable[[Mailbox, str], object],
) -> None:
    """What is in hand takes a place no more, which a first look does not see."""
    mailbox, run = Mailbox("box", 2, "raise"), Run(Lock())
    for message in ("hand", "waits"):
        mailbox.put(message)
    mailbox.run = run
    run.fill(mailbox, 2)
    put(mailbox, "message")
    assert list(mailbox.queue) == ["message"]
    with pytest.raises(MailboxFull):
        mailbox.put_nowait("too much")


def test_a_batch_takes_nothing_after_a_fence() -> None:
    """What it took then nobody would find: it has to stay in the mailbox."""
    mailbox, run = Mailbox("box", 2), Run(Lock())
    mailbox.put("message")
    assert run.cut() == ([], [])
    run.fill(mailbox, 2)
    assert run.batch == []
    run.release(mailbox)
    assert (mailbox.pending, mailbox.room(2)) == (1, 1)


def test_a_batch_that_goes_on_has_the_places_of_what_it_took_last() -> None:
    """What was done before makes room at once, looked at with the lock and without."""
    mailbox, run = Mailbox("box", 4), Run(Lock())
    mailbox.run = run
    for turn in range(1, 4):
        for message in range(4):
            mailbox.put_nowait(message)
        run.fill(mailbox, 3)
        assert (mailbox.room(1), mailbox.room(9)) == (1, 1)  # one is in hand
        run.made += run.batch[len(run.made) :]
        assert (mailbox.room(1), mailbox.room(9)) == (3, 3)
        assert (run.done, mailbox.pending) == (3 * turn, 1)
        mailbox.queue.clear()
    run.release(mailbox)
    assert mailbox.room(4) == 4


def test_a_token_that_is_seen_to_in_this_moment_is_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read in the batch, where it is one of what waits, and then no more among the tokens."""
    mailbox = Mailbox("box")
    mailbox.run = Run(Lock())
    mailbox.nothing()

    def waiting(_: Run) -> int:
        mailbox.took_token()
        return 1

    monkeypatch.setattr(Run, "waiting", property(waiting))
    assert mailbox.pending == 0
