"""A solver that takes its time and a surrogate of it, where every worker can import them."""

from __future__ import annotations

import time

import numpy as np

from ...solvers.box import Box
from ...solvers.problems.black_box import BlackBox, black_box
from ...solvers.problems.thermal_block import ThermalBlock

SECONDS = 0.2
BOX = Box(("a", "b", "c"), np.zeros(3), np.ones(3))
BLOCK = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5)


def smooth(p: np.ndarray) -> np.ndarray:
    return np.array([1 + p[0], np.exp(p[1]), np.sin(3 * p[2] + p[0]), 2.0])


def waiting(p: np.ndarray) -> np.ndarray:
    """A solver somewhere else, which is waited for: nothing is computed here."""
    time.sleep(SECONDS)
    return smooth(p)


def problem() -> BlackBox:
    return black_box(waiting, BOX, size=4, name="waiting")


def surrogate(P: np.ndarray) -> np.ndarray:
    """Right but near a corner."""
    wrong = np.exp(-(((P - 0.9) / 0.3) ** 2).sum(axis=1))
    return np.stack([smooth(p) for p in P]) * (1 + 0.2 * wrong[:, None])
