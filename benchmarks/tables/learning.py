"""What the network learns in a minute: from fields, from the physics residual, from both.

2 x 2 blocks, 64 cells. The mean is over inputs drawn from the sampling law; the worst is the largest that a search with
100 solver calls confirmed, corners and draws included. Training by physics alone fits no snapshot's field: only its
basis comes from at most 32 solves. The clock of a row holds compilation; taking the snapshots stands in a column of its
own. The Galerkin reduced basis on the same snapshots stands beside them.

    python -m assay.benchmarks.tables.learning [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.falsify import falsify
from .. import command
from ..soundness.true_error import TrueError

CASES = ((10.0, 0.0), (10.0, None), (10.0, 1.0), (100.0, None))  # (contrast, physics weight); None: the default
LEAVE = 4.0  # seconds kept from the minute for the last chunk of steps, the basis and the last layer


def learn(problem: ThermalBlock, name: str, snapshots: Any, test: np.ndarray, **options: Any) -> dict[str, Any]:
    """Errors and seconds of one training run."""
    start = time.perf_counter()
    surrogate = train(problem, name, snapshots, seed=0, **options)
    spent = time.perf_counter() - start
    true_error = TrueError(problem)
    U, norms = true_error.truths(test)
    mean = float((true_error(test, U, norms, np.asarray(surrogate(test))).value / norms.value).mean())
    result = falsify(problem, surrogate, 1e-2, 100, seed=0)
    return {
        "mean error": mean,
        "worst found": result.worst,
        "training s": spent,
        "steps": surrogate.training.get("steps", 0),
        "solves for the basis": surrogate.training.get("basis_snapshots", len(snapshots.inputs)),
    }


def measure(quick: bool) -> dict[str, Any]:
    cells, n, seconds, draws = (16, 128, 8.0, 100) if quick else (64, 512, 60.0, 500)
    rows: list[dict[str, Any]] = []
    for contrast in (10.0,) if quick else (10.0, 100.0):
        problem = ThermalBlock((2, 2), cells, low=contrast**-0.5, high=contrast**0.5)
        start = time.perf_counter()
        snapshots = sample(problem, n, seed=0)
        sampling = time.perf_counter() - start
        test = problem.inputs.sample(draws, seed=11)
        label: dict[str, Any] = {"contrast": contrast, "snapshots s": sampling}
        for weight in (w for c, w in CASES if c == contrast):
            name = {0.0: "fields alone", 1.0: "physics alone", None: "both (default)"}[weight]
            found = learn(
                problem, "pod-mlp", snapshots, test, physics_weight=weight, seconds=max(seconds - LEAVE, seconds / 2)
            )
            rows.append({"trained on": name, **label, **found})
        rows.append({"trained on": "reduced basis", **label, **learn(problem, "reduced-basis", snapshots, test)})

    def of(name: str) -> dict[str, Any]:
        return next(r for r in rows if r["trained on"] == name and r["contrast"] == 10.0)

    both, physics = of("both (default)"), of("physics alone")
    return {
        "rows": rows,
        "holds": {
            f"default: mean error <= 1e-3 ({both['mean error']:.1e})": both["mean error"] <= 1e-3,
            f"default: worst found <= 1e-2 ({both['worst found']:.1e})": both["worst found"] <= 1e-2,
            f"default: trained within {seconds:g} s ({both['training s']:.0f})": both["training s"] <= seconds,
            f"physics alone: mean error <= 1e-2 ({physics['mean error']:.1e})": physics["mean error"] <= 1e-2,
            "physics alone: at most 32 solves": physics["solves for the basis"] <= 32,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("What was learnt", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
