"""Advection-diffusion with constant coefficients: the residual in closed form, by energy or by a barrier.

    A = K + N,    K = theta_1 second(x) + theta_2 second(y),    N the central differences, exactly skew

for e = u - v, A e = r the residual of v, ||e|| = h |e|_2 and h = 1/n the cells' width. The smaller of

    (a)  |e|_2 <= |r|_(K^-1) / lambda_min(K)^(1/2),    lambda_min(K) = (theta_1 + theta_2) 4 sin^2(pi h/2)
    (b)  |e|_2 <= beta |r|_2 / (h^2 - 4 beta delta),    beta = (|b_x| + |b_y|)/|b|^2

(a): e'r = e'K e, for N is skew. (b): with the diffusions theta_a + delta_a, delta_a >= 0 the least that makes no entry
beside the diagonal positive, the matrix A~ is an M-matrix: w = sum_a |b_a| t_a/|b|^2, t_a the distance from the side
that the flow along a enters by, is not negative on the boundary and A~ w = h^2 inside. So |A~^-1|_infinity <= max
w/h^2 = beta/h^2, and |A~^-1|_1 is no larger, for the transposed matrix is that of the flow turned round; hence
|A~^-1|_2 <= beta/h^2. A~ e = r + sum_a delta_a second(e, a) has |second(e, a)|_2 <= 4 |e|_2, so that delta = delta_1 +
delta_2. It is a rounding for the upwind and the fitted scheme, no rounding for central differences beyond the cell
Peclet number 1, where (b) soon proves nothing; nor does it at b = 0.
Rounding: of r, of the transform and of theta, whose functions are charged with ``THETA`` of each weight.
Reference: Roos, Stynes, Tobiska 2008, part III (M-matrices and barriers); Collatz 1952 (monotone operators).
"""

from __future__ import annotations

from functools import cached_property

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.discretisations import five_point_solve
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ...solvers.problems.advection_diffusion import AdvectionDiffusion
from .bounds import SLACK
from .radius import RadiusProof
from .sines import EIGENVALUE, LITTLE, Sines

THETA = 32 * UNIT_ROUNDOFF  # of each weight, between one compiled program and another


class AdvectionDiffusionProof(RadiusProof):
    """The solver itself corrects, refined once with two units of effort."""

    problem: AdvectionDiffusion
    unbounded = (
        "have a bound no smaller than what is known of the solution, or are beyond the range of float64: correct them "
        "with a step, or give an absolute tolerance"
    )

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "constant coefficients on equal squares: central differences are exactly skew, second ones diagonal in "
            "sines",
            "(b): an M-matrix after a perturbation of the scheme's diffusions, measured at every input and charged",
            "every diffusion of the scheme positive, checked at every input",
            "theta(p) is what its functions give, to a few roundings of each weight",
            "prescribed values exact, overwritten before certifying",
            "finite field, checked",
            "rounding covered for IEEE float64, libm error <= 16 ulp, no value-changing compiler optimisation",
        )

    @cached_property
    def _sines(self) -> Sines:
        return Sines(self.problem.cells)

    def _inside(self, v: Float[Array, " N"]) -> Float[Array, "m m"]:
        n = self.problem.cells
        return v.reshape(n + 1, n + 1)[1:-1, 1:-1]

    def _least_diffusions(self, theta: Float[Array, " 4"]) -> Float[Array, " 2"]:
        """theta_1 and theta_2 from below."""
        return theta[:2] * (1 - 2 * THETA)

    def _crossing_time(self, theta: Float[Array, " 4"]) -> Float[Array, ""]:
        """beta from above; infinite where there is no flow, or one so slow that squares leave float64."""
        speed = jnp.abs(theta[2:])
        square = jnp.vdot(speed, speed)
        known = square > RANGE**-2
        return jnp.where(known, jnp.sum(speed) / jnp.where(known, square, 1.0), jnp.inf) * (1 + 8 * THETA)

    def _monotone_excess(self, theta: Float[Array, " 4"]) -> Float[Array, " 2"]:
        """delta along each axis from above: what the diffusions lack of an M-matrix."""
        beside = jnp.abs(theta[2:]) / (2 * self.problem.cells) * (1 + 4 * THETA)
        return jnp.maximum(beside - self._least_diffusions(theta), 0.0) * SLACK

    def inverse_bounds(self, theta: Float[Array, " 4"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """c_a and c_b with ||e|| <= c_a |r|_(K^-1) and ||e|| <= c_b |r|_2."""
        n, diffusions = self.problem.cells, self._least_diffusions(theta)
        least = jnp.sum(diffusions) * float(self._sines.along[0]) * (1 - EIGENVALUE)
        beta = self._crossing_time(theta)
        room = 1 - 4 * n**2 * beta * jnp.sum(self._monotone_excess(theta)) * SLACK
        known = jnp.isfinite(beta) & (room > 0)
        beta, room = jnp.where(known, beta, 1.0), jnp.where(known, room, 1.0) * (1 - 1e-12)
        return SLACK / (n * jnp.sqrt(least)), jnp.where(known, n * beta / room * SLACK, jnp.inf)

    def in_range(self, theta: Float[Array, " 4"]) -> Array:
        """Whether no square of these weights leaves float64."""
        return jnp.all((theta[:2] > 1 / RANGE) & (theta[:2] < RANGE)) & jnp.all(jnp.abs(theta[2:]) < RANGE)

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        problem, theta, f = self.problem, self.problem.theta(p), self.problem.load(p)
        trusted = self.in_range(theta) & jnp.all(jnp.abs(v) <= RANGE**2)
        theta, v = jnp.where(trusted, theta, 1.0), jnp.where(trusted, v, 0.0)
        r = self._inside(f - problem.apply(theta, v))
        around = problem.apply_absolute(theta, v)
        off = 1.01 * (problem.residual_rounding(theta, f, v) + THETA * jnp.sqrt(jnp.vdot(around, around)))
        size = jnp.sqrt(jnp.vdot(r, r)) * (1 + gamma(problem.size + 8)) + off
        diffusions = self._least_diffusions(theta)
        eigenvalues = self._sines.eigenvalues([diffusions[0], diffusions[1]]) * (1 - EIGENVALUE)
        by_energy, by_barrier = self.inverse_bounds(theta)
        dual = self._sines.dual_norm(r, eigenvalues, off)
        radius = jnp.minimum(by_energy * (dual + LITTLE), by_barrier * (size + LITTLE))
        return jnp.where(trusted, radius * SLACK + LITTLE, jnp.inf)

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        problem, theta = self.problem, self.problem.theta(p)
        factors = five_point_solve.factors(theta, problem.cells)
        for _ in range(min(effort, 2)):
            r = self._inside(problem.load(p) - problem.apply(theta, v))
            v = v + jnp.pad(five_point_solve.solve(factors, r), 1).reshape(-1)
        return v

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)
        return value, (gamma(v.size + 16) + 2 * UNIT_ROUNDOFF) * value * SLACK + LITTLE  # v may be a rounded difference
