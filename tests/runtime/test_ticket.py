"""Tickets: what comes back is taken, who waits for credit is resumed, in every order."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import PATIENCE, Recorder
from tests.runtime.forcing import note_sleepers, run, run_as_worker
from threadsup._exits import Shutdown, WorkerExit
from threadsup._runtime.context import StopToken
from threadsup._runtime.family import Branch, Ledger, branch_of
from threadsup._runtime.pykka_compat import Envelope
from threadsup._runtime.ticket import CREDIT, GIVEN_BACK, Returned, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable


def emitting(returned: Returned, children: int = CREDIT) -> Branch:
    """Return the branch of an item that has emitted so much."""
    ticket: Any = Ticket(0, returned)
    _, branch = branch_of(Envelope("item", ticket), Ledger(lambda *_: None))
    for _ in range(children):
        branch.child()
    return branch


class Hooked(deque[Any]):
    """A deque that does something of ours just before it is looked into."""

    before: Callable[[], object] | None = None

    def popleft(self) -> Any:
        if self.before is not None and not self:
            before, self.before = self.before, None
            before()
        return super().popleft()


class Registering(dict[Any, Any]):
    """A dict that does something of ours just after somebody has registered."""

    def __init__(self, after: Callable[[], object]) -> None:
        super().__init__()
        self._after = after

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._after()


# -- coming back ----------------------------------------------------------------------


def test_a_ticket_comes_back_with_its_value() -> None:
    """A ticket that is settled with a value is taken as it is."""
    returned = Returned()
    ticket = Ticket(3, returned)
    ticket.set("value")
    assert returned.take() is ticket
    assert ticket.value == "value"


def test_a_ticket_comes_back_with_its_error() -> None:
    """A ticket that is settled with an error is taken as a failure of the item itself."""
    returned = Returned()
    ticket, error = Ticket(3, returned), ValueError()
    ticket.set_exception((ValueError, error, None))
    assert returned.take() == ("failed", ticket, None, (3,), error)


@pytest.mark.parametrize("way", ["set", "set_exception"])
def test_who_sleeps_is_woken_by_what_comes_back(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes before anything is there sleeps until it is."""
    asleep = note_sleepers(monkeypatch)
    returned = Returned()
    ticket = Ticket(0, returned)
    taking = run(returned.take)
    asleep.wait_for(1)
    if way == "set":
        ticket.set()
    else:
        ticket.set_exception((ValueError, ValueError(), None))
    assert taking.result() is ticket or way == "set_exception"


def test_what_comes_back_before_the_first_look_is_found() -> None:
    """A ticket set in the moment of taking is found, and nobody registers."""
    returned = Returned()
    events = returned.events = Hooked()
    ticket = Ticket(0, returned)
    events.before = ticket.set
    assert returned.take() is ticket


def test_what_comes_back_before_the_last_look_is_found() -> None:
    """A ticket set after who takes has registered, and before it looks again, is found."""
    returned = Returned()
    events = returned.events = Hooked()
    ticket = Ticket(0, returned)

    def arm_for_the_last_look() -> None:
        events.before = ticket.set

    events.before = arm_for_the_last_look
    assert returned.take() is ticket
    assert not returned.waiters


def test_a_worker_that_is_asked_to_stop_leaves_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that waits for results ends with the reason it was asked to stop for."""
    asleep = note_sleepers(monkeypatch)
    returned, token = Returned(), StopToken(task=True)
    taking = run_as_worker(token, returned.take)
    asleep.wait_for(1)
    token.ask(Shutdown(), float("inf"))
    with pytest.raises(WorkerExit):
        taking.result()
    assert not returned.waiters


def test_what_comes_back_to_a_closed_stream_is_let_go() -> None:
    """After closing nothing is kept, neither what had come nor what comes."""
    returned = Returned()
    Ticket(0, returned).set()
    returned.close()
    Ticket(1, returned).set()
    assert not returned.events


# -- credit ---------------------------------------------------------------------------


def test_an_emission_with_credit_may_go_on() -> None:
    """Up to its credit a branch may emit without anybody being registered."""
    resumed: Recorder[None] = Recorder()
    branch = emitting(Returned(), CREDIT - 1)
    assert branch.may_emit(lambda: resumed(None))
    assert not resumed.items


def test_an_emission_without_credit_is_resumed_when_it_has_some() -> None:
    """Resuming happens once, and not again without a new wait."""
    returned, resumed = Returned(), Recorder[None]()
    branch = emitting(returned)
    assert not branch.may_emit(lambda: resumed(None))
    branch.returned += GIVEN_BACK
    returned.resume(branch)
    returned.resume(branch)
    assert len(resumed) == 1
    assert branch.may_emit(lambda: resumed(None))


def test_credit_given_back_while_an_emission_registers_is_not_missed() -> None:
    """Credit that comes right after registering resumes it, though it has not looked yet."""
    returned, resumed = Returned(), Recorder[None]()
    branch = emitting(returned)

    def give_back() -> None:
        branch.returned += GIVEN_BACK
        returned.resume(branch)

    returned._suspended = Registering(give_back)
    assert not branch.may_emit(lambda: resumed(None))
    assert len(resumed) == 1
    assert not returned._suspended


def test_credit_given_back_before_an_emission_registers_is_seen() -> None:
    """Credit counted before the look, by who found nobody to resume, is taken at once."""
    returned, resumed = Returned(), Recorder[None]()
    branch = emitting(returned)

    def give_back() -> None:
        branch.returned += GIVEN_BACK  # who gave it had looked for somebody before

    returned._suspended = Registering(give_back)
    assert branch.may_emit(lambda: resumed(None))
    assert not resumed.items
    assert not returned._suspended


def test_closing_while_an_emission_registers_resumes_it() -> None:
    """An emission that registers in the moment of closing is resumed once, not left waiting."""
    returned, resumed = Returned(), Recorder[None]()
    branch = emitting(returned)
    returned._suspended = Registering(returned.close)
    assert not branch.may_emit(lambda: resumed(None))
    assert len(resumed) == 1
    assert not returned._suspended


def test_an_emission_of_a_closed_stream_may_always_go_on() -> None:
    """After closing there is no limit any more."""
    returned, resumed = Returned(), Recorder[None]()
    branch = emitting(returned)
    returned.close()
    assert branch.may_emit(lambda: resumed(None))
    assert not resumed.items


def test_closing_resumes_all_and_those_that_come_meanwhile() -> None:
    """Every emission that waits is resumed, also one that begins to wait during the closing."""
    returned, resumed = Returned(), Recorder[str]()
    branches = [emitting(returned) for _ in range(3)]
    late = emitting(returned)

    def come_late() -> None:
        resumed("first")
        # As one that has registered and has not looked yet whether it is closed.
        returned._suspended[late] = lambda: resumed("late")

    assert not branches[0].may_emit(come_late)
    assert not branches[1].may_emit(lambda: resumed("second"))
    assert not branches[2].may_emit(lambda: resumed("third"))
    returned.close()
    assert sorted(resumed.items) == ["first", "late", "second", "third"]


def test_an_interrupt_while_resuming_leaves_nobody_waiting() -> None:
    """Ctrl-C in the middle of a resume is passed on, and closing calls that one again."""
    returned, resumed = Returned(), Recorder[str]()
    first, second = emitting(returned), emitting(returned)

    def interrupted() -> None:
        resumed("first")
        if len(resumed) == 1:
            raise KeyboardInterrupt

    assert not first.may_emit(interrupted)
    assert not second.may_emit(lambda: resumed("second"))
    with pytest.raises(KeyboardInterrupt):
        returned.resume(first)
    returned.close()
    assert resumed.items == ["first", "first", "second"]


def test_an_interrupt_while_closing_leaves_nobody_waiting() -> None:
    """Ctrl-C during the closing is passed on after everybody was resumed."""
    returned, resumed = Returned(), Recorder[str]()

    def interrupted() -> None:
        resumed("first")
        if len(resumed) == 1:
            raise KeyboardInterrupt

    assert not emitting(returned).may_emit(interrupted)
    assert not emitting(returned).may_emit(lambda: resumed("second"))
    with pytest.raises(KeyboardInterrupt):
        returned.close()
    assert set(resumed.items) == {"first", "second"}
    assert not returned._suspended


def test_a_resume_that_always_fails_holds_up_no_other() -> None:
    """Closing ends, with the error, though one of those that wait cannot be resumed."""
    returned, resumed = Returned(), Recorder[str]()

    def broken() -> None:
        raise ValueError("broken")

    assert not emitting(returned).may_emit(broken)
    assert not emitting(returned).may_emit(lambda: resumed("second"))
    with pytest.raises(ValueError, match="broken"):
        returned.close()
    assert resumed.items == ["second"]
    assert not returned._suspended


def test_an_emission_that_was_settled_waits_no_more() -> None:
    """A branch that failed while it waited for credit is let go of, and not resumed."""
    returned, resumed = Returned(), Recorder[None]()
    branch = emitting(returned)
    assert not branch.may_emit(lambda: resumed(None))
    branch.set_exception((ValueError, ValueError(), None))
    assert not returned._suspended
    assert branch.resume is None
    returned.close()
    assert not resumed.items


@pytest.mark.parametrize("way", ["credit", "closing"])
def test_waiting_and_resuming_at_once_goes_on_once(way: str) -> None:
    """Of who registers and looks, and who resumes in this moment, exactly one lets it go on."""
    for _ in range(50):
        returned, resumed = Returned(), Recorder[None]()
        branch = emitting(returned)
        together = threading.Barrier(2, timeout=PATIENCE)

        def let_go_on(
            returned: Returned = returned,
            branch: Branch = branch,
            together: threading.Barrier = together,
        ) -> None:
            together.wait()
            if way == "closing":
                returned.close()
            else:
                for _ in range(2):  # as at two multiples: the first may come too early
                    branch.returned += GIVEN_BACK
                    returned.resume(branch)

        letting = run(let_go_on)
        together.wait()
        at_once = branch.may_emit(lambda resumed=resumed: resumed(None))  # type: ignore[misc]
        letting.result()
        assert len(resumed) + at_once == 1
