"""Boxes of inputs as Taylor models: x = x0 + rho t in unit coordinates, inputs p = low + width x or its exponential."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from . import functions
from .model import TINY, UP, Model, U
from .space import Space


def scaled(
    space: Space, ends: Float[np.ndarray, "2 d"], low: Float[np.ndarray, "B d"], high: Float[np.ndarray, "B d"]
) -> Model:
    """low + width x."""
    middle = (low + high) / 2
    half = np.maximum(high - middle, middle - low) * (1 + 2.0**-50)
    d = space.d
    c = np.zeros((1 + d, *low.shape))
    c[0] = ends[0] + ends[1] * middle
    for a in range(d):
        c[1 + a, :, a] = ends[1, a] * half[:, a]
    radius = 4 * U * (np.abs(ends[0]) + ends[1] * (np.abs(middle) + half)) * UP + TINY
    return Model(space, c, radius, np.zeros_like(radius))


def inputs(space: Space, ends: np.ndarray, log: tuple[bool, ...], low: np.ndarray, high: np.ndarray) -> Model:
    """p; as exponentials where inputs are logarithmic. What a program is given is exact: there is no loss."""
    z = scaled(space, ends, low, high)
    if not any(log):
        return z
    p, which = functions.exp(z), np.array(log)
    c = np.where(which, p.coefficients, 0.0)
    c[: 1 + space.d] += np.where(which, 0.0, z.coefficients)
    unknown = np.where(which, z.radius, np.inf)
    nothing = np.zeros_like(z.radius)
    known = Model(space, z.coefficients, unknown, nothing)
    return Model(space, c, np.where(which, p.radius, z.radius), nothing, known)
