"""Richardson's estimate against errors that are known, and grids that it must refuse."""

import jax
import numpy as np
import pytest

from assay.solvers.classes.richardson import _doubt, richardson, shared_nodes
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.problems.wave import Wave


@pytest.mark.parametrize("scheme", ["implicit-euler", "crank-nicolson"])
def test_the_estimate_is_near_the_known_error(scheme: str) -> None:
    problem = Heat(blocks=(1, 1), cells=32, steps=32, end_time=0.1, scheme=scheme)
    p = np.array([0.5, 0.0])
    t, x, y = problem.coordinates.T
    exact = np.exp(-(np.pi**2) * t) * np.sin(np.pi * x) * np.sin(np.pi * y)
    error = float(jax.jit(problem.relative_error)(p, problem.solve_report(p).u, exact))
    estimate = problem.discretisation_error(p)
    # Wrong by the next order, which in time is 1/8 of the first on the coarse grid of Euler's 8 steps.
    assert estimate.relative == pytest.approx(error, rel=0.15)
    assert estimate.order == 2 and estimate.compared_with["cells"] == 16
    assert estimate.compared_with["steps"] == (8 if scheme == "implicit-euler" else 16)


@pytest.mark.parametrize(
    "fine", [Wave(cells=8, steps=16), Burgers(cells=16, steps=4, grading=2.0), Burgers(boundary="periodic")]
)
def test_shared_nodes_lie_at_the_same_place_and_time(fine: Wave | Burgers) -> None:
    coarse = fine.coarser
    index = shared_nodes(fine, coarse)
    assert np.allclose(fine.coordinates[index], coarse.coordinates, rtol=0, atol=1e-14)


def test_steady_problems_are_compared_in_space_alone() -> None:
    fine, coarse, finest = (ThermalBlock(cells=n) for n in (16, 8, 32))
    p = np.full(4, 2.0)
    # Energy norm of interpolated differences: superconvergent for a Q1 grid of equal cells, order 2.
    estimate = richardson(fine, coarse, p, order=2).relative
    index = shared_nodes(finest, fine)
    difference = fine.solve_report(p).u - finest.solve_report(p).u[index]
    known = float(fine.norm(p, difference) / fine.norm(p, fine.solve_report(p).u)) * 4 / 3
    assert estimate == pytest.approx(known, rel=0.2)


def test_grids_that_are_not_nested_are_refused() -> None:
    with pytest.raises(ValueError, match="do not share"):
        richardson(Burgers(cells=32), Burgers(cells=20, steps=50), [0.05, 0.1, 0.1, 0.1], order=2)
    with pytest.raises(ValueError, match="cells=33 is no multiple"):
        Burgers(cells=33).discretisation_error([0.05, 0.1, 0.1, 0.1])


@pytest.mark.parametrize(("observed", "said"), [(1.0, ""), (4.0, ""), (0.99, "0.99, not 2"), (4.01, "4, not 2")])
def test_from_half_the_order_to_two_above_it_nothing_is_doubted(observed: float, said: str) -> None:
    """Beyond, the grid resolves too little; a higher order alone makes the estimate too large, not too small."""
    assert (said in _doubt(observed, 2)) if said else _doubt(observed, 2) == ""
