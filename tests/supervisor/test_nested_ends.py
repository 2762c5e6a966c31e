"""Nested supervisors when their tree fails or dies, and the page that tells of them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import threadsup
from tests.conformance.scenes import act
from tests.helpers import PATIENCE
from tests.supervisor.trees import ROOT, outcome, run_program
from threadsup import NotRunningError, Supervisor, handler, load

if TYPE_CHECKING:
    import pytest

    from tests.conftest import MakeSupervisor

PAGE = (Path(ROOT) / "docs" / "supervisors.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, and prints what its comment says."""
    exec(compile(blocks("python")[0], "supervisors.md", "exec"), {})  # noqa: S102 - the point
    first, *tree = capsys.readouterr().out.splitlines()
    assert first == "19"
    assert [line.split("  ")[0] for line in tree] == [
        "supervisor shop",
        "├─ supervisor ingest",
        "│",
        "└─ handler store",
    ]


def test_the_file_of_the_page_is_a_valid_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads as it stands, beside the module that it names."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "pages.py").write_text("def fetch(url): return url\n")
    (tmp_path / "shop.toml").write_text(blocks("toml")[0])
    monkeypatch.syspath_prepend(tmp_path)
    try:
        spec = load(tmp_path / "shop.toml", allow=("shop",))
    finally:
        for name in ("shop", "shop.pages"):
            sys.modules.pop(name, None)
    assert [child.id for child in spec.children] == ["ingest"]


def test_a_bug_of_the_supervisor_s_is_told_to_who_waits_for_a_nested_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for ever, and its workers are asked to stop (F56)."""
    tree = Supervisor().start()
    nest = tree.add_supervisor("nest")
    inner = nest.add_supervisor("inner")
    ref = inner.add_worker(handler(act))

    def bug(event: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(nest._root, "adopt", bug)
    assert isinstance(outcome(nest.add_worker, handler(act)), threadsup.InternalError)
    for supervisor in (inner, nest, tree):
        assert isinstance(outcome(supervisor.wait, PATIENCE), threadsup.InternalError)
        assert isinstance(outcome(supervisor.stop), threadsup.InternalError)
    assert isinstance(outcome(ref.wait, PATIENCE), threadsup.InternalError)


def test_calls_to_one_whose_tree_has_ended_fail_at_once(supervisor: MakeSupervisor) -> None:
    """And never block (row 42)."""
    tree = supervisor().start()
    nest = tree.add_supervisor("nest")
    nest.add_worker(handler(act), id="w")
    tree.stop()
    for call in (
        lambda: nest.add_worker(handler(act)),
        lambda: nest.add_supervisor("late"),
        lambda: nest.stop_child("w"),
        lambda: nest.restart_child("w"),
        lambda: nest.remove_child("w"),
        lambda: nest.register("w", nest.worker("w")),
    ):
        assert isinstance(outcome(call), NotRunningError)
    assert nest.wait() == threadsup.Shutdown()
    assert nest.stop().clean
    nest.request_stop()


def test_the_child_of_a_fork_says_that_a_nested_one_is_dead() -> None:
    """All that would wait is refused, in the child only."""
    assert hasattr(os, "fork"), "this system does not fork, and has nothing to show here"
    ran = run_program(
        """
import os
from threadsup import NotRunningError, Supervisor, handler

with Supervisor("app") as tree:
    nest = tree.add_supervisor("nest")
    ref = nest.add_worker(handler(str), id="w")
    pid = os.fork()
    if not pid:
        calls = nest.stop, nest.wait, ref.wait, lambda: nest.stop_child("w")
        calls += (lambda: nest.add_worker(handler(str)), lambda: nest.register("w", ref))
        for call in calls:
            try:
                call()
            except NotRunningError as error:
                assert "forked" in str(error), error
            else:
                os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert ref.ask(3) == "3"
print("fine")
"""
    )
    assert (ran.stdout, ran.returncode) == ("fine\n", 0), ran.stderr
