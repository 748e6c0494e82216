"""Homogeneity: u(q) = c^m u(p), where q is p with some of its inputs multiplied by one number c > 0.

With ||v||_q equal to c^h ||v||_p,

    defect = ||N(q) - c^m N(p)||_q = ||e(q) - c^m e(p)||_q <= ||e(q)||_q + c^(m + h) ||e(p)||_p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from ..size import length
from .relation import Relation, held_in

LARGEST = 100.0  # c and 1/c
LEAST = 1.01  # nearer to one it tells nothing


@dataclass(frozen=True, eq=False)
class Homogeneous(Relation):
    """``scaled``: the inputs that are multiplied; ``degree`` m; ``norm_degree`` h. c is as far from one as the box
    allows.
    """

    name: str
    statement: str
    scaled: Int[np.ndarray, " k"]
    degree: float
    norm_degree: float = 0.0

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        box, p = problem.inputs, P[:, self.scaled]
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = [np.where(p == 0, np.nan, end[self.scaled] / p) for end in (box.lower, box.upper)]
            down, up = (np.log(np.maximum(factor(*ends), 1 / LARGEST)) for factor in (np.fmin, np.fmax))
        down, up = np.fmax.reduce(down, axis=1), np.fmin.reduce(up, axis=1)  # of log c; NaN where all inputs are zero
        log = np.clip(np.where(-down > up, down, up), -np.log(LARGEST), np.log(LARGEST))
        there = P.copy()
        there[:, self.scaled] = np.exp(log)[:, None] * p
        there[~(np.abs(log) > np.log(LEAST))] = np.nan
        return np.stack([P, held_in(box, there)], axis=1)

    def _factor(self, Q: Array) -> Array:
        """c, by the lengths of what was multiplied."""
        before, after = (length(q[self.scaled]) for q in Q)
        return after / before

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        return jnp.asarray(problem.norm(Q[1], U[1] - self._factor(Q) ** self.degree * U[0]))

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.stack([self._factor(Q) ** (self.degree + self.norm_degree), jnp.ones(())])
