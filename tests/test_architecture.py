"""The house keeps its rules, and each rule can tell a house that does not."""

from __future__ import annotations

from pathlib import Path

import pykka
import pytest

from tests.architecture import LAYERS, PACKAGES, Source, Sources, layer_of, private_names

ROOT = Path(__file__).resolve().parent.parent
HOUSE = Sources.read(ROOT / "threadsup")
TESTS = Sources.read(ROOT / "tests")
PYKKA_PRIVATE = private_names(
    path.read_text(encoding="utf-8") for path in Path(pykka.__file__).parent.rglob("*.py")
)


# -- the house ------------------------------------------------------------------------


def test_every_module_has_a_floor() -> None:
    """The layer map names every module of the package."""
    assert HOUSE.modules
    assert HOUSE.unmapped() == []


def test_the_map_names_only_what_is_there() -> None:
    """A floor in the map is not the floor of a module that went away."""
    known = set(HOUSE.modules)
    assert [name for name in (*LAYERS, *PACKAGES) if name not in known] == []


def test_imports_point_down() -> None:
    """No module knows one on its own floor or above, its package's neighbours aside."""
    assert HOUSE.upward_imports() == []


def test_imports_have_no_cycle() -> None:
    """Every module can be imported first."""
    assert HOUSE.cycles() == []


def test_the_wings_meet_above_them_only() -> None:
    """Decisions and machinery never import each other, nor meet below floor 4."""
    assert HOUSE.wings_that_meet() == []


def test_decisions_are_pure() -> None:
    """`_policy` imports no threads, queue, time, chance, log and no Pykka."""
    assert HOUSE.impure_policy() == []


def test_pykka_stays_in_its_home() -> None:
    """Pykka is imported by the machinery, the errors and the targets only."""
    assert HOUSE.strayed_pykka() == []


def test_private_names_of_pykka_stay_in_the_membrane() -> None:
    """Only `pykka_compat` reaches into Pykka."""
    assert "_create_actor_inbox" in PYKKA_PRIVATE
    assert HOUSE.private_pykka(PYKKA_PRIVATE) == []


def test_nothing_sleeps() -> None:
    """Neither the library nor its tests wait by sleeping."""
    assert HOUSE.sleeps() + TESTS.sleeps() == []


def test_modules_and_functions_hold_one_thing() -> None:
    """No module is longer than 450 lines, no function longer than 80."""
    assert HOUSE.too_long() == []


def test_every_module_says_what_it_owns() -> None:
    """Each module of the package and of its tests begins with a docstring."""
    assert HOUSE.undocumented() + TESTS.undocumented() == []


def test_every_export_list_is_sorted() -> None:
    """A reader finds a name in `__all__` where the alphabet has it."""
    assert HOUSE.unsorted_all() + TESTS.unsorted_all() == []


def test_every_test_is_described() -> None:
    """Each test has a docstring that says what holds."""
    assert TESTS.undescribed_tests() == []


# -- the rules ------------------------------------------------------------------------


def test_a_module_without_a_floor_is_told() -> None:
    """A module the map does not name is a problem."""
    assert Sources.of(_novelty="").unmapped() == ["threadsup._novelty"]


@pytest.mark.parametrize(
    ("module", "floor"),
    [
        ("threadsup._errors", 0),
        ("threadsup._specs", 1),
        ("threadsup._specs.worker", 1),
        ("threadsup._special", None),
        ("threadsup._policy.novelty", None),
        ("threadsup", 7),
    ],
)
def test_a_floor_is_a_module_or_a_package_of_one_floor(module: str, floor: int | None) -> None:
    """Modules of a one-floor package inherit its number; nobody else inherits one."""
    assert layer_of(module) == floor


@pytest.mark.parametrize(
    "line",
    [
        "import threadsup._scope",
        "from threadsup import _scope",
        "from threadsup._scope import Scope",
        "from . import _scope",
        "from ._scope import Scope",
        "def late():\n    from threadsup._scope import Scope",
        "if TYPE_CHECKING:\n    from threadsup._scope import Scope",
        "from threadsup import Supervisor",
        "from threadsup import _snapshot",
    ],
)
def test_an_import_up_or_sideways_is_told(line: str) -> None:
    """Spelling, place and purpose of an import upward do not hide it."""
    house = Sources.of(_config=line, _scope="", _snapshot="")
    assert len(house.upward_imports()) == 1


def test_an_import_for_types_may_go_sideways() -> None:
    """What is read by the type checker alone may name its neighbour."""
    text = "if TYPE_CHECKING:\n    from threadsup import _snapshot"
    assert Sources.of(_config=text, _snapshot="").upward_imports() == []


@pytest.mark.parametrize(("module", "other"), [("_exits", "_errors"), ("_group", "_scope")])
def test_the_ground_and_the_meeting_floor_may_use_themselves(module: str, other: str) -> None:
    """What is on floor 0, or on floor 4, may import what else is there."""
    house = Sources.of(**{module: f"from threadsup import {other}", other: ""})
    assert house.upward_imports() == []


def test_neighbours_of_a_package_may_use_each_other() -> None:
    """Modules of one package on one floor may import each other."""
    house = Sources.of(_specs__chain="from threadsup._specs.worker import W", _specs__worker="")
    assert house.upward_imports() == []


def test_a_cycle_is_told() -> None:
    """Neighbours that import each other in a circle are named."""
    house = Sources.of(
        _specs__chain="from threadsup._specs.worker import W",
        _specs__worker="from threadsup._specs import chain",
    )
    assert len(house.cycles()) == 2


def test_a_cycle_for_types_is_none() -> None:
    """A circle that exists for the type checker only is no circle."""
    house = Sources.of(
        _specs__chain="from threadsup._specs.worker import W",
        _specs__worker="if TYPE_CHECKING:\n    from threadsup._specs import chain",
    )
    assert house.cycles() == []


def test_an_else_of_a_type_check_is_run_time() -> None:
    """Only the body under `TYPE_CHECKING` is for types, its `else` is not."""
    text = "if TYPE_CHECKING:\n    import a\nelse:\n    import b"
    found = Source("threadsup._x", text).imports(())
    assert [(i.target, i.typing_only) for i in found] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("_policy__scope", "from threadsup._runtime.clock import now"),
        ("_runtime__worker", "if TYPE_CHECKING:\n    from threadsup._policy import backoff"),
        ("_config", "import threadsup._policy.backoff\nimport threadsup._runtime.clock"),
    ],
)
def test_wings_that_meet_are_told(module: str, text: str) -> None:
    """One wing in the other, or both in a module below floor 4, is a problem."""
    assert len(Sources.of(**{module: text}).wings_that_meet()) == 1


def test_wings_may_meet_on_floor_four() -> None:
    """A scope at run time puts decision and machinery together."""
    text = "import threadsup._policy.scope\nimport threadsup._runtime.ref"
    assert Sources.of(_scope=text).wings_that_meet() == []


@pytest.mark.parametrize(
    "line", ["import time", "from threading import Lock", "import pykka.typing", "import random"]
)
def test_an_impure_decision_is_told(line: str) -> None:
    """A decision that knows a clock, a thread, chance or Pykka is a problem."""
    assert len(Sources.of(_policy__scope=line).impure_policy()) == 1


def test_stray_pykka_is_told() -> None:
    """Pykka outside its home is a problem, inside it is none."""
    house = Sources.of(
        _group="import pykka",
        _scope="from pykka.typing import x",
        _errors="import pykka",
        _runtime__ref="import pykka",
        _specs__targets="import pykka",
    )
    assert [line.split(":")[0] for line in house.strayed_pykka()] == [
        "threadsup._group",
        "threadsup._scope",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "from pykka._actor import Actor",
        "import pykka._actor",
        "from pykka import _actor",
        "pykka._actor",
        "actor._create_actor_inbox()",
        "setattr(actor, '_create_actor_inbox', None)",
        "class A(pykka.ThreadingActor):\n    def _create_actor_inbox(self): ...",
    ],
)
def test_a_private_name_of_pykka_is_told(line: str) -> None:
    """Every way to reach into Pykka is seen outside the membrane and allowed in it."""
    assert Sources.of(_runtime__ref=line).private_pykka(PYKKA_PRIVATE)
    assert Sources.of(_runtime__pykka_compat=line).private_pykka(PYKKA_PRIVATE) == []


def test_a_private_name_of_ours_is_ours() -> None:
    """A name Pykka uses too is ours where a class of ours defines it."""
    house = Sources.of(
        _runtime__ref="class R:\n    def _stop(self): ...",
        _group="def f(ref):\n    ref._stop()",
    )
    assert "_stop" in PYKKA_PRIVATE
    assert house.private_pykka(PYKKA_PRIVATE) == []


@pytest.mark.parametrize("line", ["import time\ntime.sleep(1)", "from time import sleep"])
def test_a_sleep_is_told(line: str) -> None:
    """Sleeping is seen by either spelling."""
    assert len(Sources.of(_group=line).sleeps()) == 1


def test_length_is_told() -> None:
    """A module of 451 lines and a function of 81 are problems, one less is none."""
    assert Sources.of(_group="\n" * 450).too_long() == []
    assert len(Sources.of(_group="\n" * 451).too_long()) == 1
    body = "def f():\n" + "    pass\n" * 79
    assert Sources.of(_group=body).too_long() == []
    assert len(Sources.of(_group=body + "    pass\n").too_long()) == 1


def test_a_missing_docstring_is_told() -> None:
    """A module that does not say what it owns is a problem."""
    assert Sources.of(_group="x = 1").undocumented() == ["threadsup._group"]


def test_an_unsorted_export_list_is_told() -> None:
    """Constants, classes and functions come in this order, each sorted."""
    assert Sources.of(_group="__all__ = ['LIMIT', 'Group', 'Scope', 'group']").unsorted_all() == []
    assert len(Sources.of(_group="__all__ = ['group', 'Group']").unsorted_all()) == 1
    assert len(Sources.of(_group="__all__ = ['b', 'a']").unsorted_all()) == 1


def test_an_undescribed_test_is_told() -> None:
    """A test without a docstring, or with one that is no sentence, is a problem."""
    text = "def test_a():\n    pass\ndef test_b():\n    'No full stop'\ndef test_c():\n    'Good.'"
    assert len(Sources.of(_group=text).undescribed_tests()) == 2
