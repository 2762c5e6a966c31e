"""Whether calls that overlapped can be put in an order in which each did right.

Owns the recording of calls and the check against a model of one child: absent, held
or up. It must not know the library but for the names of its errors.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

__all__ = ["Call", "History", "is_linearizable"]

_MODEL = {
    ("absent", "add"): ("present", "ok"),
    ("present", "add"): ("present", "DuplicateChildError"),
    ("absent", "stop"): ("absent", "UnknownChildError"),
    ("present", "stop"): ("present", "ok"),
    ("absent", "restart"): ("absent", "UnknownChildError"),
    ("present", "restart"): ("present", "ok"),
    ("absent", "remove"): ("absent", "UnknownChildError"),
    ("present", "remove"): ("absent", "ok"),
}
"""State and verb -> next state and result; being held is as good as being up."""


@dataclass(frozen=True)
class Call:
    """One call: what it was, what came of it, when it began and when it returned."""

    verb: str
    result: str
    begun: int
    returned: int


class History:
    """Calls by key, in the order in which they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clock = count()
        self._calls: defaultdict[Hashable, list[Call]] = defaultdict(list)

    def record(self, key: Hashable, verb: str, call: Callable[[], Any]) -> None:
        """Make a call and note it; it returns what it returns or raises."""
        with self._lock:
            begun = next(self._clock)
        result = call()
        with self._lock:
            returned = next(self._clock)
            name = type(result).__name__ if isinstance(result, BaseException) else "ok"
            self._calls[key].append(Call(verb, name, begun, returned))

    @property
    def keys(self) -> Iterable[Any]:
        """What calls were made on."""
        return self._calls.keys()

    def of(self, key: Hashable) -> list[Call]:
        """Return the calls on one key."""
        return sorted(self._calls[key], key=lambda call: call.begun)


def is_linearizable(calls: Sequence[Call], final: str) -> bool:
    """Tell whether some order that respects who returned before whom obeys the model."""
    seen: set[tuple[frozenset[int], str]] = set()
    todo = [(frozenset(range(len(calls))), "absent")]
    while todo:
        left, state = todo.pop()
        if (left, state) in seen:
            continue
        seen.add((left, state))
        if not left:
            if state == final:
                return True
            continue
        first_return = min(calls[index].returned for index in left)
        for index in left:
            call = calls[index]
            if call.begun > first_return:
                continue  # somebody had returned before it began
            after, result = _MODEL[state, call.verb]
            if result == call.result:
                todo.append((left - {index}, after))
    return False
