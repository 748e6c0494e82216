"""The inverse of advection-diffusion with constant coefficients on equal squares: in closed form, by energy or barrier.

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
Rounding: theta is charged with ``THETA`` of each weight, its functions being compiled more than once.
Reference: Roos, Stynes, Tobiska 2008, part III (M-matrices and barriers); Collatz 1952 (monotone operators).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.precision import RANGE, UNIT_ROUNDOFF
from ..bounds import SLACK
from ..sines import EIGENVALUE

THETA = 32 * UNIT_ROUNDOFF  # of each weight, between one compiled program and another


@dataclass(frozen=True)
class FlowBounds:
    """On cells x cells squares. theta = (diffusion along x, along y, b_x, b_y), as ``AdvectionDiffusion.theta``."""

    cells: int

    def least_diffusions(self, theta: Float[Array, " 4"]) -> Float[Array, " 2"]:
        """theta_1 and theta_2 from below."""
        return theta[:2] * (1 - 2 * THETA)

    def crossing_time(self, theta: Float[Array, " 4"]) -> Float[Array, ""]:
        """beta from above; infinite where there is no flow, or one so slow that squares leave float64."""
        speed = jnp.abs(theta[2:])
        square = jnp.vdot(speed, speed)
        known = square > RANGE**-2
        return jnp.where(known, jnp.sum(speed) / jnp.where(known, square, 1.0), jnp.inf) * (1 + 8 * THETA)

    def monotone_excess(self, theta: Float[Array, " 4"]) -> Float[Array, " 2"]:
        """delta along each axis from above: what the diffusions lack of an M-matrix."""
        beside = jnp.abs(theta[2:]) / (2 * self.cells) * (1 + 4 * THETA)
        return jnp.maximum(beside - self.least_diffusions(theta), 0.0) * SLACK

    def inverse_bounds(self, theta: Float[Array, " 4"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """c_a and c_b with ||e|| <= c_a |r|_(K^-1) and ||e|| <= c_b |r|_2."""
        n, diffusions = self.cells, self.least_diffusions(theta)
        least = jnp.sum(diffusions) * 4 * np.sin(np.pi / (2 * n)) ** 2 * (1 - EIGENVALUE)
        beta = self.crossing_time(theta)
        room = 1 - 4 * n**2 * beta * jnp.sum(self.monotone_excess(theta)) * SLACK
        known = jnp.isfinite(beta) & (room > 0)
        beta, room = jnp.where(known, beta, 1.0), jnp.where(known, room, 1.0) * (1 - 1e-12)
        return SLACK / (n * jnp.sqrt(least)), jnp.where(known, n * beta / room * SLACK, jnp.inf)

    def in_range(self, theta: Float[Array, " 4"]) -> Array:
        """Whether no square of these weights leaves float64."""
        return jnp.all((theta[:2] > 1 / RANGE) & (theta[:2] < RANGE)) & jnp.all(jnp.abs(theta[2:]) < RANGE)
