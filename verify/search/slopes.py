"""Derivatives of errors in the inputs: by one solve and its adjoint, and of estimates without any solve.

With the solution u(p) and the surrogate's field v(p) an error is E(p, u(p), v(p)), so that

    dE/dp = E_p + (du/dp)' E_u + (dv/dp)' E_v.

E_p, E_u and E_v are JAX's, (du/dp)' E_u is the adjoint solve. A surrogate need not be written in JAX: (dv/dp)' E_v are
central differences of its answers, which cost no solve. Logarithms of errors are what is climbed: their slopes do not
depend on how small an error is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import compiled
from ...solvers.outputs import Output, value
from ...solvers.problem import Attempt, Problem, nan_unless
from ...solvers.representative import kept_by_problem
from ..answers.evaluate import Model, evaluate
from ..measured_error import safe_norm

STEP = 1e-3  # of the box: the answers of a float32 network tell slopes to a thousandth over it
Program = Callable[..., Any]


@kept_by_problem(16)
def adjoint_program(problem: Problem, output: Output | None) -> Program | None:
    """(p, v, scale) -> (the solve, E_p + (du/dp)' E_u, E_v) of E = log error, compiled; None without derivatives."""

    def solve(p: Array) -> tuple[Array, Attempt]:
        attempt = problem.solve_jax(p)
        u = attempt.u
        return nan_unless(jnp.all(jnp.isfinite(jax.lax.stop_gradient(u))), u, p), attempt

    def program(p: Array, v: Array, scale: Array) -> tuple[Attempt, Array, Array]:
        u, pull, attempt = jax.vjp(solve, p, has_aux=True)
        of_p, of_u, of_v = jax.grad(log_error(problem, output), argnums=(0, 1, 2))(p, u, v, scale)
        return attempt, of_p + pull(of_u)[0], of_v

    return program_of(problem, program)


def log_error(problem: Problem, output: Output | None) -> Callable[..., Array]:
    """(p, u, v, scale) -> the logarithm of v's error relative to scale + the size of u."""

    def of_fields(p: Array, u: Array, v: Array, scale: Array) -> Array:
        error = safe_norm(problem, p, u - problem.prescribe(p, v))
        return jnp.log(error) - jnp.log(scale + problem.magnitude(p, u))

    def of_output(p: Array, u: Array, v: Array, scale: Array) -> Array:
        assert output is not None
        true, own = value(problem, output, p, u), value(problem, output, p, problem.prescribe(p, v))
        return jnp.log(jnp.abs(true - own)) - jnp.log(scale + jnp.abs(true))

    return of_fields if output is None else of_output


def program_of(problem: Problem, program: Program) -> Program | None:
    """It compiled, if JAX can trace it, which costs no solve; None for what is written in something else."""
    shapes = (problem.inputs.dimension, problem.size)
    try:
        jax.eval_shape(program, *(jnp.zeros(n) for n in shapes), jnp.zeros(()))
    except Exception:  # numpy inside, or a solver without derivatives
        return None
    return compiled(program)


class TrueSlope:
    """``slope(p)``: a solve, and the slope of the log error in unit coordinates; ``exists`` tells whether there is
    one.
    """

    def __init__(self, problem: Problem, model: Model, scale: float, output: Output | None) -> None:
        self.problem, self.model, self.scale = problem, model, scale
        self.output = output

    @property
    def exists(self) -> bool:
        return self.problem.has_solver and adjoint_program(self.problem, self.output) is not None

    def __call__(self, p: Float[np.ndarray, " d"]) -> tuple[Attempt, Float[np.ndarray, " d"]]:
        """NaN where there is no slope: a solve that failed, an error that is zero or infinite."""
        program = adjoint_program(self.problem, self.output)
        assert program is not None
        v = evaluate(self.model, p[None], self.problem).fields[0]
        attempt, of_p, of_v = program(jnp.asarray(p), jnp.asarray(v), jnp.asarray(self.scale))
        slope = to_unit_slope(self.problem, p, np.asarray(of_p))
        return attempt, slope + answers_slope(self.problem, self.model, p, np.asarray(of_v))


def to_unit_slope(problem: Problem, p: Float[np.ndarray, " d"], slope: np.ndarray) -> Float[np.ndarray, " d"]:
    """The slope in unit coordinates, logarithmic where the input is."""
    _, width = problem.inputs.scaled_ends()
    return slope * width * np.where(np.array(problem.inputs.log), p, 1.0)


def answers_slope(
    problem: Problem, model: Model, p: Float[np.ndarray, " d"], w: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " d"]:
    """The slope of w . v(p) in unit coordinates, by central differences inside the box."""
    box, d = problem.inputs, problem.inputs.dimension
    x = box.to_unit(p)
    low, high = np.clip(x - STEP * np.eye(d), 0, 1), np.clip(x + STEP * np.eye(d), 0, 1)
    fields = evaluate(model, box.from_unit(np.concatenate([low, high])), problem).fields
    with np.errstate(invalid="ignore", over="ignore"):
        found: np.ndarray = (fields[d:] - fields[:d]) @ w / np.diag(high - low)
    return found
