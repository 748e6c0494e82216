"""Where the physics is asked beside even inputs: where what snapshots suggest is farthest from a solution.

A guess between the snapshots costs no solve, and one correction tells its error (``physics_fields.py``). Of
``CANDIDATES`` times as many draws, of which ``ON_FACES`` are moved to a face of the box and half of these to an edge,
those are taken whose guess is worst, but for what is near one that was taken before. Errors of interpolation are
largest at the boundary, where a snapshot has neighbours on one side alone, and where solutions are steep.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ...solvers.box import Box

CANDIDATES = 6
ON_FACES = 0.6
WIDTH = 0.08  # of the box and of the square root of its dimension: within it inputs teach alike
WORST = 1e3  # a relative error, from which on it is no matter how large


def badly_guessed(
    error: Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, " m"]], box: Box, n: int, seed: int
) -> Float[np.ndarray, "n d"]:
    """n inputs at which ``error``, about the relative error of what is guessed there, is large."""
    rng = np.random.default_rng([seed, 3])
    X = box.to_unit(box.sample(CANDIDATES * n, seed + 1))
    for share in (ON_FACES, ON_FACES / 2):
        moved = np.arange(int(share * len(X)))
        X[moved, rng.integers(0, box.dimension, len(moved))] = rng.integers(0, 2, len(moved))
    X = np.unique(X, axis=0)  # corners come more than once
    P = box.from_unit(X)
    return P[apart(X, np.nan_to_num(np.minimum(error(P), WORST), nan=WORST), n, WIDTH)]


def apart(
    X: Float[np.ndarray, "m d"], values: Float[np.ndarray, " m"], n: int, width: float
) -> Float[np.ndarray, " n"]:
    """Which rows to take, greedily, each lowering the values near it:

    x_k = argmax s(x) prod_{j < k} (1 - exp(-|x - x_j|^2 / (2 l^2))),    l = width sqrt(d)
    """
    taken: list[int] = []
    free = np.ones(len(X), dtype=bool)
    for _ in range(min(n, len(X))):
        i = int(np.argmax(np.where(free, values, -1.0)))
        free[i] = False
        taken.append(i)
        squares = ((X - X[i]) ** 2).sum(axis=1)
        values = values * -np.expm1(-squares / (2 * width**2 * X.shape[1]))
    return np.array(taken, dtype=int)
