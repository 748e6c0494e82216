"""Proved intervals of outputs: whether they hold the truth's, how wide they are, what they cost beside a field's bound.

Fields of size 1e-3 to 1e-1 wrong, towards another input's solution and by a rough pattern, at inputs from the sampling
law. Coercive problems have intervals by the dual solution, whose width is a product of two errors: relative to the
output's size it is compared with the square of the relative bound of the field. The others have one by a radius, after
polishing. The truth's output is known to what its own interval leaves; a violation is an interval that misses all of
that. Times are of a batch, compiled, in one run.

    python -m assay.benchmarks.outputs.intervals [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problem import Problem
from ...solvers.problems.advection_diffusion import AdvectionDiffusion
from ...solvers.problems.cavity import Cavity
from ...solvers.problems.elasticity import Elasticity
from ...solvers.problems.thermal_block import ThermalBlock
from ...verify.certify import certify
from .. import command

PROBLEMS: dict[str, tuple[Problem, Problem]] = {  # and the same small
    "thermal block": (ThermalBlock(), ThermalBlock(cells=8)),
    "elasticity": (Elasticity(), Elasticity(cells=4)),
    "advection-diffusion": (AdvectionDiffusion(), AdvectionDiffusion(cells=8)),
    "cavity, Re 10 to 300": (Cavity(reynolds=(10.0, 300.0)), Cavity(cells=16, reynolds=(10.0, 60.0))),
}
INPUTS = 200
TIMED = 64  # rows
REPEATS = 5
RATIO, WIDTH, PRICE = 2.5, 1e-4, 2.0  # what is claimed


def fields(problem: Problem, truth: np.ndarray, P: np.ndarray, seed: int) -> np.ndarray:
    """Truths with errors of 1e-3 to 1e-1 of their size, half of them towards others, half in a rough pattern."""
    rng = np.random.default_rng(seed)
    share = 10 ** rng.uniform(-3, -1, (len(P), 1))
    other = np.roll(truth, 1, axis=0) - truth
    rough = truth * np.sin(rng.uniform(0.2, 2, (len(P), 1)) * np.arange(problem.size))
    return truth + share * np.where(np.arange(len(P))[:, None] % 2 == 0, other, rough)


def seconds(*asked: Callable[[], Any]) -> list[float]:
    """Of one call of each, the least of several, in turns."""
    spent: list[list[float]] = [[] for _ in asked]
    for _ in range(REPEATS + 1):  # the first of each compiles
        for ask, mine in zip(asked, spent, strict=True):
            start = time.perf_counter()
            ask()
            mine.append(time.perf_counter() - start)
    return [min(mine[1:]) for mine in spent]


def measured(name: str, problem: Problem, count: int) -> list[dict[str, Any]]:
    """A row for every output of a problem."""
    P = problem.inputs.from_law(np.random.default_rng(7).random((count, problem.inputs.dimension)))
    truth = np.asarray(problem.solve_batch(P, 1e-13))
    U = fields(problem, truth, P, 3)
    few = slice(0, TIMED)
    rows = []
    for output in problem.outputs:
        command.progress(f"{name}: {output}")
        found, known = certify(problem, U, P, output=output), certify(problem, truth, P, output=output, steps=0)
        low, high = found.output_lower, found.output_upper
        missed = ~((low <= known.output_upper) & (known.output_lower <= high))
        zero = ((known.output_lower <= 0) & (known.output_upper >= 0)).all()  # by symmetry: no relative width
        width = (high - low) / (1.0 if zero else np.abs(known.output_value))
        ratio = np.zeros(1) if zero else width / found.relative_upper**2
        price, dear = seconds(
            lambda: certify(problem, U[few], P[few]),
            lambda output=output: certify(problem, U[few], P[few], output=output),  # type: ignore[misc]
        )
        rows.append(
            {
                "problem": name,
                "output": f"{output} (zero: absolute)" if zero else output,
                "missed": int(missed.sum()),
                "unbounded": int((~np.isfinite(high - low)).sum()),
                "width median": float(np.median(width)),
                "width max": float(np.max(width)),
                "of the square, max": float(np.max(ratio)),
                "ms a field": 1e3 * price / min(TIMED, count),
                "ms with the output": 1e3 * dear / min(TIMED, count),
                "times": dear / price,
            }
        )
    return rows


def measure(quick: bool) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for name, (full, small) in PROBLEMS.items():
        rows += measured(name, small if quick else full, 24 if quick else INPUTS)
    coercive = {name for name, (problem, _) in PROBLEMS.items() if isinstance(problem, CoerciveProblem)}
    product = [row for row in rows if row["problem"] in coercive]
    radius = [row for row in rows if row["problem"] not in coercive]
    return {
        "rows": rows,
        "holds": {
            "every interval holds the truth's output": not any(row["missed"] or row["unbounded"] for row in rows),
            f"coercive: width at most {RATIO} times the square of the field's bound": all(
                row["of the square, max"] <= RATIO for row in product
            ),
            f"others: width at most {WIDTH:g} of the output, after polishing": all(
                row["width max"] <= WIDTH for row in radius
            ),
            f"at most {PRICE:g} times the field's bound": quick or all(row["times"] <= PRICE for row in rows),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Intervals of outputs", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
