"""Bratu's lower branch and hyperelastic blocks: how sharp polished bounds are, by range, and what they cost.

Fields are truths moved by a given share of their size towards other inputs' truths and by scaling. Bratu: lambda up to
0.94 of the fold, and from there to 0.985; beyond it nothing may be bounded. Hyperelastic: relative errors to 1e-2.
Times are of one thread, in batches, beside a solve by the problem and one by Newton's method with sparse LU (what the
problems did before), the same inputs in the same run; ``cpu`` is processor time, which other programs disturb least.

    python -m assay.benchmarks.flow.equilibria [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.linear_algebra.implicit import newton
from ...solvers.problems.bratu import Bratu
from ...solvers.problems.hyperelastic import FIRST_STEP, Hyperelastic
from ...verify.certify import STEPS, certify
from .. import command

FLOORS = 100


def cpu_ms(call: Callable[[], Any], rows: int, repeats: int = 3) -> float:
    """Milliseconds of processor time a row, the least of some repetitions; compiled before."""
    call()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return 1e3 * min(spent) / rows


def by_sparse_lu(problem: Any) -> RowMap:
    """Newton's method with a sparse LU factor a step: from zero, or along four load steps."""

    def one(p: Array) -> Array:
        v, shares = jnp.zeros(int(problem.free.sum())), [1.0]
        if isinstance(problem, Hyperelastic):
            shares = [k * FIRST_STEP for k in range(1, round(1 / FIRST_STEP) + 1)]
        before = jnp.zeros(problem.size)
        for share in shares:
            at = problem._loaded(p, jnp.asarray(share)) if isinstance(problem, Hyperelastic) else p
            after = problem.field(at, jnp.zeros_like(v))
            if isinstance(problem, Hyperelastic):
                after = problem.affine_field(at)
            v = v + (after - before)[np.flatnonzero(problem.free)]
            before = after
            target = (1e-11 if share == 1.0 else 1e-6) * problem.load_size(at)
            v = newton(partial(problem.equation, at), partial(problem.correction, at), v, target).u
        return problem.field(p, v)

    return RowMap(one)


def fields(problem: Any, P: np.ndarray, U: np.ndarray, error: float) -> np.ndarray:
    """Half of them scaled, half moved towards another input's truth, each to about this relative error."""
    sizes = np.array([float(problem.norm(p, u)) for p, u in zip(P, U, strict=True)])
    apart = np.roll(U, 1, axis=0) - U
    apart = np.stack([np.asarray(problem.prescribe(p, u + d)) - u for p, u, d in zip(P, U, apart, strict=True)])
    apart[::2] = U[::2] - np.stack(
        [np.asarray(problem.prescribe(p, 0 * u)) for p, u in zip(P[::2], U[::2], strict=True)]
    )
    lengths = np.array([float(problem.norm(p, d)) for p, d in zip(P, apart, strict=True)])
    return U + apart * (error * sizes / np.maximum(lengths, 1e-300))[:, None]


def row(name: str, problem: Any, P: np.ndarray, error: float, solve: float, lu: float) -> dict[str, Any]:
    U = np.asarray(problem.attempt_batch(P).u)
    good = np.isfinite(U).all(axis=1)
    P, U = P[good], U[good]
    V = fields(problem, P, U, error)
    found = certify(problem, V, P, steps=STEPS)
    errors = np.array([float(problem.norm(p, u - v)) for p, u, v in zip(P, U, V, strict=True)])
    known = np.isfinite(found.upper) & (errors > FLOORS * found.floor)
    ratio = (found.upper / errors)[known]
    bound = cpu_ms(lambda: certify(problem, V, P, steps=STEPS), len(P))
    return {
        "fields": name,
        "error": error,
        "number": len(P),
        "proved": float(np.mean(np.isfinite(found.upper))),
        "median": float(np.median(ratio)) if len(ratio) else float("inf"),
        "max": float(ratio.max(initial=1.0)),
        "bound, cpu ms": bound,
        "bound / solve": bound / solve,
        "bound / sparse LU": bound / lu,
    }


def measure(quick: bool) -> dict[str, Any]:
    n = 12 if quick else 200
    rows, solves = [], []

    def timed(name: str, problem: Any, P: np.ndarray) -> tuple[float, float]:
        some = P[:32]
        solve, compiled = cpu_ms(lambda: problem.attempt_batch(some), len(some)), by_sparse_lu(problem)
        lu = cpu_ms(lambda: compiled(some), len(some))
        solves.append({"problem": name, "solve, cpu ms": solve, "by sparse LU, cpu ms": lu, "ratio": lu / solve})
        command.progress(solves[-1])
        return solve, lu

    bratu = Bratu(cells=16 if quick else None, lam=(0.5, 9.0), anisotropy=(0.5, 2.0))
    rng = np.random.default_rng(0)
    anisotropy = np.exp(rng.uniform(np.log(0.5), np.log(2.0), 8))
    folds = np.array([bratu.fold(a) for a in anisotropy])
    which = rng.integers(0, len(folds), n)
    draws = {name: rng.uniform(*ends, n) for name, ends in {"to 0.94": (0.1, 0.94), "to 0.985": (0.94, 0.985)}.items()}
    inputs = {name: np.stack([x * folds[which], anisotropy[which]], axis=1) for name, x in draws.items()}
    solve, lu = timed("bratu", bratu, inputs["to 0.94"])
    for name, P in inputs.items():
        for error in (1e-4, 1e-2, 1e-1):
            rows.append(row(f"bratu, {name} of the fold", bratu, P, error, solve, lu))
            command.progress(rows[-1])
    past = np.stack([rng.uniform(1.0001, 1.2, n) * folds[which], anisotropy[which]], axis=1)
    past = past[past[:, 0] <= 9.0]
    beyond = certify(bratu, np.asarray(bratu.attempt_batch(inputs["to 0.94"][: len(past)]).u), past, steps=STEPS)

    for loading in ("stretch", "shear"):
        block = Hyperelastic(loading, cells=8 if quick else 32)
        P = block.inputs.sample(n, seed=3)
        solve, lu = timed(f"hyperelastic, {loading}", block, P)
        for error in (1e-4, 1e-3, 1e-2, 1e-1):
            rows.append(row(f"hyperelastic, {loading}", block, P, error, solve, lu))
            command.progress(rows[-1])
    near = [r for r in rows if "hyper" in r["fields"] and r["error"] <= 1e-2]
    low, high = ([r for r in rows if name in r["fields"]] for name in ("0.94 of", "0.985"))
    holds = {
        "bratu to 0.94 of the fold: bound / error <= 1.01": max(r["max"] for r in low) <= 1.01,
        "bratu to 0.985: bound / error <= 1.1": max(r["max"] for r in high) <= 1.1,
        "bratu beyond the fold: no bound": bool(np.isinf(beyond.upper).all()),
        "hyperelastic to 1e-2: all proved": min(r["proved"] for r in near) == 1.0,
        "hyperelastic to 1e-2: bound / error <= 1.02": max(r["max"] for r in near) <= 1.02,
        "hyperelastic to 1e-2: at most a quarter of a solve": max(r["bound / solve"] for r in near) <= 0.25,
        "hyperelastic to 1e-2: at most a quarter of a solve by sparse LU": max(r["bound / sparse LU"] for r in near)
        <= 0.25,
    }
    return {"rows": rows, "solves": solves, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("A solve", result["solves"]))
    console.print(command.table("Polished bounds: upper bound / error", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
