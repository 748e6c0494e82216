"""Proofs of one surrogate over boxes by a solution that is known as a function of the input."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.box import Box
from ....solvers.problem import Problem
from ...answers.evaluate import Model
from ...answers.frozen import Architecture, Frozen
from ...proofs.bounds import scaled_lower
from ...proofs.proof import Proof
from ...proofs.prover import proof_of
from ..batches import BoxBounds
from ..box_bound import BoundInputs, BoxResult
from ..box_proof import CompiledBoxes, kept_bounds
from ..branch_and_bound import varying

BoundOfBox = Callable[[Array, Array, BoundInputs, Array], BoxResult]
ORDERS = {1: 8, 2: 6, 3: 5, 4: 4}  # nodes along each axis that is not fixed, by how many there are
ROWS = 256  # fields at a time: an audit asks for a hundred thousand points, whose fields fit no memory together


class FieldPoints:
    """Proved lower bounds of the error at points, for the search beside the bounds over boxes: by the bounds of fields,
    where a proof costs no more than an estimate.
    """

    def __init__(self, problem: Problem, basis: Float[np.ndarray, "N k"], scale: float, effort: int) -> None:
        self.problem, self.basis, self.scale, self.effort = problem, basis, scale, effort

    def lower(self, P: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        parts = [slice(i, i + ROWS) for i in range(0, len(P), ROWS)]
        return np.concatenate([np.zeros(0), *(self._lower(P[part], c[part]) for part in parts)])

    def _lower(self, P: np.ndarray, c: np.ndarray) -> np.ndarray:
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
    """Made by ``over_boxes``."""

    effort: int  # of the lower bounds at points

    def __init__(
        self,
        problem: Problem,
        frozen: Frozen,
        points: FieldPoints,
        data: Any,
        inputs: Box,
        assumptions: tuple[str, ...],
    ) -> None:
        self.problem = problem
        super().__init__(frozen, points, data, inputs, assumptions)

    @classmethod
    @abc.abstractmethod
    def given(cls, problem: Any, basis: Float[np.ndarray, "N k"], inputs: Box) -> Any:
        """What bounds of boxes inside ``inputs`` are given, or in words why there are none."""

    @abc.abstractmethod
    def bound_of(self, architecture: Architecture, orders: tuple[int, ...]) -> BoundOfBox:
        """The bound of one box as a function in JAX, with the arguments and the result of ``make_box_bound``'s."""

    @abc.abstractmethod
    def again(self, box: Box) -> Any:
        """The second proof, of leaves in unit coordinates of this box (``recheck``)."""

    def _compiled(self, order: int | None) -> BoxBounds:
        orders, architecture = orders_of(self.problem, self.inputs, order), self.model.architecture
        key = (id(self.problem), architecture.key, self.inputs.log, orders)
        return kept_bounds.get(key, lambda: BoxBounds(self.bound_of(architecture, orders), 1))

    def leaves(self, box: Box, low: np.ndarray, high: np.ndarray, claimed: np.ndarray) -> tuple[Any, Any]:
        from ...recheck.prepare import plain_leaves  # for audits alone

        return self.again(box), plain_leaves(low, high, claimed, self.points.scale)


def over_boxes(kind: type[SolutionBoxes], proof: Proof, model: Model, inputs: Box, scale: float) -> SolutionBoxes | str:
    """The proof over boxes inside ``inputs``, or why there is none: arguments as of ``Proof.over_boxes``.

    Raises:
        jax.errors.JAXTypeError, ValueError: of ``Frozen``.
    """
    problem, basis = proof.problem, proof.basis(model)
    if isinstance(basis, str):
        return f"proofs over boxes need a basis in which the surrogate answers: {basis}"
    data = kind.given(problem, basis, inputs)
    if isinstance(data, str):
        return data
    points = FieldPoints(problem, basis, scale, kind.effort)
    frozen = Frozen(model, inputs.dimension, basis)
    return kind(problem, frozen, points, data, inputs, proof.box_assumptions[0])
