"""Where the surrogate's tangent matches the solver's badly: do failures lie there?"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from .... import problem, sample, tangent_map, train
from ....run_training import errors_at
from ...falsification.tangents import residuals
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_share_of

CLAIM = Claim(
    claim="Match the network's manifold to the equation's; it breaks in the hulls of low match",
    said="in the debate",
    theorem="The error changes along a path as the difference of the two Jacobians says; where that difference is "
    "large, and changes slowly (both maps of bounded curvature), so is the error a step away or at the "
    "point itself. Nothing says that it is large nowhere else.",
    experiment="Kernel ridge regression from 64 solves of three problems. At 150 probes of the box the relative "
    "error of the surrogate's input Jacobian (`assay.tangent_map`), its residual, and a random number; "
    "the fifth of the probes with the largest signal mark the cells nearest to them, for each signal. "
    "Failures are the worst tenth of 1000 fresh inputs; the share of them inside these cells, against the "
    "share of all inputs there, the volume.",
    limits="Cells of probes in the place of hulls. A fifth of the probes need not be a fifth of the box: by "
    "chance and by the sizes of their cells the volumes differ between signals, so that shares are "
    "compared as multiples of them. Few inputs (2 to 4); the residual costs no solve, the Jacobian a "
    "solve and its derivatives.",
    rule="Held if the low match catches more failures than chance (lower end of the interval above the volume) "
    "on every problem and, per volume, at least as many as the residual on at least half; failed if no "
    "more than chance on all; else it depends.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"blocks": (2, 2), "cells": 8},
    "bratu": {"cells": 16},
    "heat": {"cells": 8, "steps": 8},
}
ROWS, PROBES, TESTS, VOLUME, FAILING = 64, 150, 1000, 0.2, 0.1
SIGNALS = ("low match", "residual", "random")


def one(name: str, seed: int, probes: int, tests: int) -> dict[str, Any]:
    """By signal: the share of failures inside its cells, and the share of all inputs there."""
    made = problem(name, **PROBLEMS[name])
    model = train(made, "kernel-ridge", sample(made, ROWS, seed, independent=True), seed=seed)
    P = made.inputs.draw(probes, 1000 + seed)
    fresh = sample(made, tests, 2000 + seed, independent=True)
    errors = errors_at(made, model, fresh).errors
    failing = errors > np.quantile(errors, 1 - FAILING)
    signals = {
        "low match": np.nan_to_num(tangent_map(made, model, P).jacobian_errors, nan=np.inf),
        "residual": residuals(made, P, np.asarray(model(P)))[1],
        "random": np.random.default_rng(seed).random(probes),
    }
    nearest = cKDTree(made.inputs.to_unit(P)).query(made.inputs.to_unit(fresh.inputs))[1]
    found = {}
    for signal, values in signals.items():
        inside = (values >= np.quantile(values, 1 - VOLUME))[nearest]
        found[signal] = [float(inside[failing].mean()), float(inside.mean())]
    return found


def measure(run: Run) -> dict[str, Any]:
    rows = []
    seeds = run.seeds(3)
    sizes = (40, 100) if run.quick else (PROBES, TESTS)
    for name in list(PROBLEMS)[: 1 if run.quick else None]:
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed, *sizes)) for seed in seeds]
        for signal in SIGNALS:
            caught, volume = np.array([f[signal] for f in found]).T
            rows.append(
                {
                    "problem": name,
                    "signal": signal,
                    "failures inside": mean_share_of(caught),
                    "volume": mean_share_of(volume),
                    "times chance": float(caught.mean() / volume.mean()),
                    "evidence": EMPIRICAL,
                }
            )
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    by = {(row["problem"], row["signal"]): row for row in result["rows"]}
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    low = [by[name, "low match"] for name in names]
    above = sum(float(row["failures inside"][1]) > float(row["volume"][0]) for row in low)
    beside = sum(float(by[n, "low match"]["times chance"]) >= float(by[n, "residual"]["times chance"]) for n in names)
    volumes = [float(row["volume"][0]) for row in result["rows"] if row["signal"] in SIGNALS[:2]]
    told = [", ".join(f"{100 * float(by[n, s]['failures inside'][0]):.0f}" for n in names) for s in SIGNALS[:2]]
    sentence = (
        f"Of the worst tenth of inputs {told[0]} % lie in the cells of the lowest match ({', '.join(names)}), "
        f"{told[1]} % in those of the largest residual, {100 * min(volumes):.0f} to {100 * max(volumes):.0f} % of the "
        f"box: more than chance on {above} of {len(names)}, per volume as many as the residual on {beside}."
    )
    if above == len(names) and 2 * beside >= len(names):
        return HELD, sentence
    return (DEPENDS if above else FAILED), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    for i, (signal, colour) in enumerate(zip(SIGNALS, ("#d55e00", "#0072b2", "#999999"), strict=True)):
        shares = np.array([row["failures inside"] for row in result["rows"] if row["signal"] == signal])
        x = np.arange(len(names)) + 0.25 * (i - 1)
        axes.bar(x, shares[:, 0], 0.22, color=colour, label=signal)
        axes.errorbar(x, shares[:, 0], yerr=abs(shares[:, 1:] - shares[:, :1]).T, fmt="none", color="black", capsize=3)
        volumes = [row["volume"][0] for row in result["rows"] if row["signal"] == signal]
        axes.plot(x, volumes, "_", color="black", markersize=16, label="volume" if signal == "random" else None)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="share of failures in the signal's cells", ylim=(0, 1))
    axes.legend(fontsize=8)
