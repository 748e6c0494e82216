"""Tensor grids: nodes that are all combinations of ticks along a few axes, and which of them are neighbours.

Nodes are numbered with the last axis running fastest, as an array [n_1, .., n_k] is flattened.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

MOST_AXES = 4  # whose orders are tried
DIGITS = 9  # of the extent, to which places along an axis are the same


def grid_edges(sides: Sequence[int], periodic: bool = False) -> Int[np.ndarray, "e 2"]:
    """Pairs of nodes next to each other along an axis, each once, the smaller number first; around the ends as well
    where ``periodic``.
    """
    numbers = np.arange(np.prod(sides)).reshape(sides)
    pairs = []
    for axis, side in enumerate(sides):
        last = side if periodic and side > 2 else side - 1
        here = numbers.take(range(last), axis=axis)
        there = numbers.take(range(1, last + 1), axis=axis, mode="wrap")
        pairs.append(np.stack([here.ravel(), there.ravel()], axis=1))
    return np.sort(np.concatenate(pairs), axis=1)


def grid_of(points: Float[np.ndarray, "nodes axes"]) -> tuple[int, ...] | None:
    """The sides of the tensor grid that the points form in this order, the axis that runs fastest last; None where
    they form none. Axes along which all points are the same do not count.

    Points that are ``only_numbered`` form none.
    """
    if only_numbered(points):
        return None
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    wide = extent > 0
    points = np.round((points - low)[:, wide] / extent[wide], DIGITS)
    ticks = [np.unique(x) for x in points.T]
    if not ticks or len(ticks) > MOST_AXES or np.prod([len(t) for t in ticks]) != len(points):
        return None
    ticks = [t[::-1] if x[0] == 1 else t for t, x in zip(ticks, points.T, strict=True)]  # an axis may run downwards
    for order in itertools.permutations(range(len(ticks))):
        mesh = np.meshgrid(*[ticks[a] for a in order], indexing="ij")
        if all(np.array_equal(points[:, a], m.ravel()) for a, m in zip(order, mesh, strict=True)):
            return tuple(len(ticks[a]) for a in order)
    return None


def only_numbered(points: Float[np.ndarray, "nodes axes"]) -> bool:
    """Whether they are 0, 1, 2, .. on a line: what stands where nobody said where the nodes lie."""
    return points.shape[1] == 1 and np.array_equal(points[:, 0], np.arange(len(points)))
