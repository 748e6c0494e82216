"""The statistical guard's promise, and the conformal bars', over repeated calibrations: how often are they broken?

Pools of solved draws stand for the law, so that the share of failures among accepted answers is known exactly and a
calibration costs no solve. Three problems (proved bounds, residuals, a black box), a better and a worse surrogate each,
at three tolerances: half of it is beyond 95 % of errors; just over 5 % are beyond it, so that "accept all" would be
wrong by little, which is the hardest to tell; 20 % are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console
from scipy.stats import binom

from ...solvers.box import Box
from ...solvers.problem import Problem
from ...solvers.problems.black_box import black_box
from ...solvers.problems.catalogue import problem as known
from ...solvers.snapshots.sample import sample
from ...surrogates.training.train import train
from ...verify.answers.evaluate import captured, evaluate
from ...verify.search.signal import make_signal
from ...verify.statistics.calibration import COMMITTEE
from ...verify.statistics.committee import Committee
from ...verify.statistics.conformal import weighted_quantile
from ...verify.statistics.errors import scaled_errors
from ...verify.statistics.laws import largest_ratio, ratio
from ...verify.statistics.thresholds import qualified
from .. import command

DRAWS, FREE = 200, 1000  # of a calibration: solved, and without a solve
MISCOVERAGE, CONFIDENCE = 0.05, 0.95
JUST = 0.002  # beyond the miscoverage: where "accept all" is wrong by least
ROWS, LEVEL = 100, 0.9  # of conformal bars
RECALIBRATIONS = 200
TAIL = 0.025 / 12  # of the binomial band, so that all 12 rows lie in theirs with 95 %


def oscillation(p: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 24"]:
    """A decaying oscillation in time."""
    t = np.linspace(0, 1, 24)
    return np.cos(p[0] * t) * np.exp(-p[1] * t) + p[2]


def problems() -> dict[str, tuple[Problem, dict[str, int]]]:
    """By name, with the surrogates and the snapshots that they are trained on."""
    box = Box(("frequency", "decay", "offset"), np.array([2.0, 0.5, 0.5]), np.array([9.0, 4.0, 1.5]))
    return {
        "thermal-block": (known("thermal-block", blocks=(2, 2), cells=8), {"kernel-ridge": 64, "linear": 64}),
        "allen-cahn": (known("allen-cahn", cells=16, steps=16), {"kernel-ridge": 64, "linear": 64}),
        "black box": (black_box(oscillation, box, name="oscillation"), {"kernel-ridge": 64, "linear": 64}),
    }


@dataclass(frozen=True)
class Pool:
    """Draws with their errors and signals; every answer is a field."""

    box: Box
    inputs: Float[np.ndarray, "n d"]
    errors: Float[np.ndarray, " n"]
    signals: Float[np.ndarray, " n"]
    kind: str


def pool_of(problem: Problem, architecture: str, snapshots: int, size: int) -> Pool:
    model = captured(train(problem, architecture, sample(problem, snapshots, seed=1)))
    P = problem.inputs.draw(size, seed=2)
    truths = np.asarray(problem.attempt_batch(P).u)
    answers = evaluate(model, P, problem)
    signal = make_signal(problem, model, problem.zero_scale)
    errors, _ = scaled_errors(problem, P, answers, truths, problem.zero_scale)
    keep = np.isfinite(errors)
    return Pool(problem.inputs, P[keep], errors[keep], signal.values(P)[keep], signal.kind)


def calibrated(pool: Pool, failed: Bool[np.ndarray, " n"], seed: int) -> tuple[float, float]:
    """Of one calibration: the share of failures among accepted answers (NaN where none is), and the share accepted."""
    rng = np.random.default_rng([seed, 31])
    rows, free = rng.integers(len(failed), size=DRAWS), rng.integers(len(failed), size=FREE)
    kind, signals, trained = pool.kind, pool.signals, 0
    if kind == "none":
        kind, trained = COMMITTEE, DRAWS // 2
        half = rows[:trained]
        signals = Committee(pool.box, pool.inputs[half], pool.errors[half], seed)(pool.inputs)
    good = np.ones(DRAWS, dtype=bool)
    chosen = qualified(signals[rows], failed[rows], good, signals[free], trained, MISCOVERAGE, CONFIDENCE)
    accepted = signals <= chosen.threshold
    return float(failed[accepted].mean()) if accepted.any() else np.nan, float(accepted.mean())


def tolerances(errors: Float[np.ndarray, " n"]) -> dict[str, float]:
    """What each case allows."""
    half, over, bad = np.quantile(errors, [0.95, 1 - MISCOVERAGE - JUST, 0.8])
    return {"95 % within half": 2 * float(half), "5.2 % beyond": float(over), "20 % beyond": float(bad)}


def guard_rows(name: str, architecture: str, pool: Pool, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for case, tolerance in tolerances(pool.errors).items():
        failed = pool.errors > tolerance
        found = np.array([calibrated(pool, failed, seed) for seed in range(repeats)])
        rows.append(
            {
                "problem": name,
                "surrogate": architecture,
                "signal": pool.kind if pool.kind != "none" else COMMITTEE,
                "tolerance": case,
                "beyond it": float(failed.mean()),
                "broken": float((found[:, 0] > MISCOVERAGE).mean()),
                "none qualified": float(np.isnan(found[:, 0]).mean()),
                "accepted": float(found[:, 1].mean()),
            }
        )
        command.progress(rows[-1])
    return rows


def conformal_row(
    name: str, architecture: str, pool: Pool, weights: Float[np.ndarray, " n"], new: float, repeats: int
) -> dict[str, Any]:
    """New errors within the bars: one draw from the queries' law for each recalibration, and all of them."""
    rng, within, shares = np.random.default_rng(41), 0, []
    queries = weights / weights.sum()
    for _ in range(repeats):
        rows = rng.integers(len(weights), size=ROWS)
        bar = weighted_quantile(pool.errors[rows], weights[rows], new, LEVEL)
        within += int(pool.errors[rng.choice(len(weights), p=queries)] <= bar)
        shares.append(float(queries[pool.errors <= bar].sum()))
    return {
        "problem": name,
        "surrogate": architecture,
        "law": "the sampled" if new == 1.0 else "another",
        "level": LEVEL,
        "within": within,
        "of": repeats,
        "at least": int(binom.ppf(TAIL, repeats, LEVEL)),
        "at most": int(binom.ppf(1 - TAIL, repeats, np.ceil((ROWS + 1) * LEVEL) / (ROWS + 1))) if new == 1 else repeats,
        "mean coverage": float(np.mean(shares)),
    }


def measure(quick: bool) -> dict[str, Any]:
    repeats, size = (30, 400) if quick else (300, 3000)
    most = MISCOVERAGE + 2 * np.sqrt(MISCOVERAGE * (1 - MISCOVERAGE) / repeats)
    guards, bars, holds = [], [], {}
    for name, (problem, surrogates) in problems().items():
        for architecture, snapshots in surrogates.items():
            pool = pool_of(problem, architecture, snapshots, size)
            guards += guard_rows(name, architecture, pool, repeats)
            even = np.ones(len(pool.errors))
            other = _other_law(problem.inputs)
            weights, new = ratio(other, problem.inputs, pool.inputs), largest_ratio(other, problem.inputs)
            count = 40 if quick else RECALIBRATIONS
            bars.append(conformal_row(name, architecture, pool, even, 1.0, count))
            bars.append(conformal_row(name, architecture, pool, weights, new, count))
    for row in guards:
        about = f"{row['problem']}, {row['surrogate']}, {row['tolerance']}"
        holds[f"{about}: broken in at most 5 % of calibrations + 2 standard errors"] = bool(row["broken"] <= most)
        if row["tolerance"] == "95 % within half":
            holds[f"{about}: 80 % accepted"] = row["accepted"] >= 0.8
    for row in bars:
        about = f"{row['problem']}, {row['surrogate']}, {row['law']} law"
        holds[f"conformal, {about}: within its binomial band"] = row["at least"] <= row["within"] <= row["at most"]
    return {"guards": guards, "bars": bars, "holds": holds}


def _other_law(box: Box) -> Box:
    """The upper three quarters of the first input, evenly in its own scale."""
    X = np.zeros((1, box.dimension))
    X[0, 0] = 0.25
    lower = np.where(np.arange(box.dimension) == 0, box.from_unit(X)[0], box.lower)
    return box.replace(lower=lower)


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"Calibrations of {DRAWS} draws", result["guards"]))
    console.print(command.table(f"Conformal bars of {ROWS} rows", result["bars"]))


if __name__ == "__main__":
    raise SystemExit(command.run(__doc__, measure, show))
