"""gaussian-process: kernel ridge with an error bar of its own, the length of every feature and the noise by likelihood.

    C(x) = mean + k(x, X) K^-1 (C - mean),   K = k(X, X) + noise D^2
    variance(x) = sigma^2 (1 - k(x, X) K^-1 k(X, x)),   sigma^2 = mean of the squared relative whitened residuals

with a Matern 5/2 kernel in features divided by their lengths (automatic relevance determination) and D as in
``kernel_ridge.py``. Lengths and noise maximise the likelihood of all modes together, each weighted as it counts in the
error. ``error_bar(P)`` is one posterior standard deviation of the field, in the norm of the basis and relative to the
answer: what the process expects of its own error where its assumptions hold. It is a guess and no bound, made for
choosing where to look: a proof is ``assay.certify``.
Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2 and 5.4.1.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import minimize

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from .regression import Regression

BOUNDS = (np.log(0.05), np.log(50.0))  # of the lengths, in features that run over [-1, 1]
NOISE = (np.log(1e-11), np.log(1e-1))
CHOOSE_BY = 128  # rows, at most
STEPS = 60


def train_gaussian_process(problem: Problem, snapshots: Any, seed: int = 0, box: Box | None = None) -> Surrogate:
    """Choose lengths and noise by the likelihood and condition on all snapshots.

    Raises:
        ValueError: as ``prepare``.
    """
    return fit(Regression.of(problem, snapshots, box), seed)


def fit(r: Regression, seed: int = 0) -> Surrogate:
    """``train_gaussian_process`` for rows in a basis."""
    mean = r.weights**2 @ r.targets / np.sum(r.weights**2)
    some = slice(0, CHOOSE_BY)
    lengths, noise = _likeliest(r.x[some], r.weights[some], r.targets[some] - mean)
    K = _kernel(r.x / lengths, r.x / lengths) + noise * np.diag(_relative(r.weights))
    inverse = np.linalg.inv(np.linalg.cholesky(K))
    whitened = inverse @ (r.targets - mean)
    arrays = {
        "points": r.x,
        "lengths": lengths,
        "values": inverse.T @ whitened,
        "constant": mean,
        "whitener": inverse,
        "variance": np.mean(whitened**2, axis=0),
    }
    return r.surrogate("gaussian-process", arrays, predict, seed, noise=noise)


def _relative(weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.mean(weights**2) / weights**2)


def _kernel(x: Any, points: Any, xp: Any = np) -> Any:
    squares = xp.sum(x**2, axis=1)[:, None] + xp.sum(points**2, axis=1)[None] - 2 * x @ points.T
    r = xp.sqrt(5 * xp.maximum(squares, 1e-30))  # 1e-30: the root has a derivative
    return (1 + r + r**2 / 3) * xp.exp(-r)


def _likeliest(x: np.ndarray, weights: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, float]:
    """Lengths and noise of the largest likelihood, the variances of the modes profiled out; these weigh by size."""
    n, m = x.shape
    sizes = np.sum(C**2, axis=0)
    share = sizes / sizes.sum() if sizes.sum() > 0 else np.full(len(sizes), 1 / max(len(sizes), 1))

    def loss(v: np.ndarray) -> float:
        scaled = x / np.exp(v[:m])
        K = _kernel(scaled, scaled) + np.exp(v[m]) * np.diag(_relative(weights))
        try:
            L = np.linalg.cholesky(K)
        except np.linalg.LinAlgError:
            return 1e10
        whitened = np.sum(np.linalg.solve(L, C) ** 2, axis=0) / n
        return float(n / 2 * (share @ np.log(np.maximum(whitened, 1e-300))) + np.sum(np.log(np.diag(L))))

    bounds = [BOUNDS] * m + [NOISE]
    starts = [np.append(np.full(m, np.log(length)), np.log(1e-8)) for length in (1.0, 4.0)]
    found = [minimize(loss, v, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}) for v in starts]
    best = min(found, key=lambda outcome: float(outcome.fun))
    return np.exp(best.x[:m]), float(np.exp(best.x[m]))


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the amplitude times the posterior mean."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    lengths = xp.asarray(arrays["lengths"])
    return arrays["constant"] + _kernel(x / lengths, xp.asarray(arrays["points"]) / lengths, xp) @ arrays["values"]


def error_bar(surrogate: Surrogate, P: Any) -> Float[np.ndarray, " n"]:
    """One posterior standard deviation of the field at P [n, d], relative to the answer; NaN for rows that are not
    finite.

    Raises:
        ValueError: the surrogate is no Gaussian process, P of another shape.
    """
    if surrogate.name != "gaussian-process":
        raise ValueError(f"a {surrogate.name} surrogate has no error bar of its own: train a gaussian-process")
    P = surrogate._matrix(P)
    a = surrogate.arrays
    x, s = (np.asarray(part) for part in scaled_features(surrogate.problem, a, jnp.asarray(P)))
    K = _kernel(x / a["lengths"], a["points"] / a["lengths"])
    left = np.maximum(1 - np.sum((K @ a["whitener"].T) ** 2, axis=1), 0.0)
    answer = np.linalg.norm(np.asarray(s)[:, None] * values({}, a, x, np), axis=1)
    deviation = np.abs(s) * np.sqrt(left * np.sum(a["variance"]))
    return np.asarray(deviation / np.where(answer > 0, answer, 1.0))
