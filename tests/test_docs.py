"""What the documents say: their examples run, their tables are the code's."""

from __future__ import annotations

import re
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from threadsup import load
from threadsup._exits import Abandoned, Crashed, Normal, Shutdown
from threadsup._policy.restart import RESTARTS, STRATEGIES, affected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadsup._policy.restart import Strategy

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SEMANTICS = (ROOT / "docs" / "semantics.md").read_text()
CHAINS = (ROOT / "docs" / "chains.md").read_text()


def block(text: str, language: str) -> str:
    """Return the first block of code in this language."""
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def printed(name: str) -> list[str]:
    """Return the lines of a table that stands between marks."""
    found = re.search(rf"<!-- table: {name} -->\n(.*?)\n<!-- end -->", SEMANTICS, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    head = list(header)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def test_the_example_of_the_readme_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The README's example runs as it stands and prints what its comments say."""
    code = block(README, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the point of the test
    assert capsys.readouterr().out.split() == ["1815", "6"]


def test_the_tree_in_the_readme_is_a_valid_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's TOML loads, with a package that has what it names."""
    package = tmp_path / "myapp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "poll.py").write_text("def run(url): ...\n")
    (package / "etl.py").write_text("def parse(item): ...\ndef save(item): ...\n")
    (tmp_path / "app.toml").write_text(block(README, "toml"))
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = load(tmp_path / "app.toml", allow=("myapp",))
    assert [child.id for child in spec.children] == ["run", "etl"]


@pytest.mark.parametrize(
    ("text", "home"), [(README, ROOT), (SEMANTICS, ROOT / "docs"), (CHAINS, ROOT / "docs")]
)
def test_links_lead_to_files_that_exist(text: str, home: Path) -> None:
    """Every relative link of a document leads to a file of the checkout."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (home / target).exists(), target


def test_the_restart_table_is_the_codes() -> None:
    """The printed restart table says what `RESTARTS` says."""
    reasons = (Normal, Shutdown, Crashed, Abandoned)
    said = {True: "restarted", False: "stays down"}
    rows = [
        [f"`{restart}`", *(said[RESTARTS[restart][reason]] for reason in reasons)]
        for restart in ("permanent", "transient", "temporary")
    ]
    header = ["restart", *(f"`{reason.__name__}`" for reason in reasons)]
    assert printed("restarts") == table(header, rows)


def test_the_strategy_table_is_the_codes() -> None:
    """The printed strategy table says what `STRATEGIES` says, of children and of replicas."""

    def with_(key: str, children: str, name: Strategy) -> str:
        return ", ".join(f"`{who}`" for who in affected(name, children.split(), key, itemgetter(0)))

    rows = [
        [f"`{name}`", with_("b", "a b c", name), with_("b0", "a b0 b1 c", name)]
        for name in STRATEGIES
    ]
    header = ["strategy", "restarted with `b`", "restarted with `b0`"]
    assert printed("strategies") == table(header, rows)
