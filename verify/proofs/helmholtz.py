"""Helmholtz on a uniform grid: diagonal in sines, so that the residual gives the error itself, on both sides.

    A(p) = L - kappa,    L = -h^2 Lap_h,    kappa = h^2 k2 (1 + i damping),    ||v||^2 = v'(L + h^2) v

L has the orthonormal eigenvectors sin(pi m x) sin(pi n y) with lambda = 4 sin^2(pi m h/2) + 4 sin^2(pi n h/2), and so
has the norm's matrix. With hats for coefficients in these, r = f - A v and f the load,

    ||u - v||^2 = sum (lambda + h^2) |r^|^2 / |lambda - kappa|^2,    ||u||^2 the same with f^ for r^.

Hypothesis: no lambda is kappa. Rounding: that of r and of f (2-norms rho), that of the transforms, eps ||r|| in the
2-norm, and that of lambda and kappa, at most mu, so that every denominator lies within mu of the computed one. The
first two are multiplied by max (lambda + h^2)^(1/2) / (|lambda - kappa| - mu); where that is not positive nothing is
proved.
Reference: the discrete sine transform diagonalises five-point differences (Buzbee, Golub, Nielson 1970).
"""

from __future__ import annotations

from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ...solvers.problems.helmholtz import Helmholtz
from ..answers.evaluate import Model, answering_basis
from .bounds import SLACK, UNDERFLOW, ErrorBounds, assembled
from .field_proof import FieldProof
from .indefinite.helmholtz_reduced import LOAD, HelmholtzReduced
from .proof import ANY_FIELD, TRACED, BoxProof, ReducedProof
from .sines import EIGENVALUE, Sines


class HelmholtzProof(FieldProof):
    """``effort`` makes no difference: the cheapest bound is the error."""

    problem: Helmholtz
    unbounded = (
        "lie so near an undamped resonance of this grid, or are so large, that rounding hides the error: add damping, "
        "or keep away from k2 = pi^2 (m^2 + n^2)"
    )

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "five-point differences on equal squares, damping and wave number constant: diagonal in sines",
            "k2 (1 + i damping) is no eigenvalue, checked at every input with the rounding of all of them",
            "the load is what its function gives, to a few roundings of each entry",
            *ANY_FIELD,
        )

    @cached_property
    def _sines(self) -> Sines:
        return Sines(self.problem.cells)

    @cached_property
    def _eigenvalues(self) -> Float[np.ndarray, "m m"]:
        return self._sines.along[:, None] + self._sines.along[None, :]

    def _hat(self, v: Float[Array, " N"]) -> Float[Array, "2 m m"]:
        """Both parts in sines."""
        grid = v.reshape(self.problem.cells + 1, self.problem.cells + 1, 2)[1:-1, 1:-1]
        return jnp.stack([self._sines(grid[..., part]) for part in (0, 1)])

    def _distances(self, theta: Float[Array, " 3"]) -> tuple[Array, Array]:
        """|lambda - kappa| from below and from above."""
        eigenvalues, area = jnp.asarray(self._eigenvalues), float(self.problem.cells) ** -2
        real, loss = theta[1] * area, theta[2] * area
        value = jnp.sqrt((eigenvalues - real) ** 2 + loss**2)
        mu = EIGENVALUE * (eigenvalues + jnp.abs(real) + jnp.abs(loss)) + 8 * UNIT_ROUNDOFF * value
        return value - mu, value + mu

    def _interval(self, hat: Array, near: Array, far: Array, off: Array) -> tuple[Array, Array]:
        """Of the norm of what has these coefficients, each divided by a number from ``near`` to ``far``; ``off``: what
        the coefficients may be off by in the 2-norm.
        """
        count = hat.size
        weights = jnp.asarray(self._eigenvalues) + float(self.problem.cells) ** -2
        slack = 1 + gamma(2 * count + 64)  # a sum of squares, and the weights
        least = jnp.sqrt(jnp.sum(weights * (hat / far) ** 2)) / slack
        most = jnp.sqrt(jnp.sum(weights * (hat / near) ** 2)) * slack
        floor = off * jnp.max(jnp.sqrt(weights) / near) * SLACK + UNDERFLOW
        return jnp.maximum(least - floor, 0.0), most + floor

    def bound_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> ErrorBounds:
        theta, f = self.problem.theta(p), self.problem.load(p)
        r = f - self.problem.apply(theta, v)
        near, far = self._distances(theta)
        known = jnp.all(near > 0) & jnp.all(jnp.isfinite(theta)) & jnp.all(jnp.abs(v) <= RANGE)
        near = jnp.where(near > 0, near, 1.0)
        size, load = jnp.sqrt(jnp.vdot(r, r)), jnp.sqrt(jnp.vdot(f, f))
        eps = self._sines.eps
        rounding = 1.01 * (self.problem.residual_rounding(theta, f, v) + LOAD * load)
        lower, upper = self._interval(self._hat(r), near, far, rounding + eps * size * SLACK)
        small, large = self._interval(self._hat(f), near, far, 1.01 * (LOAD + eps) * load)
        known = known & jnp.isfinite(upper)
        lower, upper = jnp.where(known, lower, 0.0), jnp.where(known, upper, jnp.inf)
        small, large = jnp.where(known, small, 0.0), jnp.where(known, large, jnp.inf)
        return assembled(lower, upper, upper - lower, small, large)

    def polish_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> tuple[Array, ErrorBounds]:
        """The residual solved for in sines."""
        problem, sines, eigenvalues = self.problem, self._sines, jnp.asarray(self._eigenvalues)
        theta = problem.theta(p)
        area = float(problem.cells) ** -2
        gap, loss = eigenvalues - theta[1] * area, theta[2] * area
        real, imaginary = self._hat(problem.load(p) - problem.apply(theta, v))
        square = gap**2 + loss**2
        square = jnp.where(square > 0, square, 1.0)
        parts = ((real * gap - imaginary * loss) / square, (imaginary * gap + real * loss) / square)
        back = jnp.stack([jnp.pad(sines(part), 1) for part in parts], axis=-1)
        polished = jnp.where(jnp.asarray(problem.free), v + back.reshape(-1), v)
        return polished, self.bound_row(p, polished, effort)

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """(w'(L + h^2)^-1 w)^(1/2), both parts, diagonal in sines."""
        eigenvalues = (jnp.asarray(self._eigenvalues) + float(self.problem.cells) ** -2) * (1 - EIGENVALUE)
        grid = weights.reshape(self.problem.cells + 1, self.problem.cells + 1, 2)[1:-1, 1:-1]
        parts = [self._sines.dual_norm(grid[..., part], eigenvalues, jnp.zeros(())) for part in (0, 1)]
        return jnp.sqrt(parts[0] ** 2 + parts[1] ** 2) * SLACK + UNDERFLOW

    def over_boxes(self, model: Model, inputs: Box, reduced: ReducedProof | str, scale: float) -> BoxProof | str:
        from ..boxes.solutions.helmholtz_box import HelmholtzBoxes  # here for the same reason as in ``CoerciveProof``
        from ..boxes.solutions.solution_boxes import over_boxes

        return over_boxes(HelmholtzBoxes, self, model, inputs, scale)

    @property
    def box_assumptions(self) -> tuple[tuple[str, ...], ...]:
        return ((*self.assumptions, TRACED),)

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)
        # differences, squares and a sum of at most 6 N terms; a rounded difference in v itself is of relative size 2 u,
        # which (L + h^2)^(1/2) multiplies by at most (8 + h^2)^(1/2) < 3
        off = gamma(6 * v.size + 16) * value + 6.1 * UNIT_ROUNDOFF * jnp.sqrt(jnp.vdot(v, v))
        return value, off * SLACK + UNDERFLOW

    def basis(self, model: Model) -> Float[np.ndarray, "N k"] | str:
        return answering_basis(self.problem, self.problem.free, model)

    def reduced(self, model: Model) -> ReducedProof | str:
        basis = self.basis(model)
        return basis if isinstance(basis, str) else HelmholtzReduced(self.problem, basis)
