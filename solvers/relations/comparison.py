"""Comparison: bounds that solutions keep everywhere (maximum principle), and values that grow with an input.

With sizes kappa_i(p) such that ||v||_p^2 >= sum_i kappa_i^2 v_i^2 for every field v that is zero in prescribed entries
(a lower bound of the least eigenvalue, or the weights of a norm of values):

    low <= u <= high               x = max(low - N, N - high, 0); as u lies within, |e_i| >= x_i, and
                                   defect = (sum_i kappa_i^2 x_i^2)^(1/2) <= ||e||
    u(p) <= u(q) for p_j < q_j     x = max(N(p) - N(q), 0); where x > 0, e(p) - e(q) = N(p) - N(q) + u(q) - u(p) >= x,
                                   so that, kappa the least of the kappa_i,
                                   defect = |x| <= |e(p)| + |e(q)| <= ||e(p)||/kappa(p) + ||e(q)||/kappa(q)

Entries count where the field is free: ``kappa`` is zero where answers are prescribed. References: Protter and
Weinberger 1967; for matrices Varga 1962 (an M-matrix has a nonnegative inverse).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..size import length
from .relation import Relation

Sizes = Callable[[Float[Array, " d"]], Float[Array, " N"]]


@dataclass(frozen=True, eq=False)
class Bounded(Relation):
    """``low`` <= u <= ``high``, where ``holds`` says so of rows of inputs; None: everywhere."""

    name: str
    statement: str
    sizes: Sizes  # kappa
    low: float = -np.inf
    high: float = np.inf
    holds: Callable[[Float[np.ndarray, "n d"]], Bool[np.ndarray, " n"]] | None = None

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        good = np.ones(len(P), dtype=bool) if self.holds is None else self.holds(P)
        return np.where(good[:, None], P, np.nan)[:, None, :]

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        beyond = jnp.maximum(jnp.maximum(self.low - U[0], U[0] - self.high), 0.0)
        return length(self.sizes(Q[0]) * beyond)

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.ones(1)


@dataclass(frozen=True, eq=False)
class Growing(Relation):
    """u grows with one input everywhere; q has it drawn evenly from p's to the end of the box."""

    name: str
    statement: str
    sizes: Sizes
    along: int

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        X = problem.inputs.to_unit(P)
        X[:, self.along] += rng.random(len(P)) * (1 - X[:, self.along])
        return np.stack([P, problem.inputs.from_unit(X)], axis=1)

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        free = self.sizes(Q[0]) > 0
        return length(jnp.where(free, jnp.maximum(U[0] - U[1], 0.0), 0.0))

    def weights(self, problem: Any, Q: Array) -> Array:
        kappa = jnp.stack([self.sizes(q) for q in Q])
        return 1 / jnp.min(jnp.where(kappa > 0, kappa, jnp.inf), axis=1)
