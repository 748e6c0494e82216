"""Verified inertia: never more positive eigenvalues than there are with rho added, all of them where it is easy."""

import numpy as np
import pytest
import scipy.sparse as sp

from assay.verify.proofs.cavity.inertia import inertia

RNG = np.random.default_rng(0)
N = 60


def matrix(seed, strength):
    A = sp.random(N, N, 0.08, random_state=seed)
    return (A + A.T + sp.diags(strength * np.random.default_rng(seed).standard_normal(N))).tocsr()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("strength", [3.0, 1.0])
def test_as_many_as_dense_algebra_finds(seed, strength):
    A = matrix(seed, strength)
    found = inertia(A, np.zeros(N), RNG.permutation(N))
    exact = np.linalg.eigvalsh(A.toarray() + np.diag(found.rho))
    assert found.positive <= (exact > 0).sum()
    assert found.rho.max() < 1e-7 and found.positive == (np.linalg.eigvalsh(A.toarray()) > 0).sum()


def test_what_rows_may_be_off_by_is_charged_to_their_own_rows():
    off = 10.0 ** RNG.uniform(-5, -1, N)
    found = inertia(matrix(0, 3.0), off, RNG.permutation(N))
    assert (off <= found.rho).all() and (found.rho <= off + 1e-7).all()


def test_pivots_that_are_tiny_cost_as_much_as_they_spoil():
    """[[t, 1], [1, 0]] has one positive eigenvalue; without exchanges factors are as wrong as 1/t is large."""
    for t in (1e-3, 1e-12, 1e-20):
        found = inertia(sp.csr_matrix(np.array([[t, 1.0], [1.0, 0.0]])), np.zeros(2), np.arange(2))
        assert found.positive == 1 and found.rho.max() >= 2.0**-53 / t
    assert inertia(sp.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]])), np.zeros(2), np.arange(2)).positive <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_known_of_what_is_not_finite(value):
    found = inertia(sp.csr_matrix(np.array([[1.0, value], [value, 1.0]])), np.zeros(2), np.arange(2))
    assert found.positive == 0 and np.isinf(found.rho).all()
    assert inertia(sp.identity(2).tocsr(), np.array([0.0, value]), np.arange(2)).positive == 0
