"""The guide to testing and its example: they run, and fail where they say so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import threadsup.testing
from threadsup import testing

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "testing" / "test_queue.py"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Run tests with the plugin, and no other."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p threadsup.testing.plugin")
    return pytester


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_tests_of_the_guide_pass_but_for_the_one_that_fails(run: pytest.Pytester) -> None:
    """That one as it is printed there; the configuration that is shown is one."""
    failing = re.search(r"<!-- fails -->\n```python\n(.*?)```", GUIDE, re.DOTALL)
    assert failing is not None
    run.makeini(blocks("ini")[0].replace(" dead_letters", ""))
    run.makepyfile("".join(blocks("python")).replace(failing[1], ""))
    run.runpytest_inprocess().assert_outcomes(passed=10)
    run.makepyfile(blocks("python")[0] + failing[1])
    result = run.runpytest_inprocess("-k", "credit")
    result.assert_outcomes(passed=1, errors=1, deselected=1)
    lines = [re.sub(r"-\d+'", "-*'", line) for line in blocks("text")[0].splitlines()]
    result.stdout.fnmatch_lines([line.replace("[", "[[]") for line in lines])


def test_the_example_passes(run: pytest.Pytester) -> None:
    """As it stands in the checkout."""
    run.makepyfile(EXAMPLE.read_text(encoding="utf-8"))
    run.runpytest_inprocess().assert_outcomes(passed=5)


def test_everything_for_tests_is_in_the_guide() -> None:
    """Each public name, but for those of values that functions return."""
    named = {*testing.__all__} - {"EventLog", "Hang", "InjectedCrash"}
    assert sorted(name for name in named if name not in GUIDE) == []
    assert all(hasattr(threadsup.testing, name) for name in testing.__all__)
