"""Roots u of equation(args, u) = 0 by Newton's method, differentiable in ``args`` to any order.

By the implicit function theorem,

    J du = -(d equation / d args) dargs,      J = d equation / d u at the root

The derivative rule calls the root itself and a custom_linear_solve with J, so that forward mode, reverse mode, batches
and their compositions (Hessian-vector products) all work and none of them differentiates through the iterations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..size import length

MAX_ITERATIONS = 30
HALVINGS = 8  # of a Newton step that does not lower the residual


class Root(NamedTuple):
    """Numbers are float64, for JAX to have a derivative (zero) of each."""

    u: Float[Array, " n"]
    residual: Float[Array, ""]  # ||equation|| at u
    iterations: Float[Array, ""]


class LinearSolves(NamedTuple):
    """Solves with the Jacobian at one state, and with its transpose."""

    solve: Callable[[Array], Array]
    transposed: Callable[[Array], Array]


def newton(
    equation: Callable[[Array], Array],
    correction: Callable[[Array, Array], Array],
    start: Float[Array, " n"],
    target: Float[Array, ""],
) -> Root:
    """Newton's method until ||equation(u)|| <= target; a step that does not lower the norm is halved.

    Ends without success where no halved step helps, where numbers cease to be finite, or after ``MAX_ITERATIONS``: the
    caller compares the residual with its target.

    Args:
        correction: (u, r) -> J(u)^-1 r, or an approximation of it.
    """
    return chord(equation, lambda u: u, correction, start, target, 0.0)


def chord(
    equation: Callable[[Array], Array],
    linearise: Callable[[Array], Array],
    correction: Callable[[Array, Array], Array],
    start: Float[Array, " n"],
    target: Float[Array, ""],
    keep: float,
    first: Array | None = None,
) -> Root:
    """Newton's method with a Jacobian that is kept while steps with it are good.

    After a step that leaves more than ``keep`` of the norm the equation is linearised anew, at the new state; ends as
    ``newton`` does, where not even a step with a new Jacobian helps. Where the factors of J cost far more than a solve
    with them this is the quicker one. Reference: Kelley, Solving Nonlinear Equations with Newton's Method, 2003, 2.

    Args:
        linearise: u -> what ``correction`` needs of J(u).
        correction: (linearise(u), r) -> J(u)^-1 r, or an approximation of it.
        first: linearise(u) at a u near ``start``, known already; None linearises there.
    """

    def go_on(state: tuple[Array, ...]) -> Array:
        norm, k, stuck = state[2:5]
        return (norm > target) & (k < MAX_ITERATIONS) & ~stuck

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        u, r, norm, k, _, kept, fresh = state
        du = correction(kept, r)

        def trial(share: Array) -> tuple[Array, Array, Array, Array]:
            v = u - share * du
            s = equation(v)
            return share, v, s, length(s)

        def worse(tried: tuple[Array, ...]) -> Array:
            share, _, _, new = tried
            return ~(new < norm) & (share > 0.5**HALVINGS) & fresh

        _, v, s, new = lax.while_loop(worse, lambda tried: trial(tried[0] / 2), trial(jnp.ones(())))
        better = new < norm
        pick = lambda a, b: jnp.where(better, a, b)  # noqa: E731
        u, r, good = pick(v, u), pick(s, r), (new <= keep * norm) | (new <= target)
        kept = lax.cond(good, lambda: kept, lambda: linearise(u))
        return u, r, pick(new, norm), k + 1, ~better & fresh, kept, ~good

    r = equation(start)
    state: tuple[Array, ...] = (
        start, r, length(r), jnp.zeros(()), jnp.asarray(False),
        linearise(start) if first is None else first, jnp.asarray(first is None),
    )  # fmt: skip
    u, _, norm, k, *_ = lax.while_loop(go_on, step, state)
    return Root(u, norm, k)


def differentiable_root(
    equation: Callable[[Any, Array], Array],
    find: Callable[[Any], Root],
    solves: Callable[[Any, Array], LinearSolves],
) -> Callable[[Any], Root]:
    """args -> ``find(args)``, with derivatives in ``args`` from ``equation`` and ``solves`` (at a state u) alone.

    ``args`` is a pytree of float64 arrays that holds everything the three functions depend on and may be
    differentiated in.
    """

    @jax.custom_jvp
    def root(args: Any) -> Root:
        return find(args)

    @root.defjvp
    def rule(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Root, Root]:
        (args,), (dargs,) = primals, tangents
        out = root(args)
        pushed = jax.jvp(lambda a: equation(a, out.u), (args,), (dargs,))[1]
        _, jacobian = jax.linearize(lambda v: equation(args, v), out.u)
        inverse = solves(lax.stop_gradient(args), lax.stop_gradient(out.u))
        du = lax.custom_linear_solve(
            jacobian, -pushed, lambda _, b: inverse.solve(b), lambda _, b: inverse.transposed(b)
        )
        return out, Root(du, jnp.zeros(()), jnp.zeros(()))

    return root
