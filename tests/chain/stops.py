"""Stopping a stage of a chain at a point that the test has chosen.

Owns hearing of it when a worker has been asked to stop or was given up on. It must not
know what the stages do.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tests.helpers import PATIENCE, Recorder
from tests.runtime.forcing import Running, run
from threadsup._runtime.actor import Life
from threadsup._runtime.context import StopToken

if TYPE_CHECKING:
    import threading

    import pytest

    from tests.chain.flows import Flow

__all__ = ["Stops"]


class Stops:
    """Stops a stage, and returns when it knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._told: Recorder[Any] = Recorder()
        self._threads: list[threading.Thread] = []
        ask, fence = StopToken.ask, Life.fence

        @functools.wraps(ask)
        def noted_ask(token: StopToken, *args: Any) -> None:
            ask(token, *args)
            self._told(("asked", token))

        @functools.wraps(fence)
        def noted_fence(life: Life, *args: Any) -> None:
            if life.thread is not None:
                self._threads.append(life.thread)
            fence(life, *args)
            self._told(("fenced", life))

        monkeypatch.setattr(StopToken, "ask", noted_ask)
        monkeypatch.setattr(Life, "fence", noted_fence)

    def restart(self, flow: Flow, stage: str) -> Running[None]:
        """Begin to restart a stage of one replica; return when it was asked to stop."""
        token = self._life(flow, stage).token
        restarting = run(flow.chain.restart_child, stage, PATIENCE)
        self._wait(("asked", token))
        return restarting

    def stop_tree(self, flow: Flow, stage: str) -> Running[Any]:
        """Begin to stop the tree; return when all replicas of that stage were asked to."""
        lives = [cell.life for cell in flow.chain._line(stage).linked]
        stopping = run(flow.sup.stop, PATIENCE)
        for life in lives:
            assert life is not None
            self._wait(("asked", life.token))
        return stopping

    def wait_fenced(self, count: int = 1) -> None:
        """Wait until so many lives were given up on."""
        self._told.wait_until(
            lambda told: sum(kind == "fenced" for kind, _ in told) >= count, "fence"
        )

    def join_fenced(self) -> None:
        """Wait until the threads have ended of all lives that were given up on."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _wait(self, what: tuple[str, object]) -> None:
        self._told.wait_until(lambda told: what in told, what[0])

    def _life(self, flow: Flow, stage: str) -> Life:
        life = flow.chain._line(stage).linked[0].life
        assert life is not None
        return life
