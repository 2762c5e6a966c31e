"""What type checkers are given: the marker, and files that they check for both of them."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "typing").glob("*.py"))
EXPECTED = re.compile(r"# type: ignore\[[a-z-, ]+\]  # pyright: ignore\[\w+(, \w+)*\]$")


def test_the_package_says_that_it_is_typed() -> None:
    """Without the marker a type checker looks at nothing of it."""
    assert (resources.files("threadsup") / "py.typed").is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_expected_error_is_expected_of_both_checkers(file: Path) -> None:
    """A mistake that one of them lets pass would not be noticed in a program."""
    lines = [line for line in file.read_text().splitlines() if "ignore[" in line]
    assert lines
    assert [line for line in lines if not EXPECTED.search(line)] == []
