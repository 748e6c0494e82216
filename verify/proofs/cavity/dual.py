"""Dual norms of the cavity's equations: ||f||_V' = (f' V^-1 f)^(1/2) from above, in matrix products of one axis' size.

    ||f||_V' <= ||W z||_M + ||y||_M,    any z (near V^-1 f), any y with K y >= |f - V z| entry by entry

since V >= W_I' M_I W_I = K M_I^-1 K (wall vorticity left out), so that V^-1 <= K^-1 M_I K^-1, and K^-1 >= 0 entry by
entry. y = y0 + t phi: y0 near K^-1 |f - V z|, and t phi what it lacks, phi the mean of x (1 - x)/2 and y (1 - y)/2, for
which K phi >= M_I: second differences of parabolas are exact, and phi >= 0 on the boundary.

V is diagonal but for the walls: with E'sE = diag(l), E'mE = 1 along each axis, K M_I^-1 K is diag((l_i + l_j)^2), and
each wall's vorticity adds a term of rank one along one axis, for which a dense capacitance matrix makes up (Woodbury).
No bound depends on how well that is solved.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from ....solvers.precision import gamma
from ....solvers.problems.cavity import Cavity
from .forms import Forms

ENTRY = gamma(30)  # of an entry of F, V z or K y, relative to its terms' sizes: at most 26 roundings, see the problem


class DualNorm:
    """JAX code for one f, on grids of interior nodes [m, m]."""

    def __init__(self, problem: Cavity, forms: Forms) -> None:
        self.problem = problem
        h, dual = problem.widths
        mass = dual[1:-1]
        stiff = np.diag(1 / h[:-1] + 1 / h[1:]) - np.diag(1 / h[1:-1], 1) - np.diag(1 / h[1:-1], -1)
        along, self._modes = scipy.linalg.eigh(stiff, np.diag(mass))
        self._sums = along[:, None] + along[None, :]
        self._ends = self._modes[[0, -1]]
        self._inverse = self._capacitance(1 / (h[[0, -1]] ** 2 * dual[[0, -1]]))
        self.areas = np.outer(mass, mass)
        self._all_areas = np.outer(dual, dual)
        parabola = problem.ticks * (1 - problem.ticks) / 2
        self._barrier = (parabola[:, None] + parabola[None, :])[1:-1, 1:-1] / 2
        value, size = (K @ self._barrier.ravel() for K in forms.X)  # X is K over the interior
        self._least = float(((value - ENTRY * size) / self.areas.ravel()).min()) * (1 - 1e-14)  # K phi >= least M_I
        self._barrier_norm = float(np.sqrt(np.sum(self.areas * self._barrier**2))) * (1 + 1e-9)

    def _capacitance(self, weights: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "4m 4m"]:
        """(weights^-1 + U' D U)^-1; U: the modes' ends along x with each mode along y, then turned."""
        m, D, ends = len(self._sums), self._sums**-2, self._ends
        matrix = np.zeros((2, 2, m, 2, 2, m))
        for a in range(2):
            for b in range(2):
                same = np.diag((ends[a] * ends[b]) @ D) + (a == b) * np.eye(m) / weights[a]
                across = ends[b][:, None] * D * ends[a][None, :]
                matrix[0, a, :, 0, b] = matrix[1, a, :, 1, b] = same
                matrix[0, a, :, 1, b], matrix[1, b, :, 0, a] = across, across.T
        return np.linalg.inv(matrix.reshape(4 * m, 4 * m))

    def solve(self, f: Float[Array, "m m"]) -> Float[Array, "m m"]:
        """Near V^-1 f."""
        E, ends, m = jnp.asarray(self._modes), jnp.asarray(self._ends), len(self._sums)
        D = jnp.asarray(self._sums**-2)
        c = D * (E.T @ f @ E)
        walls = jnp.asarray(self._inverse) @ jnp.concatenate([(ends @ c).ravel(), (ends @ c.T).ravel()])
        along_x, along_y = walls.reshape(2, 2, m)
        return E @ (c - D * (ends.T @ along_x + along_y.T @ ends)) @ E.T

    def _stiffness(self, y: Float[Array, "m m"]) -> tuple[Array, Array]:
        """K y, and the sizes of its terms."""
        nothing, w = jnp.zeros((self.problem.cells + 1,) * 2), jnp.pad(y, 1)
        zero = jnp.zeros(())
        return self.problem.transport(zero, nothing, w), self.problem.transport(zero, nothing, jnp.abs(w), 1.0)

    def curl_norm(self, z: Float[Array, "m m"]) -> Float[Array, ""]:
        """At least ||z||_V = ||W z||_M, wall vorticity included."""
        psi, still = jnp.pad(z, 1), jnp.zeros(self.problem.cells + 1)
        return self._length(self.problem.curl(psi, still), self.problem.curl(jnp.abs(psi), still, 1.0))

    def _length(self, w: Array, size: Array) -> Float[Array, ""]:
        M = jnp.asarray(self._all_areas)
        return (jnp.sqrt(jnp.sum(M * w**2)) + ENTRY * jnp.sqrt(jnp.sum(M * size**2))) * (1 + gamma(w.size + 32))

    def __call__(self, f: Float[Array, "m m"], off: Float[Array, "m m"]) -> Float[Array, ""]:
        """At least ||f + g||_V' for every g with |g| <= off entry by entry; not finite where nothing is known."""
        z = self.solve(f)
        psi, still, zero = jnp.pad(z, 1), jnp.zeros(self.problem.cells + 1), jnp.zeros(())
        w, sizes = self.problem.curl(psi, still), self.problem.curl(jnp.abs(psi), still, 1.0)
        image = self.problem.transport(zero, psi, w)
        image_size = self.problem.transport(zero, jnp.abs(psi), sizes, 1.0)
        left = (jnp.abs(f - image) + off + ENTRY * image_size) * (1 + 1e-14)
        E = jnp.asarray(self._modes)
        y = E @ ((E.T @ left @ E) / jnp.asarray(self._sums)) @ E.T
        value, size = self._stiffness(y)
        lacking = jnp.max((left - value + ENTRY * size) / jnp.asarray(self.areas))
        t = jnp.maximum(lacking, 0.0) / self._least * (1 + 1e-14) if self._least > 0 else jnp.asarray(jnp.inf)
        rest = jnp.sqrt(jnp.sum(jnp.asarray(self.areas) * y**2)) * (1 + gamma(y.size + 32))
        return (self._length(w, sizes) + rest + t * self._barrier_norm) * (1 + 1e-14)
