"""Errors at points of a box: what the solver confirms is kept, what it does not answer is said."""

import numpy as np

from assay.solvers import Box, black_box
from assay.verify.answers.evaluate import captured
from assay.verify.boxes.point_errors import ConfirmedErrors

BOX = Box(("a",), np.array([0.0]), np.array([2.0]))


def solve(p):
    if p[0] > 1.5:
        raise RuntimeError("the valve is stuck")
    return np.array([3.0, 4.0]) * (1 + p[0])


class Nothing:
    """No proved bounds, no estimates."""

    scale = 0.0

    def lower(self, P, c):
        return np.zeros(len(P))

    estimate = lower


def confirmed(budget):
    problem = black_box(solve, BOX)
    model = captured(lambda P: np.array([3.0, 4.0]) * (1 + np.asarray(P)) * (1 + 0.1 * np.asarray(P)))
    return ConfirmedErrors(problem, BOX, Nothing(), model, budget)


def test_errors_are_confirmed_while_the_budget_lasts_and_failed_solves_are_told():
    errors = confirmed(3)
    found = errors.confirm(np.array([[0.25], [0.9], [0.5], [0.1]]))  # the fourth is beyond the budget
    np.testing.assert_allclose(found, [0.05, 0.0, 0.1], rtol=1e-12)
    assert errors.budget == 0 and errors.best == found[2] and len(errors.points) == len(errors.lower) == 2
    (note,) = errors.notes()
    assert "failed at 1 of 3 inputs" in note and "the valve is stuck" in note and "a=1.8" in note


def test_where_every_solve_succeeds_nothing_is_said():
    errors = confirmed(2)
    errors.confirm(np.array([[0.25], [0.5]]))
    assert errors.notes() == []
