"""Limits: at some values of some inputs the solution is known in closed form, whatever the others are.

defect = ||N(q) - u(q)||_q = ||e(q)||_q,   w = 1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .relation import Relation, held_in


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


@dataclass(frozen=True, eq=False)
class Known(Relation):
    """``moved``: rows of inputs to rows at which the solution is known, in the box or not; ``solution``: q -> u(q), the
    discrete one, NaN where the formula says nothing.
    """

    name: str
    statement: str
    moved: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n d"]]
    solution: Callable[[Float[Array, " d"]], Float[Array, " N"]]

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return held_in(problem.inputs, self.moved(P.copy()))[:, None, :]

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        return jnp.asarray(problem.norm(Q[0], U[0] - self.solution(Q[0])))

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.ones(1)


def alike(which: Int[np.ndarray, " k"], others: float | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Rows whose inputs ``which`` are all as the first of them, and the others ``others``, where that is given."""

    def moved(P: np.ndarray) -> np.ndarray:
        first = P[:, which[:1]]
        there = P if others is None else np.full_like(P, others)
        there[:, which] = first
        return there

    return moved


def zeroed(which: Int[np.ndarray, " k"]) -> Callable[[np.ndarray], np.ndarray]:
    """Rows whose inputs ``which`` are zero."""

    def moved(P: np.ndarray) -> np.ndarray:
        P[:, which] = 0.0
        return P

    return moved
