"""A stage that scales itself: when it is looked at, and that what was decided is done.

Owns the timer of such a stage, what a look at it sees, and that it is changed one step
at a time. It must not decide anything, nor know how replicas come and go.

Nobody looks at a stage at rest: one with its fewest replicas and a short queue. Its
inlet then has an *alarm*, which a sender sets off who finds the queue long, or no room.
From there on the stage is looked at every `interval`, until it is at rest again. A
stage that cannot work, as the chain is paused, is down or has ended, has neither.

Setting the alarm is a figure of two steps on each side: the scaler sets it and looks at
the queues then, a sender puts a message and looks for an alarm then. Both pass through
the lock of a queue. So either the message is seen here, or the alarm there. A sender
that takes the alarm away sets it off, whoever else does, too; it is set anew at the end
of an interval at the earliest, so that a queue that goes up and down at the mark costs
no more than the timer does.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, final

from threadsup import events
from threadsup._errors import StartError
from threadsup._policy.autoscale import Load, Scaling, decide
from threadsup._runtime.clock import monotonic
from threadsup._runtime.timings import Timings

if TYPE_CHECKING:
    from threadsup._chain.hold import Step
    from threadsup._chain.line import StageLine
    from threadsup._chain.scope import ChainScope
    from threadsup._policy.autoscale import Autoscale

__all__ = ["Scaler", "gil_enabled"]

_LONGEST = 60.0
"""Seconds between two attempts at most to start a replica that does not start."""


def gil_enabled() -> bool:
    """Return whether Python code runs on one core at a time, now."""
    ask = getattr(sys, "_is_gil_enabled", None)
    return ask is None or ask()


@final
class Scaler:
    """Looks after the replicas of one stage. In the supervisor's thread, but `_alarm`."""

    __slots__ = (
        "_before",
        "_changing",
        "_failures",
        "_line",
        "_rules",
        "_scope",
        "_state",
        "_timed",
    )

    def __init__(self, line: StageLine, rules: Autoscale, scope: ChainScope) -> None:
        self._line = line
        self._rules = rules
        self._scope = scope
        self._state = Scaling()
        self._timed = False
        """Whether there is a timer."""
        self._changing = False
        """Whether a change that was begun is not finished."""
        self._failures = 0
        """How many attempts in a row to start a replica have failed."""
        self._before: tuple[float, float] | None = None
        """Of the last look: when it was, and the CPU time of the process until then."""

    # -- when to look ---------------------------------------------------------------

    def _alarm(self) -> None:
        """Have the stage looked at. From any thread: a sender's."""
        self._scope.services.post(self._alarmed, None)

    def _alarmed(self, _: None) -> None:
        if not self._timed and not self._changing:
            self._look(may_rest=False)

    def wake(self) -> None:
        """See whether the stage can be left alone: something about it has changed."""
        if not self._timed and not self._changing:
            self._look(may_rest=True)

    def take(self, deadline: object) -> None:  # noqa: ARG002 - there is only one
        """Look at the stage: the timer is due."""
        self._timed = False
        if not self._changing:
            self._look(may_rest=True)

    def end(self) -> None:
        """Let go of the stage, as it is down or removed, and forget what was seen of it."""
        self._sleep()
        self._state = Scaling()
        self._failures = 0

    def _set_timer(self, seconds: float) -> None:
        self._timed = True
        self._scope.services.set_timer(self, None, 0, monotonic() + seconds)

    def _sleep(self) -> None:
        """Have neither a timer nor an alarm."""
        self._line.inlet.alarm = None
        if self._timed:
            self._timed = False
            self._scope.services.set_timer(self, None, 0, None)
        self._before = None
        self._state = replace(self._state, full_since=None, idle_since=None)

    def _rest(self) -> None:
        """Have an alarm instead of a timer, if the queues are short still."""
        inlet, capacity = self._line.inlet, self._line.capacity
        self._sleep()
        # As long as no mailbox is above the mark, all together are not.
        inlet.mark = max(1, ceil(self._rules.grow_at * capacity))
        inlet.alarm = self._alarm
        if any(box.qsize() >= inlet.mark for box in inlet.boxes):
            inlet.alarm = None
            self._set_timer(self._rules.interval)

    # -- a look ---------------------------------------------------------------------

    @property
    def _works(self) -> bool:
        """Whether there is somebody to take items, and nothing that keeps him from it."""
        state, line = self._scope.state, self._line
        if state.phase != "up" or self._scope.changes.paused or line.removed:
            return False
        children = [state.children.get(cell.id) for cell in line.linked]
        return any(child is not None and child.live for child in children)

    def _look(self, *, may_rest: bool) -> None:
        if not self._works:
            self._sleep()
            return
        self._line.inlet.alarm = None
        gil = gil_enabled()
        load, now = self._load(gil=gil), monotonic()
        self._state, target, why = decide(self._rules, self._state, load, now, gil=gil)
        if target != load.replicas:
            self._change(target, why)
        elif may_rest and target == self._rules.min and self._state.full_since is None:
            self._rest()
        else:
            self._set_timer(self._rules.interval)

    def _load(self, *, gil: bool) -> Load:
        cells = self._line.linked
        cpu = process = None
        if gil and self._rules.cpu_bound is not None:
            cpu = Timings.merge(cell.timings for cell in cells).cpu_share()
            process = self._process()
        return Load(
            replicas=len(cells),
            # Who waits for its rate, or for room, or in a pause has nothing in hand.
            busy=sum(cell.in_hand > 0 for cell in cells),
            queued=sum(cell.mailbox.pending for cell in cells),
            capacity=self._line.capacity * len(cells),
            cpu=cpu,
            process=process,
        )

    def _process(self) -> float | None:
        """Return the CPU seconds of the process per second since the last look."""
        now, cpu = monotonic(), time.process_time()
        before, self._before = self._before, (now, cpu)
        if before is None or now <= before[0]:
            return None
        return (cpu - before[1]) / (now - before[0])

    # -- a change -------------------------------------------------------------------

    def _change(self, target: int, why: str) -> None:
        self._changing = True
        replicas = len(self._line.linked)
        step = self._scope.changes.scale(self._line, target)
        step.then(partial(self._changed, step, replicas, why))

    def _changed(self, step: Step, before: int, why: str) -> None:
        """Say what has become of the change, and look on; later, if nobody started."""
        self._changing = False
        services, line = self._scope.services, self._line
        after = len(line.linked)
        if after != before:
            path = (*services.prefix, self._scope.id, line.id)
            services.publish(events.Scaled(services.name, events.now(), path, before, after, why))
        if not self._works:
            self._sleep()
        elif isinstance(step.error, StartError):
            pause = max(self._rules.cooldown, self._rules.interval) * 2.0**self._failures
            self._failures += pause < _LONGEST
            self._set_timer(min(pause, _LONGEST))
        else:
            self._failures = 0
            self._set_timer(self._rules.interval)
