"""What the dull baselines share: targets in POD coordinates, row weights, and a part of the rows to choose settings by.

Every baseline regresses C = c / s on the features x, with the rows weighted so that residuals are relative errors in
the norm of the basis; as the basis is orthonormal there, the plain Euclidean norm of a row is that error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Predict, Surrogate
from ..training.pod import Data, pod, prepare, project
from ..training.reduced_operator import ReducedOperator, or_mean
from ..training.twins import groups_of

TOLERANCE, RANK = 1e-7, 64  # of the basis: far below what a regression reaches; its modes at most


@dataclass(frozen=True)
class Regression:
    """Rows of features and targets, and what it takes to judge a prediction of them."""

    data: Data
    basis: Float[np.ndarray, "N k"]
    x: Float[np.ndarray, "n m"]
    targets: Float[np.ndarray, "n k"]
    weights: Float[np.ndarray, " n"]  # s / ||u||: error of a target to relative error
    groups: Int[np.ndarray, " n"]  # rows that are left out together
    started: float

    @staticmethod
    def of(problem: Problem, snapshots: Any, box: Box | None, least: int = 2, max_rank: int = RANK) -> Regression:
        """The rows of snapshots, in a POD basis of at most ``max_rank`` modes.

        Raises:
            ValueError: as ``prepare``, with fewer than ``least`` rows that can be used.
        """
        started = time.perf_counter()
        data = prepare(problem, snapshots, box, least)
        return Regression.in_basis(data, pod(data, TOLERANCE, max_rank), started)

    @staticmethod
    def in_basis(data: Data, V: Float[np.ndarray, "N k"], started: float | None = None) -> Regression:
        """The rows in a basis that is there."""
        s = data.amplitudes
        targets, weights = project(data, V) / s[:, None], np.abs(s) / data.norms
        started = time.perf_counter() if started is None else started
        return Regression(data, V, data.features, targets, weights, groups_of(data.features), started)

    def with_physics(self, operator: ReducedOperator, P: Float[np.ndarray, "m d"], weight: float) -> Regression:
        """Rows of the snapshots and of the Galerkin solutions in the basis at further inputs, whose squared errors have
        the share ``weight`` of the mean; with 1 no snapshot's field is fitted. (``data`` stays that of the snapshots.)

        Raises:
            ValueError: as ``ReducedOperator.teaching``.
        """
        P, x, s = operator.teaching(self.data, P)
        C = operator.solution(P)
        targets, weights = C / s[:, None], np.abs(s) / or_mean(np.linalg.norm(C, axis=1))
        if weight < 1:
            n, m = len(self.x), len(x)
            share = np.repeat([(1 - weight) * (n + m) / n, weight * (n + m) / m], [n, m])
            x, targets = np.concatenate([self.x, x]), np.concatenate([self.targets, targets])
            weights = np.sqrt(share) * np.concatenate([self.weights, weights])
        return replace(self, x=x, targets=targets, weights=weights, groups=groups_of(x))

    def some(self, rows: Int[np.ndarray, " m"]) -> Regression:
        """Some of the rows, in the same basis."""
        cut = {key: getattr(self, key)[rows] for key in ("x", "targets", "weights", "groups")}
        cut["groups"] = np.unique(cut["groups"], return_inverse=True)[1].ravel()
        return replace(self, data=self.data.some(rows), **cut)

    def error(self, predicted: Float[np.ndarray, "n k"], rows: Any = slice(None)) -> float:
        """The root mean square relative error of predicted targets over some rows."""
        return float(np.sqrt(np.mean(self.each_error(predicted, rows) ** 2)))

    def mean_error(self, predicted: Float[np.ndarray, "n k"], rows: Any = slice(None)) -> float:
        """Their mean relative error, which few large ones do not rule."""
        return float(np.mean(self.each_error(predicted, rows)))

    def each_error(self, predicted: Float[np.ndarray, "n k"], rows: Any = slice(None)) -> Float[np.ndarray, " n"]:
        """The relative error of every row."""
        return np.asarray(np.linalg.norm((predicted - self.targets[rows]) * self.weights[rows][:, None], axis=1))

    def halves(self, share: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Rows to fit and rows to choose by, every group in one of them; both are all rows where there is one group."""
        order = np.random.default_rng(seed).permutation(int(self.groups.max()) + 1)
        held = np.isin(self.groups, order[: max(1, int(share * len(order)))])
        if held.all():
            return np.flatnonzero(held), np.flatnonzero(held)
        return np.flatnonzero(~held), np.flatnonzero(held)

    def surrogate(self, name: str, arrays: dict[str, Any], predict: Predict, seed: int, **settings: Any) -> Surrogate:
        """The surrogate that these fitted arrays make; ``settings`` are those of its architecture, as JSON values."""
        data = self.data
        arrays = {"basis": self.basis, **data.arrays, **{k: np.asarray(v) for k, v in arrays.items()}}
        training = {
            "seconds": time.perf_counter() - self.started,
            "snapshots": len(data.inputs),
            "dropped": data.dropped,
            "warnings": list(data.warnings),
        }
        architecture = {"name": name, "lift": data.lift, **settings}
        return Surrogate(data.problem, architecture, arrays, predict, data.box, seed, data.hash, training)


def least_squares(
    H: Float[np.ndarray, "n h"], targets: Float[np.ndarray, "n k"], weights: Float[np.ndarray, " n"], cut: float = 1e-12
) -> Float[np.ndarray, "h k"]:
    """W of least norm with H W ~ targets in weighted least squares; singular values below ``cut`` times the largest
    count as zero.
    """
    found: np.ndarray = np.linalg.lstsq(H * weights[:, None], targets * weights[:, None], rcond=cut)[0]
    return found


def choose(candidates: list[Any], score: Callable[[Any], float]) -> Any:
    """The candidate of the smallest score that is a number; the first among equals, and where no score is a number."""
    scores = [score(candidate) for candidate in candidates]
    return candidates[int(np.nanargmin(scores))] if not np.isnan(scores).all() else candidates[0]
