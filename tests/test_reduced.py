"""The bound in reduced coordinates: it is the full-field bound, it holds whatever the basis, its parts are as said."""

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from assay.benchmarks.soundness.faulty import PodGalerkin, coefficient_faults
from assay.benchmarks.soundness.true_error import check
from assay.solvers import black_box
from assay.solvers.batching import VectorMap
from assay.solvers.linear_algebra.dense import solve_spd
from assay.verify.certify import certify
from assay.verify.proofs.coefficients import offline as room
from assay.verify.proofs.coefficients.reduced_bound import reduced_bound
from assay.verify.proofs.prover import proof_of, prover
from assay.verify.proofs.reduced import ReducedBound
from assay.verify.proofs.thomson import dual_factor


@pytest.fixture(scope="module")
def case(small, small_pool, true_error):
    surrogate = PodGalerkin(small, 6, pool=small_pool)
    bound = ReducedBound(small, surrogate.basis, surrogate.coefficients)
    P = np.concatenate([small.inputs.sample(20, seed=9), small.inputs.from_unit(np.eye(4))])
    U, norms = true_error.truths(P)
    return surrogate, bound, P, U, norms


@pytest.fixture(scope="module")
def maps(case):
    _, bound, *_ = case
    return VectorMap(lambda p, c: bound.bound(p, c, 1)), VectorMap(bound.bound)


def test_with_one_reference_it_is_the_full_field_bound(small, case, maps):
    surrogate, _, P, _, _ = case
    rng = np.random.default_rng(0)
    for c in (surrogate.galerkin(P), rng.standard_normal((len(P), 6)), 1e3 * surrogate.galerkin(P)):
        full = certify(small, c @ surrogate.basis.T, P, steps=0)
        one = maps[0](P, c)
        np.testing.assert_allclose(one.upper, full.upper, rtol=1e-6)
        np.testing.assert_allclose(one.relative_upper, full.relative_upper, rtol=1e-6)
        np.testing.assert_allclose(one.square_upper, full.square_upper, rtol=1e-6)


@pytest.mark.parametrize("fault", list(coefficient_faults()))
def test_it_holds_for_good_and_awful_coefficients(case, maps, true_error, fault):
    surrogate, _, P, U, norms = case
    c = surrogate.galerkin(P)
    spoil = coefficient_faults()[fault]
    c = c if spoil is None else spoil(P, c)
    error = true_error(P, U, norms, c @ surrogate.basis.T)
    one, every = (m(P, c) for m in maps)
    for bound in (one, every):
        tally = check(bound, error, norms, fault)
        assert tally.violations == 0, tally.worst
    assert (every.upper <= one.upper * (1 + 1e-9)).all()
    assert np.median(every.upper / error.value) < 1.1


def test_a_poor_solution_space_costs_sharpness_not_validity(small, case, true_error, monkeypatch):
    """W truncated to a few directions: what it misses is measured and added."""
    surrogate, _, P, U, norms = case
    monkeypatch.setattr(room, "RANK_TOLERANCE", 1e-2)
    poor = ReducedBound(small, surrogate.basis, surrogate.coefficients)
    assert poor.data.factors.shape[-1] < 20
    c = surrogate.galerkin(P)
    bound = VectorMap(poor.bound)(P, c)
    error = true_error(P, U, norms, c @ surrogate.basis.T)
    assert check(bound, error, norms).violations == 0
    assert (bound.upper / error.value).max() > 1.5  # so the planted fault is one


def test_what_the_truncation_leaves_out_must_be_charged(small, case, true_error, monkeypatch):
    """The planted fault of the test above, with its charge taken away."""
    surrogate, _, P, U, norms = case
    monkeypatch.setattr(room, "RANK_TOLERANCE", 1e-2)
    poor = ReducedBound(small, surrogate.basis, surrogate.coefficients)
    c = surrogate.galerkin(P)
    error = true_error(P, U, norms, c @ surrogate.basis.T)
    spoilt = replace(poor.data, missed=0.0 * poor.data.missed)
    assert check(VectorMap(lambda p, c: reduced_bound(small, spoilt, p, c))(P, c), error, norms).violations > 0


@pytest.mark.parametrize("share", [0.0, 1e-3, 1e-1, 10.0])
def test_weights_weigh_what_they_multiply(small, case, share):
    """Charges from nothing to far above the error: combining references never costs more than the best of them alone,
    and nearly nothing where the charges are a small part of the error.
    """
    surrogate, bound, P, U, _ = case
    c = surrogate.galerkin(P)
    errors = np.array([float(small.norm(p, e)) for p, e in zip(P, U - c @ surrogate.basis.T, strict=True)])
    sizes = np.array([1 + np.abs(np.outer(p, y)).sum() for p, y in zip(P, c, strict=True)])
    dual = np.array([float(dual_factor(small, small.theta(jnp.asarray(p)))) for p in P])
    charge = share * np.min(errors / dual / sizes)
    data = replace(bound.data, missed=bound.data.missed + charge)
    every = VectorMap(lambda p, c: reduced_bound(small, data, p, c))(P, c)
    for k in range(len(data.references)):
        rows = {name: getattr(data, name)[k : k + 1] for name in ("references", "solves", "missed", "solve_norms")}
        only = replace(data, **rows)
        one = VectorMap(partial(reduced_bound, small, only))(P, c)
        assert (every.upper <= one.upper * (1 + 1e-9)).all()
    if share <= 1e-3:
        assert (every.upper <= 1.1 * errors).all()


def test_coefficients_that_are_not_finite_prove_nothing(case, maps):
    surrogate, _, P, *_ = case
    c = surrogate.galerkin(P)
    c[3, 2], c[5, 0] = np.nan, np.inf
    for m in maps:
        bound = m(P, c)
        assert np.isinf(bound.upper[[3, 5]]).all() and (bound.lower[[3, 5]] == 0).all()
        assert np.isfinite(np.delete(bound.upper, [3, 5])).all()


def test_galerkin_is_the_best_answer_in_the_basis(small, case, true_error):
    surrogate, bound, P, U, norms = case
    c = VectorMap(bound.galerkin)(P)
    np.testing.assert_allclose(c, surrogate.galerkin(P), rtol=1e-8, atol=1e-10)
    best = true_error(P, U, norms, c @ surrogate.basis.T).value
    moved = c + 1e-3 * np.random.default_rng(0).standard_normal(c.shape)
    assert (true_error(P, U, norms, moved @ surrogate.basis.T).value > best).all()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda V: V[:-1], "finite"),
        (lambda V: V[:, 0], "finite"),
        (lambda V: np.where(np.arange(V.size).reshape(V.shape) == 300, np.nan, V), "finite"),
        (lambda V: V + 1e-9, "vanish exactly"),
    ],
)
def test_a_basis_that_cannot_be_certified_is_refused(small, case, spoil, said):
    surrogate, *_ = case
    with pytest.raises(ValueError, match=said):
        ReducedBound(small, spoil(surrogate.basis), surrogate.coefficients)


def test_coefficients_of_another_number_are_refused(small, case):
    surrogate, *_ = case
    with pytest.raises(ValueError, match="one column per mode"):
        ReducedBound(small, surrogate.basis, lambda P: surrogate.coefficients(P)[:, :3])


class _Liar:
    """Claims a basis and answers with something else."""

    def __init__(self, honest):
        self.basis, self.coefficients = honest.basis, honest.coefficients
        self.honest = honest

    def __call__(self, P):
        return 1.001 * self.honest(P)


def test_the_path_is_taken_only_where_the_answer_is_the_product(small, case):
    surrogate, *_ = case
    assert prover(small, surrogate).reduced is not None
    for other, why in (
        (_Liar(surrogate), "is not what the surrogate answers"),
        (lambda P: np.zeros((len(P), 81)), "no basis"),
    ):
        refused = prover(small, other)
        assert refused.reduced is None and why in refused.why_not_reduced
    unknown = black_box(lambda p: p, small.inputs)
    assert not proof_of(unknown).proves and prover(unknown, surrogate).reduced is None


def test_the_factor_lies_above_every_matrix_within_the_error():
    rng = np.random.default_rng(0)
    for rank in (1, 3, 5):
        half = rng.standard_normal((5, rank))
        m = half @ half.T
        wrong = rng.standard_normal((5, 5)) * 1e-6
        wrong = (wrong + wrong.T) / 2
        F = room.factor_above(m, float(np.linalg.norm(wrong, 2)))
        assert np.linalg.eigvalsh(F.T @ F - m - wrong).min() >= 0
        assert np.linalg.norm(F.T @ F - m, 2) < 1e-4


def test_the_energy_basis_is_orthonormal_and_spans():
    rng = np.random.default_rng(0)
    A = sp.diags(rng.uniform(1, 100, 40)).tocsr()
    Z = rng.standard_normal((8, 40)) * np.logspace(0, -9, 8)[:, None]
    Z = np.concatenate([Z, Z[:2] + Z[2:4]])  # two of them superfluous
    W = room.energy_basis(A, Z)
    assert len(W) == 8
    np.testing.assert_allclose(W @ (A @ W.T), np.eye(8), atol=1e-12)
    missed = Z - (Z @ (A @ W.T)) @ W
    assert np.abs(missed).max() < 1e-9


def test_elimination_solves_positive_definite_systems():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((7, 9))
    m = np.diag(np.logspace(-4, 4, 7)) @ (a @ a.T) @ np.diag(np.logspace(-4, 4, 7))
    b = rng.standard_normal(7)
    x = np.asarray(solve_spd(jnp.asarray(m), jnp.asarray(b)))
    assert (np.abs(m @ x - b) < 1e-12 * (np.abs(m) @ np.abs(x))).all()  # backward stable, whatever the scaling
