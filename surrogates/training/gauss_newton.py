"""Levenberg-Marquardt: damped Gauss-Newton steps on a sum of squares, interruptible and resumable like ``optimise``.

    min_w  sum_i |r_i(w)|^2,    (J'J + lambda D) delta = -J'r,    D = diag(J'J) + a little

A step is kept where it lowers the sum, and lambda falls as the model was right (Nielsen's rule); where not, it is
rejected and lambda grows. J'J is assembled from chunks of rows, so that J is never held as a whole; a step costs about
R P^2 operations and P^3 / 3 for R residuals and P weights, which is why ``serves`` asks for few of them. On ill-
conditioned sums it reaches in tens of steps what gradients do not reach in thousands.

optimistix (0.1) has the method too, on lineax, but runs it in one loop to its end: its steps could be driven one by one
for clock and checkpoint, and two packages more would then stand in for the hundred lines here.
References: Marquardt 1963; Madsen, Nielsen, Tingleff, Methods for Non-Linear Least Squares Problems (2004), 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

Residuals = Callable[[Any, Any], Any]  # (weights, one row) -> [k], whose squares are summed over rows

CHUNK = 32  # rows whose derivatives are held at once
WORK = 2e8  # R P^2 up to which a step takes about as long as one of L-BFGS
START, LEAST, MOST = 1e-3, 1e-15, 1e10  # of lambda
FLOOR = 1e-12  # of D, against the largest entry of the diagonal


def serves(weights: Any, residual_count: int) -> bool:
    """Whether a step is cheap enough for the method to be the first choice."""
    P = sum(np.size(a) for a in jax.tree.leaves(weights))
    return residual_count * P**2 + P**3 / 3 <= WORK


@lru_cache(maxsize=16)  # a second training run of the same shape compiles nothing
def levenberg_marquardt(residuals: Residuals) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Begin and advance, as ``optimise.Stages`` takes them.

    A state is (weights, lambda, the factor it grows by next, the sum of squares).
    """

    def total(weights: Any, rows: Any) -> Array:
        return jnp.sum(jax.vmap(lambda row: residuals(weights, row))(rows) ** 2)

    def begin(weights: Any, rows: Any) -> Any:
        return weights, jnp.asarray(START), jnp.asarray(2.0), total(weights, rows)

    def step(state: Any, rows: Any) -> Any:
        weights, damping, growth, value = state
        flat, restore = ravel_pytree(weights)
        A, g = _normal_equations(lambda w, row: residuals(restore(w), row), flat, rows)
        diagonal = jnp.diag(A)
        scale = diagonal + FLOOR * jnp.max(diagonal)
        delta = -jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(A + jnp.diag(damping * scale)), g)
        trial = restore(flat + delta)
        new = total(trial, rows)
        promised = jnp.vdot(delta, damping * scale * delta - g)
        ratio = (value - new) / jnp.where(promised > 0, promised, jnp.inf)
        better = (new < value) & jnp.isfinite(new)  # a matrix without a factor gives NaN, and is rejected too
        weights = jax.tree.map(lambda a, b: jnp.where(better, a, b), trial, weights)
        shrink = jnp.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
        damping = jnp.clip(jnp.where(better, damping * shrink, damping * growth), LEAST, MOST)
        return weights, damping, jnp.where(better, 2.0, jnp.minimum(2 * growth, 64.0)), jnp.where(better, new, value)

    def advance(state: Any, rows: Any, count: Any) -> tuple[Any, Any]:
        state = lax.fori_loop(0, count, lambda _, s: step(s, rows), state)
        return state, state[3]

    return jax.jit(begin), jax.jit(advance)


def _normal_equations(
    residuals: Callable[[Array, Any], Array], flat: Float[Array, " P"], rows: Any
) -> tuple[Float[Array, "P P"], Float[Array, " P"]]:
    """J'J and J'r, from chunks of rows; the last chunk is filled up with rows that count nothing."""
    n = jax.tree.leaves(rows)[0].shape[0]
    chunk = min(CHUNK, n)
    chunks = -(-n // chunk)
    index = jnp.minimum(jnp.arange(chunks * chunk), n - 1).reshape(chunks, chunk)
    counts = (jnp.arange(chunks * chunk) < n).astype(flat.dtype).reshape(chunks, chunk)

    def add(sums: tuple[Array, Array], part: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        which, count = part
        some = jax.tree.map(lambda a: a[which], rows)
        J = jax.vmap(lambda row: jax.jacrev(residuals)(flat, row))(some) * count[:, None, None]
        r = jax.vmap(lambda row: residuals(flat, row))(some) * count[:, None]
        J = J.reshape(-1, flat.shape[0])
        return (sums[0] + J.T @ J, sums[1] + J.T @ r.reshape(-1)), None

    zero = (jnp.zeros((flat.shape[0], flat.shape[0]), flat.dtype), jnp.zeros_like(flat))
    return lax.scan(add, zero, (index, counts))[0]
