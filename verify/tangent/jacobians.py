"""Jacobians in the unit coordinates of the box, logarithmic where an input is, of the solver and of any surrogate."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.box import Box
from ...solvers.classes.linearised import linearised, linearised_solves
from ...solvers.problem import Attempt, Problem
from ...solvers.processes.rows import attempt_rows, row, why_not
from ..answers.evaluate import Model, evaluate
from ..statistics.errors import prescribed
from .differences import STEP, differences, stencil

JAX, DIFFERENCES = "automatic differentiation", "differences of second order"
TRIED = 3  # points at which what JAX says is compared with differences
FAR = 0.1  # of a derivative's size: JAX and differences contradict each other


class Jacobians(NamedTuple):
    """Fields and derivatives along the axes of the unit box; rows of NaN where there are none, and why."""

    fields: Float[np.ndarray, "n N"]
    derivatives: Float[np.ndarray, "n d N"]
    reasons: list[str]  # "" where there are derivatives


def unit_axes(box: Box, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d d"]:
    """dp/dx of the map from unit coordinates, a row each axis."""
    _, width = box.scaled_ends()
    return (np.where(np.array(box.log), P, 1.0) * width)[:, :, None] * np.eye(box.dimension)


class TruthJacobians:
    """The solver's: by its linearised scheme, else by differences of its solutions. ``calls`` counts solves."""

    def __init__(self, problem: Problem, executor: Executor | None = None) -> None:
        self.problem, self.executor, self.calls = problem, executor, 0
        self._map = None if problem.foreign_solver else linearised_solves(problem)
        self.by = DIFFERENCES if self._map is None else JAX

    def __call__(self, P: Float[np.ndarray, "n d"]) -> Jacobians:
        if self._map is None:
            return _by_differences(self.problem.inputs, P, *self._solved(P), self._solved)
        self.calls += len(P)
        attempts, J = self._map(P, unit_axes(self.problem.inputs, P))
        reasons = self._why(P, attempts)
        return _checked(np.asarray(attempts.u), J, reasons, "the derivatives of the solve are not finite")

    def _solved(self, P: np.ndarray) -> tuple[np.ndarray, list[str]]:
        self.calls += len(P)
        attempts, why = attempt_rows(self.problem, P, self.executor)
        return np.asarray(attempts.u), self._why(P, attempts, why)

    def _why(self, P: np.ndarray, attempts: Attempt, why: list[str] | None = None) -> list[str]:
        """A sentence for each solve that failed."""
        problem, good = self.problem, np.isfinite(np.asarray(attempts.u)).all(axis=1)
        said = []
        for i, p in enumerate(P):
            one = row(attempts, i)
            told = why[i] if why is not None else why_not(problem, p, one)
            said.append("" if good[i] else problem.failure_message(p, one, told))
        return said


class SurrogateJacobians:
    """A surrogate's: by JAX where that can differentiate it and says what differences say; else by differences."""

    def __init__(self, problem: Problem, model: Model, P: Float[np.ndarray, "n d"]) -> None:
        self.problem, self.model = problem, model
        self._map = linearised(self._field, problem.inputs.dimension)
        self.contradicted = self._map is not None and self._contradicted(P[:TRIED])
        if self.contradicted:
            self._map = None
        self.by = DIFFERENCES if self._map is None else JAX

    def _field(self, p: Array) -> Array:
        answer = jnp.asarray(self.model(p[None]), dtype=jnp.float64).reshape(-1)
        return jnp.asarray(self.problem.prescribe(p, answer))

    def _contradicted(self, P: np.ndarray) -> bool:
        """Whether JAX differentiates something else than is answered: a part computed outside of it, a rounding."""
        by_jax, numeric = self._by_jax(P).derivatives, self._numeric(P).derivatives
        with np.errstate(invalid="ignore"):
            off, size = (np.linalg.norm(J, axis=(1, 2)) for J in (by_jax - numeric, numeric))
        known = np.isfinite(off)
        return bool((off > FAR * size)[known].all()) and bool(known.any())

    def _by_jax(self, P: np.ndarray) -> Jacobians:
        assert self._map is not None
        J = self._map(P, unit_axes(self.problem.inputs, P))[1]
        fields, reasons = self._answered(P)
        return _checked(fields, J, reasons, "the surrogate's derivatives are not finite")

    def _numeric(self, P: np.ndarray, step: float = STEP) -> Jacobians:
        return _by_differences(self.problem.inputs, P, *self._answered(P), self._answered, step)

    def __call__(self, P: Float[np.ndarray, "n d"]) -> Jacobians:
        return self._numeric(P) if self._map is None else self._by_jax(P)

    def _answered(self, P: np.ndarray) -> tuple[np.ndarray, list[str]]:
        found = evaluate(self.model, P, self.problem)
        fields = np.asarray(prescribed(self.problem)(P, found.fields))
        why = "; ".join(found.trouble) or "the surrogate did not answer"
        return fields, ["" if good else why for good in found.good]


def _checked(fields: np.ndarray, J: np.ndarray, reasons: list[str], otherwise: str) -> Jacobians:
    finite = np.isfinite(J).all(axis=(1, 2))
    return Jacobians(fields, J, [why or ("" if finite[i] else otherwise) for i, why in enumerate(reasons)])


def _by_differences(
    box: Box,
    P: np.ndarray,
    at: np.ndarray,
    reasons: list[str],
    ask: Callable[[np.ndarray], tuple[np.ndarray, list[str]]],
    step: float = STEP,
) -> Jacobians:
    """Derivatives from what ``ask`` gives around each input; where it fails at one of these there are none."""
    n, d = P.shape
    J = np.full((n, d, at.shape[1]), np.nan)
    said = list(reasons)
    rows = np.array([i for i, why in enumerate(reasons) if not why], dtype=int)
    if not len(rows):
        return Jacobians(at, J, said)
    points, side = stencil(box.to_unit(P[rows]), step)
    around, why_around = ask(box.from_unit(points.reshape(-1, d)))
    J[rows] = differences(at[rows], around.reshape(len(rows), d, 2, -1), side, step)
    for k, i in enumerate(rows):
        said[i] = next((why for why in why_around[2 * d * k : 2 * d * (k + 1)] if why), "")
    return Jacobians(at, J, said)
