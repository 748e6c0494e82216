"""Low-dimensional elliptic problems learnt to five digits: thermal block 2 x 2 of contrast 10, elasticity of 3 moduli.

512 solves and a minute of training for each row; ``worst`` is the largest of 200 other inputs, the corners of the box
and what a search finds. The network with the physics loss and default settings is the claim's subject.
Beside it the dull baselines and the Galerkin reduced basis, which knows the matrices and beats everything here.
"""

from __future__ import annotations

import itertools
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.problems.elasticity import Elasticity
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.falsify import falsify
from .. import command
from .defaults import errors

SNAPSHOTS, SECONDS, TESTS, BUDGET = 512, 60.0, 200, 200
MEAN, WORST = 1e-5, 5e-4
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "pod-mlp, a minute": ("pod-mlp", {"seconds": SECONDS}),
    "pod-mlp, base polynomial": ("pod-mlp", {"base": "polynomial"}),
    "pod-mlp, defaults": ("pod-mlp", {}),
    "pod-mlp, no physics": ("pod-mlp", {"physics_weight": 0}),
    "gaussian-process": ("gaussian-process", {}),
    "kernel-ridge": ("kernel-ridge", {}),
    "polynomial": ("polynomial", {}),
    "polynomial, physics": ("polynomial", {"physics_weight": 0.5}),
    "reduced-basis": ("reduced-basis", {}),
}


def subjects(quick: bool) -> dict[str, Problem]:
    """Contrasts of 10 both."""
    low, high = 10**-0.5, 10**0.5
    block = ThermalBlock(cells=8 if quick else 32, low=low, high=high)
    return {
        "thermal block": block,
        "elasticity": Elasticity(blocks=(3, 1), cells=6 if quick else 24, low=low, high=high),
    }


def rows_of(title: str, problem: Problem, quick: bool, kept: command.Kept) -> list[dict[str, Any]]:
    """Every surrogate on one problem."""
    snapshots = sample(problem, 64 if quick else SNAPSHOTS)
    units = np.array(list(itertools.product((0.0, 1.0), repeat=problem.inputs.dimension)))
    P = np.concatenate([problem.inputs.sample(TESTS, seed=77), problem.inputs.from_unit(units)])
    U = np.asarray(problem.solve_batch(P))

    def row(label: str) -> dict[str, Any]:
        name, options = ROWS[label]
        given = {**options, **({"seconds": 5.0} if quick and "seconds" in options else {})}
        started = time.perf_counter()
        surrogate = train(problem, name, snapshots, **given)
        seconds = time.perf_counter() - started
        e = errors(problem, surrogate, P, U)
        searched = falsify(problem, surrogate, 1e-2, 20 if quick else BUDGET)
        return {
            "problem": title,
            "surrogate": label,
            "mean": float(e[:TESTS].mean()),
            "worst": max(float(e.max()), float(np.nan_to_num(searched.worst))),
            "parameters": surrogate.parameters,
            "seconds": seconds,
            "warned": bool(surrogate.training.get("warnings")),
        }

    return [kept.row(f"{title}, {label}", partial(row, label)) for label in ROWS]


def measure(quick: bool, keep: str | None = None) -> dict[str, Any]:
    kept = command.Kept(keep, quick)
    rows = [row for title, problem in subjects(quick).items() for row in rows_of(title, problem, quick, kept)]
    holds = {}
    for title in subjects(quick):
        networks = [row for row in rows if row["problem"] == title and row["surrogate"].startswith("pod-mlp")]
        best = min(networks, key=lambda row: row["mean"])
        goal, worst = (1e-2, 0.5) if quick else (MEAN, WORST)
        holds[f"{title}: best network's mean <= {goal:g}, worst found <= {worst:g}"] = (
            best["mean"] <= goal and best["worst"] <= worst
        )
    return {"rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("relative errors in the energy norm of p", result["rows"]))


if __name__ == "__main__":
    options = command.kept_parser(__doc__).parse_args()
    sys.exit(command.finish(measure(options.quick, options.keep), show, "-" if options.json else None))
