"""What truth costs, against other people's solvers: `python -m assay.benchmarks.peers.truth`, or `assay bench --truth`.

One solve of the thermal block, of lognormal diffusion, of hard fields and of elasticity on several grids
(``truth_peers.py`` says what is compared and how); approximate truths of the thermal block; the price of a gradient.
The table goes to stderr, `--json` writes the figures to stdout. Snapshots per minute of every problem:
``throughput.py``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.console import Console
from rich.table import Table

from ...solvers import ThermalBlock
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.discretisations import q1_multigrid as multigrid
from ...solvers.problems.elasticity import Elasticity
from ...solvers.problems.lognormal_diffusion import LognormalDiffusion
from ...terminal.output import columns
from .truth_peers import RESIDUAL, Method, compare, take_turns

WANTED_GRADIENT = 2.5  # solves
BATCH = 64
HARD = "hard: "
WANTED = {  # (problem, cells): how many times the fastest of the others should take
    ("thermal-block", 128): 10.0,
    ("lognormal-diffusion", 128): 4.0,
    ("lognormal-diffusion", 256): 8.0,
    ("elasticity", 128): 3.0,
}
WANTED_HARD = 1 / 1.2
COMMON = ("scipy", "pyamg")  # what the thermal block's goal is about: what everybody has


def _nested(problem: ThermalBlock, cycles: int, p: jax.Array) -> jax.Array:
    n = problem.cells
    b = jnp.full((n - 1, n - 1), 1 / n**2)
    return jnp.pad(multigrid.full_multigrid(problem.cell_weights(p), b, cycles), 1).reshape(-1)


def _loosened(problem: ThermalBlock, tolerance: float, p: jax.Array) -> jax.Array:
    return problem.solve_jax(p, tolerance).u


def _wait(run: Callable[[Any], Any], data: Any) -> Any:
    return jax.block_until_ready(run(data))


def approximate_truths(problem: ThermalBlock, P: np.ndarray, repeats: int) -> list[dict[str, Any]]:
    """What less accurate truths cost, single and per row of a batch, with their worst error in the energy norm."""
    n = problem.cells
    rows = jnp.asarray(problem.inputs.sample(BATCH, seed=1))
    exact = problem.solve_batch(rows)
    kinds: dict[str, Callable[[Any], Any]] = {}
    for cycles in (1, 2, 3):
        kinds[f"full multigrid, {cycles} cycle{'s' * (cycles > 1)}"] = partial(_nested, problem, cycles)
    for tolerance in (1e-1, 1e-2, 1e-4):
        kinds[f"multigrid + CG, residual {tolerance:.0e}"] = partial(_loosened, problem, tolerance)
    error = jax.jit(lambda P, U, V: lax.map(lambda row: problem.relative_error(*row), (P, U, V)))
    single, batch, worst = [], [], []
    for name, solve in kinds.items():
        one, many = jax.jit(solve), jax.jit(partial(lax.map, solve))
        single.append(Method(name, jnp.asarray, partial(_wait, one)))
        batch.append(Method(name, lambda _: rows, partial(_wait, many)))
        worst.append(float(jnp.max(error(rows, many(rows), exact))))
    take_turns(single, P, repeats)
    take_turns(batch, P, max(3, repeats // 2))
    return [
        {
            "cells": n,
            "method": one.name,
            "best_ms": 1e3 * one.best,
            "median_ms": 1e3 * one.median,
            "batch_best_ms_per_row": 1e3 * many.best / BATCH,
            "batch_median_ms_per_row": 1e3 * many.median / BATCH,
            "batch_processor_ms_per_row": 1e3 * min(many.processor_times) / BATCH,
            "worst_error": w,
        }
        for one, many, w in zip(single, batch, worst, strict=True)
    ]


def gradient_cost(problem: ThermalBlock, P: np.ndarray, repeats: int) -> dict[str, Any]:
    """The gradient of weight . u(p) in units of evaluating it, and how well adjoint and tangent agree."""
    rng = np.random.default_rng(0)
    weight = jnp.asarray(rng.standard_normal(problem.size))

    def functional(p: Any) -> Any:
        return weight @ problem.solve_jax(p, RESIDUAL).u

    value, slope = jax.jit(functional), jax.jit(jax.grad(functional))
    methods = [
        Method("value", jnp.asarray, partial(_wait, value)),
        Method("gradient", jnp.asarray, partial(_wait, slope)),
    ]
    take_turns(methods, P, repeats)
    push = jax.jit(lambda p, dp: jax.jvp(lambda p: problem.solve_jax(p, RESIDUAL).u, (p,), (dp,))[1])
    mismatch = 0.0
    for p in P:
        dp = jnp.asarray(rng.standard_normal(problem.inputs.dimension))
        du, gradient = push(jnp.asarray(p), dp), slope(jnp.asarray(p))
        size = jnp.linalg.norm(weight) * jnp.linalg.norm(du)
        mismatch = max(mismatch, float(abs(weight @ du - gradient @ dp) / size))
    value_, slope_ = methods
    return {
        "cells": problem.cells,
        "solve_best_ms": 1e3 * value_.best,
        "gradient_best_ms": 1e3 * slope_.best,
        "solves_best": slope_.best / value_.best,
        "solves_median": slope_.median / value_.median,
        "adjoint_against_tangent": mismatch,
    }


def cases(cells: list[int]) -> Iterator[tuple[str, CoerciveProblem, np.ndarray]]:
    """(label, problem, three inputs) of every comparison; elasticity up to 128 cells, hard fields from 64."""
    for n in cells:
        block = ThermalBlock(cells=n)
        yield "thermal-block", block, block.inputs.sample(3, seed=0)
    for n in cells:
        smooth = LognormalDiffusion(d=16 if n >= 16 else 4, sigma=1.0, length=0.1, cells=n)
        yield "lognormal-diffusion", smooth, smooth.inputs.sample(3, seed=0)
    for n in (n for n in cells if n <= 128):
        plate = Elasticity(cells=n)
        yield "elasticity", plate, plate.inputs.sample(3, seed=0)
    for n in (n for n in cells if n >= 64):
        free = ThermalBlock(blocks=(n, n), cells=n, low=1e-12, high=1e12)  # every cell an input
        rough = np.exp(np.log(1000) * np.random.default_rng(0).random((3, n * n)))
        yield HARD + "per cell 1:1000", free, rough
        yield HARD + "sigma 3, length .02", free, np.stack([exponential_field(n, 3.0, 0.02, seed) for seed in range(3)])


def exponential_field(n: int, sigma: float, length: float, seed: int) -> np.ndarray:
    """e^g on n x n cells with the full separable exponential covariance, no expansion cut off, [n^2]."""
    middles = (np.arange(n) + 0.5) / n
    root = np.linalg.cholesky(np.exp(-np.abs(middles[:, None] - middles) / length))
    return np.exp(sigma * (root @ np.random.default_rng(seed).standard_normal((n, n)) @ root.T)).ravel()


def measure(cells: list[int], repeats: int, progress: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Everything, as JSON values."""
    report: dict[str, Any] = {"residual": RESIDUAL, "repeats": repeats, "batch": BATCH, "solvers": [], "notes": []}
    report["machine"] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    for label, problem, P in cases(cells):
        progress(f"{label} at {problem.settings['cells']} x {problem.settings['cells']}")
        rows, missing = compare(problem, P, repeats, label)
        report["solvers"] += rows
        report["notes"] += [note for note in missing if note not in report["notes"]]
    middle = ThermalBlock(cells=min(cells, key=lambda n: abs(n - 128)))
    P = middle.inputs.sample(3, seed=0)
    load, cores = report["machine"]["load"], report["machine"]["cores"]
    if load is not None and load > cores:
        report["notes"].append(
            f"the machine was busy (load {load:.1f} on {cores} cores): long runs are interrupted more than short ones, "
            "so trust the processor times, or measure again when it is idle"
        )
    progress("approximate truths")
    report["approximate"] = approximate_truths(middle, P, repeats)
    progress("gradient")
    report["gradient"] = gradient_cost(middle, P, repeats)
    return report


def verdicts(report: dict[str, Any]) -> list[str]:
    """What was wanted and what was found, in words."""
    lines = []
    for label, n in dict.fromkeys((row["problem"], row["cells"]) for row in report["solvers"]):
        rivals = [row for row in report["solvers"] if (row["problem"], row["cells"]) == (label, n)][1:]
        best = min(rivals, key=lambda row: row["best_ms"])
        median = min(rivals, key=lambda row: row["median_ms"])
        processor = min(rivals, key=lambda row: row["best_processor_ms"])["times_ours_processor"]
        wanted = WANTED_HARD if label.startswith(HARD) else WANTED.get((label, n))
        goal = ""
        if wanted is not None:
            judged = [row for row in rivals if label != "thermal-block" or row["method"].startswith(COMMON)]
            found = min(min(row["times_ours_best"], row["times_ours_median"]) for row in judged)
            whom = " over SuperLU and pyamg" if label == "thermal-block" else ""
            goal = f"; wanted {wanted:.2g}{whom}, found {found:.2g}: {'met' if found >= wanted else 'MISSED'}"
        lines.append(
            f"{label}, {n} x {n}: {best['times_ours_best']:.1f} times faster than {best['method']} (best), "
            f"{median['times_ours_median']:.1f} times than {median['method']} (median), {processor:.1f} times less "
            f"processor time{goal}"
        )
    g = report["gradient"]
    met = "met" if g["solves_best"] <= WANTED_GRADIENT else "MISSED"
    lines.append(
        f"gradient at {g['cells']}: {g['solves_best']:.2f} solves (best), {g['solves_median']:.2f} (median); "
        f"wanted {WANTED_GRADIENT:g}: {met}"
    )
    met = "met" if g["adjoint_against_tangent"] <= 1e-8 else "MISSED"
    lines.append(f"adjoint against tangent: {g['adjoint_against_tangent']:.1e}; wanted 1e-8: {met}")
    return lines


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(title=f"One solve to a true residual of {RESIDUAL:.0e}")
    headings = (
        "problem",
        "cells",
        "method",
        "best ms",
        "median",
        "processor",
        "times ours",
        "true residual",
        "first s",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("problem", "method") else "right")
    for row in report["solvers"]:
        first = "" if row["first_call_s"] is None else f"{row['first_call_s']:.1f}"
        timing = [f"{row[key]:.2f}" for key in ("best_ms", "median_ms", "best_processor_ms")]
        timing.append(f"{row['times_ours_best']:.1f}")
        table.add_row(row["problem"], str(row["cells"]), row["method"], *timing, f"{row['true_residual']:.1e}", first)
    console.print(table)
    table = Table(title=f"Less accurate truths; batch of {report['batch']}")
    for heading in ("cells", "method", "best ms", "median", "batch ms/row", "processor", "worst relative error"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in report["approximate"]:
        figures = [f"{row[key]:.2f}" for key in ("best_ms", "median_ms", "batch_best_ms_per_row")]
        figures.append(f"{row['batch_processor_ms_per_row']:.2f}")
        table.add_row(str(row["cells"]), row["method"], *figures, f"{row['worst_error']:.1e}")
    console.print(table)
    for line in (*verdicts(report), *report["notes"]):
        console.print(line, highlight=False)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m assay.benchmarks.peers.truth", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 128, 256], help="grids (default: 64 128 256)")
    parser.add_argument("--repeats", type=int, default=9, help="turns per method, at least 7 (default: 9)")
    parser.add_argument("--json", action="store_true", help="write the figures to stdout")
    options = parser.parse_args(arguments)
    if options.repeats < 7:
        parser.error("--repeats must be at least 7, or a median says little")
    if any(n < 4 or n % 2 for n in options.cells):
        parser.error("--cells must be even and at least 4: the problem has 2 x 2 blocks")
    if "OMP_NUM_THREADS" not in os.environ and arguments is None:
        # Read when numpy is loaded, so start again: a second BLAS thread beside JAX's own disturbs every timing.
        command = [sys.executable, "-m", "assay.benchmarks.peers.truth", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})
    console = Console(stderr=True, width=columns(sys.stderr))
    with console.status("starting") as status:
        report = measure(options.cells, options.repeats, status.update)
    show(report, console)
    if options.json:
        print(json.dumps({**report, "verdicts": verdicts(report)}, indent=1))


if __name__ == "__main__":
    main()
