"""Shrinking: what does not matter is put back, what does is brought near and made round, each step solved."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.verify.falsify import falsify

D = 10
BOX = Box(tuple(f"x{i}" for i in range(D)), np.full(D, -3.0), np.full(D, 2.0))
calls: list[np.ndarray] = []


def solve(p):
    calls.append(p)
    return np.ones(3)


PROBLEM = black_box(solve, BOX, size=3)


def fails_where(condition):
    return lambda P: np.where(condition(P)[:, None], 1.5, np.ones((len(P), 3)))


def shrunk(condition, **options):
    calls.clear()
    result = falsify(PROBLEM, fails_where(condition), 1e-2, 60, 0, **options)
    assert result.counterexamples and len(calls) == result.solver_calls + result.shrink_calls
    assert result.shrink_calls <= 60
    return result.counterexamples[0], result


def test_one_input_out_of_ten_is_left_near_the_edge_of_failure_and_round():
    first, _ = shrunk(lambda P: P[:, 3] > 1.0)
    assert np.flatnonzero(first.shrunk != BOX.centre).tolist() == [3]
    assert 1.0 < first.shrunk[3] <= 1.1
    assert first.shrunk[3] == round(first.shrunk[3], 2)
    assert first.simplest.error == first.error == 0.5 and first.simplest.field.shape == (3,)
    assert first.shrunk.tobytes() in {p.tobytes() for p in calls}


def test_two_that_only_fail_together_are_both_left():
    first, _ = shrunk(lambda P: (P[:, 2] > 0.0) & (P[:, 7] < -1.0))
    assert np.flatnonzero(first.shrunk != BOX.centre).tolist() == [2, 7]
    assert 0 < first.shrunk[2] <= 0.2 and -1.2 <= first.shrunk[7] < -1.0


@pytest.mark.parametrize(
    "condition",
    [
        lambda P: (P[:, 0] > 1) & ((P[:, 1] <= 0.5) | (P[:, 2] > -0.4)),  # the one is needed while the other is away
        lambda P: P[:, 4:8].sum(axis=1) > 1.0,
        lambda P: np.abs(P[:, 5] * P[:, 6]) > 2.0,
    ],
)
def test_no_input_is_left_that_is_not_needed(condition):
    first, result = shrunk(condition)
    assert condition(first.shrunk[None])[0]
    for i in np.flatnonzero(first.shrunk != BOX.centre):
        without = first.shrunk.copy()
        without[i] = BOX.centre[i]
        assert not condition(without[None])[0]


def test_where_everything_fails_the_nominal_input_does_at_one_call():
    first, result = shrunk(lambda P: P[:, 0] > -9.0)
    np.testing.assert_array_equal(first.shrunk, BOX.centre)
    nominal = np.linspace(-1, 1, D)
    first, result = shrunk(lambda P: P[:, 0] > -9.0, nominal=nominal)
    np.testing.assert_array_equal(first.shrunk, nominal)
    assert result.failure_probability_upper == 1.0 and result.regions[0].share > 0.1


def test_failures_that_are_not_convex_are_never_believed_unsolved():
    """Failing in a shell around nominal: the way there passes, and so a point on it is no failure."""
    first, _ = shrunk(lambda P: np.abs(np.linalg.norm(P - BOX.centre, axis=1) - 4.0) < 1.0)
    assert abs(np.linalg.norm(first.shrunk - BOX.centre) - 4.0) < 1.0


def test_nothing_is_shrunk_where_nothing_is_to_be_spent():
    first, result = shrunk(lambda P: P[:, 3] > 1.0, shrink=0)
    assert first.shrunk is None and first.simplest is None and result.shrink_calls == 0
    for wrong in (-1, 2.5, True):
        with pytest.raises(ValueError, match="shrink is a whole number"):
            falsify(PROBLEM, fails_where(lambda P: P[:, 0] > 9), shrink=wrong)
    with pytest.raises(ValueError, match="outside"):
        falsify(PROBLEM, fails_where(lambda P: P[:, 0] > 9), nominal=np.full(D, 7.0))


def test_inputs_on_a_logarithmic_scale_are_brought_near_on_it():
    box = Box(("k", "l"), [1e-4, 1e-4], [1.0, 1.0], log=(True, True))
    problem = black_box(lambda p: np.ones(2), box)
    result = falsify(problem, lambda P: 1 + (P[:, :1] > 0.3) * np.ones((1, 2)), 1e-2, 60, 0)
    first = result.counterexamples[0]
    assert first.shrunk[1] == box.centre[1] and 0.3 < first.shrunk[0] <= 0.4
