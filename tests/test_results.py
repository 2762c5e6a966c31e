"""The markers a stage returns: plain values."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from threadsup import Drop, Emit, Reject, Stop


def test_emit_holds_its_values_in_order() -> None:
    """`Emit(*values)` is a tuple of them; none is fine."""
    assert Emit(1, "b", None).values == (1, "b", None)
    assert Emit().values == ()
    assert repr(Emit(1, "b")) == "Emit(1, 'b')"


def test_emits_of_equal_values_are_equal() -> None:
    """As markers of any kind are, and an Emit of a tuple is not that of its parts."""
    assert Emit(1, 2) == Emit(1, 2) != Emit((1, 2))
    assert hash(Emit(1)) == hash(Emit(1))


@pytest.mark.parametrize("marker", [Emit(1, [2]), Drop("a"), Reject("b"), Stop("c")])
def test_a_marker_is_frozen_and_travels(marker: Drop | Emit | Reject | Stop) -> None:
    """Nothing of it can be set; a copy and a pickle of it are equal to it."""
    (name,) = (field.name for field in dataclasses.fields(marker))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(marker, name, ())
    assert not hasattr(marker, "__dict__")
    assert copy.deepcopy(marker) == pickle.loads(pickle.dumps(marker)) == marker  # noqa: S301
