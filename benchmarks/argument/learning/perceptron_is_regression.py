"""A network without activations is linear regression, and what linear regression misses."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from matplotlib.figure import Figure

from ....run_training import errors_at
from ....solvers.problems.catalogue import problem as named
from ....solvers.snapshots.sample import sample
from ....surrogates import train
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of
from ..small_networks import dense, descend, mean_square, network, regression

CLAIM = Claim(
    claim="A perceptron is linear regression.",
    said="in the debate",
    theorem="A network of linear layers is a linear map, and where no layer is narrower than inputs and outputs "
    "every local minimum of its squares is global (Baldi, Hornik 1989; Kawaguchi 2016): trained to the "
    "end it is the least squares solution.",
    experiment="On six problems with 64 snapshots: a network of three linear layers, full-batch gradient descent "
    "with momentum on whitened inputs, 20 000 steps, against the least squares solution: their largest "
    "difference relative to the answers. Then the library's linear baseline, and the same with squares "
    "and products (polynomial) or a kernel, at 256 draws.",
    limits="A perceptron with an activation is not linear, and its threshold's training is another algorithm. "
    "What linear misses is measured on small grids and the problems' own boxes.",
    rule="Held: the difference is below 1e-6 on all problems. Failed: above 1e-3 on one, as trained. Depends: "
    "else. What linear regression misses decides nothing here.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"cells": 16, "low": 10**-0.5, "high": 10**0.5},
    "lognormal-diffusion": {"cells": 16},
    "helmholtz": {"cells": 16},
    "bratu": {"cells": 16},
    "advection-diffusion": {"cells": 16},
    "hyperelastic": {},
}


def trained(name: str, seeds: range, steps: int) -> list[float]:
    """The largest difference of each seed's network from least squares."""
    found = []
    for seed in seeds:
        r = regression(named(name, **PROBLEMS[name]), 64, seed=seed)
        middle = r.x.mean(axis=0)
        L = np.linalg.inv(np.linalg.cholesky(np.cov(r.x.T, bias=True))).T  # whitens: condition number 1
        x, d, m = jnp.asarray((r.x - middle) @ L), r.x.shape[1], r.y.shape[1]
        linear = partial(network, activation=lambda z: z)
        loss = partial(mean_square, x=x, y=jnp.asarray(r.y), net=linear)
        wide = max(d, m)
        start = dense(jax.random.PRNGKey(seed), (d, wide, wide, m))
        weights = jax.jit(partial(descend, loss, optimiser=optax.sgd(0.01, momentum=0.9), steps=steps))(start)[0]
        best = np.linalg.lstsq(np.c_[x, np.ones(len(x))], r.y, rcond=None)[0]
        z = (r.test_x - middle) @ L
        exact = np.c_[z, np.ones(len(z))] @ best
        found.append(float(np.abs(np.asarray(linear(weights, jnp.asarray(z))) - exact).max() / np.abs(exact).max()))
    return found


def missed(name: str, seeds: range) -> dict[str, list[list[float]]]:
    """Mean and worst errors of baselines, by seed."""
    problem = named(name, **PROBLEMS[name])
    tests, found = sample(problem, 256, 7, independent=True), {}
    for model in ("mean", "linear", "polynomial", "kernel-ridge"):
        models = [train(problem, model, sample(problem, 64, s), seed=s) for s in seeds]
        errors = [errors_at(problem, m, tests).errors for m in models]
        found[model] = [[float(e.mean()), float(e.max())] for e in errors]
    return found


def measure(run: Run) -> dict[str, Any]:
    seeds = run.seeds(3)
    names = list(PROBLEMS)[:2] if run.quick else list(PROBLEMS)
    rows = []
    for name in names:
        away = run.row(f"network {name}", partial(trained, name, seeds, 2000 if run.quick else 20000))
        found = run.row(f"baselines {name}", partial(missed, name, seeds))
        rows.append(
            {
                "problem": name,
                "network - least squares, most": max(away),
                **{f"mean error, {k}": mean_of([e[0] for e in v], True) for k, v in found.items()},
                "worst error, linear": max(e[1] for e in found["linear"]),
                "evidence": EMPIRICAL,
            }
        )
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    away = [row["network - least squares, most"] for row in result["rows"]]
    misses = [row["mean error, linear"][0] for row in result["rows"]]
    gains = [row["mean error, linear"][0] / row["mean error, kernel-ridge"][0] for row in result["rows"]]
    words = (
        f"Trained linear networks differ from least squares by less than 1e-6 on {sum(a < 1e-6 for a in away)} of "
        f"{len(away)} problems and by {max(away):.1e} at most; linear regression's mean error "
        f"is {min(misses):.1%} to {max(misses):.1%} there, {min(gains):.2g} to {max(gains):.2g} times that of a kernel "
        "on the same data."
    )
    return (HELD if max(away) < 1e-6 else FAILED if max(away) > 1e-3 else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    axes, rows = figure.subplots(), result["rows"]
    models = ("mean", "linear", "polynomial", "kernel-ridge")
    for i, model in enumerate(models):
        values = np.array([row[f"mean error, {model}"] for row in rows], dtype=float)
        places = np.arange(len(rows)) + 0.2 * (i - 1.5)
        axes.bar(places, values[:, 0], 0.18, label=model)
        ends = np.abs(values[:, 1:] - values[:, :1]).T
        axes.errorbar(places, values[:, 0], ends, fmt="none", color="black", linewidth=0.8)
    axes.set_xticks(range(len(rows)), [row["problem"].replace("-", "-\n") for row in rows])
    axes.set(yscale="log", ylabel="mean relative error", title="what a linear model misses, 64 snapshots")
    axes.legend(fontsize=8, loc="lower left")
    axes.grid(alpha=0.3, axis="y")
