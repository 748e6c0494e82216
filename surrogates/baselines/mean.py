"""mean: the average of the training fields, after the problem's known scaling. What any surrogate must beat."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression


def train_mean(problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None) -> Surrogate:
    """Take the constant coefficients of the least mean square relative error.

    Raises:
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box, least=1), seed)


def fit(r: Regression, seed: int = 0) -> Surrogate:
    """``train_mean`` for rows in a basis."""
    w = r.weights**2
    return r.surrogate("mean", {"constant": w @ r.targets / np.sum(w)}, predict, seed)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: one constant, times the amplitude; features that are NaN give NaN."""
    x, s = scaled_features(problem, arrays, P)
    return (s + 0 * jnp.sum(x, axis=1))[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    return xp.zeros((len(x), 1)) + arrays["constant"]
