"""Polish first, then a radius: the shape of proofs beyond the coercive class.

For any field v and any r >= ||u - v||, with d = ||v - N|| for the field N in question,

    max(0, d - r) <= ||u - N|| <= d + r,    ||v|| - r <= ||u|| <= ||v|| + r

by the triangle inequality. v comes from a few steps of anything and needs no proof: how sharp the bounds are depends on
r beside d alone, so that a crude but proved r at a polished v does. A theorem then is one function, ``radius_row``,
sound or infinite; ``correct_row`` is merely useful. The bounds at N itself and at v are intersected, which is right
where r is a distance to *the* truth: a theorem that bounds the distance to some solution must show that it is this one.
Reference: a posteriori error bounds with r from Brezzi, Rappaz, Raviart 1980, and in each theorem's file.
"""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.outputs import Output
from .bounds import SLACK, ErrorBounds, assembled, intersected, squares
from .field_proof import FieldProof


class RadiusProof(FieldProof):
    """``effort``: how many corrections; 0 takes the field as it is.

    ``one_solution``: whether radii at one input are distances to one and the same solution, whatever the field; if not,
    the corrected field alone is gone by.
    """

    one_solution = True

    @abc.abstractmethod
    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        """A field nearer to the truth, prescribed values kept. No proof depends on it."""

    @abc.abstractmethod
    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        """At least ||u - v||, for the exact solution u of the discrete equations; infinite where that is not shown."""

    def bound_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> ErrorBounds:
        return self._bounded(p, v, effort)[0]

    def output_row(
        self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int, output: Output, given: Any
    ) -> tuple[ErrorBounds, Array, Array]:
        """Here ``dual_norm_row`` (p, l) times ``radius_row`` (p, v) must bound |l(u - v)|, whatever norm r is of."""
        bounds, found = self._bounded(p, v, effort)
        if output.square:
            return bounds, *squares(output, [bounds])
        return bounds, *self.around(p, output, given, found)

    def _bounded(self, p: Array, v: Array, effort: int) -> tuple[ErrorBounds, list[tuple[Array, Array]]]:
        """The bounds of u - v, and the fields that were looked at with a radius each."""
        r, small, large = self._at(p, v)
        if effort == 0:  # how much of r is rounding is not told apart; that of the norm is
            return assembled(jnp.zeros(()), r, jnp.minimum(self.norm_row(p, v)[1], r), small, large), [(v, r)]
        nearer = self.correct_row(p, v, effort)
        rest, smaller, larger = self._at(p, nearer)
        d, off = self.norm_row(p, nearer - v)
        lower, upper = (d - off - rest) / SLACK, (d + off + rest) * SLACK
        # a correction that went astray leaves what is known of v itself
        if not self.one_solution:
            known = jnp.isfinite(upper)
            v, r = jnp.where(known, nearer, v), jnp.where(known, rest, r)
            small, large = jnp.where(known, smaller, small), jnp.where(known, larger, large)
            lower, upper = jnp.where(known, jnp.maximum(lower, 0.0), 0.0), jnp.where(known, upper, r)
            return assembled(lower, upper, r + jnp.where(known, off, 0.0), small, large), [(v, r)]
        bounds = intersected((r, small, large), lower, upper, rest + off, (smaller, larger))
        return bounds, [(v, r), (nearer, rest)]

    def polish_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> tuple[Array, ErrorBounds]:
        nearer = self.correct_row(p, v, effort)
        r, small, large = self._at(p, nearer)
        return nearer, assembled(jnp.zeros(()), r, r, small, large)

    def _at(self, p: Array, v: Array) -> tuple[Array, Array, Array]:
        """The radius at v, and ||u|| from both sides."""
        return self._within(p, v, self.radius_row(p, v))

    def _within(self, p: Array, v: Array, r: Array) -> tuple[Array, Array, Array]:
        """The radius r at v, infinite where it is NaN, and ||u|| from both sides."""
        r = jnp.where(r >= 0, r, jnp.inf)  # NaN too
        size, off = self.norm_row(p, v)
        known = jnp.isfinite(r) & jnp.isfinite(size) & jnp.isfinite(off)
        small = jnp.where(known, jnp.maximum(size - off - r, 0.0) / SLACK, 0.0)
        return r, small, jnp.where(known, (size + off + r) * SLACK, jnp.inf)
