"""Planted faults: truths fulfil their residuals, faults are as large and as wide as they say."""

import numpy as np
import pytest

from assay.benchmarks.falsification.planted import HEIGHT, SIDE, TOLERANCE, first_found, kinds, planted, random_hits
from assay.benchmarks.falsification.planted_faults import cooling, rod


@pytest.mark.parametrize("made", [rod, cooling])
def test_truths_fulfil_their_residuals(made):
    problem, _ = made(4)
    for p in problem.inputs.draw(4, 1):
        u = problem.solve_report(p).u
        assert np.abs(np.asarray(problem.residual(p, u))).max() < 1e-12
        assert np.abs(np.asarray(problem.residual(p, 1.01 * u))).max() > 1e-4


def test_a_fault_is_wrong_by_twice_the_tolerance_at_its_place_alone():
    for kind, d, width in kinds(quick=False).values():
        if kind == "background":
            continue
        fault = planted(kind, d, width, 3)
        x = np.random.default_rng(0).random((1000, d))
        top = x[0] if width == 0 else 0.1 + 0.8 * np.random.default_rng([3, d, 31]).random(d)
        if kind in ("corner", "half-space"):
            top = np.random.default_rng([3, d, 31])
            top.random(d)
            top = top.integers(0, 2, d).astype(float)
        errors = []
        for point in (top, x[1]):
            p = fault.problem.inputs.from_unit(point)
            truth = fault.problem.solve_report(p).u
            errors.append(float(fault.problem.relative_error(p, fault(p[None])[0], truth)))
        assert errors[0] == pytest.approx(HEIGHT, rel=1e-2) and errors[1] < TOLERANCE


def test_random_points_hit_as_often_as_the_volume_says():
    """A corner of side s in two inputs: a million points, s^2 of them."""
    fault = planted("corner", 2, 0.0, 0)
    assert random_hits(fault, 0) <= 1 and SIDE[2] == 1e-4
    bump = planted("rational", 2, 1e-2, 0)  # fails within one width, pi 1e-4 of the square
    assert random_hits(bump, 0) == pytest.approx(314, rel=0.25)


def test_a_bump_that_a_million_points_miss_is_found_by_its_residual():
    fault = planted("rational", 4, 1e-3, 1)
    assert random_hits(fault, 1) == 0 and first_found(fault, 1) <= 20
