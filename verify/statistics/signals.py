"""The signal that a calibration is by: one number an input, without a solve.

Where somebody asks for one, how far another surrogate disagrees or how far the training inputs are. Else the sharpest
that costs no solve (``search/signal.py``); where there is none an ensemble learns errors from one half of the draws and
the other half tests the threshold (``committee.py``); where the draws do not suffice for that either, all answers are
accepted or none. Whatever it is, it proves nothing: the threshold is tested (``thresholds.py``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ...solvers.problem import Problem
from ..answers.evaluate import Model
from ..search.disagreement import disagreement
from ..search.distance import distance_from
from ..search.signal import Signal, make_signal
from .calibration import COMMITTEE, CONSTANT, DISTANCE, Calibration
from .committee import Committee
from .thresholds import shares

SOME = 16  # draws at which a signal has to tell apart
Values = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]


def choose_signal(
    problem: Problem,
    model: Model,
    scale: float,
    P: Float[np.ndarray, "n d"],
    errors: Float[np.ndarray, " n"],
    seed: int,
    asked: tuple[float, float],
    other: Model | None,
    trained_at: Float[np.ndarray, "m d"] | None,
) -> tuple[str, Values, int]:
    """Kind and values of the signal, and how many of the draws trained it; ``asked``: miscoverage and confidence."""
    if asked_for := _asked_for(problem, model, scale, other, trained_at):
        return asked_for.kind, asked_for.values, 0
    found = make_signal(problem, model, scale)
    if found.kind != "none" and len(np.unique(found.values(P[:SOME]))) > 1:
        return found.kind, found.values, 0
    half = len(P) // 2
    if not len(shares(len(P) - half, *asked)):
        return CONSTANT, _constant, 0
    return COMMITTEE, Committee(problem.inputs, P[:half], errors[:half], seed), half


def signal_of(calibration: Calibration, problem: Problem, model: Model, other: Model | None) -> Values:
    """The signal that a calibration is about; ``other`` where it is another surrogate's.

    Raises:
        ValueError: the surrogate has another signal now.
    """
    if calibration.signal == CONSTANT:
        return _constant
    if calibration.signal == COMMITTEE:
        rows = slice(calibration.trained)
        return Committee(problem.inputs, calibration.inputs[rows], calibration.errors[rows], calibration.seed)
    scale = calibration.absolute / calibration.tolerance
    trained_at = calibration.trained_at if calibration.signal == DISTANCE else None
    found = _asked_for(problem, model, scale, other, trained_at) or make_signal(problem, model, scale)
    if found.kind != calibration.signal:
        raise ValueError(
            f"the calibration is by the signal {calibration.signal!r}, and this surrogate now has {found.kind!r}: "
            "calibrate anew"
        )
    return found.values


def _asked_for(
    problem: Problem, model: Model, scale: float, other: Model | None, trained_at: Float[np.ndarray, "m d"] | None
) -> Signal | None:
    if other is not None:
        return disagreement(problem, model, other, scale)
    return None if trained_at is None else distance_from(problem, trained_at)


def _constant(P: np.ndarray) -> np.ndarray:
    return np.zeros(len(P))
