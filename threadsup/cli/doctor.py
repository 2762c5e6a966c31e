"""`threadsup doctor`: what this interpreter and this machine are good for.

Owns the verdicts, and what is printed of them. It must not know where a fact comes from
(`interpreter`, `machine`, `trying`).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

from threadsup.cli.interpreter import EXTRAS, NEEDED, Gil, interpreter, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from threadsup.cli.machine import Cores, Room
    from threadsup.cli.trying import Trial

__all__ = [
    "Finding",
    "as_json",
    "as_text",
    "of_cores",
    "of_gil",
    "of_packages",
    "of_rooms",
    "of_trial",
    "stops",
]

Verdict: TypeAlias = Literal["ok", "note", "unknown", "stops"]


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    about: str
    verdict: Verdict
    """`"stops"`: it would stop what was asked for; `"note"`: worth knowing, no more."""
    says: str
    remedy: str = ""
    """What to do; only where there is something."""


def stops(findings: Iterable[Finding]) -> bool:
    """Tell whether anything found stops what was asked for."""
    return any(finding.verdict == "stops" for finding in findings)


def of_gil(gil: Gil) -> list[Finding]:
    """Judge the interpreter."""
    findings = [Finding("interpreter", "ok", interpreter())]
    if gil.built:
        says = "on, as it was built: one thread at a time runs Python code"
        return [*findings, Finding("GIL", "ok", says)]
    if not gil.on:
        return [*findings, Finding("GIL", "ok", "off, as it was built: threads use all cores")]
    says = "on, though the interpreter was built without it"
    if gil.forced:
        remedy = f"leave {gil.forced} away"
        return [*findings, Finding("GIL", "note", f"{says}: by {gil.forced}", remedy)]
    if not gil.by:
        return [*findings, Finding("GIL", "note", f"{says}; who switched it on is not known")]
    names = ", ".join(gil.by)
    who = f"by importing {names}" if gil.certain else f"by importing one of {names}"
    remedy = "a newer release of it may declare that it runs without; PYTHON_GIL=0 insists"
    return [*findings, Finding("GIL", "note", f"{says}: {who}", remedy)]


def of_packages() -> list[Finding]:
    """Judge what is installed."""
    own = version_of("threadsup")
    findings = [Finding("threadsup", "ok", own or "run from a checkout, not installed")]
    for name, least in NEEDED.items():
        version = version_of(name)
        if not version:
            findings.append(Finding(name, "stops", "not installed", f"pip install {name}"))
        elif _numbers(version) < _numbers(least):
            says, remedy = f"{version}, of which {least} is needed", f"pip install -U {name}"
            findings.append(Finding(name, "stops", says, remedy))
        else:
            findings.append(Finding(name, "ok", version))
    for extra, names in EXTRAS.items():
        for name in names:
            version = version_of(name)
            remedy = "" if version else f"pip install 'threadsup[{extra}]', if you want it"
            says = version or f"not installed (of the extra {extra})"
            findings.append(Finding(name, "ok" if version else "note", says, remedy))
    return findings


def of_cores(cores: Cores) -> list[Finding]:
    """Judge the processors."""
    says = _many(cores.usable, "core")
    if cores.usable != cores.present:
        says += f" of {cores.present:,}, by affinity"
    if cores.quota is not None and cores.quota < cores.usable:
        says += f", of which the control group lets {cores.quota:.3g} be busy"
        remedy = "CPUQuota= of the unit, --cpus of the container"
        return [Finding("cores", "note", says, remedy)]
    if cores.usable == 1:
        return [Finding("cores", "note", f"{says}: threads take turns")]
    return [Finding("cores", "ok", says)]


def of_rooms(rooms: Sequence[Room], wanted: int, stack: int) -> list[Finding]:
    """Judge whether there is room for that many threads."""
    says = f"{_size(stack)} of addresses each; memory only as it is used"
    findings = [Finding("stacks", "ok", says)]
    if not rooms:
        says = "the limits of this system are not known here"
        remedy = f"threadsup doctor --try {wanted}"
        return [*findings, Finding(f"{wanted:,} threads", "unknown", says, remedy)]
    for room in rooms:
        fits = room.threads
        if fits is None:
            findings.append(Finding(room.name, "ok", "no limit"))
            continue
        limit = _size(room.limit or 0) if room.unit == "bytes" else f"{room.limit:,}"
        used = _size(room.used) if room.unit == "bytes" else f"{room.used:,}"
        says = f"{limit} available" if not room.used else f"{limit}, {used} in use"
        if fits >= wanted:
            findings.append(Finding(room.name, "ok", f"{says}: room for {fits:,} threads"))
        else:
            says = f"{says}: room for {fits:,} threads, not for {wanted:,}"
            findings.append(Finding(room.name, "stops", says, room.remedy))
    return findings


def of_trial(trial: Trial, wanted: int) -> list[Finding]:
    """Judge what came of trying."""
    about = f"{wanted:,} threads, tried"
    if trial.error:
        return [Finding(about, "stops", f"{trial.started:,} started, then: {trial.error}")]
    return [Finding(about, "ok", f"all started, in {trial.seconds:.2f} s")]


def as_text(findings: Sequence[Finding], wanted: int) -> str:
    """Return a line for each, and one for all of them."""
    width = max(len(finding.about) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:8}{finding.about:{width}}  {finding.says}")
        if finding.remedy:
            lines.append(f"{'':8}{'':{width}}  -> {finding.remedy}")
    return "\n".join([*lines, "", _closing(findings, wanted)])


def as_json(findings: Sequence[Finding], wanted: int) -> str:
    """Return the same for programs."""
    told: dict[str, Any] = {
        "threads": wanted,
        "verdict": _worst(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(told, indent=2)


def _closing(findings: Sequence[Finding], wanted: int) -> str:
    number = _many(wanted, "thread")
    stopping = [finding.about for finding in findings if finding.verdict == "stops"]
    if stopping:
        return f"{number} would be stopped by: {', '.join(stopping)}"
    if any(finding.verdict == "unknown" for finding in findings):
        return f"nothing known would stop {number}"
    return f"nothing here would stop {number}"


def _worst(findings: Iterable[Finding]) -> Verdict:
    found = {finding.verdict for finding in findings}
    order: tuple[Verdict, ...] = ("stops", "unknown", "note", "ok")
    return next((verdict for verdict in order if verdict in found), "ok")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the step of these units
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:,.0f} TiB"
