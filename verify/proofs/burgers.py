"""Burgers' equation, both schemes and boundaries: the error's growth by the smallest eigenvalue of the symmetric part.

    m (u^{n+1} - u^n)/dt + c(w) + nu D w = 0,    w = theta u^{n+1} + (1 - theta) u^n

c is quadratic and does no work, (c(v), v) = 0 for every v, on any grid. For e = u - v, e_n = theta e^{n+1} +
(1 - theta) e^n, the residual r of v in a step and w of v,

    m (e^{n+1} - e^n)/dt + J e_n + c(e_n) = -r,    J = c'(w) + nu D

since c(w + e_n) = c(w) + c'(w) e_n + c(e_n). Test with e_n: the whole quadratic remainder is gone, and with |.| the
norm of m, rho = |m^-1 r| and sigma <= lambda_min(sym J, m)

    (e^{n+1} - e^n, e_n)_m <= dt (rho |e_n| - sigma |e_n|^2)

theta = 1 leaves |e^{n+1}| (1 + dt sigma) <= |e^n| + dt rho, where 1 + dt sigma > 0. theta = 1/2: the left side is
(|e^{n+1}|^2 - |e^n|^2)/2 and |e_n| <= (|e^{n+1}| + |e^n|)/2, so that with s = max(0, -sigma), where dt s < 2,

    |e^{n+1}| (1 - dt s/2) <= |e^n| (1 + dt s/2) + dt rho

It holds for every solution of the scheme's equations.

sigma: with g the differences of w across cells, sym J has the off-diagonal entries g/12 - nu/h and on the diagonal the
sum over both cells of g/6 + nu/h. The least (diagonal - |off-diagonals|)/m is one bound (Gershgorin); larger candidates
are proved by Sturm's recursion for the pencil's tridiagonal matrix T: pivots d_i = (T_ii - sigma) - T_(i-1,i)^2/d_(i-1)
that are all positive in floating point are those of a positive definite matrix within a few roundings of each entry.
What closes the circle of a periodic grid, an entry x in both corners, is at least -|x| on both end diagonals.
References: Demmel 1997, section 5.3.4 (Sturm counts in floating point); Hairer, Norsett, Wanner 1993, section I.10.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ...solvers.classes.evolution import SCHEMES, trapezoidal
from ...solvers.linear_algebra import tridiagonal
from ...solvers.linear_algebra.tridiagonal import Bands
from ...solvers.precision import RANGE, gamma
from ...solvers.problems.burgers import Burgers
from .bounds import SLACK, UNDERFLOW
from .proof import ANY_FIELD
from .stepping import SteppingProof

ROUNDINGS = gamma(20)  # of an entry of the residual, relative to its absolute terms: 14 at most
ENTRIES = gamma(40)  # of T, of forming it (12 at most) and of Sturm's recursion (3)
SHARES = (0.0, 0.15, 0.25, 0.35, 0.45, 0.55, 0.7, 0.85)  # where candidates for sigma lie, from the heat equation's
# eigenvalue, which no convection is behind, down to Gershgorin's bound
ENOUGH = 1e-3  # of a correction: a second one is not worth its price where no more is left


class Growth(NamedTuple):
    """Of each step."""

    sigma: Float[Array, "..."]
    rho: Float[Array, "..."]


class Sizes(NamedTuple):
    """What rounding errors are proportional to, by powers of the largest value: of the residual, of T."""

    mass: float
    convection: float
    diffusion: float
    matrix_convection: float
    matrix_diffusion: float


class BurgersProof(SteppingProof):
    """Marches of the linearised scheme correct."""

    problem: Burgers
    state_norm_name = "L2 norm in space"
    unbounded = (
        "may have grown apart beyond all bounds, for the viscosity is small beside the steepness, the steps are long "
        "or the field is far off: take a larger nu or more steps, or correct with more steps"
    )

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "convection as differences of (v_i^2 + v_i v_{i+1} + v_{i+1}^2)/6 does no work, by construction",
            "lumped mass, linear elements' symmetric diffusion",
            "growth by verified Sturm counts; dt sigma > -1 (implicit Euler), > -2 (Crank-Nicolson), checked",
            "the initial state to the rounding of its sum",
            *ANY_FIELD,
        )

    @property
    def _theta(self) -> float:
        return SCHEMES[self.problem.scheme]

    @property
    def _periodic(self) -> bool:
        return self.problem.boundary == "periodic"

    @cached_property
    def _widths(self) -> Float[np.ndarray, " edges"]:
        """Of the cells that unknowns have beside them, left to right; a periodic grid's closing one at both ends."""
        left, right = self.problem._gaps
        return np.append(left, right[-1])

    @cached_property
    def _diffusion_eigenvalue(self) -> float:
        """About that of D, or of D with its closing entries cut off where periodic."""
        return 0.0 if self._periodic else float(np.pi**2 / 4)

    @cached_property
    def _sizes(self) -> Sizes:
        mass, h = self.problem.mass, self._widths
        total = (1 / h[:-1] + 1 / h[1:]) / mass
        lightest = np.minimum(mass, np.minimum(np.append(mass[1:], mass[0]), np.insert(mass[:-1], 0, mass[-1])))
        return Sizes(
            mass=1.01 * 2 * float(np.sqrt(mass.sum())) / self.problem.time_step,
            convection=1.01 * float(np.sqrt((1 / mass).sum())),
            diffusion=1.01 * 2 * float(np.sqrt((total**2 * mass).sum())),
            matrix_convection=1.01 * float((1 / lightest).max()),
            matrix_diffusion=1.01 * 2 * float(((1 / h[:-1] + 1 / h[1:]) / lightest).max()),
        )

    def _unknowns(self, states: Float[Array, "w S"]) -> Float[Array, "w unknowns"]:
        return states if self._periodic else states[:, 1:-1]

    def _padded(self, v: Float[Array, "w unknowns"]) -> Float[Array, "w unknowns+2"]:
        """With the neighbours beyond both ends."""
        if self._periodic:
            return jnp.concatenate([v[:, -1:], v, v[:, :1]], axis=1)
        return jnp.pad(v, ((0, 0), (1, 1)))

    def _middles(self, v: Float[Array, "w+1 unknowns"]) -> Float[Array, "w unknowns"]:
        return self._theta * v[1:] + (1 - self._theta) * v[:-1]

    def _residual(self, nu: Array, v: Array, middle: Array) -> Float[Array, "w unknowns"]:
        """Of every step, as differences of fluxes; ``middle`` padded."""
        left, right = middle[:, :-1], middle[:, 1:]
        flux = (left * (left + right) + right * right) * (1 / 6) - (nu / jnp.asarray(self._widths)) * (right - left)
        return jnp.asarray(self.problem.mass / self.problem.time_step) * (v[1:] - v[:-1]) + jnp.diff(flux)

    def measures(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"]) -> Growth:
        v, nu, sizes = self._unknowns(states), p[0], self._sizes
        largest = jnp.max(jnp.abs(v))
        trusted = (nu >= 1 / RANGE) & (nu <= RANGE) & (largest <= RANGE)
        nu = jnp.where(trusted, nu, 1.0)
        middle = self._padded(self._middles(v))
        r = self._residual(nu, v, middle)
        rho = jnp.sqrt(r**2 @ jnp.asarray(1 / self.problem.mass)) * (1 + gamma(r.shape[1] + 8))
        rounding = ROUNDINGS * largest * (sizes.mass + largest * sizes.convection + nu * sizes.diffusion)
        rounding = rounding + UNDERFLOW * sizes.convection  # of squares, before they are divided by the masses
        sigma = self._smallest_eigenvalues(nu, middle, largest)
        return Growth(
            jnp.where(trusted, sigma, -jnp.inf), jnp.where(trusted, (rho + rounding) * SLACK + UNDERFLOW, jnp.inf)
        )

    def _smallest_eigenvalues(self, nu: Array, middle: Array, largest: Array) -> Float[Array, " w"]:
        """At most lambda_min(sym J, m) in every step."""
        mass, sizes = jnp.asarray(self.problem.mass)[:, None], self._sizes
        g = jnp.diff(middle).T  # [edges, w]: long loops run over the steps
        stiff = (nu / jnp.asarray(self._widths))[:, None]
        edge, off = g * (1 / 6) + stiff, g * (1 / 12) - stiff
        diagonal, away = edge[:-1] + edge[1:], jnp.abs(off)
        disc = jnp.min((diagonal - away[:-1] - away[1:]) / mass, axis=0)
        if self._periodic:
            diagonal = diagonal.at[0].add(-away[0]).at[-1].add(-away[-1])
        alpha, beta = diagonal / mass, off[1:-1] ** 2 / (mass[1:] * mass[:-1])
        top = nu * self._diffusion_eigenvalue
        wanted = top + jnp.asarray(SHARES)[:, None] * (jnp.minimum(disc, top) - top)  # [candidates, w]

        def pivot(before: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            d, least = before
            d = (row[0] - wanted) - row[1] / d
            return (d, jnp.minimum(least, d)), None

        first = alpha[0] - wanted
        (_, least), _ = lax.scan(pivot, (first, first), (alpha[1:], beta))
        proved = jnp.max(jnp.where(least > 0, wanted, -jnp.inf), axis=0)
        rounding = ENTRIES * (nu * sizes.matrix_diffusion + largest * sizes.matrix_convection)
        best = jnp.maximum(proved, disc)
        return best - rounding - ENTRIES * jnp.abs(best) - UNDERFLOW

    def advance(self, b: Float[Array, ""], measure: Growth) -> Float[Array, ""]:
        dt, (sigma, rho) = self.problem.time_step, measure
        if self._theta == 1.0:
            more, less = b + dt * rho, 1 + dt * sigma
        else:
            s = jnp.maximum(-sigma, 0.0)
            more, less = b * (1 + dt * s / 2) + dt * rho, 1 - dt * s / 2
        less = less * (1 - gamma(8)) - gamma(8) * dt * jnp.abs(sigma)
        return jnp.where(less > 0, more / jnp.where(less > 0, less, 1.0) * SLACK, jnp.inf)

    def start(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        return gamma(2 * len(p) + 4) * jnp.sum(jnp.abs(p[1:])) * self._length * SLACK

    @cached_property
    def _length(self) -> float:
        """|1|."""
        return 1.01 * float(np.sqrt(self.problem.mass.sum()))

    def length(self, b: Float[Array, " steps+1"], measures: Growth) -> Float[Array, ""]:
        total = jnp.sqrt(jnp.asarray(trapezoidal(self.problem.times)) @ b**2)
        return total * (1 + gamma(len(b) + 8)) * SLACK + UNDERFLOW * self._duration

    @cached_property
    def _duration(self) -> float:
        """A field of ones is at most this, times ``_length``: what underflows in squares is multiplied by it."""
        return 1.01 * float(np.sqrt(1 + self.problem.end_time))

    @cached_property
    def free_state(self) -> Bool[np.ndarray, " S"]:
        free = np.ones(len(self.problem.points), dtype=bool)
        free[[0, -1]] = self._periodic
        return free

    def corrected(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"], effort: int) -> Float[Array, "w+1 S"]:
        """Newton's method for all steps at once: (m/dt + theta J) e^{n+1} = (m/dt - (1 - theta) J) e^n - r^n.

        What it leaves is c(e_n), which tells whether once more is worth while.
        """
        theta, nu, dt = self._theta, p[0], self.problem.time_step
        mass = jnp.asarray(self.problem.mass / dt)
        v = self._unknowns(states)

        def march(v: Array, r: Array) -> tuple[Array, Array]:
            """Corrections of every state but the first, and what residual they leave."""
            lower, diagonal, upper = self._bands(nu, self._padded(self._middles(v)))

            def one(e: Array, row: tuple[Array, Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
                # in the unknown e_n: (m/dt + theta J) e_n = m/dt e^n - theta r
                low, middle, high, r = row
                bands = Bands(theta * low, mass + theta * middle, theta * high)
                mean = tridiagonal.solve(bands, mass * e - theta * r, self._periodic)
                after = (mean - (1 - theta) * e) / theta
                return after, (after, mean)

            _, (e, mean) = lax.scan(one, jnp.zeros_like(v[0]), (lower, diagonal, upper, r))
            mean = self._padded(mean)
            left, right = mean[:, :-1], mean[:, 1:]
            return e, jnp.diff((left * (left + right) + right * right) * (1 / 6))

        def again(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            v, r, _, count = state
            e, r = march(v, r)
            worth = jnp.max(jnp.abs(r / mass)) * len(r) > ENOUGH * jnp.max(jnp.abs(e))
            return v.at[1:].add(e), r, worth, count + 1

        r = self._residual(nu, v, self._padded(self._middles(v)))
        state = (v, r, jnp.asarray(True), jnp.asarray(0))
        v, _, _, _ = lax.while_loop(lambda state: state[2] & (state[3] < effort), again, state)
        return v if self._periodic else jnp.pad(v, ((0, 0), (1, 1)))

    def _bands(self, nu: Array, middle: Float[Array, "w unknowns+2"]) -> Bands:
        """J, from padded states."""
        left, v, right = middle[:, :-2], middle[:, 1:-1], middle[:, 2:]
        stiff = nu / jnp.asarray(self._widths)
        return Bands(
            -(v + 2 * left) / 6 - stiff[:-1],
            (right - left) / 6 + stiff[:-1] + stiff[1:],
            (v + 2 * right) / 6 - stiff[1:],
        )

    def state_norm(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> tuple[Array, Array]:
        v = self._unknowns(state[None])[0]
        value = jnp.sqrt(jnp.asarray(self.problem.mass) @ v**2)
        return value, gamma(v.size + 16) * value + UNDERFLOW

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """(sum_n |w^n|^2_(m^-1) / tau_n)^(1/2) for the times' weights tau_n in the norm."""
        w = self._unknowns(self.problem.states(weights))
        squares = w**2 @ jnp.asarray(1 / self.problem.mass)
        times = jnp.asarray(1 / trapezoidal(self.problem.times))
        least = UNDERFLOW * (1 + self._sizes.convection * float(np.sqrt(np.sum(1 / trapezoidal(self.problem.times)))))
        return jnp.sqrt(times @ squares) * (1 + gamma(w.size + 16)) * SLACK + least

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)  # diagonal: a rounded difference is a rounding of each entry
        return value, gamma(v.size + 40) * value + UNDERFLOW * (1 + self._duration * self._length)
