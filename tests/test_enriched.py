"""Bounds by an enlarged basis: they hold whatever the coefficients, are sharp, and say where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from assay.benchmarks.soundness.faulty import PodGalerkin, coefficient_faults
from assay.benchmarks.soundness.true_error import check
from assay.solvers.batching import VectorMap
from assay.verify.guard import guard
from assay.verify.proofs import reduced
from assay.verify.proofs.coefficients import enriched
from assay.verify.proofs.coefficients.enriched import enriched_bound
from assay.verify.proofs.reduced import ReducedBound


@pytest.fixture(scope="module")
def case(small, small_pool, true_error):
    surrogate = PodGalerkin(small, 3, pool=small_pool)
    P = np.concatenate([small.inputs.sample(20, seed=9), small.inputs.from_unit(np.eye(4))])
    U, norms = true_error.truths(P)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduced, "MOST_DIRECTIONS", 0)  # too few for references to be combined
        each = ReducedBound(small, surrogate.basis, surrogate.coefficients)
        patch.setattr(enriched, "LUMPED", 0)
        lumped = ReducedBound(small, surrogate.basis, surrogate.coefficients)
    return surrogate, {"each": each, "lumped": lumped}, P, U, norms


@pytest.fixture(scope="module")
def asked(small):
    """One compiled bound for all constants of one shape."""
    return VectorMap(lambda data, fine, p, c: enriched_bound(small, data, fine, p, c))


@pytest.mark.parametrize("way", ["each", "lumped"])
def test_it_holds_for_good_and_awful_coefficients_and_is_sharp(case, asked, true_error, way):
    surrogate, bounds, P, U, norms = case
    given = (bounds[way].data, bounds[way].fine)
    assert bounds[way].fine.load_mode.shape[1] > 3 and bounds[way].notes == ()
    for fault, spoil in coefficient_faults().items():
        c = surrogate.galerkin(P)
        c = c if spoil is None else spoil(P, c)
        error = true_error(P, U, norms, c @ surrogate.basis.T)
        bound = asked(P, c, given=given)
        tally = check(bound, error, norms, fault)
        assert tally.violations == 0, (fault, tally.worst)
        if spoil is None:
            assert np.median(bound.upper / error.value) < 1.1 and (bound.upper <= 1.5 * error.value).all()
            assert (bound.lower >= 0.9 * error.value).mean() > 0.8


@pytest.mark.parametrize(
    ("name", "factor"), [("stiffness", 0.5), ("load_mode", 1.01), ("solves", 0.1), ("stretch", 1e-4)]
)
def test_a_wrong_constant_is_caught(small, case, asked, true_error, name, factor):
    surrogate, bounds, P, U, norms = case
    data, fine = bounds["lumped"].data, bounds["lumped"].fine
    c = surrogate.galerkin(P)
    spoilt = replace(fine, **{name: factor * getattr(fine, name)})
    error = true_error(P, U, norms, c @ surrogate.basis.T)
    assert check(asked(P, c, given=(data, spoilt)), error, norms).violations > 0


def test_coefficients_that_are_not_finite_prove_nothing(case, asked):
    surrogate, bounds, P, *_ = case
    c = surrogate.galerkin(P)
    c[3, 2], c[5, 0] = np.nan, np.inf
    bound = asked(P, c, given=(bounds["each"].data, bounds["each"].fine))
    assert np.isinf(bound.upper[[3, 5]]).all() and (bound.lower[[3, 5]] == 0).all()
    assert np.isfinite(np.delete(bound.upper, [3, 5])).all()


def test_where_there_is_no_room_the_bounds_hold_and_say_that_they_are_not_sharp(small, case, true_error, monkeypatch):
    surrogate, _, P, U, norms = case
    monkeypatch.setattr(reduced, "MOST_DIRECTIONS", 0)
    monkeypatch.setattr(enriched, "MOST_COLUMNS", 14)
    poor = guard(small, surrogate, 0.1)
    assert any("not sharp" in note for note in poor.notes) and poor.notes == poor(P[:1]).notes
    c = surrogate.galerkin(P)
    bound = VectorMap(poor.reduced.stages[-1])(P, c)
    error = true_error(P, U, norms, c @ surrogate.basis.T)
    assert check(bound, error, norms).violations == 0 and (bound.upper / error.value).max() > 2


def test_constants_without_factors_prove_nothing_over_boxes(case, small):
    _, bounds, *_ = case
    assert np.isnan(np.asarray(bounds["lumped"].fine.factors)).all()


def test_the_rank_is_found_from_few_random_combinations(small, case, small_pool, monkeypatch):
    surrogate, *_ = case
    whole = ReducedBound(small, surrogate.basis, surrogate.coefficients)
    monkeypatch.setattr(reduced, "FIRST_SKETCHES", 1)
    found = ReducedBound(small, surrogate.basis, surrogate.coefficients)
    assert found.fine is None and found.data.factors.shape == whole.data.factors.shape
