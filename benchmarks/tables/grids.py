"""One problem on coarser and finer grids, and fields carried from one to the other.

How a problem is refined is read off its class: one with ``coarser`` says which of its settings that divides (cells, and
steps in time so that both errors shrink alike), any other with ``cells`` has these doubled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.problem import Problem

REFINED = ("cells", "steps")


def ratios(problem: Problem) -> dict[str, int]:
    """By what each setting grows when the grid is halved; empty where the problem cannot be refined."""
    sizes = {k: problem.settings[k] for k in REFINED if isinstance(problem.settings.get(k), int)}
    if "cells" not in sizes:
        return {}
    try:  # of a grid so fine that it has a coarser one
        fine = _with(problem, {k: n * (4 if k == "cells" else 16) for k, n in sizes.items()})
        coarse = getattr(fine, "coarser", None)
    except (ValueError, TypeError):  # a problem of the user's own, whose settings build something else
        return {}
    if coarse is None:
        return {"cells": 2}
    found = {k: fine.settings[k] // coarse.settings[k] for k in sizes}
    return {k: ratio for k, ratio in found.items() if ratio > 1}


def _with(problem: Problem, settings: dict[str, Any]) -> Problem:
    return type(problem)(**{**problem.settings, **settings})


def resolutions(problem: Problem, count: int = 4) -> list[Problem]:
    """The problem on its own grid and on coarser ones, by halving, as far as they nest."""
    found, by = [problem], ratios(problem)
    while by and len(found) < count:
        here = found[-1].settings
        if any(here[k] % ratio for k, ratio in by.items()):
            break
        try:
            found.append(_with(problem, {k: here[k] // ratio for k, ratio in by.items()}))
        except ValueError:
            break
    return found


def finer(problem: Problem, halvings: int) -> Problem:
    """The problem on a grid halved so many times."""
    return _with(problem, {k: problem.settings[k] * ratio**halvings for k, ratio in ratios(problem).items()})


def axes(problem: Problem) -> list[np.ndarray] | None:
    """The ticks of each axis, time first where there are times, if the nodes are a tensor grid in row-major order."""
    times, nodes, components = problem.shape
    x = problem.coordinates
    if len(x) == problem.size != times * nodes:  # repeated for each component
        x = x[::components]
    if len(x) != times * nodes:
        return None
    ticks = [np.unique(np.round(column, 12)) for column in x.T]
    if np.prod([len(t) for t in ticks]) != len(x):
        return None
    grid = np.stack([g.ravel() for g in np.meshgrid(*ticks, indexing="ij")], axis=1)
    return ticks if np.allclose(grid, x, atol=1e-9) else None


class Transfer:
    """Fields of ``source`` in the nodes (and times) of ``target``, by linear interpolation along each axis.

    Raises:
        ValueError: one of the two lies on no tensor grid.
    """

    def __init__(self, source: Problem, target: Problem) -> None:
        self.same = source is target
        if self.same:
            return
        here, there = axes(source), axes(target)
        if here is None or there is None:
            raise ValueError(
                f"fields of {source.name} lie on no tensor grid: they cannot be compared across resolutions"
            )
        self.shape = (*(len(t) for t in here), source.shape[2])
        self.hats = [
            np.stack([np.interp(b, a, e) for e in np.eye(len(a))], axis=1) for a, b in zip(here, there, strict=True)
        ]

    def __call__(self, U: Float[np.ndarray, "n M"]) -> Float[np.ndarray, "n N"]:
        if self.same:
            return U
        out = U.reshape(len(U), *self.shape)
        for i, hat in enumerate(self.hats):
            out = np.moveaxis(np.tensordot(out, hat, axes=(i + 1, 1)), -1, i + 1)
        return out.reshape(len(U), -1)
