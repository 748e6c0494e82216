"""Proofs over whole boxes: shares certified, boxes, seconds, and how close the upper end comes to the lower.

tanh networks of 2 x 32 in a POD basis, trained for a fixed number of steps; blocks and moduli have contrast 10.
``tolerance``: 1.2 times the largest error that falsification found, unless told otherwise. ``violations`` counts
sampled inputs whose true error exceeds the bound of their leaf. Seconds do not hold the preparation, which has a column
of its own: compilation and, where bounds stand on fluxes, their solves.

    python -m assay.benchmarks.soundness.boxes [--only goal|ratio|quantile|smooth|large|lognormal] [--quick] [--json]

goal: d = 2, 3, 4 and elasticity with three moduli; ratio: how close to 1 in 60 s; quantile: the tolerance that 90 % of
the inputs meet, 30 s; smooth: training for provability; large: d = 5 and 6, five minutes each; lognormal: one
coefficient per cell, d = 2 and 3, at 1.2 times the largest error and at the tolerance that 90 % of the inputs meet.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problems.elasticity import Elasticity
from ...solvers.problems.lognormal_diffusion import LognormalDiffusion
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates.training.train import train
from ...verify.boxes.trust_map import TrustMap
from ...verify.certify_box import certify_box
from ...verify.falsify import falsify
from .. import command
from .true_error import TrueError

LOW, HIGH = 10**-0.5, 10**0.5
PARTS = ("goal", "ratio", "quantile", "smooth", "large", "lognormal")


class Case(NamedTuple):
    """A problem, what is asked of its proof, and how its surrogate is trained."""

    problem: CoerciveProblem
    label: str
    seconds: float = 60.0
    ratio: float | None = None
    tolerance: float | None = None  # None: 1.2 times the largest error found
    quantile: float | None = None  # or the tolerance that this share of sampled inputs meets
    smoothness: float = 0.0
    everywhere: bool = False  # sample the box evenly


def blocks(bx: int, by: int, cells: int) -> tuple[CoerciveProblem, str]:
    """A thermal block of contrast 10, and what its rows are called."""
    return ThermalBlock((bx, by), cells, low=LOW, high=HIGH), f"{bx}x{by} blocks"


def cases(part: str, quick: bool) -> list[Case]:
    """The proofs of one of ``PARTS``; the module's docstring says what each is for."""
    small = [blocks(2, 1, 16)] if quick else [blocks(2, 1, 32), blocks(3, 1, 36), blocks(2, 2, 32)]
    if part == "goal":
        solid = Elasticity(blocks=(3, 1), cells=6 if quick else 18, low=LOW, high=HIGH)
        return [Case(*x, seconds=60) for x in [*small, (solid, "elasticity 3x1")]]
    if part == "ratio":
        return [Case(*x, seconds=5 if quick else 60, ratio=1.0001) for x in small]
    if part == "quantile":
        return [Case(*x, seconds=30, quantile=0.9) for x in small[:2]]
    if part == "smooth":
        problem, label = small[-1]
        return [Case(problem, label, 60, tolerance=5e-3, smoothness=s) for s in (0.0, 1e-10, 1e-9, 1e-8)]
    if part == "lognormal":
        fields = [(2, 8)] if quick else [(2, 32), (3, 32), (2, 64)]
        media = [(LognormalDiffusion(d=d, cells=n), f"d = {d}, {n} cells") for d, n in fields]
        return [Case(*x, seconds=60, quantile=q, everywhere=True) for q in (None, 0.9) for x in media]
    five = [blocks(5, 1, 40), blocks(3, 2, 36)]
    return [Case(*x, seconds=10 if quick else 300) for x in (five[:1] if quick else five)]


def measure_case(case: Case, quick: bool) -> dict[str, Any]:
    """Train the surrogate, prove what can be proved, and look for true errors above the bounds."""
    problem = case.problem
    surrogate = train(
        problem,
        "pod-mlp",
        sample(problem, 128 if quick else 256, seed=0),
        widths=(32, 32),
        steps=200 if quick else 1500,
        smoothness=case.smoothness,
    )
    count = 500 if quick else 5000
    if case.everywhere:  # not by the sampling law, which leaves the corners out
        P = problem.inputs.from_unit(np.random.default_rng(9).random((count, problem.inputs.dimension)))
    else:
        P = problem.inputs.sample(count, seed=9)
    truth = TrueError(problem)
    U, norms = truth.truths(P)
    error = truth(P, U, norms, np.asarray(surrogate(P)))
    relative = error.value / norms.value
    worst = max(falsify(problem, surrogate, 1e-12, 60, seed=0).worst, float(relative.max()))
    if case.quantile is not None:
        tolerance = float(np.quantile(relative, case.quantile))
    else:
        tolerance = 1.2 * worst if case.tolerance is None else case.tolerance
    start = time.perf_counter()
    trust = certify_box(problem, surrogate, tolerance, case.seconds, ratio=case.ratio)
    total = time.perf_counter() - start
    return {
        "case": case.label,
        "d": problem.inputs.dimension,
        "smoothness": case.smoothness,
        "worst found": worst,
        **columns(trust, total),
        "boxes/s": trust.evaluated / trust.seconds,
        "violations": int((~(error.low / norms.high <= trust.relative_upper_at(P))).sum()),  # NaN, too
    }


def columns(trust: TrustMap, total: float) -> dict[str, float]:
    """Of a map that took ``total`` seconds in all."""
    return {
        "tolerance": trust.tolerance,
        "certified": trust.certified_volume,
        "falsified": trust.falsified_volume,
        "boxes": trust.boxes,
        "seconds": trust.seconds,
        "preparation": total - trust.seconds,
        "lower": trust.relative_lower,
        "upper": trust.relative_upper,
        "upper/lower": trust.relative_upper / trust.relative_lower,
    }


def claims(part: str, rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What the rows of a part are to show, and whether they do."""
    holds = {f"{part}: no bound is violated": all(r["violations"] == 0 for r in rows)}
    if part == "goal":
        thermal = [r for r in rows if r["case"].endswith("blocks")]
        solid = [r for r in rows if not r["case"].endswith("blocks")]
        holds["goal: all of the volume certified"] = all(r["certified"] == 1 for r in rows)
        holds["goal: thermal block within 1000 boxes"] = all(r["boxes"] <= 1000 for r in thermal)
        holds["goal: thermal block within 10 s"] = all(r["seconds"] <= 10 for r in thermal)
        holds["goal: elasticity within 60 s"] = all(r["seconds"] <= 60 for r in solid)
    if part == "lognormal":
        holds["lognormal: certified all over above the largest error"] = all(
            r["certified"] == 1 for r in rows if r["tolerance"] > r["worst found"]
        )
    if part == "quantile":
        holds["quantile: at least 0.8 certified"] = all(r["certified"] >= 0.8 for r in rows)
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--quick", action="store_true", help="small problems, seconds")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of tables")
    options = parser.parse_args()
    result: dict[str, Any] = {"rows": [], "holds": {}}
    for part in [options.only] if options.only else PARTS:
        rows = []
        for case in cases(part, options.quick):
            rows.append({"part": part} | measure_case(case, options.quick))
            command.progress(f"{part}: {case.label} done")
        result["rows"] += rows
        result["holds"] |= claims(part, rows)
    return command.finish(result, show, "-" if options.json else None)


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Proofs over boxes", result["rows"]))


if __name__ == "__main__":
    sys.exit(main())
