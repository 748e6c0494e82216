"""Leaves proved by halving until every part holds, within a budget: many parts of many leaves at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .claims import LeafBound

NARROWEST = 2.0**-40
NUMBERS = 4_000_000  # that one pass works on
PROVED, BUDGET, HOPELESS = (
    "proved",
    "not reproduced within the budget",
    "not reproduced: the bound at a point is larger",
)


@dataclass
class Leaves:
    """Boxes in unit coordinates with what is claimed of them, and what else a bound is told of each."""

    low: Float[np.ndarray, "n d"]
    high: Float[np.ndarray, "n d"]
    claimed: Float[np.ndarray, " n"]
    about: dict[str, np.ndarray]

    def __getitem__(self, rows: Any) -> Leaves:
        about = {key: x[rows] for key, x in self.about.items()}
        return Leaves(self.low[rows], self.high[rows], self.claimed[rows], about)

    def __len__(self) -> int:
        return len(self.low)


def prove(
    bound: LeafBound, leaves: Leaves, boxes: int, stop: Callable[[], bool] = lambda: False
) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """What became of every leaf, ``PROVED``, ``BUDGET`` or ``HOPELESS``, and how many boxes each of them took.

    Args:
        boxes: at most so many for one leaf.
        stop: asked before every pass; True ends it, and what is not decided by then counts as ``BUDGET``.
    """
    n = len(leaves)
    answer, spent = [PROVED] * n, np.zeros(n, dtype=int)
    given_up = np.zeros(n, dtype=bool)
    batch = max(1, min(256, NUMBERS // bound.size()))
    of, low, high = np.arange(n)[::-1], leaves.low[::-1], leaves.high[::-1]  # a stack: its end comes first
    while len(of):
        if stop():
            for i in np.unique(of):
                answer[i] = BUDGET
            break
        rows, a, b = of[-batch:], low[-batch:], high[-batch:]
        of, low, high = of[:-batch], low[:-batch], high[:-batch]
        found = bound(a, b, leaves.claimed[rows], {key: x[rows] for key, x in leaves.about.items()})
        np.add.at(spent, rows, 1)
        for i in np.unique(rows[found.hopeless & ~found.holds]):
            answer[i], given_up[i] = HOPELESS, True
        left = ~found.holds
        axis = found.axis[left]
        here = np.arange(len(axis))
        narrow = (b - a)[left][here, axis] <= NARROWEST
        for i in np.unique(rows[left][narrow | (spent[rows[left]] >= boxes)]):
            answer[i], given_up[i] = (answer[i] if given_up[i] else BUDGET), True
        middle = (a[left][here, axis] + b[left][here, axis]) / 2
        below, above = b[left].copy(), a[left].copy()
        below[here, axis] = above[here, axis] = middle
        of = np.concatenate([of, rows[left], rows[left]])
        low, high = np.concatenate([low, a[left], above]), np.concatenate([high, below, b[left]])
        kept = ~given_up[of]
        of, low, high = of[kept], low[kept], high[kept]
    return answer, spent
