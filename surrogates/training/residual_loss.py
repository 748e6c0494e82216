"""The physics loss of any problem: how far a field is from the truth, read from the scheme's residual alone.

    loss(p, u) = |e|^2 / |u - e|^2   in the problem's norm,
    e = u - v + approximate_error(p, v),   v = prescribe(p, u)

e is about u - u(p): the residual in the dual norm that its approximate inverse gives (a multigrid cycle, sine
transforms, the linearised scheme carried through time, Newton's correction), so that u - e is about the truth and
1e-4 reads as an error of about 1 %. In the Euclidean norm of the residual least squares are hopeless: there the
condition number of the operator lies between residual and error. Where only a residual is known the loss is

    |F(p, u)|^2 / |F(p, prescribe(p, 0))|^2,

relative to the residual of nothing, which says less of the error.
Reference: Rojas, Maczuga, Munoz-Matute, Pardo, Paszynski 2024 (robust variational physics-informed networks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...solvers.classes.evolution import EvolutionProblem
from ...solvers.problem import Problem

UNKEPT = 0.5  # of what the first state has: it is missing, and this is no rounding
Loss = Callable[[Float[Array, " d"], Float[Array, " N"]], Float[Array, ""]]
FieldMap = Callable[[Float[Array, " d"], Float[Array, " N"]], Float[Array, " N"]]


def residual_loss(problem: Problem) -> Loss:
    """(p, u [N]) -> the squared relative residual in the dual norm (module docstring): JAX, differentiable in u.

    Raises:
        ValueError: nothing but solutions is known of the problem.
    """
    error = error_field(problem)
    if error is None:
        return _plain(problem)

    def loss(p: Array, u: Array) -> Array:
        e = error(p, u)
        return relative_square(problem, p, e, u - e)

    return loss


def error_field(problem: Problem) -> FieldMap | None:
    """(p, u) -> about u - u(p), from the residual; None where the problem knows no approximate inverse."""
    p, u = (jax.ShapeDtypeStruct((n,), jnp.float64) for n in (problem.inputs.dimension, problem.size))
    if jax.eval_shape(problem.approximate_error, p, u) is None:
        return None

    def error(p: Array, u: Array) -> Array:
        v = problem.prescribe(p, u)
        e = problem.approximate_error(p, v)
        assert e is not None
        return u - v + e

    return error


def built_in(problem: Problem) -> FieldMap:
    """(p, u) -> the field with everything that is known of solutions beforehand: prescribed values, and what the scheme
    conserves (energy of waves, mass of periodic flow).
    """
    if not isinstance(problem, EvolutionProblem) or not conserves(problem):
        return problem.prescribe
    conserve = problem.conserve
    return lambda p, u: conserve(p, problem.prescribe(p, u))


def conserves(problem: Problem) -> bool:
    """Whether the scheme keeps something in time."""
    if not isinstance(problem, EvolutionProblem):
        return False
    p, u = (jax.ShapeDtypeStruct((n,), jnp.float64) for n in (problem.inputs.dimension, problem.size))
    return jax.eval_shape(problem.conserved, p, u) is not None


def unkept(problem: Problem, P: Float[Array, "n d"], U: Float[Array, "n N"]) -> list[str]:
    """A sentence where built in does not help: what the scheme conserves cannot be given to states that are zero."""
    if not isinstance(problem, EvolutionProblem) or not conserves(problem):
        return []
    kept = np.asarray(jax.jit(jax.vmap(problem.conserved))(P, U))
    zero = (np.asarray(U).reshape(len(U), problem.shape[0], -1) == 0).all(axis=2)
    if not (zero & (np.abs(kept - kept[:, :1]) > UNKEPT * np.abs(kept[:, :1]))).any():
        return []
    return [
        f"what {problem.name} conserves is not kept, since some states are zero, which cannot be scaled: train it "
        "longer, or with base='linear'"
    ]


def constraint_loss(problem: Problem, norm: str = "problem") -> Loss:
    """(p, u [N]) -> the squared relative distance of u to ``built_in``, hard constraints as a soft one; in the
    problem's norm, to which an initial state that it does not see is added in plain numbers, or in "l2".
    """
    known = built_in(problem)

    def loss(p: Array, u: Array) -> Array:
        v = known(p, u)
        e = u - v
        if norm == "l2":
            return plain_square(e, lax.stop_gradient(v))
        unseen = _unseen(problem, p, e)  # as of an initial state, where the norm has no derivative
        whole = relative_square(problem, p, jnp.where(unseen, 0.0, e), lax.stop_gradient(v))
        if not isinstance(problem, EvolutionProblem):
            return whole
        first = e.reshape(problem.shape).at[1:].set(0.0).reshape(-1)
        alone = problem.shape[0] * plain_square(first, lax.stop_gradient(v))  # relative to a state of mean size
        return whole + jnp.where(_unseen(problem, p, first), alone, 0.0)

    return loss


def _unseen(problem: Problem, p: Array, e: Array) -> Array:
    return problem.norm(p, lax.stop_gradient(e)) == 0


def _plain(problem: Problem) -> Loss:
    residual: Any = getattr(problem, "residual", None)
    if residual is None:
        raise ValueError(
            f"{problem.name} has no residual, so that no physics can be trained on: give its equation, "
            "residual=(p, u) -> array of black_box or of dataset, or train on snapshots alone (physics_weight=0)"
        )

    def loss(p: Array, u: Array) -> Array:
        r, nothing = residual(p, u), residual(p, problem.prescribe(p, jnp.zeros(problem.size)))
        size = jnp.vdot(nothing, nothing)
        return jnp.vdot(r, r) / jnp.where(size > 0, size, 1.0)

    shapes = (jax.ShapeDtypeStruct((n,), jnp.float64) for n in (problem.inputs.dimension, problem.size))
    try:
        jax.eval_shape(jax.grad(loss, argnums=1), *shapes)
    except Exception:  # foreign code: numpy inside
        raise ValueError(
            f"the residual of {problem.name} is not written in JAX, so that it has no derivatives and no physics "
            "can be trained on: write it with jax.numpy, or train on snapshots alone (physics_weight=0)"
        ) from None
    return loss


def plain_square(e: Array, u: Array) -> Array:
    """|e|^2 / |u|^2 of the numbers themselves."""
    size = jnp.vdot(u, u)
    return jnp.vdot(e, e) / jnp.where(size > 0, size, 1.0)


def relative_square(problem: Problem, p: Array, e: Array, u: Array) -> Array:
    """|e|^2 / |u|^2, or relative to the scale of zero where that is larger; its derivative is right at e = 0, too,
    where that of the norm is not.
    """
    empty = jnp.all(e == 0)
    square = problem.norm(p, jnp.where(empty, jnp.ones_like(e), e)) ** 2
    size = problem.magnitude(p, u) ** 2 + problem.zero_scale**2
    return jnp.where(empty, 0.0, square / jnp.where(size > 0, size, 1.0))
