"""Does the tangent map predict failure? Rank correlation of the relative Jacobian error with the true error.

Independent draws of the box of three problems (steady, nonlinear, time-dependent), two surrogates each: a network of
64 solves, and kernel ridge regression of the same. Spearman's correlation with the true error of: the relative Jacobian
error and the largest principal angle (they cost a solve and its derivatives), the residual in the Euclidean and in its
dual norm, and the spread of four networks (these cost none). Intervals are 95 % of 1000 bootstraps of the points.

    python -m assay.benchmarks.falsification.tangents [--quick] [--json] [--keep FILE]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from rich.console import Console
from scipy.stats import rankdata

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.problems.bratu import Bratu
from ...solvers.problems.heat import Heat
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import ensemble, train
from ...surrogates.training.residual_loss import residual_loss
from ...verify.tangent.tangent_map import tangent_map
from .. import command

SNAPSHOTS, MEMBERS = 64, 4
POINTS, QUICK_POINTS = 300, 60
BOOTSTRAPS = 1000
SIGNALS = ("jacobian error", "largest angle", "residual", "dual residual", "spread")


def problems() -> list[Problem]:
    return [ThermalBlock((2, 2), 8), Bratu(cells=16), Heat(cells=8, steps=8)]


def correlation(x: Float[np.ndarray, "*k n"], y: Float[np.ndarray, "*k n"]) -> Float[np.ndarray, "*k"]:
    """Spearman's, along the last axis."""
    a, b = (rankdata(v, axis=-1) for v in (x, y))
    a, b = (v - v.mean(axis=-1, keepdims=True) for v in (a, b))
    size = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.asarray((a * b).sum(axis=-1) / np.where(size > 0, size, 1.0))


def interval(x: np.ndarray, y: np.ndarray, seed: int = 0) -> list[float]:
    """Of the correlation, and 95 % of what resampled points give."""
    again = np.random.default_rng(seed).integers(0, len(x), (BOOTSTRAPS, len(x)))
    low, high = np.quantile(correlation(x[again], y[again]), [0.025, 0.975])
    return [float(correlation(x, y)), float(low), float(high)]


def residuals(problem: Problem, P: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes of the scheme's residual: Euclidean beside that of nothing, and in the dual norm of the physics loss."""
    residual: Any = getattr(problem, "residual", None)
    assert residual is not None
    plain = RowMap(lambda p, u: jnp.linalg.norm(residual(p, problem.prescribe(p, u))))
    nothing = plain(P, np.zeros_like(fields))
    dual = np.sqrt(RowMap(residual_loss(problem))(P, fields))
    return np.asarray(plain(P, fields) / nothing), np.asarray(dual)


def measured(problem: Problem, quick: bool) -> list[dict[str, Any]]:
    """A row for each surrogate of the problem."""
    rows = sample(problem, SNAPSHOTS)
    networks = ensemble(problem, "pod-mlp", rows, seeds=MEMBERS)
    P = problem.inputs.draw(QUICK_POINTS if quick else POINTS, 1)
    surrogates: dict[str, Callable[[Any], Any]] = {
        "pod-mlp": networks.members[0],
        "kernel-ridge": train(problem, "kernel-ridge", rows),
    }
    found = []
    for name, surrogate in surrogates.items():
        tangents = tangent_map(problem, surrogate, P)
        plain, dual = residuals(problem, P, np.asarray(surrogate(P)))
        signals = [tangents.jacobian_errors, np.nan_to_num(tangents.largest_angles, nan=np.pi / 2), plain, dual]
        good = np.isfinite([tangents.errors, *signals]).all(axis=0)
        told = {what: interval(x[good], tangents.errors[good]) for what, x in zip(SIGNALS, signals, strict=False)}
        told["spread"] = interval(networks.error_bar(P)[good], tangents.errors[good])
        found.append(
            {
                "problem": problem.name,
                "surrogate": name,
                "points": int(good.sum()),
                "median error": float(np.median(tangents.errors[good])),
                "median jacobian error": float(np.median(tangents.jacobian_errors[good])),
                **told,
            }
        )
    return found


def measure(quick: bool, keep: str | None = None) -> dict[str, Any]:
    kept = command.Kept(keep, {"quick": quick})
    rows = []
    for problem in problems():
        rows += kept.row(problem.name, partial(measured, problem, quick))
    ahead = sum(row["jacobian error"][0] > row["dual residual"][0] for row in rows)
    beside = sum(row["jacobian error"][0] > row["spread"][0] for row in rows)
    return {
        "rows": rows,
        "holds": {
            "the relative Jacobian error correlates with the error everywhere (intervals above 0)": all(
                row["jacobian error"][1] > 0 for row in rows
            ),
            f"better than the residual in its dual norm in {ahead} of {len(rows)} rows: all": ahead == len(rows),
            f"better than the spread of an ensemble in {beside} of {len(rows)} rows: all": beside == len(rows),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    shown = [
        {k: "{:.2f} ({:.2f} to {:.2f})".format(*v) if isinstance(v, list) else v for k, v in row.items()}
        for row in result["rows"]
    ]
    console.print(command.table("Rank correlation with the true error over the box", shown))


if __name__ == "__main__":
    options = command.kept_parser(__doc__).parse_args()
    sys.exit(command.finish(measure(options.quick, options.keep), show, "-" if options.json else None))
