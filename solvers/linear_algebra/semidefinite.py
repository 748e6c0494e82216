"""Proved statements about the eigenvalues of symmetric sparse matrices, by factorisation.

A verified Cholesky factorisation (Rump 2006): if M - s I = G + E with G = L D L' computed, D > 0, then lambda_min(M) >=
s - ||E||_inf.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from ..precision import gamma
from .superlu import symmetric_lu


def indefiniteness(m: sp.csr_matrix) -> float:
    """s >= 0 with m + s I verified positive semidefinite, as small as rounding lets it be; infinite where none is."""
    rows = np.flatnonzero(np.diff(m.indptr))
    if len(rows) < m.shape[0]:  # the other rows, and so columns, are zero
        m = m[rows][:, rows].tocsr()
    size = float(abs(m).sum(axis=1).max())
    for share in (1e-14, 1e-13, 1e-12):
        bound = _verified(m, -share * size)
        if bound is not None:
            return max(0.0, -bound)
    return np.inf


def smallest_eigenvalue(m: sp.csr_matrix, solve: Callable[[np.ndarray], np.ndarray]) -> float:
    """A proved lower bound of lambda_min of a symmetric matrix, 0 where none was found (module docstring)."""
    n = m.shape[0]
    x = np.random.default_rng(0).standard_normal(n)
    for _ in range(10):  # only where to try
        x = solve(x / np.linalg.norm(x))
    estimate = 1 / np.linalg.norm(x)
    for share in (0.9, 0.5, 0.1):
        bound = _verified(m, share * float(estimate))
        if bound is not None and bound > 0:
            return bound
    return 0.0


def _verified(m: sp.csr_matrix, shift: float) -> float | None:
    """A proved lower bound of lambda_min(m), a little below ``shift``; None where m - shift I has no Cholesky factor.

    ``shift`` may be negative.
    """
    n = m.shape[0]
    shifted = (m - shift * sp.identity(n, format="csr")).tocsr()
    try:
        factor = symmetric_lu(shifted)
    except RuntimeError:
        return None
    d = factor.U.diagonal()
    if not (np.isfinite(d).all() and (d > 0).all() and np.array_equal(factor.perm_r, factor.perm_c)):
        return None
    scaled = factor.L @ sp.diags(np.sqrt(d))
    order = np.argsort(factor.perm_r)
    defect = shifted[order][:, order] - scaled @ scaled.T
    longest = int(np.diff(scaled.tocsr().indptr).max())
    rounding = gamma(longest + 6) * float((abs(scaled) @ (abs(scaled).T @ np.ones(n))).max())
    forming = gamma(2) * float(abs(m).sum(axis=1).max() + abs(shift))
    return float(shift - 1.001 * (float(abs(defect).sum(axis=1).max()) + rounding + forming))
