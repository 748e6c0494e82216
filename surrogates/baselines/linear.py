"""linear: least squares, affine in the features. Linear problems with linear inputs are learnt exactly."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression, least_squares


def train_linear(problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None) -> Surrogate:
    """Fit slope and constant by one least squares problem, its rows weighted by their relative errors.

    Raises:
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box), seed)


def fit(r: Regression, seed: int = 0) -> Surrogate:
    """``train_linear`` for rows in a basis."""
    W = least_squares(np.c_[r.x, np.ones(len(r.x))], r.targets, r.weights)
    return r.surrogate("linear", {"slope": W[:-1], "constant": W[-1]}, predict, seed)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k], affine in the features, times the amplitude."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    return x @ arrays["slope"] + arrays["constant"]
