"""Two-sided proofs as a test of surrogates: false alarms, misses, and what stays undecided, class by class."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .... import certify, problem, sample, train
from ....run_training import errors_at
from ....solvers.batching import RowMap
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, PROVED, Claim
from ..run import Run, share_of

CLAIM = Claim(
    claim="No false alarms and no misses",
    said="in the debate, as what a test of a network would have to deliver",
    theorem="Where lower <= error <= upper is proved, lower > tolerance is no false alarm and upper <= tolerance "
    "no miss; what lies between is undecided. The bounds are those of the page Theory.",
    experiment="One problem of every class with proofs, kernel ridge regression from 48 solves, 200 fresh inputs a "
    "seed, and tolerances where deciding is hardest: the quartiles of the surrogate's own errors. An "
    "alarm is a lower bound above the tolerance, an all-clear an upper bound within it, counted against "
    "true errors; two problems without proofs, where nothing can be decided, stand beside them.",
    limits="True errors are against the discrete solution. Counting cannot show that there are none, the "
    "theorems do. Each input is judged at three tolerances, which are no independent draws: the interval "
    "is statistical, of the share of inputs judged wrongly at any of them, and says what counting alone "
    "would support.",
    rule="Failed if there is one false alarm or one miss; held if there are none and at most 1 % stays "
    "undecided in every class with proofs; else it depends on the class. Problems without proofs are not "
    "judged.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"blocks": (2, 2), "cells": 8},
    "elasticity": {"cells": 8},
    "lognormal-diffusion": {"d": 4, "cells": 16},
    "advection-diffusion": {"cells": 16},
    "helmholtz": {"cells": 16},
    "bratu": {"cells": 16},
    "hyperelastic": {"cells": 8},
    "cavity": {"cells": 16},
    "heat": {"cells": 8, "steps": 8},
    "burgers": {"cells": 32, "steps": 16},
    "allen-cahn": {},
    "wave": {},
}
WITHOUT = ("allen-cahn", "wave")  # proofs
ROWS, TESTS = 48, 200
QUARTILES = (0.25, 0.5, 0.75)
SLACK = 1e-9  # of an error: what the truth's own solver tolerance leaves open


def one(name: str, seed: int, tests: int) -> dict[str, Any]:
    made = problem(name, **PROBLEMS[name])
    model = train(made, "kernel-ridge", sample(made, ROWS, seed, independent=True), seed=seed)
    fresh = sample(made, tests, 1000 + seed, independent=True)
    errors = errors_at(made, model, fresh).errors
    bounds = certify(made, model, fresh.inputs)
    counts = np.zeros(5, dtype=int)
    for tolerance in np.quantile(errors, QUARTILES):
        alarm, clear = bounds.beyond(tolerance), bounds.within(tolerance)
        false = alarm & (errors <= tolerance * (1 - SLACK))
        missed = clear & (errors > tolerance * (1 + SLACK))
        counts += [len(errors), alarm.sum(), false.sum(), clear.sum(), missed.sum()]
    true = RowMap(lambda p, u, t: made.relative_error(p, u, t))(
        fresh.inputs, np.asarray(model(fresh.inputs)), fresh.fields
    )
    return {"counts": counts, "errors": true, "lower": bounds.relative_lower, "upper": bounds.relative_upper}


def measure(run: Run) -> dict[str, Any]:
    rows, points = [], {}
    seeds = run.seeds(3)
    for name in ("thermal-block", "wave") if run.quick else PROBLEMS:
        found = [
            run.row(f"{name}, seed {seed}", partial(one, name, seed, 50 if run.quick else TESTS)) for seed in seeds
        ]
        n, alarms, false, clear, missed = np.sum([f["counts"] for f in found], axis=0)
        inputs, decided = n // len(QUARTILES), bool(alarms + clear)
        rows.append(
            {
                "problem": name,
                "inputs": int(inputs),
                "answers judged": int(n),
                "alarms": int(alarms),
                "false alarms": int(false),
                "all-clears": int(clear),
                "misses": int(missed),
                # an input that is wrong at two tolerances counts twice: at most so many inputs
                "inputs judged wrongly": share_of(int(min(false + missed, inputs)), int(inputs))
                if decided
                else "none judged",
                "undecided": float((n - alarms - clear) / n),
                "evidence": EMPIRICAL if name in WITHOUT else PROVED,
            }
        )
        points[name] = [[float(x) for x in found[0][key][:30]] for key in ("errors", "lower", "upper")]
    return {"rows": rows, "points": points}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    wrong = sum(row["false alarms"] + row["misses"] for row in result["rows"])
    decided = sum(row["alarms"] + row["all-clears"] for row in result["rows"])
    judged = {row["problem"]: float(row["undecided"]) for row in result["rows"] if row["problem"] not in WITHOUT}
    blunt = {name: share for name, share in judged.items() if not share <= 0.01}
    sentence = (
        f"{wrong or 'No'} false alarms or misses among {decided} proved decisions; at most 1 % undecided in "
        f"{len(judged) - len(blunt)} of {len(judged)} problems with proofs"
    )
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in blunt.items())
    sentence += f" (undecided: {told})." if blunt else "."
    return (FAILED if wrong else DEPENDS if blunt or not judged else HELD), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    for i, (errors, lower, upper) in enumerate(result["points"].values()):
        e, low, high = (np.array(values, dtype=float) for values in (errors, lower, upper))
        x = i + np.linspace(-0.3, 0.3, len(e))
        proved = bool(np.isfinite(high).any())
        gap = np.sort(np.clip(high / e - 1, 1e-4, 1e2))
        axes.plot(x, gap, "v" if proved else "x", color="#d55e00" if proved else "#999999", markersize=3)
        if proved:
            axes.plot(x, np.sort(np.clip(1 - low / e, 1e-4, 1e2)), "^", color="#0072b2", markersize=3)
    axes.set(yscale="log", ylabel="gap between bound and error, of the error")
    axes.set_xticks(range(len(result["points"])), list(result["points"]), rotation=35, ha="right", fontsize=8)
    axes.set_title("upper bounds (down), lower bounds (up), nothing proved (crosses); cut at 1e-4 and 100", fontsize=9)
    axes.grid(alpha=0.3, axis="y")
