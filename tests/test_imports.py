"""Names in a file: their form, what is allowed, and modules that misbehave."""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Any

import pytest

from threadsup._imports import Names, allow_problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `shop` on the path, gone again with its modules after the test."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("def root(): ...\n")
    (tmp_path / "shopping.py").write_text("def run(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "shopping")]:
        del sys.modules[name]


def resolved(text: object, *allow: str) -> tuple[Any, str]:
    return Names(allow or ("shop",)).resolve(text)


# -- allow ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "allow", [(), ("a",), ["a", "a.b"], {"a"}, frozenset({"ä"}), {"a": 1}.keys()]
)
def test_packages_are_allowed_by_their_names(allow: Any) -> None:
    """Any collection of whole dotted names will do."""
    assert allow_problems(allow) == []


@pytest.mark.parametrize(
    ("allow", "problems"),
    [
        ("myapp", ["allow: must be a tuple of package names: allow=('myapp',)"]),
        (b"myapp", ["allow: must be a tuple of package names, not b'myapp'"]),
        ({"a": 1}, ["allow: must be a tuple of package names, not {'a': 1}"]),
        (None, ["allow: must be a tuple of package names, not None"]),
        (
            ("a", "", "a.", "a:b", "a.*", 3),
            [
                "allow[1]: must be the name of a package, not ''",
                "allow[2]: must be the name of a package, not 'a.'",
                "allow[3]: must be the name of a package, not 'a:b'",
                "allow[4]: must be the name of a package, not 'a.*'",
                "allow[5]: must be the name of a package, not 3",
            ],
        ),
    ],
)
def test_what_allows_nothing_by_mistake_is_told(allow: Any, problems: list[str]) -> None:
    """A text in place of a tuple would allow its letters; a pattern, nothing at all."""
    assert allow_problems(allow) == problems


# -- names ----------------------------------------------------------------------------


def test_a_name_in_an_allowed_package_is_found(package: Path) -> None:
    """A package allows itself and what is in it."""
    (package / "jobs.py").write_text("def run(): ...\n")
    for text in ("shop:root", "shop.jobs:run"):
        target, problem = resolved(text)
        assert (target.__name__, problem) == (text.partition(":")[2], "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "shop",
        "shop.root",
        "shop:",
        ":root",
        "shop:root.__globals__",
        "shop:root:x",
        "shop:root()",
        ".shop:root",
        "shop..jobs:run",
        "shop.jobs.:run",
        "shop :root",
        "shop/jobs:run",
        3,
        None,
        ["shop:root"],
        len,
    ],
)
def test_a_name_has_one_form(package: Path, text: object) -> None:
    """One module, one colon, one name: no attributes are walked, nothing is run (F98)."""
    target, problem = resolved(text)
    assert target is None
    assert problem.startswith("must be 'package.module:name', not ")
    assert "shop" not in sys.modules


@pytest.mark.parametrize("text", ["shopping:run", "os:system", "subprocess:call", "builtins:eval"])
def test_what_is_not_allowed_is_not_imported(package: Path, text: str) -> None:
    """A package's name allows no other that begins with the same letters (F98)."""
    assert resolved(text) == (None, f"{text!r} is not allowed, only shop is")
    assert "shopping" not in sys.modules


def test_a_module_allows_itself_and_not_its_package(package: Path) -> None:
    """What is allowed is what is named and what is below it."""
    assert resolved("shop:root", "shop.jobs")[1] == "'shop:root' is not allowed, only shop.jobs is"


def test_without_packages_nothing_is_allowed() -> None:
    """The message says that none was given."""
    assert Names(()).resolve("os:system") == (None, "'os:system' is not allowed, as no package is")


def test_a_function_of_elsewhere_is_not_allowed_through_an_allowed_module(package: Path) -> None:
    """What a module only imported stays what it was: `run` of `subprocess` (F98)."""
    (package / "tools.py").write_text(
        "from subprocess import run, Popen\nfrom os import getpid\nfrom shop import root\n"
        "own = len\n"
    )
    shell = "'shop.tools:run' comes from subprocess, which is not allowed, only shop is"
    assert resolved("shop.tools:run") == (None, shell)
    for name in ("Popen", "getpid", "own"):
        assert "which is not allowed" in resolved(f"shop.tools:{name}")[1]
    assert resolved("shop.tools:root")[1] == ""
    assert resolved("shop.tools:run", "shop", "subprocess")[1] == ""


def test_the_c_half_of_an_allowed_module_is_allowed() -> None:
    """`operator.add` says it is of `_operator`: that is the same module to everybody."""
    assert resolved("operator:add", "operator") == (operator.add, "")


def test_what_does_not_say_where_it_comes_from_is_found(package: Path) -> None:
    """A value that an allowed module made is that module's."""
    (package / "made.py").write_text(
        "import functools, random\n"
        "part = functools.partial(print, 1)\nchance = random.random\nnumber = 3\nnone = None\n"
    )
    for name in ("part", "chance", "number", "none"):
        assert resolved(f"shop.made:{name}")[1] == ""


def test_a_missing_name_is_told_with_its_neighbour(package: Path) -> None:
    """A slip of the pen is answered with the name that was meant."""
    (package / "jobs.py").write_text("def serve(): ...\n")
    assert resolved("shop.jobs:srve")[1] == "shop.jobs has no 'srve'; did you mean 'serve'?"
    assert resolved("shop.jobs:xyz")[1] == "shop.jobs has no 'xyz'"


def test_a_missing_module_is_told(package: Path) -> None:
    """The import's own message is part of the line."""
    assert resolved("shop.nowhere:run")[1] == (
        "shop.nowhere cannot be imported: ModuleNotFoundError: No module named 'shop.nowhere'"
    )


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: "),
        ("class E(BaseException):\n  def __str__(self): 1 / 0\nraise E", "E: <its message"),
        ("raise ValueError('x' * 10**6)", "ValueError: xxx"),
    ],
)
def test_a_module_that_fails_is_an_error_line(package: Path, code: str, problem: str) -> None:
    """Whatever a module does on import ends as text of bounded length."""
    (package / "bad.py").write_text(code)
    target, line = resolved("shop.bad:run")
    assert target is None
    assert line.startswith(f"shop.bad cannot be imported: {problem}")
    assert len(line) < 1500


def test_a_module_that_fails_is_not_run_again(package: Path) -> None:
    """Ten targets in a bad module are ten lines and one import."""
    (package / "bad.py").write_text("import shop\nshop.runs = getattr(shop, 'runs', 0) + 1\n1 / 0")
    names = Names(("shop",))
    assert names.resolve("shop.bad:a") == names.resolve("shop.bad:b")
    assert sys.modules["shop"].runs == 1


def test_a_module_attribute_that_fails_is_an_error_line(package: Path) -> None:
    """A module's `__getattr__` is user code like the rest."""
    (package / "lazy.py").write_text("def __getattr__(name): raise SystemExit(name)")
    assert resolved("shop.lazy:run") == (None, "shop.lazy has no 'run': SystemExit: run")


@pytest.mark.parametrize(
    "code", ["raise KeyboardInterrupt", "def __getattr__(name): raise KeyboardInterrupt"]
)
def test_an_interrupt_is_the_users(package: Path, code: str) -> None:
    """Ctrl-C during an import ends the loading."""
    (package / "slow.py").write_text(code)
    with pytest.raises(KeyboardInterrupt):
        resolved("shop.slow:run")


def test_a_module_that_replaced_itself_is_looked_at_all_the_same(package: Path) -> None:
    """What a module put into `sys.modules` in its place need not be a module."""
    (package / "odd.py").write_text("import sys\nsys.modules[__name__] = 3\n")
    assert resolved("shop.odd:run") == (None, "shop.odd has no 'run'")
