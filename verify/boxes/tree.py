"""The leaves of a trust map under construction: boxes in unit coordinates, halved one axis at a time."""

from __future__ import annotations

import numpy as np

from .trust_map import TrustMap


class BoxTree:
    """A tree that grows by halving leaves. Every list has one entry a node, by its number; halves come after their
    parents, in pairs.
    """

    def __init__(self, d: int) -> None:
        self.axis, self.children, self.bound, self.depth = [-1], [(-1, -1)], [np.inf], [0]
        self.low, self.high = [np.zeros(d)], [np.ones(d)]
        self.split_axis, self.falsified = [0], [False]
        self.failure = [np.full(d, np.nan)]  # a point of proved failure in a falsified node

    @classmethod
    def of_map(cls, trust: TrustMap, tolerance: float) -> BoxTree:
        """The tree of a map, to go on with. Failures of a smaller tolerance may be none of this one.

        Raises:
            ValueError: its nodes are not numbered as halving numbers them.
        """
        tree = cls(trust.box.dimension)
        inner = np.flatnonzero(trust.axis >= 0)
        for node in inner[np.argsort(trust.children[inner, 0])].tolist():  # in the order in which they were halved
            tree.split_axis[node] = int(trust.axis[node])
            if tree.halve(node) != trust.children[node].tolist():
                raise ValueError("the map's nodes are not numbered in pairs, in the order in which they were made")
        tree.bound = trust.bound.tolist()
        if tolerance <= trust.tolerance:
            tree.falsified = ((trust.verdicts == 1) & (trust.axis < 0)).tolist()
            tree.failure = list(trust.failure_points)
        return tree

    @property
    def leaves(self) -> int:
        """How many there are."""
        return len(self.axis) // 2 + 1

    def leaf_numbers(self) -> list[int]:
        """Of all leaves."""
        return [node for node, axis in enumerate(self.axis) if axis < 0]

    def halve(self, node: int) -> list[int]:
        """The numbers of its halves. Linked last: an interrupt leaves a tree that ``close`` mends."""
        a = self.split_axis[node]
        middle = (self.low[node][a] + self.high[node][a]) / 2
        first = len(self.axis)
        for side in (0, 1):
            low, high = self.low[node].copy(), self.high[node].copy()
            (high if side == 0 else low)[a] = middle
            self.children.append((-1, -1))
            self.bound.append(self.bound[node])
            self.depth.append(self.depth[node] + 1)
            self.low.append(low)
            self.high.append(high)
            self.split_axis.append(int(np.argmax(high - low)))
            self.falsified.append(False)
            self.failure.append(np.full(len(low), np.nan))
            self.axis.append(-1)
        self.children[node] = (first, first + 1)
        self.axis[node] = a
        return [first, first + 1]

    def close(self) -> None:
        """Drop what an interrupt left unlinked: at most the last pair."""
        linked = 1 + max((self.children[node][1] for node, a in enumerate(self.axis) if a >= 0), default=0)
        for values in vars(self).values():
            del values[linked:]
