"""Symmetric positive definite band matrices with few occupied diagonals: Cholesky factors (LAPACK's pbtrf) on the host.

On a grid of m unknowns a line and N in all a factor takes N m^2 operations, all of them on dense blocks: at 2178
unknowns and bandwidth 69 1.3 ms, where sparse LU takes 9. The last factor is kept: a matrix met again costs triangular
solves only.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.linalg import lapack

from .direct import callback_float64


class BandedCholesky:
    """Solves with matrices that are zero but on some diagonals: entry [k, j] of one is A[j + distances[k], j].

    Entries beyond the last row must be zero. ``distances`` begin with 0 and increase.
    """

    def __init__(self, distances: Sequence[int]) -> None:
        self.distances = np.asarray(distances)
        self._last: tuple[np.ndarray, np.ndarray | None] | None = None  # diagonals and their factor

    @property
    def width(self) -> int:
        """The number of diagonals below the main one, empty ones included."""
        return int(self.distances[-1])

    def factor(self, diagonals: Float[np.ndarray, "k N"]) -> np.ndarray | None:
        """The Cholesky factor, or None where the matrix has none: not finite, or not positive definite."""
        if not np.isfinite(diagonals).all():
            return None
        band = np.zeros((diagonals.shape[1], self.width + 1)).T  # in LAPACK's order
        band[self.distances] = diagonals
        factor, stopped = lapack.dpbtrf(band, lower=1, overwrite_ab=1)
        return factor if stopped == 0 and np.isfinite(factor[0]).all() and (factor[0] > 0).all() else None

    def solve_on_host(self, diagonals: np.ndarray, b: np.ndarray) -> np.ndarray:
        """``solve`` for numpy arrays."""
        last = self._last  # read once: another thread may put its own there at any time
        if last is None or not np.array_equal(last[0], diagonals):
            last = np.array(diagonals), self.factor(diagonals)  # a copy: the caller's memory may be reused
            self._last = last
        factor = last[1]
        return np.full_like(b, np.nan) if factor is None else lapack.dpbtrs(factor, b, lower=1)[0]

    def solve(self, diagonals: Float[Array, "k N"], b: Float[Array, " N"]) -> Float[Array, " N"]:
        """x with A x = b, called from compiled code; NaN where A is not positive definite. Has no derivatives."""
        return callback_float64(self.solve_on_host, b, lax.stop_gradient(diagonals), b)

    def is_definite(self, diagonals: Float[Array, "k N"]) -> Array:
        """Whether A has a Cholesky factor, as far as float64 shows."""
        return jnp.isfinite(self.solve(diagonals, jnp.zeros(diagonals.shape[1]))[0])

    def matrix(self, diagonals: Float[np.ndarray, "k N"]) -> Float[np.ndarray, "N N"]:
        """The matrix itself, dense."""
        n = diagonals.shape[1]
        lower = np.zeros((n, n))
        for distance, entries in zip(self.distances, np.asarray(diagonals), strict=True):
            lower[np.arange(distance, n), np.arange(n - distance)] = entries[: n - distance]
        return lower + np.tril(lower, -1).T
