"""Preconditioned conjugate gradients to a true residual, for any symmetric positive definite operator on arrays.

The preconditioner stands in the loop once: an operator of many levels is compiled once, and none is applied after the
last step. Reference: Hestenes and Stiefel 1952; Golub and Van Loan, Matrix Computations (2013), section 11.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..size import powers

Operator = Callable[[Array], Array]
CgState = tuple[Array, Array, Array, Array, Array]  # iterations, u, r, direction, r'z of the step before
Refinement = tuple[Array, Array, Array, Array, Array, Array, Array]  # u, r, |r|, target, iterations, restarts, slow

# Too slow for the preconditioner to be the right one: after TRIAL steps the residual norm is still above RATE^steps of
# the first. To 1e-12 that would take 48 steps.
TRIAL, RATE = 10, 10**-0.25


class CgResult(NamedTuple):
    """The result of an iteration with its account."""

    u: Float[Array, "..."]
    residual: Float[Array, ""]  # ||b - A u|| recomputed, absolute
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def computed_if(when: Bool[Array, ""], compute: Callable[[], Array]) -> Array:
    """``compute()`` if ``when``, else zeros.

    A branch on a run-time value is also a boundary for the compiler. Without one it fuses a producer into the nine
    reads of the consuming stencil and computes it nine times (a V-cycle at 128^2 takes 545 us, with the branches 130),
    or a stencil into the sum that reads it, which then runs one entry at a time (a norm of b - A u: 190 us, not 60).
    """
    like = jax.eval_shape(compute)
    return lax.cond(when, compute, lambda: jnp.zeros(like.shape, like.dtype))


def conjugate_gradients(
    operator: Operator,
    preconditioner: Operator,
    b: Array,
    target: Float[Array, ""],
    max_iterations: int,
    patient: bool = True,
) -> tuple[Array, Int[Array, ""]]:
    """From zero until the *recurrence's* residual norm is at most ``target``, or the preconditioner ceases to be
    positive; or, if not ``patient``, until it shows itself to be slow.
    """
    size = jnp.vdot(b, b)

    def go_on(state: CgState) -> Array:
        k, _, r, _, rz = state
        norm = jnp.vdot(r, r)
        on = (k < max_iterations) & (norm > target**2) & (rz > 0)
        return on if patient else on & ((k < TRIAL) | (norm <= RATE ** (2 * k) * size))

    def step(state: CgState) -> CgState:
        k, u, r, p, before = state
        z = preconditioner(r)
        rz = jnp.vdot(r, z)
        p = z + (rz / before) * p
        ap = operator(p)
        alpha = jnp.where(rz > 0, rz / jnp.vdot(p, ap), 0.0)  # not positive: breakdown, the loop ends here
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
    robust: Callable[[], Operator] | None = None,
) -> CgResult:
    """A u = b to a *true* relative residual of ``tolerance``, or to the rounding floor of evaluating it.

    The residual of the recurrence drifts from the true one, so b - A u is recomputed and the iteration restarted on
    it until the recomputed one is small enough, or below ``floor`` ||abs(A) abs(u)|| (``absolute``), where it is
    rounding.

    Args:
        positive: whether the operator's weights are; where not, nothing converges.
        robust: makes a dearer preconditioner, which takes over where the other one turns out to be slow.
    """
    down, up = powers(b)  # the equation is linear: solved near one, no square underflows in any step
    b = b * down
    size = jnp.sqrt(jnp.vdot(b, b))
    wanted = tolerance * size

    def reached(u: Array, norm: Array) -> Array:
        def rounding() -> Array:
            scale = computed_if(positive, lambda: absolute(u))
            return jnp.maximum(wanted, floor * jnp.sqrt(jnp.vdot(scale, scale)))

        return lax.cond(norm > wanted, rounding, lambda: wanted)

    def go_on(state: Refinement) -> Array:
        _, _, norm, target, k, restarts, _ = state
        return (norm > target) & (restarts < 4) & (k < max_iterations)

    def iterate(r: Array, slow: Array) -> tuple[Array, Array]:
        if robust is None:
            return conjugate_gradients(operator, preconditioner, r, 0.5 * wanted, max_iterations)
        return lax.cond(
            slow,
            lambda: conjugate_gradients(operator, robust(), r, 0.5 * wanted, max_iterations),
            lambda: conjugate_gradients(operator, preconditioner, r, 0.5 * wanted, max_iterations, patient=False),
        )

    def refine(state: Refinement) -> Refinement:
        u, r, before, _, k, restarts, slow = state
        du, dk = iterate(r, slow)
        u = u + du
        r = computed_if(positive, lambda: b - operator(u))
        norm = jnp.sqrt(jnp.vdot(r, r))
        slow = slow | ((dk >= TRIAL) & (norm > RATE**dk * before) & (norm > 2 * wanted))
        return u, r, norm, reached(u, norm), k + dk, restarts + 1, slow

    none = jnp.asarray(0)
    # From NaN where b is not finite: derivatives of a solve that failed ask for this, and are to be NaN, not zero.
    first = jnp.full_like(b, jnp.where(jnp.isfinite(size), 0.0, jnp.nan))
    start = (first, b, size, wanted, none, none, jnp.asarray(False))
    u, _, norm, target, k, _, _ = lax.while_loop(go_on, refine, start)
    return CgResult(u * up, jnp.where(positive, norm * up, jnp.inf), k, positive & (norm <= target))
