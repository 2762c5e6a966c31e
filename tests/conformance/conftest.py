"""The `scene` factory of the conformance tests, which holds each of them to its check.

Owns the fixture and nothing else. It must not know any single fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.conformance.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.scenes import Part, Place
    from tests.conftest import MakeSupervisor


class MakeScene(Protocol):
    """Builds a scene, not started yet."""

    def __call__(self, place: Place, *parts: Part, tree: Any = None, **scope: Any) -> Scene: ...


@pytest.fixture
def scene(supervisor: MakeSupervisor) -> Iterator[MakeScene]:
    """Build scenes; a test that leaves one without `check()` fails."""
    made: list[Scene] = []

    def make(place: Place, *parts: Part, tree: Any = None, **scope: Any) -> Scene:
        made.append(Scene(supervisor(**(tree or {})), place, parts, **scope))
        return made[-1]

    yield make
    unchecked = [each.sup.name for each in made if not each.checked]
    if unchecked:
        pytest.fail(f"left without the check: {unchecked}", pytrace=False)
