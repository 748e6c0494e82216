"""Superposition: solutions depend affinely on some inputs, the others held, u((p + q)/2) = (u(p) + u(q))/2.

Where the norm does not depend on these inputs,

    defect = ||N(m) - (N(p) + N(q))/2|| = ||e(m) - (e(p) + e(q))/2|| <= ||e(m)|| + (||e(p)|| + ||e(q)||)/2

with m = (p + q)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .relation import Relation


@dataclass(frozen=True, eq=False)
class Superposed(Relation):
    """``varied``: the inputs that solutions are affine in. q is drawn evenly in these."""

    name: str
    statement: str
    varied: Int[np.ndarray, " k"]

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        box, other = problem.inputs, P.copy()
        low, high = box.lower[self.varied], box.upper[self.varied]
        other[:, self.varied] = low + rng.random((len(P), len(self.varied))) * (high - low)
        middle = P.copy()
        middle[:, self.varied] = (P[:, self.varied] + other[:, self.varied]) / 2
        return np.stack([P, other, middle], axis=1)

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        return jnp.asarray(problem.norm(Q[2], U[2] - (U[0] + U[1]) / 2))

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.array([0.5, 0.5, 1.0])
