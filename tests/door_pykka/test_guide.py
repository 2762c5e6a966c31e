"""What the guide for users of Pykka shows runs as it stands, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "pykka.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=["import", "supervisor", "stage"])
def test_the_guide_prints_what_it_says(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block is a program; the comment behind a `print` is what it prints."""
    exec(compile(code, "pykka.md", "exec"), {"__name__": "guide"})  # noqa: S102 - the point
    said = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert said
    assert capsys.readouterr().out.splitlines() == said


def test_what_the_guide_links_to_is_there() -> None:
    """Every relative link leads to a file or a folder."""
    for target in re.findall(r"\]\(([^)#]+)\)", GUIDE):
        assert (Path(__file__).parents[2] / "docs" / target).exists(), target
