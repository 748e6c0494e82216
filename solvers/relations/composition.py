"""Composition: where states and the time that passes are inputs, two steps make one, S(t) x = S(t/2) S(t/2) x.

With the answer y = N(x, t/2), its prescribed entries in place, as the state of the second half, and the growth L, for
which |S(t/2) y - S(t/2) x'| <= L |y - x'| has to hold of all states y of the box, of all x' that the flow reaches from
the box in half a time of it, **also where these are outside of the box**, and in the norm, which depends on neither
state nor time,

    defect = |N(y, t/2) - N(x, t)|,   w = (1, L, 1) of N(x, t), N(x, t/2) and N(y, t/2),

for N(y, t/2) - N(x, t) = e(y, t/2) - e(x, t) + S(t/2) y - S(t/2) S(t/2) x, and y - S(t/2) x = e(x, t/2). L = 1 of
contractions. Nothing is said where t/2 or y is not in the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .relation import Relation, held_in


@dataclass(frozen=True, eq=False)
class Composed(Relation):
    """``state``: the inputs that hold the state, in the order of the field's values; ``time``: the input that is the
    time; ``growth``: L, over the box and all that the flow reaches from it in half a time (module docstring).

    Raises:
        ValueError: a growth that is negative or no number; inputs that are named twice, or the time among the state.
    """

    following: ClassVar[int] = 1

    name: str
    statement: str
    state: Int[np.ndarray, " N"]
    time: int
    growth: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.growth, Real) and 0 <= self.growth < np.inf):
            raise ValueError(f"growth is how far states may grow apart, a finite number >= 0, not {self.growth!r}")
        named = [*np.ravel(self.state).tolist(), self.time]
        if any(not isinstance(i, int | np.integer) or i < 0 for i in named) or len(set(named)) < len(named):
            raise ValueError(f"state and time name inputs by their places from 0, each once, not {named}")

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if np.size(self.state) != problem.size or max(*self.state, self.time) >= P.shape[1]:
            raise ValueError(
                f"{problem.name} has {P.shape[1]} inputs and fields of {problem.size} values: the state is as many "
                f"inputs as values, not {list(map(int, self.state))}, and the time another, not {self.time}"
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
