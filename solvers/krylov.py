"""Preconditioned conjugate gradients to a true residual, for any symmetric positive definite operator on arrays.

The preconditioner stands in the loop once: an operator of many levels is compiled once, and none is applied after the
last step. Reference: Hestenes and Stiefel 1952; Golub and Van Loan, Matrix Computations (2013), section 11.5.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .multigrid import CgResult, gated

Operator = Callable[[Array], Array]
CgState = tuple[Array, Array, Array, Array, Array]  # iterations, u, r, direction, r'z of the step before
Refinement = tuple[Array, Array, Array, Array, Array, Array]  # u, r, |r|, target, iterations, restarts


def conjugate_gradients(
    operator: Operator, preconditioner: Operator, b: Array, target: Float[Array, ""], max_iterations: int
) -> tuple[Array, Int[Array, ""]]:
    """From zero until the *recurrence's* residual norm is at most ``target``, or the preconditioner ceases to be
    positive.
    """

    def go_on(state: CgState) -> Array:
        k, _, r, _, rz = state
        return (k < max_iterations) & (jnp.vdot(r, r) > target**2) & (rz > 0)

    def step(state: CgState) -> CgState:
        k, u, r, p, before = state
        z = preconditioner(r)
        rz = jnp.vdot(r, z)
        p = z + (rz / before) * p
        ap = operator(p)
        alpha = jnp.where(rz > 0, rz / jnp.vdot(p, ap), 0.0)
        return k + 1, u + alpha * p, r - alpha * ap, p, rz

    zero = jnp.zeros_like(b)
    k, u, _, _, _ = lax.while_loop(go_on, step, (jnp.asarray(0), zero, b, zero, jnp.asarray(jnp.inf)))
    return u, k


def refined(
    operator: Operator,
    absolute: Operator,
    preconditioner: Operator,
    b: Array,
    tolerance: float,
    floor: float,
    positive: Bool[Array, ""],
    max_iterations: int = 200,
    max_restarts: int = 4,
) -> CgResult:
    """A u = b to a *true* relative residual of ``tolerance``, or to the rounding floor of evaluating it.

    The residual of the recurrence drifts from the true one, so b - A u is recomputed and the iteration restarted on
    it until the recomputed one is small enough, or below ``floor`` ||abs(A) abs(u)|| (``absolute``), where it is
    rounding.

    Args:
        positive: whether the operator's weights are; where not, nothing converges.
    """
    size = jnp.sqrt(jnp.vdot(b, b))

    def go_on(state: Refinement) -> Array:
        _, _, norm, target, k, restarts = state
        return (norm > target) & (restarts < max_restarts) & (k < max_iterations)

    def refine(state: Refinement) -> Refinement:
        u, r, _, _, k, restarts = state
        du, dk = conjugate_gradients(operator, preconditioner, r, 0.5 * tolerance * size, max_iterations)
        u = u + du
        r = gated(positive, lambda: b - operator(u))
        scale = gated(positive, lambda: absolute(u))
        target = jnp.maximum(tolerance * size, floor * jnp.sqrt(jnp.vdot(scale, scale)))
        return u, r, jnp.sqrt(jnp.vdot(r, r)), target, k + dk, restarts + 1

    start = (jnp.zeros_like(b), b, size, tolerance * size, jnp.asarray(0), jnp.asarray(0))
    u, _, norm, target, k, _ = lax.while_loop(go_on, refine, start)
    return CgResult(u, jnp.where(positive, norm, jnp.inf), k, positive & (norm <= target))
