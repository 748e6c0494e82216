"""kernel-ridge: the mean of a Gaussian process with a Matern 5/2 kernel in the features (``matern.py``).

    C(x) = mean + sum_i k(x, x_i) a_i,   (K + nugget D^2) a = C - mean

D = 1 / row weight: the nugget is the same *relative* error in every row. Length and nugget have the least
leave-one-out error, known in closed form (``leave_one_out.py``). scikit-learn's ``KernelRidge`` solves the same system,
which is one line of numpy: it has no left-out errors but by refitting, and its ``predict`` is no JAX code.
Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 2.2.
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
from ..training.leave_one_out import kernel_matrix, left_out
from ..training.matern import distances, matern
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
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box), seed, length=length, nugget=nugget)


def fit(r: Regression, seed: int = 0, *, length: float | None = None, nugget: float | None = None) -> Surrogate:
    """``train_kernel_ridge`` for rows in a basis."""
    mean = r.weights**2 @ r.targets / np.sum(r.weights**2)
    some = slice(0, CHOOSE_BY)
    candidates = list(product(LENGTHS if length is None else (length,), NUGGETS if nugget is None else (nugget,)))

    def score(candidate: tuple[float, float]) -> float:
        try:
            inverse = np.linalg.inv(kernel_matrix(r.x[some], r.weights[some], *candidate))
        except np.linalg.LinAlgError:
            return float("nan")
        residual = left_out(inverse, inverse @ (r.targets[some] - mean), r.groups[some])
        return r.error(r.targets[some] - residual, some)

    length, nugget = choose(candidates, score)
    values = np.linalg.solve(kernel_matrix(r.x, r.weights, length, nugget), r.targets - mean)
    arrays = {"points": r.x, "values": values, "constant": mean}
    return r.surrogate("kernel-ridge", arrays, predict, seed, length=length, nugget=nugget)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the amplitude times the kernel's mean."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    K = matern(distances(x, xp.asarray(arrays["points"]), xp) / architecture["length"], xp)
    return arrays["constant"] + K @ arrays["values"]
