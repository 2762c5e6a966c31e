"""Ids: made where none was given, refused where one is taken."""

from __future__ import annotations

from threadsup._specs.naming import IdSource, duplicates, with_ids
from threadsup._specs.worker import worker_spec


def poll() -> None: ...


def test_ids_are_made_of_the_name_and_a_number() -> None:
    """The first of a name has it plain, the others are numbered from 2."""
    source = IdSource()
    assert [source.unused("poll", set()) for _ in range(3)] == ["poll", "poll-2", "poll-3"]
    assert source.unused("push", set()) == "push"


def test_a_made_id_avoids_the_taken_ones() -> None:
    """An id that a child was given is never made a second time."""
    source = IdSource()
    taken = {"poll", "poll-3"}
    assert [source.unused("poll", taken) for _ in range(3)] == ["poll-2", "poll-4", "poll-5"]


def test_a_number_is_not_used_again() -> None:
    """After a child is gone its made id stays unused: two workers never share one."""
    source = IdSource()
    assert source.unused("poll", set()) == "poll"
    assert source.unused("poll", set()) == "poll-2"


def test_given_ids_are_taken_before_the_first_is_made() -> None:
    """A made id gives way to a given one that is written later."""
    named = with_ids(
        [worker_spec(poll), worker_spec(poll), worker_spec(poll, id="poll")], lambda _: "poll"
    )
    assert [child.id for child in named] == ["poll-2", "poll-3", "poll"]


def test_a_child_with_an_id_is_left_as_it_is() -> None:
    """Naming copies nothing that has an id."""
    child = worker_spec(poll, id=("shard", 1))
    assert with_ids([child], lambda _: "poll") == (child,)
    assert with_ids([child], lambda _: "poll")[0] is child


def test_duplicates_are_told_where_they_stand() -> None:
    """Each place after the first names the first; what has no id yet is no duplicate."""
    places = [("a[0]", "x"), ("a[1]", None), ("a[2]", "x"), ("b[0]", None), ("b[1]", "x")]
    assert duplicates(places) == [
        "a[2].id: 'x' is taken by a[0]",
        "b[1].id: 'x' is taken by a[0]",
    ]


def test_text_and_number_are_different_ids() -> None:
    """`1`, `"1"` and `(1,)` are three ids."""
    assert duplicates([("a", 1), ("b", "1"), ("c", (1,))]) == []
