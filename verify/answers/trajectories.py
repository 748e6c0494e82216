"""Trajectories that are made window by window, with the bounds of their states; ``guard_steps`` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from ..proofs.bounds import SLACK


@dataclass(frozen=True)
class Window:
    """What is known of w steps of some rows."""

    states: Float[np.ndarray, "n w+1 S"]
    b: Float[np.ndarray, "n w+1"]
    least: Float[np.ndarray, "n w+1"]
    measures: Any

    def within(self, tolerance: float, absolute: float) -> Bool[np.ndarray, " n"]:
        """Of which rows every state but the first is proved to be within absolute + tolerance |u^n|."""
        return np.asarray(within(self.b[:, 1:], self.least[:, 1:], tolerance, absolute).all(axis=1))


def within(
    b: Float[np.ndarray, "n w"], least: Float[np.ndarray, "n w"], tolerance: float, absolute: float
) -> Bool[np.ndarray, "n w"]:
    """b <= absolute + tolerance |u|, from |u| >= |v| - b and |v| >= least."""
    return np.asarray(b * SLACK <= absolute + tolerance * np.maximum(least - np.where(np.isfinite(b), b, 0.0), 0.0))


class Trajectories:
    """Trajectories under construction. ``b``, ``least`` <= |v^n| and the measures are those of the states in ``v``."""

    def __init__(self, P: np.ndarray, first: np.ndarray, start: np.ndarray, edges: np.ndarray) -> None:
        n, steps = len(P), int(edges[-1])
        self.P, self.edges = P, edges
        self.v = np.zeros((n, steps + 1, first.shape[1]))
        self.v[:, 0] = first
        self.b = np.full((n, steps + 1), np.inf)
        self.b[:, 0] = start
        self.least = np.zeros((n, steps + 1))
        self.measures: Any = None
        self.route = np.full((n, len(edges) - 1), "failed", dtype="<U8")
        self.anchor = np.zeros(n, dtype=int)  # the window that begins with the last small b
        self.changed = np.zeros(n)
        self.calls = 0
        self.said: dict[str, None] = {}

    def put(self, rows: np.ndarray, k: int, found: Window, good: np.ndarray, route: str) -> None:
        """Write window k of the ``good`` ones of ``rows``."""
        a, z = self.edges[k], self.edges[k + 1]
        done = rows[good]
        self.v[done, a + 1 : z + 1] = found.states[good, 1:]
        self.b[done, a + 1 : z + 1], self.least[done, a : z + 1] = found.b[good, 1:], found.least[good]
        if self.measures is None:
            self.measures = jax.tree.map(
                lambda x: np.full((len(self.P), self.edges[-1], *x.shape[2:]), np.nan), found.measures
            )
        for mine, new in zip(jax.tree.leaves(self.measures), jax.tree.leaves(found.measures), strict=True):
            mine[done, a:z] = new[good]
        self.route[done, k] = route

    def window(self, rows: np.ndarray, k: int) -> Window:
        """Window k of these rows as it is."""
        part = slice(self.edges[k], self.edges[k + 1] + 1)
        return Window(self.v[rows, part], self.b[rows, part], self.least[rows, part], None)
