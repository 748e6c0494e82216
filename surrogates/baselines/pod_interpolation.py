"""pod-interpolation: cubic radial basis functions through every snapshot's coefficients, with a linear part.

    C(x) = sum_i |x - x_i|^3 a_i + linear,    C(x_i) = C_i,    sum_i a_i (1, x_i) = 0

Nothing is chosen. Features that depend on each other make the linear part ambiguous; the solution of least norm is
taken.
Reference: Wendland, Scattered Data Approximation (2005), chapter 8.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.distance import cdist

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression


def train_pod_interpolation(problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None) -> Surrogate:
    """Solve one linear system for weights and linear part; of snapshots that nearly repeat others the first counts.

    Raises:
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box), seed)


def fit(r: Regression, seed: int = 0) -> Surrogate:
    """``train_pod_interpolation`` for rows in a basis."""
    chosen = np.unique(r.groups, return_index=True)[1]  # of rows that nearly repeat each other the first
    x, targets = r.x[chosen], r.targets[chosen]
    n, m = x.shape
    right = np.concatenate([targets, np.zeros((m + 1, targets.shape[1]))])
    found = np.linalg.lstsq(system(x), right, rcond=1e-14)[0]
    arrays = {"points": x, "values": found[:n], "slope": found[n : n + m], "constant": found[n + m]}
    return r.surrogate("pod-interpolation", arrays, predict, seed)


def system(x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "k k"]:
    """The matrix for the weights a of n points and the linear part behind them; symmetric."""
    tail = np.c_[x, np.ones(len(x))]
    return np.block([[cdist(x, x) ** 3, tail], [tail.T, np.zeros((tail.shape[1], tail.shape[1]))]])


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the interpolant, times the amplitude."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    points = xp.asarray(arrays["points"])
    squares = xp.sum(x**2, axis=1)[:, None] + xp.sum(points**2, axis=1)[None] - 2 * x @ points.T
    cubes = xp.maximum(squares, 1e-30) ** 1.5  # 1e-30: the power has a derivative
    return cubes @ arrays["values"] + x @ arrays["slope"] + arrays["constant"]
