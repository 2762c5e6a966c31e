"""The `flow` factory of the chains' tests.

Owns the fixture and nothing else. It must not know what the stages do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.chain.flows import Flow

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup import StageSpec


class MakeFlow(Protocol):
    """Builds a tree with one chain, started; the `supervisor` fixture stops it."""

    def __call__(
        self, *stages: StageSpec, tree: dict[str, Any] | None = None, **options: Any
    ) -> Flow: ...


@pytest.fixture
def flow(supervisor: MakeSupervisor) -> MakeFlow:
    """Build chains whose results are recorded."""

    def make(*stages: StageSpec, tree: dict[str, Any] | None = None, **options: Any) -> Flow:
        return Flow(supervisor, stages, tree or {}, options)

    return make
