"""Verified definiteness: what is shown holds in exact arithmetic, what is nearly singular is not shown."""

import numpy as np
import pytest
import scipy.sparse as sp

from assay.verify.proofs.cavity.cholesky import is_semidefinite

N = 40
SECOND = sp.diags([-np.ones(N - 1), 2 * np.ones(N), -np.ones(N - 1)], [-1, 0, 1]).tocsr()  # of whole numbers
LEAST = 4 * np.sin(np.pi / (2 * (N + 1))) ** 2
NOTHING = sp.csr_matrix((N, N))


@pytest.mark.parametrize(("share", "shown"), [(0.0, True), (0.999, True), (1 - 1e-9, True), (1 + 1e-9, False)])
def test_the_least_eigenvalue_decides(share, shown):
    assert is_semidefinite(SECOND - share * LEAST * sp.identity(N), NOTHING) is shown


@pytest.mark.parametrize(("size", "shown"), [(0.9, True), (1.1, False)])
def test_what_entries_may_be_off_by_is_charged(size, shown):
    off = sp.identity(N) * (size * LEAST)
    assert is_semidefinite(SECOND, off.tocsr()) is shown


def test_a_singular_matrix_whose_factorisation_may_run_to_completion_is_not_shown():
    """x x' and a rounding less: not semidefinite, by one unit of the last digit."""
    ones = sp.csr_matrix(np.ones((3, 3)) - np.diag([0.0, 0.0, 2.0**-53]))
    assert not is_semidefinite(ones, sp.csr_matrix((3, 3)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_shown_of_what_is_not_finite(value):
    spoilt = SECOND.copy()
    spoilt[3, 2] = spoilt[2, 3] = value
    assert not is_semidefinite(spoilt, NOTHING)
    assert not is_semidefinite(SECOND, sp.identity(N).tocsr() * value)
