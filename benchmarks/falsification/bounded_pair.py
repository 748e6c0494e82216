"""A pair with cheap truths and proved bounds, to resample from: -(k u')' = 1 on (0, 1), zero at both ends, in 64 cells.

k is lognormal, of d = 10 modes of an exponential covariance with coefficients even in [-2, 2]; the surrogate is a
polynomial of degree two for u'. Fluxes are c - x, so that truths are closed formulas; an error is sqrt(sum h k e'^2)
relative to the truth's. The bound is the residual's dual norm in the H1 seminorm over sqrt(min k), relative to what it
leaves of the surrogate's own size.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

CELLS, MODES = 64, 10
LEARN = 400  # snapshots of the surrogate
CHUNK = 20000


class BoundedPair:
    """Errors and bounds of ``size`` draws; with a pool that is drawn from evenly its shares are exact probabilities."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self._x = (np.arange(CELLS) + 0.5) / CELLS
        values, vectors = np.linalg.eigh(np.exp(-np.abs(self._x[:, None] - self._x) / 0.3) / CELLS)
        self._modes = vectors[:, ::-1][:, :MODES] * np.sqrt(values[::-1][:MODES] * CELLS) * 0.5
        rng = np.random.default_rng([seed, 21])
        some = rng.uniform(-2, 2, (LEARN, MODES))
        features = self._features(some)
        self._weights = np.linalg.lstsq(features, self._truth(some)[0], rcond=None)[0]
        parts = [self._measured(rng.uniform(-2, 2, (min(CHUNK, size - i), MODES))) for i in range(0, size, CHUNK)]
        self.errors, self.bounds = (np.concatenate(column) for column in zip(*parts, strict=True))

    def _features(self, P: np.ndarray) -> np.ndarray:
        i, j = np.triu_indices(MODES)
        return np.column_stack([np.ones(len(P)), P, P[:, i] * P[:, j]])

    def _truth(self, P: np.ndarray) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]]:
        """u' and k in the cells."""
        k = np.exp(P @ self._modes.T)
        c = (self._x / k).sum(axis=1) / (1 / k).sum(axis=1)
        return (c[:, None] - self._x) / k, k

    def _measured(self, P: np.ndarray) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        slope, k = self._truth(P)
        answer = self._features(P) @ self._weights
        answer -= answer.mean(axis=1, keepdims=True)  # zero at both ends
        error = np.sqrt((k * (slope - answer) ** 2).mean(axis=1))
        size = np.sqrt((k * slope**2).mean(axis=1))
        own = np.sqrt((k * answer**2).mean(axis=1))
        bound = (-self._x - k * answer).std(axis=1) / np.sqrt(k.min(axis=1))
        left = own - bound
        return error / size, np.where(left > 0, bound / np.where(left > 0, left, 1.0), np.inf)
