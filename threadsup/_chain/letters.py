"""The dead letters of a chain: reading them, taking them out, sending them once more.

Owns which letters are this chain's, and that each is sent again once at most. It must
not know how the record is kept, or what failed.

Who sends a letter, or takes it out, first claims it; who could not send it gives the
claim back. So of several who are at it together one gets it, and it stays on record until
it is in the chain again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Any

from threadsup._cell import address_of
from threadsup._checks import seconds, shown
from threadsup._dead_letters import DeadLetter
from threadsup._errors import DeliveryError, SpecError, UnknownChildError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threadsup._cell import Services
    from threadsup._exits import ChildId
    from threadsup._specs import ChainSpec

__all__ = ["Letters"]

_SECONDS = seconds()


class Letters(ABC):
    """The part of a chain that deals with what failed or was undelivered."""

    __slots__ = ()

    spec: ChainSpec
    _services: Services

    @abstractmethod
    def __contains__(self, id: object) -> bool: ...

    @abstractmethod
    def tell(self, item: Any, at: ChildId | None = None, timeout: float | None = None) -> None:
        """Send an item into the chain."""

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return this chain's messages that failed or were undelivered, newest last.

        The record is the tree's, and bounded: the newest 1,000 of all. Never blocks.
        """
        return tuple(each for each in self._services.dead_letters.list() if self._is_ours(each))

    def take_dead_letters(self) -> tuple[DeadLetter, ...]:
        """Take this chain's dead letters out of the record; return them, newest last.

        Each is taken once, whoever else takes or re-sends some. `redeliver` takes them
        still. Never blocks.
        """
        claimed: list[DeadLetter] = []

        def wanted(letter: DeadLetter) -> bool:
            mine = self._is_ours(letter) and letter.claim()
            if mine:
                claimed.append(letter)
            return mine

        try:
            return self._services.dead_letters.take(wanted)
        finally:
            for letter in claimed:
                letter.release()

    def redeliver(
        self, letters: Iterable[DeadLetter] | None = None, timeout: float | None = None
    ) -> int:
        """Send dead letters once more, each to the stage it was for; return how many.

        Each is sent as a new item, by `tell`, so nobody waits for its result; and once
        at most, whoever re-sends it: what was re-sent, or is being, is passed over.
        Those that are sent leave the record. Those for which there was no room in time,
        or that were refused, stay where they are; the others are sent all the same.

        Blocks: while a stage is full and waits, for up to `timeout` seconds for all of
        them, `None` without limit.

        Args:
            letters: Which; those on record now if not given.
            timeout: Seconds.

        Raises:
            SpecError: one is no dead letter of this chain; nothing is sent.
            UnknownChildError: a stage is not there any more; nothing is sent.
            MailboxFull: there was no room, at once or in time, for one or more.
            MailboxClosed: the chain, or a stage, takes nothing.
        """
        if timeout is not None and (problem := _SECONDS(timeout)):
            raise SpecError(f"timeout: {problem}")
        record = self._services.dead_letters
        chosen = self.dead_letters() if letters is None else tuple(letters)
        self._check_letters(chosen)
        end = None if timeout is None else monotonic() + timeout
        sent: list[DeadLetter] = []
        kept: list[Exception] = []
        try:
            for letter in chosen:
                if not letter.claim():
                    continue
                if letters is None and letter not in record:  # somebody has taken it out
                    letter.release()
                    continue
                try:
                    left = None if end is None else max(0.0, end - monotonic())
                    self.tell(letter.message, _stage_of(letter), left)
                except BaseException as error:
                    letter.release()
                    if not isinstance(error, Exception):  # Ctrl-C, or a worker that is to stop
                        raise
                    kept.append(error)
                else:
                    sent.append(letter)
        finally:
            marks = {id(letter) for letter in sent}
            if marks:
                record.take(lambda letter: id(letter) in marks)
        if kept:
            raise _told(kept, len(sent))
        return len(sent)

    def _is_ours(self, letter: DeadLetter) -> bool:
        return letter.scope == address_of((*self._services.prefix, self.spec.id))

    def _check_letters(self, letters: tuple[Any, ...]) -> None:
        problems = []
        for at, letter in enumerate(letters):
            if type(letter) is not DeadLetter:
                problems.append(f"letters[{at}]: must be a dead letter, not {shown(letter)}")
            elif not self._is_ours(letter):
                chain = shown(self.spec.id)
                problems.append(f"letters[{at}]: was for {shown(letter.to)}, not for chain {chain}")
        if problems:
            raise SpecError(problems)
        for letter in letters:
            if _stage_of(letter) not in self:
                raise UnknownChildError(
                    f"chain {shown(self.spec.id)} has no stage {shown(_stage_of(letter))} any "
                    f"more: choose which letters to re-send"
                )


def _stage_of(letter: DeadLetter) -> ChildId:
    return letter.to[-1]  # type: ignore[index]


def _told(errors: list[Exception], sent: int) -> Exception:
    """Return the first of the errors, saying how many letters were sent and kept."""
    first = errors[0]
    text = f"{sent} of {sent + len(errors)} dead letters were re-sent, the others are kept"
    if isinstance(first, DeliveryError):
        told = type(first)(f"{text}: {first}")
        told.__cause__ = first
        return told
    first.add_note(text)
    return first
