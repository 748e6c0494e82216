"""The lid-driven cavity: are bounds right, how sharp, what do they cost beside a solve, does a guard let anything out.

One set of inputs, most of them with reynolds up to 300 and the others up to 1000, and their truths at the tightest
tolerance that rounding allows. Then

    soundness   fields good, awful, rough, smooth, of other inputs, changed by one ulp: bounds against true errors
    sharpness   the default certificate of a trained network, by range of reynolds: share bounded, bound / error, time
    guard       at 1 %: that network and broken ones; answers against the truths

Times are of one thread, in batches; solves of the same inputs in the same run, by the problem and by what corrects
fields, with its stored factors and without a proof (the fastest truth, once these constants are there). The time of
``assay.prepare`` is that of this run, and of no stage where the constants are kept already.

    python -m assay.benchmarks.flow.cavity [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...solvers.batching import RowMap
from ...solvers.problems.cavity import Cavity
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.certify import STEPS, certify
from ...verify.guard import guard
from ...verify.prepare import prepare
from ...verify.proofs.prover import proof_of
from .. import command
from ..soundness.true_error import Interval, Tally, TrueError, check

STABLE = 300.0  # the reynolds up to which claims of sharpness are made for stability in energy
TIGHTEST = 1e-12
TOLERANCE = 1e-2
FLOORS = 100
Faults = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]  # (inputs, healthy fields) -> fields


class Truths:
    """Inputs, solved at their tightest, and what is known of their errors."""

    def __init__(self, problem: Cavity, low: int, high: int) -> None:
        box, top = problem.inputs, min(STABLE, problem.reynolds[1])
        parts = [box.replace(upper=[top, box.upper[1]]).sample(low, seed=5)]
        if high:
            parts.append(box.replace(lower=[top, box.lower[1]]).sample(high, seed=6))
        P = np.concatenate(parts)
        tight = RowMap(lambda p: _unpolished(problem, p))
        U = np.asarray(tight(P))
        start = time.perf_counter()
        usual = np.asarray(problem.attempt_batch(P).u)
        self.solve_ms = 1e3 * (time.perf_counter() - start) / len(P)
        good = np.isfinite(usual).all(axis=1) & np.isfinite(U).all(axis=1)
        self.unsolved = int((~good).sum())
        self.P, self.U = P[good], U[good]
        self.error = TrueError(problem)
        size, slack = self.error._norm(self.P, self.U)
        b = np.asarray(certify(problem, self.U, self.P, steps=0).upper) + slack
        b = np.where(np.isfinite(b), b, 1e-6 * size)  # where nothing is proved of the truth itself
        self.norms = Interval(size, size - b, size + b)

    @property
    def stable(self) -> np.ndarray:
        return np.asarray(self.P[:, 0] <= STABLE)

    def errors(self, fields: np.ndarray, rows: Any = slice(None)) -> tuple[Interval, Interval]:
        norms = Interval(*(x[rows] for x in self.norms))
        return self.error(self.P[rows], self.U[rows], norms, fields), norms


def _unpolished(problem: Cavity, p: jax.Array) -> jax.Array:
    """The root as far as Newton's method gets, accepted or not: near ``TIGHTEST`` rounding may stall it."""
    return problem.field(p, problem._find(p, TIGHTEST).u)


def kinds(problem: Cavity, U: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Fields by name, zero on the boundary."""
    rng, size = np.random.default_rng(0), np.abs(U).max(axis=1, keepdims=True)
    other = np.roll(U, 1, axis=0)
    yield "the truth", U
    yield "one ulp up", np.where(problem.free, np.nextafter(U, np.inf), U)
    yield "one ulp in one node", _one_ulp(problem, U, rng)
    for a in (1e-9, 1e-5, 1e-2, 3.0):
        yield f"scaled by 1 + {a:g}", U * (1 + a)
    for a in (1e-6, 1e-3, 0.1, 1.0):
        yield f"towards another, {a:g}", (1 - a) * U + a * other
    for a in (1e-9, 1e-6, 1e-3, 0.1, 1e3):
        yield f"rough, {a:g}", U + a * size * rng.standard_normal(U.shape) * problem.free
    yield "zero", np.zeros_like(U)
    yield "minus the truth", -U


def _one_ulp(problem: Cavity, U: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    V = U.copy()
    node = rng.choice(np.flatnonzero(problem.free), len(V))
    rows = np.arange(len(V))
    V[rows, node] = np.nextafter(V[rows, node], np.inf)
    return V


def soundness(problem: Cavity, truths: Truths, n: int) -> list[dict[str, Any]]:
    rows, some = [], np.random.default_rng(1).permutation(len(truths.P))[:n]
    for effort in (0, STEPS):
        tally = Tally()
        for name, V in kinds(problem, truths.U[some]):
            error, norms = truths.errors(V, some)
            found = certify(problem, V, truths.P[some], steps=effort)
            tally.add(check(found, error, norms, f"{name}, effort {effort}"))
        rows.append(
            {
                "effort": effort,
                "fields": tally.certificates,
                "violations": tally.violations,
                "without a bound": tally.infinite,
                "worst": "; ".join(tally.worst[:2]),
            }
        )
        command.progress(f"soundness, effort {effort}: {tally.certificates} fields, {tally.violations} violations")
    return rows


def sharpness(problem: Cavity, truths: Truths, surrogate: Callable[..., Any]) -> list[dict[str, Any]]:
    rows = []
    for name, which in ((f"to {STABLE:g}", truths.stable), ("beyond", ~truths.stable)):
        P = truths.P[which]
        if not len(P):
            continue
        N = np.asarray(surrogate(P))
        certify(problem, N[:1], P[:1])  # compiled
        start = time.perf_counter()
        found = certify(problem, N, P)
        first = time.perf_counter() - start  # with the factors of cells that are met for the first time
        start = time.perf_counter()
        found = certify(problem, N, P)
        spent = time.perf_counter() - start
        start = time.perf_counter()
        problem.attempt_batch(P[:200])
        solve = (time.perf_counter() - start) / len(P[:200])
        stored = _stored_solve(problem, P)
        error, norms = truths.errors(N, np.flatnonzero(which))
        ratio = found.relative_upper * norms.value / error.value
        rows.append(
            {
                "reynolds": name,
                "inputs": len(P),
                "bounded": float(np.isfinite(found.relative_upper).mean()),
                "median error": float(np.median(error.value / norms.value)),
                "worst error": float(np.max(error.value / norms.value)),
                "median": float(np.median(ratio)),
                "p95": float(np.quantile(ratio, 0.95, method="higher")),
                "max": float(ratio.max()),
                "ms a bound": 1e3 * spent / len(P),
                "ms the first time": 1e3 * first / len(P),
                "ms a solve": 1e3 * solve,
                "ms a stored solve": 1e3 * stored,
                "violations": check(found, error, norms).violations,
            }
        )
        command.progress(rows[-1])
    return rows


def _stored_solve(problem: Cavity, P: np.ndarray) -> float:
    """Seconds of what corrects fields when it has none: the cell's base, steps with its factors, no proof."""
    proof: Any = proof_of(problem)
    solve = RowMap(lambda p: proof.correct_row(p, np.zeros(problem.size), STEPS))
    solve(P)
    start = time.perf_counter()
    solve(P)
    return (time.perf_counter() - start) / len(P)


def faults(problem: Cavity) -> Faults:
    rng = np.random.default_rng(2)
    size = lambda N: np.abs(N).max(axis=1, keepdims=True)  # noqa: E731

    def sometimes_nan(P: np.ndarray, N: np.ndarray) -> np.ndarray:
        return np.where((np.arange(len(N)) % 2 == 0)[:, None], np.nan, N)

    return {
        "healthy": lambda P, N: N,
        "scaled by 1.011": lambda P, N: 1.011 * N,
        "scaled by -1": lambda P, N: -N,
        "rough, 1e-3": lambda P, N: N + 1e-3 * size(N) * rng.standard_normal(N.shape) * problem.free,
        "rough, 1": lambda P, N: N + size(N) * rng.standard_normal(N.shape) * problem.free,
        "of another input": lambda P, N: np.roll(N, 1, axis=0),
        "mirrored": lambda P, N: N.reshape(len(N), problem.cells + 1, -1)[:, ::-1].reshape(len(N), -1),
        "NaN in every second": sometimes_nan,
        "boundary off": lambda P, N: N + 0.01 * ~problem.free,
    }


def guarded(problem: Cavity, truths: Truths, surrogate: Callable[..., Any]) -> list[dict[str, Any]]:
    rows, current = [], "healthy"
    broken = faults(problem)
    keep = guard(problem, lambda P: broken[current](P, np.asarray(surrogate(P))), TOLERANCE)
    keep.warm_up()
    for name in broken:
        current = name
        for where, which in (("to 300", truths.stable), ("beyond", ~truths.stable)):
            P = truths.P[which]
            if not len(P):
                continue
            start = time.perf_counter()
            answer = keep(P)
            spent = time.perf_counter() - start
            error, norms = truths.errors(answer.u, np.flatnonzero(which))
            rows.append(
                {
                    "surrogate": name,
                    "reynolds": where,
                    "queries": len(P),
                    "escapes": int((~(error.low <= TOLERANCE * norms.high)).sum()),
                    "worst error": float(np.max(error.value / norms.value)),
                    **answer.counts,
                    "ms a query": 1e3 * spent / len(P),
                }
            )
            command.progress(rows[-1])
    return rows


def measure(quick: bool) -> dict[str, Any]:
    if quick:
        problem, low, high, some, snapshots, seconds = Cavity(cells=16, reynolds=(50.0, 350.0)), 20, 8, 20, 60, 5.0
    else:
        problem, low, high, some, snapshots, seconds = Cavity(), 1000, 150, 330, 150, 40.0
    start = time.perf_counter()
    made = prepare(problem, progress=lambda *now: command.progress(now))
    offline = time.perf_counter() - start
    truths = Truths(problem, low, high)
    command.progress(f"truths: {len(truths.P)}, {truths.solve_ms:.0f} ms each, {truths.unsolved} not solved")
    surrogate = train(problem, "pod-mlp", sample(problem, snapshots), seed=0, seconds=seconds)
    command.progress("trained")
    sharp = sharpness(problem, truths, surrogate)
    sound = soundness(problem, truths, some)
    let_out = guarded(problem, truths, surrogate)
    first = sharp[0]
    return {
        "offline": {
            "seconds": offline,
            **{how: sum(1 for was, _ in made.stages.values() if was == how) for how in ("made", "kept")},
            "seconds of stability in energy": sum(s for name, (_, s) in made.stages.items() if name[0] in "ec"),
            "MB": made.size / 1e6,
        },
        "solve": {"ms": truths.solve_ms, "inputs": len(truths.P), "not solved": truths.unsolved},
        "sharpness": sharp,
        "soundness": sound,
        "guard": let_out,
        "holds": {
            "no bound misses a true error": all(row["violations"] == 0 for row in [*sharp, *sound]),
            f"all bounded to reynolds {STABLE:g}": first["bounded"] == 1.0,
            "p95 of bound / error <= 1.01, max <= 1.1": first["p95"] <= 1.01 and first["max"] <= 1.1,
            "nothing beyond the tolerance gets out": all(row["escapes"] == 0 for row in let_out),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Constants, made or kept", [result["offline"]]))
    console.print(command.table("Solves", [result["solve"]]))
    console.print(command.table("Certificates of a trained network: bound / error", result["sharpness"]))
    console.print(command.table("Bounds against true errors", result["soundness"]))
    console.print(command.table(f"Guard at {TOLERANCE:g}", result["guard"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
