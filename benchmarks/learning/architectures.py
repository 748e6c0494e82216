"""Every architecture on five problems: what a network earns, beside what costs nothing.

Thermal block, lognormal diffusion of ten inputs, Burgers, elasticity, the cavity, each on the same snapshots for all. A
row: mean and 95 % quantile at other inputs, the largest error found (at these inputs with any seed, or by a search with
50 solver calls of the first seed's surrogate: a search of the cavity evaluates its signal for two minutes), parameters,
seconds of training with compilation, the mean over the seeds, and what a network of fields corrects
(``base_field.py``). A network's verdict is against the best baseline's mean on that problem, win below
0.9 of it, lose above 1.1. Surrogates that do not fit a problem have a row that says why.

    python -m assay.benchmarks.learning.architectures [--quick] [--problems a,b] [--surrogates a,b] [--seeds N]
        [--seconds S] [--snapshots N] [--keep FILE] [--json]

Rows are kept in ``--keep FILE`` as they are measured: the same command goes on from there.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from ... import problem as problem_by_name
from ...run_training import errors_at
from ...solvers.problem import Problem
from ...solvers.snapshots.sample import Snapshots, sample
from ...surrogates import ARCHITECTURES, train
from ...verify.falsify import falsify
from .. import command

PROBLEMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # name, settings, and those of --quick
    "thermal-block": ("thermal-block", {"cells": 32}, {"cells": 16}),
    "lognormal-diffusion": ("lognormal-diffusion", {"cells": 32, "d": 10}, {"cells": 16, "d": 10}),
    "burgers": ("burgers", {"cells": 128, "steps": 50}, {"cells": 32, "steps": 16}),
    "elasticity": ("elasticity", {"cells": 32}, {"cells": 16}),
    "cavity": ("cavity", {"cells": 48}, {"cells": 16}),
}
NONLINEAR = ("burgers", "cavity")
BUDGET = 50  # solver calls of a search
TESTS = 128
BEATEN = ("mean", "nearest", "linear")


def one(problem: Problem, name: str, sets: list[Snapshots], seed: int, seconds: float) -> dict[str, Any]:
    """One training on the first set, and what is found of it at the second and, of the first seed, by a search."""
    data, tests = sets
    kind = ARCHITECTURES[name]
    budget = seconds if "seconds" in kind.options else None
    start = time.perf_counter()
    model = train(problem, name, data, seed=seed, seconds=budget)
    spent = time.perf_counter() - start
    errors = errors_at(problem, model, tests).errors
    start = time.perf_counter()
    model(tests.inputs)
    answer = (time.perf_counter() - start) / len(tests)
    worst = errors.max()
    if seed == 0:
        worst = max(worst, falsify(problem, model, 1e-2, BUDGET, seed=seed, draws=0, shrink=0).worst)
    return {
        "mean": float(errors.mean()),
        "p95": float(np.quantile(errors, 0.95)),
        "worst": float(worst),
        "parameters": model.parameters,
        "seconds": spent,
        "us_an_answer": 1e6 * answer,
        "warned": bool(model.training.get("warnings")),
        "corrects": str(model.training.get("base", "")),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    kept = command.Kept(options.keep, [options.quick, options.seconds, options.snapshots])
    rows: list[dict[str, Any]] = []
    for label in options.problems:
        name, settings, small = PROBLEMS[label]
        problem = problem_by_name(name, **(small if options.quick else settings))
        sets: list[Snapshots] = []
        for architecture in options.surrogates:
            why = ARCHITECTURES[architecture].misfit(problem)
            if why:
                rows.append({"problem": label, "surrogate": architecture, "why": why})
                continue
            found = []
            for seed in range(options.seeds):
                key = f"{label} {architecture} {seed}"
                if key not in kept.rows and not sets:
                    sets = [
                        sample(problem, options.snapshots, 0),
                        sample(problem, TESTS, 1_000_003, independent=True),
                    ]
                make = partial(one, problem, architecture, sets, seed, options.seconds)
                found.append(kept.row(key, make))
            whole: dict[str, Any] = {"problem": label, "surrogate": architecture, "why": ""}
            whole |= {
                key: float(np.mean([one[key] for one in found]))
                for key in found[0]
                if key not in ("warned", "corrects")
            }
            whole["worst"] = max(one["worst"] for one in found)
            whole["corrects"] = "/".join(dict.fromkeys(one["corrects"] for one in found))
            whole["warned"] = sum(one["warned"] for one in found)
            rows.append(whole)
    return {"rows": rows, "seeds": options.seeds, **verdicts(rows)}


def verdicts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Put a verdict into every row, and claims beside them."""
    measured = [row for row in rows if not row["why"]]
    asked, missed = False, []
    for label in {row["problem"] for row in measured}:
        here = {row["surrogate"]: row for row in measured if row["problem"] == label}
        dull = {name: row["mean"] for name, row in here.items() if ARCHITECTURES[name].kind == "baseline"}
        best = min(dull.values(), default=np.inf)
        for name, row in here.items():
            if ARCHITECTURES[name].kind == "baseline":
                row["verdict"] = "best baseline" if row["mean"] == best else ""
                continue
            share = row["mean"] / best
            row["verdict"] = "win" if share < 0.9 else "tie" if share <= 1.1 else "lose"
            asked |= label in NONLINEAR
            over = [other for other in BEATEN if other in dull and row["mean"] >= dull[other]]
            if label in NONLINEAR and over:
                missed.append(f"{name} on {label} is behind {', '.join(over)}")
    claim = "on the nonlinear problems every network beats mean, nearest and linear"
    return {"holds": {claim: not missed} if asked else {}, "missed": sorted(missed)}


def show(result: dict[str, Any], console: Console) -> None:
    seeds = result["seeds"]
    shown: list[dict[str, Any]] = []
    for row in result["rows"]:
        if row["why"]:
            shown.append({**dict.fromkeys(shown[0] if shown else ("problem",), ""), "problem": row["problem"]})
            shown[-1] |= {"surrogate": row["surrogate"], "verdict": row["why"]}
            continue
        shown.append(
            {
                **{key: row[key] for key in ("problem", "surrogate", "mean", "p95", "worst")},
                "parameters": str(round(row["parameters"])),
                "seconds": row["seconds"],
                "us an answer": row["us_an_answer"],
                "corrects": row["corrects"],
                "warned": row["warned"],
                "verdict": row["verdict"],
            }
        )
    console.print(command.table(f"Architectures by problem, {seeds} seed{'s' * (seeds > 1)}: relative errors", shown))
    for line in result["missed"]:
        console.print(line)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small problems, 6 seconds a network")
    parser.add_argument("--problems", default=",".join(PROBLEMS), help="some of them, with commas between")
    parser.add_argument("--surrogates", default=",".join(ARCHITECTURES), help="some of them, with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=None, help="of a network's training; 60")
    parser.add_argument("--snapshots", type=int, default=None, help="256")
    parser.add_argument("--keep", default=None, metavar="FILE", help="rows that were measured, to go on from")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    options.seconds = options.seconds or (6.0 if options.quick else 60.0)
    options.snapshots = options.snapshots or (64 if options.quick else 256)
    options.problems, options.surrogates = options.problems.split(","), options.surrogates.split(",")
    return command.finish(measure(options), show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
