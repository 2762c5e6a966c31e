"""Pykka's documented examples run with only the import changed, and print what they did."""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pykka
import pytest

import threadsup
from examples.pykka.testing import ProducerActor
from tests.helpers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "pykka"


@pytest.fixture(autouse=True)
def actors_end(no_thread_left: None) -> Iterator[None]:
    """Stop what an example leaves running."""
    del no_thread_left
    yield
    pykka.ActorRegistry.stop_all(timeout=PATIENCE)


def run(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run an example as a program; return the lines that it prints.

    Those of two threads may stand in one, as each ends its own separately.
    """
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_only_the_import_is_of_this_library() -> None:
    """Each example makes its actors of our class, and names nothing else of ours."""
    for path in EXAMPLES.glob("[a-z]*.py"):
        text = path.read_text(encoding="utf-8")
        (line,) = re.findall(r"^.*threadsup.*$", text, re.MULTILINE)
        assert line in {
            "from threadsup import pykka",
            "from threadsup.pykka import ActorProxy, ThreadingActor",
        }


def test_basic(capsys: pytest.CaptureFixture[str]) -> None:
    """What was told is what is asked for."""
    assert run("basic", capsys) == ["[{'no': 'Norway', 'se': 'Sweden'}, {'a': 3, 'b': 4, 'c': 5}]"]


def test_cooperation(capsys: pytest.CaptureFixture[str]) -> None:
    """Each number goes to the adder and comes back."""
    lines = run("cooperation", capsys)
    assert lines == [
        text
        for number in range(5)
        for text in (f"Adder is adding 1 to {number}", f"Bookkeeper got {number + 1} back")
    ]
    assert pykka.ActorRegistry.get_all() == []


def test_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    """Methods and fields, each in the thread that they are run in."""
    lines = run("proxy", capsys)
    assert re.search(r"FooActor-\d+: this was printed by FooActor.bar\(\)", "\n".join(lines))
    assert "MainThread: this was returned by FooActor.baz() after a delay" in "\n".join(lines)
    assert lines[-1] == "MainThread: new value"


def test_proxy_typing(capsys: pytest.CaptureFixture[str]) -> None:
    """It starts an actor; the rest is for a type checker."""
    assert run("proxy_typing", capsys) == []
    assert len(pykka.ActorRegistry.get_by_class(threadsup.ThreadingActor)) == 1


def test_worker_pool(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses are shared out, those too that nobody knows."""

    def known(address: str) -> tuple[str, list[str], list[str]]:
        if address.endswith("3"):
            raise OSError("unknown")
        return f"host-{address}", [], [address]

    monkeypatch.setattr(socket, "gethostbyaddr", known)
    text = "\n".join(run("worker_pool", capsys))
    assert "Finished resolving 193.35.52.19" in text
    assert "Failed resolving 193.35.52.13" in text
    assert "(IPv4Address('193.35.52.13'), None)," in text
    assert text.endswith("'host-193.35.52.19')]")


def test_testing() -> None:
    """The actor under test is started with a mock, told to produce, and stopped."""
    consumer: Any = Mock()
    producer = ProducerActor.start(consumer).proxy()
    producer.produce().get(timeout=PATIENCE)
    consumer.consume.assert_called_once_with({"item": 1, "new": True})
    producer.stop()


def test_deadlock() -> None:
    """The two wait for each other, and the signal has the log say where."""
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "deadlock.py")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        assert program.stderr is not None
        for line in program.stdout:
            if line.startswith("Making main thread relax"):
                break
        program.send_signal(signal.SIGUSR1)
        seen, awaited = "", {"ActorA-", "ActorB-", "MainThread"}
        for line in program.stderr:
            seen += line
            if all(f"Current state of {name}" in seen for name in awaited):
                break
    finally:
        program.kill()
        seen += program.communicate()[1]
    assert "return b.bar().get()" in seen
    assert "return self.a.foo().get()" in seen
