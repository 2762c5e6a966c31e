"""Whose a thread is: each finds its own context, whatever others enter and leave."""

from __future__ import annotations

from typing import Any

from tests.helpers import Gate
from tests.runtime.forcing import run
from threadsup._runtime.context import Context, StopToken
from threadsup._runtime.whose import current, enter, leave, leave_all


def context(id: str) -> Context:
    return Context(id=id, kind="task", incarnation=1, token=StopToken(task=True))


def test_a_thread_is_nobodys_until_it_enters_and_after_it_leaves() -> None:
    """To leave twice is to leave once."""

    def body() -> list[Any]:
        seen = [current()]
        enter(mine)
        seen.append(current())
        leave()
        leave()
        return [*seen, current()]

    mine = context("mine")
    assert run(body).result() == [None, mine, None]
    assert current() is None


def test_each_thread_finds_its_own() -> None:
    """What one enters is nothing to another that runs at the same time."""
    gates = [Gate("the first"), Gate("the second")]
    contexts = [context("first"), context("second")]

    def body(number: int) -> Context | None:
        enter(contexts[number])
        try:
            gates[number].meet()
            return current()
        finally:
            leave()

    threads = [run(body, number) for number in range(2)]
    for gate in gates:
        gate.wait_reached()
    for gate in gates:
        gate.open()
    assert [each.result() for each in threads] == contexts


def test_in_the_child_of_a_fork_no_thread_is_anybodys() -> None:
    """A thread that is not there leaves nothing for a new one with its ident to find."""
    gate = Gate("inside")

    def body() -> Context | None:
        enter(context("gone"))
        gate.meet()
        seen = current()
        leave()
        return seen

    thread = run(body)
    gate.wait_reached()
    leave_all()
    gate.open()
    assert thread.result() is None
