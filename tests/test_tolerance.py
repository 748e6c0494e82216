"""||e|| <= absolute + tolerance ||u||, and errors that stay comparable with the tolerance."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.tolerance import Tolerance


@pytest.fixture(scope="module")
def problem():
    return black_box(lambda p: p[0] * np.ones(3), Box(("a",), np.zeros(1), np.ones(1)))


def test_it_is_the_condition_of_numpy(problem):
    t = Tolerance.of(problem, 1e-2, 0.5)
    assert t.scale == 50.0
    assert t.words("energy norm") == (
        "in the energy norm, relative to the solution's plus 50 (where the solution is zero, 0.5 is allowed)"
    )
    for e, u in ((0.5, 0.0), (0.51, 0.0), (0.59, 10.0), (0.61, 10.0)):
        assert (t.scaled(e, u) <= t.relative) == (e <= 0.5 + 1e-2 * u)
    np.testing.assert_array_equal(t.scaled(np.array([1.0, 2.0]), np.array([0.0, 50.0])), [0.02, 0.02])


def test_without_an_absolute_part_it_is_the_relative_error(problem):
    t = Tolerance.of(problem, 1e-2)
    assert t == Tolerance(1e-2, 0.0) and t.scale == 0.0
    assert t.words("energy norm") == "in the energy norm, relative to the solution's"
    assert t.scaled(0.3, 3.0) == 0.3 / 3.0
    assert t.scaled(1e-300, 0.0) == np.inf and t.scaled(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("error", "norm"),
    [(np.nan, 1.0), (0.0, np.nan), (np.inf, np.inf), (1.0, np.inf), (0.0, np.inf), (-1.0, 1.0), (1.0, -1.0)],
)
def test_what_is_not_known_is_neither_within_nor_beyond(problem, error, norm):
    scaled = Tolerance.of(problem, 1e-2).scaled(error, norm)
    assert np.isnan(scaled)
    assert Tolerance.of(problem, 1e-2).scaled(np.inf, 1.0) == np.inf  # a field that is not finite is that far off


def test_the_problem_says_what_counts_as_zero(problem, monkeypatch):
    monkeypatch.setattr(type(problem), "zero_scale", 4.0)
    assert Tolerance.of(problem, 1e-2) == Tolerance(1e-2, 4e-2)
    assert Tolerance.of(problem, 1e-2, 0) == Tolerance(1e-2, 0.0)


@pytest.mark.parametrize("tolerance", [0, -1.0, np.inf, np.nan, True, "1e-2", None, 1j])
def test_tolerances_that_make_no_sense_are_refused(problem, tolerance):
    with pytest.raises(ValueError, match="tolerance is a relative error and must be positive"):
        Tolerance.of(problem, tolerance)


@pytest.mark.parametrize("absolute", [-1e-9, np.inf, np.nan, True, "1", np.ones(2)])
def test_absolute_errors_that_make_no_sense_are_refused(problem, absolute):
    with pytest.raises(ValueError, match="absolute is an error in the norm of black-box"):
        Tolerance.of(problem, 1e-2, absolute)


def test_an_absolute_error_that_lets_everything_pass_is_refused(problem):
    with pytest.raises(ValueError, match="nothing would fail"):
        Tolerance.of(problem, 1e-300, 1e300)
