"""The mapping that is replaced and never changed: the same as a dict, and little is copied."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.policy.fakes import FakeHost, child, rules
from threadsup._policy import ledger
from threadsup._policy.ledger import SMALL, Draft, Ledger, frozen

if TYPE_CHECKING:
    from collections.abc import MutableMapping

MANY = 4_000


def same(made: Ledger[int, str], model: dict[int, str]) -> bool:
    """Tell whether a ledger reads as the dict, in order too, whichever way it is read."""
    missing = -1
    return (
        len(made) == len(model)
        and list(made) == list(model)
        and list(made.items()) == list(model.items())
        and list(made.values()) == list(model.values())
        and all(made[key] == model[key] for key in model)
        and made.get(missing) is None
        and missing not in made
        and made == model
    )


@pytest.mark.parametrize("size", [0, SMALL, SMALL + 1, 10 * SMALL])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_dict_would_be(size: int, seed: int) -> None:
    """Whatever is put, changed, taken out and put again; each version stays as it was."""
    dice = random.Random(seed)
    model = dict.fromkeys(range(size), "first")
    made = Ledger.of(model)
    versions = [(made, dict(model))]
    for number in range(600):
        draft: MutableMapping[int, str] = made.draft()
        for _ in range(dice.randrange(3)):
            key = dice.randrange(size + 20)
            if dice.random() < 0.4 and key in model:
                del draft[key], model[key]
            else:
                draft[key] = model[key] = str(number)
            assert (key in draft) == (key in model)
            assert len(draft) == len(model)
        made = frozen(draft)
        if number % 40 == 0:
            versions.append((made, dict(model)))
    assert same(made, model)
    assert all(same(*version) for version in versions)


@pytest.mark.parametrize("size", [3, 10 * SMALL])
def test_what_is_not_there_is_refused(size: int) -> None:
    """Never put, or taken out: both are not there."""
    made = Ledger.of(dict.fromkeys(range(size), "a")).without(1)
    for key in (-1, 1):
        with pytest.raises(KeyError):
            made[key]
        with pytest.raises(KeyError):
            made.without(key)
    assert "0: 'a'" in repr(made)
    assert list(made.put(1, "b"))[-1] == 1


def test_a_step_of_thousands_copies_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start and stop of four thousand: what is copied grows with them, and no faster.

    Counted, not timed: entries of new dicts, a hundred and a few for each step.
    """
    copied = 0
    merged = ledger._Layers._merged
    draft = Ledger.draft

    def counted_merge(self: ledger._Layers[object, object]) -> object:
        nonlocal copied
        copied += len(self)
        return merged(self)

    def counted_draft(self: Ledger[object, object]) -> object:
        nonlocal copied
        made = draft(self)
        copied += len(made._changes) if isinstance(made, Draft) else len(made)
        return made

    monkeypatch.setattr(ledger._Layers, "_merged", counted_merge)
    monkeypatch.setattr(Ledger, "draft", counted_draft)

    def copies(children: int, stop: str) -> float:
        nonlocal copied
        copied = 0
        host = FakeHost.of(rules(stop=stop), {i: child() for i in range(children)})
        host.start()
        host.stop()
        assert host.phase == "down"
        return copied / children

    for stop in ("in_turn", "together"):
        few, many = copies(MANY // 10, stop), copies(MANY, stop)
        assert many < 2 * few, (stop, few, many)
