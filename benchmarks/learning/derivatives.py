"""Whether derivatives of the solver pay: networks on few snapshots with derivatives, and on more without.

Every derivative is counted as a solve, which it costs on linear problems; on nonlinear ones a solve is several.
pod-mlp has no teacher and no physics, mlp corrects the mean, so that nothing else is compared. Errors are means over
draws, relative.

    python -m assay.benchmarks.learning.derivatives [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.problems.catalogue import problem
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from .. import command

CASES: dict[str, dict[str, Any]] = {
    "elasticity": {"cells": 8},
    "heat": {"cells": 8, "steps": 8},
    "hyperelastic": {"cells": 8},
    "burgers": {"cells": 32, "steps": 16},
}
BUDGETS = (48, 96)  # solves
SHARES = (0, 1, 2)  # derivatives at a snapshot
NETWORKS: dict[str, dict[str, Any]] = {
    "pod-mlp": {"physics_weight": 0.0, "teacher": False},
    "mlp": {"base": "mean"},
}
STEPS, QUICK_STEPS = {"pod-mlp": 300, "mlp": 8000}, {"pod-mlp": 60, "mlp": 1000}


def row_of(
    of: Problem, name: str, budget: int, derivatives: int, P: np.ndarray, truths: np.ndarray, quick: bool
) -> dict[str, Any]:
    """One network."""
    snapshots = sample(of, budget // (1 + derivatives), seed=1)
    start = time.perf_counter()
    steps = (QUICK_STEPS if quick else STEPS)[name]
    surrogate = train(of, name, snapshots, derivatives=derivatives, steps=steps, **NETWORKS[name])
    spent = time.perf_counter() - start
    error = RowMap(of.relative_error)(P, np.asarray(surrogate(P)), truths)
    return {
        "problem": of.name,
        "network": name,
        "solves' cost": budget,
        "snapshots": len(snapshots.inputs),
        "derivatives each": derivatives,
        "error": float(error.mean()),
        "worst": float(error.max()),
        "s": spent,
    }


def measure(quick: bool) -> dict[str, Any]:
    rows, better = [], 0
    for name, settings in list(CASES.items())[: 1 if quick else None]:
        of = problem(name, **settings)
        P = of.inputs.sample(60, seed=91)
        truths = np.asarray(of.solve_batch(P))
        for network, budget in product(NETWORKS, BUDGETS[: 1 if quick else None]):
            some = [row_of(of, network, budget, share, P, truths, quick) for share in SHARES]
            better += min(row["error"] for row in some[1:]) < some[0]["error"]
            rows += some
            command.progress(some)
    cases = len(rows) // len(SHARES)
    return {"rows": rows, "pays": f"{better} of {cases}", "holds": {}}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Derivatives at equal cost", result["rows"]))
    console.print(f"derivatives are better in {result['pays']} cases")


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
