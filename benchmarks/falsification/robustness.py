"""What surrogates lose where the question or the arithmetic changes: errors of each named shift beside the unshifted
one, and the largest change found in float32, float16 and bfloat16.

The claims are what has to hold of any such table: no shift is silent (a row, or a reason), the unshifted row is the
error at independent draws, and fewer digits change more. What the numbers are is for the reader.

    python -m assay.benchmarks.falsification.robustness [--quick] [--json]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rich.console import Console

from ...run_training import errors_at
from ...solvers.problem import Problem
from ...solvers.problems.advection_diffusion import AdvectionDiffusion
from ...solvers.problems.lognormal_diffusion import LognormalDiffusion
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.precision.precision import precision
from ...verify.shifts.shifts import KINDS, shifts
from .. import command

SAMPLES, DRAWS, TOLERANCE = 64, 48, 1e-2
LEARNERS: dict[str, dict[str, Any]] = {"kernel-ridge": {}, "polynomial": {}, "mlp": {"steps": 300}}


def shifted(label: str, problem: Problem, name: str) -> tuple[list[dict[str, Any]], bool]:
    """The rows of one surrogate, and whether they say what they have to."""
    model = train(problem, name, sample(problem, SAMPLES), **LEARNERS[name])
    found = shifts(problem, model, n=DRAWS)
    tests = errors_at(problem, model, sample(problem, DRAWS, 0, independent=True)).errors
    rows = [
        {"pair": f"{label}, {name}", "shift": row.name, "mean": row.mean, "p95": row.p95, "worst": row.worst, "why": ""}
        for row in found.rows
    ]
    rows += [
        {"pair": f"{label}, {name}", "shift": each.name, "mean": None, "p95": None, "worst": None, "why": each.why}
        for each in found.refused
    ]
    names = [row.name for row in found.rows] + [each.name for each in found.refused]
    said = all(any(kind in shift for shift in names) for kind in KINDS)
    return rows, said and bool(np.allclose(found["none"].errors, tests, rtol=1e-6))


def arithmetic(problem: Problem, name: str) -> tuple[dict[str, Any], bool]:
    """The largest changes of one surrogate by format, and whether they grow as digits are fewer."""
    model = train(problem, name, sample(problem, SAMPLES), **LEARNERS[name])
    found = precision(problem, model, TOLERANCE, n=DRAWS)
    worst = {form: found.worst(form) for form in ("float64", "float32", "float16", "bfloat16")}
    row = {"surrogate": name, **worst, f"keep {TOLERANCE:g}": ", ".join(found.keeps)}
    return row, worst["float64"] < worst["float32"] < min(worst["float16"], worst["bfloat16"])


def measure(quick: bool) -> dict[str, Any]:
    block = ThermalBlock((2, 1), 4) if quick else ThermalBlock((2, 2), 8)
    pairs: list[tuple[str, Problem]] = [("thermal block", block)]
    if not quick:
        pairs += [
            ("advection-diffusion", AdvectionDiffusion(cells=16)),
            ("lognormal d = 4", LognormalDiffusion(d=4, cells=16)),
        ]
    tables, right = [], []
    for label, problem in pairs:
        rows, good = shifted(label, problem, "kernel-ridge")
        tables += rows
        right.append(good)
        command.progress(rows)
    changes = [arithmetic(block, name) for name in ([*LEARNERS][:1] if quick else LEARNERS)]
    return {
        "rows": tables,
        "arithmetic": [row for row, _ in changes],
        "holds": {
            "every shift has a row or a reason, and the unshifted row is the error at draws": all(right),
            "fewer digits change more": all(grows for _, grows in changes),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Errors by shift", result["rows"]))
    console.print(command.table("The largest change found by format", result["arithmetic"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
