"""Errors against a computed truth: what is measured, what of it is proved, and what is no number."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.verify.evidence import Evidence
from assay.verify.measured_error import exceeds, measured_error

UNIT = Box(("a",), np.zeros(1), np.ones(1))


@pytest.fixture(scope="module")
def case(small):
    p = small.inputs.sample(3, seed=8)[1]
    return p, np.asarray(small.solve(p))


def test_the_error_of_a_scaled_truth_is_the_scale(small, case):
    p, u = case
    error, lower, upper, evidence = measured_error(small, p, 1.1 * u, u)
    assert error == pytest.approx(0.1, rel=1e-10)
    assert lower <= 0.1 <= upper and upper - lower < 1e-8
    assert evidence is Evidence.PROVED


def test_a_rough_truth_leaves_a_wide_interval(small, case):
    p, u = case
    rough = np.asarray(small.solve(p, 1e-2))
    error, lower, upper, _ = measured_error(small, p, 1.1 * u, rough)
    assert lower < 0.1 < upper and upper - lower > 1e-6


def test_a_field_that_is_not_finite_is_infinitely_wrong(small, case):
    p, u = case
    field = u.copy()
    field[40] = np.nan
    assert measured_error(small, p, field, u)[:3] == (np.inf, np.inf, np.inf)


def test_an_absolute_part_moves_the_error_and_its_interval_alike(small, case):
    p, u = case
    size = float(small.norm(p, u))
    error, lower, upper, evidence = measured_error(small, p, 1.1 * u, u, 3 * size)
    assert error == pytest.approx(0.1 / 4, rel=1e-10) and evidence is Evidence.PROVED
    assert lower <= 0.1 / 4 <= upper and upper - lower < 1e-8


def test_beside_a_truth_that_is_zero_only_an_absolute_error_is_finite():
    problem = black_box(lambda p: p[0] * np.ones(4), UNIT)
    zero, field = np.zeros(4), np.full(4, 0.25)
    assert measured_error(problem, np.zeros(1), field, zero)[0] == np.inf
    assert measured_error(problem, np.zeros(1), field, zero, 10.0)[0] == 0.025
    assert measured_error(problem, np.zeros(1), zero, zero)[0] == 0.0


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e160, 1e300])
def test_squares_that_leave_float64_do_not_change_the_error(size):
    problem = black_box(lambda p: size * np.arange(1.0, 5.0), UNIT)
    u = size * np.arange(1.0, 5.0)
    for factor, error in ((0.0, 1.0), (0.5, 0.5), (3.0, 2.0)):
        assert measured_error(problem, np.zeros(1), factor * u, u)[0] == pytest.approx(error, rel=1e-12)


def test_what_is_no_number_is_not_compared(small, case, monkeypatch):
    p, u = case
    unknown = measured_error(small, p, u, np.full_like(u, np.nan))
    assert np.isnan(unknown[0]) and unknown[1:] == (0.0, np.inf, Evidence.NONE)
    problem = black_box(lambda p: np.ones(4), UNIT)
    monkeypatch.setattr(type(problem), "norm", lambda self, p, u: np.nan)
    error, lower, upper, evidence = measured_error(problem, np.zeros(1), np.zeros(4), np.ones(4))
    assert np.isnan(error) and (lower, upper, evidence) == (0.0, np.inf, Evidence.NONE)
    assert not exceeds(error, lower, evidence, 1e-2)


def test_a_failure_is_proved_where_it_can_be_and_observed_elsewhere():
    assert exceeds(0.3, 0.2, Evidence.PROVED, 0.1) and not exceeds(0.3, 0.05, Evidence.PROVED, 0.1)
    assert exceeds(0.3, 0.0, Evidence.OBSERVED, 0.1)
