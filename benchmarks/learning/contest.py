"""Operator networks and dull baselines on one data set of functions, side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.datasets.dataset import Dataset, rows_of
from ...surrogates.training.train import train
from .. import command


def relative_errors(answers: Float[np.ndarray, "n N"], truths: Float[np.ndarray, "n N"]) -> Float[np.ndarray, " n"]:
    """|u - v| / |v| in the Euclidean norm, of each row."""
    return np.linalg.norm(answers - truths, axis=1) / np.linalg.norm(truths, axis=1)


def contest(
    data: Dataset, learnt: int, contestants: Mapping[str, tuple[str, dict[str, Any]]], offsets: Any = 0.0
) -> list[dict[str, Any]]:
    """Every contestant (architecture and options) trained on the first rows and judged at all others.

    Args:
        offsets: of every row, a number [n, 1], that was taken off its fields and is known: errors are of the sum.
    """
    rows = np.arange(len(data))
    known, held = rows_of(data.snapshots, rows[:learnt]), rows_of(data.snapshots, rows[learnt:])
    more = np.broadcast_to(offsets, (len(data), 1))[learnt:]
    found = []
    for label, (architecture, options) in contestants.items():
        begun = time.perf_counter()
        made = train(data.problem, architecture, known, seed=0, **options)
        seconds = time.perf_counter() - begun
        errors = relative_errors(made(held.inputs) + more, held.fields + more)
        row = {
            "surrogate": label,
            "mean": float(errors.mean()),
            "median": float(np.median(errors)),
            "worst": float(errors.max()),
            "parameters": made.parameters,
            "steps": made.training.get("steps", 0),
            "seconds": seconds,
        }
        command.progress(row)
        found.append(row)
    return found
