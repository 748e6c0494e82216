"""The number of inputs from fields alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from .... import problem
from ....verify.tangent.intrinsic_dimension import NEIGHBOURS, levina_bickel
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="The intrinsic dimension can be discovered from data",
    said="in the debate; the estimator of Levina and Bickel (2004) as Chen, Huang, Raghupathi, Chandratreya, "
    "Du, Lipson (2022) use it for variables hidden in data",
    theorem="Where fields fill a smooth manifold evenly, the logarithms of distances to the nearest neighbours "
    "are exponential with the dimension as their rate (Levina, Bickel 2004).",
    experiment="1000 fields at random inputs of nine problems, without their inputs; the harmonic mean of the "
    "estimator of ten neighbours; the same with normal noise of 0.1 % and 1 % of a field's root mean "
    "square. Right is an estimate that rounds to the number of inputs.",
    limits="Euclidean distances of nodal values; inputs that hardly move the solution count as much as others; "
    "one number of rows, and the estimator is known to be too small for few rows in many dimensions.",
    rule="Held if the estimate is right on every problem without noise and with 0.1 %; failed if it is right "
    "on at most a quarter of them without noise; else it depends on the problem.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "bratu": {"cells": 16},
    "thermal-block, 2 x 1": {"blocks": (2, 1), "cells": 8},
    "thermal-block, 2 x 2": {"blocks": (2, 2), "cells": 8},
    "thermal-block, 3 x 3": {"blocks": (3, 3), "cells": 12},
    "advection-diffusion": {"cells": 16},
    "helmholtz": {"cells": 16},
    "burgers": {"cells": 32, "steps": 16},
    "lognormal-diffusion, 4": {"d": 4, "cells": 16},
    "lognormal-diffusion, 10": {"d": 10, "cells": 16},
}
ROWS, NOISE = 1000, (0.0, 1e-3, 1e-2)


def one(name: str, seed: int, n: int) -> list[float]:
    """The number of inputs, and the estimate at each noise."""
    made = problem(name.split(",")[0], **PROBLEMS[name])
    fields = np.asarray(made.solve_batch(made.inputs.draw(n, seed)))
    rng, found = np.random.default_rng(seed), [float(made.inputs.dimension)]
    for noise in NOISE:
        size = noise * np.sqrt((fields**2).mean(axis=1, keepdims=True))
        seen = fields + size * rng.standard_normal(fields.shape)
        distances = cKDTree(seen).query(seen, NEIGHBOURS + 1)[0][:, 1:]
        local = levina_bickel(distances)
        found.append(float(1 / np.mean(1 / local[np.isfinite(local)])))
    return found


def measure(run: Run) -> dict[str, Any]:
    rows = []
    seeds, n = run.seeds(3), 200 if run.quick else ROWS
    for name in list(PROBLEMS)[: 2 if run.quick else None]:
        found = np.array([run.row(f"{name}, seed {seed}", partial(one, name, seed, n)) for seed in seeds])
        estimates = {f"noise {noise:g}": mean_of(found[:, 1 + i]) for i, noise in enumerate(NOISE)}
        rows.append({"problem": name, "inputs": int(found[0, 0]), **estimates, "evidence": EMPIRICAL})
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    rows = result["rows"]
    right = [sum(round(row[f"noise {noise:g}"][0]) == row["inputs"] for row in rows) for noise in NOISE]
    off = max(rows, key=lambda row: abs(row["noise 0"][0] / row["inputs"] - 1))
    sentence = (
        f"Right on {right[0]} of {len(rows)} problems without noise, {right[1]} with 0.1 % and {right[2]} with 1 %; "
        f"farthest off without noise on {off['problem']}: {off['noise 0'][0]:.2g} for {off['inputs']}."
    )
    if right[0] == right[1] == len(rows):
        return HELD, sentence
    return (FAILED if 4 * right[0] <= len(rows) else DEPENDS), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    rows = result["rows"]
    x = np.arange(len(rows))
    axes.plot(x, [row["inputs"] for row in rows], "_", color="black", markersize=22, label="inputs")
    for i, (noise, colour) in enumerate(zip(NOISE, ("#0072b2", "#009e73", "#d55e00"), strict=True)):
        values = np.array([row[f"noise {noise:g}"] for row in rows], dtype=float)
        spread = abs(values[:, 1:] - values[:, :1]).T
        axes.errorbar(x + 0.2 * (i - 1), values[:, 0], yerr=spread, fmt="o", color=colour, label=f"noise {noise:g}")
    axes.set(yscale="log", ylabel="estimated dimension")
    axes.set_xticks(x, [row["problem"] for row in rows], rotation=35, ha="right", fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
