"""The lower branch of a discrete Bratu problem by Newton's method, its steps by conjugate gradients in sines.

    F(v) = K v - lambda m e^v,    J(v) = K - diag(s),    s = lambda m e^v

K is diagonal in sines. J is preconditioned by K - sigma, sigma the mean of s weighted by the square of K's lowest
eigenvector phi (of length one): phi'(K - sigma) phi = phi' J phi, so that the preconditioner has the mode that becomes
singular at the fold, and is positive definite wherever J is. From zero Newton's iterates increase towards the smallest
solution and J(v) stays positive definite as long as there is one. A direction without positive curvature, or a
preconditioner that is not positive, hence shows that there is no solution (up to rounding and inexact steps).
Reference: Dembo, Eisenstat, Steihaug, SIAM J. Numer. Anal. 19 (1982), inexact Newton methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from ..linear_algebra.implicit import Root
from ..size import length, powers

Bratu = Any  # the problem, which imports this file

MAX_ITERATIONS = 60  # Newton steps; each halves the distance at worst (at the fold itself)
INNER = 60  # CG steps of one of them
CLEAR = 0.02  # of the lowest eigenvalue
ROUGHEST = 0.1  # relative residual of a Newton step far from the root; near it the square is as good


CgState = tuple[Array, Array, Array, Array, Array, Array, Array]  # k, x, r, direction, r'z, definite, the first r'z
NewtonState = tuple[Array, Array, Array, Array, Array, Array]  # x, source, F, |F|, k, definite


class Step(NamedTuple):
    """A solution of J x = right, so far as it was iterated."""

    x: Float[Array, "*m"]
    definite: Bool[Array, ""]  # no direction was met whose curvature is not positive


def conjugate_gradients(
    problem: Bratu, p: Any, source: Float[Array, "*m"], right: Float[Array, "*m"], share: Any, most: int
) -> Step:
    """(K - diag(source)) x = right, until the residual has fallen to ``share`` in the preconditioner's norm or ``most``
    steps are done; ends where the curvature is not positive.
    """
    sines = problem.sines
    eigenvalues = sines.eigenvalues(problem.difference_weights(p)) - jnp.sum(jnp.asarray(sines.lowest) ** 2 * source)
    positive = jnp.min(eigenvalues) > 0
    eigenvalues = jnp.where(positive, eigenvalues, 1.0)

    def precondition(r: Array) -> Array:
        return sines(sines(r) / eigenvalues)

    def go_on(state: CgState) -> Array:
        k, _, _, _, rz, definite, first = state
        return (k < most) & (rz > share**2 * first) & definite

    def step(state: CgState) -> CgState:
        k, x, r, direction, rz, _, first = state
        image = problem.differences(p, jnp.pad(direction, 1)) - source * direction
        curvature = jnp.vdot(direction, image)
        definite = curvature > 0
        alpha = jnp.where(definite, rz / jnp.where(definite, curvature, 1.0), 0.0)
        x, r = x + alpha * direction, r - alpha * image
        z = precondition(r)
        new = jnp.vdot(r, z)
        return k + 1, x, r, z + (new / rz) * direction, new, definite, first

    down, up = powers(right)  # linear: near one no square underflows
    right = right * down
    z = precondition(right)
    rz = jnp.vdot(right, z)
    state = (jnp.asarray(0), jnp.zeros_like(right), right, z, rz, positive, rz)
    _, x, _, _, _, definite, _ = lax.while_loop(go_on, step, state)
    return Step(x * up, definite)


def near_inverse(problem: Bratu, p: Any, x: Float[Array, "*m"]) -> Callable[[Array], Array]:
    """(K - sigma)^-1 at the state x; sigma is kept ``CLEAR`` off K's lowest eigenvalue, also where no solution is."""
    sines = problem.sines
    sigma = p[0] * problem.mass * jnp.sum(jnp.asarray(sines.lowest) ** 2 * jnp.exp(x))
    eigenvalues = sines.eigenvalues(problem.difference_weights(p))
    sigma = jnp.minimum(sigma, (1 - CLEAR) * jnp.min(eigenvalues))
    return lambda r: sines(sines(r) / (eigenvalues - sigma))


def find(problem: Bratu, p: Array, tolerance: float) -> Root:
    """Newton's method from zero; NaN where J was not positive definite on the way."""
    strength = p[0] * problem.mass
    load = problem.load_size(p)

    def residual(x: Array) -> tuple[Array, Array, Array]:
        source = strength * jnp.exp(x)
        r = problem.differences(p, jnp.pad(x, 1)) - source
        return source, r, length(r)

    def target(x: Array) -> Array:
        return jnp.maximum(tolerance * load, problem.residual_rounding(p, problem.around(x)))

    def go_on(state: NewtonState) -> Array:
        x, _, _, norm, k, definite = state
        return (norm > target(x)) & definite & (k < MAX_ITERATIONS)

    def step(state: NewtonState) -> NewtonState:
        x, source, r, norm, k, _ = state
        share = jnp.maximum(jnp.minimum(ROUGHEST, norm / load), 0.1 * tolerance * load / norm)
        found = conjugate_gradients(problem, p, source, -r, share, INNER)
        x = x + found.x
        return x, *residual(x), k + 1, found.definite

    start = jnp.zeros((problem.n - 1,) * problem.dimension)
    x, _, _, norm, k, definite = lax.while_loop(
        go_on, step, (start, *residual(start), jnp.zeros(()), jnp.asarray(True))
    )
    return Root(jnp.where(definite, x, jnp.nan).reshape(-1), norm, k)
