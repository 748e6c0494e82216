"""Sparse LU of matrices with one fixed pattern, on the host and callable inside JAX; Jacobians by coloured probing.

A Jacobian with a known pattern is read from few products: columns that share no row are probed together (Curtis,
Powell, Reid 1974). The last two factorisations are kept, so that the adjoint, the tangent and their compositions at
one input cost triangular solves only; a system met again with the right-hand side that it was factorised for is
factorised again, so that repeated solves take the time of the first. SuperLU, symmetric ordering, threshold pivoting,
one step of iterative refinement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .direct import callback_float64
from .implicit import LinearSolves
from .superlu import symmetric_lu

KEPT = 2  # factorisations: a fine and a coarse state, or one state before and after a small change
PIVOT_THRESHOLD = 0.1  # a diagonal pivot is taken unless ten times smaller than the largest of its column


class SparseLU:
    """Solves with any matrix of the given pattern, named by its entries in the pattern's (row by row) order."""

    def __init__(self, pattern: sp.csr_matrix) -> None:
        pattern = sp.csr_matrix(pattern)
        pattern.sort_indices()
        self.size = pattern.shape[0]
        self.rows = np.repeat(np.arange(self.size), np.diff(pattern.indptr))
        self.columns = pattern.indices.copy()
        self._indptr = pattern.indptr.copy()
        numbered = sp.csr_matrix((np.arange(pattern.nnz), self.columns, self._indptr), shape=pattern.shape).tocsc()
        self._by_columns, self._csc = numbered.data, (numbered.indices, numbered.indptr)
        self._recent: tuple[tuple[np.ndarray, np.ndarray, Any], ...] = ()  # entries, first right-hand side, factors

    def matrix(self, entries: Float[np.ndarray, " nnz"]) -> sp.csr_matrix:
        """The matrix with these entries."""
        return sp.csr_matrix((np.asarray(entries), self.columns, self._indptr), shape=(self.size, self.size))

    def apply(self, entries: Float[Array, " nnz"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        """The matrix times ``v``, in JAX."""
        return jnp.zeros_like(v).at[self.rows].add(entries * v[self.columns], indices_are_sorted=True)

    def solve(
        self, entries: Float[Array, " nnz"], b: Float[Array, " n"], transposed: bool = False
    ) -> Float[Array, " n"]:
        """x with A x = b, or A' x = b, on the host; NaN where A is singular or not finite. Has no derivatives."""
        return callback_float64(
            lambda entries, b: self.solve_on_host(entries, b, transposed), b, lax.stop_gradient(entries), b
        )

    def is_definite(self, entries: Float[Array, " nnz"]) -> Bool[Array, ""]:
        """Whether a symmetric matrix is positive definite, as far as float64 shows: all pivots of LDL' are positive."""
        return callback_float64(self._definite, jnp.zeros(1), lax.stop_gradient(entries))[0] > 0

    def _definite(self, entries: np.ndarray) -> np.ndarray:
        if not np.isfinite(entries).all():
            return np.zeros(1)
        try:
            factor = symmetric_lu(self.matrix(entries))
        except RuntimeError:  # exactly singular
            return np.zeros(1)
        on_diagonal = np.array_equal(factor.perm_r, factor.perm_c)
        return np.full(1, float(on_diagonal and (factor.U.diagonal() > 0).all()))

    def solves(self, entries: Float[Array, " nnz"]) -> LinearSolves:
        """``solve`` and its transpose for one matrix."""
        return LinearSolves(lambda b: self.solve(entries, b), lambda b: self.solve(entries, b, transposed=True))

    def solve_on_host(self, entries: np.ndarray, b: np.ndarray, transposed: bool = False) -> np.ndarray:
        """``solve`` for numpy arrays."""
        factor = self._factor(entries, b) if np.isfinite(b).all() and np.isfinite(entries).all() else None
        if factor is None:
            return np.full_like(b, np.nan)
        matrix = self.matrix(entries)
        matrix, trans = (matrix.T, "T") if transposed else (matrix, "N")
        x = factor.solve(b, trans)
        return x + factor.solve(b - matrix @ x, trans)

    def _factor(self, entries: np.ndarray, b: np.ndarray) -> Any:
        for known, first, factor in self._recent:
            if np.array_equal(known, entries) and not np.array_equal(first, b):
                return factor
        entries, b = np.array(entries), np.array(b)  # copies: the caller's memory may be reused
        matrix = sp.csc_matrix((entries[self._by_columns], *self._csc), shape=(self.size, self.size))
        try:
            factor = symmetric_lu(matrix, PIVOT_THRESHOLD)
        except RuntimeError:  # exactly singular
            factor = None
        self._recent = ((entries, b, factor), *self._recent[: KEPT - 1])
        return factor


class ProbedJacobian:
    """Entries of a linear map with a known pattern, from one product per colour.

    Raises:
        ValueError: two columns of one colour share a row.
    """

    def __init__(self, pattern: sp.csr_matrix, colours: Int[np.ndarray, " n"]) -> None:
        self.lu = SparseLU(pattern)
        self.colours = np.asarray(colours)
        count = int(self.colours.max()) + 1
        self._seeds = (self.colours == np.arange(count)[:, None]).astype(np.float64)
        boolean = self.lu.matrix(np.ones(len(self.lu.rows)))
        if (boolean @ self._seeds.T).max() > 1:
            raise ValueError("columns of one colour must not share a row: their entries could not be told apart")

    def entries(self, linear: Callable[[Array], Array]) -> Float[Array, " nnz"]:
        """The entries of the matrix of ``linear``, in the pattern's order."""
        products = lax.map(linear, jnp.asarray(self._seeds))
        return products[self.colours[self.lu.columns], self.lu.rows]


def stencil(
    sides: Sequence[int], offsets: Sequence[Sequence[int]], lattice: Sequence[int], colours: int
) -> ProbedJacobian:
    """The probing of a stencil on a grid of unknowns: node x reads x + offset.

    Node x has the colour lattice . x modulo ``colours``: good lattices are (1, 2) mod 5 for the five-point star, (1, 8)
    mod 13 for the thirteen-point diamond and (1,) mod 3 in one dimension.
    """
    where = np.indices(sides).reshape(len(sides), -1)
    rows, columns = [], []
    for offset in offsets:
        target = where + np.array(offset)[:, None]
        inside = ((target >= 0) & (target < np.array(sides)[:, None])).all(axis=0)
        rows.append(np.flatnonzero(inside))
        columns.append(np.ravel_multi_index(tuple(target[:, inside]), tuple(sides)))
    n = where.shape[1]
    i, j = np.concatenate(rows), np.concatenate(columns)
    pattern = sp.csr_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    return ProbedJacobian(pattern, (np.array(lattice) @ where) % colours)
