"""Snapshots per minute of every problem with its default settings, by one process and by two.

Each count starts after every process has compiled. One process takes what threads the compiler gives it; two processes
share the same cores, so the ratio says what a second process adds to that, not what a second machine would.

    python -m assay.benchmarks.tables.throughput [--quick] [--json]
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.problems.catalogue import PROBLEMS, problem
from ...solvers.snapshots.sample import sample
from .. import command

SECONDS = 5.0  # of counting


def rate(made: Problem, executor: Executor | None, seconds: float) -> tuple[float, int]:
    """(snapshots per minute, how many could not be solved), after a warm-up."""
    sample(made, 8, seed=1, executor=executor)
    start = time.perf_counter()
    sample(made, 4, seed=2, executor=executor)
    each = max((time.perf_counter() - start) / 4, 1e-4)
    count = int(min(max(seconds / each, 4), 4000))
    start = time.perf_counter()
    rows = sample(made, count, seed=3, executor=executor)
    return 60 * count / (time.perf_counter() - start), int((~rows.valid).sum())


def measure(quick: bool) -> dict[str, Any]:
    # one thread per process for linear algebra on the host: they would fight with each other's
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[dict[str, Any]] = []
    for name in ("thermal-block", "burgers") if quick else PROBLEMS:
        made = problem(name)
        seconds = 1.0 if quick else SECONDS
        alone, failed = rate(made, None, seconds)
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            both, _ = rate(made, pool, seconds)
        rows.append(
            {
                "problem": name,
                "unknowns": made.size,
                "1 process": round(alone),
                "2 processes": round(both),
                "ratio": both / alone,
                "not solved": failed,
            }
        )
        command.progress(f"{name}: {alone:.0f} and {both:.0f} a minute")
    return {"rows": rows, "holds": {"every problem gives snapshots": all(r["1 process"] > 0 for r in rows)}}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Snapshots per minute", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
