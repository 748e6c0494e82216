"""Proofs of one surrogate over boxes, in reduced coordinates (``box_bound.py``) or by fluxes (``box_flux.py``)."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np

from ...solvers.box import Box
from ...solvers.classes.coercive import CoerciveProblem
from ..answers.evaluate import Model
from ..answers.frozen import Architecture, Frozen
from ..proofs.proof import TRACED, BoxProof
from ..proofs.reduced import ReducedBound
from .batches import AT_LEAST, PER_OPERATION, BoxBounds
from .box_bound import BoundInputs, BoxResult, make_box_bound
from .compiled_cache import CompiledCache
from .fluxes.box_flux import make_flux_bound
from .fluxes.flux_path import BY_FLUXES, FluxPath
from .point_errors import PointBounds, ReducedPoints

FLUX_ORDERS = {1: 7, 2: 5, 3: 5, 4: 5}  # nodes per axis of the bound by fluxes, by dimension

# The last few compiled bounds, by problem (None: it is only given), architecture, scales of the inputs and orders.
kept_bounds: CompiledCache[BoxBounds] = CompiledCache(4)


def default_order(d: int) -> int:
    """Nodes per axis: more of them take fewer boxes, but m^d evaluations a box."""
    return {1: 7, 2: 7, 3: 6, 4: 5}.get(d, 4)


def reduced_bounds(
    problem: CoerciveProblem, architecture: Architecture, log: tuple[bool, ...], nodes: int
) -> BoxBounds:
    """The bound in reduced coordinates, compiled once.

    The problem is known by the object, which the bound keeps alive: a hash of its settings says nothing of methods that
    a subclass has replaced.
    """
    key = (id(problem), architecture.key, log, nodes)
    return kept_bounds.get(key, lambda: BoxBounds(make_box_bound(problem, architecture, log, nodes)))


def flux_bounds(architecture: Architecture, log: tuple[bool, ...], nodes: int) -> BoxBounds:
    """The bound by fluxes, compiled once for all problems."""
    key = (None, architecture.key, log, nodes)
    return kept_bounds.get(key, lambda: BoxBounds(make_flux_bound(log, architecture, nodes), 1))


class CompiledBoxes(BoxProof):
    """What both share: one compiled bound, which serves all boxes, tolerances and weights of an architecture."""

    def __init__(
        self, model: Frozen, points: PointBounds, data: Any, inputs: Box, assumptions: tuple[str, ...]
    ) -> None:
        self.model, self.points, self.inputs, self.assumptions = model, points, inputs, assumptions
        self._given = BoundInputs(np.stack(inputs.scaled_ends()), data, model.weights, np.float64(points.scale))
        self._bounds: BoxBounds | None = None

    def __call__(self, low: np.ndarray, high: np.ndarray) -> BoxResult:
        assert self._bounds is not None
        return self._bounds(low, high, self._given)

    def prepare(self, order: int | None, limit: float, tell: Callable[[float], None]) -> None:
        self._bounds = self._compiled(order)
        expected = AT_LEAST + PER_OPERATION * self.model.architecture.operations
        self._bounds.prepare(self.inputs.dimension, self._given, expected, limit, tell)

    @abc.abstractmethod
    def _compiled(self, order: int | None) -> BoxBounds:
        """The bound, perhaps one that was compiled before."""


class ReducedBoxes(CompiledBoxes):
    """In reduced coordinates."""

    def __init__(
        self,
        problem: CoerciveProblem,
        assumptions: tuple[str, ...],
        reduced: ReducedBound,
        model: Model,
        inputs: Box,
        scale: float,
    ) -> None:
        self.problem, self.reduced = problem, reduced
        frozen = Frozen(model, inputs.dimension, reduced.basis)
        super().__init__(frozen, ReducedPoints(reduced, scale), reduced.data, inputs, (*assumptions, TRACED))

    def _compiled(self, order: int | None) -> BoxBounds:
        nodes = order or default_order(self.inputs.dimension)
        return reduced_bounds(self.problem, self.model.architecture, self.inputs.log, nodes)

    def leaves(self, box: Box, low: np.ndarray, high: np.ndarray, claimed: np.ndarray) -> tuple[Any, Any]:
        from ..recheck.prepare import leaves_of, reduced_leaves  # for audits alone

        way = reduced_leaves(self.problem, self.reduced, self.model, box)
        return way, leaves_of(self.problem, box, low, high, claimed, self.points.scale)


class FluxBoxes(CompiledBoxes):
    """By fluxes. The bound knows of the problem only what it is given."""

    def __init__(self, assumptions: tuple[str, ...], path: FluxPath, inputs: Box) -> None:
        self.path = path
        super().__init__(path.model, path, path.data, inputs, (*assumptions, TRACED, BY_FLUXES))

    def _compiled(self, order: int | None) -> BoxBounds:
        return flux_bounds(self.model.architecture, self.inputs.log, order or FLUX_ORDERS[self.inputs.dimension])

    def leaves(self, box: Box, low: np.ndarray, high: np.ndarray, claimed: np.ndarray) -> tuple[Any, Any]:
        from ..recheck.prepare import flux_leaves, leaves_of

        return flux_leaves(self.path, box), leaves_of(self.path.problem, box, low, high, claimed, self.path.scale)
