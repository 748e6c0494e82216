"""What an error at training inputs says of an error elsewhere."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .... import conformal, problem, sample, train
from ....run_training import errors_at
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="Never test on training inputs",
    said="in the debate; the oldest rule of statistical learning",
    theorem="An interpolant, such as the nearest neighbour, has no error at its training inputs whatever it does "
    "elsewhere: nothing can follow from that number.",
    experiment="Surrogates of three problems, each from 64 random solves. Errors at these inputs, at a test set of "
    "256 of which one half are training inputs, and at 256 fresh inputs; factors between them over seeds. "
    "And whether this library's own statistics (`assay.conformal`) take the training rows as if they were "
    "fresh.",
    limits="Small grids, few samples; networks stop early. With many more samples the two errors approach each other.",
    rule="Held if the mean error at fresh inputs is more than twice that at training inputs (lower end of the "
    "interval) for at least three quarters of the pairs of problem and surrogate; failed if for less than "
    "a quarter, those without a number counted; else it depends.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"blocks": (2, 2), "cells": 8},
    "bratu": {"cells": 16},
    "heat": {"cells": 8, "steps": 8},
}
SURROGATES: dict[str, dict[str, Any]] = {
    "nearest": {},
    "polynomial": {},
    "kernel-ridge": {},
    "gaussian-process": {},
    "mlp": {"steps": 300, "base": "mean"},
    "pod-mlp": {"steps": 100, "physics_weight": 0.0},
}
ROWS, TESTS, TWICE = 64, 256, 2.0


def one(name: str, seed: int, surrogates: dict[str, Any]) -> dict[str, Any]:
    """Mean errors (training inputs, half and half, fresh), worst ones, and whether training rows passed as fresh."""
    made = problem(name, **PROBLEMS[name])
    rows = sample(made, ROWS, seed, independent=True)
    fresh = sample(made, TESTS, 1000 + seed, independent=True)
    found = {}
    for architecture, options in surrogates.items():
        model = train(made, architecture, rows, seed=seed, **options)
        own, other = errors_at(made, model, rows).errors, errors_at(made, model, fresh).errors
        mixed = (own.mean() + other.mean()) / 2
        found[architecture] = [own.mean(), mixed, other.mean(), own.max(), other.max(), taken(made, model, rows)]
    return found


def taken(made: Any, model: Any, rows: Any) -> bool:
    try:
        conformal(made, model, rows)
    except ValueError:
        return False
    return True


def measure(run: Run) -> dict[str, Any]:
    seeds = run.seeds(3)
    names = list(PROBLEMS)[: 1 if run.quick else 3]
    surrogates = {k: v for k, v in SURROGATES.items() if not run.quick or "mlp" not in k}
    rows = []
    for name in names:
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed, surrogates)) for seed in seeds]
        for surrogate in surrogates:
            x = np.maximum([f[surrogate][:5] for f in found], 1e-15)
            rows.append(
                {
                    "problem": name,
                    "surrogate": surrogate,
                    "at training inputs": mean_of(x[:, 0], logarithms=True),
                    "half of them": mean_of(x[:, 1], logarithms=True),
                    "fresh": mean_of(x[:, 2], logarithms=True),
                    "worst fresh / worst trained": float(np.median(x[:, 4] / x[:, 3])),
                    "fresh / trained": mean_of(x[:, 2] / x[:, 0], logarithms=True),
                    "assay.conformal takes them": any(f[surrogate][5] for f in found),
                    "evidence": EMPIRICAL,
                }
            )
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    rows = result["rows"]
    factors = [[float(x) for x in row["fresh / trained"]] for row in rows]
    misled, unknown = sum(low > TWICE for _, low, _ in factors), int(np.isnan(factors).any(axis=1).sum())
    least, most = min(f[0] for f in factors), max(f[0] for f in factors)
    refused = sum(not row["assay.conformal takes them"] for row in rows)
    sentence = (
        f"Errors at fresh inputs are {least:.2g} to {most:.2g} times those at training inputs, with their intervals "
        f"more than twice in {misled} of {len(rows)} pairs; this library's conformal bars refused training rows in "
        f"{refused} of them."
    )
    share, at_most = misled / len(rows), (misled + unknown) / len(rows)
    return (HELD if share >= 0.75 else FAILED if at_most < 0.25 else DEPENDS), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    rows = result["rows"]
    for x, row in enumerate(rows):
        values = [max(float(row[k][0]), 1e-9) for k in ("at training inputs", "half of them", "fresh")]
        axes.plot([x] * 3, values, "-", color="#999999", zorder=1)
        for value, colour in zip(values, ("#0072b2", "#cc79a7", "#d55e00"), strict=True):
            axes.plot(x, value, "o", color=colour)
    for label, colour in (("training inputs", "#0072b2"), ("half of them", "#cc79a7"), ("fresh", "#d55e00")):
        axes.plot([], [], "o", color=colour, label=label)
    ticks = [row["surrogate"] for row in rows]
    for name in dict.fromkeys(row["problem"] for row in rows):
        middle = np.mean([x for x, row in enumerate(rows) if row["problem"] == name])
        axes.text(middle, 1.5, name, ha="center", fontsize=8)
    axes.set_xticks(range(len(rows)), ticks, rotation=45, ha="right", fontsize=7)
    axes.set(yscale="log", ylabel="mean relative error", ylim=(3e-10, 8))
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize=7, loc="lower center")
