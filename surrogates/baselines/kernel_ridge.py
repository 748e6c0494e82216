"""kernel-ridge: the mean of a Gaussian process with a Matern 5/2 kernel in the features.

    C(x) = mean + sum_i k(|x - x_i| / l) a_i,   (K + nugget D^2) a = C - mean,   k(r) = (1 + 5^(1/2) r + 5 r^2 / 3)
    exp(-5^(1/2) r)

D = 1 / row weight: the nugget is the same *relative* error in every row. Length and nugget have the least
leave-one-out error, known in closed form: residual_i = a_i / (K + nugget D^2)^-1_ii; rows that nearly repeat each
other are left out together, with the block of the inverse in place of its diagonal entry.
Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2, 4.2 and 5.4.2.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial.distance import cdist

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression, choose

LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
NUGGETS = (1e-11, 1e-8, 1e-5)
CHOOSE_BY = 512  # rows, at most


def train_kernel_ridge(
    problem: Problem,
    snapshots: Any,
    seed: int = 0,
    box: Box | None = None,
    *,
    length: float | None = None,
    nugget: float | None = None,
) -> Surrogate:
    """Solve for the kernel's weights once length and nugget are chosen.

    Args:
        length: of the kernel, in features that run over [-1, 1]; None to choose it from ``LENGTHS``.
        nugget: the squared relative error that a row is allowed; None to choose it from ``NUGGETS``.

    Raises:
        ValueError: length or nugget not positive; as ``prepare``.
    """
    r = Regression.of(problem, snapshots, box)
    for name, value in (("length", length), ("nugget", nugget)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, not {value}")
    mean = r.weights**2 @ r.targets / np.sum(r.weights**2)
    some = slice(0, CHOOSE_BY)
    candidates = list(product(LENGTHS if length is None else (length,), NUGGETS if nugget is None else (nugget,)))

    def score(candidate: tuple[float, float]) -> float:
        try:
            inverse = np.linalg.inv(_matrix(r.x[some], r.weights[some], *candidate))
        except np.linalg.LinAlgError:
            return float("nan")
        left_out = _left_out(inverse, inverse @ (r.targets[some] - mean), r.groups[some])
        return r.error(r.targets[some] - left_out, some)

    length, nugget = choose(candidates, score)
    values = np.linalg.solve(_matrix(r.x, r.weights, length, nugget), r.targets - mean)
    arrays = {"points": r.x, "values": values, "constant": mean}
    return r.surrogate("kernel-ridge", arrays, predict, seed, length=length, nugget=nugget)


def _left_out(
    inverse: Float[np.ndarray, "n n"], a: Float[np.ndarray, "n k"], groups: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n k"]:
    """Residuals of rows whose group was left out."""
    out: np.ndarray = a / np.diag(inverse)[:, None]
    for group in np.flatnonzero(np.bincount(groups) > 1):
        rows = np.flatnonzero(groups == group)
        out[rows] = np.linalg.solve(inverse[np.ix_(rows, rows)], a[rows])
    return out


def _matrix(x: np.ndarray, weights: np.ndarray, length: float, nugget: float) -> Float[np.ndarray, "n n"]:
    r = np.sqrt(5) / length * cdist(x, x)
    relative = (np.mean(weights**2) / weights**2) if len(weights) else weights
    return (1 + r + r**2 / 3) * np.exp(-r) + nugget * np.diag(relative)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the amplitude times the kernel's mean."""
    x, s = scaled_features(problem, arrays, P)
    points = jnp.asarray(arrays["points"])
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(points**2, axis=1)[None] - 2 * x @ points.T
    r = jnp.sqrt(5 * jnp.maximum(squares, 1e-30)) / architecture["length"]  # 1e-30: the root has a derivative
    K = (1 + r + r**2 / 3) * jnp.exp(-r)
    return s[:, None] * (arrays["constant"] + K @ arrays["values"])
