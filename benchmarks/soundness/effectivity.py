"""How sharp the bounds are: upper bound / true error and lower bound / true error, worst of several surrogates.

Counted only where the error is above a hundred floors (the share of the bound that is rounding): below, sharpness means
nothing. The default bound takes two CG steps, preconditioned by one multigrid cycle, and one reference solve.

    python -m assay.benchmarks.soundness.effectivity [--quick] [--json]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.batching import VectorMap
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problems.thermal_block import ThermalBlock
from ...verify.certify import STEPS, certify
from ...verify.proofs.reduced import ReducedBound
from .. import command
from .certificates import inputs
from .faulty import PodGalerkin, Pool, coefficient_faults, faults
from .true_error import Interval, TrueError

CASES = (((2, 2), 10.0), ((2, 2), 100.0), ((3, 3), 100.0))
FLOORS = 100
SURROGATES = (
    "POD, 2 modes",
    "POD, 8 modes",
    "scaled by 1.01",
    "shifted inputs",
    "noise 1e-2",
    "nearest neighbour",
    "zero",
)
# noise of every frequency is what no reference sees: it is counted, but a trained surrogate never looks like it
ROUGH = ("one node wrong",)


def _quotients(bound: Any, error: Interval) -> tuple[np.ndarray, np.ndarray]:
    """(upper / error, lower / error) where the error is above FLOORS floors."""
    counted = error.value > FLOORS * np.asarray(bound.floor)
    upper, lower = (np.asarray(x)[counted] / error.value[counted] for x in (bound.upper, bound.lower))
    return upper, lower


def effectivities(problem: CoerciveProblem, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row per bound: median and maximum over all surrogates and inputs, and the worst surrogate's name."""
    true_error, pool = TrueError(problem), Pool(problem)
    P = inputs(problem, n, seed)
    U, norms = true_error.truths(P)
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    solves: dict[str, float] = {}
    known = faults(problem)
    for name in (*SURROGATES, *ROUGH):
        fields = known[name](P, U, pool)
        error = true_error(P, U, norms, fields)
        for label, steps in (("one reference", 0), ("default", STEPS)):
            certificate = certify(problem, fields, P, steps=steps)
            found.setdefault(label, {})[name] = _quotients(certificate, error)
            solves[label] = certificate.cost["reference_solves"] / len(P)
    surrogate = PodGalerkin(problem, 16, pool=pool)
    reduced = ReducedBound(problem, surrogate.basis, surrogate.coefficients)
    every = VectorMap(reduced.bound)
    for name, spoil in coefficient_faults().items():
        surrogate.spoil = spoil
        c = surrogate.coefficients(P)
        error = true_error(P, U, norms, c @ surrogate.basis.T)
        found.setdefault("reduced, all references", {})[name] = _quotients(every(P, c), error)
    rows = []
    for label, by_surrogate in found.items():
        upper = np.concatenate([u for u, _ in by_surrogate.values()])
        lower = np.concatenate([low for _, low in by_surrogate.values()])
        worst = max(by_surrogate, key=lambda name: by_surrogate[name][0].max(initial=0.0))
        rows.append(
            {
                "bound": label,
                "counted": len(upper),
                "median": float(np.median(upper)),
                "max": float(upper.max()),
                "worst surrogate": worst,
                "lower, median": float(np.median(lower)),
                "lower, min": float(lower.min()),
                "solves": solves.get(label, 0.0),
            }
        )
    return rows


def measure(quick: bool) -> dict[str, Any]:
    cells, n = (12, 30) if quick else (48, 240)
    rows: list[dict[str, Any]] = []
    for blocks, contrast in CASES[: 2 if quick else 3]:
        problem = ThermalBlock(blocks, cells, low=contrast**-0.5, high=contrast**0.5)
        label = {"blocks": f"{blocks[0]}x{blocks[1]}", "contrast": contrast, "cells": cells}
        rows += [label | row for row in effectivities(problem, n)]

    def of(blocks: str, contrast: float, bound: str) -> list[dict[str, Any]]:
        return [r for r in rows if (r["blocks"], r["contrast"], r["bound"]) == (blocks, contrast, bound)]

    def highest(key: str, *case: Any) -> float:
        return max(r[key] for r in of(*case))

    default = [r for r in rows if r["bound"] == "default"]
    holds = {
        "2x2, contrast 10, one reference: max <= 2": highest("max", "2x2", 10.0, "one reference") <= 2,
        "2x2, contrast 10, default: max <= 1.05": highest("max", "2x2", 10.0, "default") <= 1.05,
        "2x2, contrast 100, default: median <= 1.05": highest("median", "2x2", 100.0, "default") <= 1.05,
        "2x2, contrast 100, default: max <= 1.15": highest("max", "2x2", 100.0, "default") <= 1.15,
        "at most four reference solves for a full field": all(r["solves"] <= 4 for r in default),
        "the lower bound is at least 0.9 of the error after two CG steps": all(r["lower, min"] >= 0.9 for r in default),
    }
    if not quick:
        holds["3x3, contrast 100, default: max <= 1.2"] = highest("max", "3x3", 100.0, "default") <= 1.2
    return {"rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Effectivity: bound / true error", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
