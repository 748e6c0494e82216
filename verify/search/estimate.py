"""The error as it can be estimated without a solve: the residual through an approximate inverse of the scheme.

With e = u - v + approximate_error(p, v) about the difference of an answer u to the truth, v = prescribe(p, u):

    ||e|| / (scale + ||u - e||),    or    |l(u) - l(u - e)| / (scale + |l(u - e)|) of an output l

It is no bound, and finite where relative bounds are not. Reference: as the residual loss that networks are trained on.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import RowMap, compiled
from ...solvers.outputs import Output
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ..answers.evaluate import Model, evaluate
from .signal import Signal, of_fields
from .slopes import Program, answers_slope, log_error, to_unit_slope


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

    def one(p: Array, u: Array, scale: Array) -> Array:
        v = problem.prescribe(p, u)
        e = problem.approximate_error(p, v)
        assert e is not None
        return measure(p, v - e, u, scale)

    p, u = (jax.ShapeDtypeStruct((n,), jnp.float64) for n in (problem.inputs.dimension, problem.size))
    try:
        if jax.eval_shape(problem.approximate_error, p, u) is None:
            return None
        both = jax.value_and_grad(one, argnums=(0, 1))
        jax.eval_shape(both, p, u, jax.ShapeDtypeStruct((), jnp.float64))
    except Exception:  # numpy inside
        return None
    return RowMap(lambda scale, p, u: one(p, u, scale)), compiled(both)
