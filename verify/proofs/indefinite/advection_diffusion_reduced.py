"""Advection-diffusion from coefficients alone: the radius of ``flow_bounds.py`` with factors of the residual.

The residual of V c is affine in few numbers, also where the scheme's diffusions are no polynomials of the inputs:

    r = f - A(theta) V c = G s,    G = [f, A_1 V, .., A_4 V],    s = [1, -theta_q c_i]

so that |r|_2 and |r|_(L^-1), L the second differences of both axes, are those of two triangular factors of 4 k + 1
columns (``column_factor.py``); K_theta >= min(theta_1, theta_2) L. ``improve`` minimises the latter over c: normal
equations, summed from parts that were formed once. They only choose; with c* from them, or from anywhere,

    | ||u - V c|| - ||V (c* - c)|| |  <=  ||u - V c*||  <=  radius(c*)

The field returned is the float64 product V c: its rounding, gamma_k |V_i| |c_i| summed, is charged in the same norm.
Nothing here but the factors depends on the grid.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ....solvers.discretisations import five_point
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.advection_diffusion import AdvectionDiffusion
from ..bounds import SLACK, UNDERFLOW, ErrorBounds, assembled, intersected
from ..coefficients.column_factor import ColumnFactor, column_factor
from ..proof import ReducedProof
from ..sines import EIGENVALUE, Sines
from .flow_bounds import THETA, FlowBounds

ENTRY = gamma(12)  # of an entry of A_q V: three products and their sum, 1/(2 n) among them
PAIRS = tuple((a, b) for a in range(4) for b in range(a, 4))


class AdvectionDiffusionReduced(ReducedProof):
    """``basis`` [N, k] vanishes where values are prescribed; these are zero."""

    def __init__(self, problem: AdvectionDiffusion, basis: Float[np.ndarray, "N k"]) -> None:
        self.problem, self.basis, self._flow = problem, basis, FlowBounds(problem.cells)
        n, V = problem.cells, basis[problem.free]
        # the matrices' entries are whole numbers, and 1/(2 n)
        parts = [five_point.second_matrix(n, axis) for axis in (0, 1)]
        parts += [five_point.central_matrix(n, axis) / (2 * n) for axis in (0, 1)]
        f = np.asarray(problem.load(jnp.asarray(problem.inputs.centre)))[problem.free]
        G = np.column_stack([f, *(part @ V for part in parts)])
        off = (
            ENTRY * np.linalg.norm(np.column_stack([0 * f, *(abs(part) @ np.abs(V) for part in parts)]), axis=0) * 1.01
        )
        sines = Sines(n)
        eigenvalues = sines.along[:, None] + sines.along[None, :]
        hat = sines.matrix @ G.T.reshape(-1, n - 1, n - 1) @ sines.matrix / np.sqrt(eigenvalues)
        hat = hat.reshape(len(hat), -1).T
        sizes = np.linalg.norm(G, axis=0) * 1.01
        blur = 1.01 * (off + sines.eps * sizes) / np.sqrt(eigenvalues.min()) + EIGENVALUE * np.linalg.norm(hat, axis=0)
        self.plain: ColumnFactor = column_factor(G, off)
        self.dual: ColumnFactor = column_factor(hat, blur)
        self.modes: ColumnFactor = column_factor(V, np.zeros(V.shape[1]))
        split = np.split(self.dual.factor[:, 1:], 4, axis=1)
        self._squares = np.stack([split[a].T @ split[b] + (a != b) * split[b].T @ split[a] for a, b in PAIRS])
        self._rights = np.stack([part.T @ self.dual.factor[:, 0] for part in split])

    @property
    def stages(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        return (self.bound, self.sharp_bound)

    @property
    def accepting(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        """Sharpening costs what improving does, and improved coefficients need no more than their radius."""
        return (self.bound,)

    def improve(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """The coefficients of the smallest residual in the norm of L^-1; NaN where elimination breaks down."""
        theta = self.problem.theta(p)
        products = jnp.stack([theta[a] * theta[b] for a, b in PAIRS])
        matrix, right = jnp.tensordot(products, jnp.asarray(self._squares), 1), theta @ jnp.asarray(self._rights)
        scale = 1 / jnp.sqrt(jnp.abs(jnp.diagonal(matrix)))
        scale = jnp.where(jnp.isfinite(scale), scale, 1.0)  # a mode of zeros
        ridge = jnp.diag(jnp.full(len(scale), 1e-15))
        root = lax.linalg.cholesky(matrix * scale[:, None] * scale[None, :] + ridge)
        x = lax.linalg.triangular_solve(root, (right * scale)[:, None], left_side=True, lower=True)
        return lax.linalg.triangular_solve(root, x, left_side=True, lower=True, transpose_a=True)[:, 0] * scale

    def bound(self, p: Float[Array, " d"], c: Float[Array, " k"]) -> ErrorBounds:
        """The radius alone."""
        r, small, large = self._at(p, c)
        return assembled(jnp.zeros(()), r, jnp.minimum(self._product(c), r), small, large)

    def sharp_bound(self, p: Float[Array, " d"], c: Float[Array, " k"]) -> ErrorBounds:
        """By the distance to improved coefficients, and their radius."""
        r, small, large = self._at(p, c)
        better = self.improve(p)
        rest, smaller, larger = self._at(p, better)
        n = self.problem.cells
        # each entry of the difference carries one rounding, the product V c its own
        near, far = (x / n for x in self.modes.interval(better - c, 2 * UNIT_ROUNDOFF))
        product = self._product(c) + self._product(better)
        lower, upper = (near - rest - product) / SLACK, (far + rest + product) * SLACK
        return intersected((r, small, large), lower, upper, jnp.minimum(rest + product, r), (smaller, larger))

    def _product(self, c: Array) -> Array:
        """The rounding of the float64 product V c, in the problem's norm."""
        lengths = jnp.asarray(self.modes.lengths)
        return gamma(len(lengths) + 8) * 1.01 * (jnp.abs(c) @ lengths) / self.problem.cells + UNDERFLOW

    def _at(self, p: Array, c: Array) -> tuple[Array, Array, Array]:
        """The radius at V c, and ||u|| from both sides."""
        flow, n, theta = self._flow, self.problem.cells, self.problem.theta(p)
        trusted = flow.in_range(theta) & jnp.all(jnp.abs(c) <= RANGE)
        theta, c = jnp.where(trusted, theta, 1.0), jnp.where(trusted, c, 0.0)
        s = jnp.concatenate([jnp.ones(1), -(theta[:, None] * c).reshape(-1)])
        loose = THETA + 2 * UNIT_ROUNDOFF
        least = jnp.min(flow.least_diffusions(theta))
        by_energy, by_barrier = flow.inverse_bounds(theta)
        dual = self.dual.interval(s, loose)[1] / jnp.sqrt(least)
        product = self._product(c)
        r = jnp.minimum(by_energy * (dual + UNDERFLOW), by_barrier * (self.plain.interval(s, loose)[1] + UNDERFLOW))
        r = jnp.where(trusted, (r + product) * SLACK + UNDERFLOW, jnp.inf)
        r = jnp.where(r >= 0, r, jnp.inf)  # NaN too
        low, high = self.modes.interval(c)
        small = jnp.where(jnp.isfinite(r), jnp.maximum(low / n - product - r, 0.0) / SLACK, 0.0)
        return r, small, jnp.where(jnp.isfinite(r), (high / n + product + r) * SLACK, jnp.inf)
