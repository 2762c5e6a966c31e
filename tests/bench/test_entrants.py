"""Who takes part: their order, and whether they can run here."""

from __future__ import annotations

import sysconfig
from importlib import metadata
from typing import Any

import pytest

from bench import entrants
from bench.entrants import ENTRANTS, Entrant, lacking, ordered, rounds_of, versions


def test_the_floor_comes_first_and_threadsup_last() -> None:
    """Whoever is not listed stands before threadsup."""
    found = ordered(["threadsup", "by hand", "Ray", "floor"])
    assert list(found) == ["floor", "Ray", "by hand", "threadsup"]


def test_who_needs_nothing_can_always_run() -> None:
    """Bare threads, the standard library, a name of a work's own, and what is tested here."""
    for who in ("floor", "queue.Queue", "ThreadPoolExecutor", "by hand", "Pykka", "threadsup"):
        assert lacking(who) == ""


@pytest.mark.parametrize(
    ("free", "wheel", "why"),
    [
        (0, False, "not installed"),
        (1, True, "not installed"),
        (1, False, "not installed: no wheel for builds without the GIL"),
    ],
)
def test_who_is_not_installed_says_whether_it_could_be(
    free: int, wheel: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build without the GIL has fewer peers, and the reason tells."""
    entrant = Entrant("X", "x", "x", "no_such_module_at_all", free=wheel)
    monkeypatch.setattr(entrants, "_KNOWN", {"X": entrant})
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: free)
    assert lacking("X") == why


def test_who_is_slow_to_start_has_fewer_rounds() -> None:
    """Never more than were asked for."""
    assert [rounds_of("floor", 5), rounds_of("Ray", 5), rounds_of("Ray", 1)] == [5, 2, 1]
    assert rounds_of("by hand", 5) == 5


def test_versions_are_of_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pykka always; a package that is not installed is not named, a checkout is."""
    assert versions().keys() <= {each.package for each in ENTRANTS}
    assert versions()["pykka"][0].isdigit()

    def nothing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    assert versions()["threadsup"] == "from the checkout"
