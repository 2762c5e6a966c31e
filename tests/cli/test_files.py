"""What lies beside a file may be used by it."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from threadsup.cli.files import beside, importable

if TYPE_CHECKING:
    from pathlib import Path


def fill(folder: Path, *names: str) -> Path:
    for entry in names:
        path = folder / entry
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    return folder / "app.toml"


def test_modules_and_packages_beside_the_file_are_found(tmp_path: Path) -> None:
    """A module is a `.py` file, a package a folder that holds one."""
    file = fill(tmp_path, "jobs.py", "shop/__init__.py", "plain/part.py", "data/rows.csv", "a.txt")
    assert beside(file) == ("jobs", "plain", "shop")


def test_names_that_no_import_can_mean_are_left_out(tmp_path: Path) -> None:
    """What is no identifier cannot be imported; a stdlib name means the stdlib's module."""
    file = fill(tmp_path, "my-job.py", "os.py", "json/__init__.py", "jobs.py")
    assert beside(file) == ("jobs",)


def test_a_module_beside_the_file_is_importable_within_the_block(tmp_path: Path) -> None:
    """The folder comes first on the path, and leaves it again."""
    (tmp_path / "only_here_1.py").write_text("answer = 42", encoding="utf-8")
    before = list(sys.path)
    with importable(tmp_path):
        assert importlib.import_module("only_here_1").answer == 42
        assert sys.path[0] == str(tmp_path)
    assert sys.path == before
    del sys.modules["only_here_1"]


def test_a_path_that_user_code_took_away_is_not_missed(tmp_path: Path) -> None:
    """Code in the block may rearrange the path as it likes."""
    before = list(sys.path)
    with importable(tmp_path):
        sys.path.remove(str(tmp_path))
    assert sys.path == before


def test_nothing_lies_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path is told by whoever reads the file, not by who looks around it."""
    assert beside(tmp_path / "none" / "app.toml") == ()
