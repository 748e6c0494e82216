"""More data: means and worst cases against the number of snapshots, by architecture."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ....run_training import errors_at
from ....solvers.problems.thermal_block import ThermalBlock
from ....solvers.snapshots.sample import sample
from ....surrogates import train
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, exponent_of, mean_of

CLAIM = Claim(
    claim="With more data it becomes right.",
    said="in the debate",
    theorem="For operators that are analytic in their inputs the mean error of networks falls like a power of the "
    "samples (de Hoop, Huang, Qian, Stuart 2022; Adcock, Brugiapaglia, Dexter, Moraga 2022). Of the "
    "largest error over the box, which no sample shows, these theorems say nothing unless the norm is a "
    "supremum.",
    experiment="Thermal block of 2 x 2 conductivities, contrast 10, 16 x 16 cells. Five architectures learn from 16 "
    "to 256 snapshots of a Sobol design, three designs and starts each. The mean is over 2048 independent "
    "draws; the worst found is over these and the 81 inputs that are lowest, middle or highest in each "
    "coordinate. Exponents b of error ~ C samples^b over all runs, 95 %.",
    limits="One problem of four inputs; fixed steps of training (600 and 2000), so that networks are not tuned "
    "for each number of samples. pod-mlp begins from kernel ridge regression, and is that where few "
    "snapshots teach it no more. The worst found is no bound: a search would find more, which makes the "
    "worst case look better here.",
    rule="Held: for every architecture both exponents' intervals lie below 0 and the worst error at 256 "
    "snapshots is below 1 %. Failed: some architecture's mean or worst error does not fall (its whole "
    "interval lies at 0 or above). Depends: else, so also where an interval reaches 0.",
)
STEPS = {"pod-mlp": 600, "mlp": 2000}
ARCHITECTURES = ("pod-mlp", "mlp", "random-features", "polynomial", "kernel-ridge")
SIZES = (16, 32, 64, 128, 256)
ENOUGH = 0.01


def measure(run: Run) -> dict[str, Any]:
    problem = ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5)
    sizes = SIZES[:3] if run.quick else SIZES
    tests = sample(problem, 256 if run.quick else 2048, 7, independent=True)
    grid = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * 4), -1).reshape(-1, 4)
    corners = problem.inputs.from_unit(grid)
    truths = np.asarray(problem.solve_batch(corners))

    def one(name: str, n: int, seed: int) -> list[float]:
        options: dict[str, Any] = {}
        if name in STEPS:
            options = {"steps": STEPS[name] // (10 if run.quick else 1), "physics_weight": 0.0}
        if name == "mlp":
            options["base"] = "mean"  # of a polynomial that it corrects its error would be the polynomial's
        model = train(problem, name, sample(problem, n, seed), seed=seed, **options)
        errors = errors_at(problem, model, tests).errors
        away = np.asarray(model(corners)) - truths
        there = [float(problem.norm(p, e) / problem.norm(p, u)) for p, e, u in zip(corners, away, truths, strict=True)]
        return [float(errors.mean()), float(max(errors.max(), *there)), n]

    rows, points = [], {}
    for name in ARCHITECTURES:
        found = [run.row(f"{name} {n} {s}", partial(one, name, n, s)) for n in sizes for s in run.seeds(3)]
        points[name] = found
        mean, worst, n = (np.array(c) for c in zip(*found, strict=True))
        last = n == max(sizes)
        rows.append(
            {
                "architecture": name,
                "exponent, mean": exponent_of(n, mean),
                "exponent, worst": exponent_of(n, worst),
                "mean at most samples": mean_of(mean[last], logarithms=True),
                "worst at most samples": mean_of(worst[last], logarithms=True),
                "worst / mean": float(np.exp(np.log(worst[last] / mean[last]).mean())),
                "evidence": EMPIRICAL,
            }
        )
    return {"rows": rows, "points": points}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    rows = result["rows"]
    each = [
        (f"{what} error of {r['architecture']}", [*map(float, r[f"exponent, {what}"])])
        for r in rows
        for what in ("mean", "worst")
    ]
    rises = [name for name, exponent in each if exponent[1] >= 0]
    unsure = [name for name, exponent in each if not exponent[2] < 0]
    right = [r["architecture"] for r in rows if float(r["worst at most samples"][0]) < ENOUGH]
    if rises:
        return FAILED, f"With more data there is no fall in the {', the '.join(rises)}."
    if unsure:
        return DEPENDS, f"With more data there is no sure fall in the {', the '.join(unsure)}."
    slower = sum(r["exponent, worst"][0] > r["exponent, mean"][0] for r in rows)
    apart = [r["worst / mean"] for r in rows]
    words = (
        f"Mean and worst errors fall with the samples in all {len(rows)} architectures, the worst more slowly in "
        f"{slower}; at most samples the worst found is {min(apart):.0f} to {max(apart):.0f} times the mean, and "
        f"below 1 % for {', '.join(right) or 'none'}."
    )
    return (HELD if len(right) == len(rows) else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    sizes = sorted({p[2] for points in result["points"].values() for p in points})
    for i, (panel, what) in enumerate(zip(panels, ("mean error", "worst error found"), strict=True)):
        for name, points in result["points"].items():
            by_size = [[p[i] for p in points if p[2] == n] for n in sizes]
            line = panel.loglog(sizes, [np.exp(np.mean(np.log(v))) for v in by_size], label=name)[0]
            panel.loglog([p[2] for p in points], [p[i] for p in points], ".", color=line.get_color(), alpha=0.5)
        panel.axhline(ENOUGH, color="grey", linewidth=0.8, linestyle="--")
        panel.set(xlabel="snapshots", title=what)
        panel.set_xticks(sizes, [str(n) for n in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set(ylabel="relative error")
    panels[0].legend(fontsize=8)
