"""Guarded surrogates, broken ones among them, on every problem with proofs: what gets out, and what it costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .... import guard, problem, sample, train
from ....solvers.batching import RowMap
from ...tables.fairness import timed
from ..claim import DEPENDS, FAILED, HELD, PROVED, Claim
from ..run import Run, mean_of, share_of

CLAIM = Claim(
    claim="A finite-element approximator that never collapses and is faster than the hard simulation cannot be shown",
    said="in the debate",
    theorem="An answer is accepted only where a bound of its error is proved within the tolerance, else corrected "
    "and proved anew, else solved: no answer above the tolerance can get out, whatever the surrogate "
    "does.",
    experiment="Guards at 1 % around surrogates of every problem with proofs: one trained on 96 solves, and the same "
    "one scaled by 1.03, with noise of 10 %, with the answer of another row, with NaN in every other row; "
    "at last a small thermal block, until there are a million queries. An answer that is off by more than "
    "the tolerance is an escape. Speed: time of a query to the guarded healthy surrogate against the "
    "solver on the same grid at the loosest of eight tolerances whose worst error over the same inputs is "
    "no larger, both in batches of 200, the least of three times.",
    limits="Small grids and one core, where solvers are at their fastest; errors are against the discrete "
    "solution; coarser grids, which may be faster still, are on the page Table. Zero escapes in n queries "
    "alone would support no more than 3/n.",
    rule="Failed (it can be shown) if nothing escapes and the guarded healthy surrogate is faster on every "
    "problem; held if an answer escapes or it is faster nowhere; else it depends on the problem.",
)
PROBLEMS: dict[str, tuple[dict[str, Any], int]] = {  # settings, and queries of a seed to each surrogate
    "thermal-block": ({"blocks": (2, 2), "cells": 64, "low": 0.3, "high": 3.0}, 400),
    "elasticity": ({"cells": 16}, 200),
    "lognormal-diffusion": ({"d": 4, "cells": 32}, 200),
    "advection-diffusion": ({"cells": 32}, 400),
    "helmholtz": ({"cells": 32}, 400),
    "bratu": ({"cells": 32}, 400),
    "hyperelastic": ({"cells": 8}, 100),
    "heat": ({"cells": 16, "steps": 16}, 200),
    "burgers": ({"cells": 64, "steps": 25}, 400),
    "thermal-block, small": ({"blocks": (2, 1), "cells": 8, "low": 0.3, "high": 3.0}, 65_000),
}
TOLERANCE, SLACK = 1e-2, 1e-9
KINDS = ("healthy", "scaled", "noise", "other rows", "NaN")
PARTS = (slice(1), slice(1, None))  # healthy and broken ones
LOOSENED = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, None)


class Spoilt:
    """A surrogate that breaks in the way of ``kind``: in its fields, or in its coefficients in its basis."""

    def __init__(self, model: Any) -> None:
        self.model, self.kind, self.rng = model, "healthy", np.random.default_rng(0)
        if getattr(model, "basis", None) is not None:
            self.basis, self.coefficients = model.basis, lambda P: self.spoil(model.coefficients(P))

    def __call__(self, P: Any) -> np.ndarray:
        return self.spoil(self.model(P))

    def spoil(self, values: Any) -> np.ndarray:
        U = np.array(values, dtype=np.float64)
        factor: Any = {"scaled": 1.03, "noise": 1 + 0.1 * self.rng.standard_normal(U.shape)}.get(self.kind, 1.0)
        if self.kind == "NaN":
            U[::2] = np.nan
        return (U[::-1].copy() if self.kind == "other rows" else U) * factor


def one(name: str, seed: int, queries: int) -> dict[str, Any]:
    """Queries, escapes, accepted, polished, solved, unanswered: of the healthy surrogate, of all broken ones; times."""
    made = problem(name.split(",")[0], **PROBLEMS[name][0])
    model = train(made, "kernel-ridge", sample(made, 96, seed), seed=seed)
    P = made.inputs.draw(queries, 1000 + seed)
    U, spoilt = np.asarray(made.solve_batch(P)), Spoilt(model)
    guarded, relative = guard(made, spoilt, TOLERANCE), RowMap(lambda p, u, t: made.relative_error(p, u, t))
    counts, worst = [], 0.0
    for spoilt.kind in KINDS:
        answer = guarded(P)
        errors = np.asarray(relative(P, answer.u, U))[np.isfinite(answer.u).all(axis=1)]
        escapes = int((~(errors <= TOLERANCE * (1 + SLACK))).sum())
        counts.append([len(P), escapes, *(answer.counts[k] for k in ("accepted", "polished", "solved", "failed"))])
        worst = worst or float(errors.max())  # of the healthy one, which comes first
    spoilt.kind, few = "healthy", P[:200]
    mine, theirs = timed(lambda: guarded(few), len(few)).low, np.inf
    for loose in LOOSENED:
        if np.max(relative(P[:1000], np.asarray(made.attempt_batch(P[:1000], loose).u), U[:1000])) <= max(worst, 1e-12):
            theirs = timed(partial(made.attempt_batch, few, loose), len(few)).low
            break
    return {"counts": counts, "microseconds": 1e6 * mine, "speed": theirs / mine}


def measure(run: Run) -> dict[str, Any]:
    seeds, rows = run.seeds(3), []
    for name in ("burgers",) if run.quick else PROBLEMS:
        n = 50 if run.quick else PROBLEMS[name][1]
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed, n)) for seed in seeds]
        healthy, spoilt = (np.sum([np.sum(f["counts"][some], axis=0) for f in found], axis=0) for some in PARTS)
        rows.append(
            {
                "problem": name,
                "queries": int(healthy[0] + spoilt[0]),
                "escapes": share_of(int(healthy[1] + spoilt[1]), int(healthy[0] + spoilt[0])),
                "unanswered": int(healthy[5] + spoilt[5]),
                "healthy: accepted": float(healthy[2] / healthy[0]),
                "healthy: solved": float(healthy[4] / healthy[0]),
                "broken: solved": float(spoilt[4] / spoilt[0]),
                "microseconds a query": mean_of([f["microseconds"] for f in found], logarithms=True),
                "times as fast as the solver": mean_of([f["speed"] for f in found], logarithms=True),
                "evidence": PROVED,
            }
        )
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    rows, queries = result["rows"], sum(row["queries"] for row in result["rows"])
    escapes = sum(round(row["escapes"][0] * row["queries"]) for row in rows)
    faster = {row["problem"]: row["times as fast as the solver"][0] for row in rows}
    winners = [f"{name} {speed:.2g} times" for name, speed in faster.items() if speed > 1]
    sure = sum(row["times as fast as the solver"][1] > 1 for row in rows)
    sentence = (
        f"{escapes} escapes in {queries} queries; faster than the solver at the same worst error on {len(winners)} of "
        f"{len(rows)} problems ({', '.join(winners) or 'none'}; {sure} with the whole interval), at worst "
        f"{1 / min(faster.values()):.2g} times as slow."
    )
    if escapes or not winners:
        return HELD, sentence
    return (FAILED if len(winners) == len(rows) else DEPENDS), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    rows, y = result["rows"], np.arange(len(result["rows"]))
    left, right = figure.subplots(1, 2, sharey=True)
    middle, low, high = np.array([row["times as fast as the solver"] for row in rows], dtype=float).T
    left.errorbar(middle, y, xerr=[middle - low, high - middle], fmt="o", color="#0072b2", markersize=5)
    left.axvline(1, color="black", linewidth=0.8)
    left.set(xscale="log", xlabel="times as fast, at the same worst error")
    left.set_yticks(y, [row["problem"] for row in rows], fontsize=8)
    for key, colour in (
        ("healthy: accepted", "#56b4e9"),
        ("healthy: solved", "#cc79a7"),
        ("broken: solved", "#d55e00"),
    ):
        right.plot([row[key] for row in rows], y, "o", color=colour, label=key)
    right.set(xlabel="share of queries")
    right.legend(fontsize=7)
    left.grid(alpha=0.3)
