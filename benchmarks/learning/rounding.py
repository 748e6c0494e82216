"""How much of a network's errors is chance of rounding: the same seed, computed a little differently.

The same training ten times, with inputs changed by at most one unit in their last place, with the snapshots in another
order (so that sums are added in another order), and in single precision: mean and worst errors at the same inputs.
Where their spread is near that of ten seeds, the last digits decide as much as the seed does, and a comparison of two
architectures by one run each is a comparison of dice.

    python -m assay.benchmarks.learning.rounding [--quick] [--json]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rich.console import Console

from ...run_training import errors_at
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from .. import command


def measure(quick: bool) -> dict[str, Any]:
    runs, steps, samples = (3, 100, 48) if quick else (10, 600, 128)
    problem = ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5)
    data, tests = sample(problem, samples, 0), sample(problem, 256, 7, independent=True)
    P, U = np.asarray(data.inputs), np.asarray(data.fields)
    networks: dict[str, dict[str, Any]] = {
        "pod-mlp": {"steps": steps, "physics_weight": 0.0},
        "mlp": {"steps": steps, "base": "mean"},  # of a polynomial that it corrects there is nothing to see
        "mlp, float32": {"steps": steps, "base": "mean", "precision": "float32"},
    }
    rows: list[dict[str, Any]] = []
    for label, options in networks.items():
        name = label.split(",")[0]
        for what in ("repeated", "one ulp", "another order", "another seed"):
            found = []
            for run in range(2 if what == "repeated" else runs):
                rng = np.random.default_rng(run)
                ours, order, seed = P, np.arange(len(P)), 0
                if what == "one ulp":
                    ours = np.nextafter(P, rng.choice([-np.inf, np.inf], P.shape))
                elif what == "another order":
                    order = rng.permutation(len(P))
                elif what == "another seed":
                    seed = run
                model = train(problem, name, (ours[order], U[order]), seed=seed, **options)
                found.append(errors_at(problem, model, tests).errors)
            means, worst = np.array([e.mean() for e in found]), np.array([e.max() for e in found])
            rows.append(
                {
                    "network": label,
                    "changed": what,
                    "mean, least": means.min(),
                    "mean, most": means.max(),
                    "worst, least": worst.min(),
                    "worst, most": worst.max(),
                    "spread of mean": means.max() / means.min() - 1,
                    "spread of worst": worst.max() / worst.min() - 1,
                }
            )
            command.progress(rows[-1])
    same = all(row["spread of mean"] == 0 == row["spread of worst"] for row in rows if row["changed"] == "repeated")
    return {"rows": rows, "holds": {"the same computation gives the same errors to the bit": same}}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("The same training, computed a little differently", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
