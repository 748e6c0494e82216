"""Residuals of surrogates against their true errors."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .... import problem, sample, train
from ....run_training import errors_at
from ...falsification.tangents import correlation, residuals
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, correlation_of

CLAIM = Claim(
    claim="Inside it does not follow the physics, but the result is right",
    said="in the debate, of networks for fluids",
    theorem="The error e of a linear scheme A u = f has the residual r = A e: in the dual norm of a coercive "
    "problem both are of the same size; in the Euclidean norm the condition of A, which grows like 1/h^2, "
    "lies between them, so that a right field may have a residual as large as that of nothing at all.",
    experiment="Six problems, two of them of fluids; kernel ridge regression and a network of fields, each from 128 "
    "solves. Of every answer at 200 fresh inputs the true error, the Euclidean residual relative to that "
    "of the zero field, and the residual in its dual norm. Right is an error of at most 1e-2; not "
    "following the physics is a Euclidean residual of at least that of the zero field. And the reverse: a "
    "residual below 1e-2 with an error above ten times the residual.",
    limits="The residual is that of the scheme, on small grids: on finer ones rough parts of an error weigh "
    "more. Rank correlations are within a surrogate's answers.",
    rule="Of problems on which some answers are right. Held if right answers that do not follow the physics "
    "are at least 1 % of the right answers on at least half of them; failed if there are none on any; "
    "depends: else, or if no answer is right anywhere.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "burgers": {"cells": 64, "steps": 25},
    "advection-diffusion": {"cells": 16},
    "thermal-block": {"blocks": (2, 2), "cells": 16, "low": 0.3, "high": 3.0},
    "bratu": {"cells": 32},
    "helmholtz": {"cells": 16},
    "heat": {"cells": 8, "steps": 8},
}
SURROGATES: dict[str, dict[str, Any]] = {"kernel-ridge": {}, "mlp": {"steps": 300}}
ROWS, TESTS, RIGHT = 128, 200, 1e-2
SHOWN = 40  # points of a surrogate in the picture


def one(name: str, seed: int) -> dict[str, Any]:
    """(errors, Euclidean residuals, dual residuals) by surrogate."""
    made = problem(name, **PROBLEMS[name])
    rows = sample(made, ROWS, seed, independent=True)
    fresh = sample(made, TESTS, 1000 + seed, independent=True)
    found = {}
    for architecture, options in SURROGATES.items():
        model = train(made, architecture, rows, seed=seed, **options)
        plain, dual = residuals(made, fresh.inputs, np.asarray(model(fresh.inputs)))
        found[architecture] = [errors_at(made, model, fresh).errors, plain, dual]
    return found


def measure(run: Run) -> dict[str, Any]:
    seeds = run.seeds(3)
    rows, points = [], {}
    for name in list(PROBLEMS)[: 1 if run.quick else None]:
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed)) for seed in seeds]
        for surrogate in SURROGATES:
            e, plain, dual = np.moveaxis(np.array([f[surrogate] for f in found], dtype=np.float64), 1, 0)
            right, lawless = e <= RIGHT, plain >= 1
            rows.append(
                {
                    "problem": name,
                    "surrogate": surrogate,
                    "median error": float(np.median(e)),
                    "median residual": float(np.median(plain)),
                    "right": float(right.mean()),
                    "right, lawless": int((right & lawless).sum()),
                    "of right": int(right.sum()),
                    "lawful, wrong": float(((plain <= RIGHT) & (e > 10 * plain)).mean()),
                    "rank, Euclidean": correlation_of(correlation(plain, e)),
                    "rank, dual": correlation_of(correlation(dual, e)),
                    "evidence": EMPIRICAL,
                }
            )
            points[f"{name}, {surrogate}"] = [e[0, :SHOWN], plain[0, :SHOWN]]
    return {"rows": rows, "points": points}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    by: dict[str, list[int]] = {}
    for row in result["rows"]:
        both = by.setdefault(row["problem"], [0, 0])
        both[0] += row["right, lawless"]
        both[1] += row["of right"]
    shares = {name: lawless / right for name, (lawless, right) in by.items() if right}
    without = ", ".join(name for name in by if name not in shares)
    many, most = sum(share >= 0.01 for share in shares.values()), max(shares.values(), default=0.0)
    dual = [float(row["rank, dual"][0]) for row in result["rows"]]
    plain = [float(row["rank, Euclidean"][0]) for row in result["rows"]]
    sentence = (
        "Right answers with a residual as large as that of the zero field are at least 1 % of the right ones on "
        f"{many} of {len(shares)} problems ({100 * most:.2g} % of them at most"
        f"{f'; no answer is right on {without}' if without else ''}). As a warning, its rank correlation with the "
        f"error is {min(plain):.2f} to {max(plain):.2f} in the Euclidean norm and at least "
        f"{np.floor(1000 * min(dual)) / 1000} in the dual one."
    )
    if not shares:
        return DEPENDS, sentence
    return (HELD if 2 * many >= len(shares) else FAILED if most == 0 else DEPENDS), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    colours = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7")
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    for label, (errors, plain) in result["points"].items():
        name, surrogate = label.split(", ")
        axes.loglog(
            plain, errors, "." if surrogate == "mlp" else "x", color=colours[names.index(name)], markersize=4,
            alpha=0.7, label=name if surrogate == "mlp" else None,
        )  # fmt: skip
    axes.axhline(RIGHT, color="black", linewidth=0.8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlim(right=300)
    axes.text(1.5, 2e-6, "right without\nfollowing the physics", fontsize=8)
    axes.set(xlabel="Euclidean residual, of that of the zero field", ylabel="true relative error")
    axes.set_title("network of fields (points), kernel ridge regression (crosses)", fontsize=9)
    axes.legend(fontsize=7, loc="upper left")
    axes.grid(alpha=0.3)
