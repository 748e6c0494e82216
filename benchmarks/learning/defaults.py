"""pod-mlp with defaults and without physics is no worse than dull baselines on problems drawn at random, or says so.

First the case that it once lost: the 2 x 2 thermal block posed through ``affine`` with inputs in [.1, 1], 64 snapshots.
The dull baselines are those that see inputs and fields alone, as the network does here; the Galerkin reduced basis,
which knows the matrices, is none of them. Errors are relative, in the problem's norm, at other inputs: their means.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...surrogates.training.dull import DULL
from .. import command
from .random_problems import Case, cases, thermal_block_matrices

TESTS = 200
COUNT, QUICK = 20, 3
LOST, MAY_LOSE = 1.1, 0.15  # times the best dull baseline's error; share of the problems
BLOCK_CELLS, BLOCK_GOAL = 64, 0.01


def errors(problem: Problem, surrogate: Any, P: np.ndarray, U: np.ndarray) -> np.ndarray:
    """Relative errors at inputs whose truth is known."""
    return np.asarray(RowMap(problem.relative_error)(P, surrogate(P), U))


def row_of(case: Case) -> dict[str, Any]:
    """The network beside the dull baselines on one problem."""
    snapshots = sample(case.problem, case.snapshots, seed=case.seed)
    tests = sample(case.problem, TESTS, seed=case.seed + 1000)
    good = np.isfinite(tests.fields).all(axis=1)
    P, U = tests.inputs[good], tests.fields[good]
    started = time.perf_counter()
    network = train(case.problem, "pod-mlp", snapshots, seed=case.seed, physics_weight=0)
    seconds = time.perf_counter() - started
    found = errors(case.problem, network, P, U)
    dull = {
        name: errors(case.problem, train(case.problem, name, snapshots, seed=case.seed), P, U).mean() for name in DULL
    }
    best = min(dull, key=lambda name: dull[name])
    validation, warnings = network.training["validation"], network.training["warnings"]
    told = warnings[0].split(",")[0] if warnings else "-"
    return {
        "problem": case.title,
        "snapshots": case.snapshots,
        "seed": case.seed,
        "mean": float(found.mean()),
        "worst": float(found.max()),
        "best dull": best,
        "its mean": float(dull[best]),
        "ratio": float(found.mean() / dull[best]),
        "taught": validation["taught"],
        "warned": bool(warnings),
        "of": told,
        "rightly": "-" if told not in dull else bool(dull[told] <= LOST * found.mean()),
        "seconds": seconds,
    }


def measure(quick: bool, keep: str | None = None, draw: int = 0) -> dict[str, Any]:
    block = Case(
        "block 2 x 2 from matrices, [0.1, 1]",
        thermal_block_matrices(16 if quick else BLOCK_CELLS, (2, 2), 0.1, 1.0),
        64,
        0,
    )
    rows, kept = [], command.Kept(keep, quick)
    for i, case in enumerate([block, *cases(QUICK if quick else COUNT, draw)]):
        rows.append(kept.row(f"{i} of draw {draw}: {case.title}", partial(row_of, case)))
        jax.clear_caches()  # every problem compiles its own
    drawn = rows[1:]
    lost = [row for row in drawn if row["ratio"] > LOST]
    holds = {
        f"the block from matrices, 64 snapshots: mean error at most {BLOCK_GOAL}": rows[0]["mean"] <= BLOCK_GOAL,
        f"more than {LOST - 1:.0%} worse than the best dull one on at most {MAY_LOSE:.0%} of {len(drawn)} problems": (
            len(lost) <= MAY_LOSE * len(drawn)
        ),
        "and nowhere without a warning": all(row["warned"] for row in lost),
    }
    return {"rows": rows, "lost": len(lost), "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("mean relative errors, pod-mlp with defaults and without physics", result["rows"]))
    said = [row.get("rightly") for row in result["rows"][1:] if row["warned"]]
    right, wrong = (sum(is_so is which for is_so in said) for which in (True, False))
    console.print(
        f"{len(said)} warnings: {right} of a baseline that is better, or worse by at most {LOST - 1:.0%}; {wrong} of "
        "one that is not"
    )


if __name__ == "__main__":
    parser = command.kept_parser(__doc__)
    parser.add_argument("--draw", type=int, default=0, help="other problems than those that a rule was chosen by")
    options = parser.parse_args()
    sys.exit(command.finish(measure(options.quick, options.keep, options.draw), show, "-" if options.json else None))
