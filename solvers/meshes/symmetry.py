"""Motions of a rectangle on to itself: what they do to blocks and to the nodes of a grid."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Symmetry(NamedTuple):
    """u(p[inputs]) = u(p)[entries] for all inputs p of a problem, entry by entry of the solution."""

    inputs: Int[np.ndarray, " d"]
    entries: Int[np.ndarray, " N"]


def rectangle_group(blocks: tuple[int, int], grid: tuple[int, int]) -> list[Symmetry]:
    """The motions of one number a block and one a node, both numbered with the last axis running fastest: reflections,
    and the swap of the axes where both have equal sides. The identity comes first, and all their products are there.
    """
    square = blocks[0] == blocks[1] and grid[0] == grid[1]
    found = []
    for swap, *flips in itertools.product([False, True] if square else [False], [1, -1], [1, -1]):

        def moved(shape: tuple[int, int], swap: bool = swap, flips: list[int] = flips) -> np.ndarray:
            numbers = np.arange(shape[0] * shape[1]).reshape(shape)
            return (numbers.T if swap else numbers)[:: flips[0], :: flips[1]].ravel()

        found.append(Symmetry(moved(blocks), moved(grid)))
    return found
