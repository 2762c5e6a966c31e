"""Which of several equal targets gets the next message.

Owns the picks. It must not know what a target is: targets are positions from 0
to `count - 1`, and load, position and chance are handed in. Nothing is
remembered here, so nothing is shared between the threads that send.

A pick is an order of preference, made step by step: the sender offers the
message to the first candidate, and only if that one is dead or full asks for the
next. So the usual pick costs the same whatever the number of targets, except
that `least_loaded` looks at every load.

| routing        | first choice                      | when it cannot take it        |
| -------------- | --------------------------------- | ----------------------------- |
| `random`       | any, all alike                    | any of the others, all alike  |
| `round_robin`  | the one after the last that took  | the one after that            |
| `least_loaded` | the least loaded                  | the next least loaded         |
| `partition`    | the one its key belongs to        | nobody: order would be broken |

Among equally loaded targets `least_loaded` goes round as `round_robin` does: a
load is read without a lock, and if ties fell to the lowest position an idle set
would be served by its first target alone, and several senders at once would all
pick that one.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from threadsup._checks import one_of, shown
from threadsup._errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "candidates",
    "in_random_order",
    "least_loaded",
    "partition",
    "round_robin",
    "stable_hash",
]

_KNOWN = one_of("random", "round_robin", "least_loaded", "partition")
_NO_KEY = object()


def candidates(
    routing: str,
    count: int,
    *,
    random: Callable[[], float],
    position: int,
    load: Callable[[int], float],
    key: object = _NO_KEY,
) -> Iterator[int]:
    """Return the targets in order of preference.

    Args:
        routing: `"random"`, `"round_robin"`, `"least_loaded"` or `"partition"`.
        count: How many targets there are; with 0 there is no candidate.
        random: A source of numbers in [0, 1), as `random.random` is.
        position: The target that took the last message, plus one; two senders may
            hold the same, then both begin at the same target.
        load: The load of a target: what it has queued and in hand.
        key: With `"partition"`: what decides; see `stable_hash`.

    Raises:
        SpecError: There is no such routing, or it and `key` do not fit.
        TypeError: The key is of no type that can be hashed stably.
    """
    if problem := _KNOWN(routing):
        raise SpecError(f"routing: {problem}")
    if (key is not _NO_KEY) is not (routing == "partition"):
        need = "is needed" if routing == "partition" else "is only"
        raise SpecError(f"key: {need} with routing='partition'")
    if routing == "random":
        return in_random_order(count, random)
    if routing == "round_robin":
        return round_robin(count, position)
    if routing == "least_loaded":
        return least_loaded([load(target) for target in range(count)], position)
    return partition(count, key)


def in_random_order(count: int, random: Callable[[], float]) -> Iterator[int]:
    """Yield all targets, each order equally likely."""
    moved: dict[int, int] = {}  # a shuffle that only remembers the places it touched
    for left in range(count, 0, -1):
        at = int(random() * left)
        yield moved.get(at, at)
        moved[at] = moved.get(left - 1, left - 1)


def round_robin(count: int, position: int) -> Iterator[int]:
    """Yield all targets in turn, from `position` on."""
    for step in range(count):
        yield (position + step) % count


def least_loaded(loads: Sequence[float], position: int) -> Iterator[int]:
    """Yield all targets, the least loaded first; equal ones in turn from `position` on."""
    turn = list(round_robin(len(loads), position))
    if turn:
        # Mostly the first is taken, and finding it costs less than sorting all.
        first = min(turn, key=loads.__getitem__)
        yield first
        turn.remove(first)
        yield from sorted(turn, key=loads.__getitem__)


def partition(count: int, key: object) -> Iterator[int]:
    """Return the one target that `key` belongs to, whoever else is free."""
    place = stable_hash(key)
    return iter((place % count,) if count else ())


def stable_hash(key: object) -> int:
    """Return a number from 0 to 2**64 - 1 that depends on the value of `key` alone.

    The same in every process, build and version; Python's own `hash` is none of it.
    Different types are different keys: `1`, `"1"` and `b"1"` differ, as do `("a", "b")`
    and `("ab",)`. A subclass counts as the type it is derived from.

    Args:
        key: A `str`, `bytes`, `int` or a tuple of these; no `bool`, which people
            expect to be both 1 and not 1.

    Raises:
        TypeError: It is anything else; says what to do.
    """
    if isinstance(key, tuple):
        parts = [_encoded(part) for part in tuple.__iter__(key)]
        # With its length before each part no two tuples encode to the same bytes.
        data = b"t" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    else:
        data = _encoded(key)
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def _encoded(key: object) -> bytes:
    # The base class's own methods: a subclass must not decide where it belongs.
    if isinstance(key, str):
        return b"s" + str.encode(key, "utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"b" + bytes.__getitem__(key, slice(None))
    if isinstance(key, int) and not isinstance(key, bool):
        length = int.bit_length(key) // 8 + 1
        return b"i" + int.to_bytes(key, length, "big", signed=True)
    raise TypeError(
        "a key must be a str, bytes, an int or a tuple of these, "
        f"not {shown(key)}: make one of it, for example str(key)"
    )
