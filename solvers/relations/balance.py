"""Conservation and decay: what a scheme keeps in time, or lets only fall, with what it was at the start as the measure.

In a norm ||u||^2 = sum_n tau_n |u^n|^2 over the states, let x_n be a lower bound of |e^n| that only what is kept tells:

    a mass M(u^n) = M(u^0), linear:   x_n = |M(N^n) - M(u^0)| / |M|,  for M(e^n) = M(N^n) - M(u^0)
    a norm |u^n| = |u^0|:             x_n = ||N^n| - |u^0||,          the triangle's inequality, reversed
    a norm |u^n| <= |u^0|:            x_n = max(|N^n| - |u^0|, 0)

u^0 is prescribed. Then defect = (sum_n tau_n x_n^2)^(1/2) <= ||e||. Amounts are measured at a size near one,
whose squares neither under- nor overflow: |c u| = c |u| for c > 0, and M is linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..size import powers
from .relation import Relation


@dataclass(frozen=True, eq=False)
class Balance(Relation):
    """``amount``: (p, u) -> what is compared with its value at the start, M(u^n)/|M| or |u^n|; ``may_fall``: only more
    of it is wrong; ``tau``: the weights of the states in the norm.
    """

    name: str
    statement: str
    amount: Callable[[Float[Array, " d"], Float[Array, " N"]], Float[Array, " times"]]
    tau: Float[np.ndarray, " times"]
    may_fall: bool = False

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return P[:, None, :]

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        down, up = powers(U[0])
        amounts = self.amount(Q[0], U[0] * down)
        change = amounts - amounts[0]
        x = jnp.maximum(change, 0.0) if self.may_fall else jnp.abs(change)
        return jnp.sqrt(jnp.sum(jnp.asarray(self.tau) * x**2)) * up

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.ones(1)
