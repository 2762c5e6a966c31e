"""Whether there is a GIL, and who has switched it on."""

from __future__ import annotations

import sys
import tomllib
import warnings
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING

import pytest

from tests.cli.processes import ROOT
from threadsup.cli.interpreter import EXTRAS, NEEDED, Gil, Watch, version_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SWITCHED = (
    "The global interpreter lock (GIL) has been enabled to load module 'shop._fast', which has "
    "not declared that it can run safely without the GIL."
)


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the interpreter be of another build."""

    def make(*, free: bool, on: bool) -> None:
        monkeypatch.setattr("sysconfig.get_config_var", lambda _: int(free))
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: on, raising=False)
        monkeypatch.delenv("PYTHON_GIL", raising=False)
        monkeypatch.setattr(sys, "_xoptions", {})

    return make


def test_a_build_with_the_gil(build: Callable[..., None]) -> None:
    """It is on because it was built in."""
    build(free=False, on=True)
    assert Watch().gil() == Gil(built=True, on=True, forced="")


def test_a_build_without_it(build: Callable[..., None]) -> None:
    """Nobody has switched it on."""
    build(free=True, on=False)
    assert Watch().gil() == Gil(built=False, on=False, forced="")


def test_what_the_environment_forces(
    build: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PYTHON_GIL=1` is the culprit where it is set, and the option goes before it."""
    build(free=True, on=True)
    monkeypatch.setenv("PYTHON_GIL", "1")
    assert Watch().gil().forced == "PYTHON_GIL=1"
    monkeypatch.setattr(sys, "_xoptions", {"gil": "1"})
    assert Watch().gil().forced == "-X gil=1"


def test_the_extension_that_switches_it_on_is_caught(build: Callable[..., None]) -> None:
    """The interpreter warns as it does it, and the warning has the name."""
    build(free=True, on=True)
    watch = Watch()
    with watch.looking():
        warnings.warn(SWITCHED, RuntimeWarning, stacklevel=1)
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
    assert watch.gil() == Gil(built=False, on=True, forced="", by=("shop._fast",))


def test_one_that_was_on_before_is_one_of_those_loaded(
    build: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looked when it was switched on: the extensions there are, are named."""
    build(free=True, on=True)

    class Module:
        __file__ = "/x/shop/_fast" + EXTENSION_SUFFIXES[0]

    monkeypatch.setitem(sys.modules, "shop._fast", Module())
    gil = Watch().gil()
    assert "shop._fast" in gil.by
    assert not gil.certain
    assert "_ssl" not in gil.by


def test_what_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is missing, or that fails, is no reason to fail."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_package.py").write_text("raise ImportError('no library')")
    watch = Watch()
    assert not watch.try_import("no_such_package")
    assert not watch.try_import("broken_package")
    assert watch.try_import("pykka")
    assert version_of("no-such-package") == ""


def test_the_packages_are_those_of_the_project() -> None:
    """What the doctor looks for is what is declared."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [f"{name}>={least}" if least else name for name, least in NEEDED.items()]
    assert project["dependencies"] == needed
    cli = project["optional-dependencies"]["cli"]
    assert tuple(entry.partition(">")[0] for entry in cli) == EXTRAS["cli"]
