"""What goes from one mailbox into another: attempts go along, emissions are found again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import Recorder
from threadsup._runtime.aside import Aside
from threadsup._runtime.emission import Emission
from threadsup._runtime.lanes import RESUME, WAKE, Carried, Token, carried, plain
from threadsup._runtime.mailbox import Mailbox


class Nobody:
    """Services that do nothing."""

    def post(self, call: Any, argument: object, /) -> None:
        """Forget it."""

    def set_timer(self, owner: Any, key: None, number: int, at: float | None, /) -> None:
        """Set none."""


def given_back(box: Mailbox) -> list[tuple[int, Any]]:
    """Return what would be taken first, each with its attempts."""
    return [each for each in box.returned if type(each[1]) is not Token]


def queued(box: Mailbox) -> list[Any]:
    """Return the messages that are in the queue."""
    return [raw for raw in box.take_out(queued=True) if type(raw) is not Token]


def test_a_message_that_was_never_tried_goes_as_it_is() -> None:
    """Only what there is something to say of is carried; a token never is."""
    token = Token()
    assert carried("a", 0) == "a"
    assert carried(token, 3) is token
    each = carried("a", 2)
    assert type(each) is Carried
    assert (each.raw, each.attempts) == ("a", 2)
    assert plain(each) == plain("a") == "a"


def test_attempts_go_along_into_another_mailbox() -> None:
    """To the front, in their order, and before what has never been tried."""
    old, new = Mailbox("old"), Mailbox("new")
    old.put("new one")
    old.give_back("second", 1)
    old.give_back("first", 2)
    new.put("there before")
    new.adopt(old.take_out())
    assert given_back(new) == [(2, "first"), (1, "second")]
    assert queued(new) == ["there before", "new one"]
    assert new.pending == 2
    assert old.pending == 0


def test_a_batch_that_was_gathered_goes_with_its_attempts() -> None:
    """And the places it took are free again."""
    old, new = Mailbox("old", 2), Mailbox("new")
    old.gather("again", 1)
    old.gather("first time", 0)
    assert not old.admits()
    new.adopt(old.take_out())
    assert old.admits()
    assert given_back(new) == [(1, "again")]
    assert queued(new) == ["first time"]


def test_what_comes_back_to_a_mailbox_that_has_an_heir_is_carried_on() -> None:
    """Late as it is: the heir hears how often it was tried."""
    box, heir = Mailbox("box"), Recorder[list[Any]]()
    box.give_back("queued", 1)
    box.retire("its replica has ended", heir)
    box.give_back("late", 2)
    (first,), (second,) = heir.items
    assert (first.raw, first.attempts) == ("queued", 1)
    assert (second.raw, second.attempts) == ("late", 2)


def test_nobody_outside_meets_what_is_carried() -> None:
    """A mailbox that is closed and has no heir loses the message itself."""
    lost: Recorder[Any] = Recorder()
    box = Mailbox("box", on_undelivered=lambda raws, _: lost(raws))
    box.close("over")
    box.adopt([carried("a", 2), "b"])
    box.give_back("c", 1)
    assert lost.items == [["a", "b"], ["c"]]
    assert box.undelivered == 3


@pytest.mark.parametrize("carry", [True, False])
def test_what_is_in_a_retry_pause_goes_with_its_attempts(*, carry: bool) -> None:
    """Where that is asked for: else it goes nowhere but to its end."""
    aside = Aside(Mailbox("box"), Nobody())
    aside.defer("a", 2, 3600.0)
    aside.defer("b", 1, 60.0)
    left = aside.clear(carry=carry)
    assert [plain(each) for each in left] == ["a", "b"]
    assert [type(each) is Carried for each in left] == [carry, carry]
    if carry:
        assert [each.attempts for each in left] == [2, 1]


def emission() -> Emission:
    made: Any = Emission
    found: Emission = made(None, None, iter(()), 0)
    found.ready = False
    return found


def resumes(box: Mailbox) -> int:
    """Return how often whoever reads this mailbox is told to look at its emissions."""
    return sum(raw is RESUME for _, raw in box.returned)


def test_an_emission_is_looked_at_where_it_is_now() -> None:
    """It was inherited: its credit comes to the one who has it."""
    old, new = Mailbox("old"), Mailbox("new")
    each = emission()
    each.home = old
    each.move(new)
    assert resumes(new) == 1
    each.resume()
    assert each.ready
    assert (resumes(old), resumes(new)) == (0, 2)
    assert new.get() is WAKE


def test_an_emission_that_moves_while_its_credit_comes_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The credit has told the old home when it moves: it tells the new one as well."""
    old, new = Mailbox("old"), Mailbox("new")
    each = emission()
    each.home = old
    jump = Mailbox.jump

    def moving(box: Mailbox, token: Token) -> None:
        jump(box, token)
        if box is old:
            each.home = new  # as `move` does, whose own jump may have come too soon

    monkeypatch.setattr(Mailbox, "jump", moving)
    each.resume()
    assert (resumes(old), resumes(new)) == (1, 1)
