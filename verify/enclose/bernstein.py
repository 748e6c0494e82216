"""Polynomial interpolation on a box with a proved remainder, and the range of the interpolant.

On [-1, 1] take the m Chebyshev nodes t_i. The polynomial through the values g(t_i) has coefficients in the Bernstein
basis of degree m - 1, its control points, whose hull contains its range. In d dimensions interpolate axis by axis,

    |g - I_1 ... I_d g| <= sum_a Lambda^(a-1) R_a,       R_a = 2 (rho_a / 2)^m sup |d_a^m g| / m!

with rho_a the half-widths and Lambda <= 1 + (2/pi) log m the Lebesgue constant (Rivlin 1974): any order of the axes is
valid, the largest R first is best. R_a uses |prod (t - t_i)| <= 2^(1-m). The nodes are rounded to float64, which
``SLACK`` covers (m 2u 2^(2m) relative, below 1e-8 for m <= 10); the matrix below is exact for the rounded nodes,
computed in rational arithmetic and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache, partial

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from . import ball
from .ball import Ball

SLACK = 1 + 1e-8
HIGHEST = 10


@cache
def nodes(m: int) -> Float[np.ndarray, " m"]:
    """The Chebyshev nodes cos((2i + 1) pi / (2m)), rounded."""
    if not 1 <= m <= HIGHEST:
        raise ValueError(f"interpolation takes 1 to {HIGHEST} nodes per axis, not {m}")
    t = np.cos((2 * np.arange(m) + 1) * np.pi / (2 * m))
    return (t - t[::-1]) / 2  # exactly symmetric


@cache
def control_matrix(m: int) -> Float[np.ndarray, "m m"]:
    """Values at the nodes -> control points on [-1, 1], every entry correctly rounded."""
    s = [(Fraction(float(t)) + 1) / 2 for t in nodes(m)]
    columns = []
    for i in range(m):
        power = [Fraction(1)]  # the i-th Lagrange polynomial in powers of s
        for k in range(m):
            if k != i:
                shifted = [Fraction(0), *power]
                scaled = [s[k] * c for c in power] + [Fraction(0)]
                power = [(a - b) / (s[i] - s[k]) for a, b in zip(shifted, scaled, strict=True)]
        ratio = [c / math.comb(m - 1, j) for j, c in enumerate(power)]
        columns.append([float(sum(math.comb(j, k) * ratio[k] for k in range(j + 1))) for j in range(m)])
    return np.array(columns).T


def lebesgue(m: int) -> float:
    """An upper bound of the Lebesgue constant of m Chebyshev nodes."""
    return (1 + 2 / math.pi * math.log(m)) * SLACK


def per_axis(m: int | Sequence[int], d: int) -> tuple[int, ...]:
    """Nodes along each of d axes; one number stands for all."""
    return (m,) * d if isinstance(m, int) else tuple(m)


def tensor_nodes(m: int | Sequence[int], d: int) -> Float[np.ndarray, "M d"]:
    """The points of the tensor grid in [-1, 1]^d, the last axis fastest."""
    along = [nodes(k) for k in per_axis(m, d)]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, d)


def grid(box: Ball, m: int | Sequence[int]) -> Ball:
    """The m^d interpolation points [m^d, d] of a box [d]: each a ball, for c + rho t is rounded. Here and below ``m``
    may be one number an axis.
    """
    t = jnp.asarray(tensor_nodes(m, box.shape[0]))
    x = box.mid[None] + box.rad[None] * t
    return Ball(x, jnp.broadcast_to(4 * ball.U * (jnp.abs(box.mid) + box.rad)[None] + 4 * ball.TINY, x.shape))


def control_points(values: Ball, m: int | Sequence[int], d: int) -> Ball:
    """Control points [m^d, *k] from the values [m^d, *k] at the points of ``grid``."""
    orders, rest = per_axis(m, d), values.shape[1:]
    out = ball.each(lambda x: x.reshape(orders + rest), values)
    for axis, k in enumerate(orders):
        C, A = jnp.asarray(control_matrix(k)), ball.absolute_matrix(control_matrix(k))

        def along(matrix: Array, x: Array, axis: int = axis) -> Array:
            return jnp.moveaxis(jnp.tensordot(matrix, x, axes=(1, axis)), 0, axis)

        out = ball.linear(out, partial(along, C), partial(along, A), k)
    return ball.each(lambda x: x.reshape((math.prod(orders), *rest)), out)


def remainder(highest: Float[Array, "d ..."], rho: Float[Array, " d"], m: int | Sequence[int]) -> Float[Array, "..."]:
    """The bound above; ``highest`` bounds |d_a^m g| / m! over the box, axis by axis."""
    orders = per_axis(m, rho.size)
    shape = (-1,) + (1,) * (highest.ndim - 1)
    powers = jnp.stack([2 * (rho[a] / 2) ** k for a, k in enumerate(orders)])
    each_axis = powers.reshape(shape) * highest * SLACK
    factors = lebesgue(max(orders)) ** jnp.arange(rho.size, dtype=jnp.float64)
    ordered = jnp.flip(jnp.sort(each_axis, axis=0), axis=0)
    total = jnp.sum(ordered * factors.reshape(shape), axis=0) * SLACK + 2.0**-1000
    return jnp.where(jnp.isnan(total), jnp.inf, total)
