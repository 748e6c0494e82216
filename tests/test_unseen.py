"""Remarks on what an error within the tolerance may hide; silent where there is nothing to hide."""

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.component_errors import component_errors, component_shares
from assay.solvers.problems.black_box import black_box
from assay.solvers.tolerance import Tolerance
from assay.verify.search.unseen import Unseen

UNIT = Box(("a",), np.zeros(1), np.ones(1))
POINTS = np.linspace(0, 1, 4)[:, None]


def solve(p):
    """Velocity 1e-2 beside pressure 1e5."""
    return np.stack([1e-2 * (1 + p[0]) * np.ones(4), 1e5 * (1 + p[0] * POINTS[:, 0])], axis=1).ravel()


flow = black_box(solve, UNIT, components=("velocity", "pressure"))


def notes(problem, tolerance=1e-2, n=5, absolute=0.0):
    unseen = Unseen(problem, Tolerance.of(problem, tolerance, absolute))
    for p in np.linspace(0, 1, n)[:, None]:
        unseen.add(p, np.asarray(problem.solve(p)))
    return unseen.notes()


def test_solutions_that_vary_by_less_than_the_tolerance():
    problem = black_box(lambda p: 101325.0 + p[0] * POINTS[:, 0], UNIT)
    (note,) = notes(problem)
    assert "answered at all inputs, would pass" in note and "offset=" in note
    assert notes(problem, 1e-9) == []
    assert notes(problem, n=2) == []  # too few to say


def test_a_component_that_the_norm_does_not_see():
    (note,) = notes(flow)
    assert note.startswith("velocity: at most 1.3e-07 of the solution's size")
    assert notes(flow, 1e-8) == []


def test_components_that_nobody_declared():
    flat = black_box(solve, UNIT)
    (note,) = notes(flat)
    assert note.startswith("4 of the 8 values are at most 1e-07 of the others") and "components=" in note
    assert notes(flat, 1e-8) == []


@pytest.mark.parametrize(
    "field",
    [
        lambda p: p[0] * np.sin(np.pi * np.linspace(0, 1, 33)),  # sin(pi) = 1e-16 at the boundary is a zero
        lambda p: np.exp(-p[0] - 12 * np.linspace(0, 1, 33)),  # decays, but in one piece
        lambda p: np.zeros(4) * p[0],
        lambda p: (1 + p[0]) * np.array([1.0]),
    ],
)
def test_ordinary_solutions_are_not_remarked_on(field):
    assert [note for note in notes(black_box(field, UNIT)) if "zero answered" in note] == []


def test_the_error_of_a_component_is_relative_to_itself():
    p = np.array([0.5])
    u = np.asarray(flow.solve(p))
    answer = u.copy()
    answer[0::2] = 0.0
    assert component_errors(flow, p, answer, u) == {"velocity": 1.0, "pressure": 0.0}
    answer[1::2] *= 1.25
    errors = component_errors(flow, p, answer, u)
    assert errors["pressure"] == pytest.approx(0.25, rel=1e-12)
    answer[0] = np.nan
    assert component_errors(flow, p, answer, u)["velocity"] == np.inf
    assert component_errors(black_box(solve, UNIT), p, u, u) == {}
    rms = float(jnp.sqrt(jnp.mean(jnp.asarray(u) ** 2)))
    assert component_errors(flow, p, 0 * u, u, rms)["pressure"] == pytest.approx(0.5, rel=1e-9)
    np.testing.assert_allclose(component_shares(flow, p, u), [1.5e-2 / np.sqrt(2) / rms, 1.0], rtol=1e-9)


def test_a_component_that_is_zero_may_be_off_by_rounding():
    p, u = np.array([0.5]), np.array(flow.solve(np.array([0.5])))
    u[0::2] = 0.0
    answer = u.copy()
    answer[0] = 1e-10
    assert component_errors(flow, p, answer, u)["velocity"] < 1e-1
    answer[0] = 1.0
    assert component_errors(flow, p, answer, u)["velocity"] > 1e3
