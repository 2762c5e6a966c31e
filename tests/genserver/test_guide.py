"""The guide from OTP and the examples of servers: they run, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import threadsup
from examples.genserver import cache, waiting
from threadsup import Context, GenServer, Group, Supervisor, Timer, WorkerRef

if TYPE_CHECKING:
    import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
GUIDE = (DOCS / "otp.md").read_text(encoding="utf-8")


def test_the_code_of_the_guide_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks run one after the other; what follows a `print` is what it prints."""
    names: dict[str, Any] = {"__name__": "guide"}
    expected: list[str] = []
    for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(compile(code, "otp.md", "exec"), names)  # noqa: S102 - the point of the test
        expected += re.findall(r"print\(.*\)  # (.*)", code)
    assert capsys.readouterr().out.splitlines() == expected
    assert len(expected) == 6


def test_the_links_of_the_guide_lead_somewhere() -> None:
    """Every relative link is to a file of the checkout."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", GUIDE):
        assert (DOCS / target).exists(), target


def test_the_words_of_the_guide_exist() -> None:
    """Each method that a table names is there."""
    owners = {
        "self": GenServer,
        "ref": WorkerRef,
        "sup": Supervisor,
        "group": Group,
        "chain": threadsup.Chain,
        "timer": Timer,
        "token": threadsup.ReplyToken,
        "current()": Context,
        "threadsup": threadsup,
    }
    rows = [line.split("|") for line in GUIDE.splitlines() if line.startswith("|")]
    ours = "\n".join(cells[2] for cells in rows)
    used = re.findall(
        r"\b(self|ref|sup|group|chain|timer|token|current\(\)|threadsup)\.(\w+)", ours
    )
    assert len(used) > 30
    for owner, name in used:
        assert hasattr(owners[owner], name), f"{owner}.{name}"


def test_the_cache_forgets_what_has_expired(capsys: pytest.CaptureFixture[str]) -> None:
    """A timer for each entry, and none for one that was replaced."""
    cache.main()
    assert capsys.readouterr().out.splitlines() == [
        "page: <html>",
        "token gone: True",
        "token: None",
        "page: <html>, again",
    ]


def test_the_room_lets_its_callers_wait(capsys: pytest.CaptureFixture[str]) -> None:
    """For a seat that is given back, and for one that is taken back."""
    waiting.main()
    assert capsys.readouterr().out.splitlines() == [
        "seats: 0 1",
        "waiting: 1",
        "Cleo has seat 0",
        "one seat: 0 and, in a moment, 0",
    ]
