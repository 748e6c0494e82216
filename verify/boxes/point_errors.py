"""The error at points of a box of inputs, beside the bounds over boxes: proved lower bounds, estimates, and what the
solver confirms.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ...solvers.batching import VectorMap
from ...solvers.box import Box
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problem import Attempt, Problem
from ...solvers.representative import kept_by_problem
from ..answers.evaluate import Model
from ..measured_error import measured_error
from ..proofs.bounds import scaled_lower
from ..proofs.coefficients.offline import ReducedData
from ..proofs.coefficients.reduced_bound import reduced_bound
from ..proofs.reduced import ReducedBound
from ..unsolved import first_unsolved, with_others
from .batches import BATCH


class PointBounds(Protocol):
    """Of the error ||e|| / (scale + ||u||) of the field V c, at inputs P [n, d] with coefficients c [n, k]."""

    scale: float

    def lower(self, P: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Proved lower bounds."""

    def estimate(self, P: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Estimates, for choosing among points."""


class ReducedPoints:
    """In reduced coordinates, where a proof costs no more than an estimate."""

    def __init__(self, reduced: ReducedBound, scale: float = 0.0) -> None:
        self.data, self.scale = reduced.data, scale
        self._bounds = _lower_bounds(reduced.problem)

    def lower(self, P: np.ndarray, c: np.ndarray) -> np.ndarray:
        return np.asarray(self._bounds(P, c, given=(self.data, np.float64(self.scale))))

    estimate = lower


@kept_by_problem(4)
def _lower_bounds(problem: CoerciveProblem) -> VectorMap:
    return VectorMap(partial(_lower_bound, problem))


def _lower_bound(problem: CoerciveProblem, data: ReducedData, scale: Array, p: Array, c: Array) -> Array:
    bound = reduced_bound(problem, data, p, c)
    return jnp.where(scale == 0, bound.relative_lower, scaled_lower(bound, scale))


class ConfirmedErrors:
    """Errors at points of a box, in unit coordinates [n, d]; the largest are confirmed by the solver and kept.

    ``points`` and ``lower``: what was confirmed, and proved lower ends of the errors there. ``budget``: solver calls
    that are left.
    """

    def __init__(self, problem: Problem, box: Box, bounds: PointBounds, surrogate: Model, budget: int) -> None:
        self.problem, self.box, self.surrogate, self.budget = problem, box, surrogate, budget
        self.points: list[np.ndarray] = []
        self.lower: list[float] = []
        self._bounds = bounds
        self._asked, self._unsolved, self._first_unsolved = 0, 0, ""

    @property
    def best(self) -> float:
        """The largest error confirmed, from below."""
        return max(self.lower, default=0.0)

    def notes(self) -> list[str]:
        """What the solver did not answer, in words."""
        if not self._unsolved:
            return []
        return [
            f"the solver failed at {self._unsolved} of {self._asked} inputs where an error was to be confirmed. The "
            f"first: {with_others(self.problem, self._first_unsolved)}"
        ]

    def compile(self, d: int) -> None:
        """Everything that is called here, before the clock starts."""
        self.estimates(np.full((256, d), 0.5))
        for rows in (1, BATCH // 2, BATCH):
            self.lower_bounds(np.full((rows, d), 0.5))
        self._measured(np.full((1, d), 0.5))

    def lower_bounds(self, X: np.ndarray) -> np.ndarray:
        """Proved lower bounds of the error, without a solve."""
        P = self.box.from_unit(X)
        return self._bounds.lower(P, self.surrogate.coefficients(P))

    def estimates(self, X: np.ndarray) -> np.ndarray:
        """Estimates of the error at many points, without a solve and without proof."""
        P = self.box.from_unit(X)
        return self._bounds.estimate(P, self.surrogate.coefficients(P))

    def confirm(self, X: np.ndarray) -> np.ndarray:
        """Solver-confirmed lower ends of the errors at X, while the budget lasts."""
        X = X[: max(self.budget, 0)]
        if not len(X):
            return np.zeros(0)
        self.budget -= len(X)
        errors = self._errors(X)
        solved = np.isfinite(errors)
        self.points.extend(X[solved])
        self.lower.extend(errors[solved].tolist())
        return np.where(solved, errors, 0.0)

    def _errors(self, X: np.ndarray) -> np.ndarray:
        """Lower ends of the errors; NaN where the solver failed, which is remembered."""
        errors, attempts = self._measured(X)
        self._asked += len(X)
        self._unsolved += int((~np.isfinite(np.asarray(attempts.u)).all(axis=1)).sum())
        self._first_unsolved = self._first_unsolved or first_unsolved(self.problem, self.box.from_unit(X), attempts)
        return errors

    def _measured(self, X: np.ndarray) -> tuple[np.ndarray, Attempt]:
        P = self.box.from_unit(X)
        fields = self.surrogate(P)
        attempts = self.problem.attempt_batch(P)
        truths = np.asarray(attempts.u)
        solved = np.isfinite(truths).all(axis=1)
        rows = zip(P, truths, fields, solved, strict=True)
        errors = [
            measured_error(self.problem, p, v, u, self._bounds.scale)[1] if good else np.nan for p, u, v, good in rows
        ]
        return np.array(errors), attempts
