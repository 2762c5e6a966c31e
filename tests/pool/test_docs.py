"""What the guide for users of `concurrent.futures` says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import threadsup

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "executor.md").read_text()


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_every_block_of_code_runs() -> None:
    """In order, with the names of the library and what the text takes for granted."""
    asked: list[Any] = []
    names: dict[str, Any] = dict(vars(threadsup))
    names |= {
        "open_session": lambda: "session",
        "fetch": lambda *args: asked.append(args),
        "url": "u",
        "print": asked.append,
    }
    for block in blocks():
        exec(compile(block, "executor.md", "exec"), names)  # noqa: S102 - the point of the test
    assert ("session", "u") in asked
    assert any(isinstance(what, threadsup.PoolStatistics) for what in asked)


def test_it_tells_the_errors_as_they_are() -> None:
    """Those it says are errors of the standard library are."""
    from concurrent.futures.thread import BrokenThreadPool  # noqa: PLC0415 - named in the text

    assert issubclass(threadsup.PoolBroken, BrokenThreadPool)
    assert issubclass(threadsup.CallingSelfError, RuntimeError)
    assert issubclass(threadsup.NotRunningError, RuntimeError)
