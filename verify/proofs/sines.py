"""Fields on a uniform grid in discrete sines, with what floating point makes of it: for operators diagonal there.

On m = n - 1 interior nodes the matrix S_ij = (2/n)^(1/2) sin(pi i j/n) is symmetric and orthogonal, and second
differences 2 v_i - v_(i-1) - v_(i+1) with zero ends have the eigenvalues 4 sin^2(pi i/(2 n)). Rounding: |C - S X| <=
gamma_n |S| |X| for any order of summation (Higham 2002, section 3.5); the products i j are reduced modulo 2 n as whole
numbers, so that an entry of S is off by at most 16 roundings of (2/n)^(1/2), and S by 16 u (2 n)^(1/2) in the Frobenius
norm.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.precision import UNIT_ROUNDOFF, gamma
from .bounds import SLACK

EIGENVALUE = 40 * UNIT_ROUNDOFF  # relative, of a computed eigenvalue: sin of a rounded argument, squared
LITTLE = 2.0**-490  # what underflows on the way to a norm


class Sines:
    """Sines on grids of n cells along each axis; ``dimension`` 1 or 2.

    ``eps``: what computed coefficients are off by is at most eps times the 2-norm of what is transformed.
    """

    def __init__(self, n: int, dimension: int = 2) -> None:
        wave = np.arange(1, n)
        self.n, self.dimension = n, dimension
        self.matrix = np.sqrt(2 / n) * np.sin(np.pi * (np.outer(wave, wave) % (2 * n)) / n)
        self.along = 4 * np.sin(np.pi * wave / (2 * n)) ** 2
        rows = float(np.abs(self.matrix).sum(axis=1).max()) * 1.01  # at least || |S| ||_2
        self.eps = 1.05 * dimension * (gamma(n + 2) * rows + 16 * UNIT_ROUNDOFF * float(np.sqrt(2 * n)))

    def __call__(self, grid: Float[Array, "*m"]) -> Float[Array, "*m"]:
        """The coefficients of interior values, and the values of coefficients."""
        matrix = jnp.asarray(self.matrix)
        return matrix @ grid if self.dimension == 1 else matrix @ grid @ matrix

    def eigenvalues(self, weights: list[Array]) -> Float[Array, "*m"]:
        """Of sum_axis weight_axis (second difference along it), to ``EIGENVALUE``."""
        if self.dimension == 1:
            return weights[0] * jnp.asarray(self.along)
        return weights[0] * jnp.asarray(self.along)[:, None] + weights[1] * jnp.asarray(self.along)[None, :]

    def dual_norm(self, grid: Float[Array, "*m"], eigenvalues: Float[Array, "*m"], off: Array) -> Float[Array, ""]:
        """At least (g' K^-1 g)^(1/2) for every g within ``off`` of ``grid`` in the 2-norm."""
        hat = self(grid)
        value = jnp.sqrt(jnp.sum(hat**2 / eigenvalues)) * (1 + gamma(2 * grid.size + 64))
        size = jnp.sqrt(jnp.vdot(grid, grid)) * SLACK * (1 + gamma(grid.size))
        return value + 1.01 * (off + self.eps * size) / jnp.sqrt(jnp.min(eigenvalues))
