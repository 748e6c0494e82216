"""Derivatives along the axes of the unit box by differences of second order, for what JAX cannot differentiate.

    (f(x + h e) - f(x - h e)) / 2h             where both points lie in the box,
    s (-3 f(x) + 4 f(x + s h e) - f(x + 2 s h e)) / 2h    near a face, inwards (s = 1 or -1)

leave out h^2/6 or h^2/3 times a third derivative and carry the noise of f, eps, as eps/h or 4 eps/h. With h = 1e-3 of
the box both are 1e-6 of a field that varies over the box as a whole, where the solver is right to nine digits, which is
near the best step (3 eps)^(1/3); a field that varies ten times faster is right to 1e-3 still. What a doubled step
changes tells how good they are. Reference: Gill, Murray, Wright, Practical Optimization (1981), section 8.6.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

STEP = 1e-3  # of the box, in each input's own scale


def stencil(
    X: Float[np.ndarray, "n d"], step: float = STEP
) -> tuple[Float[np.ndarray, "n d 2 d"], Int[np.ndarray, "n d"]]:
    """The two points that each derivative asks for, in unit coordinates, and on which side: 0 both, else inwards."""
    side = (step > X).astype(int) - (1 - step < X).astype(int)
    first = np.where(side == 0, -step, side * step)
    second = np.where(side == 0, step, 2 * side * step)
    axes = np.eye(X.shape[1])
    moves = np.stack([first, second], axis=2)[..., None] * axes[None, :, None, :]
    return X[:, None, None, :] + moves, side


def differences(
    at: Float[np.ndarray, "n N"],
    around: Float[np.ndarray, "n d 2 N"],
    side: Int[np.ndarray, "n d"],
    step: float = STEP,
) -> Float[np.ndarray, "n d N"]:
    """The derivatives, of fields at the points and at those of their ``stencil``."""
    first, second = around[:, :, 0], around[:, :, 1]
    inwards = side[..., None] * (4 * first - second - 3 * at[:, None])
    return np.where(side[..., None] == 0, second - first, inwards) / (2 * step)
