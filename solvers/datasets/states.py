"""A data set on a tensor grid as files of others hold it: states in time, of which the first is the input."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..problems.dataset import DatasetProblem


def is_steady(problem: DatasetProblem) -> bool:
    """Whether its fields are no states after a first one."""
    return problem.shape[0] == 1 and problem.times[0] == 0


def times_from_start(problem: DatasetProblem) -> Float[np.ndarray, " times+1"]:
    """The time of the first state, which the data set does not know: zero, if that is before the others."""
    first = 0.0 if problem.times[0] > 0 else problem.times[0] - 1.0
    return np.concatenate([[first], problem.times])


def ticks_of(problem: DatasetProblem, sides: tuple[int, ...]) -> list[Float[np.ndarray, " side"]]:
    """Of each axis, which must be in the order of the coordinates."""
    points = problem.points.reshape(*sides, len(sides))
    return [points[tuple(slice(None) if b == a else 0 for b in range(len(sides)))][:, a] for a in range(len(sides))]
