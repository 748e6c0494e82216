"""Branch and bound over boxes of inputs, from both sides.

From above: a leaf that is not decided is halved along the axis that its remainder asks for. Towards a tolerance the
widest leaves come first, so that most of the volume is decided early; towards a ratio of upper to lower, the leaf with
the largest bound. Every leaf keeps a proved bound at all times, and children inherit it. From below: a climb of
estimates, and the worst points met while bounding, confirmed by the solver.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from ...solvers.box import Box
from ...solvers.problem import Problem
from .batches import BATCH
from .box_bound import BoxResult
from .point_errors import ConfirmedErrors
from .tree import BoxTree

MARGIN = 1e-6  # by which a failure must exceed the tolerance, so that whoever proves it again by other means agrees
NARROWEST = 2.0**-40  # of what is halved
FIXED = 1e-6  # share of the problem's own width, and 1e-8 of its size, up to which an interval is a fixed input
PAUSE = 0.3  # seconds between reports
ROUND = 3.0  # seconds that a round of boxes may take, so that limits are kept
Report = Callable[[dict[str, float]], None]


def varying(problem: Problem, box: Box) -> Bool[np.ndarray, " d"]:
    """Which inputs vary in a part of the problem's box: those of narrow intervals, beside the problem's own or beside
    the input's size, stand for a number.
    """
    own, part = (np.asarray(x.scaled_ends()[1]) for x in (problem.inputs, box))
    size = np.where(box.log, 1.0, np.maximum(np.abs(box.lower), np.abs(box.upper)))
    varies: np.ndarray = part > np.maximum(FIXED * own, FIXED / 100 * size)
    return varies if varies.any() else ~varies


class Search:
    """The loop: evaluate, decide, halve. ``tree`` holds what is known at any time, ``witnesses`` what was confirmed.

    Args:
        bound: of boxes, lower and upper ends [n, d] in unit coordinates: a ``BoxResult`` of arrays.
        tolerance: of the error; a leaf whose bound is within it is certified.
        ratio: of the largest bound to the largest confirmed error, at which to stop; None to decide leaves instead.
        width: widest side of a leaf that may be falsified, in unit coordinates.
        tree: to begin with: the whole box, or that of a map to go on with.
        varies: which inputs do: along the others a leaf is narrow enough to be falsified, however wide.
    """

    def __init__(
        self,
        bound: Callable[..., BoxResult],
        witnesses: ConfirmedErrors,
        tolerance: float,
        ratio: float | None,
        width: float,
        tree: BoxTree,
        varies: Bool[np.ndarray, " d"] | None = None,
    ) -> None:
        self.bound, self.witnesses, self.tolerance, self.ratio, self.width = bound, witnesses, tolerance, ratio, width
        self.tree, self.evaluated, self.seconds = tree, 0, 0.0
        self._varies = np.ones(len(tree.low[0]), dtype=bool) if varies is None else varies
        self.contradicted = False  # a proved lower bound above a proved upper one: a defect, and nothing is proved
        self._queue: list[tuple[float, float, int]] = []

    def run(
        self, seconds: float, max_leaves: int, report: Report | None, save: Callable[[], None] | None = None
    ) -> list[str]:
        """Until all is decided, or a limit is reached, or an interrupt: what stopped it, and what failed on the way, in
        words.

        Args:
            report: told a few times a second where it stands (``state``).
            save: called now and then, more rarely where it takes long.
        """
        start = time.perf_counter()
        notes: list[str] = []
        shown = saved = start
        try:
            self._seed()
            if self.tree.leaves == 1:
                self._evaluate([0])
            for node in self.tree.leaf_numbers():
                self._push(node)
            while True:
                now = time.perf_counter()
                self.seconds = now - start
                chosen = self._choose()
                if report is not None and (now - shown > PAUSE or not chosen):
                    shown = now
                    report(self.state())
                if save is not None and now - saved > 10 + 20 * (time.perf_counter() - now):
                    save()
                    saved = time.perf_counter()
                if not chosen:
                    break
                if self.seconds > seconds or self.tree.leaves + len(chosen) > max_leaves:
                    what = "time" if self.seconds > seconds else "boxes"
                    notes.append(f"stopped at the limit of {what}: the map so far is valid")
                    break
                children = [child for node in chosen for child in self.tree.halve(node)]
                self._evaluate(children)
                for node in children:
                    self._push(node)
        except KeyboardInterrupt:
            notes.append("interrupted: the map so far is valid")
        except MemoryError:
            notes.append("out of memory: the map so far is valid")
        self.tree.close()
        self.seconds = time.perf_counter() - start
        return [*notes, *self.witnesses.notes()]

    def state(self) -> dict[str, float]:
        """Where it stands, for progress: shares of the volume, the sandwich, boxes per second."""
        numbers = np.array(self.tree.leaf_numbers())
        bound, shares = np.array(self.tree.bound)[numbers], 0.5 ** np.array(self.tree.depth)[numbers]
        certified = bound <= self.tolerance
        falsified = np.array(self.tree.falsified)[numbers] & ~certified
        return {
            "certified": float(shares[certified].sum()),
            "falsified": float(shares[falsified].sum()),
            "undecided": float(shares[~certified & ~falsified].sum()),
            "upper": float(bound.max()),
            "lower": self.witnesses.best,
            "leaves": len(numbers),
            "seconds": self.seconds,
            "boxes_per_second": self.evaluated / self.seconds if self.seconds else 0.0,
            "preparing": 0.0,
        }

    def _seed(self) -> None:
        """The worst of a few thousand points, without a solve; the best of them confirmed."""
        d = len(self.tree.low[0])
        rng = np.random.default_rng(0)
        X = np.concatenate([rng.random((2048, d)), rng.integers(0, 2, (256, d)).astype(float)])
        values = self.witnesses.estimates(X)
        for step in (0.1, 0.03, 0.01, 0.003):
            best = X[np.argsort(-values)[:16]]
            near = np.clip(best[:, None] + step * rng.standard_normal((16, 16, d)), 0, 1).reshape(-1, d)
            X, values = (
                np.concatenate([best, near]),
                np.concatenate([np.sort(values)[::-1][:16], self.witnesses.estimates(near)]),
            )
        self.witnesses.confirm(X[np.argsort(-values)[:1]])

    def _decided(self, node: int) -> bool:
        """Whether nothing is to be gained by halving this leaf."""
        upper = self.tree.bound[node]
        if self.ratio is not None and upper > self.ratio * max(self.witnesses.best, 1e-300):
            return False
        return upper <= self.tolerance or self.tree.falsified[node]

    def _push(self, node: int) -> None:
        """Into the queue. What is decided stays so: bounds do not rise, the largest error found does not fall."""
        if not self._decided(node):
            depth, upper = float(self.tree.depth[node]), -self.tree.bound[node]
            first, second = (depth, upper) if self.ratio is None else (upper, depth)
            heapq.heappush(self._queue, (first, second, node))

    def _choose(self) -> list[int]:
        """The next leaves to halve."""
        tree = self.tree
        chosen: list[int] = []
        rate = self.evaluated / self.seconds if self.seconds > 1 else BATCH
        while self._queue and len(chosen) < min(BATCH // 2, max(1.0, ROUND * rate / 2)):
            node = heapq.heappop(self._queue)[2]
            wide = (tree.high[node] - tree.low[node])[tree.split_axis[node]] > NARROWEST
            if wide and not self._decided(node):
                chosen.append(node)
        return chosen

    def _evaluate(self, nodes: list[int]) -> None:
        tree = self.tree
        low, high = np.stack([tree.low[i] for i in nodes]), np.stack([tree.high[i] for i in nodes])
        result = self.bound(low, high)
        self.evaluated += len(nodes)
        for node, upper, axis in zip(nodes, result.upper, result.axis, strict=True):
            tree.bound[node] = min(tree.bound[node], float(upper))
            tree.split_axis[node] = int(axis)
        self._falsify(nodes, np.clip(result.best, low, high))

    def _falsify(self, nodes: list[int], points: np.ndarray) -> None:
        """A proved lower bound above the tolerance at a point of a narrow leaf falsifies it: no solve is needed."""
        tree, lower = self.tree, self.witnesses.lower_bounds(points)
        self.contradicted |= bool((lower > np.array([tree.bound[i] for i in nodes]) * (1 + 1e-12)).any())
        best = int(np.argmax(lower))
        if lower[best] > 1.002 * self.witnesses.best:
            self.witnesses.confirm(points[[best]])
        for node, error, point in zip(nodes, lower, points, strict=True):
            narrow = (tree.high[node] - tree.low[node])[self._varies].max() <= self.width
            if narrow and error > self.tolerance * (1 + MARGIN):
                tree.failure[node], tree.falsified[node] = point, True
