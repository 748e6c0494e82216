"""Verified: a banded symmetric matrix is positive semidefinite, by one Cholesky factorisation in float64.

Where the factorisation R'R of a matrix A of float64 numbers, of bandwidth k, runs to completion, R'R = A + E with

    |E_ij| <= c (a_ii a_jj)^(1/2),   c = gamma_(k+2)/(1 - gamma_(k+2)),   and E is banded as A is,

so that x'Ex <= c (sum |x_i| a_ii^(1/2) over a band)^2 <= c (2 k + 1) sum a_ii x_i^2. Therefore A + c (2 k + 1) diag(A)
is positive semidefinite, and so is every matrix that is entry by entry within ``off`` of A + c (2 k + 1) diag(A) +
diag(row sums of off): a symmetric matrix with entries of at most off in size is at least minus its row sums. Sums of
products in any order, divisions perhaps as products with reciprocals; no fast algorithm for products.
Reference: Rump, Verification of positive definiteness, BIT 46 (2006); Higham 2002, theorem 10.3.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from ....solvers.precision import UNIT_ROUNDOFF, gamma


def is_semidefinite(matrix: sp.csr_matrix, off: sp.csr_matrix) -> bool:
    """Whether every symmetric matrix within ``off``, entry by entry, of a symmetric one is shown to be semidefinite.

    False says that it was not shown.
    """
    n = matrix.shape[0]
    lower = sp.tril(matrix).tocoo()
    k = int((lower.row - lower.col).max())
    c = gamma(k + 8) * 1.01
    diagonal = matrix.diagonal()
    # the sum for the shift, its product and difference
    shift = (np.asarray(off.sum(axis=1)).ravel() * (1 + gamma(64 + k)) + c * (2 * k + 1) * np.abs(diagonal)) * 1.01
    shifted = diagonal - shift - 4 * UNIT_ROUNDOFF * (np.abs(diagonal) + shift)
    if not (np.isfinite(lower.data).all() and np.isfinite(shifted).all()):
        return False
    bands = np.zeros((k + 1, n))
    bands[lower.row - lower.col, lower.col] = lower.data
    bands[0] = shifted
    factor, info = lapack.dpbtrf(bands, lower=1, overwrite_ab=1)
    return bool(info == 0 and np.isfinite(factor).all())
