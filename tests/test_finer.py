"""The doubled grid: the solver's own error is never the surrogate's."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.classes.finer import doubled, solution_on_doubled_grid
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.helmholtz import Helmholtz
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.verify.falsify import falsify

COARSE = Bratu(dimension=1, cells=8)


@pytest.mark.parametrize(
    ("problem", "cells", "steps"),
    [
        (COARSE, 16, None),
        (ThermalBlock((2, 2), 8), 16, None),
        (Helmholtz(cells=16), 32, None),
        (Burgers(cells=16, steps=4, scheme="crank-nicolson"), 32, 8),
        (Burgers(cells=16, steps=4, scheme="implicit-euler"), 32, 16),
    ],
)
def test_the_doubled_problem_is_the_one_that_this_one_is_coarser_than(problem, cells, steps):
    finer = doubled(problem)
    assert finer.settings["cells"] == cells and finer.settings.get("steps") == steps
    if hasattr(finer, "coarser"):
        assert finer.coarser.settings == problem.settings


def test_without_a_grid_there_is_none():
    assert doubled(black_box(lambda p: np.ones(2), Box(("a",), [0.0], [1.0]))) is None


def finer_truth(P):
    return np.stack([solution_on_doubled_grid(COARSE, p) for p in P])


def test_a_surrogate_of_the_finer_solution_is_right_where_the_solver_is_not():
    p = COARSE.inputs.upper
    own = float(COARSE.relative_error(p, finer_truth(p[None])[0], COARSE.solve(p)))
    result = falsify(COARSE, finer_truth, own / 4, 6, 0, starts=16)
    assert result.worst > own / 4 and result.counterexamples == [] and result.verdict == "undecided"
    assert result.regions == ()  # what fails there is the solver
    assert any("the solver's own error, no failure of the surrogate" in note for note in result.notes)
    assert result.finer_calls > 0


def test_a_failure_is_confirmed_on_both_grids():
    result = falsify(COARSE, lambda P: 1.5 * finer_truth(P), 5e-2, 6, 0, starts=16)
    first = result.counterexamples[0]
    assert result.verdict == "falsified" and first.finer_error == pytest.approx(0.5, rel=1e-6)
    assert first.error == pytest.approx(0.5, rel=0.1) and first.simplest.finer_error == pytest.approx(0.5, rel=1e-6)
