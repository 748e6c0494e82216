"""gaussian-process: kernel ridge with an error bar of its own, the length of every feature and the noise by likelihood.

    C(x) = mean + k(x, X) K^-1 (C - mean),   K = k(X, X) + noise D^2
    variance(x) = sigma^2 (1 - k(x, X) K^-1 k(X, x)),   sigma^2 = mean of the squared relative whitened residuals

with a Matern 5/2 kernel in features divided by their lengths (automatic relevance determination) and D as in
``kernel_ridge.py``. Lengths and noise maximise the likelihood of all modes together, each weighted as it counts in the
error. ``error_bar(P)`` is one posterior standard deviation of the field, in the norm of the basis and relative to the
answer: what the process expects of its own error where its assumptions hold. It is a guess and no bound, made for
choosing where to look: a proof is ``assay.certify``.

scikit-learn's ``GaussianProcessRegressor`` is an optional package, and would serve only to choose lengths: its
answers are no JAX code, which searches differentiate and proofs enclose, and lie in no file without pickle. Measured
with the same kernel (thermal block of 2 x 2 on 16 x 16 cells, 128 snapshots, 64 tests, scikit-learn 1.9): mean error
.0102 here in .2 s; there .0096 in .6 s, and .051 with ``normalize_y``, which makes the least modes count as much as
the first. Lengths out of a table stay the same where snapshots differ by rounding; those that follow gradients moved
by 2e-10.
Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2 and 5.4.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from ..training.matern import distances, matern
from .regression import Regression

LENGTHS = 2.0 ** np.arange(-4, 6, 0.5)  # in features that run over [-1, 1]
NOISES = 10.0 ** np.arange(-10, 0, 1.0)
CHOOSE_BY = 128  # rows, at most
SWEEPS = 20
BETTER = 1e-6  # of the likelihood's logarithm: a change by less is rounding's


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
    K = matern(distances(r.x / lengths, r.x / lengths)) + noise * np.diag(_relative(r.weights))
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

    def loss(v: list[float]) -> float:
        scaled = x / np.array(v[:m])
        K = matern(distances(scaled, scaled)) + v[m] * np.diag(_relative(weights))
        try:
            L = np.linalg.cholesky(K)
        except np.linalg.LinAlgError:
            return 1e10
        whitened = np.sum(np.linalg.solve(L, C) ** 2, axis=0) / n
        return float(n / 2 * (share @ np.log(np.maximum(whitened, 1e-300))) + np.sum(np.log(np.diag(L))))

    tables = [LENGTHS] * m + [NOISES]
    found = []
    for length in (1.0, 4.0):
        at = [int(np.argmin(np.abs(LENGTHS - length)))] * m + [2]
        found.append(_descended(lambda at: loss([t[i] for t, i in zip(tables, at, strict=True)]), at, tables))
    best = min(found, key=lambda outcome: outcome[1])[0]
    return LENGTHS[best[:m]], float(NOISES[best[m]])


def _descended(loss: Callable[[list[int]], float], at: list[int], tables: list[np.ndarray]) -> tuple[list[int], float]:
    """Where no neighbour in any one table is better, and the loss there.

    A search over few values: one that follows differences would carry the rounding of snapshots into the lengths.
    """
    least = loss(at)
    for _ in range(SWEEPS):
        before = least
        for i, table in enumerate(tables):
            for step in (-1, 1):
                while 0 <= at[i] + step < len(table):
                    there = [*at[:i], at[i] + step, *at[i + 1 :]]
                    value = loss(there)
                    if not value < least - BETTER * abs(least):
                        break
                    at, least = there, value
        if least == before:
            break
    return at, least


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the amplitude times the posterior mean."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    lengths = xp.asarray(arrays["lengths"])
    K = matern(distances(x / lengths, xp.asarray(arrays["points"]) / lengths, xp), xp)
    return arrays["constant"] + K @ arrays["values"]
