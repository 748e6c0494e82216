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
from ..training.posterior import matern
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
    K = matern(r.x / lengths, r.x / lengths) + noise * np.diag(_relative(r.weights))
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


def _likeliest(x: np.ndarray, weights: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, float]:
    """Lengths and noise of the largest likelihood, the variances of the modes profiled out; these weigh by size."""
    n, m = x.shape
    sizes = np.sum(C**2, axis=0)
    share = sizes / sizes.sum() if sizes.sum() > 0 else np.full(len(sizes), 1 / max(len(sizes), 1))

    def loss(v: np.ndarray) -> float:
        scaled = x / np.exp(v[:m])
        K = matern(scaled, scaled) + np.exp(v[m]) * np.diag(_relative(weights))
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
    return arrays["constant"] + matern(x / lengths, xp.asarray(arrays["points"]) / lengths, xp) @ arrays["values"]
