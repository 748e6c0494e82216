"""What the guard lets through, and what it costs beside the fastest truths.

Soundness: 10^4 queries at tolerance 1e-2, a third of them outside the box that the surrogate was trained on or handed
to a broken surrogate; every answer against the true solution. Speed: the healthy surrogate at 128 x 128 in batches of
1000, all routes counted, full fields returned into a buffer that is used again, against solves that reach the same
worst error: (a) multigrid CG with a loosened tolerance, (b) the fastest truth of any kind on the same grid, full
multigrid included, (c) truths on coarser grids, both measured in L2 against a 512 x 512 solution; the Galerkin
reduced basis stands beside.

    python -m assay.benchmarks.soundness.guard_speed [--quick] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.guard import guard
from .. import command
from ..tables.fairness import Timing, timed
from ..tables.grids import Transfer, finer
from ..tables.solver_curve import full_multigrid
from .true_error import TrueError

TOLERANCE = 1e-2
LOOSENED = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
Fields = Callable[[np.ndarray], np.ndarray]


class Broken:
    """The surrogate, healthy until ``kind`` is one of KINDS; with a basis if ``reduced``, else bare fields."""

    KINDS = ("scaled", "swapped inputs", "random", "NaN", "raises")

    def __init__(self, surrogate: Any, reduced: bool, seed: int = 0) -> None:
        self.surrogate, self.kind, self.rng = surrogate, "healthy", np.random.default_rng(seed)
        if reduced:
            self.basis = surrogate.basis

    def coefficients(self, P: np.ndarray) -> np.ndarray:
        if self.kind == "swapped inputs":
            P = np.ascontiguousarray(P[:, ::-1])
        c = np.array(self.surrogate.coefficients(P), dtype=np.float64)
        if self.kind == "scaled":
            c *= 1.03
        elif self.kind == "random":
            c *= 1 + 0.1 * self.rng.standard_normal(c.shape)
        elif self.kind == "NaN":
            c[::2, 0] = np.nan
        elif self.kind == "raises":
            raise RuntimeError("broken on purpose")
        return c

    def __call__(self, P: np.ndarray) -> np.ndarray:
        return self.coefficients(P) @ np.asarray(self.surrogate.basis).T


def count_wrong(wide: ThermalBlock, surrogate: Any, queries: int, tolerance: float = TOLERANCE) -> list[dict[str, Any]]:
    """Answers above the tolerance among ``queries``; ``surrogate`` was trained on the middle of ``wide``'s box."""
    true_error, box = TrueError(wide), wide.inputs
    middle = box.replace(lower=box.lower * 2, upper=box.upper / 2)
    outside = box.sample(queries, seed=3)
    outside = outside[~middle.contains(outside)][: queries // 6]
    share = queries // 6 // (2 * len(Broken.KINDS))
    inside = middle.sample(queries - len(outside) - 2 * len(Broken.KINDS) * share, seed=1)
    healthy = guard(wide, surrogate, tolerance)
    answers = [("inside the training box", inside, healthy(inside)), ("outside it", outside, healthy(outside))]
    for way, reduced in (("coefficients", True), ("fields", False)):
        broken = Broken(surrogate, reduced)
        guarded = guard(wide, broken, tolerance)  # looked at while it still is healthy
        for i, kind in enumerate(Broken.KINDS):
            broken.kind, P = kind, middle.sample(share, seed=10 + i)
            answers.append((f"broken: {kind}, {way}", P, guarded(P)))
    rows = []
    for name, P, answer in answers:
        U, norms = true_error.truths(P)
        error = true_error(P, U, norms, answer.u)
        relative = error.value / norms.value
        rows.append(
            {
                "surrogate": name,
                "queries": len(P),
                "above tolerance": int((~(relative <= tolerance)).sum()),
                "above its own bound": int((~(error.low / norms.high <= answer.relative_upper)).sum()),
                "worst error": float(relative.max()),
                **answer.counts,
            }
        )
    return rows


def truths(problem: ThermalBlock) -> dict[str, Fields]:
    """Every truth on this grid: multigrid CG at several tolerances, full multigrid with one to three cycles."""

    def loosened(tolerance: float) -> Fields:
        return lambda P: problem.attempt_batch(P, tolerance).u  # type: ignore[return-value]

    ways = {f"multigrid CG, residual {t:g}": loosened(t) for t in LOOSENED}
    return ways | {f"full multigrid, {cycles} cycles": full_multigrid(problem, cycles) for cycles in (1, 2, 3)}


def _row(name: str, errors: dict[str, float], timing: Timing) -> dict[str, Any]:
    return {
        "way": name,
        **errors,
        "us / query": 1e6 * timing.median,
        "least": 1e6 * timing.low,
        "most": 1e6 * timing.high,
    }


def speed(
    problem: ThermalBlock, surrogate: Any, baseline: Any, batch: int, fine_cells: int, tests: int = 60
) -> dict[str, Any]:
    """Times per query of the guard and of every truth, with worst errors over the same test inputs."""
    guarded = guard(problem, surrogate, TOLERANCE)
    P, Q = problem.inputs.sample(tests, seed=21), problem.inputs.sample(batch, seed=22)
    U = np.asarray(problem.solve_batch(P))
    fine = finer(problem, (fine_cells // problem.cells).bit_length() - 1)
    reference = Transfer(fine, problem)(np.asarray(fine.solve_batch(P)))
    energy = RowMap(lambda p, u, t: problem.relative_error(p, u, t))

    def errors(fields: np.ndarray) -> dict[str, float]:
        l2 = np.linalg.norm(fields - reference, axis=1) / np.linalg.norm(reference, axis=1)
        return {"worst energy error": float(np.max(energy(P, fields, U))), "worst L2 to fine": float(l2.max())}

    buffer = np.empty((batch, problem.size))
    counts = guarded(Q, out=buffer).counts
    guard_row = _row("guard", errors(guarded(P).u), timed(lambda: guarded(Q, out=buffer), batch))
    same = [guard_row]
    some = Q[: max(batch // 10, 32)]  # a truth takes as long for a row in any batch: fewer rows do
    for name, way in truths(problem).items():
        same.append(_row(name, errors(np.asarray(way(P))), timed(lambda w=way: w(some), len(some))))  # type: ignore[misc]
    same.append(_row("reduced basis", errors(np.asarray(baseline(P))), timed(lambda: np.asarray(baseline(Q)), batch)))
    coarse = []
    for cells in (c for c in (problem.cells // 2, problem.cells // 4, problem.cells // 8) if c >= 8):
        grid = ThermalBlock(problem.blocks, cells, problem.low, problem.high)
        ways: dict[str, Fields] = {
            "multigrid CG, residual 0.01": lambda P, g=grid: g.attempt_batch(P, 1e-2).u,  # type: ignore[misc]
            "full multigrid, 1 cycles": full_multigrid(grid, 1),
        }
        for name, way in ways.items():
            found = errors(Transfer(grid, problem)(np.asarray(way(P))))
            coarse.append(_row(f"{cells} cells, {name}", found, timed(lambda w=way: w(some), len(some))))  # type: ignore[misc]
    return {"guard": guard_row, "same grid": same, "coarser grids": coarse, "routes": counts}


def fastest(rows: list[dict[str, Any]], key: str, error: float, name: str = "") -> dict[str, Any] | None:
    """The fastest way whose error is at most ``error``."""
    enough = [r for r in rows if r[key] <= error and name in r["way"] and r["way"] not in ("guard", "reduced basis")]
    return min(enough, key=lambda r: r["us / query"]) if enough else None


def measure(quick: bool) -> dict[str, Any]:
    cells, batch, fine, seconds, queries = (32, 200, 64, 10.0, 600) if quick else (128, 1000, 512, 60.0, 10_000)
    small = ThermalBlock((2, 2), 16 if quick else 32, low=10**-0.5, high=10**0.5)
    wide = ThermalBlock(small.blocks, small.cells, low=small.low / 2, high=small.high * 2)
    healthy = train(small, "pod-mlp", sample(small, 256), seed=0, seconds=seconds / 2)
    sound = count_wrong(wide, healthy, queries)
    problem = ThermalBlock((2, 2), cells, low=10**-0.5, high=10**0.5)
    snapshots = sample(problem, 512)
    surrogate = train(problem, "pod-mlp", snapshots, seed=0, seconds=seconds)
    timing = speed(problem, surrogate, train(problem, "reduced-basis", snapshots, seed=0), batch, fine)
    mine = timing["guard"]
    ratios: dict[str, float] = {}
    for label, rows, key, name in (
        ("(a) multigrid CG on the same grid", timing["same grid"], "worst energy error", "multigrid CG"),
        ("(b) the fastest truth on the same grid", timing["same grid"], "worst energy error", ""),
        (
            "(c) the fastest truth on any grid, in L2",
            timing["same grid"] + timing["coarser grids"],
            "worst L2 to fine",
            "",
        ),
    ):
        best = fastest(rows, key, mine[key], name)
        ratios[f"{label}: {best['way'] if best else 'none as accurate'}"] = (
            best["us / query"] / mine["us / query"] if best else float("nan")
        )
    a, b, _ = ratios.values()
    wrong = sum(r["above tolerance"] for r in sound)
    return {
        "soundness": sound,
        **timing,
        "ratios": ratios,
        "holds": {
            f"no answer above {TOLERANCE:g} in {sum(r['queries'] for r in sound)} queries": wrong == 0,
            "no answer above its own bound": all(r["above its own bound"] == 0 for r in sound),
            f"at least 10 times faster than multigrid CG at the same worst error ({a:.1f})": a >= 10,
            f"at least 5 times faster than any truth on the grid at the same worst error ({b:.1f})": b >= 5,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Guarded answers at tolerance 1e-2 against the truth", result["soundness"]))
    console.print(command.table(f"Time per query, routes {result['routes']}", result["same grid"]))
    console.print(command.table("Truths on coarser grids", result["coarser grids"]))
    for name, ratio in result["ratios"].items():
        console.print(f"{name}: {ratio:.3g} times the guard's time", highlight=False)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
