"""Composition: where states and the time that passes are inputs, two steps make one, S(t) x = S(t/2) S(t/2) x.

With the answer y = N(x, t/2) as the state of the second half, and growth L: |S(t/2) y - S(t/2) x'| <= L |y - x'| for
all states and half times of the box, in the norm, which depends on neither,

    defect = |N(y, t/2) - N(x, t)|,   w = (1, L, 1) of N(x, t), N(x, t/2) and N(y, t/2),

for N(y, t/2) - N(x, t) = e(y, t/2) - e(x, t) + S(t/2) y - S(t/2) S(t/2) x, and y - S(t/2) x = e(x, t/2). L = 1 of
contractions. Nothing is said where t/2 or y is not in the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .relation import Relation, held_in


@dataclass(frozen=True, eq=False)
class Composed(Relation):
    """``state``: the inputs that hold the state, in the order of the field's values; ``time``: the input that is the
    time; ``growth``: L.

    Raises:
        ValueError: a growth that is negative or no number; a time or an input twice among the state.
    """

    following: ClassVar[int] = 1

    name: str
    statement: str
    state: Int[np.ndarray, " N"]
    time: int
    growth: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.growth < np.inf:
            raise ValueError(f"growth is how far states may grow apart, a finite number >= 0, not {self.growth}")
        if len({self.time, *np.asarray(self.state).tolist()}) != np.size(self.state) + 1:
            raise ValueError(f"state {self.state} and time {self.time} are different inputs, each given once")

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """
        Raises:
            ValueError: a state that has not one input for every value of a field.
        """
        d, inputs = P.shape[1], np.append(self.state, self.time)
        if len(inputs) != problem.size + 1 or not ((inputs >= 0) & (inputs < d)).all():
            raise ValueError(
                f"state names an input for each of the {problem.size} values of a field, and time one more, by their "
                f"numbers 0 to {d - 1}, not {self.state} and {self.time}"
            )
        half = P.copy()
        half[:, self.time] /= 2
        return np.stack([P, held_in(problem.inputs, half)], axis=1)

    def follow(self, problem: Any, Q: np.ndarray, U: np.ndarray) -> np.ndarray:
        second = Q[:, 1].copy()
        second[:, self.state] = U[:, 1]
        return held_in(problem.inputs, second)[:, None, :]

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        return jnp.asarray(problem.norm(Q[2], U[2] - U[0]))

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.array([1.0, self.growth, 1.0])
