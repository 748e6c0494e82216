"""Failure probabilities that are known, to test estimators with: limit states of standard normals, failing below 0.

Recomputed by quadrature; published values of some are wrong. The names are those of the "RP" collection (Rozsas and
Slobbe 2019); the four-branch function with k = 7; the linear one is exact in any dimension: beta - sum x_i / sqrt(d).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

ROOT = float(np.sqrt(2))
EDGE = 2.0**-60  # of the unit interval, where normals would be infinite


@dataclass(frozen=True)
class Reference:
    """A limit state of d standard normals, and the probability that it is negative."""

    name: str
    dimension: int
    limit_state: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]
    probability: float

    def error_of(self, u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """exp(-g) of uniform points: what exceeds the tolerance 1 where g < 0."""
        x = ndtri(np.clip(u[:, : self.dimension], EDGE, 1 - 2.0**-53))
        return np.exp(np.clip(-self.limit_state(x), -300, 300))

    def bound_of(self, u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Bounds that are 1 to 4 times these errors, mostly 2, by the last coordinate, which is one more."""
        return self.error_of(u) * np.exp(np.abs(0.7 + 0.2 * ndtri(np.clip(u[:, -1], EDGE, 1 - 2.0**-53))))


def _four_branch(x: np.ndarray) -> np.ndarray:
    a, b = x.T
    bowl = 3 + 0.1 * (a - b) ** 2
    corner = 7 / ROOT
    return np.min([bowl - (a + b) / ROOT, bowl + (a + b) / ROOT, a - b + corner, b - a + corner], axis=0)


def _linear(beta: float, d: int) -> Reference:
    return Reference(f"linear, d = {d}", d, lambda x: beta - x.sum(axis=1) / np.sqrt(d), float(ndtr(-beta)))


def _rp110(x: np.ndarray) -> np.ndarray:
    """Two straight branches, each in two pieces."""
    a, b = x.T
    one = np.where(a > 3.5, 4 - a, 0.85 - 0.1 * a)
    other = np.where(b > 2, 0.5 - 0.1 * b, 2.3 - b)
    return np.minimum(one, other)


REFERENCES = (
    Reference("four-branch", 2, _four_branch, 2.2227950662e-3),
    Reference("RP22", 2, lambda x: 2.5 - (x[:, 0] + x[:, 1]) / ROOT + 0.1 * (x[:, 0] - x[:, 1]) ** 2, 4.2073055113e-3),
    Reference(
        "RP25", 2, lambda x: np.maximum(x[:, 0] ** 2 - 8 * x[:, 1] + 16, -16 * x[:, 0] + x[:, 1] + 32), 4.14856629e-5
    ),
    Reference("RP31", 2, lambda x: 2 - x[:, 1] + 256 * x[:, 0] ** 4, 3.2266812e-3),
    Reference("RP33", 3, lambda x: np.minimum(3 * np.sqrt(3) - x.sum(axis=1), 3 - x[:, 2]), 2.5755978e-3),
    Reference("RP54", 20, lambda x: -np.log(ndtr(-x)).sum(axis=1) - 8.951, 9.90603e-4),
    Reference("RP75", 2, lambda x: 3 - x[:, 0] * x[:, 1], 9.8192987e-3),
    Reference("RP110", 2, _rp110, 3.1957884e-5),
    _linear(3.0, 50),
)
