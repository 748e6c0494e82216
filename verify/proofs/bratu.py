"""Bratu's problem, lower branch: sub- and supersolutions found entry by entry, minimality included.

    F(v) = K v - lambda m e^v = 0,    K an M-matrix,    J(v) = K - lambda m diag(e^v),    ||v|| = (v' K v)^(1/2)

Let w > 0 with J(v) w > 0, entrywise (any such w: a few steps of CG on J(v) w = m find one). Then J(v)^-1 >= 0, and

    F(v) <= t0 J(v) w                                              =>  every solution is >= v - t0 w        (1)
    t J(v) w - lambda m e^v (e^(t w) - 1 - t w) >= -F(v)           =>  there is a solution <= v + t w       (2)

(1): F is concave, so 0 = F(s) <= F(v) + J(v) (s - v) for a solution s, hence J(v) (s - v + t0 w) >= 0. (2): the
left-hand side less the right-hand side is F(v + t w), so that v + t w is a supersolution, and positive by itself: K (v
+ t w) >= lambda m e^(v + t w) > 0. As 0 is a subsolution the *minimal* solution u exists and lies below it; u is what
the problem's lower branch is. With b = max(t, t0) w >= |u - v|, from K (u - v) = -F(v) + lambda m e^v (e^(u - v) - 1)
and K^-1 >= 0,

    ||u - v|| <= ||F(v)||_(K^-1) + lambda m || e^v (e^b - 1) ||_(K^-1)

Rounding: (1) and (2) are checked with every term's own error, e^x - 1 - x <= x^2 e^x / 2 in (2), exp to 16 ulp; the
dual norms by sines (``sines.py``). Where w or t is not found nothing is proved: past the fold always.
Reference: Collatz 1952; Amann, SIAM Review 1976 (sub- and supersolutions).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ...solvers.problem import Problem
from ...solvers.problems.bratu import Bratu
from ...solvers.problems.bratu_lower import conjugate_gradients
from ..answers.evaluate import Model, answering_basis
from .bounds import SLACK, UNDERFLOW
from .proof import ANY_FIELD, TRACED, BoxProof, ReducedProof
from .radius import RadiusProof
from .sines import EIGENVALUE, Sines
from .supersolution import ENTRY, LARGEST, supersolution

CORRECTIONS = 2  # Newton steps of an effort, of one CG step each: more of these in one step gain less
COMPARISON = 3  # CG steps for w: near the fold more of them make w, and so b, smaller


class BratuProof(RadiusProof):
    """Newton's method corrects, by conjugate gradients, as the truth is found (``bratu_lower.py``)."""

    problem: Bratu
    unbounded = (
        "are so far from the lower branch, or so near the fold, that no supersolution was found: more steps correct "
        "more, beyond the fold there is no solution"
    )

    @classmethod
    def refusal(cls, problem: Problem) -> str:
        assert isinstance(problem, Bratu)
        return "" if problem.branch == "lower" else "minimality proves the lower branch only"

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "second differences on equal cells: K is an M-matrix, diagonal in sines; the source is convex",
            "a positive w with J(v) w > 0, and v + t w a supersolution, checked entry by entry at every input",
            "the truth is the minimal solution (branch = lower)",
            *ANY_FIELD,
        )

    @cached_property
    def _sines(self) -> Sines:
        return Sines(self.problem.n, self.problem.dimension)

    def _stiffness(self, p: Array, inside: Array) -> tuple[Array, Array]:
        """K x, and |K| |x| for its rounding."""
        x = jnp.pad(inside, 1)
        return self.problem.differences(p, x), self.problem.differences(p, jnp.abs(x), 1)

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        x = self.problem.inside(v)
        for _ in range(CORRECTIONS * effort):
            source = p[0] * self.problem.mass * jnp.exp(x)
            right = source - self._stiffness(p, x)[0]
            x = x + conjugate_gradients(self.problem, p, source, right, 0.0, 1).x
        return self.problem.around(x)

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        x, strength = self.problem.inside(v), p[0] * self.problem.mass
        weights = self.problem.difference_weights(p)
        trusted = jnp.all(jnp.abs(x) <= LARGEST) & (strength > 1 / RANGE) & (strength < RANGE)
        for weight in weights:
            trusted = trusted & (weight > 1 / RANGE) & (weight < RANGE)
        x = jnp.where(trusted, x, 0.0)
        source = strength * jnp.exp(x)  # lambda m e^v
        stiff, stiff_size = self._stiffness(p, x)
        F, F_off = stiff - source, ENTRY * (stiff_size + source)

        w = conjugate_gradients(self.problem, p, source, jnp.full_like(x, self.problem.mass), 0.0, COMPARISON).x
        image, image_size = self._stiffness(p, w)
        slope = image - source * w - ENTRY * (image_size + source * jnp.abs(w))  # at most J(v) w
        trusted = trusted & jnp.all(w > 0) & jnp.all(slope > 0)
        slope, w = jnp.where(trusted, slope, 1.0), jnp.where(trusted, w, 1.0)

        t0 = jnp.maximum(jnp.max((F + F_off) / slope), 0.0) * SLACK
        t, found = supersolution(slope, F_off - F, source, w)
        b = jnp.maximum(t, t0) * w * SLACK
        eigenvalues = self._sines.eigenvalues(weights) * (1 - EIGENVALUE)
        grown = source * jnp.expm1(b) * (1 + 2 * ENTRY)
        rounding = jnp.sqrt(jnp.vdot(F_off, F_off)) * 1.01
        r = self._sines.dual_norm(F, eigenvalues, rounding) + self._sines.dual_norm(grown, eigenvalues, jnp.zeros(()))
        return jnp.where(trusted & found, r * SLACK + UNDERFLOW, jnp.inf)

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """(w'K^-1 w)^(1/2), diagonal in sines."""
        eigenvalues = self._sines.eigenvalues(self.problem.difference_weights(p)) * (1 - EIGENVALUE)
        return self._sines.dual_norm(self.problem.inside(weights), eigenvalues, jnp.zeros(())) * SLACK + UNDERFLOW

    def basis(self, model: Model) -> Float[np.ndarray, "N k"] | str:
        return answering_basis(self.problem, self.problem.free, model)

    def over_boxes(self, model: Model, inputs: Box, reduced: ReducedProof | str, scale: float) -> BoxProof | str:
        from ..boxes.solutions.bratu_box import BratuBoxes  # here for the same reason as in ``CoerciveProof``
        from ..boxes.solutions.solution_boxes import over_boxes

        return over_boxes(BratuBoxes, self, model, inputs, scale)

    @property
    def box_assumptions(self) -> tuple[tuple[str, ...], ...]:
        return ((*self.assumptions, TRACED),)

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)
        largest: Any = sum(4 * weight for weight in self.problem.difference_weights(p))  # at least K's eigenvalues
        difference = 2 * UNIT_ROUNDOFF * jnp.sqrt(largest * jnp.vdot(v, v))  # v may be a rounded difference
        return value, (gamma(6 * v.size + 16) * value + difference) * 1.01 + UNDERFLOW
