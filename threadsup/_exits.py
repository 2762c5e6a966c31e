"""Why a worker ended, and the exception by which worker code says so itself.

Owns the four exit reasons, the `Exit` notice and `WorkerExit`. A reason keeps
text, never a frame: a supervisor remembers more crashes than anybody else, and
a kept traceback would keep the whole dead worker and its message alive.
It must not know who restarts whom, or what a worker is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from threadsup._trace import TraceText, trace_of

if TYPE_CHECKING:
    from threadsup._trace import Trace

__all__ = [
    "Abandoned",
    "ChildId",
    "Crashed",
    "Exit",
    "ExitReason",
    "Normal",
    "Shutdown",
    "WorkerExit",
    "describe_exception",
    "reason_of",
]

ChildId: TypeAlias = "str | int | tuple[str | int, ...]"
"""An id as users write it: text, a number, or a tuple of these."""

_MESSAGE_LIMIT = 1_000


@final
@dataclass(frozen=True, slots=True)
class Normal:
    """The worker's code returned, or left with `SystemExit` and no code or 0."""

    def __str__(self) -> str:
        return "normal"


@final
@dataclass(frozen=True, slots=True)
class Shutdown:
    """The worker was asked to end and did, or ended itself on purpose."""

    info: object = None

    def __str__(self) -> str:
        return "shutdown" if self.info is None else f"shutdown: {_shown(self.info)}"


@final
@dataclass(frozen=True)
class Crashed:
    """An exception, of any kind, ended the worker."""

    error: str
    """The exception's type and message, cut to a bounded length."""
    traceback: TraceText = TraceText()  # noqa: RUF009 - a descriptor, which reads as `str`
    """The traceback as text, cut to a bounded length; may be empty."""

    @property
    def trace(self) -> str | Trace:
        """The traceback, perhaps not written yet: to be passed on."""
        trace: str | Trace = vars(self)["traceback"]
        return trace

    def __str__(self) -> str:
        return f"crashed: {self.error}"


@final
@dataclass(frozen=True, slots=True)
class Abandoned:
    """The worker did not end in time; its thread may still be running, fenced."""

    after: float
    """Seconds it was waited for."""
    doing: str = ""
    """What it was doing: `"on_start"`, `"message"`, `"task"`, `"on_stop"`."""

    def __str__(self) -> str:
        doing = f" in {self.doing}" if self.doing else ""
        return f"abandoned after {self.after:g} s{doing}"


ExitReason: TypeAlias = Normal | Shutdown | Crashed | Abandoned
"""Why a worker, or a whole scope, ended."""

_REASONS = (Normal, Shutdown, Crashed, Abandoned)


@final
@dataclass(frozen=True, slots=True)
class Exit:
    """One end of one incarnation, as monitors receive it."""

    id: ChildId
    incarnation: int
    reason: ExitReason
    final: bool
    """Whether nobody will start the child again by themselves."""


@final
class WorkerExit(BaseException):
    """Ends the worker that raises it, with the reason it carries.

    The library raises it in a task that is asked to stop while it waits; worker
    code may raise it to leave: `raise WorkerExit(Shutdown("no more work"))`.
    A `BaseException`, so that `except Exception` in worker code lets it through.

    Raises:
        TypeError: `reason` is no exit reason.
    """

    reason: ExitReason

    def __init__(self, reason: ExitReason | None = None) -> None:
        if reason is None:
            reason = Shutdown()
        elif type(reason) not in _REASONS:
            kind = type(reason).__name__
            raise TypeError(f"reason must be an exit reason, as Shutdown(...), not a {kind}")
        self.reason = reason
        super().__init__(reason)


def _shown(info: object) -> str:
    """Return text of bounded length; runs no code of `info`'s, for any thread may ask."""
    if type(info) not in (str, int, float, bool):
        return f"a {type(info).__name__}"
    return _cut(str(info))


def _cut(text: str) -> str:
    if len(text) > _MESSAGE_LIMIT:
        return f"{text[:_MESSAGE_LIMIT]}... ({len(text)} characters)"
    return text


def describe_exception(error: BaseException) -> str:
    """Return type and message of `error` as text of bounded length.

    Survives an exception whose `__str__` raises anything at all; runs it once,
    in the caller's thread.
    """
    kind = type(error).__qualname__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - a hostile __str__ must not end the reporter
        text = "<its message could not be read>"
    return f"{kind}: {_cut(text)}" if text else kind


def reason_of(error: BaseException) -> ExitReason:
    """Return the exit reason that leaving with `error` means.

    `WorkerExit` says it itself; `SystemExit` without a code or with 0 is a normal
    end; anything else, `KeyboardInterrupt` and `GeneratorExit` too, is a crash.
    """
    if type(error) is WorkerExit:
        return error.reason
    if isinstance(error, SystemExit) and (error.code is None or error.code == 0):
        return Normal()
    return Crashed(describe_exception(error), trace_of(error))
