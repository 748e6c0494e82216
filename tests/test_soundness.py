"""Two thousand certificates over inputs and surrogates of every kind, and the checker itself on bounds that are wrong.

The checker is the one that the benchmark of 10^5 certificates uses (``assay.benchmarks.soundness.true_error.check``).
"""

import dataclasses

import numpy as np
import pytest

from assay.benchmarks.soundness.certificates import (
    climbed_certificates,
    field_certificates,
    inputs,
    reduced_certificates,
)
from assay.benchmarks.soundness.faulty import faults
from assay.benchmarks.soundness.true_error import Interval, Tally, check
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.verify.certify import certify


def test_no_violation_in_two_thousand_certificates(small):
    total = Tally()
    for tallies in (
        field_certificates(small, 48, seed=0, steps=(0, 2)),
        reduced_certificates(small, 30, seed=1),
        climbed_certificates(small, 192, seed=2, chosen=("scaled by 1.01", "noise 1e-2")),
    ):
        for tally in tallies.values():
            total.add(tally)
    assert total.certificates >= 2000
    assert total.violations == 0, total.worst
    # all inputs equal: one reference is exact, and the bound touches the error but for rounding
    assert abs(total.above) < 1e-9
    assert abs(total.below) < 1e-9  # the error as computed has a rounding of its own


def test_no_violation_with_oblong_blocks_at_contrast_1e4():
    problem = ThermalBlock((1, 3), 9, low=1e-2, high=1e2)
    tallies = field_certificates(problem, 12, seed=3, steps=(2,))
    assert all(t.violations == 0 for t in tallies.values()), tallies


def test_inputs_are_in_the_box_and_hit_corners_and_the_diagonal(small):
    P = inputs(small, 60, seed=0)
    assert small.inputs.contains(P).all()
    X = small.inputs.to_unit(P)
    assert (np.isclose(X, 0) | np.isclose(X, 1)).all(axis=1).any()
    assert np.isclose(X, X[:, :1]).all(axis=1).any()


@pytest.fixture(scope="module")
def case(small, small_pool, true_error):
    P = small.inputs.sample(12, seed=4)
    U, norms = true_error.truths(P)
    fields = faults(small)["POD, 8 modes"](P, U, small_pool)
    return certify(small, fields, P), true_error(P, U, norms, fields), norms


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("upper", 0.98), ("lower", 1.02), ("relative_upper", 0.98), ("relative_lower", 1.02),
        ("square_upper", 0.98), ("square_lower", 1.02), ("upper", np.nan), ("lower", np.nan),
    ],
)  # fmt: skip
def test_the_checker_catches_a_bound_that_is_wrong(case, name, factor):
    certificate, error, norms = case
    assert check(certificate, error, norms).violations == 0
    unsound = dataclasses.replace(certificate, **{name: factor * getattr(certificate, name)})
    assert check(unsound, error, norms).violations == len(certificate)


def test_the_checker_allows_only_what_the_truth_leaves_open(case):
    certificate, error, norms = case
    touching = dataclasses.replace(certificate, upper=error.low, relative_upper=np.full(12, np.inf))
    assert check(touching, error, norms).violations == 0
    below = dataclasses.replace(touching, upper=error.low * (1 - 1e-15) - 1e-300)
    assert check(below, error, norms).violations > 0
    assert ((error.high - error.low) < 1e-9 * error.value).all()  # so the interval hides nothing


def test_the_interval_of_the_truth_holds_for_a_truth_that_was_solved_badly(small, true_error):
    P = small.inputs.sample(6, seed=5)
    U, norms = true_error.truths(P)
    rough = np.asarray(small.solve_batch(P, 1e-3))
    bounds = certify(small, rough, P, steps=0)
    size, _ = true_error._norm(P, rough)
    around = Interval(size, size - bounds.upper, size + bounds.upper)
    assert (around.low <= norms.value).all() and (norms.value <= around.high).all()
