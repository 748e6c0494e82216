"""Random features, kernels and trained networks: at equal samples, and at equal time."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ....run_training import errors_at
from ....solvers.problem import Problem
from ....solvers.problems.catalogue import problem as named
from ....solvers.snapshots.sample import sample
from ....surrogates import train
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="Random features do as well as deep networks.",
    said="in the debate; random features are Rahimi and Recht's (2007, 2008)",
    theorem="Functions of a bounded norm in the features' reproducing kernel space are approximated in the mean "
    "like 1/sqrt(features), in any dimension (Rahimi, Recht 2008); trained features do as well on a "
    "larger class of functions, Barron's, which random ones do not (Barron 1993; Yehudai, Shamir 2019).",
    experiment="Five problems on small grids, 64 snapshots. mlp (two layers of 128, 1500 steps), resnet (8 layers of "
    "96, 300 steps) and pod-mlp (200 steps), against random features and kernel ridge regression from the "
    "same snapshots (equal samples), and against both from as many snapshots as can be solved and fitted "
    "in the time that the best network's solves and training took, compiling left out, 512 at most (equal "
    "time). Mean and worst of 512 draws, three designs and starts.",
    limits="Networks of seconds, not of days; none is tuned for its problem. pod-mlp begins from kernel ridge "
    "regression and ended as that on all five, so that it is shown, but counts for neither side. At equal "
    "time the dull methods buy solves, which here cost milliseconds: where a solve costs hours that buys "
    "nothing.",
    rule="At equal samples, over problems: held if random features have at most 1.1 times the mean error and "
    "the worst error of the best network (mlp or resnet) on at least four of five; failed if so on one at "
    "most. Depends: else. Kernel ridge regression draws no features and stands beside.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"cells": 16, "low": 10**-0.5, "high": 10**0.5},
    "lognormal-diffusion": {"cells": 16},
    "helmholtz": {"cells": 16, "k2": (5.0, 15.0)},
    "bratu": {"cells": 16},
    "advection-diffusion": {"cells": 16},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"steps": 1500, "base": "mean"},
    "resnet": {"steps": 300, "base": "mean"},
    "pod-mlp": {"steps": 200, "physics_weight": 0.0},
}
FROM_NOTHING = ("mlp", "resnet")
DULL = ("random-features", "kernel-ridge")
SAMPLES, MOST = 64, 512


def fitted(problem: Problem, name: str, n: int, seed: int, tests: Any, **options: Any) -> list[float]:
    """Mean and worst error, seconds of training, snapshots."""
    data, start = sample(problem, n, seed), time.perf_counter()
    model = train(problem, name, data, seed=seed, **options)
    seconds = float(model.training.get("seconds", time.perf_counter() - start))
    errors = errors_at(problem, model, tests).errors
    return [float(errors.mean()), float(errors.max()), seconds, n]


def compete(name: str, seed: int, quick: bool) -> dict[str, list[float]]:
    """All models of one problem."""
    problem = named(name, **PROBLEMS[name])
    tests = sample(problem, 512, 1000 + seed, independent=True)
    sample(problem, SAMPLES, seed)  # compiles
    start = time.perf_counter()
    sample(problem, SAMPLES, seed)
    solve = (time.perf_counter() - start) / SAMPLES
    found = {}
    for model, options in NETWORKS.items():
        options = {**options, "steps": options["steps"] // (20 if quick else 1)}
        found[model] = fitted(problem, model, SAMPLES, seed, tests, **options)
    best = min(found[model] for model in FROM_NOTHING)
    for model in DULL:
        found[model] = fitted(problem, model, SAMPLES, seed, tests)
        affordable = int(min(MOST, SAMPLES + 0.9 * best[2] / solve))  # a tenth is left for the fit
        found[f"{model}, equal time"] = fitted(problem, model, affordable, seed, tests)
    return found


def measure(run: Run) -> dict[str, Any]:
    seeds = run.seeds(3)
    rows, points = [], {}
    for name in list(PROBLEMS)[: 1 if run.quick else None]:
        found = [run.row(f"{name} {s}", partial(compete, name, s, run.quick)) for s in seeds]
        errors = {m: np.array([f[m] for f in found], dtype=float) for m in found[0]}
        points[name] = {m: e[:, :2] for m, e in errors.items()}
        middle = {m: np.exp(np.log(e[:, :2]).mean(axis=0)) for m, e in errors.items()}
        for what in (0, 1):
            network = _least({m: middle[m][what] for m in FROM_NOTHING})
            row: dict[str, Any] = {"problem": name, "error": ("mean", "worst")[what], "best network": network}
            row["its error"] = mean_of(errors[network][:, what], True)
            for model in DULL:
                ratio = errors[model][:, what] / errors[network][:, what]
                row[f"{model} / network"] = mean_of(ratio, True)
            row["pod-mlp / network"] = mean_of(errors["pod-mlp"][:, what] / errors[network][:, what], True)
            then = errors[_least({m: middle[m][what] for m in middle if "time" in m})]
            row["equal time / network"] = mean_of(then[:, what] / errors[network][:, what], True)
            row["snapshots then"] = int(np.median(then[:, 3]))
            rows.append({**row, "evidence": EMPIRICAL})
    return {"rows": rows, "points": points}


def _least(values: dict[str, float]) -> str:
    return min(values, key=values.__getitem__)


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    ratios: dict[str, list[float]] = {}
    for row in result["rows"]:
        ratios.setdefault(row["problem"], []).append(float(row["random-features / network"][0]))
    kernel = [float(row["kernel-ridge / network"][0]) for row in result["rows"]]
    beside = sum(all(k <= 1.1 for k in kernel[i : i + 2]) for i in range(0, len(kernel), 2))
    good = [name for name, both in ratios.items() if all(ratio <= 1.1 for ratio in both)]
    time_wins = sum(row["equal time / network"][0] <= 1.1 for row in result["rows"])
    words = (
        f"At equal samples random features do as well as the best network, in mean and worst error, on {len(good)} "
        f"of {len(ratios)} problems ({', '.join(good) or 'none'}); kernel ridge regression, beside, on {beside}. At "
        f"equal time the better of the two does as well in {time_wins} of {len(result['rows'])} comparisons."
    )
    return (HELD if len(good) >= 0.8 * len(ratios) else FAILED if len(good) <= 1 else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    names = list(result["points"])
    for what, panel in enumerate(panels):
        for i, model in enumerate(result["points"][names[0]]):
            y = [np.array(result["points"][name][model], dtype=float)[:, what] for name in names]
            middle = [np.exp(np.log(v).mean()) for v in y]
            mark = "^" if "time" in model else "s" if model in DULL else "o"
            panel.semilogy(np.arange(len(names)) + 0.09 * (i - 3), middle, mark, label=model, markersize=5)
        panel.set_xticks(range(len(names)), [name.replace("-", "-\n") for name in names], fontsize=7)
        panel.set(title=("mean error", "worst of 512")[what])
        panel.grid(alpha=0.3)
    panels[0].set(ylabel="relative error")
    panels[1].legend(fontsize=6)
