"""JAX's own device, a graphics card say, beside the processor: the same solutions, and bounds that hold there too.

Every problem with a proof is solved at 64 inputs on both; a polynomial of 48 snapshots is certified on the device, and
its errors are measured against the device's truth. Rounding differs between the two, and so may solutions, by what
their tolerance leaves. An error counts as outside its bounds by more than ``SLACK``, which is above the truth's own
distance to the exact discrete solution: 4e-9 at most (cavity, by one further Newton step; residuals of 1e-10).

Nothing is claimed of speed: seconds without compiling stand in the table. Where JAX has the processor alone, it is
compared with itself.

    python -m assay.benchmarks.clusters.accelerator [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.problems.catalogue import problem
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.certify import certify
from .. import command

SOLVES, SNAPSHOTS, SEED = 64, 48, 5
SLACK, APART = 1e-8, 1e-9  # of relative errors; of solutions, relative to their largest value
CASES: dict[str, dict[str, Any]] = {
    "thermal-block": {"cells": 64},
    "lognormal-diffusion": {"cells": 64},
    "elasticity": {"cells": 32},
    "heat": {"cells": 32, "steps": 32},
    "helmholtz": {"cells": 32},
    "bratu": {"cells": 32},
    "burgers": {"cells": 128, "steps": 50},
    "advection-diffusion": {"cells": 32},
    "cavity": {"cells": 24},
    "hyperelastic": {"cells": 8},
}
QUICK = ("thermal-block", "bratu")


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """The answer of a second call, and its seconds."""
    compute()
    start = time.perf_counter()
    found = compute()
    return found, time.perf_counter() - start


def row_of(name: str) -> dict[str, Any]:
    of = problem(name, **CASES[name])
    P = of.inputs.sample(SOLVES, SEED)
    truths, seconds = timed(lambda: np.asarray(of.solve_batch(P)))
    surrogate = train(of, "polynomial", sample(of, SNAPSHOTS, seed=0))
    fields = np.asarray(surrogate(P))
    bounds, proving = timed(lambda: certify(of, surrogate, P))
    errors = np.asarray(RowMap(of.relative_error)(P, fields, truths))
    lower, upper = np.asarray(bounds.relative_lower), np.asarray(bounds.relative_upper)
    bounded = np.isfinite(upper)
    inside = (lower - SLACK <= errors) & (errors <= upper + SLACK)
    with jax.default_device(jax.devices("cpu")[0]):
        again, beside = timed(lambda: np.asarray(of.solve_batch(P)))
    return {
        "problem": name,
        "N": of.size,
        "apart": float(np.max(np.abs(truths - again)) / np.max(np.abs(again))),
        "bounded": int(bounded.sum()),
        "least error": float(np.min(errors)),
        "outside": int((~inside).sum()),
        "bound / error": float(np.median(upper[bounded] / errors[bounded])),
        "evidence": bounds.evidence,
        "solves s": seconds,
        "the processor's s": beside,
        "proofs s": proving,
    }


def measure(quick: bool) -> dict[str, Any]:
    rows = []
    for name in QUICK if quick else CASES:
        rows.append(row_of(name))
        command.progress(rows[-1])
    return {
        "device": jax.devices()[0].device_kind,
        "rows": rows,
        "holds": {
            "no error is outside its bounds, and some are bounded on every problem": all(
                row["outside"] == 0 and row["bounded"] > 0 for row in rows
            ),
            f"solutions are the processor's to {APART:g}": all(row["apart"] <= APART for row in rows),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"{SOLVES} inputs on {result['device']}", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
