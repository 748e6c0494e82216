"""Boxes of inputs as Taylor models: x = x0 + rho t in unit coordinates, inputs p = low + width x or its exponential."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from . import functions
from .model import TINY, UP, Model, U
from .space import Space


def scaled(
    space: Space,
    ends: Float[np.ndarray, "2 d"],
    low: Float[np.ndarray, "B d"],
    high: Float[np.ndarray, "B d"],
    axes: tuple[int, ...] | None = None,
) -> Model:
    """low + width x. ``axes``: which input each variable of the space is, where others are fixed to their interval."""
    middle = (low + high) / 2
    half = np.maximum(high - middle, middle - low) * (1 + 2.0**-50)
    axes = tuple(range(space.d)) if axes is None else axes
    c = np.zeros((1 + space.d, *low.shape))
    c[0] = ends[0] + ends[1] * middle
    unknown = ends[1] * half
    for variable, a in enumerate(axes):
        c[1 + variable, :, a] = ends[1, a] * half[:, a]
        unknown[:, a] = 0.0
    radius = unknown * (1 + 4 * U) + 4 * U * (np.abs(ends[0]) + ends[1] * (np.abs(middle) + half)) * UP + TINY
    return Model(space, c, radius, np.zeros_like(radius))


def inputs(
    space: Space,
    ends: np.ndarray,
    log: tuple[bool, ...],
    low: np.ndarray,
    high: np.ndarray,
    axes: tuple[int, ...] | None = None,
) -> Model:
    """p; as exponentials where inputs are logarithmic. What a program is given is exact: there is no loss."""
    z = scaled(space, ends, low, high, axes)
    if not any(log):
        return z
    p, which = functions.exp(z), np.array(log)
    c = np.where(which, p.coefficients, 0.0)
    c[: 1 + space.d] += np.where(which, 0.0, z.coefficients)
    unknown = np.where(which, z.radius, np.inf)
    nothing = np.zeros_like(z.radius)
    known = Model(space, z.coefficients, unknown, nothing)
    return Model(space, c, np.where(which, p.radius, z.radius), nothing, known)
