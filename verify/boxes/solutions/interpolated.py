"""The quotient ||e(x)|| / (scale + ||u(x)||) over a box, from an error vector and a solution that are analytic in x.

For a vector g with ||g(x)|| >= q(x) (||e(x)|| - r), a vector y with ||y(x)|| <= q(x) (||u(x)|| + r), a positive factor
q that drops out of the quotient (it takes a pole away, or the growth of u), and any fixed v of length at most one,

    sup ||e|| / (scale + ||u||) <= (sup ||g|| + q r) / (q scale + inf y.v - q r)

g and y.v are interpolated on a tensor grid of Chebyshev nodes. A norm is convex, so that ||g|| of the interpolant is at
most the largest of its control points, and y.v at least the least; the remainders take the highest Taylor coefficients
along every axis, of which bounds are given (``enclose.bernstein``). With v = y(x0)/||y(x0)|| at the centre, y.v is
||y|| but for the square of the angle between y(x) and y(x0).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.precision import RANGE, gamma
from ...enclose import bernstein
from ...enclose.ball import Ball
from ...proofs.bounds import SLACK
from ..box_bound import BoxResult, axis_to_halve


class Interpolated(NamedTuple):
    """A function at the nodes, as computed, and what is known of it between them."""

    values: Float[Array, "M ..."]
    off: Float[Array, ""]  # at least the length of what a row may be off by, rounded nodes included
    highest: Float[Array, " d"]  # at least the length of its m_a-th Taylor coefficient along axis a, all over the box


class Rest(NamedTuple):
    """What else there is in the quotient."""

    error: Float[Array, ""]  # to be added to ||g||
    size: Float[Array, ""]  # to be taken off y.v
    scale: Float[Array, ""]  # at most q scale
    proved: Array  # whether all that the theorem asks for was found


def quotient_over_box(
    g: Interpolated, y: Interpolated, rest: Rest, rad: Float[Array, " d"], orders: tuple[int, ...]
) -> tuple[Array, Array]:
    """(sup of the quotient, the axis to halve next)."""
    count = g.values.shape[1]
    controls, grown = _controls(g.values.reshape(len(g.values), -1), orders)
    longest = jnp.sqrt(jnp.max(jnp.sum(controls**2, axis=1))) * (1 + gamma(count + 8))
    lengths = jnp.sqrt(jnp.max(jnp.sum(g.values**2, axis=1))) * (1 + gamma(count + 8))
    error = longest + grown * (g.off + gamma(64) * lengths) + bernstein.remainder(g.highest, rad, orders) + rest.error
    parts, _ = _controls(y.values[:, None], orders)
    least = jnp.min(parts) - grown * (y.off + gamma(64) * jnp.max(jnp.abs(y.values)))
    size = least - bernstein.remainder(y.highest, rad, orders) - rest.size
    size = size - 1e-14 * jnp.abs(jnp.min(parts))
    size = rest.scale * (1 - 1e-14) + jnp.maximum(size, 0.0)
    fine = rest.proved & (size > 0) & (error >= 0) & (error <= RANGE**2) & (size >= RANGE**-3)
    upper = jnp.where(fine, error * SLACK / jnp.where(fine, size, 1.0) * SLACK, jnp.inf)
    remainders = jnp.stack([2 * (rad[a] / 2) ** m * g.highest[a] for a, m in enumerate(orders)])
    longest_side = jnp.where(jnp.asarray(orders) > 1, rad, 1e-6 * rad)  # of the inputs that vary
    return upper, axis_to_halve(controls, remainders, longest_side, orders, upper)


def result(
    upper: Array, axis: Array, floor: Array, g: Interpolated, y: Interpolated, x: Float[Array, "M d"]
) -> BoxResult:
    """With the node where the quotient is largest; ``x``: the nodes, in unit coordinates."""
    seen = jnp.sum(g.values**2, axis=1) / jnp.maximum(y.values, 1e-150) ** 2
    best = x[jnp.argmax(jnp.where(jnp.isfinite(seen), seen, jnp.inf))]
    return BoxResult(upper, jnp.where(jnp.isfinite(upper), floor, jnp.inf), axis, jnp.clip(best, 0.0, 1.0))


def normalised(y: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """A vector of length at most one along y."""
    length = jnp.sqrt(jnp.vdot(y, y)) * (1 + gamma(2 * y.size + 16))
    return y / jnp.where(length > 0, length, 1.0) / (1 + gamma(8))


@cache
def _amplified(orders: tuple[int, ...]) -> float:
    """By which errors of values at the nodes grow in the control points."""
    return float(np.prod([np.abs(bernstein.control_matrix(m)).sum(axis=1).max() for m in orders])) * (1 + 1e-12)


def _controls(values: Float[Array, "M K"], orders: tuple[int, ...]) -> tuple[Float[Array, "M K"], float]:
    """Control points, and how large their errors are beside those of the values, which their own rounding is among."""
    found = bernstein.control_points(Ball(values, jnp.zeros_like(values)), orders, len(orders)).mid
    return found, _amplified(orders)
