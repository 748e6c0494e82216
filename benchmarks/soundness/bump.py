"""A search must find a planted bump and stay silent on the truth itself.

The surrogate is the truth but for one bump of relative height 0.3, a Gaussian of standard deviation 5 % of the box's
width per axis (unit coordinates) around a random centre: two standard deviations of it fill about a tenth of a
thousandth of a four-dimensional box. The first record found is written to disk and replayed by the command line in a
process of its own.

    python -m assay.benchmarks.soundness.bump [--quick] [--json]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.problems.thermal_block import ThermalBlock
from ...verify.falsify import falsify
from ...verify.search.counterexample import Counterexample
from ...verify.search.records import write_records
from .. import command

HEIGHT, WIDTH = 0.3, 0.05
TOLERANCE, BUDGET = 1e-2, 20


def bumped(
    problem: Problem, centre: np.ndarray, height: float = HEIGHT, width: float = WIDTH
) -> Callable[[Any], np.ndarray]:
    """The truth times 1 + height exp(-|x - centre|^2 / 2 width^2), x the inputs in unit coordinates."""

    def surrogate(P: Any) -> np.ndarray:
        distance = ((problem.inputs.to_unit(P) - centre) ** 2).sum(axis=1)
        return np.asarray(problem.solve_batch(P)) * (1 + height * np.exp(-distance / (2 * width**2)))[:, None]

    return surrogate


def search_once(problem: Problem, seed: int, budget: int = BUDGET) -> tuple[dict[str, Any], list[Counterexample]]:
    """One bump at a random centre: was it found, with how many solver calls, how near to its top."""
    centre = np.random.default_rng([seed, 7]).random(problem.inputs.dimension)
    start = time.perf_counter()
    result = falsify(problem, bumped(problem, centre), TOLERANCE, budget, seed)
    row = {
        "seed": seed,
        "found": bool(result.counterexamples),
        "solver calls": result.solver_calls,
        "worst error": result.worst,
        "distance to the top": float(np.linalg.norm(problem.inputs.to_unit(result.worst_inputs) - centre)),
        "evaluations": result.evaluations,
        "seconds": time.perf_counter() - start,
    }
    return row, result.counterexamples


def replayed(record: Counterexample) -> tuple[int, str]:
    """Exit code and output of ``assay replay`` in a fresh process; 1 means that the failure was confirmed again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counterexamples.jsonl"
        write_records(path, [record])
        done = subprocess.run(
            [sys.executable, "-m", "assay", "replay", str(path), "--json"], capture_output=True, text=True, check=False
        )
    return done.returncode, done.stdout.strip() or done.stderr.strip()


def measure(quick: bool) -> dict[str, Any]:
    problem = ThermalBlock((2, 2), 8 if quick else 16)
    seeds = range(1 if quick else 10)
    rows, records = [], []
    for seed in seeds:
        row, found = search_once(problem, seed)
        rows.append(row)
        records += found[:1]
    silent = falsify(problem, lambda P: np.asarray(problem.solve_batch(P)), TOLERANCE, BUDGET, 0)
    code, said = replayed(records[0]) if records else (-1, "nothing was found")
    hits = sum(row["found"] for row in rows)
    needed = int(np.ceil(0.9 * len(rows)))
    return {
        "rows": rows,
        "silent_worst": silent.worst,
        "replay": said,
        "replay_exit_code": code,
        "holds": {
            f"found in {hits} of {len(rows)} seeds, at least {needed} wanted, {BUDGET} solver calls": hits >= needed,
            f"silent on the truth itself (worst {silent.worst:.1e})": not silent.counterexamples,
            "the record replays in a fresh process": code == 1,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"One bump of height {HEIGHT}, width {WIDTH}, budget {BUDGET}", result["rows"]))
    console.print(f"assay replay: exit code {result['replay_exit_code']}, {result['replay'][:300]}", highlight=False)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
