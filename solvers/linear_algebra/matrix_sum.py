"""Weighted sums of sparse matrices, sum_q weight_q A_q, kept as entries on the union of the patterns.

The weights are unknown when JAX compiles: the sum is formed entry by entry on the one pattern, and multiplied row by
row.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float


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
        return self.times(jnp.abs(weights) @ np.abs(self.entries), jnp.abs(u))

    def apply_each(self, u: Float[Array, " N"]) -> Float[Array, "Q N"]:
        """Every A_q u by itself."""
        return jnp.stack([self.times(entries, u) for entries in self.entries])
