"""Products and quadratic forms of vectors of Taylor models by matrix products, and bounds of scalar polynomials.

Layout of matrices: [B, n, K], boxes first, so that numpy multiplies them box by box.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .model import FLUSHED, TINY, UP, Model, U, gamma, tail
from .space import Space


def outer(a: Model, b: Model) -> Model:
    """[Q] and [k] to [Q, k]."""
    space, n = a.space, len(a.space.degree)
    batch, Q = a.radius.shape
    target, column, source = space.multiplier(len(a.coefficients), len(b.coefficients))
    rows = np.ascontiguousarray(b.coefficients.transpose(1, 0, 2))
    c = np.empty((n, batch, Q, b.radius.shape[1]))
    for q in range(Q):
        by = np.zeros((batch, n, rows.shape[1]))
        by[:, target, column] = a.coefficients[source, :, q].T
        c[:, :, q] = (by @ rows).transpose(1, 0, 2)
    one, other = a.sizes()[..., None], b.sizes()[:, :, None, :]
    left, right = one.sum(axis=0) * UP, other.sum(axis=0) * UP
    ra, rb, la, lb = a.radius[..., None], b.radius[:, None], a.loss[..., None], b.loss[:, None]
    radius = (tail(one, other, space.order) + ra * (right + rb) + left * rb + gamma(n) * left * right) * UP + TINY
    A, B = left + ra, right + rb
    loss = (la * (B + lb) + A * lb + 4 * U * (A + la) * (B + lb)) * UP + FLUSHED
    return Model(space, c, radius, loss)


def squares(space: Space, h: Float[np.ndarray, "B n K"]) -> Model:
    """h.h of the polynomial vector h, a scalar [B]."""
    n = h.shape[1]
    products = h @ h.transpose(0, 2, 1)
    c = space.fold(n) @ products.reshape(len(h), -1).T
    norms = np.sqrt((h * h).sum(axis=2)) * UP
    sizes = np.add.reduceat(norms, space.starts[: space.degree_of(n) + 1], axis=1).T * UP
    total = sizes.sum(axis=0) * UP
    radius = (tail(sizes, sizes, space.order) + gamma(h.shape[2] + n) * total**2) * UP + TINY
    return Model(space, c, radius, np.zeros_like(radius))


def energy(c: Model, S: Float[np.ndarray, "k k"]) -> Model:
    """c.Sc for a known matrix, a scalar [B]."""
    space, n, k = c.space, len(c.coefficients), len(S)
    rows = np.ascontiguousarray(c.coefficients.transpose(1, 0, 2))
    products = (rows @ S) @ rows.transpose(0, 2, 1)
    out = space.fold(n) @ products.reshape(len(rows), -1).T
    size, sizes = np.abs(S), c.sizes()
    total = sizes.sum(axis=0) * UP
    upwards = np.cumsum(sizes[::-1], axis=0)[::-1]
    high = np.zeros(len(rows))
    for i in range(len(sizes)):
        if space.order + 1 - i < len(sizes):
            high += ((sizes[i] @ size) * upwards[max(space.order + 1 - i, 0)]).sum(axis=-1)
    whole = total @ size
    radius = (
        high + (2 * c.radius @ (size + size.T) / 2 * total).sum(axis=-1) + ((c.radius @ size) * c.radius).sum(axis=-1)
    )
    radius = (radius + gamma(2 * k + n) * (whole * total).sum(axis=-1)) * UP + TINY
    return Model(space, out, radius, np.zeros_like(radius))


def weighted(a: Model, k: Float[np.ndarray, " B"]) -> Model:
    """A scalar [B] times one number for every box."""
    size = np.abs(k)
    radius = (a.radius * size + 2 * U * a.polynomial * size) * UP + TINY
    return Model(a.space, a.coefficients * k, radius, np.zeros_like(radius))


def highest(a: Model) -> Float[np.ndarray, " B"]:
    """An upper bound of a scalar [B] over its boxes."""
    points, size = a.space.controls(a.degree)
    rounding = gamma(len(a.coefficients) + 3 * a.space.d) * (size @ np.abs(a.coefficients)).max(axis=0)
    return (points @ a.coefficients).max(axis=0) + (a.radius + rounding) * UP


def lowest(a: Model) -> Float[np.ndarray, " B"]:
    return -highest(Model(a.space, -a.coefficients, a.radius, a.loss))
