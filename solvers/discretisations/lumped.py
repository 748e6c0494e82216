"""Mass and stiffness of linear (in 2D: five-point) differences on equal cells, no-flux or periodic; their solves.

One axis has nodes x_i = i h; a lumped mass h (h/2 at a no-flux end) and the stiffness K u = flux differences, natural
at a no-flux end. In two dimensions M = m x m and K = K_1 x m + m x K_1: the integral of |grad u|^2 is u' K u by the
trapezoidal rule. States are flat, the first axis outermost; a periodic axis leaves out its last node, which is the
first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..linear_algebra import tridiagonal
from ..linear_algebra.krylov import conjugate_gradients
from ..linear_algebra.tridiagonal import Bands
from ..size import length, powers

CG_ITERATIONS = 100  # 10 are usual, see ``solver``


@dataclass(frozen=True, eq=False)
class LumpedGrid:
    """The interval or square of a given side length; see the module's docstring."""

    dimension: int
    periodic: bool
    cells: int
    length: float

    @property
    def sides(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        return (self.cells + (not self.periodic),) * self.dimension

    @cached_property
    def axis(self) -> Float[np.ndarray, " n"]:
        """The places of the nodes along one axis."""
        return np.linspace(0, self.length, self.cells + 1)[: self.sides[0]]

    @cached_property
    def points(self) -> Float[np.ndarray, "nodes dim"]:
        """Where each node lies."""
        grid = np.meshgrid(*[self.axis] * self.dimension, indexing="ij")
        return np.stack([g.ravel() for g in grid], axis=1)

    @cached_property
    def axis_mass(self) -> Float[np.ndarray, " n"]:
        """m, the lumped mass of the nodes of one axis."""
        mass = np.full(self.sides[0], self.length / self.cells)
        if not self.periodic:
            mass[[0, -1]] /= 2
        return mass

    @cached_property
    def mass(self) -> Float[np.ndarray, " nodes"]:
        """The diagonal of M, the lumped mass of each node."""
        one = self.axis_mass
        return one if self.dimension == 1 else np.outer(one, one).ravel()

    @property
    def stiffest(self) -> float:
        """A bound of the eigenvalues of M^-1 K."""
        return 4 * self.dimension * (self.cells / self.length) ** 2

    def _along_first(self, v: Array) -> Array:
        """K_1 along the first axis."""
        if self.periodic:
            flux = jnp.roll(v, -1, axis=0) - v
            return (jnp.roll(flux, 1, axis=0) - flux) * (self.cells / self.length)
        flux = jnp.pad(jnp.diff(v, axis=0), ((1, 1),) + ((0, 0),) * (v.ndim - 1))
        return (flux[:-1] - flux[1:]) * (self.cells / self.length)

    def stiffness(self, v: Float[Array, " nodes"]) -> Float[Array, " nodes"]:
        """K v, in one or two dimensions."""
        if self.dimension == 1:
            return self._along_first(v)
        grid = v.reshape(self.sides)
        m = self.axis_mass
        return (self._along_first(grid) * m + m[:, None] * self._along_first(grid.T).T).reshape(-1)

    @cached_property
    def _bands(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """K_1: lower, diagonal, upper."""
        n, scale = self.sides[0], self.cells / self.length
        lower, diagonal, upper = np.full(n, -scale), np.full(n, 2 * scale), np.full(n, -scale)
        if not self.periodic:
            diagonal[[0, -1]] = scale
            lower[0] = upper[-1] = 0.0
        return lower, diagonal, upper

    @cached_property
    def _eigenbasis(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues and orthonormal eigenvectors of m^(-1/2) K_1 m^(-1/2)."""
        lower, diagonal, upper = self._bands
        rows = np.arange(len(diagonal))
        dense = np.diag(diagonal)
        np.add.at(dense, (rows, rows - 1), lower)
        np.add.at(dense, (rows, (rows + 1) % len(rows)), upper)
        root = np.sqrt(self.axis_mass)
        values, vectors = np.linalg.eigh(dense / root[:, None] / root[None, :])
        return values, vectors

    def approximate_solve(
        self, d: Float[Array, " nodes"], s: Float[Array, ""], r: Float[Array, " nodes"]
    ) -> Float[Array, " nodes"]:
        """(M diag(d) + s K)^-1 r: in one dimension by elimination; in two with the middle of d's range in its place, in
        the eigenbasis that the operator then has.
        """
        if self.dimension == 1:
            lower, diagonal, upper = self._bands
            bands = Bands(s * jnp.asarray(lower), jnp.asarray(self.mass) * d + s * diagonal, s * jnp.asarray(upper))
            return tridiagonal.solve(bands, r, self.periodic)
        values, vectors = self._eigenbasis
        root = jnp.asarray(np.sqrt(self.mass))
        inverse = 1 / ((jnp.max(d) + jnp.min(d)) / 2 + s * (values[:, None] + values[None, :]))
        grid = (r / root).reshape(self.sides)
        solved = vectors @ (inverse * (vectors.T @ grid @ vectors)) @ vectors.T
        return solved.reshape(-1) / root

    def solver(self, d: Float[Array, " nodes"], s: Float[Array, ""]) -> Callable[[Array, float], Array]:
        """(r, accuracy) -> (M diag(d) + s K)^-1 r, for d > 0 and s > 0; the accuracy is that of the relative residual.

        In one dimension by elimination. In two by conjugate gradients, preconditioned with the operator whose d is
        constant, the middle of its range, in its eigenbasis: the condition number is max d/min d at most.
        """
        if self.dimension == 1:
            return lambda r, _: self.approximate_solve(d, s, r)

        def operator(v: Array) -> Array:
            return jnp.asarray(self.mass) * d * v + s * self.stiffness(v)

        def precondition(r: Array) -> Array:
            return self.approximate_solve(d, s, r)

        def solve(r: Array, accuracy: float) -> Array:
            down, up = powers(r)
            r = r * down
            return conjugate_gradients(operator, precondition, r, accuracy * length(r), CG_ITERATIONS)[0] * up

        return solve
