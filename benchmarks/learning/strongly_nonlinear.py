"""Burgers and the cavity learnt with default settings: means, and the worst error that a search finds.

1024 solves (Burgers) and 256 (cavity), and at most five minutes of training by the clock; ``worst`` is the largest of
200 other inputs and of what a search with 200 further solves finds, relative to the size of the solution and the
problem's ``zero_scale``. Beside the network the dull baselines that did best. "With physics" half of the loss is of
fields of least residual at further inputs (``physics_fields.py``), with the corners of the box among them: these are no
solves of the problem and not counted as such, but each takes several linear ones, within the seconds of training.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.problems.burgers import Burgers
from ...solvers.problems.cavity import Cavity
from ...solvers.snapshots.sample import Snapshots, sample
from ...surrogates import train
from ...verify.falsify import falsify
from .. import command
from .defaults import errors

Sets = Callable[[], tuple[Snapshots, Snapshots]]

TESTS, BUDGET, SECONDS = 200, 200, 280.0
MEAN, WORST = 3e-3, 5e-2
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "pod-mlp, defaults": ("pod-mlp", {}),
    "kernel-ridge": ("kernel-ridge", {}),
    "random-features": ("random-features", {}),
}


PHYSICS = {"pod-mlp, with physics": ("pod-mlp", {"physics_weight": 0.5, "seconds": SECONDS})}  # the cavity needs none


def sets_of(problem: Problem, n: int) -> tuple[Snapshots, Snapshots]:
    """What is learnt from, and what is tested at."""
    return sample(problem, n), sample(problem, TESTS, seed=77)


def row_of(
    title: str, problem: Problem, sets: Sets, label: str, architecture: str, options: dict[str, Any], budget: int
) -> dict[str, Any]:
    """One surrogate, trained, judged at other inputs and searched."""
    snapshots, tests = sets()
    started = time.perf_counter()
    surrogate = train(problem, architecture, snapshots, **options)
    seconds = time.perf_counter() - started
    e = errors(problem, surrogate, tests.inputs, tests.fields)
    searched = falsify(problem, surrogate, 1e-2, budget)
    return {
        "problem": title,
        "snapshots": len(snapshots),
        "surrogate": label,
        "mean": float(e.mean()),
        "p95": float(np.quantile(e, 0.95)),
        "worst": max(float(e.max()), float(np.nan_to_num(searched.worst))),
        "parameters": surrogate.parameters,
        "seconds": seconds,
    }


def measure(quick: bool, keep: str | None = None) -> dict[str, Any]:
    problems: dict[str, tuple[Problem, int]] = {"Burgers": (Burgers(), 1024), "cavity": (Cavity(), 256)}
    if quick:
        problems = {"Burgers": (Burgers(cells=32, steps=16), 128), "cavity": (Cavity(cells=16), 32)}
    rows: list[dict[str, Any]] = []
    holds: dict[str, bool] = {}
    kept = command.Kept(keep, quick)
    for title, (problem, n) in problems.items():
        sets = cache(partial(sets_of, problem, n))  # of all rows, and solved only where one is measured
        for label, (name, options) in (ROWS | (PHYSICS if title == "Burgers" else {})).items():
            given = {**options, **({"seconds": 5.0} if quick and "seconds" in options else {})}
            row = partial(row_of, title, problem, sets, label, name, given, 20 if quick else BUDGET)
            rows.append(kept.row(f"{title}, {label}", row))
        best = min((row for row in rows if row["problem"] == title), key=lambda row: row["mean"])
        mean, worst = (0.1, 1.0) if quick else (MEAN, WORST)
        holds[f"{title}: the best has a mean <= {mean:g} and worst found <= {worst:g}, and is the network"] = (
            best["mean"] <= mean and best["worst"] <= worst and best["surrogate"].startswith("pod-mlp")
        )
    return {"rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("relative errors", result["rows"]))


if __name__ == "__main__":
    options = command.kept_parser(__doc__).parse_args()
    sys.exit(command.finish(measure(options.quick, options.keep), show, "-" if options.json else None))
