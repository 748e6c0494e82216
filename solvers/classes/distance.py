"""How far a problem's truth is from its differential equation, at a few draws: one number for reports.

The centre of the box will not do: solutions are zero or homogeneous there, where the grid makes no error at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..problem import Problem, SolveError
from ..representative import kept_by_problem

DRAWS, SEED = 3, 20  # inputs of a fixed Sobol design: the same problem is always said to be as far
TRIED = 2 * DRAWS  # where solves fail


class Distance(NamedTuple):
    """How far the truth is from its differential equation, relative to its norm, at ``draws`` inputs of the box."""

    median: float
    worst: float
    draws: int
    doubt: str  # why the estimates may not be relied on; empty where nothing speaks against them

    @property
    def words(self) -> str:
        """The distance as the end of a sentence that begins with what is far: "the truth is ..."."""
        percent = (
            f"{100 * self.median:.2g} % from the PDE ({100 * self.worst:.2g} % at the worst of {self.draws} draws)"
        )
        return f"itself about {percent}" + (f", an estimate that is not reliable: {self.doubt}" if self.doubt else "")


@kept_by_problem(16)
def distance(problem: Problem) -> Distance | None:
    """The problem's ``discretisation_error`` at a few draws; None where it has none or cannot give it."""
    estimate = getattr(problem, "discretisation_error", None)
    if estimate is None:
        return None
    found: list[Any] = []
    for p in problem.inputs.sample(TRIED, SEED):
        try:
            value = estimate(p)
        except (SolveError, ValueError):
            continue  # one failed solve says nothing of the next; grids that do not nest fail every time, and at once
        if np.isfinite(_relative(value)):
            found.append(value)
        if len(found) == DRAWS:
            break
    if not found:
        return None
    sizes = [_relative(value) for value in found]
    doubts = [getattr(value, "doubt", "") for value in found]
    return Distance(float(np.median(sizes)), float(max(sizes)), len(found), next((d for d in doubts if d), ""))


def _relative(value: Any) -> float:
    """The relative distance that ``discretisation_error`` gave, as a number or as the part of a record."""
    return float(getattr(value, "relative", value))
