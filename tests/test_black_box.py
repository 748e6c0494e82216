"""A foreign solver: it is called, its failures are rows of NaN, and nothing more is claimed about it."""

import jax
import numpy as np
import pytest

from assay.solvers import Box, CoerciveProblem, SolveError, black_box

BOX = Box(("a", "b"), np.array([0.0, 1.0]), np.array([1.0, 100.0]), log=(False, True))


def linear(p):
    return np.arange(4) * p[0] + p[1]


def test_the_solver_is_called_with_the_input():
    problem = black_box(linear, BOX)
    P = BOX.sample(40)
    np.testing.assert_array_equal(problem.solve_batch(P), [linear(p) for p in P])
    solution = problem.solution([0.5, 2.0])
    assert solution.method == "user" and np.isnan(solution.residual)
    assert problem.size == 4 and problem.name == "black-box" and not isinstance(problem, CoerciveProblem)


def test_the_first_call_is_at_the_centre_of_the_box():
    seen = []
    black_box(lambda p: seen.append(p.tolist()) or np.ones(3), BOX)
    np.testing.assert_allclose(seen, [[0.5, 10.0]])


def test_it_runs_under_jit_and_vmap():
    problem = black_box(linear, BOX)
    P = BOX.sample(3)
    np.testing.assert_array_equal(jax.jit(problem.solve)(P[0]), linear(P[0]))
    np.testing.assert_array_equal(jax.vmap(problem.solve)(P), [linear(p) for p in P])


def test_the_norm_is_the_root_mean_square():
    problem = black_box(linear, BOX)
    assert float(problem.norm(BOX.lower, [3.0, -4.0, 0.0, 0.0])) == 2.5
    assert float(problem.relative_error(BOX.lower, np.zeros(4), np.ones(4))) == 1.0


@pytest.mark.parametrize("failure", ["raises", "nan", "infinite", "another shape", "nothing", "no numbers"])
def test_a_failed_solve_is_a_row_of_nan_and_raises_alone(failure):
    answers = {
        "nan": np.array([1.0, np.nan, 1.0, 1.0]),
        "infinite": np.array([1.0, np.inf, 1.0, 1.0]),
        "another shape": np.ones(5),
        "nothing": None,
        "no numbers": ["a", "b", "c", "d"],
    }

    def solve(p):
        if p[0] <= 0.7:
            return linear(p)
        if failure == "raises":
            raise ZeroDivisionError("in somebody's code")
        return answers[failure]

    problem = black_box(solve, BOX)
    U = np.asarray(problem.solve_batch([[0.1, 2.0], [0.9, 2.0], [0.2, 2.0]]))
    assert np.isfinite(U[[0, 2]]).all() and not np.isfinite(U[1]).all()
    with pytest.raises(SolveError, match="black-box was not solved at a=0.9, b=2"):
        problem.solve([0.9, 2.0])


def test_answers_of_any_array_kind_are_flattened_to_float64():
    problem = black_box(lambda p: np.full((2, 3), p[0], dtype=np.float32), BOX, coordinates=np.zeros((6, 2)))
    u = problem.solve([0.25, 1.0])
    assert u.shape == (6,) and u.dtype == np.float64 and (u == 0.25).all()
    assert problem.coordinates.shape == (6, 2)


def test_a_solver_that_fails_at_the_centre_is_refused():
    def broken(p):
        raise OSError("no licence server")

    with pytest.raises(SolveError, match="raised at the centre of the box: OSError: no licence server"):
        black_box(broken, BOX)
    for answer in (np.array([np.nan]), np.zeros(0)):
        with pytest.raises(SolveError, match="empty or not finite"):
            black_box(lambda p, answer=answer: answer, BOX)


def test_coordinates_must_fit():
    with pytest.raises(ValueError, match=r"coordinates must have shape \[4, axes\], not \[3, 2\]"):
        black_box(linear, BOX, coordinates=np.zeros((3, 2)))


def test_inputs_are_checked_before_the_solver_sees_them():
    calls = []
    problem = black_box(lambda p: calls.append(p) or np.ones(2), BOX)
    calls.clear()
    for bad in ([[0.5, 1000.0]], [[0.5, np.nan]], [[0.5]]):
        with pytest.raises(ValueError, match="row 0|shape"):
            problem.solve_batch(bad)
    assert not calls
