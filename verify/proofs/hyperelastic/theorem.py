"""Hyperelasticity: Newton and Kantorovich's theorem with a verified Cholesky factor.

    F(v) the forces, J(v) = F'(v) = sum_g w_g B_g' D_g B_g over Gauss points,    D_g = d^2 W/dF^2 at F = I + grad v,
    |a|_mu^2 = sum mu |grad a|^2 over the cells,    ||a||_K the problem's norm, both exact by 2 x 2 Gauss points

Let J(v) - beta K_mu be positive definite, K_mu the matrix of |.|_mu, and eps >= |F(v)|'_mu, the dual norm; it is at
most ||F(v)||_(K^-1) / min mu^(1/2). If J has the Lipschitz constant L in the ball of radius R = 2 eps/beta about v, and
tau = 2 L eps/beta^2 < 1, there is one solution in that ball, and it lies within

    r = 2 eps / (beta (1 + (1 - tau)^(1/2)))    of v in |.|_mu, hence ||u - v||_K <= r / min mu^(1/2).

L: in a cell with modes X, Y, H the integral of |grad d|^2 is h^2 (|X|^2 + |Y|^2 + |H|^2/6), so that |grad d| <=
2^(1/2)/h times its root in Gauss points and 2/h in corners (Frobenius norms). For any A, B, C, with G = F^-1,

    D^3 W[A, B, C] = (lame ln J - mu) (tr GAGBGC + tr GAGCGB) + lame (tr GA (-tr GBGC) + the same twice, turned)

of which the absolute value is at most third(F) |A| |B| |C|, |G| the 2-norm,

    third = (2 (|lame| |ln J| + mu) + 3 2^(1/2) |lame|) |G|^3

For every F + E with |E| <= s, |G| s < 1: |(F + E)^-1| <= |G|/(1 - |G| s), |ln det(1 + G E)| <= -2 ln(1 - |G| s) and
det(F + E) > 0. Take s = 2^(1/2) R/(h mu^(1/2)) cell by cell; L = 2^(1/2)/h max third/mu^(3/2). J > 0 in all corners for
every field within r follows from |G| (2/h) r/mu^(1/2) < 1 there: what the problem asks of its truth.

beta: LAPACK's Cholesky factor of J(v) - beta K_mu - c I exists. Its backward error is at most gamma_k |R'| |R|, k =
bandwidth + 2 (Higham 2002, theorem 10.3; any order of summation; twice that is charged), hence gamma_k (2 k) max a_ii
in norm; what D_g is off by is subtracted from its multiple of I, what forming the matrix is off by goes into c (Rump
2006). At another field w, beta(w) >= beta(v) - max |D_g(w) - D_g(v)|/mu.

The truth is *the* solution that the load path leads to; which one was found is not proved. Solutions close to one
another do not exist (one in the ball), and what is found is stable.
References: Ortega and Rheinboldt 1970, 12.6.2 (Kantorovich); Rump, BIT 46 (2006), verified positive definiteness.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ....solvers.discretisations import neo_hookean
from ....solvers.discretisations.neo_hookean import ENDS, GAUSS, Moduli, Tangent
from ....solvers.precision import gamma
from ....solvers.problem import Problem
from ....solvers.problems.hyperelastic import Hyperelastic
from ..bounds import SLACK, ErrorBounds, assembled
from ..proof import ANY_FIELD
from ..radius import RadiusProof
from .h1 import H1

BETA, LEAST_BETA = 0.05, 0.005  # tried in this order; at rest and under moderate loads the largest is 0.2 to 1
CHORD = 8  # steps with one factor, at most
KEEP = 0.3  # of the residual left by a chord step: beyond that another factor is taken, or this is the end
ENOUGH = 1e-10  # residual relative to the load
ROOT = float(np.sqrt(2))
POINT, CORNER = ROOT, 2.0  # h |grad d| / |d| in Gauss points and in corners
FORMING = 80 * gamma(100)  # |J_computed - J|_2 relative to the largest entry of |D|: 4 cells of 8 entries, 2.5 each
CLOSE = 1e-4  # J's relative rounding, at most: first-order terms of roundings, times 1.1, then bound them

Iterate = tuple[Array, Array, Array, Array, Array]  # v, F, |F|, steps, whether to go on


class Points(NamedTuple):
    """F in four points of every cell: what the theorem reads of it, roundings included."""

    size: Float[Array, "4 n n"]  # at least |F^-1|, the 2-norm
    inverse: Float[Array, "4 n n"]  # at least 1/J
    logarithm: Float[Array, "4 n n"]  # at least |ln J|
    rounding: Float[Array, "4 n n"]  # relative, of J
    moved: Float[Array, "n n"]  # what the computed F is off by, Frobenius
    good: Bool[Array, ""]  # J > 0, for certain


class HyperelasticProof(RadiusProof):
    """Chord steps with one factor correct, and its beta serves the corrected field as far as D has not changed; other
    factors are taken where the first one does not do, up to ``effort``. One field is looked at: other solutions than
    the truth may exist, so that bounds at several fields could be about several.
    """

    problem: Hyperelastic
    unbounded = (
        "are so far from equilibrium, or so near to buckling or to turning a cell inside out, that Newton's method "
        "is not proved to converge: more steps correct more"
    )

    @classmethod
    def refusal(cls, problem: Problem) -> str:
        assert isinstance(problem, Hyperelastic)
        return (
            "" if problem.poisson >= 0 else "the estimate of the energy's third derivative takes Poisson's ratio >= 0"
        )

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "the truth is the equilibrium near the field; that the load path leads to this one is not proved",
            "J(v) >= beta K_mu by a Cholesky factor less its backward error, at every input (sums in any order)",
            "Newton-Kantorovich: one equilibrium in the ball, stable, no cell inside out, checked at every input",
            *ANY_FIELD,
        )

    @cached_property
    def _h1(self) -> H1:
        n = self.problem.cells
        return H1(n, self.problem.free.reshape(n + 1, n + 1, 2))

    # ---- what is verified of one field -------------------------------------------------------------------------------

    def _points(self, u: Float[Array, "2 n+1 n+1"], where: np.ndarray) -> Points:
        (ux, vx), (uy, vy) = neo_hookean.gradients(u, where)
        f = jnp.stack([1 + ux, vx, uy, 1 + vy])
        j = f[0] * f[3] - f[2] * f[1]
        rounding = gamma(6) * (jnp.abs(f[0] * f[3]) + jnp.abs(f[2] * f[1])) / j
        good = jnp.all((j > 0) & (rounding <= CLOSE))
        moved = 2 * gamma(10) * neo_hookean.spread_of(u)  # two rows of two entries, gamma_10 times that each
        inverse = (1 + 2 * rounding) * (1 + gamma(8)) / j
        # The largest singular value of F, over J: with a = |F|^2 its square is (a + (a^2 - 4 J^2)^(1/2))/2.
        a = jnp.sum(f**2, axis=0) * (1 + gamma(8))
        apart = jnp.maximum(a**2 - 4 * (1 - 3 * rounding) * j**2, 0.0) + gamma(16) * a**2
        size = jnp.sqrt((a + jnp.sqrt(apart)) / 2) * inverse * (1 + gamma(16))
        logarithm = jnp.abs(jnp.log(j)) * (1 + gamma(40)) + 2 * rounding
        return Points(size, inverse, logarithm, rounding, moved, good)

    def _third(self, m: Moduli, at: Points, s: Float[Array, "n n"]) -> tuple[Array, Array]:
        """At least ``third`` wherever |E| <= s, and whether s is small enough everywhere."""
        q = at.size * s * (1 + gamma(8))
        small = jnp.all(q < 1)
        q = jnp.where(q < 1, q, 0.5)
        logarithm = at.logarithm - 2 * jnp.log1p(-q) * (1 + gamma(40))
        factor = 2 * (m.lame * logarithm + m.mu) + 3 * ROOT * m.lame
        return factor * (at.size / (1 - q)) ** 3 * (1 + gamma(100)), small

    def _tangent(self, p: Array, v: Array) -> tuple[Tangent, Array, Array]:
        """D in the Gauss points; what it is off by at most, in the 2-norm; whether that is known."""
        m, u = self.problem.moduli(p), self.problem.to_grid(v)
        t, at = neo_hookean.tangent(m, u), self._points(u, GAUSS)
        third, small = self._third(m, at, at.moved)
        bent = m.lame * (1 + at.logarithm) + m.mu
        square = jnp.sum(t.across_x**2 + t.across_y**2, axis=0)
        relative = 3 * at.rounding + gamma(40)  # of bend and pressure, 2 J's and what J makes of the logarithm
        off = gamma(8) * m.mu + relative * bent * at.inverse * (square * at.inverse + 1)
        return t, 1.1 * (off + third * at.moved), at.good & small

    def _shifted(self, p: Array, t: Tangent, off: Array, beta: float) -> Float[Array, "k N"]:
        """The diagonals of a matrix below J - beta K_mu by more than all that rounding makes of its factor."""
        below = t._replace(shift=(1 - beta) * t.shift - off)
        square = jnp.sum(t.across_x**2 + t.across_y**2, axis=0)
        largest = jnp.max(t.shift + jnp.abs(t.bend) * square + jnp.abs(t.pressure))
        width = self.problem.cholesky.width
        backward = gamma(2 * (width + 8)) * (2 * width + 1) * jnp.maximum(10 * largest, 1.0)
        c = 1.01 * (FORMING * largest + backward)
        diagonals = neo_hookean.stiffness(below, self.problem.free)
        return diagonals.at[0].add(-jnp.where(self.problem.free, c, 0.0))

    def _beta(self, p: Array, v: Array) -> Float[Array, ""]:
        """J(v) >= beta K_mu; zero where none is verified."""
        t, off, known = self._tangent(p, v)

        def tried(beta: float) -> Array:
            return known & self.problem.cholesky.is_definite(self._shifted(p, t, off, beta))

        first = tried(BETA)
        second = lax.cond(first | ~known, lambda: first, lambda: tried(LEAST_BETA))
        return jnp.where(first, BETA, jnp.where(second, LEAST_BETA, 0.0))

    def _near(self, p: Array, v: Array, w: Array, beta: Array) -> Float[Array, ""]:
        """J(v) >= this times K_mu where J(w) >= beta K_mu."""
        (t, off, known), (s, loss, also) = self._tangent(p, v), self._tangent(p, w)
        xx, xy, yy = (a - b for a, b in zip(neo_hookean.blocks(t), neo_hookean.blocks(s), strict=True))
        square = jnp.sum(xx**2 + 2 * xy**2 + yy**2, axis=(0, 1))
        entries = jnp.sum(t.across_x**2 + t.across_y**2, axis=0) * jnp.abs(t.bend) + t.shift + jnp.abs(t.pressure)
        entries = entries + jnp.sum(s.across_x**2 + s.across_y**2, axis=0) * jnp.abs(s.bend) + jnp.abs(s.pressure)
        change = jnp.sqrt(square) * (1 + gamma(32)) + off + loss + gamma(16) * entries
        left = (beta - jnp.max(change / t.shift) * (1 + gamma(8))) * (1 - gamma(8))
        return jnp.where(known & also & (left > 0), left, 0.0)

    def _radius(self, p: Array, v: Array, beta: Array) -> Float[Array, ""]:
        problem, n = self.problem, self.problem.cells
        m, u = problem.moduli(p), problem.to_grid(v)
        least = jnp.min(m.mu) * (1 - gamma(8))
        forces = neo_hookean.forces(m, u)
        eps = self._h1.dual_norm(forces, problem.residual_rounding(p, v)) / jnp.sqrt(least) * SLACK
        inside, corners = self._points(u, GAUSS), self._points(u, ENDS)
        ball = 2 * eps / beta
        root = jnp.sqrt(m.mu * (1 - gamma(8)))
        third, small = self._third(m, inside, (POINT * n * ball / root + inside.moved) * (1 + gamma(16)))
        L = POINT * n * jnp.max(third / root**3) * (1 + gamma(32))
        tau = 2 * L * eps / beta**2 * (1 + gamma(32))
        r = 2 * eps / (beta * (1 + jnp.sqrt(jnp.maximum(1 - tau, 0.0)))) * (1 + gamma(32))
        whole = jnp.all(corners.size * (CORNER * n * r / root + corners.moved) * (1 + gamma(32)) < 1)
        good = (beta > 0) & inside.good & corners.good & small & whole & (tau < 1)
        return jnp.where(good, r / jnp.sqrt(least) * SLACK, jnp.inf)

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        return self._radius(p, v, self._beta(p, v))

    # ---- corrections -------------------------------------------------------------------------------------------------

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        return self._corrected(p, v, effort)[0]

    def _corrected(self, p: Array, v: Array, effort: int) -> tuple[Array, Array, Array]:
        """The corrected field, the one whose Jacobian was factorised last, and its beta."""
        enough = ENOUGH * self.problem.load_size(p)
        state = (v, v, jnp.zeros(()), jnp.asarray(jnp.inf))
        for _ in range(effort):
            state = lax.cond(state[3] > enough, lambda now: self._chord(p, now[0], enough), lambda now: now, state)
        return state[:3]

    def _chord(self, p: Array, w: Array, enough: Array) -> tuple[Array, Array, Array, Array]:
        """Steps with the Jacobian at w less beta K_mu, which is verified by the way; where that is not definite, with
        the Jacobian less what makes it indefinite in a point."""
        free, cholesky = jnp.asarray(self.problem.free), self.problem.cholesky

        def residual(v: Array) -> Array:
            return jnp.where(free, self.problem.residual(p, v), 0.0)

        def size(r: Array) -> Array:
            return jnp.sqrt(jnp.vdot(r, r))

        t, off, known = self._tangent(p, w)
        sharp = self._shifted(p, t, off, BETA)
        definite = cholesky.is_definite(sharp)

        def convex() -> Array:
            part = t._replace(pressure=jnp.clip(t.pressure, -t.shift, t.shift), bend=jnp.maximum(t.bend, 0.0))
            return neo_hookean.stiffness(part, self.problem.free)

        diagonals = lax.cond(definite, lambda: sharp, convex)

        def go_on(state: Iterate) -> Array:
            _, _, norm, k, on = state
            return on & (k < CHORD) & (norm > enough)

        def step(state: Iterate) -> Iterate:
            v, r, norm, k, _ = state
            nearer = v - cholesky.solve(diagonals, r)
            s = residual(nearer)
            new = size(s)
            v, r = jnp.where(new < norm, nearer, v), jnp.where(new < norm, s, r)
            return v, r, jnp.where(new < norm, new, norm), k + 1, new < KEEP * norm

        r = residual(w)
        v, _, norm, _, _ = lax.while_loop(go_on, step, (w, r, size(r), jnp.asarray(0), jnp.asarray(True)))
        return v, w, jnp.where(definite & known, BETA, 0.0), norm

    # ---- bounds ------------------------------------------------------------------------------------------------------

    def _polished(self, p: Array, v: Array, effort: int) -> tuple[Array, Array]:
        """The corrected field and its radius."""
        nearer, factorised, beta = self._corrected(p, v, effort)
        there = self._near(p, nearer, factorised, beta)
        there = lax.cond(there >= BETA / 4, lambda: there, lambda: self._beta(p, nearer))
        return nearer, self._radius(p, nearer, there)

    def _bounded(self, p: Array, v: Array, effort: int) -> tuple[ErrorBounds, list[tuple[Array, Array]]]:
        if effort == 0:
            r, small, large = self._within(p, v, self.radius_row(p, v))
            return assembled(jnp.zeros(()), r, jnp.minimum(self.norm_row(p, v)[1], r), small, large), [(v, r)]
        nearer, r = self._polished(p, v, effort)
        r, small, large = self._within(p, nearer, r)
        d, off = self.norm_row(p, nearer - v)
        lower, upper = (d - off - r) / SLACK, (d + off + r) * SLACK
        return assembled(jnp.maximum(lower, 0.0), upper, r + off, small, large), [(nearer, r)]

    def polish_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> tuple[Array, ErrorBounds]:
        nearer, r = self._polished(p, v, effort)
        r, small, large = self._within(p, nearer, r)
        return nearer, assembled(jnp.zeros(()), r, r, small, large)

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        return self._h1.norm(self.problem.to_grid(v))

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        return self._h1.dual_norm(self.problem.to_grid(weights), jnp.zeros(()))
