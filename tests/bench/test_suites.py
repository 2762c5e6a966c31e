"""What can be asked for by name: no row can be taken for another one."""

from __future__ import annotations

from bench.suites import SUITES

ROWS = [row for works in SUITES.values() for work in works for row in work.rows]


def test_rows_have_names_of_their_own() -> None:
    """A row is found by its name when two builds are set side by side."""
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_a_curve_has_one_point_at_each_place() -> None:
    """And says what it counts, the same along the whole of it."""
    points = [(row.curve, row.at) for row in ROWS if row.curve]
    assert len(set(points)) == len(points)
    assert all(row.axis for row in ROWS if row.curve)
    curves = {row.curve for row in ROWS if row.curve}
    assert len({(row.curve, row.axis, row.unit) for row in ROWS if row.curve}) == len(curves)
