"""Streams that hand on whole lines while the bottom of the terminal is in use."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from threadsup.cli.above import LONGEST, Above, lines_to


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (["one\ntwo\n"], ["one", "two"]),
        (["on", "e", "\n"], ["one"]),
        (["one\r\n"], ["one"]),
        (["10 %\r20 %\rdone\n"], ["done"]),
        (["10 %\r", "20 %\r", "done\n"], ["done"]),
        (["\n"], [""]),
    ],
)
def test_lines_are_handed_on_when_they_are_whole(texts: list[str], lines: list[str]) -> None:
    """Parts wait for the line's end; what a carriage return overwrites is not shown."""
    got: list[str] = []
    stream = Above(io.StringIO(), got.append)
    for text in texts:
        assert stream.write(text) == len(text)
    assert got == lines


def test_two_threads_do_not_share_a_line() -> None:
    """What one thread has begun another one does not end."""
    got: list[str] = []
    stream = Above(io.StringIO(), got.append)
    stream.write("mine")
    other = threading.Thread(target=print, args=("theirs",), kwargs={"file": stream})
    other.start()
    other.join()
    stream.write("\n")
    assert got == ["theirs", "mine"]


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    """Past a length it is handed on as it is."""
    got: list[str] = []
    stream = Above(io.StringIO(), got.append)
    stream.write("x" * (LONGEST + 1))
    assert [len(line) for line in got] == [LONGEST + 1]


def test_the_streams_are_put_back_and_the_rest_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the block everything is as it was, and nothing printed is lost."""
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stdout", mine)
    got: list[str] = []
    with lines_to(got.append, "stdout"):
        sys.stdout.write("a\nb")
    assert sys.stdout is mine
    assert got == ["a", "b"]


def test_a_stream_that_somebody_else_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code in the block may have a stream of its own, and keeps it."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    theirs = io.StringIO()
    with lines_to(str, "stdout"):
        sys.stdout = theirs
    assert sys.stdout is theirs


def test_all_else_is_the_other_streams() -> None:
    """A program finds the terminal's number, encoding and buffer where it looks for them."""
    inner = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="replace")
    stream = Above(inner, str)
    assert (stream.encoding, stream.errors) == ("latin-1", "replace")
    assert stream.buffer is inner.buffer
    assert stream.writable()
    assert not stream.isatty()
    stream.flush()
    with pytest.raises(OSError, match="fileno"):
        stream.fileno()
