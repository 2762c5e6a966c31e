"""Every exception a caller can meet, split by what the caller can do about it.

Owns the hierarchy and nothing else. It must not know who raises what: an error
carries text and, where the caller needs it to decide, one value.

```
ThreadsupError
├── SpecError(ValueError)                  the description is wrong: mend it
├── DuplicateChildError                    the id or name is taken: choose another
├── UnknownChildError(LookupError)         nobody of that id: look at children()
├── StartError                             a child did not come up: see __cause__
├── DeliveryError                          the message did not get in
│   ├── MailboxFull                          no room: wait or shed
│   └── MailboxClosed(ActorDeadError)        it will never be read: give up
├── ReplyError                             it got in, no answer came
│   ├── ReplyTimeout(Timeout, TimeoutError)  not in time
│   ├── WorkerExited(ActorDeadError)         the worker ended first
│   ├── NoReply                              it was received and never answered
│   └── Rejected                             a stage refused the item
├── CallingSelfError                       the call would wait for its own thread
├── NotRunningError                        the supervisor is not running
├── BreakerOpen                            too many failures: try again in `retry_after` seconds
├── PoolBroken(BrokenThreadPool)           the workers of a pool are gone: make a new one
└── InternalError                          our bug: please report
```

What Pykka or `concurrent.futures` has a word for is theirs as well, so `except` clauses
written for them keep catching it.
"""

from __future__ import annotations

from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING

import pykka

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadsup._exits import ExitReason

__all__ = [
    "BreakerOpen",
    "CallingSelfError",
    "DeliveryError",
    "DuplicateChildError",
    "InternalError",
    "MailboxClosed",
    "MailboxFull",
    "NoReply",
    "NotRunningError",
    "PoolBroken",
    "Rejected",
    "ReplyError",
    "ReplyTimeout",
    "SpecError",
    "StartError",
    "ThreadsupError",
    "UnknownChildError",
    "WorkerExited",
]


class ThreadsupError(Exception):
    """Base of all errors of this library; never raised itself."""


class SpecError(ThreadsupError, ValueError):
    """A description is wrong; raised where it is written, with every fault at once."""

    problems: tuple[str, ...]
    """One line per fault, each beginning with the path of what is wrong."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DuplicateChildError(ThreadsupError):
    """The id of a child, or the name of a running supervisor, is taken."""


class UnknownChildError(ThreadsupError, LookupError):
    """There is no child, member, stage or running supervisor of that id."""


class StartError(ThreadsupError):
    """A child could not be started; the cause, where there is one, is chained."""


class DeliveryError(ThreadsupError):
    """The message did not get into the mailbox."""


class MailboxFull(DeliveryError):
    """There was no room at once, or not within the time given."""


class MailboxClosed(DeliveryError, pykka.ActorDeadError):
    """The mailbox takes no more messages: its worker has ended or was stopped."""


class ReplyError(ThreadsupError):
    """The message got in, but no answer came out."""


class ReplyTimeout(ReplyError, pykka.Timeout, TimeoutError):
    """The answer did not come in time; the message may still be handled."""


class WorkerExited(ReplyError, pykka.ActorDeadError):
    """The worker ended before it answered."""

    reason: ExitReason | None
    """Why the worker ended, `None` where that is not known."""

    def __init__(self, message: str, reason: ExitReason | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class NoReply(ReplyError):
    """The task received the message and went on without answering it."""


class Rejected(ReplyError):
    """A stage returned `Reject`: the item failed, the stage lives."""

    reason: object
    """What the stage gave as its reason."""

    def __init__(self, reason: object = None) -> None:
        super().__init__("rejected by a stage" if reason is None else reason)
        self.reason = reason


class CallingSelfError(ThreadsupError, RuntimeError):
    """The call would wait for the very thread that makes it."""


class NotRunningError(ThreadsupError, RuntimeError):
    """The supervisor is not started yet, is stopping, or has ended."""

    reason: ExitReason | None
    """Why it ended, `None` where it has not."""

    def __init__(self, message: str, reason: ExitReason | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class BreakerOpen(ThreadsupError):
    """The call was not made: too many before it have failed."""

    retry_after: float
    """Seconds until the next call is let through, to probe."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PoolBroken(ThreadsupError, BrokenThreadPool):
    """The workers of a pool are gone for good, and what was not done never will be."""


class InternalError(ThreadsupError):
    """The library broke its own rules; please report it."""
