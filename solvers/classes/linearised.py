"""A solve and its derivatives along given directions: the scheme is solved once and its linearisation once a direction,
where a derivative by itself would solve again."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..batching import RowMap
from ..problem import Attempt, Problem
from ..representative import kept_by_problem

ROWS = 4  # whose derivatives are held at once


@kept_by_problem(4)
def linearised_solves(problem: Problem) -> RowMap | None:
    """(P [n, d], T [n, k, d]) -> (attempts, derivatives [n, k, N] along the rows of T), NaN where a solve failed; None
    where JAX cannot differentiate the solver, because it calls something else.
    """

    def one(p: Array, T: Array) -> tuple[Attempt, Array]:
        def solved(p: Array) -> tuple[Array, Attempt]:
            attempt = problem.solve_jax(p)
            return attempt.u, attempt

        _, along, attempt = jax.linearize(solved, p, has_aux=True)
        return attempt, lax.map(along, T)

    return _row_map(one, problem.inputs.dimension)


def linearised(function: Callable[[Float[Array, " d"]], Float[Array, " N"]], d: int) -> RowMap | None:
    """The same of any function of an input: (P, T) -> (values, derivatives along T), None where JAX cannot."""

    def one(p: Array, T: Array) -> tuple[Array, Array]:
        u, along = jax.linearize(function, p)
        return u, lax.map(along, T)

    return _row_map(one, d)


def _row_map(one: Callable[[Array, Array], object], d: int) -> RowMap | None:
    try:
        jax.eval_shape(one, jnp.zeros(d), jnp.zeros((1, d)))
    except Exception:  # another language inside
        return None
    return RowMap(one, chunk=ROWS)
