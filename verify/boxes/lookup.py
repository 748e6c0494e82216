"""In which leaf of a trust map an input lies: microseconds for one, a fraction of one each for many.

The tree is descended, one comparison with a node's middle a level: a loop over rows for a few of them, over levels for
many. A leaf was bounded over a box that is wider by ``INFLATION`` on every side, so a query's unit coordinates may be
rounded by that much. They are off by at most

    8 u (1 + max |log p| / width)   on a logarithmic axis,  8 u  on another     (u the unit roundoff)

which only on a logarithmic axis of tiny width can be more; there, inputs so near to a face belong to no leaf.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box
from ...solvers.precision import UNIT_ROUNDOFF
from .box_bound import INFLATION

FEW = 64  # rows up to which the loop over rows is the faster one
CHUNK = 8192  # rows at a time: they stay in cache


class Lookup:
    """``lookup(P)`` is the number of the leaf that every row of P [n, d] lies in, -1 outside the box.

    ``low`` and ``high`` [M, d] are the ends of all nodes, in unit coordinates.
    """

    def __init__(self, box: Box, axis: Int[np.ndarray, " M"], children: Int[np.ndarray, "M 2"]) -> None:
        self.box, d = box, box.dimension
        self.axis, self.children = np.array(axis, dtype=np.intp), np.array(children, dtype=np.intp)
        self.low, self.high = np.zeros((len(axis), d)), np.ones((len(axis), d))
        self.middle = np.full(len(axis), np.nan)
        level = np.zeros(1, dtype=np.intp)
        while len(level := level[self.axis[level] >= 0]):
            a = self.axis[level]
            self.middle[level] = (self.low[level, a] + self.high[level, a]) / 2
            for side, ends in enumerate((self.high, self.low)):
                child = self.children[level, side]
                self.low[child], self.high[child] = self.low[level], self.high[level]
                ends[child, a] = self.middle[level]
            level = self.children[level].ravel()
        self._steps = list(zip(self.axis.tolist(), self.middle.tolist(), *self.children.T.tolist(), strict=True))
        widths = box.scaled_ends()[1]
        logs = np.abs(np.log(np.where(box.log, [box.lower, box.upper], 1.0))).max(axis=0)
        self.rounding = 8 * UNIT_ROUNDOFF * (1 + logs / widths)
        self.unsure = float(self.rounding.max()) > INFLATION

    def __call__(self, P: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        X = self.box.to_unit(P)
        with np.errstate(invalid="ignore"):
            inside = np.all((X >= -INFLATION / 2) & (X <= 1 + INFLATION / 2), axis=1)
        if self.unsure:
            return self._far_from_faces(X, inside)
        return np.where(inside, self._descend(X), -1)

    def _descend(self, X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        if len(X) > FEW:
            return np.concatenate([self._levels(X[i : i + CHUNK]) for i in range(0, len(X), CHUNK)])
        found, steps = [], self._steps
        for x in X.tolist():
            node = 0
            a, middle, below, above = steps[0]
            while a >= 0:
                node = above if x[a] >= middle else below
                a, middle, below, above = steps[node]
            found.append(node)
        return np.array(found, dtype=np.intp)

    def _levels(self, X: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        flat, children = np.ascontiguousarray(X).ravel(), self.children.ravel()
        out = np.zeros(len(X), dtype=np.intp)
        rows, node = np.arange(len(X)), out.copy()
        a = self.axis[node]
        while True:
            inner = a >= 0
            if not inner.all():
                out[rows[~inner]] = node[~inner]
                rows, node, a = rows[inner], node[inner], a[inner]
            if not len(rows):
                return out
            node = children[2 * node + (flat[rows * X.shape[1] + a] >= self.middle[node])]
            a = self.axis[node]

    def _far_from_faces(self, X: Float[np.ndarray, "n d"], inside: Any) -> Int[np.ndarray, " n"]:
        out = np.full(len(X), -1)
        rows = np.flatnonzero(inside)
        leaf = self._descend(X[rows])
        sure = (X[rows] - self.low[leaf] >= self.rounding) & (self.high[leaf] - X[rows] >= self.rounding)
        out[rows] = np.where(sure.all(axis=1), leaf, -1)
        return out
