"""Proofs of one surrogate over boxes by a solution that is known as a function of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.problem import Problem
from ...answers.frozen import Frozen
from ...proofs.bounds import scaled_lower
from ...proofs.prover import proof_of
from ..batches import BoxBounds
from ..box_bound import BoxResult
from ..box_proof import CompiledBoxes, kept_bounds
from ..branch_and_bound import varying

ORDERS = {1: 8, 2: 6, 3: 5, 4: 4}  # nodes along each axis that is not fixed, by how many there are


class FieldPoints:
    """Proved lower bounds of the error at points, for the search beside the bounds over boxes: by the bounds of fields,
    where a proof costs no more than an estimate.
    """

    def __init__(self, problem: Problem, basis: Float[np.ndarray, "N k"], scale: float, effort: int) -> None:
        self.problem, self.basis, self.scale, self.effort = problem, basis, scale, effort

    def lower(self, P: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        fields = c @ self.basis.T
        bound = proof_of(self.problem).bounds(P, fields, self.effort)[1]
        return np.where(np.isfinite(fields).all(axis=1), np.asarray(scaled_lower(bound, self.scale, np)), 0.0)

    estimate = lower


def orders_of(problem: Problem, inputs: Box, order: int | None) -> tuple[int, ...]:
    """Nodes along every axis: one along those that stand for a fixed input."""
    varies = varying(problem, inputs)
    nodes = order or ORDERS.get(int(varies.sum()), 3)
    return tuple(nodes if each else 1 for each in varies)


class SolutionBoxes(CompiledBoxes):
    """``make``: (problem, log, architecture, orders) -> the bound of one box."""

    def __init__(
        self,
        problem: Problem,
        frozen: Frozen,
        data: Any,
        inputs: Box,
        assumptions: tuple[str, ...],
        make: Callable[..., Callable[..., BoxResult]],
        points: FieldPoints,
    ) -> None:
        self.problem, self._make = problem, make
        super().__init__(frozen, points, data, inputs, assumptions)

    def _compiled(self, order: int | None) -> BoxBounds:
        orders = orders_of(self.problem, self.inputs, order)
        log, architecture = self.inputs.log, self.model.architecture
        key = (id(self.problem), architecture.key, log, orders)
        return kept_bounds.get(key, lambda: BoxBounds(self._make(self.problem, log, architecture, orders), 1))

    def leaves(self, box: Box, low: np.ndarray, high: np.ndarray, claimed: np.ndarray) -> tuple[Any, Any] | str:
        return f"there is no second, independent proof over boxes of {self.problem.name}"
