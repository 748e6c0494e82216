"""Errors under named shifts of the question, and which signal warns of which."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .... import ensemble, problem, sample, shifts
from ....verify.search.distance import distance_from
from ...falsification.tangents import residuals
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="Out of distribution must be named",
    said="in the debate",
    theorem="No test on draws of one law says anything of another law that is not absolutely continuous to it. A "
    "signal made of the inputs and the surrogate cannot see a shift that changes the truth alone.",
    experiment="Random features from 64 solves of five problems, four seeds as an ensemble; errors of the first at "
    "64 draws of every shift that `assay.shifts` names (one input, and all, drawn where their ranges are "
    "wider by half, outside of the box; rougher fields, other boundary data, a doubled grid). Three signals that "
    "need no solve: the residual in its dual norm of the problem as the surrogate knows it, the spread of the "
    "ensemble, the distance to the training inputs. A signal warns of a shift if at least half of its rows are above "
    "the 95 % quantile of the unshifted ones.",
    limits="Small grids, on which doubling one changes much; one surrogate; shifts that this library does not "
    "name are not measured. The threshold of half was chosen, not fitted, and decides: with .35 the "
    "distance warns of all shifts that change the inputs, and the verdict is depends. Whether an input is "
    "in the box, no signal here, tells all of these. On heat and lognormal fields the surrogate is poor "
    "before any shift.",
    rule="Held if on most problems the largest mean error under a shift is more than three times the smallest, "
    "and no signal warns of every shift that doubles the mean error, not even of all those among them "
    "that change the inputs; failed if one signal warns of all that double it; else it depends, also "
    "where an error or a threshold is no number.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"blocks": (2, 1), "cells": 8, "low": 0.3, "high": 3.0},
    "bratu": {"cells": 16},
    "heat": {"cells": 8, "steps": 8},
    "lognormal-diffusion": {"d": 4, "cells": 16},
    "advection-diffusion": {"cells": 16},
}
ROWS, N, SIGNALS = 64, 64, ("residual", "spread", "distance")
UNSHIFTED = "none"


def one(name: str, seed: int, n: int) -> dict[str, Any]:
    """By shift: the mean error, the worst, and of each signal the share of rows above the unshifted 95 %."""
    made = problem(name, **PROBLEMS[name])
    rows = sample(made, ROWS, seed, independent=True)
    together = ensemble(made, "random-features", rows, seeds=4)
    first = together.members[0]
    distance = distance_from(made, rows.inputs).values
    found: dict[str, Any] = {}
    limits = np.full(len(SIGNALS), np.nan)
    for shift in shifts(made, first, n=n, seed=1000 + seed).rows:
        P = shift.inputs
        dual, near = residuals(made, P, np.asarray(first(P)))[1], distance(P)
        signals = np.nan_to_num([dual, together.error_bar(P), near], nan=np.inf)  # what is no number warns
        if shift.name == UNSHIFTED:
            limits = np.quantile(signals, 0.95, axis=1)
        shares = np.where(np.isfinite(limits), (signals > limits[:, None]).mean(axis=1), np.nan)
        found[shift.name] = [shift.mean, shift.worst, *shares]
    return found


def measure(run: Run) -> dict[str, Any]:
    rows = []
    seeds, n = run.seeds(3), 16 if run.quick else N
    for name in list(PROBLEMS)[: 1 if run.quick else None]:
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed, n)) for seed in seeds]
        for shift in (shift for shift in found[0] if all(shift in f for f in found)):
            x = np.array([f[shift] for f in found], dtype=float)
            base = np.array([f[UNSHIFTED][0] for f in found], dtype=float)
            rows.append(
                {
                    "problem": name,
                    "shift": shift,
                    "mean error": mean_of(x[:, 0], logarithms=True),
                    "worst error": float(x[:, 1].max()),
                    "times unshifted": mean_of(x[:, 0] / base, logarithms=True),
                    **{f"{s} warns": float(x[:, 2 + i].mean()) for i, s in enumerate(SIGNALS)},
                    "evidence": EMPIRICAL,
                }
            )
    return {"rows": rows}


def times(row: dict[str, Any]) -> float:
    return float(row["times unshifted"][0])


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    shifted = [row for row in result["rows"] if row["shift"] != UNSHIFTED]
    names = list(dict.fromkeys(row["problem"] for row in shifted))
    factors = {n: [times(row) for row in shifted if row["problem"] == n] for n in names}
    apart = sum(bool(np.isfinite(min(f)) and max(f) > 3 * min(f)) for f in factors.values())
    bad = [row for row in shifted if times(row) >= 2]
    seen = [row for row in bad if row["shift"].startswith("wider")]
    warned = {s: [row for row in bad if float(row[f"{s} warns"]) >= 0.5] for s in SIGNALS}
    of_seen = {s: sum(row in seen for row in some) for s, some in warned.items()}
    numbers = [times(row) for row in shifted] + [float(row[f"{s} warns"]) for row in shifted for s in SIGNALS]
    told = ", ".join(f"the {s} of {len(some)} ({of_seen[s]} of those)" for s, some in warned.items())
    most = max(f for each in factors.values() for f in each)
    sentence = (
        f"Shifts multiply the mean error by up to {most:.2g} and differ by more than three on {apart} of {len(names)} "
        f"problems; {len(bad)} double it at least, {len(seen)} of them by changing the inputs; what warns: {told}."
    )
    if not bad or np.isnan(numbers).any():
        return DEPENDS, sentence
    if any(len(some) == len(bad) for some in warned.values()):
        return FAILED, sentence
    blind = bool(seen) and all(k < len(seen) for k in of_seen.values())
    return (HELD if 2 * apart > len(names) and blind else DEPENDS), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    rows = [row for row in result["rows"] if row["shift"] != UNSHIFTED]
    left, right = figure.subplots(1, 2, sharey=True)
    y = np.arange(len(rows))
    left.barh(y, [times(row) for row in rows], color="#56b4e9", log=True)
    left.axvline(1, color="black", linewidth=0.8)
    left.set_yticks(y, [f"{row['problem']}: {row['shift']}" for row in rows], fontsize=5)
    left.set(xlabel="mean error, times unshifted")
    for signal, colour in zip(SIGNALS, ("#0072b2", "#d55e00", "#009e73"), strict=True):
        right.plot([row[f"{signal} warns"] for row in rows], y, "o", color=colour, label=signal, markersize=3)
    right.axvline(0.5, color="black", linewidth=0.8)
    right.set(xlabel="share of rows above the unshifted 95 %")
    right.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
