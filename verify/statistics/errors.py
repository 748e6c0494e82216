"""Errors at inputs whose solutions are known, and whether these inputs may enter statistics."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import RowMap
from ...solvers.identity import check_rows
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ...solvers.snapshots.snapshot_file import as_json
from ...solvers.tolerance import scaled
from ..answers.evaluate import Evaluation
from ..measured_error import safe_norm


def scaled_errors(
    problem: Problem,
    P: Float[np.ndarray, "n d"],
    answers: Evaluation,
    truths: Float[np.ndarray, "n N"],
    scale: float,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n N"]]:
    """||e|| / (scale + ||u||) of every row, and the error fields e.

    Infinite where the surrogate answered with no field of numbers, or the error is no number; NaN where there is no
    truth to compare with.
    """
    lengths, sizes, away = _measures(problem)(P, answers.fields, truths)
    errors = scaled(lengths, sizes, scale)
    errors = np.where(answers.good & ~np.isnan(errors), errors, np.inf)  # what is no number is no small error
    return np.where(np.isfinite(truths).all(axis=1), errors, np.nan), away


@kept_by_problem(16)
def _measures(problem: Problem) -> RowMap:
    """(||e||, ||u||, e) of rows, compiled; as ``norm_of`` and ``magnitude_of`` have them."""

    def one(p: Array, field: Array, truth: Array) -> tuple[Array, Array, Array]:
        away = jnp.asarray(problem.prescribe(p, field)) - truth
        size, norm = problem.magnitude(p, truth), problem.norm(p, truth)
        usual = (size == norm) | (jnp.isnan(size) & jnp.isnan(norm))
        return safe_norm(problem, p, away), jnp.where(usual, safe_norm(problem, p, truth), size), away

    return RowMap(one)


@kept_by_problem(16)
def prescribed(problem: Problem) -> RowMap:
    """(P, fields) -> the fields with what is prescribed put in place."""
    return RowMap(problem.prescribe)


def check_rows_of(problem: Problem, snapshots: Any, what: str) -> None:
    """
    Raises:
        ValueError: they hold no solutions, or those of another problem.
    """
    fields: Any = getattr(snapshots, "fields", None)
    inputs: Any = getattr(snapshots, "inputs", None)
    shaped = fields is not None and inputs is not None and np.ndim(fields) == 2 and len(inputs) == len(fields)
    if not shaped or fields.shape[1] != problem.size or inputs.shape[1:] != (problem.inputs.dimension,):
        raise ValueError(
            f"{what} needs solutions of {problem.name} that training never saw, inputs [n, {problem.inputs.dimension}] "
            f"and fields [n, {problem.size}]: sample(problem, n, independent=True) makes them, "
            "Dataset.split holds them out"
        )
    name = getattr(snapshots, "problem_name", problem.name)
    settings = getattr(snapshots, "problem_settings", None)
    mine = as_json(problem.settings)
    if name != problem.name or (settings is not None and as_json(settings) != mine):
        raise ValueError(f"the solutions are of {name} {settings}, not of {problem.name} {mine}")
    problem.inputs.check(inputs)
    if problem.has_solver:
        check_rows("the set of rows", problem, snapshots)


def why_no_draws(problem: Problem, snapshots: Any) -> str:
    """Why rows are no independent draws from the sampling law, as far as their seed tells; empty where they may be."""
    seed = getattr(snapshots, "seed", None)
    if not problem.has_solver or not isinstance(seed, int) or seed < 0:
        return ""
    box = problem.inputs
    there, design = box.to_unit(snapshots.inputs), box.to_unit(box.sample(len(snapshots.inputs), seed))
    if not np.allclose(there, design, rtol=0, atol=1e-9):
        return ""
    return "a Sobol design covers the box more evenly than draws do: sample(problem, n, independent=True) draws"


def seen_in_training(surrogate: Any, P: Float[np.ndarray, "n d"]) -> int:
    """How many of these inputs a surrogate learnt from, where it tells that (``trained_at``, inputs [m, d])."""
    try:
        known = np.array(getattr(surrogate, "trained_at", ()), dtype=np.float64)
    except Exception:  # foreign code; what says nothing is taken for fresh, as of any function
        return 0
    learnt = {row.tobytes() for row in np.atleast_1d(known + 0.0)}
    return sum(row.tobytes() in learnt for row in np.array(P, dtype=np.float64) + 0.0)


def check_unseen(surrogate: Any, P: Float[np.ndarray, "n d"], who: str) -> None:
    """
    Raises:
        ValueError: the surrogate learnt from some of these inputs.
    """
    if count := seen_in_training(surrogate, P):
        raise ValueError(
            f"the surrogate learnt from {count} of these {len(P)} inputs, and errors there say nothing of others: "
            f"{who} takes solutions that training never saw"
        )
