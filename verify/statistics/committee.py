"""A signal where a problem and a surrogate offer none: an ensemble that learnt the sizes of known errors.

Each member is kernel ridge regression of log error on the inputs, with a Gaussian kernel of its own width, fitted to a
bootstrap sample of the rows. The signal is exp(mean + spread) of the members: where they expect a large error, or do
not agree. It proves nothing and need not be good: a threshold of it is tested at other rows (``thresholds.py``).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ...solvers.box import Box

MEMBERS = 9
WIDTHS = (0.5, 1.0, 2.0)  # of the kernels, times the root of the dimension: half the box's width is 1
RIDGE = 0.1  # of the variance of log errors: what is taken for noise
BEYOND = 10.0  # an error that is no number counts as so many times the largest, zero as the smallest over it
CHUNK = 2048


class Committee:
    """``committee(P) -> [n]``: the errors that it expects; equal rows and seed make an equal one."""

    def __init__(self, box: Box, P: Float[np.ndarray, "n d"], errors: Float[np.ndarray, " n"], seed: int) -> None:
        self.box = box
        known = errors[np.isfinite(errors) & (errors > 0)]
        top, bottom = (known.max() * BEYOND, known.min() / BEYOND) if len(known) else (1.0, 1.0)
        y = np.log(np.clip(np.nan_to_num(errors, nan=top, posinf=top), bottom, top))
        self._centre = float(y.mean())
        X, rng = self._scaled(P), np.random.default_rng([seed, 8])
        self._members = []
        for k in range(MEMBERS):
            rows = rng.integers(len(X), size=len(X))
            width = WIDTHS[k % len(WIDTHS)] * np.sqrt(X.shape[1])
            K = _kernel(X[rows], X[rows], width) + RIDGE * np.eye(len(X))
            self._members.append((X[rows], width, np.linalg.solve(K, y[rows] - self._centre)))

    def __call__(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        found = [self._some(P[i : i + CHUNK]) for i in range(0, len(P), CHUNK)]
        return np.concatenate(found) if found else np.zeros(0)

    def _some(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        X = self._scaled(P)
        expected = np.stack([_kernel(X, rows, width) @ a for rows, width, a in self._members])
        return np.exp(self._centre + expected.mean(axis=0) + expected.std(axis=0))

    def _scaled(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        return 2 * self.box.to_unit(P) - 1


def _kernel(X: np.ndarray, Y: np.ndarray, width: float) -> np.ndarray:
    squares = (X**2).sum(axis=1)[:, None] + (Y**2).sum(axis=1) - 2 * X @ Y.T
    return np.exp(-np.maximum(squares, 0.0) / (2 * width**2))
