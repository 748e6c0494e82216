"""One truth solve of a symmetric coercive problem, differentiable in its inputs: iterative, with a direct method
behind it.

    A(theta(p)) u = f(p):   du = A^-1 (df - dA u)   by implicit differentiation (custom_linear_solve), to any order

The iteration must report whether its recomputed residual met the tolerance; where it did not, a sparse direct solve
with iterative refinement answers. What is returned carries the true relative residual, and is NaN where neither was
good enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..linear_algebra.direct import callback_float64, solve_refined
from ..linear_algebra.krylov import CgResult, computed_if
from ..precision import gamma
from ..problem import Attempt, nan_unless
from ..size import length
from .coercive import CoerciveProblem

# Relative residuals above which rounding is no excuse: above LOOSE the iteration is not believed and the direct method
# is tried, above LOOSEST that is not believed either and the solve has failed. (Weights of 1e-12 in a rim around a
# block leave the direct method a residual of 4.6e-4, and an error of 8e-5 in the energy norm.)
LOOSE, LOOSEST = 1e-6, 1e-5

METHODS = ("multigrid-cg", "direct")  # ``methods`` of a problem solved here: the name of its iteration, and "direct"

Iteration = Callable[[Float[Array, " Q"], Float[Array, " N"]], CgResult]


def solve_coercive(
    problem: CoerciveProblem, p: Float[Array, " d"], tolerance: float, roundings: int, iterate: Iteration
) -> Attempt:
    """Solve at ``p`` by ``iterate(theta, b)``; where that does not converge, by the sparse direct method.

    The solve has succeeded where the relative residual, recomputed from u, is within the tolerance, or within what
    rounding makes of it: gamma_(4 roundings) || sum_q theta_q |A_q| |u| || / ||f||, below which it cannot be told from
    zero, since rounding u to float64 alone costs as much. That excuse ends at ``LOOSE`` for the iteration and at
    ``LOOSEST`` for the direct method: where weights differ by many orders of magnitude, the norm sees nothing but the
    entries of the largest ones, and u may be wrong elsewhere.

    Args:
        tolerance: the relative residual to reach.
        roundings: the number of roundings one behind the other in one entry of ``problem.apply`` at given weights.
        iterate: weights and right-hand side to the result of an iteration; it need not be differentiable.
    """
    theta = problem.theta(p)
    f = problem.load(p)

    def on_host(theta: np.ndarray, b: np.ndarray) -> np.ndarray:
        u = np.zeros(problem.size)
        u[problem.free] = solve_refined(problem.matrix(theta), b[problem.free])
        return u

    def truth(_: Any, b: Array) -> tuple[Array, tuple[Array, Array]]:
        frozen = lax.stop_gradient(theta)
        result = iterate(frozen, b)
        loose = ~(result.residual <= max(LOOSE, tolerance) * length(b))
        direct = (~result.converged | loose) & jnp.all(frozen > 0)
        u = lax.cond(direct, lambda: callback_float64(on_host, b, frozen, b), lambda: result.u)
        return u, (result.iterations, direct)

    u, (iterations, direct) = lax.custom_linear_solve(
        lambda v: problem.apply(theta, v), f, truth, symmetric=True, has_aux=True
    )
    residual, good = checked_residual(problem, theta, f, u, roundings, tolerance)
    method = jnp.where(direct, METHODS.index("direct"), METHODS.index("multigrid-cg"))
    return Attempt(nan_unless(good, u), residual, iterations, method)


def checked_residual(
    problem: CoerciveProblem, theta: Array, f: Array, u: Array, roundings: int, tolerance: float
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """||f - A u|| / ||f|| recomputed, and whether it is within the tolerance, or within rounding (``solve_coercive``).
    Neither has derivatives.
    """
    theta, f, u = lax.stop_gradient((theta, f, u))
    positive = jnp.all(theta > 0)
    defect = computed_if(positive, lambda: f - problem.apply(theta, u))
    size = length(f)
    size = jnp.where(size > 0, size, 1.0)
    residual = length(defect) / size

    def floor() -> Array:
        scale = computed_if(positive, lambda: problem.apply_absolute(theta, u))
        return gamma(4 * roundings) * length(scale) / size

    allowed = jnp.minimum(lax.cond(residual > tolerance, floor, lambda: jnp.zeros_like(residual)), LOOSEST)
    return jnp.where(positive, residual, jnp.nan), positive & (residual <= jnp.maximum(tolerance, allowed))
