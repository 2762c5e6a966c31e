"""The rounds: who has a turn when, and what becomes of who cannot go on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bench.rounds import Unable, inline, run
from bench.work import Row, Work, free_threaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Seat:
    """Notes each turn; gives the next figure, or raises what stands there."""

    free = True

    def __init__(self, who: str, turns: list[tuple[str, int]], figures: list[Any]) -> None:
        self.who, self.turns, self.figures = who, turns, figures

    def turn(self, count: int) -> tuple[float, ...]:
        self.turns.append((self.who, count))
        figure = self.figures.pop(0)
        if isinstance(figure, Exception):
            raise figure
        return figure if isinstance(figure, tuple) else (figure,)


class Party:
    """Seats made for a work, and what became of them."""

    def __init__(self, **figures: list[Any]) -> None:
        self.figures = figures
        self.turns: list[tuple[str, int]] = []
        self.left: list[str] = []

    def work(self, **options: Any) -> Work:
        ways: Any = dict.fromkeys(self.figures)
        return Work(rows=(Row("a row", "us"),), ways=ways, count=100, quick=1, **options)

    @contextmanager
    def sit(self, _: Work, who: str) -> Iterator[Seat]:
        if isinstance(self.figures[who], str):
            raise Unable(self.figures[who])
        yield Seat(who, self.turns, self.figures[who])
        self.left.append(who)

    @property
    def order(self) -> str:
        return "".join(who[0] for who, _ in self.turns)


def test_contestants_take_turns_and_each_round_begins_with_another() -> None:
    """All warm up with a tenth; then it is A B C, B C A, C A B."""
    party = Party(floor=[0, 1, 2, 3], Pykka=[0, 1, 2, 3], threadsup=[0, 1, 2, 3])
    (found,) = run(party.work(rounds=3), party.sit)
    assert party.order == "fPt" + "fPt" + "Ptf" + "tfP"
    assert [count for _, count in party.turns] == [10] * 3 + [100] * 9
    assert found.figures == {who: [1, 2, 3] for who in ("floor", "Pykka", "threadsup")}
    assert sorted(party.left) == ["Pykka", "floor", "threadsup"]
    assert found.free


def test_a_quick_run_is_one_round_without_warming_up() -> None:
    """It does as little as shows that it works."""
    party = Party(floor=[1], threadsup=[2])
    (found,) = run(party.work(), party.sit, quick=True, rounds=7)
    assert party.turns == [("floor", 1), ("threadsup", 1)]
    assert found.count == 1


def test_rounds_and_count_can_be_chosen() -> None:
    """What is asked for goes before what the work says."""
    party = Party(threadsup=[0, 1, 2])
    (found,) = run(party.work(rounds=5), party.sit, rounds=2, count=7)
    assert party.turns == [("threadsup", 1), ("threadsup", 7), ("threadsup", 7)]
    assert found.figures == {"threadsup": [1, 2]}


def test_a_work_of_one_round_is_not_warmed_up() -> None:
    """It is too long for that, or begins afresh each time."""
    party = Party(threadsup=[1])
    run(party.work(rounds=1), party.sit)
    assert party.turns == [("threadsup", 100)]


@pytest.mark.parametrize("when", [0, 2])
def test_who_fails_is_left_out_with_the_reason(when: int) -> None:
    """Early or late: the others go on in the same order, and half its figures count for nothing."""
    figures: list[Any] = [0, 1, 2, 3]
    figures[when] = Unable("broke")
    party = Party(floor=[0, 1, 2, 3], Pykka=figures, threadsup=[0, 1, 2, 3])
    (found,) = run(party.work(rounds=3), party.sit)
    assert found.unable == {"Pykka": "broke"}
    assert found.figures.keys() == {"floor", "threadsup"}
    assert len(found.figures["floor"]) == 3


def test_who_cannot_even_sit_down_is_left_out() -> None:
    """Not installed: no seat, no turn; a row is there all the same."""
    party = Party(threadsup="not installed")  # type: ignore[arg-type]
    (found,) = run(party.work(), party.sit)
    assert (found.figures, found.unable) == ({}, {"threadsup": "not installed"})
    assert found.free is free_threaded()


def test_too_few_figures_are_no_figures() -> None:
    """A way that does not fit its work is left out, not fitted in."""
    party = Party(threadsup=[(1, 2)])
    (found,) = run(party.work(), party.sit, quick=True)
    assert found.unable == {"threadsup": "2 figures for 1 rows"}


def test_who_starts_processes_each_time_has_fewer_turns() -> None:
    """Two rounds of Ray among four of the others."""
    party = Party(floor=[0, 1, 2, 3, 4], Ray=[0, 1, 2])
    (found,) = run(party.work(), party.sit, rounds=4)
    assert {who: len(each) for who, each in found.figures.items()} == {"floor": 4, "Ray": 2}


def test_the_progress_names_round_and_contestant() -> None:
    """Somebody waits for it in front of a terminal."""
    said: list[str] = []
    party = Party(floor=[0, 1])
    run(party.work(), party.sit, rounds=1, progress=said.append)
    assert said == ["warming up, floor", "round 1 of 1, floor"]


def _inline(way: Callable[[int], Any], who: str = "floor") -> Work:
    return Work(rows=(Row("a row", "us"),), ways={who: way}, count=5, quick=3)


def test_a_seat_can_be_in_this_process() -> None:
    """It calls the way, and what that raises is not hidden."""
    (found,) = run(_inline(lambda count: (count,)), inline, quick=True)
    assert (found.figures, found.free) == ({"floor": [3]}, free_threaded())
    with pytest.raises(ZeroDivisionError):
        run(_inline(lambda count: (count / 0,)), inline)


def test_who_is_not_installed_has_no_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the one that `lacking` gives."""
    monkeypatch.setattr("bench.rounds.lacking", lambda _: "not installed")
    (found,) = run(_inline(lambda count: (count,)), inline)
    assert found.unable == {"floor": "not installed"}
