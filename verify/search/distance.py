"""How far an input lies from those that a surrogate learnt from, in units of the box: |x - x_i| of the nearest x_i.

It knows nothing of the problem nor of the answers, so that its peaks are the corners that were left out; a failure
among the training inputs it does not see. Reference: the fill distance of scattered data, Wendland 2005, chapter 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from ...solvers.problem import Problem
from .signal import Signal


def distance(problem: Problem, surrogate: Any) -> Signal:
    """The signal of a surrogate that tells its training inputs, ``trained_at`` [n, d], as those of ``train`` do.

    Raises:
        ValueError: it tells none.
    """
    return distance_from(problem, training_inputs(problem, surrogate))


def training_inputs(problem: Problem, surrogate: Any) -> Float[np.ndarray, "m d"]:
    """
    Raises:
        ValueError: the surrogate tells none.
    """
    given: Any = getattr(surrogate, "trained_at", None)
    try:
        rows = problem.inputs.rows(given)
    except ValueError:
        rows = np.zeros((0, problem.inputs.dimension))
    if not len(rows) or not np.isfinite(problem.inputs.to_unit(rows)).all():
        raise ValueError(
            f"how far inputs are from those that a surrogate learnt from is known where it tells these: give the "
            f"{type(surrogate).__name__} an attribute trained_at, the training inputs [n, {problem.inputs.dimension}], "
            "or leave distance out"
        )
    return rows


def distance_from(problem: Problem, rows: Float[np.ndarray, "m d"]) -> Signal:
    """The signal, from these training inputs."""
    tree = cKDTree(problem.inputs.to_unit(rows))

    def values(P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return np.asarray(tree.query(problem.inputs.to_unit(P))[0])

    return Signal("distance", values)
