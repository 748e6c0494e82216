"""Discrete sine transforms on a uniform grid, in which second differences with zero ends are diagonal.

On the n - 1 interior nodes of n cells the matrix S_ij = (2/n)^(1/2) sin(pi i j/n) is symmetric and orthogonal, and 2
v_i - v_(i-1) - v_(i+1) has the eigenvalues 4 sin^2(pi i/(2 n)). The products i j are reduced modulo 2 n as whole
numbers, so that every entry of S is right to a few roundings.
Reference: Buzbee, Golub, Nielson, SIAM J. Numer. Anal. 7 (1970).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class SineTransform:
    """Sines on grids of n cells along each axis; ``dimension`` 1 or 2."""

    def __init__(self, n: int, dimension: int = 2) -> None:
        wave = np.arange(1, n)
        self.n, self.dimension = n, dimension
        self.matrix = np.sqrt(2 / n) * np.sin(np.pi * (np.outer(wave, wave) % (2 * n)) / n)
        self.along = 4 * np.sin(np.pi * wave / (2 * n)) ** 2

    def __call__(self, grid: Float[Array, "*m"]) -> Float[Array, "*m"]:
        """The coefficients of interior values, and the values of coefficients."""
        matrix = jnp.asarray(self.matrix)
        return matrix @ grid if self.dimension == 1 else matrix @ grid @ matrix

    def eigenvalues(self, weights: list[Array]) -> Float[Array, "*m"]:
        """Of sum_axis weight_axis (second difference along it)."""
        if self.dimension == 1:
            return weights[0] * jnp.asarray(self.along)
        return weights[0] * jnp.asarray(self.along)[:, None] + weights[1] * jnp.asarray(self.along)[None, :]

    @property
    def lowest(self) -> Float[np.ndarray, "*m"]:
        """The eigenvector of the smallest eigenvalue, of length one: positive."""
        first = self.matrix[0]
        return first if self.dimension == 1 else np.outer(first, first)
