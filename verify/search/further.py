"""Further signals of a search, one sentence each: what costs no solve and says where errors may be.

The estimate of the error from the residual; what the surrogate says of its own error, such as the spread of an
ensemble; and, where there is no estimate, how far relations are broken that solutions fulfil."""

from __future__ import annotations

from ...solvers.outputs import Output
from ...solvers.problem import Problem
from ..answers.evaluate import Model
from ..relations.broken_relations import relation_errors
from ..relations.held_relations import held_relations
from .estimate import estimated_error
from .signal import Signal, error_bar, finite


def further_signals(
    problem: Problem, model: Model, signal: Signal, scale: float, output: Output | None
) -> tuple[Signal, ...]:
    """Beside ``signal``, those that there are."""
    found = [estimated_error(problem, model, scale, output)]
    if found[0] is None and held_relations(problem):
        found.append(Signal("relation", lambda P: finite(relation_errors(problem, model, P))))
    if signal.kind != "error bar":
        found.append(error_bar(problem, model))
    return tuple(other for other in found if other is not None and other.kind != "none")
