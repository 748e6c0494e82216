"""Symmetries: u(g p) = G u(p) + c(p) with a motion G of the grid that keeps the norm.

    defect = ||N(g p) - G N(p) - c(p)||_gp = ||e(g p) - G e(p)||_gp <= ||e(g p)||_gp + ||e(p)||_p,

for ||G v||_gp = ||v||_p, which is what has to hold of G; w = (1, 1). Where g leaves the input as it is, both answers
are to one question. Reference: Noether 1918, of what a discrete scheme keeps; the bound is the triangle's.
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
class Symmetric(Relation):
    """``moved``: rows of inputs to rows of g p, in the box or not; G v = signs * v[entries]; ``constant``: p -> c."""

    name: str
    statement: str
    moved: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n d"]]
    entries: Int[np.ndarray, " N"]
    signs: Any = 1.0  # one for each entry, or for all
    constant: Callable[[Float[Array, " d"]], Float[Array, " N"]] | None = None

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        there = self.moved(P.copy())
        return np.stack([P, held_in(problem.inputs, there)], axis=1)

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        image = jnp.asarray(self.signs) * U[0][self.entries]
        if self.constant is not None:
            image = image + self.constant(Q[0])
        return jnp.asarray(problem.norm(Q[1], U[1] - image))

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.ones(2)


def unmoved(P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The input as it is: every solution is symmetric."""
    return P


def permuted(order: Int[np.ndarray, " d"]) -> Callable[[np.ndarray], np.ndarray]:
    """Rows with their inputs in another order."""
    return lambda P: P[:, order]


def flipped(signs: Float[np.ndarray, " d"]) -> Callable[[np.ndarray], np.ndarray]:
    """Rows with the signs of some inputs changed."""
    return lambda P: signs * P


def mirrored(which: int, total: float) -> Callable[[np.ndarray], np.ndarray]:
    """Rows whose input ``which`` is total less what it was."""

    def moved(P: np.ndarray) -> np.ndarray:
        P[:, which] = total - P[:, which]
        return P

    return moved


def motions(grid: tuple[int, ...], components: int = 1) -> dict[str, Int[np.ndarray, " N"]]:
    """What reflections, and the swap of two equal axes, do to the entries of a field on a grid, by name."""
    numbers = np.arange(int(np.prod(grid)) * components).reshape(*grid, components)
    found = {f"reflection of {'xyz'[axis]}": np.flip(numbers, axis) for axis in range(len(grid))}
    if len(grid) == 2 and grid[0] == grid[1]:
        found["swap of x and y"] = np.swapaxes(numbers, 0, 1)
    return {name: moved.reshape(-1) for name, moved in found.items()}


def at_all_times(entries: Int[np.ndarray, " S"], times: int) -> Int[np.ndarray, " N"]:
    """A motion of a state, of every state."""
    return np.asarray((len(entries) * np.arange(times)[:, None] + entries).ravel())
