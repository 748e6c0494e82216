"""The same problem on the doubled grid, where there is one: what an error is confirmed on."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ..problem import Problem, SolveError
from ..representative import kept_by_problem
from .richardson import restrict, shared_nodes

STEPS = (1, 2, 4)  # times as many steps in time, for both errors to shrink alike


@kept_by_problem(8)
def doubled(problem: Problem) -> Problem | None:
    """The problem with twice the cells per side, of which this one is the ``coarser``; None where there is none."""
    cells = getattr(problem, "cells", None) or getattr(problem, "n", None)
    if not dataclasses.is_dataclass(problem) or isinstance(cells, bool) or not isinstance(cells, int | np.integer):
        return None
    for times in STEPS if "steps" in problem.settings else (1,):
        steps = {"steps": times * problem.settings["steps"]} if "steps" in problem.settings else {}
        try:
            finer = dataclasses.replace(problem, cells=2 * int(cells), **steps)
            below = getattr(finer, "coarser", None)
            same = below is None or (below.settings | {"cells": int(cells)}) == (
                problem.settings | {"cells": int(cells)}
            )
            if same and finer.inputs.to_json() == problem.inputs.to_json() and len(shared_nodes(finer, problem)):
                return finer
        except (ValueError, TypeError):  # a grid that cannot be doubled, or that does not hold this one's nodes
            continue
    return None


def solution_on_doubled_grid(problem: Problem, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, " N"] | None:
    """What the doubled grid says of this grid's nodes at p; None where there is none, or it was not solved there."""
    finer = doubled(problem)
    if finer is None:
        return None
    try:
        return restrict(finer, problem, np.asarray(finer.solve_report(p).u))
    except SolveError:
        return None
