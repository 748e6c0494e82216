"""The error as it can be estimated without a solve: the residual through an approximate inverse of the scheme.

With e = u - v + approximate_error(p, v) about the difference of an answer u to the truth, v = prescribe(p, u):

    ||e|| / (scale + ||u - e||),    or    |l(u) - l(u - e)| / (scale + |l(u - e)|) of an output l

It is no bound, and finite where relative bounds are not. Of symmetric coercive problems, whose inverse is that of a
reference, or a cycle, the correction v - approximate_error(p, v) is taken ``CORRECTIONS`` times, with the combination
of them that leaves the least correction (Anderson 1965; for a linear scheme that is GMRES of the preconditioned system,
Walker and Ni 2011). Others' inverses are exact, or Newton's.

Reference: as the residual loss that networks are trained on.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import RowMap, compiled
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.outputs import Output
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ..answers.evaluate import Model, evaluate
from .signal import Signal, of_fields
from .slopes import Program, answers_slope, log_error, to_unit_slope

CORRECTIONS = 3  # each costs a residual and an approximate inverse
SMALLEST = 1e-14  # of the trace: what keeps the few equations of a combination regular


def corrected(
    correction: Callable[[Float[Array, " N"]], Float[Array, " N"]], v: Float[Array, " N"], times: int
) -> Float[Array, " N"]:
    """About the w with correction(w) = 0, from v, by that many steps of Anderson's method.

    With the differences dW of the points and dF of their corrections, w = w_k - f_k - (dW - dF) g, where g is the
    least-squares solution of dF g = f_k.
    """
    points, found = [v], [correction(v)]
    w = v - found[0]
    for k in range(1, times):
        points.append(w)
        found.append(correction(w))
        moved = jnp.stack([points[i + 1] - points[i] for i in range(k)])
        changed = jnp.stack([found[i + 1] - found[i] for i in range(k)])
        gram = changed @ changed.T
        # where nothing is left to correct the system is zero: then so is g
        size = jnp.trace(gram)
        gram = gram / jnp.where(size > 0, size, 1.0) + SMALLEST * jnp.eye(k)
        g = jnp.linalg.solve(gram, changed @ found[-1] / jnp.where(size > 0, size, 1.0))
        w = w - found[-1] - g @ (moved - changed)
    return w


def estimated_error(problem: Problem, model: Model, scale: float, output: Output | None) -> Signal | None:
    """The signal, differentiable whatever the surrogate is written in; None where no inverse is known."""
    programs = _programs(problem, output)
    if programs is None:
        return None
    rows, slope = programs

    def gradient(p: Array) -> tuple[Array, Array]:
        p_ = np.asarray(p)
        v = evaluate(model, p_[None], problem).fields[0]
        height, (of_p, of_v) = slope(p, jnp.asarray(v), jnp.asarray(scale))
        answers = answers_slope(problem, model, p_, np.asarray(of_v))
        found = to_unit_slope(problem, p_, np.asarray(of_p)) + answers
        return height, jnp.asarray(found / to_unit_slope(problem, p_, np.ones_like(p_)))

    def measure(P: np.ndarray, fields: np.ndarray) -> Float[np.ndarray, " n"]:
        return np.exp(rows(P, fields, given=(np.float64(scale),)))

    return Signal("estimate", of_fields(problem, model, measure), gradient)


@kept_by_problem(16)
def _programs(problem: Problem, output: Output | None) -> tuple[RowMap, Program] | None:
    """The logarithm of the estimate in rows, and of one row with its slopes in the input and in the answer."""
    measure = log_error(problem, output)
    times = CORRECTIONS if isinstance(problem, CoerciveProblem) else 1

    def one(p: Array, u: Array, scale: Array) -> Array:
        def correction(v: Array) -> Array:
            e = problem.approximate_error(p, v)
            assert e is not None
            return e

        return measure(p, corrected(correction, problem.prescribe(p, u), times), u, scale)

    p, u = (jax.ShapeDtypeStruct((n,), jnp.float64) for n in (problem.inputs.dimension, problem.size))
    try:
        if jax.eval_shape(problem.approximate_error, p, u) is None:
            return None
        both = jax.value_and_grad(one, argnums=(0, 1))
        jax.eval_shape(both, p, u, jax.ShapeDtypeStruct((), jnp.float64))
    except Exception:  # numpy inside
        return None
    return RowMap(lambda scale, p, u: one(p, u, scale)), compiled(both)
