"""Regions of failure: one a basin, their hulls and shares as geometry has them."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.verify.search.regions import find_regions
from assay.verify.search.signal import Signal

SQUARE = Box(("a", "b"), [0.0, 0.0], [2.0, 10.0])


def points(*unit):
    return SQUARE.from_unit(np.array(unit))


def test_a_point_that_passed_parts_two_failures_and_none_does_not():
    failing = points([0.1, 0.5], [0.2, 0.5], [0.9, 0.5])
    errors = np.array([1.0, 3.0, 2.0])
    (one,) = find_regions(SQUARE, failing, errors, points([0.5, 0.9], [0.0, 0.0]))
    assert len(one) == 3 and one.error == 3.0 and one.worst.tolist() == failing[1].tolist()
    first, second = find_regions(SQUARE, failing, errors, points([0.5, 0.5]))
    assert (len(first), len(second)) == (2, 1) and (first.error, second.error) == (3.0, 2.0)
    np.testing.assert_array_equal(second.worst, failing[2])


def test_a_signal_that_dips_parts_them_without_a_solve():
    failing = points([0.1, 0.5], [0.9, 0.5])
    hills = Signal("bound", lambda P: np.abs(P[:, 0] / 2 - 0.5))
    assert len(find_regions(SQUARE, failing, np.ones(2), np.zeros((0, 2)), hills)) == 2
    flat = Signal("bound", lambda P: np.ones(len(P)))
    assert len(find_regions(SQUARE, failing, np.ones(2), np.zeros((0, 2)), flat)) == 1


def test_the_hull_of_a_triangle_is_the_triangle():
    failing = points([0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.1, 0.1])
    (found,) = find_regions(SQUARE, failing, np.arange(4.0), np.zeros((0, 2)))
    assert found.share == pytest.approx(0.125, abs=1e-15)
    assert {tuple(p) for p in found.hull} == {tuple(p) for p in failing[:3]}
    np.testing.assert_array_equal([found.lower, found.upper], [[0, 0], [1.0, 5.0]])


def test_points_on_a_line_span_no_volume_and_one_point_none_at_all():
    (line,) = find_regions(SQUARE, points([0.1, 0.1], [0.2, 0.2], [0.4, 0.4]), np.ones(3), np.zeros((0, 2)))
    assert line.hull is None and line.share == pytest.approx(0.09) and "box around them" in repr(line)
    (point,) = find_regions(SQUARE, points([0.3, 0.4]), np.ones(1), np.zeros((0, 2)))
    assert point.hull is None and point.share == 0.0
    assert find_regions(SQUARE, np.zeros((0, 2)), np.zeros(0), points([0.3, 0.4])) == []
    interval = Box(("a",), [0.0], [4.0])
    (part,) = find_regions(interval, np.array([[1.0], [2.0]]), np.ones(2), np.zeros((0, 1)))
    assert part.share == 0.25 and part.hull.ravel().tolist() == [1.0, 2.0]


def test_more_failures_than_are_compared_all_join_a_region():
    rng = np.random.default_rng(0)
    failing = SQUARE.from_unit(np.concatenate([0.2 * rng.random((60, 2)), 0.8 + 0.2 * rng.random((60, 2))]))
    wall = SQUARE.from_unit(np.array([[t, 1 - t] for t in np.linspace(0.3, 0.7, 20)]))
    found = find_regions(SQUARE, failing, rng.random(120), wall)
    assert sorted(map(len, found)) == [60, 60]


def test_a_hull_in_many_inputs_is_left_out():
    box = Box(tuple("abcdefghij"), np.zeros(10), np.ones(10))
    (found,) = find_regions(box, np.random.default_rng(1).random((30, 10)), np.ones(30), np.zeros((0, 10)))
    assert found.hull is None and 0 < found.share < 1
