"""A hundred thousand certificates against true errors: lower <= true error <= upper in every one.

Inputs: the sampling law, corners, faces and edges of the box, all inputs equal (where one reference is exact and only
rounding keeps the bound above the error), and adversarial ones, climbed to bring the bound as close to the error as
it gets; every point of the climb counts. Surrogates: ``faulty.py``, from the truth itself to 1e12 noise. Paths: full
fields with zero, one and two CG steps, and reduced coordinates with one and with all references.

    python -m assay.benchmarks.soundness.certificates [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.batching import VectorMap
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problems.thermal_block import ThermalBlock
from ...verify.certify import certify
from ...verify.proofs.reduced import ReducedBound
from .. import command
from .faulty import Fault, PodGalerkin, Pool, coefficient_faults, faults
from .true_error import Tally, TrueError, check

# blocks, cells, contrast, share of the points
PROBLEMS = (
    ((2, 2), 8, 10.0, 0.3),
    ((2, 2), 16, 100.0, 0.2),
    ((3, 3), 24, 100.0, 0.15),
    ((1, 3), 9, 1e4, 0.15),
    ((2, 2), 32, 1e3, 0.1),
    ((2, 2), 64, 100.0, 0.02),
    ((2, 2), 128, 10.0, 0.004),
)
STEPS = (0, 1, 2)


def inputs(problem: CoerciveProblem, n: int, seed: int) -> np.ndarray:
    """Half from the sampling law, the rest on corners, on lower-dimensional faces, and with all inputs equal."""
    box, rng = problem.inputs, np.random.default_rng(seed)
    d, part = box.dimension, max(n // 6, 1)
    corners = rng.integers(0, 2, (part, d)).astype(float)
    faces = rng.random((part, d))
    snapped = rng.random((part, d)) < 0.5
    faces = np.where(snapped, np.round(faces), faces)
    equal = np.repeat(rng.random((part, 1)), d, axis=1)
    law = box.sample(max(n - 3 * part, 1), seed=seed)
    return np.concatenate([law, box.from_unit(np.concatenate([corners, faces, equal]))])


def field_certificates(problem: CoerciveProblem, n: int, seed: int, steps: tuple[int, ...] = STEPS) -> dict[str, Tally]:
    """Every fault at n inputs, certified as full fields."""
    true_error, pool = TrueError(problem), Pool(problem)
    P = inputs(problem, n, seed)
    U, norms = true_error.truths(P)
    tallies: dict[str, Tally] = {}
    for name, fault in faults(problem).items():
        fields = fault(P, U, pool)
        error = true_error(P, U, norms, fields)
        for s in steps:
            tally = tallies.setdefault(f"fields, {s} steps", Tally())
            tally.add(check(certify(problem, fields, P, steps=s), error, norms, name))
    return tallies


def reduced_certificates(problem: CoerciveProblem, n: int, seed: int, modes: int = 12) -> dict[str, Tally]:
    """The same in reduced coordinates: one basis, its coefficients spoilt in every way."""
    true_error, pool = TrueError(problem), Pool(problem)
    P = inputs(problem, n, seed)
    U, norms = true_error.truths(P)
    surrogate = PodGalerkin(problem, modes, pool=pool)
    reduced = ReducedBound(problem, surrogate.basis, surrogate.coefficients)
    one, every = VectorMap(lambda p, c: reduced.bound(p, c, 1)), VectorMap(reduced.bound)
    tallies = {"reduced, one reference": Tally(), "reduced, all references": Tally()}
    for name, spoil in coefficient_faults().items():
        surrogate.spoil = spoil
        c = surrogate.coefficients(P)
        error = true_error(P, U, norms, c @ surrogate.basis.T)
        for tally, bound in zip(tallies.values(), (one, every), strict=True):
            tally.add(check(bound(P, c), error, norms, name))
    return tallies


def climbed_certificates(problem: CoerciveProblem, n: int, seed: int, chosen: tuple[str, ...]) -> dict[str, Tally]:
    """Evolution in the box towards the smallest upper / error, for each chosen fault; about n certificates."""
    true_error, pool, rng = TrueError(problem), Pool(problem), np.random.default_rng(seed)
    box, tally, known = problem.inputs, Tally(), faults(problem)
    population, rounds = 32, max(n // (32 * len(chosen)), 2)

    def gap(X: np.ndarray, fault: Fault, steps: int, name: str) -> np.ndarray:
        P = box.from_unit(X)
        U, norms = true_error.truths(P)
        fields = fault(P, U, pool)
        error = true_error(P, U, norms, fields)
        bound = certify(problem, fields, P, steps=steps)
        tally.add(check(bound, error, norms, f"climbed, {name}"))
        return np.minimum(bound.upper / error.value - 1, 1 - bound.lower / error.value)

    for name in chosen:
        X = rng.random((population, box.dimension))
        steps = int(rng.integers(0, len(STEPS)))
        value, width = gap(X, known[name], steps, name), 0.3
        for _ in range(rounds - 1):
            children = np.clip(X + width * rng.standard_normal(X.shape), 0, 1)
            new = gap(children, known[name], steps, name)
            better = new < value
            X, value = np.where(better[:, None], children, X), np.where(better, new, value)
            width *= 1.2 if better.mean() > 0.2 else 0.8
    return {"adversarial": tally}


CLIMBED = ("scaled by 1.01", "POD, 2 modes", "noise 1e-2", "nearest neighbour", "one node wrong", "scaled by 1 + 1e-8")


def measure(quick: bool, total: int = 100_000) -> dict[str, Any]:
    """All certificates, per kind of problem and path."""
    total = 2_000 if quick else total
    rows, everything, start = [], Tally(), time.perf_counter()
    for i, (blocks, cells, contrast, share) in enumerate(PROBLEMS[:2] if quick else PROBLEMS):
        problem = ThermalBlock(blocks, cells, low=contrast**-0.5, high=contrast**0.5)
        wanted = total * (0.55 if quick else share * 1.2)
        n = max(int(wanted * 0.5 / (len(STEPS) * len(faults(problem)))), 6)
        m = max(int(wanted * 0.35 / (2 * len(coefficient_faults()))), 6)
        tallies = field_certificates(problem, n, i)
        tallies |= reduced_certificates(problem, m, i)
        tallies |= climbed_certificates(problem, int(wanted * 0.15), i, CLIMBED)
        for path, tally in tallies.items():
            everything.add(tally)
            rows.append(
                {
                    "blocks": f"{blocks[0]}x{blocks[1]}",
                    "cells": cells,
                    "contrast": contrast,
                    "path": path,
                    "certificates": tally.certificates,
                    "violations": tally.violations,
                    "infinite": tally.infinite,
                    "upper/error - 1": tally.above,
                    "1 - lower/error": tally.below,
                }
            )
    return {
        "rows": rows,
        "certificates": everything.certificates,
        "violations": everything.violations,
        "worst": everything.worst[:10],
        "seconds": time.perf_counter() - start,
        "holds": {
            f"no violation in {everything.certificates} certificates": everything.violations == 0,
            f"at least {total} certificates": everything.certificates >= total,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Certificates against true errors", result["rows"]))
    for line in result["worst"]:
        console.print(line, highlight=False)
    console.print("Last two columns: the closest approaches, where the truth is known to a millionth of the error.")
    counts = f"{result['certificates']} certificates, {result['violations']} violations"
    console.print(f"{counts}, {result['seconds']:.0f} s", highlight=False)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
