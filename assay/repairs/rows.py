"""Rows of solutions for training: solved at chosen inputs, put together, kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..solvers.problem import Problem
from ..solvers.processes.rows import solved_rows
from ..solvers.snapshots.sample import Snapshots, load_snapshots
from ..solvers.snapshots.snapshot_file import as_json, write


def solved_at(
    problem: Problem,
    P: Float[np.ndarray, "n d"],
    seed: int,
    executor: Executor | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Snapshots:
    """The truth at these inputs; NaN, with the reason, where the solver failed."""
    fields, residuals = np.full((len(P), problem.size), np.nan), np.full(len(P), np.nan)
    reasons: dict[int, str] = {}
    for done, (i, attempt, why) in enumerate(solved_rows(problem, P, range(len(P)), executor)):
        u = np.asarray(attempt.u)
        fields[i] = u if np.isfinite(u).all() else np.nan
        residuals[i] = float(attempt.residual)
        if why:
            reasons[i] = why
        if progress is not None:
            progress(done + 1, len(P))
    about = (seed, problem.name, as_json(problem.settings), problem.inputs, problem.fingerprint)
    return Snapshots(P, fields, residuals, *about, reasons)


def together(first: Snapshots, *others: Snapshots) -> Snapshots:
    """All rows, in order; about whom they are the first says."""
    reasons, start = dict(first.reasons), len(first)
    for other in others:
        reasons |= {start + i: why for i, why in other.reasons.items()}
        start += len(other)
    every = (first, *others)
    return dataclasses.replace(
        first,
        inputs=np.concatenate([each.inputs for each in every]),
        fields=np.concatenate([each.fields for each in every]),
        residuals=np.concatenate([each.residuals for each in every]),
        reasons=reasons,
    )


def kept(path: Path | None, problem: Problem, make: Callable[[], Snapshots]) -> Snapshots:
    """The rows in a file, or those that are made, which then stand there."""
    if path is not None and path.exists():
        return load_snapshots(path, problem)
    made = make()
    if path is not None:
        write(path, made)
    return made
