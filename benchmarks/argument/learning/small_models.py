"""What error, and what certified share, a parameter and a second buy."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from .... import certify, problem, sample, train
from ....run_training import errors_at
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of, mean_share_of

CLAIM = Claim(
    claim="Small models are enough; compute is not the only road",
    said="in the debate",
    experiment="Surrogates from 96 solves of three problems, from a handful of numbers to networks of 8, 64 and 256 "
    "units a layer (POD coefficients, 300 steps without physics): fitted parameters (bases apart), "
    "processor seconds of training, mean and worst error at 256 fresh inputs, share of these proved "
    "within 1 % without a solve, that share for every 1000 parameters. Small is at most a tenth of the "
    "parameters of the largest network.",
    limits="Few inputs and few solves, where small models are at their best; networks are first taught by kernel "
    "ridge regression, as `pod-mlp` is, then trained for a fixed number of steps, which leaves the "
    "largest the least finished; compilation counts in seconds. Parameters of kernels grow with the rows. "
    "On Bratu the least mean and the least worst error are both of small models, but of two. That "
    "problems which nothing learns are left out was added to the rule after a partial run in which none "
    "learnt Helmholtz; the verdict is the same with it.",
    rule="Of problems on which some model has a mean error below 0.1. A small model is enough if its mean "
    "error is at most 1.1 times the best mean of all, and its worst at most 1.1 times the best worst "
    "(geometric means over seeds). Held if one is on every problem; failed if on none; else it depends, "
    "also where nothing is left to judge.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"blocks": (2, 2), "cells": 16, "low": 0.3, "high": 3.0},
    "helmholtz": {"cells": 16},
    "bratu": {"cells": 16},
}
NETWORK: dict[str, Any] = {"steps": 300, "physics_weight": 0.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {}),
    "polynomial": ("polynomial", {}),
    "kernel-ridge": ("kernel-ridge", {}),
    "random-features": ("random-features", {}),
    "network of 8": ("pod-mlp", {**NETWORK, "widths": (8, 8)}),
    "network of 64": ("pod-mlp", {**NETWORK, "widths": (64, 64)}),
    "network of 256": ("pod-mlp", {**NETWORK, "widths": (256, 256)}),
}
ROWS, TESTS, TOLERANCE = 96, 256, 1e-2


def one(name: str, seed: int) -> dict[str, Any]:
    made = problem(name, **PROBLEMS[name])
    rows = sample(made, ROWS, seed, independent=True)
    fresh = sample(made, TESTS, 1000 + seed, independent=True)
    found = {}
    for label, (architecture, options) in MODELS.items():
        began = time.process_time()
        model = train(made, architecture, rows, seed=seed, **options)
        seconds = time.process_time() - began
        errors = errors_at(made, model, fresh).errors
        proved = certify(made, np.asarray(model(fresh.inputs)), fresh.inputs, steps=0).within(TOLERANCE)
        found[label] = [model.parameters, seconds, errors.mean(), errors.max(), proved.mean()]
    return found


def measure(run: Run) -> dict[str, Any]:
    rows = []
    seeds = run.seeds(3)
    for name in list(PROBLEMS)[-1:] if run.quick else PROBLEMS:
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed)) for seed in seeds]
        for label in MODELS:
            parameters, seconds, mean, worst, proved = np.array([f[label] for f in found], dtype=float).T
            rows.append(
                {
                    "problem": name,
                    "model": label,
                    "parameters": int(np.median(parameters)),
                    "seconds": float(np.median(seconds)),
                    "mean error": mean_of(mean, logarithms=True),
                    "worst error": mean_of(worst, logarithms=True),
                    "proved within 1 %": mean_share_of(proved),
                    "of 1000 parameters": float(1000 * proved.mean() / np.median(parameters)),
                    "evidence": EMPIRICAL,
                }
            )
    return {"rows": rows}


def size(row: dict[str, Any], key: str) -> float:
    """An error of a row, infinite where it is no number."""
    return float(np.nan_to_num(float(row[key][0]), nan=np.inf))


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    told, good, unlearnt = [], 0, []
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    for name in names:
        rows = [row for row in result["rows"] if row["problem"] == name]
        largest = max(row["parameters"] for row in rows)
        least = {key: min(size(row, key) for row in rows) for key in ("mean error", "worst error")}
        if not least["mean error"] < 0.1:
            unlearnt.append(name)
            continue
        small = [row for row in rows if 10 * row["parameters"] <= largest]
        enough = [row for row in small if all(size(row, k) <= 1.1 * x and np.isfinite(x) for k, x in least.items())]
        good += bool(enough)
        best, one = (min(some, key=lambda row: size(row, "mean error")) for some in (rows, enough or small))
        told.append(
            f"{name}: {'' if enough else 'none is enough, at best '}{one['model']} ({one['parameters']} parameters), "
            f"mean {size(one, 'mean error'):.2g} and worst {size(one, 'worst error'):.2g}, the best mean of all "
            f"{size(best, 'mean error'):.2g} ({best['model']}, {best['parameters']}) and worst "
            f"{least['worst error']:.2g}"
        )
    told += [f"nothing learns {name}" for name in unlearnt]
    sentence = f"A small model is enough on {good} of {len(names) - len(unlearnt)} problems: {'; '.join(told)}."
    if len(unlearnt) == len(names):
        return DEPENDS, sentence
    return (HELD if good == len(names) - len(unlearnt) else DEPENDS if good else FAILED), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    panels = np.atleast_1d(figure.subplots(1, len(names)))
    for axes, name in zip(panels, names, strict=True):
        for row, mark in zip((row for row in result["rows"] if row["problem"] == name), "ovs^DPX", strict=False):
            colour, share = "#d55e00" if "network" in row["model"] else "#0072b2", float(row["proved within 1 %"][0])
            axes.plot(row["parameters"], size(row, "mean error"), mark, color=colour, label=row["model"])
            where = (row["parameters"], size(row, "mean error"))
            axes.annotate(f"{100 * share:.0f}", where, fontsize=6, xytext=(4, 3), textcoords="offset points")
        axes.set(xscale="log", yscale="log", xlabel="parameters", title=name)
        axes.margins(x=0.15)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean relative error\n(numbers: % proved within 1 %)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
