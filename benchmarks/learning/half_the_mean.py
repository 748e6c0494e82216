"""Every network on every problem that it fits: is it trained in the time given, to half the error of the mean?

128 snapshots on about 16 x 16 cells (or as many values in time), default settings, ``--seconds`` of training each with
all that is compiled for it. The numbers are mean relative errors over draws of the box, in the problem's norm: of the
mean of the snapshots, of the best dull baseline, and of each network; "-" where it does not fit.

    python -m assay.benchmarks.learning.half_the_mean [--quick] [--seconds S] [--only PROBLEM ...] [--networks NAME ...]
        [--physics-weight W]
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.problems.catalogue import PROBLEMS, problem
from ...solvers.snapshots.sample import sample
from ...surrogates import ARCHITECTURES, train
from .. import command

SNAPSHOTS, DRAWS, DRAW_SEED, SECONDS = 128, 64, 77, 25.0
SMALL: dict[str, dict[str, Any]] = {
    "heat": {"cells": 8, "steps": 8},
    "allen-cahn": {"cells": 32, "steps": 16},
    "burgers": {"cells": 32, "steps": 16},
    "wave": {"cells": 8, "steps": 16},
}
DULL = ("nearest", "linear", "kernel-ridge")
NETWORKS = [name for name, kind in ARCHITECTURES.items() if kind.kind == "network"]


def row_of(name: str, networks: list[str], seconds: float, draws: int, weight: float | None) -> dict[str, Any]:
    """One problem."""
    of = problem(name, **SMALL.get(name, {"cells": 16}))
    snapshots = sample(of, SNAPSHOTS, seed=1)
    P = of.inputs.sample(draws, DRAW_SEED)
    truths = np.asarray(of.solve_batch(P))
    solved = np.isfinite(truths).all(axis=1)
    P, truths = P[solved], truths[solved]
    errors = RowMap(of.relative_error)

    def error(kind: str, **options: Any) -> float:
        return float(np.mean(errors(P, np.asarray(train(of, kind, snapshots, **options)(P)), truths)))

    row: dict[str, Any] = {"problem": name, "N": of.size, "mean": error("mean"), "dull": min(map(error, DULL))}
    for network in networks:
        if ARCHITECTURES[network].misfit(of):
            row[network] = "-"
            continue
        row[network] = error(network, seconds=seconds, physics_weight=weight)
        command.progress(f"{name} {network} {row[network]:.4g} of {row['mean']:.4g}")
    return row


def measure(quick: bool, names: list[str], networks: list[str], seconds: float, weight: float | None) -> dict[str, Any]:
    rows = [row_of(name, networks, seconds, DRAWS // 4 if quick else DRAWS, weight) for name in names]
    late = [f"{n} on {row['problem']}" for row in rows for n in networks if row[n] != "-" and row[n] > row["mean"] / 2]
    count = sum(row[n] != "-" for row in rows for n in networks)
    claim = f"{count - len(late)} of {count} networks reach half the mean's error in {seconds:g} s"
    return {"rows": rows, "holds": {claim + (f", not {', '.join(late)}" if late else ""): not late}}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Mean relative error", result["rows"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two problems")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of training ({SECONDS:g} by default)")
    parser.add_argument("--only", nargs="+", choices=list(PROBLEMS), metavar="NAME", help="these problems")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME", help="these networks")
    parser.add_argument("--physics-weight", type=float, help="share of the equation in the loss")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    names = options.only or (["thermal-block", "burgers"] if options.quick else list(PROBLEMS))
    result = measure(options.quick, names, options.networks or NETWORKS, options.seconds, options.physics_weight)
    return command.finish(result, show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
