"""The leaves of a trust map under construction: boxes in unit coordinates, halved one axis at a time."""

from __future__ import annotations

import numpy as np


class BoxTree:
    """Nodes by number; children come after their parents."""

    def __init__(self, d: int) -> None:
        self.axis, self.children, self.bound = [-1], [(-1, -1)], [np.inf]
        self.low, self.high = [np.zeros(d)], [np.ones(d)]
        self.split_axis, self.falsified = [0], [False]
        self.failure = [np.full(d, np.nan)]  # a point of proved failure in a falsified node
        self.open = {0}

    def halve(self, node: int) -> list[int]:
        a = self.split_axis[node]
        middle = (self.low[node][a] + self.high[node][a]) / 2
        first = len(self.axis)
        for side in (0, 1):
            low, high = self.low[node].copy(), self.high[node].copy()
            (high if side == 0 else low)[a] = middle
            self.axis.append(-1)
            self.children.append((-1, -1))
            self.bound.append(self.bound[node])
            self.low.append(low)
            self.high.append(high)
            self.split_axis.append(int(np.argmax(high - low)))
            self.falsified.append(False)
            self.failure.append(np.full(len(low), np.nan))
        self.axis[node], self.children[node] = a, (first, first + 1)
        self.open.discard(node)
        return [first, first + 1]
