"""random-features: one hidden tanh layer of random weights, the output layer by one regularised least squares problem.

The scale of the weights and the ridge are chosen by a held-out part.
Reference: Rahimi and Recht 2008; Huang, Zhu, Siew 2006 ("extreme learning machine").
"""

from __future__ import annotations

from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression, choose

SCALES = (0.5, 1.0, 2.0)
RIDGES = (1e-13, 1e-11, 1e-9, 1e-7)


def train_random_features(
    problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None, *, width: int | None = None
) -> Surrogate:
    """Draw the layer, choose the scale of its weights and the ridge, and solve for the output layer.

    Args:
        width: units of the layer; None: half the number of snapshots, at most 512.

    Raises:
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box), seed, width=width)


def fit(r: Regression, seed: int = 0, *, width: int | None = None) -> Surrogate:
    """``train_random_features`` for rows in a basis."""
    width = min(512, max(1, len(r.x) // 2)) if width is None else int(width)
    rng = np.random.default_rng(seed)
    kernel, bias = rng.standard_normal((r.x.shape[1], width)), 2 * rng.standard_normal(width)
    fit, held = r.halves(seed=seed)

    def layer(x: np.ndarray, scale: float) -> np.ndarray:
        return np.c_[np.tanh(scale * (x @ kernel + bias)), np.ones(len(x))]

    def solve(rows: Any, scale: float, ridge: float) -> np.ndarray:
        w = r.weights[rows][:, None]
        left, sizes, right = np.linalg.svd(layer(r.x[rows], scale) * w, full_matrices=False)
        damped = sizes / (sizes**2 + ridge * sizes[0] ** 2)
        solved: np.ndarray = right.T @ (damped[:, None] * (left.T @ (r.targets[rows] * w)))
        return solved

    def score(candidate: tuple[float, float]) -> float:
        return r.error(layer(r.x[held], candidate[0]) @ solve(fit, *candidate), held)

    scale, ridge = choose(list(product(SCALES, RIDGES)), score)
    W = solve(slice(None), scale, ridge)
    arrays = {"kernel": scale * kernel, "bias": scale * bias, "values": W[:-1], "constant": W[-1]}
    return r.surrogate("random-features", arrays, predict, seed, width=width, scale=scale, ridge=ridge)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the output layer, times the amplitude."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    return xp.tanh(x @ arrays["kernel"] + arrays["bias"]) @ arrays["values"] + arrays["constant"]
