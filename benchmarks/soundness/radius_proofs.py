"""Bounds beyond the coercive class against true errors: how many lie outside, how sharp the others are, what they cost.

Fields good and awful at inputs from the sampling law and from corners and faces of the box: the truth, the truth moved
by 1e-12 to 10 times its size by scaling, towards other inputs' solutions, by rough noise; zero. A true error is known
to what the truth's own bound leaves; a violation is a bound that misses that whole interval.

    python -m assay.benchmarks.soundness.radius_proofs [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.problems.advection_diffusion import AdvectionDiffusion
from ...solvers.problems.bratu import Bratu
from ...solvers.problems.burgers import Burgers
from ...solvers.problems.heat import Heat
from ...solvers.problems.helmholtz import Helmholtz
from ...solvers.problems.hyperelastic import Hyperelastic
from ...verify.certify import STEPS, certify
from .. import command
from .true_error import Interval, Tally, TrueError, check

EFFORTS = (0, STEPS)
FLOORS = 100  # sharpness is told of errors above so many floors
FLOWS: dict[str, dict[str, Any]] = {
    "fitted": {},
    "upwind": {"scheme": "upwind", "data": "step"},
    "central": {"scheme": "central"},
    "fitted, thin, all round": {
        "data": "step", "angle": (-np.pi, np.pi), "speed": (0.0, 2.0), "diffusion": (1e-4, 1.0)
    },
    "central, thin, all round": {
        "scheme": "central", "angle": (-np.pi, np.pi), "speed": (0.0, 2.0), "diffusion": (1e-3, 1.0)
    },
}  # fmt: skip
PROBLEMS: tuple[tuple[str, Problem, Problem, float], ...] = (  # and the same small; its share of the fields
    ("helmholtz", Helmholtz(), Helmholtz(cells=16), 1.0),
    ("helmholtz, undamped", Helmholtz(damping=(0.0, 0.1)), Helmholtz(cells=16, damping=(0.0, 0.1)), 1.0),
    ("bratu", Bratu(), Bratu(cells=16), 0.5),
    (
        "bratu to 0.99 of the fold",
        Bratu(lam=(6.0, 6.74), anisotropy=(0.99, 1.01)),
        Bratu(cells=16, lam=(6.0, 6.7)),
        0.5,
    ),
    ("bratu, 1D", Bratu(dimension=1), Bratu(dimension=1, cells=32), 0.5),
    ("heat, implicit Euler", Heat(), Heat(cells=8, steps=4), 0.25),
    ("heat, Crank-Nicolson", Heat(scheme="crank-nicolson"), Heat(cells=8, steps=4, scheme="crank-nicolson"), 0.25),
    ("burgers", Burgers(), Burgers(cells=16, steps=8), 0.5),
    (
        "burgers, implicit Euler, graded",
        Burgers(scheme="implicit-euler", grading=3.0),
        Burgers(cells=16, steps=8, scheme="implicit-euler", grading=3.0),
        0.25,
    ),
    ("burgers, periodic", Burgers(boundary="periodic"), Burgers(cells=16, steps=8, boundary="periodic"), 0.25),
    ("hyperelastic, stretch", Hyperelastic(cells=16), Hyperelastic(cells=4), 0.25),
    ("hyperelastic, shear", Hyperelastic("shear", cells=16), Hyperelastic("shear", cells=4), 0.25),
    (
        "hyperelastic, contrast 100, compressed",
        Hyperelastic(cells=16, high=100.0, amount=(0.75, 1.6)),
        Hyperelastic(cells=4, high=100.0, amount=(0.75, 1.6)),
        0.1,
    ),
    *(
        (f"advection-diffusion, {name}", AdvectionDiffusion(**settings), AdvectionDiffusion(cells=16, **settings), 0.4)
        for name, settings in FLOWS.items()
    ),
)


def inputs(problem: Problem, n: int, seed: int) -> np.ndarray:
    """Two thirds from the sampling law, the rest on corners and faces."""
    box, rng = problem.inputs, np.random.default_rng(seed)
    edge = rng.random((max(n // 3, 1), box.dimension))
    edge = np.where(rng.random(edge.shape) < 0.6, np.round(edge), edge)
    return np.concatenate([box.sample(n - len(edge), seed=seed), box.from_unit(edge)])


def fields(problem: Problem, P: np.ndarray, U: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """By name, [n, N], prescribed values in place."""
    rng = np.random.default_rng(seed)
    size = np.abs(U).max(axis=1, keepdims=True)
    rough = size * rng.standard_normal(U.shape)
    smooth = np.roll(U, 1, axis=0)  # another input's solution
    zero = np.zeros_like(U)
    made = {
        "the truth": U,
        **{f"scaled by 1 + {a:g}": (1 + a) * U for a in (1e-12, 1e-8, 1e-4, 1e-2, 0.3, 9.0)},
        **{f"towards another, {a:g}": (1 - a) * U + a * smooth for a in (1e-6, 1e-3, 1e-1, 1.0)},
        **{f"rough, {a:g}": U + a * rough for a in (1e-10, 1e-6, 1e-3, 1e-1, 1e3)},
        "zero": zero,
        "minus the truth": -U,
    }
    return {
        name: np.stack([np.asarray(problem.prescribe(p, v)) for p, v in zip(P, V, strict=True)])
        for name, V in made.items()
    }


def measured(name: str, problem: Problem, n: int, seed: int) -> list[dict[str, Any]]:
    """A row for every effort."""
    true_error, P = TrueError(problem), inputs(problem, n, seed)
    solved = np.isfinite(np.asarray(problem.attempt_batch(P).u)).all(axis=1)
    P = P[solved]
    start = time.perf_counter()
    problem.attempt_batch(P)
    solve = (time.perf_counter() - start) / len(P)
    U, norms = true_error.truths(P)
    kinds = fields(problem, P, U, seed)
    rows = []
    for effort in EFFORTS:
        tally, ratios, spent = Tally(), [], 0.0
        for kind, V in kinds.items():
            error: Interval = true_error(P, U, norms, V)
            certify(problem, V[:1], P[:1], steps=effort)  # compiled
            start = time.perf_counter()
            found = certify(problem, V, P, steps=effort)
            spent += time.perf_counter() - start
            tally.add(check(found, error, norms, f"{name}, {kind}, effort {effort}"))
            counted = np.isfinite(found.relative_upper) & (error.value > FLOORS * found.floor)
            counted &= error.value < 0.3 * norms.value  # of fields that anybody might answer with
            ratios.append((found.relative_upper * norms.value / np.maximum(error.value, 1e-300))[counted])
        ratio = np.concatenate(ratios)
        bounded = tally.certificates - tally.infinite
        rows.append(
            {
                "problem": name,
                "effort": effort,
                "fields": tally.certificates,
                "violations": tally.violations,
                "bounded": bounded,
                "median": float(np.median(ratio)) if len(ratio) else float("nan"),
                "p95": float(np.quantile(ratio, 0.95)) if len(ratio) else float("nan"),
                "max": float(ratio.max(initial=0.0)),
                "ms a bound": 1e3 * spent / tally.certificates,
                "ms a solve": 1e3 * solve,
                "worst": "; ".join(tally.worst[:1]),
            }
        )
        command.progress(f"{name}, effort {effort}: {tally.certificates} fields, {tally.violations} violations")
    return rows


def measure(quick: bool, total: int = 10_000) -> dict[str, Any]:
    """About ``total`` certificates, or more, of every class."""
    rows: list[dict[str, Any]] = []
    for i, (name, problem, small, share) in enumerate(PROBLEMS):
        n = 12 if quick else max(int(share * total / 18), 12)
        rows += measured(name, small if quick else problem, n, i)
    return {"rows": rows, "holds": {"no bound misses a true error": all(row["violations"] == 0 for row in rows)}}


def show(result: dict[str, Any], console: Console) -> None:
    rows = [{key: value for key, value in row.items() if key != "worst"} for row in result["rows"]]
    console.print(command.table("Bounds beyond the coercive class: relative upper bound / relative error", rows))
    for row in result["rows"]:
        if row["worst"]:
            console.print(row["worst"])


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
