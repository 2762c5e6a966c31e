"""A thread that is started without waiting: it is a thread like any other all the same."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from tests.helpers import Gate
from threadsup._runtime.thread import Thread


def test_it_can_be_seen_named_and_joined_from_the_moment_it_is_started() -> None:
    """Alive at once, listed at once, joined whether it has run or not."""
    gate = Gate()
    thread = Thread(target=gate.meet, args=(), name="one of ours")
    assert not thread.is_alive()
    thread.start()
    assert thread.is_alive()
    assert thread.daemon
    assert "one of ours" in {each.name for each in threading.enumerate()}
    gate.wait_reached()
    gate.open()
    thread.join(10)
    assert not thread.is_alive()
    assert thread not in threading.enumerate()


def test_many_are_joined_before_they_can_have_run() -> None:
    """The join of one that has only just been started waits for its end."""
    ran: list[int] = []
    for number in range(50):
        thread = Thread(target=ran.append, args=(number,), name="quick")
        thread.start()
        thread.join(10)
        assert ran[-1] == number


def test_it_is_the_current_thread_of_its_code() -> None:
    """What runs in it finds it, by name and by number."""
    seen: list[tuple[threading.Thread, int | None]] = []

    def look() -> None:
        seen.append((threading.current_thread(), threading.get_ident()))

    thread = Thread(target=look, args=(), name="looking")
    thread.start()
    thread.join(10)
    assert seen == [(thread, thread.ident)]


def test_it_is_started_once() -> None:
    """As any thread."""
    thread = Thread(target=int, args=(), name="once")
    with pytest.raises(RuntimeError, match="before it is started"):
        thread.join()
    thread.start()
    with pytest.raises(RuntimeError, match="once"):
        thread.start()
    thread.join(10)


def test_one_that_could_not_be_started_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left it is not alive, and in no list."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    name = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    monkeypatch.setattr(threading, name, refuse)
    thread = Thread(target=int, args=(), name="never")
    with pytest.raises(RuntimeError, match="can't start"):
        thread.start()
    assert not thread.is_alive()
    assert thread not in threading.enumerate()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_a_fork_it_is_not_there() -> None:
    """The child of a fork has one thread, and ends as it likes."""
    gate = Gate()
    thread = Thread(target=gate.meet, args=(), name="of the parent")
    thread.start()
    gate.wait_reached()
    child = os.fork()
    if not child:
        os._exit(7 if thread.is_alive() or thread in threading.enumerate() else 0)
    _, status = os.waitpid(child, 0)
    gate.open()
    thread.join(10)
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_exception_that_leaves_it_is_told_as_of_any_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the thread it has left, though what tells it is shared by all of them."""
    told: list[tuple[object, object]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append((args[0], args[3])))
    threads = [Thread(target=int, args=("x",), name=f"bad {number}") for number in range(2)]
    for thread in threads:
        thread.start()
        thread.join(10)
    assert told == [(ValueError, thread) for thread in threads]
