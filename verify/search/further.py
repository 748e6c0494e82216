"""Further signals of a search, one sentence each: what costs no solve and says where errors may be.

The estimate of the error from the residual; what the surrogate says of its own error, such as the spread of an
ensemble; where there is no estimate, how far relations are broken that solutions fulfil; and, where they are asked for,
how far it is from another surrogate, and from what it learnt from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...solvers.outputs import Output
from ...solvers.problem import Problem
from ..answers.evaluate import Model, captured
from ..answers.first_call import check_answers
from ..relations.broken_relations import relation_errors
from ..relations.held_relations import held_relations
from .disagreement import disagreement
from .distance import distance as distance_of
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


def asked_signals(
    problem: Problem,
    surrogate: Any,
    model: Model,
    scale: float,
    output: Output | None,
    beside: Callable[[Any], Any] | None,
    distance: bool,
) -> tuple[Signal, ...]:
    """Those that somebody asks for: the others come first in a search, for they know of the problem.

    Raises:
        ValueError: ``beside`` does not answer with fields of the problem; training inputs that nobody tells.
    """
    found = [distance_of(problem, surrogate)] if distance else []
    if beside is not None:
        found.append(disagreement(problem, model, another(problem, beside), scale, output))
    return tuple(found)


def another(problem: Problem, beside: Any) -> Model:
    """A second surrogate, as it is read.

    Raises:
        ValueError: it does not answer with fields of the problem.
    """
    if not callable(beside):
        raise ValueError(
            f"beside is another surrogate of {problem.name}, a function [n, d] -> [n, {problem.size}], not a "
            f"{type(beside).__name__}"
        )
    other = captured(beside)
    check_answers(problem, other)
    return other
