"""Weighted sums of sparse matrices, sum_q weight_q A_q, kept as entries on the union of the patterns.

The weights are unknown when JAX compiles: the sum is formed entry by entry on the one pattern, and multiplied row by
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int


class MatrixSum:
    """Q square matrices of one size, each entry stored once."""

    def __init__(self, matrices: Sequence[sp.csr_matrix]) -> None:
        union = sum((abs(m) for m in matrices[1:]), abs(matrices[0])).tocsr()
        union.sort_indices()
        self.size = union.shape[0]
        self.rows = np.repeat(np.arange(self.size), np.diff(union.indptr))
        self.columns, self._indptr = union.indices, union.indptr
        position = sp.csr_matrix((np.arange(1, union.nnz + 1), union.indices, union.indptr), shape=union.shape)
        self.entries: Float[np.ndarray, "Q nnz"] = np.zeros((len(matrices), union.nnz))
        for q, m in enumerate(matrices):
            own = m.tocoo()
            slots = np.asarray(position[own.row, own.col]).ravel() - 1
            self.entries[q, slots] = own.data
        self.absolute = np.abs(self.entries)  # made once, so that what is compiled holds it once
        self._terms = tuple(_Term.of(m) for m in matrices)

    @property
    def widest(self) -> int:
        """The largest number of entries in a row."""
        return int(np.diff(self._indptr).max())

    def with_entries(self, entries: Float[np.ndarray, " nnz"]) -> sp.csr_matrix:
        """The matrix with these entries on the pattern, for scipy."""
        return sp.csr_matrix((entries, self.columns, self._indptr), shape=(self.size, self.size))

    def matrix(self, weights: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        """The weighted sum, for scipy."""
        return self.with_entries(np.asarray(weights) @ self.entries)

    def times(self, entries: Float[Array, " nnz"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The matrix with these entries times ``u``, in JAX."""
        products = entries * u[self.columns]
        return jax.ops.segment_sum(products, self.rows, num_segments=self.size, indices_are_sorted=True)

    def apply(self, weights: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The weighted sum times ``u``."""
        return self.times(weights @ self.entries, u)

    def apply_absolute(self, weights: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """sum_q |weight_q| |A_q| |u|."""
        return self.times(jnp.abs(weights) @ self.absolute, jnp.abs(u))

    def energies(
        self, fields: Float[Array, "Q N"], sizes: Float[Array, "Q N"]
    ) -> tuple[Float[Array, " Q"], Float[Array, " Q"]]:
        """x_q . A_q x_q and y_q . |A_q| y_q for x_q in ``fields``, y_q in ``sizes``, by the rows of each A_q alone."""
        pairs = zip(self._terms, fields, sizes, strict=True)
        found = [(term.energy(term.entries, x), term.energy(term.absolute, y)) for term, x, y in pairs]
        return jnp.stack([x for x, _ in found]), jnp.stack([y for _, y in found])

    def apply_each(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        """Every A_q u by itself."""
        return jnp.stack([self.times(entries, u) for entries in self.entries])


class _Term(NamedTuple):
    """One matrix by the rows that are not zero."""

    entries: Float[np.ndarray, " nnz"]
    absolute: Float[np.ndarray, " nnz"]
    columns: Int[np.ndarray, " nnz"]
    slots: Int[np.ndarray, " nnz"]  # of each entry's row in ``rows``
    rows: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> _Term:
        lengths = np.diff(matrix.indptr)
        rows = np.flatnonzero(lengths)
        slots = np.repeat(np.arange(len(rows)), lengths[rows])
        return cls(matrix.data.copy(), np.abs(matrix.data), matrix.indices.copy(), slots, rows)

    def energy(self, entries: Float[np.ndarray, " nnz"], x: Float[Array, " N"]) -> Float[Array, ""]:
        products = entries * x[self.columns]
        image = jax.ops.segment_sum(products, self.slots, num_segments=len(self.rows), indices_are_sorted=True)
        return jnp.vdot(x if len(self.rows) == len(x) else x[self.rows], image)
