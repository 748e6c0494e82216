"""Networks trained by solving linear systems, beside a tuned first-order method, in the same processor time."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax

from .... import problem, sample
from ....run_training import errors_at
from ....surrogates.training.gauss_newton import levenberg_marquardt
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="Linear solvers can be the engine of training instead of gradient descent",
    said="in the debate",
    theorem="Gauss and Newton's step solves a linear least-squares problem and is invariant to linear changes of "
    "the weights; where the last layer is linear its best weights are one such solve (variable "
    "projection, Golub and Pereyra 1973).",
    experiment="A network of d-24-8 units for the leading coefficients of three problems, 128 solves, two seconds of "
    "the processor each: Adam at the best of three first rates, falling to a hundredth by a cosine of the "
    "time; Levenberg-Marquardt; Adam likewise on the first layer with the last one solved at every step; "
    "the last layer solved once, the first one random. The fit (root mean square at the training inputs, "
    "of the largest coefficient's spread), mean and worst error at 256 fresh inputs.",
    limits="Small networks, where systems of the size of the weights are cheap: their cost grows with the cube "
    "of that number. All rows enter every step. The best rate has the least error at the fresh inputs, "
    "which favours methods with rates. Where fits differ and errors do not, rows and coefficients set "
    "these. Falling rates and the fit came after a partial run with constant rates.",
    rule="Held if the better of Levenberg-Marquardt and variable projection has less than half of Adam's mean "
    "error on every problem; failed if on none it has less than Adam's; else it depends. By geometric "
    "means over seeds; where Adam's is not finite nothing is concluded.",
)
PROBLEMS: dict[str, dict[str, Any]] = {
    "thermal-block": {"blocks": (2, 2), "cells": 8, "low": 0.3, "high": 3.0},
    "bratu": {"cells": 16},
    "heat": {"cells": 8, "steps": 8},
}
ROWS, TESTS, UNITS, COEFFICIENTS = 128, 256, 24, 8
RATES, SECONDS, INNER = (1e-3, 3e-3, 1e-2), 2.0, 20
METHODS = ("Adam", "Levenberg-Marquardt", "variable projection", "random first layer")


def hidden(weights: Any, X: Any) -> Any:
    return jnp.concatenate([jnp.tanh(X @ weights["W1"] + weights["b1"]), jnp.ones((*X.shape[:-1], 1))], axis=-1)


def solved(weights: Any, X: Any, C: Any) -> Any:
    """The best last layer."""
    H = hidden(weights, X)
    return jnp.linalg.solve(H.T @ H + 1e-10 * len(X) * jnp.eye(H.shape[1]), H.T @ C)


def train(method: str, start: Any, X: Any, C: Any, rate: float, seconds: float) -> Any:
    """The weights after so many seconds of the processor, without compiling; rates fall as time goes by."""
    if method == "random first layer":
        return {**start, "W2": solved(start, X, C)}
    if method == "Levenberg-Marquardt":
        begin, step = levenberg_marquardt(lambda w, row: hidden(w, row[0]) @ w["W2"] - row[1])
        first, advance = begin(start, (X, C)), lambda state, _: step(state, (X, C), INNER)[0]
    else:
        optimiser = optax.adam(1.0)

        def loss(w: Any) -> Any:
            last = lax.stop_gradient(solved(w, X, C)) if method == "variable projection" else w["W2"]
            return jnp.mean((hidden(w, X) @ last - C) ** 2)

        def some(state: Any, rate: Any) -> Any:
            def body(_: Any, now: Any) -> Any:
                updates, inner = optimiser.update(jax.grad(loss)(now[0]), now[1], now[0])
                return jax.tree.map(lambda a, b: a + rate * b, now[0], updates), inner

            return lax.fori_loop(0, INNER, body, state)

        first, advance = (start, optimiser.init(start)), jax.jit(some)
    jax.block_until_ready(advance(first, rate))
    state, began = first, time.process_time()
    while (past := (time.process_time() - began) / seconds) < 1:
        state = jax.block_until_ready(advance(state, rate * (0.505 + 0.495 * math.cos(math.pi * past))))
    weights = state[0]
    return {**weights, "W2": solved(weights, X, C)} if method == "variable projection" else weights


def one(name: str, seed: int, seconds: float) -> dict[str, Any]:
    made = problem(name, **PROBLEMS[name])
    rows = sample(made, ROWS, seed, independent=True)
    fresh = sample(made, TESTS, 1000 + seed, independent=True)
    V = np.linalg.svd(rows.fields, full_matrices=False)[2][:COEFFICIENTS]
    C = rows.fields @ V.T
    middle, size = C.mean(axis=0), C.std(axis=0).max()
    d, rng = made.inputs.dimension, np.random.default_rng(seed)
    start = {
        "W1": jnp.asarray(rng.standard_normal((d, UNITS)) / np.sqrt(d)),
        "W2": jnp.asarray(rng.standard_normal((UNITS + 1, COEFFICIENTS)) / np.sqrt(UNITS)),
        "b1": jnp.asarray(rng.standard_normal(UNITS)),
    }
    X, T = jnp.asarray(2 * made.inputs.to_unit(rows.inputs) - 1), jnp.asarray((C - middle) / size)
    found: dict[str, Any] = {}
    for method in METHODS:
        for rate in RATES if method in ("Adam", "variable projection") else RATES[:1]:
            w = train(method, start, X, T, rate, seconds)

            def fields(P: Any, w: Any = w) -> np.ndarray:
                H = hidden(w, jnp.asarray(2 * made.inputs.to_unit(np.asarray(P)) - 1))
                return np.asarray((np.asarray(H @ w["W2"]) * size + middle) @ V)

            e = errors_at(made, fields, fresh).errors
            fit = float(jnp.sqrt(jnp.mean((hidden(w, X) @ w["W2"] - T) ** 2)))
            found[method] = min(found.get(method, [np.inf] * 3), [float(e.mean()), float(e.max()), fit])
    return found


def measure(run: Run) -> dict[str, Any]:
    rows, seeds, seconds = [], run.seeds(3), 0.2 if run.quick else SECONDS
    for name in list(PROBLEMS)[: 1 if run.quick else None]:
        found = [run.row(f"{name}, seed {seed}", partial(one, name, seed, seconds)) for seed in seeds]
        for method in METHODS:
            x = np.array([f[method] for f in found], dtype=float)
            numbers = {k: mean_of(x[:, i], logarithms=True) for i, k in ((2, "fit"), (0, "mean"), (1, "worst"))}
            rows.append({"problem": name, "method": method, **numbers, "evidence": EMPIRICAL})
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    mean = {(row["problem"], row["method"]): float(row["mean"][0]) for row in result["rows"]}
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    least = {n: float(np.nanmin([np.inf, *(mean[n, m] for m in METHODS[1:3])])) for n in names}
    ratios = {n: least[n] / mean[n, "Adam"] if np.isfinite(mean[n, "Adam"]) else np.nan for n in names}
    told = ", ".join(f"{ratio:.2g} ({name})" for name, ratio in ratios.items())
    sentence = f"The better of the two solver-driven methods has {told} times the mean error of tuned Adam."
    every = np.array([*ratios.values()])
    return (HELD if (every < 0.5).all() else FAILED if (every >= 1).all() else DEPENDS), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    names = list(dict.fromkeys(row["problem"] for row in result["rows"]))
    for i, (method, colour) in enumerate(zip(METHODS, ("#d55e00", "#0072b2", "#009e73", "#999999"), strict=True)):
        values = np.array([row["mean"] for row in result["rows"] if row["method"] == method], dtype=float)
        x = np.arange(len(names)) + 0.15 * (i - 1.5)
        axes.errorbar(x, values[:, 0], yerr=abs(values[:, 1:] - values[:, :1]).T, fmt="o", color=colour, label=method)
    axes.set(yscale="log", ylabel="mean relative error", xticks=range(len(names)), xticklabels=names)
    axes.legend(fontsize=8, loc="lower left")
