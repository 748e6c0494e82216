"""Whether derivatives of the solver pay: pod-mlp on few snapshots with derivatives, and on more without.

Every derivative is counted as a solve, which it costs on linear problems; on nonlinear ones a solve is several. The
network has no teacher and no physics, so that nothing else is compared. Errors are means over draws, relative.

    python -m assay.benchmarks.learning.derivatives [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
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


def row_of(of: Problem, budget: int, derivatives: int, P: np.ndarray, truths: np.ndarray, steps: int) -> dict[str, Any]:
    """One network."""
    snapshots = sample(of, budget // (1 + derivatives), seed=1)
    start = time.perf_counter()
    options: dict[str, Any] = {"physics_weight": 0.0, "teacher": False, "steps": steps, "derivatives": derivatives}
    surrogate = train(of, "pod-mlp", snapshots, **options)
    spent = time.perf_counter() - start
    error = RowMap(of.relative_error)(P, np.asarray(surrogate(P)), truths)
    return {
        "problem": of.name,
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
        for budget in BUDGETS[: 1 if quick else None]:
            some = [row_of(of, budget, share, P, truths, 60 if quick else 300) for share in SHARES]
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
