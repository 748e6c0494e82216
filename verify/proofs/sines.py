"""Fields on a uniform grid in discrete sines (``linear_algebra/sines.py``), with what floating point makes of it.

Rounding: |C - S X| <=
gamma_n |S| |X| for any order of summation (Higham 2002, section 3.5); the products i j are reduced modulo 2 n as whole
numbers, so that an entry of S is off by at most 16 roundings of (2/n)^(1/2), and S by 16 u (2 n)^(1/2) in the Frobenius
norm.
"""

from __future__ import annotations

from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.linear_algebra.sines import SineTransform
from ...solvers.precision import UNIT_ROUNDOFF, gamma
from .bounds import SLACK

EIGENVALUE = 40 * UNIT_ROUNDOFF  # relative, of a computed eigenvalue: sin of a rounded argument, squared


class Sines(SineTransform):
    """Eigenvalues are right to ``EIGENVALUE``; computed coefficients are off by ``eps`` times the 2-norm of what
    is transformed at most.
    """

    @cached_property
    def eps(self) -> float:
        rows = float(np.abs(self.matrix).sum(axis=1).max()) * 1.01  # at least || |S| ||_2
        n = self.n
        return 1.05 * self.dimension * (gamma(n + 2) * rows + 16 * UNIT_ROUNDOFF * float(np.sqrt(2 * n)))

    def dual_norm(self, grid: Float[Array, "*m"], eigenvalues: Float[Array, "*m"], off: Array) -> Float[Array, ""]:
        """At least (g' K^-1 g)^(1/2) for every g within ``off`` of ``grid`` in the 2-norm."""
        hat = self(grid)
        value = jnp.sqrt(jnp.sum(hat**2 / eigenvalues)) * (1 + gamma(2 * grid.size + 64))
        size = jnp.sqrt(jnp.vdot(grid, grid)) * SLACK * (1 + gamma(grid.size))
        return value + 1.01 * (off + self.eps * size) / jnp.sqrt(jnp.min(eigenvalues))
