"""Bratu's problem over one box of inputs, and a polynomial v(p) in p near its solutions there.

    F(v; p) = K(p) v - lambda m e^v,    J(v; p) = K(p) - lambda m diag(e^v)

The values z of v = Z z at Chebyshev nodes are from a Galerkin iteration in a space Z of solutions: Newton's method to
the box's centre, a chord from there. Any v is valid; how far the solution is from it, ``bratu_comparison.py`` says.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ....solvers.precision import RANGE, UNIT_ROUNDOFF
from ....solvers.problems.bratu import Bratu
from ...enclose import ball as balls
from ...enclose import bernstein
from ...enclose.ball import Ball
from ...proofs.sines import Sines
from ...proofs.supersolution import ENTRY, LARGEST
from ..box_bound import BoundInputs
from .bratu_data import BratuData

NEWTON, CHORD = 4, 6  # Galerkin steps at the box's centre, and from there at all nodes


class Place:
    """One box."""

    def __init__(
        self,
        problem: Bratu,
        orders: tuple[int, ...],
        to_inputs: Callable[[Array], Array],
        box: Ball,
        given: BoundInputs,
    ) -> None:
        self.problem, self.orders, self.to_inputs, self.box = problem, orders, to_inputs, box
        self.data: BratuData = given.data
        self.scale, self.d, self.axes = given.scale, len(orders), problem.dimension
        self.shape = (problem.n - 1,) * problem.dimension
        self.sines = Sines(problem.n, problem.dimension)
        self.t = jnp.asarray(bernstein.tensor_nodes(orders, self.d))
        self.points = bernstein.grid(box, orders)
        low, width = given.ends[0], given.ends[1]
        s = balls.add(balls.point(low), balls.mul(box, balls.point(width)))  # lambda, log anisotropy
        self.least, self.most = balls.lower(s), balls.upper(s)
        self.half = width * box.rad * (1 + 1e-14)  # of lambda, log anisotropy
        self.steps = 16 * UNIT_ROUNDOFF * (1 + jnp.abs(low) + width)  # of them at a node, as rounded
        self.trusted = self.least[0] > 1 / RANGE
        # relative, of a term of F at a node: its own rounding, and that lambda and the weights are those of the node
        self.entry = ENTRY + jnp.sum(self.steps[1:]) + self.steps[0] / jnp.where(self.trusted, self.least[0], 1.0)

    # ---- weights of the axes, lambda m ---------------------------------------------------------------------------

    def weights(self, p: Array) -> list[Array]:
        return [jnp.asarray(x, dtype=jnp.float64) for x in self.problem.difference_weights(p)]

    def weight_ends(self) -> list[tuple[Array, Array]]:
        """Of every axis: the least and the largest weight of the box."""
        if self.axes == 1:
            (n,) = self.weights(self.to_inputs(self.box.mid))
            return [(n, n)]
        down, up = jnp.exp(self.least[1]) * (1 - 1e-14), jnp.exp(self.most[1]) * (1 + 1e-14)
        return [(down, up), ((1 - 1e-15) / up, (1 + 1e-15) / down)]

    def strengths(self) -> Array:
        """lambda m over the box, from above."""
        return self.most[0] * self.problem.mass * (1 + 1e-15)

    # ---- v ---------------------------------------------------------------------------------------------------------

    def stiff(self, p: Array, x: Float[Array, "..."]) -> tuple[Array, Array]:
        """K(p) x, and |K(p)| |x|."""
        x = jnp.pad(x, 1)
        return self.problem.differences(p, x), self.problem.differences(p, jnp.abs(x), 1)

    def _galerkin(self, p: Array, z: Array) -> tuple[Array, Array]:
        """Z'F, and Z'J Z's part of the source."""
        v = (self.data.space @ z).reshape(self.shape)
        source = p[0] * self.problem.mass * jnp.exp(jnp.minimum(v, LARGEST))
        F = self.stiff(p, v)[0] - source
        return self.data.space.T @ F.reshape(-1), source.reshape(-1)

    def _jacobian(self, p: Array, source: Array) -> Array:
        Z = self.data.space
        stiff = jax.vmap(lambda x: self.stiff(p, x.reshape(self.shape))[0].reshape(-1), 1, 1)(Z)
        return Z.T @ (stiff - source[:, None] * Z)

    def at_nodes(self) -> Float[Array, "M r"]:
        """z at the nodes: the nearest solution, Newton's method to the centre, a chord from there."""
        data, centre = self.data, self.to_inputs(self.box.mid)
        nearest = jnp.argmin(jnp.sum((data.places - self.box.mid) ** 2, axis=1))
        z = data.starts[nearest]

        def newton(_: Array, z: Array) -> Array:
            F, source = self._galerkin(centre, z)
            return z - jnp.linalg.solve(self._jacobian(centre, source), F)

        z = jax.lax.fori_loop(0, NEWTON, newton, z)
        inverse = jnp.linalg.inv(self._jacobian(centre, self._galerkin(centre, z)[1]))
        P = jax.vmap(self.to_inputs)(self.points.mid)

        def chord(_: Array, Z: Array) -> Array:
            return Z - jax.vmap(lambda p, z: self._galerkin(p, z)[0])(P, Z) @ inverse.T

        at_all: Array = jax.lax.fori_loop(0, CHORD, chord, jnp.tile(z, (len(P), 1)))
        return jnp.where(jnp.isfinite(at_all), at_all, 0.0)
