"""nearest: the field of the nearest snapshot in the scaled features, times the amplitude."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression


def train_nearest(problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None) -> Surrogate:
    """Keep the snapshots' features and their coefficients in a POD basis of at most 512 modes.

    Raises:
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box, least=1, max_rank=512), seed)


def fit(r: Regression, seed: int = 0) -> Surrogate:
    """``train_nearest`` for rows in a basis."""
    return r.surrogate("nearest", {"points": r.x, "values": r.targets}, predict, seed)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k] of the nearest snapshot, times the amplitude; features that are NaN give NaN."""
    x, s = scaled_features(problem, arrays, P)
    return (s + 0 * jnp.sum(x, axis=1))[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    points = xp.asarray(arrays["points"])
    squares = xp.sum(points**2, axis=1) - 2 * x @ points.T  # less |x|^2, the same for all
    return xp.asarray(arrays["values"])[xp.argmin(squares, axis=1)]
