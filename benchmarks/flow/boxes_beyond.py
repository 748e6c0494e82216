"""Proofs over boxes beyond the coercive class: Bratu to 0.9 of its fold, Helmholtz across a resonance.

Two inputs vary: lambda and anisotropy; k2 and damping, the source standing still. tanh networks of 2 x 32 in a POD
basis. ``sandwich``: the proof goes on until the largest error possible is within 1.05 of the largest found; ``map``: at
the tolerance that 90 % of the inputs meet. ``violations``: sampled inputs whose true error exceeds the bound of their
leaf in either map. Seconds do not hold ``preparation``: compiling, and Bratu's solutions to start from.

    python -m assay.benchmarks.flow.boxes_beyond [--only bratu|helmholtz] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from ...solvers.box import Box
from ...solvers.problem import Problem
from ...solvers.problems.bratu import Bratu
from ...solvers.problems.helmholtz import Helmholtz
from ...solvers.snapshots.sample import sample
from ...surrogates.training.train import train
from ...verify.audit import NotReproduced, audit
from ...verify.boxes.trust_map import TrustMap
from ...verify.certify import certify
from ...verify.certify_box import certify_box
from .. import command
from ..soundness.boxes import columns
from ..soundness.true_error import TrueError

RATIO = 1.05
CHUNK = 2000  # truths at a time
FOLD = 6.808  # of the equation at anisotropy 1; the grid's own lies h^2 away


class Case(NamedTuple):
    problem: Problem
    box: Box
    snapshots: int
    steps: int


def cases(quick: bool) -> dict[str, Case]:
    cells = 16 if quick else 64
    bratu = Bratu(cells=cells, lam=(0.5, 0.9 * FOLD))
    waves = Helmholtz(cells=cells, k2=(15.0, 25.0), damping=(0.02, 0.1), place=(0.3, 0.5))
    low, high = waves.inputs.lower.copy(), waves.inputs.upper.copy()
    low[2:], high[2:] = (0.4, 0.45), (0.4 + 1e-9, 0.45 + 1e-9)
    still = waves.inputs.replace(lower=low, upper=high)
    few, steps = (128, 300) if quick else (512, 3000)
    return {"bratu": Case(bratu, bratu.inputs, few, steps), "helmholtz": Case(waves, still, 2 * few, steps)}


def violations(case: Case, surrogate: Any, maps: list[TrustMap], n: int) -> int:
    """Sampled evenly, and a tenth of them on faces and corners."""
    truth, rng, found = TrueError(case.problem), np.random.default_rng(7), 0
    for start in range(0, n, CHUNK):
        X = rng.random((min(CHUNK, n - start), case.box.dimension))
        X[::10] = np.where(rng.random(X[::10].shape) < 0.6, np.round(X[::10]), X[::10])
        P = case.box.from_unit(X)
        U, norms = truth.truths(P)
        low = truth(P, U, norms, np.asarray(surrogate(P))).low / norms.high
        found += sum(int((~(low <= trust.relative_upper_at(P))).sum()) for trust in maps)
        command.progress(f"{case.problem.name}: {start + len(P)} of {n} points, {found} violations")
    return found


def audited(trust: TrustMap, problem: Problem, surrogate: Any) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.json"
        trust.save(path)
        try:
            found = audit(path, problem, surrogate, seconds=600)
        except NotReproduced as error:
            return str(error)
    beyond = "" if found.proved else f"; not checked: {found.not_checked[-1]}"
    return f"holds: {found.proved} of {found.leaves} leaves proved again in {found.seconds:.0f} s{beyond}"


def measured(name: str, case: Case, quick: bool) -> list[dict[str, Any]]:
    data = sample(case.problem, case.snapshots, seed=0)
    surrogate = train(case.problem, "pod-mlp", data, widths=(32, 32), steps=case.steps)
    P = case.box.from_unit(np.random.default_rng(3).random((500 if quick else 4000, case.box.dimension)))
    errors = np.asarray(certify(case.problem, surrogate(P), P).relative_lower)
    seconds = 20.0 if quick else 120.0
    rows, maps = [], []
    for part, tolerance, ratio in (("sandwich", 10.0, RATIO), ("map", float(np.quantile(errors, 0.9)), None)):
        start = time.perf_counter()
        trust = certify_box(case.problem, surrogate, tolerance, seconds, case.box, ratio)
        total = time.perf_counter() - start
        maps.append(trust)
        rows.append(
            {
                "case": f"{name}, {part}",
                **columns(trust, total),
                "audit": audited(trust, case.problem, surrogate),
            }
        )
        command.progress(rows[-1])
    missed = violations(case, surrogate, maps, 2000 if quick else 100_000)
    return [{**row, "violations": missed} for row in rows]


def claims(rows: list[dict[str, Any]]) -> dict[str, bool]:
    sandwiches = [row for row in rows if row["case"].endswith("sandwich")]
    return {
        "no bound is violated": all(row["violations"] == 0 for row in rows),
        f"the largest error possible is within {RATIO} of the largest found": all(
            row["upper/lower"] <= RATIO for row in sandwiches
        ),
        "audits prove leaves again": all(row["audit"].startswith("holds") for row in rows),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("bratu", "helmholtz"), help="one problem")
    parser.add_argument("--quick", action="store_true", help="small problems, fewer points")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of tables")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, case in cases(options.quick).items():
        if options.only in (None, name):
            rows += measured(name, case, options.quick)
    return command.finish({"rows": rows, "holds": claims(rows)}, show, "-" if options.json else None)


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Proofs over boxes beyond the coercive class", result["rows"]))


if __name__ == "__main__":
    sys.exit(main())
