"""Whether a surrogate answers an input alone as it does in company: not if it normalises by its batch, or draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.answers import field_rows
from ...solvers.foreign import SettingsChanged
from ...solvers.problem import Problem
from ...solvers.tolerance import Tolerance
from ..measured_error import magnitude_of, norm_of
from .evaluate import Model, captured

SHARE = 0.1  # of the tolerance: by how much an answer may change without a word


def batch_remark(problem: Problem, surrogate: Any, alone: Float[np.ndarray, "n N"], allowed: Tolerance) -> str:
    """A remark where the answer at the centre of the box is another beside another input than by itself, or another
    from call to call; empty where it is the same to a tenth of the tolerance. It takes one more call, of the centre
    and the lower corner.

    Args:
        alone: answers at the centre, all rows of one call (``first_call.check_answers``).
        allowed: the tolerance that changes are measured by.
    """
    centre = problem.inputs.centre
    corner = problem.inputs.from_unit(np.zeros((1, problem.inputs.dimension)))
    rows = np.concatenate([centre[None], np.repeat(corner, len(alone) - 1, axis=0)])
    try:
        beside = field_rows(captured(surrogate)(rows), len(rows), problem)
    except SettingsChanged:
        raise
    except Exception as error:  # a surrogate may fail in any way it likes
        return (
            "the surrogate answers the centre of the box by itself but not beside the lower corner, so that it is not "
            f"known whether answers depend on the other inputs of their batch: {type(error).__name__}: {error}"
        )
    size = magnitude_of(problem, centre, alone[0])
    random, changed = (
        allowed.scaled(norm_of(problem, centre, other - alone[0]), size) for other in (alone[1], beside[0])
    )
    if random > SHARE * allowed.relative:
        return f"the surrogate answers at random: at the centre of the box two answers differ by {random:.2g}"
    if changed > SHARE * allowed.relative:
        return (
            f"the surrogate's answer depends on the other inputs of its batch: at the centre of the box it changes by "
            f"{changed:.2g} beside the lower corner. Errors are of the answers in this search's batches"
        )
    return ""


def batch_difference(model: Model, P: Float[np.ndarray, "n d"]) -> float:
    """By how much the answer at the first row of P changes with the other rows beside it, as a share of its largest
    value: 0 where it does not. Two calls.
    """
    alone, beside = (np.asarray(model(rows), dtype=np.float64)[:1] for rows in (P[:1], P))
    largest = np.abs(alone).max(initial=0.0)
    return float(np.abs(alone - beside).max(initial=0.0) / largest) if largest > 0 else 0.0
