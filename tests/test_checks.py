"""Rules for single values, and how a wrong value is shown."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest

from threadsup._checks import (
    LONGEST,
    check_all,
    flag,
    ident,
    number,
    one_of,
    optional,
    seconds,
    shown,
    suggestion,
    text,
    under,
    unknown,
    whole,
)

if TYPE_CHECKING:
    from threadsup._checks import Rule

NAN, INF = float("nan"), float("inf")


class Hostile:
    """A value whose every answer is an exception."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return Hostile
        raise AttributeError(name)

    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise SystemExit

    def __hash__(self) -> int:
        raise SystemExit


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (whole(0), [0, 1, 10**9]),
        (whole(1), [1]),
        (seconds(), [0, 0.0, 1e-9, LONGEST]),
        (seconds(above=True), [1e-9, 5]),
        (number(1, 2), [1, 1.5, 2]),
        (flag, [True, False]),
        (one_of("a", "b", "c"), ["a", "c"]),
        (optional(whole(1)), [None, 1]),
        (text, ["app", "a b", "ü", "x" * 200]),
        (ident, ["a", 0, -7, 10**100, ("shard", 1), ("a",), "x" * 200]),
    ],
)
def test_what_fits_has_no_problem(rule: Rule, values: list[object]) -> None:
    """A value that is what it must be gives an empty text."""
    assert [rule(value) for value in values] == [""] * len(values)


@pytest.mark.parametrize(
    ("rule", "value", "problem"),
    [
        (whole(1), "x", "must be a whole number of at least 1, not 'x'"),
        (whole(1), 0, "must be a whole number of at least 1, not 0"),
        (whole(0), True, "must be a whole number of at least 0, not True"),
        (whole(0), 1.0, "must be a whole number of at least 0, not 1.0"),
        (whole(0), None, "must be a whole number of at least 0, not None"),
        (whole(0), 10**9 + 1, "must be at most 1000000000, not 1000000001"),
        (seconds(), -0.5, "must be a number of seconds of at least 0, not -0.5"),
        (seconds(), NAN, "must be a number of seconds of at least 0, not nan"),
        (seconds(), INF, "must be at most 4000000, not inf"),
        (seconds(), -INF, "must be a number of seconds of at least 0, not -inf"),
        (seconds(), False, "must be a number of seconds of at least 0, not False"),
        (seconds(), "5", "must be a number of seconds of at least 0, not '5'"),
        (seconds(above=True), 0, "must be a number of seconds above 0, not 0"),
        (flag, 1, "must be true or false, not 1"),
        (one_of("a", "b", "c"), "d", "must be 'a', 'b' or 'c', not 'd'"),
        (one_of("a", "b"), ["a"], "must be 'a' or 'b', not ['a']"),
        (text, 3, "must be text, not 3"),
        (text, "", "must not be empty"),
        (text, " ", "must not be blank, not ' '"),
        (text, "a\nb", "must be printable, not 'a\\nb'"),
        (text, "\ud800", "must be printable, not '\\ud800'"),
        (text, "x" * 201, "must be of at most 200 characters, not 201"),
        (ident, "", "must not be empty"),
        (ident, "\x00", "must be printable, not '\\x00'"),
        (ident, True, "must be text, a whole number or a tuple of these, not True"),
        (ident, 1.5, "must be text, a whole number or a tuple of these, not 1.5"),
        (ident, (), "must be text, a whole number or a tuple of these, not ()"),
        (ident, ("a", ""), "must not be empty"),
        (ident, ("a", True), "must be text, a whole number or a tuple of these, not ('a', True)"),
        (
            ident,
            ("a", ("b",)),
            "must be text, a whole number or a tuple of these, not ('a', ('b',))",
        ),
        (ident, ("x" * 99, "y" * 99), "must be of at most 200 characters"),
        (ident, 10**300, "must be of at most 200 characters"),
        (ident, (10**5000,), "must be of at most 200 characters"),
        (ident, Colour.RED, "must be text, a whole number or a tuple of these, not a Colour"),
    ],
)
def test_what_does_not_fit_is_told_with_what_it_is(rule: Rule, value: object, problem: str) -> None:
    """A problem says what the value must be and what it is (F102)."""
    assert rule(value) == problem


@pytest.mark.parametrize(
    "rule", [whole(0), seconds(), flag, one_of("a", "b"), text, ident, optional(ident)]
)
def test_no_rule_runs_code_of_the_value(rule: Rule) -> None:
    """A value that raises at every touch is refused like any other (F35)."""
    assert rule(Hostile()).endswith("not a Hostile")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "'x'"),
        (b"x", "b'x'"),
        (None, "None"),
        ([1, "a", Hostile()], "[1, 'a', a Hostile]"),
        (int, "the class int"),
        (len, "the builtin_function_or_method len"),
        (object(), "a object"),
    ],
)
def test_values_are_shown_short(value: object, expected: str) -> None:
    """Plain values are shown as they are written, others by their type."""
    assert shown(value) == expected


@pytest.mark.parametrize(
    "value", ["x" * 10**6, b"x" * 10**6, [10**6000], list(range(10**5)), [[[[]]]], {"k": "v" * 999}]
)
def test_values_are_shown_in_bounded_length(value: object) -> None:
    """However large a value, the message stays readable."""
    assert len(shown(value)) <= 120


def test_absent_values_break_no_rule() -> None:
    """Only what is there is checked, in the order of the rules."""
    rules = {"a": whole(0), "b": flag, "c": flag}
    assert check_all(rules, {"c": 1, "a": -1, "d": "no rule"}) == [
        "a: must be a whole number of at least 0, not -1",
        "c: must be true or false, not 1",
    ]


def test_a_path_goes_before_the_path() -> None:
    """Lines keep their own path behind the one they are put under."""
    assert under("worker[0]", ["a: x", "b.c: y"]) == ["worker[0].a: x", "worker[0].b.c: y"]


def test_the_nearest_known_name_is_suggested() -> None:
    """A slip of the pen is answered with the word that was meant, a wild guess with none."""
    assert suggestion("restrat", ["restart", "strategy"]) == "; did you mean 'restart'?"
    assert suggestion("xyz", ["restart"]) == ""


def test_unknown_names_are_told_with_their_neighbours() -> None:
    """Names of any kind can be unknown, and a long one is cut."""
    known = {"capacity", "kwargs"}
    assert unknown(["capacity", "capcity", 3, "x" * 999], known) == {
        "capcity": "; did you mean 'capacity'?",
        "3": "",
        "x" * 200: "",
    }
