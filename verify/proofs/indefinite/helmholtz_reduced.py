"""Helmholtz from coefficients alone: the error itself, in sines.

With hats for coefficients in orthonormal sines, V c the field, f the load and kappa = h^2 k2 (1 + i damping),

    ||u - V c||^2 = sum (lambda + h^2) | f^/(lambda - kappa) - (V c)^ |^2

The load is a product of two bells, so that f^ takes one transform in one dimension for each axis. The sum over all wave
numbers is the error; that over the first M of each axis is a few times cheaper, and the others are bounded: those of
the load by Parseval's identity and max (lambda + h^2)^(1/2)/(lambda - Re kappa), which falls with lambda > Re kappa,
those of each mode by their norm. ``improve`` is the best approximation of u in the modes, by these first ones.
Rounding: that of f^ (``eps`` of its 2-norm) is multiplied by max (lambda + h^2)^(1/2)/|lambda - kappa|, that of lambda
and kappa is charged to each quotient, that of the modes and of the float64 product V c to |c|. There is no residual: no
other rounding is divided by the distance to a resonance.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.batching import VectorMap
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.helmholtz import Helmholtz
from ..bounds import SLACK, UNDERFLOW, ErrorBounds, assembled
from ..proof import ReducedProof
from ..sines import EIGENVALUE, Sines

LOAD = 64 * UNIT_ROUNDOFF  # of ||f||: exp(-a) to a few roundings of a, and a exp(-a) < 0.37
SHARE = 1e-4  # of the solution, about: what the wave numbers beyond the first M hold


class Waves:
    """The first M wave numbers of each axis, and what is known of modes [N, k] in them."""

    def __init__(self, problem: Helmholtz, basis: Float[np.ndarray, "N k"], M: int) -> None:
        n, k, sines = problem.cells, basis.shape[1], Sines(problem.cells)
        self.problem, self.kept, self.line = problem, M, Sines(n, 1)
        self.eigenvalues = sines.along[:M, None] + sines.along[None, :M]
        self.beyond = float(sines.along[M] + sines.along[0]) if n - 1 > M else np.inf  # the least of the others'
        grid = basis.T.reshape(k, n + 1, n + 1, 2)[:, 1:-1, 1:-1]
        hat = np.stack([sines.matrix @ grid[..., part] @ sines.matrix for part in (0, 1)], axis=1)  # [k, 2, m, m]
        hat = hat * np.sqrt(sines.along[:, None] + sines.along[None, :] + n**-2)
        self.modes = np.array(hat[:, :, :M, :M]).reshape(k, -1)  # weighted for the norm, as all coefficients here
        hat[:, :, :M, :M] = 0.0
        tails = np.linalg.norm(hat.reshape(k, -1), axis=1) * 1.001
        most = np.sqrt(8 + n**-2) * 1.001  # of the norm over that of the values
        rounding = sines.eps + 2 * gamma(k + 16)  # of the transform, of the combination of modes, of V c
        self.strays = tails + rounding * most * np.linalg.norm(basis, axis=0) * 1.001

    def truth(self, p: Float[Array, " d"]) -> tuple[Float[Array, " w"], Float[Array, ""], Float[Array, ""]]:
        """u's coefficients; what these may be off by; what the others' norm is at most.

        Both are infinite where rounding hides a resonance.
        """
        problem, n, M = self.problem, self.problem.cells, self.kept
        theta, area = problem.theta(p), float(n) ** -2
        bells, scale = problem.bells(p), problem.source_scale
        sizes = [jnp.sqrt(jnp.vdot(bell, bell)) * SLACK * (1 + gamma(n)) for bell in bells]
        hats = [self.line(bell) for bell in bells]
        eigenvalues = jnp.asarray(self.eigenvalues)
        weights = jnp.asarray(np.sqrt(self.eigenvalues + area))
        f = scale * hats[0][:M, None] * hats[1][None, :M]
        gap, loss = eigenvalues - theta[1] * area, theta[2] * area
        inverse = 1 / (gap**2 + loss**2)
        part = weights * f * inverse
        u = jnp.stack([part * gap, part * loss]).reshape(-1)
        # each lambda - kappa is off by at most ``doubt`` of it
        spread = jnp.abs(theta[1]) * area + jnp.abs(theta[2]) * area
        doubt = 1.01 * (EIGENVALUE * jnp.sqrt(jnp.max((eigenvalues + spread) ** 2 * inverse)) + 16 * UNIT_ROUNDOFF)
        known = (doubt < 0.5) & jnp.all(jnp.isfinite(theta))
        doubt = jnp.where(known, doubt, 0.0)
        largest = 1.01 * jnp.sqrt(jnp.max(weights**2 * inverse)) / (1 - doubt)
        blur = (2 * doubt + 16 * UNIT_ROUNDOFF) / (1 - doubt) * jnp.sqrt(jnp.vdot(u, u))
        off = (2.1 * self.line.eps + LOAD) * (scale * sizes[0] * sizes[1] * SLACK)
        tail: Array = jnp.zeros(())
        if np.isfinite(self.beyond):
            edge = self.beyond * (1 - EIGENVALUE) - jnp.abs(theta[1]) * area * (1 + EIGENVALUE)
            known = known & (edge > 0)
            steepest = np.sqrt(self.beyond + area) / jnp.where(edge > 0, edge, 1.0)
            rest = [jnp.sqrt(jnp.vdot(hat[M:], hat[M:])) for hat in hats]
            tail = 1.01 * steepest * (scale * (rest[0] * sizes[1] + sizes[0] * rest[1]) + off)
        away = 1.01 * (blur + largest * off) + UNDERFLOW
        return u, jnp.where(known, away, jnp.inf), jnp.where(known, tail, jnp.inf)

    def bound(self, p: Float[Array, " d"], c: Float[Array, " k"]) -> ErrorBounds:
        """The error on both sides."""
        trusted = jnp.all(jnp.abs(c) <= RANGE)
        c = jnp.where(trusted, c, 0.0)
        u, away, tail = self.truth(p)
        away = jnp.where(trusted, away, jnp.inf)
        stray = jnp.abs(c) @ jnp.asarray(self.strays) * (1 + gamma(2 * len(c) + 8))
        slack = 1 + gamma(u.size + 64)  # sums of squares
        rest = u - c @ jnp.asarray(self.modes)
        error, size = jnp.sqrt(jnp.vdot(rest, rest)), jnp.sqrt(jnp.vdot(u, u))
        off = away + stray + 2 * UNIT_ROUNDOFF * size  # one rounding of each difference
        known = jnp.isfinite(off) & jnp.isfinite(tail) & jnp.isfinite(error)
        return assembled(
            jnp.where(known, jnp.maximum(error / slack - off, 0.0) / SLACK, 0.0),
            jnp.where(known, (error * slack + off + tail) * SLACK, jnp.inf),
            jnp.where(known, off + tail, jnp.inf),
            jnp.where(known, jnp.maximum(size / slack - away, 0.0) / SLACK, 0.0),
            jnp.where(known, (size * slack + away + tail) * SLACK, jnp.inf),
        )


def enough(problem: Helmholtz) -> int:
    """How many wave numbers of each axis leave a ``SHARE`` of typical solutions."""
    every = Waves(problem, np.zeros((problem.size, 1)), problem.cells - 1)
    M = every.kept
    squares = VectorMap(lambda p: every.truth(p)[0], (16,))(problem.inputs.sample(16, seed=0)) ** 2
    squares = squares.reshape(len(squares), 2, M, M).sum(axis=1)
    inside = np.einsum("nmm->nm", squares.cumsum(axis=1).cumsum(axis=2))  # in the first 1, .., M of each axis
    left = 1 - inside / squares.sum(axis=(1, 2))[:, None]
    few = np.flatnonzero((left <= SHARE**2).all(axis=0))
    return int(few[0]) + 1 if len(few) else M


class HelmholtzReduced(ReducedProof):
    """``basis`` [N, k] vanishes on the boundary."""

    def __init__(self, problem: Helmholtz, basis: Float[np.ndarray, "N k"]) -> None:
        self.basis = basis
        self.first = Waves(problem, basis, enough(problem))
        self.every = Waves(problem, basis, problem.cells - 1)
        self._best = np.linalg.pinv(self.first.modes.T)

    @property
    def stages(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        return (self.first.bound, self.every.bound)

    @property
    def accepting(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        """Both are the error; what the second knows better is a ``SHARE`` of the solution."""
        return (self.first.bound,)

    def improve(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """The best approximation of the truth."""
        return jnp.asarray(self._best) @ self.first.truth(p)[0]
