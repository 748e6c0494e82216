"""Limits: at some values of some inputs the solution is known in closed form, whatever the others are.

defect = ||N(q) - u(q)||_q = ||e(q)||_q,   w = 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .relation import Relation


@dataclass(frozen=True, eq=False)
class Vanishing(Relation):
    """The solution is zero but for prescribed values where the inputs ``which`` have these ``values``."""

    name: str
    statement: str
    which: Int[np.ndarray, " k"]
    values: Float[np.ndarray, " k"]

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        there = P.copy()
        there[:, self.which] = self.values
        return np.where(problem.inputs.contains(there)[:, None], there, np.nan)[:, None, :]

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        return jnp.asarray(problem.norm(Q[0], U[0] - problem.prescribe(Q[0], jnp.zeros_like(U[0]))))

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.ones(1)
