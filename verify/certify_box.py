"""``certify_box``: a proof over a whole box of inputs, by branch and bound from both sides.

Best first: the leaf with the largest bound is halved along the axis that its remainder asks for; anytime, since every
leaf keeps a proved bound (``box_bound.py``) and children inherit the smaller one. From below, a climb of the proved
lower bound and the worst points met while bounding are confirmed by the solver. A leaf is certified when its bound is
within the tolerance, falsified when it holds a proved failure and is no wider than ``width`` (one counterexample does
not decide a whole box), else open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..solvers.batching import VectorMap
from ..solvers.box import Box
from ..solvers.coercive import CoerciveProblem
from ..solvers.precision import require_float64
from ..solvers.problem import Problem
from . import fingerprint
from .box_bound import BoxResult, make_box_bound
from .box_rounds import BATCH, BoxBounds
from .box_tree import BoxTree
from .certificate import against, assumptions
from .counterexample import measured_error
from .enclose import UnsupportedOperation
from .frozen import Frozen
from .reduced import ReducedBound, reduced_path
from .surrogate import coefficients
from .trust_map import TrustMap

WIDTH = 1 / 8  # widest side of a falsified leaf, in unit coordinates
MARGIN = 1e-6  # by which a failure must exceed the tolerance, so that whoever proves it again by other means agrees
TRACED = (
    "the surrogate's coefficients are the JAX program that was traced, evaluated in float64 in any order of summation"
)


def default_order(d: int) -> int:
    """Nodes per axis: more of them take fewer boxes, but m^d evaluations a box."""
    return {1: 7, 2: 7, 3: 6, 4: 5}.get(d, 4)


class _Witnesses:
    """Failures and large errors confirmed by the solver."""

    def __init__(self, problem: Problem, box: Box, reduced: ReducedBound, surrogate: Any, budget: int) -> None:
        self.problem, self.box, self.surrogate, self.budget = problem, box, surrogate, budget
        self.basis = reduced.basis
        self.points: list[np.ndarray] = []
        self.lower: list[float] = []
        self._bounds = VectorMap(lambda p, c: reduced.bound(p, c).relative_lower)

    @property
    def best(self) -> float:
        return max(self.lower, default=0.0)

    def proved_lower(self, X: np.ndarray) -> np.ndarray:
        """Lower bounds of the relative error, without a solve."""
        P = self.box.from_unit(X)
        return np.asarray(self._bounds(P, coefficients(self.surrogate, P)))

    def confirm(self, X: np.ndarray) -> np.ndarray:
        """Solver-confirmed lower ends of the errors at X, while the budget lasts."""
        X = X[: max(self.budget, 0)]
        if not len(X):
            return np.zeros(0)
        self.budget -= len(X)
        P = self.box.from_unit(X)
        fields = coefficients(self.surrogate, P) @ self.basis.T
        truths = np.asarray(self.problem.attempt_batch(P).u)
        out = np.zeros(len(X))
        for i, (p, x, u, v) in enumerate(zip(P, X, truths, fields, strict=True)):
            if np.isfinite(u).all():
                out[i] = measured_error(self.problem, p, v, u)[1]
                self.points.append(x)
                self.lower.append(float(out[i]))
        return out


def certify_box(
    problem: Problem,
    surrogate: Any,
    tolerance: float = 1e-2,
    seconds: float = 60.0,
    box: Box | None = None,
    ratio: float | None = None,
    *,
    boxes: int = 200_000,
    order: int | None = None,
    budget: int = 60,
    width: float = WIDTH,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrustMap:
    """Prove the surrogate over a box of inputs: largest error found, largest error possible, and the map between.

    Stops when every leaf is decided at the tolerance (with ``ratio``: and upper/lower is at most that), after
    ``seconds`` (compilation apart), at ``boxes`` leaves, or on an interrupt; what is there then is valid. Surrogates
    without a basis, or with operations that cannot be enclosed, are undecided, with the reason in ``notes``.

    Raises:
        ValueError: tolerance, seconds or ratio out of range, or a box that is not inside the problem's.
    """
    require_float64()
    if not 0 < tolerance < np.inf:
        raise ValueError(f"the tolerance is a relative error and must be positive, not {tolerance}")
    if not seconds > 0 or (ratio is not None and not ratio > 1):
        raise ValueError(f"seconds must be positive and ratio above 1, not seconds={seconds}, ratio={ratio}")
    inputs = problem.inputs if box is None else box
    if (
        inputs.names != problem.inputs.names
        or not problem.inputs.contains(np.stack([inputs.lower, inputs.upper])).all()
    ):
        raise ValueError(f"the box must lie inside the box of {problem.name}, with the same inputs")
    if not isinstance(problem, CoerciveProblem):
        return _undecided(problem, inputs, tolerance, f"no proved bound is known for {problem.name}")
    reduced = reduced_path(problem, surrogate)
    if reduced is None:
        return _undecided(problem, inputs, tolerance, "box proofs need a surrogate with basis and coefficients")
    try:  # one program is bounded, searched, hashed, whatever the surrogate does meanwhile
        surrogate = Frozen(surrogate, problem.inputs.dimension, reduced.basis)
    except jax.errors.JAXTypeError:
        return _undecided(problem, inputs, tolerance, "the surrogate's coefficients are not a JAX function")
    except ValueError as error:
        return _undecided(problem, inputs, tolerance, f"the surrogate cannot be enclosed: {error}")
    bound = BoxBounds(make_box_bound(problem, reduced, surrogate, inputs, order or default_order(inputs.dimension)))
    d = inputs.dimension
    try:
        bound(np.zeros((1, d)), np.ones((1, d)))  # compiles
    except (UnsupportedOperation, NotImplementedError) as error:  # no range, or no rounding error, is known for it
        return _undecided(problem, inputs, tolerance, f"the surrogate cannot be enclosed: {error}")
    witnesses = _Witnesses(problem, inputs, reduced, surrogate, budget)
    search = _Search(bound, witnesses, tolerance, ratio, width, d)
    witnesses.proved_lower(np.full((300, d), 0.5))  # compiles, too
    witnesses.proved_lower(np.full((BATCH, d), 0.5))
    notes = search.run(seconds, boxes, progress)
    return _finished(problem, surrogate.hash, inputs, search, notes)


class _Search:
    """The loop: evaluate, decide, halve."""

    def __init__(
        self,
        bound: Callable[..., BoxResult],
        witnesses: _Witnesses,
        tolerance: float,
        ratio: float | None,
        width: float,
        d: int,
    ) -> None:
        self.bound, self.witnesses, self.tolerance, self.ratio, self.width = bound, witnesses, tolerance, ratio, width
        self.tree, self.evaluated, self.seconds = BoxTree(d), 0, 0.0

    def run(self, seconds: float, boxes: int, progress: Callable[[dict[str, float]], None] | None) -> list[str]:
        start = time.perf_counter()
        notes: list[str] = []
        try:
            self._seed()
            self._evaluate([0])
            while True:
                self.seconds = time.perf_counter() - start
                if progress is not None:
                    progress(self.state())
                chosen = self._choose()
                if not chosen:
                    break
                if self.seconds > seconds or len(self.tree.axis) // 2 + 1 >= boxes:
                    notes.append("stopped at the limit of time or boxes: the map so far is valid")
                    break
                self._evaluate([child for node in chosen for child in self.tree.halve(node)])
        except KeyboardInterrupt:
            notes.append("interrupted: the map so far is valid")
        self.seconds = time.perf_counter() - start
        return notes

    def state(self) -> dict[str, float]:
        leaves = [i for i, a in enumerate(self.tree.axis) if a < 0]
        return {
            "leaves": len(leaves),
            "upper": max(self.tree.bound[i] for i in leaves),
            "lower": self.witnesses.best,
            "open": len(self.tree.open),
            "seconds": self.seconds,
            "boxes_per_second": self.evaluated / self.seconds if self.seconds else 0.0,
        }

    def _seed(self) -> None:
        """The worst of a few thousand points, without a solve; the best of them confirmed."""
        d = len(self.tree.low[0])
        rng = np.random.default_rng(0)
        X = np.concatenate([rng.random((2048, d)), rng.integers(0, 2, (256, d)).astype(float)])
        values = self.witnesses.proved_lower(X)
        for step in (0.1, 0.03, 0.01, 0.003):
            best = X[np.argsort(-values)[:16]]
            near = np.clip(best[:, None] + step * rng.standard_normal((16, 16, d)), 0, 1).reshape(-1, d)
            X, values = (
                np.concatenate([best, near]),
                np.concatenate([np.sort(values)[::-1][:16], self.witnesses.proved_lower(near)]),
            )
        self.witnesses.confirm(X[np.argsort(-values)[:1]])

    def _decided(self, node: int) -> bool:
        upper = self.tree.bound[node]
        if self.ratio is not None and upper > self.ratio * max(self.witnesses.best, 1e-300):
            return False
        return upper <= self.tolerance or self.tree.falsified[node]

    def _choose(self) -> list[int]:
        tree = self.tree
        candidates = [i for i in tree.open if not self._decided(i)]
        wide = [i for i in candidates if (tree.high[i] - tree.low[i])[tree.split_axis[i]] > 2.0**-40]
        return sorted(wide, key=lambda i: -tree.bound[i])[: BATCH // 2]

    def _evaluate(self, nodes: list[int]) -> None:
        tree = self.tree
        low, high = np.stack([tree.low[i] for i in nodes]), np.stack([tree.high[i] for i in nodes])
        result = self.bound(low, high)
        upper, axis, best = result.upper, result.axis, result.best
        self.evaluated += len(nodes)
        for i, node in enumerate(nodes):
            tree.bound[node] = min(tree.bound[node], float(upper[i]))
            tree.split_axis[node] = int(axis[i])
            tree.open.add(node)
        self._falsify(nodes, np.clip(best, low, high))

    def _falsify(self, nodes: list[int], points: np.ndarray) -> None:
        """A proved lower bound above the tolerance at a point of a narrow leaf falsifies it: no solve is needed."""
        tree, lower = self.tree, self.witnesses.proved_lower(points)
        best = int(np.argmax(lower))
        if lower[best] > 1.002 * self.witnesses.best:
            self.witnesses.confirm(points[[best]])
        for node, error, point in zip(nodes, lower, points, strict=True):
            narrow = (tree.high[node] - tree.low[node]).max() <= self.width
            if narrow and error > self.tolerance * (1 + MARGIN):
                tree.falsified[node], tree.failure[node] = True, point


def _finished(problem: CoerciveProblem, model_hash: str, inputs: Box, search: _Search, notes: list[str]) -> TrustMap:
    tree = search.tree
    bound = np.array(tree.bound)
    falsified = np.array(tree.falsified)
    verdicts = np.where(bound <= search.tolerance, 0, np.where(falsified, 1, 2))
    d = inputs.dimension
    return TrustMap(
        box=inputs,
        tolerance=search.tolerance,
        axis=np.array(tree.axis),
        children=np.array(tree.children),
        bound=bound,
        verdicts=verdicts,
        failures=np.array(tree.failure),
        problem_hash=fingerprint.of_problem(problem),
        model_hash=model_hash,
        witness=np.array(search.witnesses.points).reshape(-1, d),
        witness_lower=np.array(search.witnesses.lower),
        seconds=search.seconds,
        evaluated=search.evaluated,
        problem_name=problem.name,
        problem_settings=problem.settings,
        against=against(problem),
        notes=tuple(notes),
        assumptions=(*assumptions(problem), TRACED),
    )


def _undecided(problem: Problem, inputs: Box, tolerance: float, reason: str) -> TrustMap:
    d = inputs.dimension
    return TrustMap(
        box=inputs,
        tolerance=tolerance,
        axis=np.array([-1]),
        children=np.array([[-1, -1]]),
        bound=np.array([np.inf]),
        verdicts=np.array([2]),
        witness=np.zeros((0, d)),
        witness_lower=np.zeros(0),
        seconds=0.0,
        evaluated=0,
        problem_name=problem.name,
        problem_settings=problem.settings,
        against=against(problem),
        notes=(reason,),
    )
