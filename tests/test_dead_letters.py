"""The record of messages that failed or were never delivered: newest last, bounded."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from tests.conformance.scenes import act, boom
from tests.helpers import PATIENCE, Gate
from tests.supervisor.trees import outcome, taken, together
from threadsup import Backoff, Reject, handler, stage, worker_spec
from threadsup._dead_letters import LIMIT, DeadLetters

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor


class Secret:
    """A message that nobody is to look into."""

    def __repr__(self) -> str:
        raise AssertionError("somebody looked")

    __str__ = __eq__ = __repr__  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


def test_the_newest_are_kept_newest_last() -> None:
    """A thousand of them."""
    letters = DeadLetters()
    for number in range(LIMIT + 10):
        letters.add(number, "w", "failed", "Boom")
    kept = letters.list()
    assert len(kept) == LIMIT == 1000
    assert [kept[0].message, kept[-1].message] == [10, LIMIT + 9]


def test_a_record_does_not_look_into_its_messages() -> None:
    """Not to keep them, not to show them."""
    letters = DeadLetters()
    letters.add(Secret(), ("g", "m"), "failed", "Boom: x")
    (letter,) = letters.list()
    assert "Secret" not in repr(letter)
    assert "to=('g', 'm')" in repr(letter)
    assert type(letter.message) is Secret


def test_letters_are_taken_out_by_whoever_wants_them() -> None:
    """Those of one chain, say, each once; the others stay. Nothing is compared."""
    letters = DeadLetters()
    for scope in ("c", None, "c", "d"):
        letters.add(Secret(), (scope, "s") if scope else "w", "failed", "Boom", scope)
    taken = letters.take(lambda letter: letter.scope == "c")
    assert [(letter.to, letter.scope) for letter in taken] == [(("c", "s"), "c")] * 2
    assert [letter.scope for letter in letters.list()] == [None, "d"]
    assert letters.take(lambda letter: letter.scope == "c") == ()


def test_letters_are_added_while_they_are_read() -> None:
    """From eight threads, half of which read (F81)."""
    letters = DeadLetters()

    def run(number: int) -> int:
        seen = 0
        for turn in range(500):
            if number % 2:
                letters.add(turn, number, "failed")
            else:
                seen = len(letters.list())
        return seen

    together(8, run)
    assert len(letters.list()) == LIMIT


def test_each_message_that_fails_or_is_lost_is_recorded_once(supervisor: MakeSupervisor) -> None:
    """With whom it was for, why, with what error, and when; askers hear of it as well."""
    gate, before = Gate(), time()
    tree = supervisor(backoff=Backoff.none()).start()
    worker = tree.add_worker(handler(act), id="w", capacity=1, on_full="drop_new")
    group = tree.add_group("g", [worker_spec(handler(act), id="m")])
    chain = tree.add_chain("c", [stage(Reject, id="s")])
    assert type(outcome(worker.ask, boom)).__name__ == "Boom"
    assert worker.ask(1) == 1  # who asked hears of it before it is recorded
    group.tell("m", boom)
    assert group.ask("m", 1) == 1
    chain.tell("rejected")
    assert chain.drain(PATIENCE)
    worker.tell(gate.meet)
    gate.wait_reached()
    worker.tell("queued")
    worker.tell("no room")
    removal = tree._root.errand("remove_child", "w")
    taken(tree)
    gate.open()
    removal.result(PATIENCE)
    letters = tree.dead_letters()
    seen: list[tuple[Any, ...]] = [(each.to, each.reason, each.error) for each in letters]
    assert seen[:4] == [
        ("w", "failed", "Boom: boom"),
        (("g", "m"), "failed", "Boom: boom"),
        (("c", "s"), "failed", "Rejected: rejected"),
        ("w", "dropped at the bound", ""),
    ]
    assert [each.message for each in letters] == [boom, boom, "rejected", "no room", "queued"]
    assert (letters[4].to, letters[4].error) == ("w", "")
    assert [each.scope for each in letters] == [None, "g", "c", None, None]
    assert all(before <= each.at <= time() for each in letters)


def test_letters_can_be_read_after_the_end(supervisor: MakeSupervisor) -> None:
    """They are what is left of the messages."""
    tree = supervisor().start()
    ref = tree.add_worker(handler(act), id="w", max_restarts=0)
    ref.tell(boom)
    ref.wait(PATIENCE)
    tree.stop()
    assert [letter.message for letter in tree.dead_letters()] == [boom]
