"""How many replicas a stage should have: decided from what is seen of its load.

Owns `Autoscale`, what is remembered from one look to the next, and the decision. It
must not know how replicas are added or removed, who looks, or what time it is.

What makes it calm:

* **Two marks, apart.** A stage grows when its queue was above the upper mark at each
  look for `grow_after` seconds, and shrinks when at each look for `shrink_after`
  seconds its queue was below the lower one and a replica had nothing to do. Between
  the marks nothing happens, and each change needs all of that seen anew: a new
  replica is given the time to show what it brings.
* **A pause after each change**: at most one per `cooldown`.
* **Growing is quick, shrinking slow.** Too few replicas hold up the whole chain, one
  too many is a sleeping thread. So it grows by half of what is there (at least by
  one: 1, 2, 3, 4, 6, 9, ...), which reaches any size in few steps and overshoots by
  half at most, and shrinks by one.
* **A shrink that is regretted teaches patience.** A load that comes and goes with a
  period near `shrink_after` would have it shrink and grow for ever. When it has to
  grow again within 10 times `shrink_after` of a shrink, it must be idle for twice as
  long before the next one, up to 8 times; a growth that comes later halves that
  again. So in the long run it turns round once in 3 times `shrink_after` at most,
  whatever the load, and follows only what is slower than that.

With a GIL another replica of a stage that computes only takes time from the others.
It is CPU-bound where its own threads spend most of their service time on the CPU.
Where several such stages compete, each waits for the GIL most of the time and looks
idle: there the whole process tells, which is never more than one busy core unless
C code releases the GIL.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, final

from threadsup._checks import check_all, number, optional, seconds, under, whole
from threadsup._errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threadsup._checks import Rule

__all__ = ["Autoscale", "Load", "Scaling", "decide"]

_RULES: Mapping[str, Rule] = {
    "min": whole(1),
    "max": whole(1),
    "grow_at": number(0, 1, above=True),
    "shrink_at": number(0, 1),
    "grow_after": seconds(),
    "shrink_after": seconds(),
    "cooldown": seconds(),
    "interval": seconds(above=True),
    "cpu_bound": optional(number(0, 1, above=True)),
}

_SATURATED = 0.9
"""CPU seconds per second of a process that leaves no room under the GIL."""
_NEGLIGIBLE = 0.05
"""Of its service time: a stage that computes less than this does not need the GIL."""
_REGRET = 10
"""How many times `shrink_after` a shrink must last not to have been a mistake."""
_MOST_PATIENT = 8


@final
@dataclass(frozen=True, slots=True)
class Autoscale:
    """How many replicas a stage may have, and when that changes.

    Times are seconds, marks shares of the places in its queue (of all replicas).

    Raises:
        SpecError: Something is wrong with it; names every fault.
    """

    min: int = 1
    """How many replicas it starts with, and keeps; 1 or more."""
    max: int = 8
    """How many it never exceeds."""
    grow_at: float = field(default=0.5, kw_only=True)
    """The queue at which it needs more; above 0, at most 1."""
    shrink_at: float = field(default=0.05, kw_only=True)
    """The queue at which it may need fewer; below `grow_at`. With 0: an empty one."""
    grow_after: float = field(default=0.5, kw_only=True)
    """How long the queue must stay there before it grows."""
    shrink_after: float = field(default=5.0, kw_only=True)
    """How long the queue must stay there, with a replica idle, before it shrinks."""
    cooldown: float = field(default=1.0, kw_only=True)
    """How long nothing changes after a change."""
    interval: float = field(default=0.1, kw_only=True)
    """How long from one look to the next; above 0."""
    cpu_bound: float | None = field(default=0.5, kw_only=True)
    """With a GIL: the share of its service time on the CPU from which another replica
    is taken for useless. `None`: never, for work in C that releases the GIL."""

    def __post_init__(self) -> None:
        problems = check_all(_RULES, {name: getattr(self, name) for name in _RULES})
        if not problems and self.max < self.min:
            problems.append(f"max: must be at least min, {self.min}, not {self.max}")
        if not problems and self.shrink_at >= self.grow_at:
            problems.append(
                f"shrink_at: must be below grow_at, {self.grow_at:g}, not {self.shrink_at:g}"
            )
        if problems:
            raise SpecError(under("autoscale", problems))


class Load(NamedTuple):
    """What one look at a stage saw."""

    replicas: int
    """How many there are, those being restarted too; 0: the stage has ended."""
    busy: int
    """How many of them are at work on an item; one that waits for its rate is not."""
    queued: int
    """Items in the mailboxes of all replicas."""
    capacity: int
    """Places in them; 1 or more."""
    cpu: float | None
    """The share of the service time that was CPU time of its threads, lately; `None`:
    not known yet."""
    process: float | None
    """CPU seconds per second of the whole process, lately; `None`: not known yet."""


@final
@dataclass(frozen=True, slots=True)
class Scaling:
    """What is remembered from one look to the next; begins as `Scaling()`."""

    full_since: float | None = None
    """From when on each look saw the queue above the upper mark."""
    idle_since: float | None = None
    """From when on each look saw it below the lower one, and a replica idle."""
    changed: float | None = None
    """When the number of replicas changed last."""
    shrunk: float | None = None
    """When it shrank last, if it has not grown since."""
    patience: int = 1
    """How many times `shrink_after` it is idle before it begins to shrink."""


def decide(
    rules: Autoscale, state: Scaling, load: Load, now: float, *, gil: bool
) -> tuple[Scaling, int, str]:
    """Return what to remember, how many replicas there should be, and why.

    The reason is short text for an event. Where nothing changes it is empty, or says
    what keeps the stage from growing though its queue is long. A change is taken for
    made; if it was not, it is decided anew after the cool-down.

    Args:
        rules: Of the stage.
        state: What the last look left; `Scaling()` at the first.
        load: What this look saw.
        now: Monotonic seconds.
        gil: Whether Python code runs on one core at a time.
    """
    replicas = load.replicas
    if not replicas:
        return Scaling(), 0, ""
    if not rules.min <= replicas <= rules.max:
        target = min(max(replicas, rules.min), rules.max)
        bound = f"at least {rules.min}" if replicas < rules.min else f"at most {rules.max}"
        return Scaling(changed=now, patience=state.patience), target, f"{bound} are wanted"
    state = _seen(rules, state, load, now)
    if state.changed is not None and now - state.changed < rules.cooldown:
        return state, replicas, ""
    if state.full_since is not None and now - state.full_since >= rules.grow_after:
        return _grown(rules, state, load, now, gil=gil)
    if state.idle_since is not None and replicas > rules.min:
        idle = now - state.idle_since
        # Patience is for the first of several shrinks: the idle time goes on.
        recent = state.shrunk is not None and now - state.shrunk < rules.shrink_after
        if idle >= rules.shrink_after * state.patience and not recent:
            after = replace(state, changed=now, shrunk=now)
            return after, replicas - 1, f"{_counted(replicas - load.busy)} idle for {idle:.1f} s"
    return state, replicas, ""


def _seen(rules: Autoscale, state: Scaling, load: Load, now: float) -> Scaling:
    """Return the state with this look noted."""
    full = load.queued >= rules.grow_at * load.capacity
    idle = load.queued <= rules.shrink_at * load.capacity and load.busy < load.replicas
    return replace(
        state,
        full_since=_since(state.full_since, now) if full else None,
        idle_since=_since(state.idle_since, now) if idle else None,
    )


def _since(before: float | None, now: float) -> float:
    return now if before is None else before


def _grown(
    rules: Autoscale, state: Scaling, load: Load, now: float, *, gil: bool
) -> tuple[Scaling, int, str]:
    """Return the decision for a stage whose queue has been too long for long enough."""
    assert state.full_since is not None
    replicas = load.replicas
    if why := _in_vain(rules, load, gil=gil):
        return state, replicas, why
    target = min(replicas + max(1, replicas // 2), rules.max)
    patience = state.patience
    if state.shrunk is not None:
        regretted = now - state.shrunk < _REGRET * rules.shrink_after
        patience = min(2 * patience, _MOST_PATIENT) if regretted else max(1, patience // 2)
    why = f"queue at {load.queued / load.capacity:.0%} for {now - state.full_since:.1f} s"
    return Scaling(changed=now, patience=patience), target, why


def _in_vain(rules: Autoscale, load: Load, *, gil: bool) -> str:
    """Return why more replicas would be of no use, `""` if they may be of some."""
    if load.replicas == rules.max:
        return f"queue at {load.queued / load.capacity:.0%}, but at most {rules.max} are wanted"
    if 2 * load.busy < load.replicas:
        # Paused, or held back by a rate or by a few keys. The next look may find it
        # otherwise, having caught them between two items this time.
        return f"only {load.busy} of {load.replicas} replicas are at work"
    if not gil or rules.cpu_bound is None:
        return ""
    if load.cpu is not None and load.cpu >= rules.cpu_bound:
        return f"CPU-bound ({load.cpu:.0%}), and there is one GIL for all replicas"
    computes = load.cpu is None or load.cpu >= _NEGLIGIBLE
    if computes and load.process is not None and load.process >= _SATURATED:
        return f"the GIL is taken ({load.process:.0%} of a core in use)"
    return ""


def _counted(replicas: int) -> str:
    return f"{replicas} replica" if replicas == 1 else f"{replicas} replicas"
