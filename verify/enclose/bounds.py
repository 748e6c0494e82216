"""Ranges, derivatives and rounding errors of JAX functions over a box: what the rest of the library calls.

All of it is JAX code: jit it, and vmap it over boxes,

    batched = jax.jit(jax.vmap(lambda low, high: coefficients(fn, low, high, 4)))

Called outside of jit, what was compiled is kept, and serves every later call with an equal program (``compiled``).

Statements are about the function that the program means (its operations on real numbers, its float64 constants exact),
over every real point of the closed box, in exact arithmetic with the rounding of the enclosure covered (``ball``). Add
``rounding_error`` for the values that the program computes in float64.

Where no bound can be given (NaN, overflow, a division by an interval across zero, a derivative across a kink) it is
infinite.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from ...solvers.precision import in_float64, require_float64
from . import ball
from .ball import Ball
from .compiled import call, call_rows
from .jaxprs import propagate
from .jet import Jet, Setting, aligned
from .programs import Function, longest_sum, trace

SHOWN = 10  # entries named in a message


@in_float64
def enclose(
    fn: Function, lower: Float[ArrayLike, "*n d"], upper: Float[ArrayLike, "*n d"], *, computed: bool = False
) -> tuple[Float[Array, "*n *k"], Float[Array, "*n *k"]]:
    """Rigorous bounds of every entry of fn over closed boxes [lower, upper].

    Args:
        fn: a function [d] -> [*k] of real numbers, written in JAX. Its first enclosure is compiled, in seconds; the
            next ones take milliseconds, as long as its program is the same (``compiled``).
        lower, upper: corners of one box [d], or of many [n, d]; the bounds of many have the boxes along their first
            axis. Where a corner is NaN or infinite, so are the bounds of that box.
        computed: bound the values that fn computes in float64, too (``rounding_error``).

    Raises:
        ValueError: bounds of different shapes or in the wrong order, float32 in the function, an operation that has no
            rule (``UnsupportedOperation``, which names it).
    """
    low, high = _box(lower, upper, many=True)
    found: tuple[Array, Array]
    if low.ndim == 1:
        found = call(_enclosure, fn, (computed,), low, high)
    else:
        found = call_rows(_enclosure, fn, (computed,), low, high)
    return found


def _enclosure(fn: Function, computed: bool, low: Array, high: Array) -> tuple[Array, Array]:
    value, _ = coefficients(fn, low, high, 1)
    if computed:
        value = ball.widen(value, rounding_error(fn, low, high))
    return ball.lower(value), ball.upper(value)


@in_float64
def coefficients(
    fn: Function, lower: ArrayLike, upper: ArrayLike, order: int, always_true: Array | None = None
) -> tuple[Ball, Ball]:
    """The range [*k] of fn over the box, and its Taylor coefficients [order, d, *k] along every axis.

    Entry (m-1, a) holds d_a^m fn(x) / m! for every x in the box. ``always_true``: a run-time True from outside of any
    vmap, which makes it quick to compile (``Setting.compile_separately``).
    """
    out: tuple[Ball, Ball] = call(_coefficients, fn, (order, always_true), *_box(lower, upper))
    return out


def _coefficients(fn: Function, order: int, always_true: Array | None, low: Array, high: Array) -> tuple[Ball, Ball]:
    out = _run(fn, ball.from_bounds(low, high), [jnp.eye(low.size)], (order,), gradient=True, always_true=always_true)
    return out.base, aligned(out, tuple((m,) for m in range(1, order + 1)), low.size)


@in_float64
def directional(
    fn: Function,
    lower: ArrayLike,
    upper: ArrayLike,
    directions: list[Float[ArrayLike, "q d"]],
    orders: tuple[int, ...],
) -> Ball:
    """The highest mixed Taylor coefficient [q, *k] along given directions, over the box.

    With directions V, W and orders (i, j), row q holds the coefficient of s^i t^j in fn(x + s V_q + t W_q), that is the
    derivative along them divided by i! j!. Where the last directions are the d unit vectors, in this order, their first
    derivatives sharpen the enclosure.
    """
    low, high = _box(lower, upper)
    shapes = {np.shape(v) for v in directions}
    if len(shapes) != 1 or len(directions) != len(orders) or shapes.pop()[-1:] != low.shape:
        raise ValueError(f"directions must be arrays [q, {low.size}] of one shape, one for each of the orders {orders}")
    if min(orders) < 0:
        raise ValueError(f"orders of derivatives must not be negative: {orders}")
    last = directions[-1]
    axes = not isinstance(last, jax.core.Tracer) and np.array_equal(np.asarray(last), np.eye(low.size))
    vectors = [jnp.asarray(v, jnp.float64) for v in directions]
    out: Ball = call(_directional, fn, (tuple(orders), axes), low, high, vectors)
    return out


def _directional(
    fn: Function, orders: tuple[int, ...], axes: bool, low: Array, high: Array, vectors: list[Array]
) -> Ball:
    out = _run(fn, ball.from_bounds(low, high), vectors, orders, gradient=axes)
    if not any(orders):
        return ball.each(lambda x: jnp.broadcast_to(x, (len(vectors[0]), *x.shape)), out.base)
    return aligned(out, (orders,), len(vectors[0]))[0]


@in_float64
def rounding_error(
    fn: Function, lower: ArrayLike, upper: ArrayLike, always_true: Array | None = None
) -> Float[Array, "*k"]:
    """At least |fn as computed in float64 - fn exactly| at every float64 point of the box: see ``rounding``."""
    out: Array = call(_rounding_error, fn, (always_true,), *_box(lower, upper))
    return out


def _rounding_error(fn: Function, always_true: Array | None, low: Array, high: Array) -> Array:
    program = trace(fn, low.shape)
    setting = Setting((1,), 1, sums=longest_sum(program.jaxpr), always_true=_always_true(low, always_true))
    out = propagate(program, Jet(ball.from_bounds(low, high)), setting)
    return ball.magnitude(aligned(out, ((1,),), 1)[0, 0])


def _always_true(low: Array, given: Array | None) -> Array:
    """True at run time for every box that is one."""
    return low[0] == low[0] if given is None else given


def _run(
    fn: Function,
    box: Ball,
    directions: list[Array],
    order: tuple[int, ...],
    gradient: bool,
    always_true: Array | None = None,
) -> Jet:
    program = trace(fn, box.shape)
    widths = box.rad if gradient else None
    setting = Setting(order, directions[0].shape[0], widths=widths, always_true=_always_true(box.mid, always_true))
    units = [tuple(int(i == v) for i in range(len(order))) for v in range(len(order))]
    used = sorted((k, i) for i, (k, m) in enumerate(zip(units, order, strict=True)) if m > 0)
    terms = ball.point(jnp.stack([directions[i] for _, i in used])) if used else None
    return propagate(program, Jet(box, ball.point(box.mid), terms, tuple(k for k, _ in used)), setting)


def _box(lower: ArrayLike, upper: ArrayLike, many: bool = False) -> tuple[Array, Array]:
    require_float64()
    shape = np.shape(lower)
    if shape != np.shape(upper) or len(shape) not in (1, 1 + many) or not shape[-1]:
        also = ", and many boxes two arrays [n, d]" if many else ""
        raise ValueError(f"a box needs two vectors of one length{also}, not shapes {shape} and {np.shape(upper)}")
    if not isinstance(lower, jax.core.Tracer) and not isinstance(upper, jax.core.Tracer):
        wrong = np.argwhere(np.asarray(lower) > np.asarray(upper))
        if wrong.size:
            entries = wrong[:, 0].tolist() if len(shape) == 1 else [tuple(at) for at in wrong.tolist()]
            more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
            raise ValueError(f"lower exceeds upper in entries {entries[:SHOWN]}{more}: exchange them")
    return jnp.asarray(lower, jnp.float64), jnp.asarray(upper, jnp.float64)


# --- norms ------------------------------------------------------------------------------------------------------------


def gram_bound(M: ArrayLike) -> Float[Array, "k k"]:
    """At least |M'M|, entry by entry: G of ``norm_bound``, once per matrix."""
    M = jnp.asarray(M, jnp.float64)
    A = ball.absolute_matrix(M)
    g = ball.sum_slack(M.shape[0])
    return (jnp.abs(M.T @ M) + g * (A.T @ A)) * (1 + g) + 64 * ball.TINY


def norm_bound(M: Float[ArrayLike, "n k"], G: Float[ArrayLike, "k k"], x: Ball) -> Float[Array, ""]:
    """At least ||M x||_2 for every x [k] in the ball.

    With c its centre and rho its radius, ||M(c + d)||^2 = |Mc|^2 + 2 d'M'Mc + d'M'M d <= |Mc|^2 + 2 |M'Mc|' rho +
    rho' G rho. Never above ||Mc|| + sqrt(rho'G rho), and below || |M| rho || by what the columns of M cancel.
    """
    M, G = jnp.asarray(M, jnp.float64), jnp.asarray(G, jnp.float64)
    A = ball.absolute_matrix(M)
    y = ball.linear(Ball(x.mid, jnp.zeros_like(x.rad)), lambda v: M @ v, lambda v: A @ v, M.shape[1])
    back = ball.linear(y, lambda v: M.T @ v, lambda v: A.T @ v, M.shape[0])
    g = ball.sum_slack(M.shape[0] + M.shape[1])
    size = ball.magnitude(y)
    squared = jnp.sum(size * size) + 2 * jnp.sum(ball.magnitude(back) * x.rad) + jnp.sum(x.rad * (G @ x.rad))
    bound = jnp.sqrt(squared * (1 + 4 * g)) * (1 + 2 * ball.LIBM) + 2.0**-500
    return jnp.where(jnp.all(ball.bounded(x)) & jnp.isfinite(bound), bound, jnp.inf)
