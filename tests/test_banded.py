"""Band matrices with few diagonals against dense ones, and matrices that have no factor."""

import jax
import jax.numpy as jnp
import numpy as np

from assay.solvers.linear_algebra.banded import BandedCholesky

BANDED = BandedCholesky([0, 1, 4])


def diagonals(shift):
    entries = np.random.default_rng(0).standard_normal((3, 9))
    for row, distance in enumerate(BANDED.distances):
        entries[row, 9 - distance :] = 0
    entries[0] += shift
    return entries


def test_solves_are_those_of_the_dense_matrix():
    a, b = diagonals(8.0), np.arange(9.0)
    dense = BANDED.matrix(a)
    assert np.linalg.eigvalsh(dense)[0] > 0 and dense[5, 1] == dense[1, 5] == a[2, 1] and dense[3, 1] == 0
    solve = jax.jit(BANDED.solve)
    for scale in (1.0, 2.0, 1.0):  # the factor that is kept is not taken for another matrix
        np.testing.assert_allclose(solve(scale * a, b), np.linalg.solve(scale * dense, b), rtol=1e-12)
    lower = np.tril(np.linalg.cholesky(dense))
    factor = BANDED.factor(a)
    for distance in range(5):
        np.testing.assert_allclose(factor[distance, : 9 - distance], np.diagonal(lower, -distance), atol=1e-14)


def test_what_is_not_positive_definite_has_no_factor():
    a = diagonals(8.0)
    least = np.linalg.eigvalsh(BANDED.matrix(a))[0]
    bad = a.copy()
    bad[1, 3] = np.nan
    unit = np.array([[1.0], [0.0], [0.0]])
    for matrix, definite in ((a - 0.999 * least * unit, True), (a - 1.001 * least * unit, False), (bad, False)):
        assert bool(BANDED.is_definite(jnp.asarray(matrix))) == definite
        assert np.isfinite(np.asarray(BANDED.solve(jnp.asarray(matrix), jnp.ones(9)))).all() == definite
