"""What the documents say: their examples run, their tables are the code's.

The guides to Pykka, `concurrent.futures`, OTP and testing have tests of their own, beside
what they are about.
"""

from __future__ import annotations

import re
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import threadsup
from threadsup import SupervisorSpec, load
from threadsup._exits import Abandoned, Crashed, Normal, Shutdown
from threadsup._policy.restart import RESTARTS, STRATEGIES, affected
from threadsup.cli.command import main

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import MakeSupervisor
    from threadsup._policy.restart import Strategy

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEMANTICS = (DOCS / "semantics.md").read_text(encoding="utf-8")
CHAINS = (DOCS / "chains.md").read_text(encoding="utf-8")
SUPERVISORS = (DOCS / "supervisors.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "bench" / "README.md"]
PAGES += sorted(DOCS.glob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def block(text: str, language: str) -> str:
    """Return the first block of code in this language."""
    return blocks(text, language)[0]


def run(code: str, page: str, names: dict[str, Any] | None = None) -> list[str]:
    """Run a block as a program, with names that it takes for granted; return what it promises.

    That is the comment behind each `print`: what it prints, or what ends in that.
    """
    exec(compile(code, page, "exec"), names or {"__name__": "page"})  # noqa: S102 - the point
    said = re.findall(r"print\(.*\)  # (.*)$", code, re.MULTILINE)
    return [line.rpartition(": ")[2] for line in said]


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
    assert run(code, "README.md") == ["1815", "6"]
    assert capsys.readouterr().out.split() == ["1815", "6"]


@pytest.mark.parametrize("at", [1, 2, 3], ids=["doors", "stream", "tree"])
def test_each_block_of_the_readme_is_a_program(at: int, capsys: pytest.CaptureFixture[str]) -> None:
    """It needs nothing of another one, and prints what its comments say."""
    said = run(blocks(README, "python")[at], "README.md")
    assert said
    assert capsys.readouterr().out.splitlines() == said


def test_the_test_in_the_readme_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the plugin and no other; it is the last block."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    _, _, _, _, code = blocks(README, "python")
    pytester.makepyfile(code)
    pytester.runpytest_inprocess("-p", "threadsup.testing.plugin").assert_outcomes(passed=1)


def test_the_blocks_about_chains_run(
    supervisor: MakeSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    """With functions that the text takes for granted."""
    names = vars(threadsup) | {"parse": int, "price": float, "insert": list, "fetch": str}
    first, second = blocks(CHAINS, "python")
    run(first, "chains.md", names | {"lines": ["1", "2", "3"]})
    assert capsys.readouterr().out.split() == ["1.0", "2.0", "3.0"]
    run(second, "chains.md", names)

    class Page:
        words = 0

    done: list[Any] = []

    def save(pages: list[Any]) -> list[Any]:
        done.extend(pages)
        return pages

    rest = {"read": lambda page: page, "classify": lambda page: page, "index": id}
    rest |= {"scale": lambda page: page, "save": save}
    names |= {"sup": supervisor("library"), **rest}
    names["sup"].start()
    run(block(SEMANTICS, "python"), "semantics.md", names)
    page = Page()
    assert names["parse"].submit(page).result(10) is page
    assert done == [page]


def test_the_blocks_about_supervisors_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The first prints what it says, and then draws the tree."""
    first, second = blocks(SUPERVISORS, "python")
    said = run(first, "supervisors.md")
    printed_, *tree = capsys.readouterr().out.splitlines()
    assert [printed_] == said
    assert "shop" in tree[0]
    assert "ingest" in "".join(tree)
    run(second, "supervisors.md")


def test_the_tree_of_supervisors_is_a_valid_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guide's TOML loads, with a package that has what it names."""
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "__init__.py").touch()
    (tmp_path / "shelf" / "pages.py").write_text("def fetch(url): ...\n")
    text = block(SUPERVISORS, "toml").replace('"shop.pages:', '"shelf.pages:')
    (tmp_path / "shop.toml").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = load(tmp_path / "shop.toml", allow=("shelf",))
    (ingest,) = spec.children
    assert isinstance(ingest, SupervisorSpec)
    assert [child.id for child in ingest.children] == ["fetch", "archive"]


def test_the_defaults_of_a_nested_supervisor_are_the_codes() -> None:
    """The guide's table of options says what the description says."""
    spec = SupervisorSpec(name="any")
    rows = [line.split("|") for line in SUPERVISORS.splitlines() if re.match(r"\| `", line)]
    said = {cells[1].strip(" `"): cells[2].strip(" `") for cells in rows if len(cells) == 5}
    for name in ("escalate", "auto_shutdown", "significant", "defaults"):
        assert said[name] == repr(getattr(spec, name)).replace("'", '"'), name
    assert said["max_restarts`, `max_seconds`, `backoff"] == (
        f"{spec.max_restarts} in {spec.max_seconds:g} s"
    )


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "command-line.md"], ids=str)
def test_every_command_is_told(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that there is stands in the README and in its guide."""
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        assert f"threadsup {command}" in page.read_text(encoding="utf-8")


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
    assert [child.id for child in spec.children] == ["run", "etl", "night"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_exists(page: Path) -> None:
    """Every relative link of a page leads to a file of the checkout, and to a heading of it."""
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        leads = (page.parent / target).resolve() if target else page
        assert leads.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", leads.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, anchor


def test_every_guide_is_in_the_index() -> None:
    """Each page of the folder is linked from its front page."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parent == DOCS and page.name != "README.md":
            assert f"({page.name})" in index, page.name


def test_the_programs_that_the_index_names_exist() -> None:
    """Each module that the index has somebody run is in the checkout."""
    names = re.findall(r"`python -m ([\w.]+)", (DOCS / "README.md").read_text(encoding="utf-8"))
    assert len(names) == 7
    for name in names:
        path = ROOT.joinpath(*name.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


def test_the_modules_that_the_architecture_names_exist() -> None:
    """Each name of its tables that could be a module is one."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    there = {path.stem for path in (ROOT / "threadsup").rglob("*.py")}
    there |= {path.name for path in (ROOT / "threadsup").iterdir()}
    cells = [line.split("|")[1] for line in text.splitlines() if re.match("[|] `[a-z]", line)]
    named = [name for cell in cells for name in re.findall(r"`([\w/]+)`", cell)]
    named = [name.rpartition("/")[2] for name in named]
    assert len(named) > 30
    assert sorted({*named} - there - {"key"}) == []


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
