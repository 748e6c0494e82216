"""Advection-diffusion and Helmholtz: what truths, bounds and guarded answers cost, and how sharp the bounds are.

    truths    advection-diffusion's own solve beside SuperLU by two orderings, refined once, and Pardiso where pypardiso
              is installed, the same matrix
    fields    bounds of full fields, corrected and not: bound / error, milliseconds beside a solve
    modes     bounds from 32, 64 and 100 coefficients: bound / error of the cheapest and the sharpest, microseconds
    guarded   a surrogate in a POD basis at tolerance 1e-2 in batches of 1000, full fields into a buffer, all routes
              counted, beside the truth on this grid and the fastest truth of any grid that is as right (L2, against
              a grid four times finer)

Fields of ``fields`` and ``modes`` are best approximations in the modes, off by a random share of each coefficient's
size; a violation is a bound below the error or a lower bound above it, by the truth's own proved error.

    python -m assay.benchmarks.flow.modes [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg as spla
from rich.console import Console

from ...solvers.batching import VectorMap
from ...solvers.problem import Problem
from ...solvers.problems.advection_diffusion import AdvectionDiffusion
from ...solvers.problems.helmholtz import Helmholtz
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.certify import certify
from ...verify.guard import guard
from ...verify.proofs.bounds import ErrorBounds
from ...verify.proofs.indefinite.advection_diffusion_reduced import AdvectionDiffusionReduced
from ...verify.proofs.indefinite.helmholtz_reduced import HelmholtzReduced
from .. import command
from ..soundness.true_error import Interval, Tally, TrueError, check
from ..tables.fairness import timed
from ..tables.grids import Transfer, finer, resolutions

TOLERANCE = 1e-2
SHARES = (3e-2, 1e-2, 1e-3, 0.0)  # of each coefficient's size, by which it is off
FLOORS = 100  # sharpness is told of errors above so many floors
REDUCED: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "advection-diffusion": AdvectionDiffusionReduced,
    "helmholtz": HelmholtzReduced,
}


def problems(cells: int) -> dict[str, Problem]:
    return {
        "fitted": AdvectionDiffusion(cells=cells),
        "upwind": AdvectionDiffusion(cells=cells, scheme="upwind"),
        "central": AdvectionDiffusion(cells=cells, scheme="central"),
        "helmholtz": Helmholtz(cells=cells),
    }


def peers(problem: AdvectionDiffusion) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name, what solves with the matrix at hand, assembled anew for each input."""
    load = np.asarray(problem.load(jnp.asarray(problem.inputs.centre)))[problem.free]

    def superlu(ordering: str, matrix: Any) -> np.ndarray:
        options = {"SymmetricMode": True} if ordering == "MMD_AT_PLUS_A" else {}
        factor = spla.splu(matrix.tocsc(), permc_spec=ordering, diag_pivot_thresh=0.1, options=options)
        x = factor.solve(load)
        return np.asarray(x + factor.solve(load - matrix @ x))

    solvers: dict[str, Callable[[Any], np.ndarray]] = {
        f"SuperLU {ordering}": partial(superlu, ordering) for ordering in ("MMD_AT_PLUS_A", "COLAMD")
    }
    if find_spec("pypardiso") is not None:
        import pypardiso

        def pardiso(matrix: Any) -> np.ndarray:
            solver = pypardiso.PyPardisoSolver(mtype=11)
            x = np.asarray(solver.solve(matrix, load))
            solver.free_memory(everything=True)
            return x

        solvers["Pardiso"] = pardiso

    def of(solve: Callable[[Any], np.ndarray], p: np.ndarray) -> np.ndarray:
        return solve(problem.matrix(np.asarray(problem.theta(jnp.asarray(p)))))

    return {name: partial(of, solve) for name, solve in solvers.items()}


def truths(sizes: tuple[int, ...], count: int) -> list[dict[str, Any]]:
    rows = []
    for cells in sizes:
        problem = AdvectionDiffusion(cells=cells)
        P = problem.inputs.sample(count, seed=1)
        row: dict[str, Any] = {"cells": cells}
        batch = timed(lambda q=problem, P=P: q.attempt_batch(P), count)  # type: ignore[misc]
        alone = timed(lambda q=problem, P=P: [q.attempt_once(p).u.block_until_ready() for p in P], count)  # type: ignore[misc]
        row |= {"own, batch ms": 1e3 * batch.median, "own, alone ms": 1e3 * alone.median}
        U = np.asarray(problem.attempt_batch(P).u)[:, problem.free]
        for name, other in peers(problem).items():
            few = P[: max(2, min(count, 2**19 // cells**2 // 8))]
            start = time.perf_counter()
            V = np.stack([other(p) for p in few])
            row[f"{name} ms"] = 1e3 * (time.perf_counter() - start) / len(few)
            apart = np.linalg.norm(U[: len(few)] - V, axis=1) / np.linalg.norm(V, axis=1)
            row["apart"] = max(row.get("apart", 0.0), float(apart.max()))
        rows.append(row)
    return rows


class Cases:
    """Solutions for modes, and others to bound."""

    def __init__(self, problem: Problem, n: int) -> None:
        self.problem, self.true = problem, TrueError(problem)
        snapshots = np.asarray(problem.attempt_batch(problem.inputs.sample(max(n, 300), seed=0)).u)
        self.modes = np.linalg.svd(snapshots, full_matrices=False)[2]
        self.P = problem.inputs.sample(n, seed=99)
        self.U, self.norms = self.true.truths(self.P)

    def basis(self, k: int) -> np.ndarray:
        free = np.asarray(self.problem.free)  # type: ignore[attr-defined]
        return np.asarray(self.modes[:k].T * free[:, None])

    def coefficients(self, V: np.ndarray, share: float) -> np.ndarray:
        rng = np.random.default_rng(1)
        best = self.U @ V
        sizes = np.sqrt((best**2).mean(axis=0))
        return np.asarray(best + share * sizes * rng.standard_normal(best.shape))

    def error(self, fields: np.ndarray) -> Interval:
        return self.true(self.P, self.U, self.norms, fields)


def sharpness(upper: Any, error: Interval, floor: Any) -> dict[str, float]:
    counted = np.isfinite(upper) & (error.value > FLOORS * np.asarray(floor))
    ratio = (np.asarray(upper) / np.maximum(error.value, 1e-300))[counted]
    names = ("median", "p95", "max")
    return {
        k: float(np.quantile(ratio, q)) if len(ratio) else np.nan for k, q in zip(names, (0.5, 0.95, 1), strict=True)
    }


def of_fields(name: str, cases: Cases, effort: int) -> dict[str, Any]:
    """Of fields off by a hundredth."""
    problem, P, tally = cases.problem, cases.P, Tally()
    V = cases.basis(64)
    fields = cases.coefficients(V, 1e-2) @ V.T
    found = certify(problem, fields, P, steps=effort)
    error = cases.error(fields)
    tally.add(check(found, error, cases.norms, name))
    batch = timed(lambda: certify(problem, fields, P, steps=effort), len(P))
    alone = timed(lambda: [certify(problem, fields[i : i + 1], P[i : i + 1], steps=effort) for i in range(8)], 8)
    truth = timed(lambda: problem.attempt_batch(P), len(P))
    tell = sharpness(found.relative_upper * cases.norms.value, error, 0.0)
    times = {"batch ms": 1e3 * batch.median, "alone ms": 1e3 * alone.median, "solve ms": 1e3 * truth.median}
    return {"problem": name, "steps": effort, "violations": tally.violations, **tell, **times}


def of_modes(name: str, cases: Cases, k: int) -> list[dict[str, Any]]:
    problem, P = cases.problem, cases.P
    V = cases.basis(k)
    start = time.perf_counter()
    reduced = REDUCED[problem.name](problem, V)
    offline = time.perf_counter() - start
    first, last = (VectorMap(stage, (16, 256)) for stage in (reduced.stages[0], reduced.stages[-1]))
    accept, improve = VectorMap(reduced.accepting[-1], (16, 256)), VectorMap(reduced.improve, (16, 256))
    rows = []
    truth = timed(lambda: problem.attempt_batch(P), len(P))
    better = np.asarray(improve(P))
    for share in SHARES:
        c, tally = cases.coefficients(V, share), Tally()
        error, bounds = cases.error(c @ V.T), (first(P, c), last(P, c))
        kinds: list[tuple[ErrorBounds, Interval]] = [(bounds[0], error), (bounds[1], error)]
        kinds.append((accept(P, better), cases.error(better @ V.T)))
        for found, of in kinds:
            tally.add(check(found, of, cases.norms, f"{name}, {k} modes"))
        rows.append(
            {
                "problem": name,
                "modes": k,
                "off by": share,
                "fields": tally.certificates,
                "violations": tally.violations,
                **{f"first, {q}": x for q, x in sharpness(bounds[0].upper, error, 0.0).items()},
                **{f"last, {q}": x for q, x in sharpness(bounds[1].upper, error, 0.0).items()},
                "improved, p95 proved": float(np.quantile(kinds[2][0].relative_upper, 0.95)),
                "us first": 1e6 * timed(lambda: first(P, c), len(P)).median,  # noqa: B023
                "us last": 1e6 * timed(lambda: last(P, c), len(P)).median,  # noqa: B023
                "us improve": 1e6 * timed(lambda: improve(P), len(P)).median,
                "us solve": 1e6 * truth.median,
                "offline s": offline,
            }
        )
    return rows


def guarded(name: str, problem: Problem, surrogate: Any, batch: int, tests: int) -> dict[str, Any]:
    """Time per query beside truths that are as right, all routes counted."""
    answers = guard(problem, surrogate, TOLERANCE)
    answers.warm_up()
    P, Q = problem.inputs.sample(tests, seed=21), problem.inputs.sample(batch, seed=22)
    fine = finer(problem, 2)
    reference = Transfer(fine, problem)(np.asarray(fine.solve_batch(P)))

    def off(fields: np.ndarray) -> float:
        return float((np.linalg.norm(fields - reference, axis=1) / np.linalg.norm(reference, axis=1)).max())

    buffer = np.empty((batch, problem.size))
    answer = answers(Q, out=buffer)
    mine, error = timed(lambda: answers(Q, out=buffer), batch).median, off(answers(P).u)
    truth = np.asarray(problem.attempt_batch(P).u)
    worst = float(np.max([problem.relative_error(p, v, u) for p, v, u in zip(P, answers(P).u, truth, strict=True)]))
    own = timed(lambda: problem.attempt_batch(Q), batch).median
    ways = {problem.settings["cells"]: (own, off(truth))}
    for grid in resolutions(problem, 3)[1:]:
        found = off(Transfer(grid, problem)(np.asarray(grid.attempt_batch(P).u)))
        ways[grid.settings["cells"]] = (timed(lambda g=grid: g.attempt_batch(Q), batch).median, found)  # type: ignore[misc]
    enough = {cells: spent for cells, (spent, found) in ways.items() if found <= error * (1 + TOLERANCE)}
    cells = min(enough, key=lambda c: enough[c]) if enough else problem.settings["cells"]
    return {
        "problem": name,
        "surrogate": surrogate.architecture["name"],
        "modes": surrogate.basis.shape[1],
        **answer.counts,
        "worst error": worst,
        "largest bound": float(answer.relative_upper.max()),
        "us guarded": 1e6 * mine,
        "us solve": 1e6 * own,
        "times": own / mine,
        "as right": f"{cells} cells",
        "times as right": ways[cells][0] / mine,
    }


def measure(quick: bool) -> dict[str, Any]:
    cells, n, batch, seconds = (16, 24, 64, 4.0) if quick else (64, 512, 1000, 40.0)
    kinds = problems(cells)
    result: dict[str, Any] = {"truths": truths((16, 32) if quick else (32, 64, 128, 256), 24 if quick else 100)}
    command.progress("truths timed")
    fields, modes = [], []
    for name, problem in kinds.items():
        cases = Cases(problem, n)
        fields += [of_fields(name, cases, effort) for effort in (0, 1, 2)]
        for k in (8, 12) if quick else (32, 64, 100):
            if name != "upwind":
                modes += of_modes(name, cases, k)
        command.progress(f"{name}: bounds measured")
    rows = []
    for name, rank in (("fitted", 48), ("central", 48), ("helmholtz", 96)):
        options: dict[str, Any] = {"seconds": seconds, "tolerance": 1e-6, "max_rank": rank}
        surrogate = train(kinds[name], "pod-mlp", sample(kinds[name], 64 if quick else 1024), seed=0, **options)
        rows.append(guarded(name, kinds[name], surrogate, batch, 16 if quick else 60))
        command.progress(f"{name}: guarded {rows[-1]}")
    slow = [row for row in fields if row["steps"] == 2 and row["problem"] != "helmholtz"]
    wrong = sum(row["violations"] for row in (*fields, *modes))
    return {
        **result,
        "fields": fields,
        "modes": modes,
        "guarded": rows,
        "holds": {
            f"no bound misses a true error in {sum(row['fields'] for row in modes)} of coefficients": wrong == 0,
            "corrected bounds of advection-diffusion within 1.15 of the error": all(row["max"] <= 1.15 for row in slow),
            "in 2 ms": all(row["alone ms"] <= 2 for row in slow),
            "no guarded answer above the tolerance": all(row["largest bound"] <= TOLERANCE for row in rows),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Truths of advection-diffusion", result["truths"]))
    console.print(command.table("Bounds of full fields: relative bound / error", result["fields"]))
    console.print(command.table("Bounds from coefficients: bound / error", result["modes"]))
    console.print(command.table(f"Guarded answers at {TOLERANCE:g}", result["guarded"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
