"""Weighted sums of sparse matrices of different patterns, against the same sums in dense arithmetic."""

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from assay.solvers.linear_algebra.matrix_sum import MatrixSum

DENSE = np.array(
    [
        [[2.0, -1.0, 0.0], [-1.0, 2.0, 0.0], [0.0, 0.0, 0.0]],
        [[0.0, 0.0, 0.5], [0.0, 4.0, 0.0], [0.5, 0.0, 0.0]],
    ]
)
SUM = MatrixSum([sp.csr_matrix(m) for m in DENSE])
WEIGHTS, U = np.array([3.0, -0.25]), np.array([1.0, -2.0, 4.0])


def test_sums_and_products_are_those_of_dense_matrices():
    total = 3.0 * DENSE[0] - 0.25 * DENSE[1]
    np.testing.assert_array_equal(SUM.matrix(WEIGHTS).toarray(), total)
    np.testing.assert_array_equal(SUM.apply(jnp.asarray(WEIGHTS), jnp.asarray(U)), total @ U)
    np.testing.assert_array_equal(SUM.apply_each(jnp.asarray(U)), DENSE @ U)
    absolute = 3.0 * abs(DENSE[0]) + 0.25 * abs(DENSE[1])
    np.testing.assert_array_equal(SUM.apply_absolute(jnp.asarray(WEIGHTS), jnp.asarray(U)), absolute @ abs(U))


def test_every_entry_of_the_union_stands_once():
    assert SUM.entries.shape == (2, 6) and SUM.widest == 3
    np.testing.assert_array_equal(SUM.with_entries(np.ones(6)).toarray(), DENSE.any(axis=0))
