"""What one truth solve of the thermal block costs, against other people's solvers: `python -m assay.benchmarks.truth`.

Every solver gets the same matrices and has to reach the same true residual, which is recomputed here. Not counted:
assembly (theirs) and compilation (ours, shown apart). Counted: set-up and solve. All methods take turns, so that
whatever else the machine does meets all of them; best and median over the turns. The table goes to stderr, `--json`
writes the figures to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg as spla
from jax import lax
from rich.console import Console
from rich.table import Table

from ..solvers import ThermalBlock, multigrid

RESIDUAL = 1e-10  # true relative residual that every solver must reach
WANTED_SPEEDUP = 10.0  # over the fastest of the others
WANTED_GRADIENT = 2.5  # solves
TURN_SECONDS, MANY = 0.02, 10  # a turn of one method: so long, or so many runs
BATCH = 64


@dataclass
class Method:
    """``prepare`` is not timed; ``run`` is."""

    name: str
    prepare: Callable[[np.ndarray], Any]
    run: Callable[[Any], Any]  # -> values in the unknowns, or a number where only time matters
    compile_seconds: float | None = None
    times: list[float] = field(default_factory=list)
    processor_times: list[float] = field(default_factory=list)  # of all threads: other processes disturb it less
    last: list[tuple[np.ndarray, Any]] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.times)

    @property
    def median(self) -> float:
        return float(np.median(self.times))


def take_turns(methods: list[Method], P: np.ndarray, repeats: int) -> None:
    """In a turn a method runs once, or for ``TURN_SECONDS``, so that short solves find the caches as they left them."""
    for method in methods:
        data = method.prepare(P[0])
        start = time.perf_counter()
        method.run(data)
        first = time.perf_counter() - start
        if method.compile_seconds is not None:
            method.compile_seconds = first
    for i in range(repeats):
        p = P[i % len(P)]
        for method in methods:
            data = method.prepare(p)
            out, spent = None, 0.0
            for _ in range(MANY):
                start, processor = time.perf_counter(), time.process_time()
                out = method.run(data)
                method.times.append(time.perf_counter() - start)
                method.processor_times.append(time.process_time() - processor)
                spent += method.times[-1]
                if spent > TURN_SECONDS:
                    break
            method.last.append((p, out))


def others(problem: ThermalBlock) -> tuple[list[Method], list[str]]:
    """The baselines, and what is missing."""
    b = np.asarray(problem.load(jnp.ones(problem.inputs.dimension)))[problem.free]
    symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}

    def csc(p: np.ndarray) -> Any:
        return problem.matrix(p).tocsc()

    found = [
        Method("scipy splu, symmetric ordering", csc, lambda a: spla.splu(a, **symmetric).solve(b)),
        Method("scipy spsolve (scikit-fem's default)", csc, lambda a: spla.spsolve(a, b)),
    ]
    try:
        import pyamg
    except ImportError:
        return found, ["pyamg is not installed, so its row is missing: pip install 'assay-pde[test]'"]

    def ruge_stuben(a: Any) -> np.ndarray:
        # its own residual estimate decides when it stops; half the tolerance keeps the true one below RESIDUAL
        return np.asarray(pyamg.ruge_stuben_solver(a).solve(b, tol=RESIDUAL / 2, accel="cg"))

    return [*found, Method("pyamg Ruge-Stuben + CG", problem.matrix, ruge_stuben)], []


def ours(problem: ThermalBlock, tolerance: float) -> Method:
    def run(p: np.ndarray) -> np.ndarray:
        return problem.solution(p, tolerance).u

    return Method("assay multigrid + CG", lambda p: p, run, compile_seconds=0.0)


def compare_solvers(problem: ThermalBlock, P: np.ndarray, repeats: int) -> tuple[list[dict[str, Any]], list[str]]:
    """One row per solver at one grid."""
    baselines, missing = others(problem)
    mine = ours(problem, RESIDUAL)
    take_turns([mine, *baselines], P, repeats)
    b = np.asarray(problem.load(jnp.asarray(P[0])))[problem.free]
    rows = []
    for method in (mine, *baselines):
        worst = 0.0
        for p, u in method.last:
            u = u[problem.free] if u.size == problem.size else u
            worst = max(worst, float(np.linalg.norm(b - problem.matrix(p) @ u) / np.linalg.norm(b)))
        rows.append(
            {
                "cells": problem.cells,
                "method": method.name,
                "best_ms": 1e3 * method.best,
                "median_ms": 1e3 * method.median,
                "best_processor_ms": 1e3 * min(method.processor_times),
                "true_residual": worst,
                "first_call_s": method.compile_seconds,
                "times_ours_best": method.best / mine.best,
                "times_ours_median": method.median / mine.median,
                "times_ours_processor": min(method.processor_times) / min(mine.processor_times),
            }
        )
    return rows, missing


def _nested(problem: ThermalBlock, cycles: int, p: jax.Array) -> jax.Array:
    n = problem.cells
    b = jnp.full((n - 1, n - 1), 1 / n**2)
    return jnp.pad(multigrid.full_multigrid(problem.cell_weights(p), b, cycles), 1).reshape(-1)


def _loosened(problem: ThermalBlock, tolerance: float, p: jax.Array) -> jax.Array:
    return problem.attempt(p, tolerance).u


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
        return weight @ problem.attempt(p, RESIDUAL).u

    value, slope = jax.jit(functional), jax.jit(jax.grad(functional))
    methods = [
        Method("value", jnp.asarray, partial(_wait, value)),
        Method("gradient", jnp.asarray, partial(_wait, slope)),
    ]
    take_turns(methods, P, repeats)
    push = jax.jit(lambda p, dp: jax.jvp(lambda p: problem.attempt(p, RESIDUAL).u, (p,), (dp,))[1])
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


def measure(cells: list[int], repeats: int, progress: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Everything, as JSON values."""
    report: dict[str, Any] = {"residual": RESIDUAL, "repeats": repeats, "batch": BATCH, "solvers": [], "notes": []}
    report["machine"] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    for n in cells:
        progress(f"solvers at {n} x {n}")
        problem = ThermalBlock(cells=n)
        rows, missing = compare_solvers(problem, problem.inputs.sample(3, seed=0), repeats)
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
    for n in dict.fromkeys(row["cells"] for row in report["solvers"]):
        rivals = [row for row in report["solvers"] if row["cells"] == n and row["times_ours_best"] != 1]
        best = min(rivals, key=lambda row: row["best_ms"])
        median = min(rivals, key=lambda row: row["median_ms"])
        processor = min(rivals, key=lambda row: row["best_processor_ms"])["times_ours_processor"]
        met = "met" if min(best["times_ours_best"], median["times_ours_median"]) >= WANTED_SPEEDUP else "MISSED"
        goal = f"; wanted {WANTED_SPEEDUP:g}: {met}" if n == 128 else ""
        lines.append(
            f"{n} x {n}: {best['times_ours_best']:.1f} times faster than {best['method']} (best), "
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
    for heading in ("cells", "method", "best ms", "median", "processor", "times ours", "true residual", "first call s"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in report["solvers"]:
        first = "" if row["first_call_s"] is None else f"{row['first_call_s']:.1f}"
        timing = [f"{row[key]:.2f}" for key in ("best_ms", "median_ms", "best_processor_ms")]
        timing.append(f"{row['times_ours_best']:.1f}")
        table.add_row(str(row["cells"]), row["method"], *timing, f"{row['true_residual']:.1e}", first)
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
        prog="python -m assay.benchmarks.truth", description=(__doc__ or "").split("\n")[0]
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
        command = [sys.executable, "-m", "assay.benchmarks.truth", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)
    with console.status("starting") as status:
        report = measure(options.cells, options.repeats, status.update)
    show(report, console)
    if options.json:
        print(json.dumps({**report, "verdicts": verdicts(report)}, indent=1))


if __name__ == "__main__":
    main()
