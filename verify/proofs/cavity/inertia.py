"""Verified: how many eigenvalues of a sparse symmetric matrix are positive, by one factorisation without exchanges.

SuperLU, told to take every pivot from the diagonal, gives L unit lower triangular and U with

    L U = H + E,    |E| <= gamma_k |L| |U|,    k: the terms of the longest sum and a few roundings

entry by entry, in any order of summation. With D = diag(U) that is L D L' = H + E - L (U - D L'), symmetric but for
rounding, and by Sylvester's law as many eigenvalues of L D L' are positive as entries of D. Therefore H + diag(rho) has
at least as many, rho the row sums of all that H and L D L' may differ by: a symmetric matrix is at most its row sums.
How good the factors are is told by rho, and no property of H is assumed.
Reference: Higham 2002, theorem 9.3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from ....solvers.linear_algebra.superlu import Factors
from ....solvers.precision import UNIT_ROUNDOFF, gamma


class Inertia(NamedTuple):
    """H + diag(rho) has at least ``positive`` positive eigenvalues."""

    positive: int
    rho: Float[np.ndarray, " n"]


def inertia(matrix: sp.csr_matrix, off: Float[np.ndarray, " n"], order: Int[np.ndarray, " n"]) -> Inertia:
    """Of every symmetric matrix that differs from this one by rows of absolute sums of at most ``off``.

    Args:
        order: in which unknowns are eliminated.
    """
    nothing = Inertia(0, np.full(len(order), np.inf))
    permuted = matrix[order][:, order].tocsc()
    if not np.isfinite(permuted.data).all():
        return nothing
    try:
        factor = Factors(permuted, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError:  # exactly singular
        return nothing
    if not np.array_equal(factor.perm_r, factor.perm_c):
        return nothing
    L, U = factor.L.tocsr(), factor.U.tocsr()
    pivots = U.diagonal()
    scaled = (sp.diags(pivots) @ L.T).tocsr()
    ones = np.ones(len(order))
    terms = int(np.diff(L.indptr).max())
    apart = abs(U - scaled) @ ones + 4 * UNIT_ROUNDOFF * (abs(scaled) @ ones)
    sums = abs(L) @ (gamma(terms + 8) * (abs(U) @ ones) + apart)
    rho = np.empty_like(sums)
    # row i of what was factorised stands in row perm_r[i] of the factors
    rho[order] = (sums[factor.perm_r] + off[order]) * (1 + 1e-8)
    if not np.isfinite(rho).all():
        return nothing
    return Inertia(int((pivots > 0).sum()), rho)
