"""The distance to the differential equation as reports give it: at draws, never NaN, with its doubts."""

import numpy as np
import pytest

from assay.solvers import Box, ThermalBlock, black_box
from assay.solvers.classes.distance import distance
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.helmholtz import Helmholtz
from assay.solvers.problems.hyperelastic import Hyperelastic
from assay.verify.certificate import against


def test_near_a_resonance_the_estimate_says_that_it_is_not_reliable():
    """k2 half a grid's shift above the resonance: the order is far from 2, the estimate was three times off."""
    problem = Helmholtz(cells=32, k2=(5.0, 75.0), damping=(0.0, 0.1), width=0.2)
    equation, grid = (k2[0, 0] for k2 in problem._resonances)
    near = problem.discretisation_error([equation + 0.47 * (equation - grid), 0.0, 0.4, 0.45])
    assert not near.reliable and near.observed < 0
    assert near.doubt.startswith("on three grids the order observed is -") and near.relative > 0.6
    away = problem.discretisation_error([12.0, 0.05, 0.4, 0.45])
    assert away.reliable and away.order == 2 and away.observed == pytest.approx(2, abs=0.2)


def test_where_the_solution_is_zero_the_estimate_is_a_number():
    problem = Burgers(cells=32, steps=8)
    centre = problem.inputs.from_unit(np.full(4, 0.5))
    assert problem.discretisation_error(centre).relative == 0.0
    found = distance(problem)
    assert 0 < found.median <= found.worst < 1 and found.draws == 3
    assert "itself about" in against(problem) and "nan" not in against(problem)


def test_where_the_centre_is_homogeneous_other_inputs_are_not():
    problem = Hyperelastic(cells=16)
    centre = problem.inputs.from_unit(np.full(5, 0.5))
    assert problem.discretisation_error(centre).relative < 1e-9
    assert distance(problem).median > 1e-5


def test_without_a_third_grid_the_order_is_assumed_and_said_so():
    found = distance(Burgers(cells=8, steps=4, modes=1))
    assert "the order 2 is assumed, for want of a third grid" in found.doubt
    assert "not reliable" in found.words


def test_a_problem_without_an_estimate_says_so():
    problem = black_box(lambda p: p, Box("a", 0.0, 1.0), size=1)
    assert distance(problem) is None
    assert against(problem).startswith("against the solver's own solution; how far that is from the truth")
    odd = Burgers(cells=33)
    assert distance(odd) is None and against(odd).endswith("could not be estimated")


def test_a_proved_distance_has_no_doubt():
    found = distance(ThermalBlock(cells=8))
    assert found.doubt == "" and 0 < found.median <= found.worst
    assert against(ThermalBlock(cells=8)) == against(ThermalBlock(cells=8))
