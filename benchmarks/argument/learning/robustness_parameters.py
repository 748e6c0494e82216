"""Lipschitz constants, enclosed, against the number of parameters at a fixed fit."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax

from .... import enclose
from ..claim import DEPENDS, FAILED, HELD, PROVED, Claim
from ..run import Run, exponent_of, mean_of

CLAIM = Claim(
    claim="Robustness needs parameters",
    said="by Sebastien Bubeck and Mark Sellke (2021), the law of robustness",
    theorem="To fit n noisy values in d dimensions below the level of the noise, a network of p parameters of "
    "bounded size needs a Lipschitz constant of the order of (n d/p)^(1/2) at least, for inputs of an "
    "isoperimetric law (Bubeck, Sellke 2021). It is a lower bound: it does not say that training attains "
    "it.",
    experiment="40 random signs at random points of a square, fitted by two-layer tanh networks of 8 to 256 units, "
    "Adam until the mean square is below 0.05. The largest gradient over the square: the largest found at "
    "10 000 points, and a proved upper bound by enclosing the gradient over 4096 boxes (`assay.enclose`).",
    limits="Two dimensions; n d = 80, so that all but the smallest network have more parameters than that and "
    "the law bounds them by a constant only. What is measured is what training finds, the least possible "
    "constant is not.",
    rule="Held if the Lipschitz constant falls with the number of parameters: the exponent's interval lies "
    "below zero both for what is found and for the proved bound; failed if neither does; else it depends.",
)
WIDTHS, POINTS, GOAL, STEPS, RATE = (8, 16, 32, 64, 128, 256), 40, 0.05, 20_000, 3e-3
GRID, FOUND = 64, 10_000


def value(weights: Any, x: Any) -> Any:
    return jnp.tanh(weights["W"] @ x + weights["b"]) @ weights["v"] + weights["c"]


@jax.jit
def fitted(start: Any, X: Any, y: Any) -> tuple[Any, Any, Any]:
    optimiser = optax.adam(RATE)

    def loss(weights: Any) -> Any:
        return jnp.mean((jax.vmap(lambda x: value(weights, x))(X) - y) ** 2)

    def step(state: Any) -> Any:
        weights, inner, _, n = state
        now, grad = jax.value_and_grad(loss)(weights)
        updates, inner = optimiser.update(grad, inner, weights)
        moved = jax.tree.map(lambda w, u: jnp.where(now < GOAL, w, w + u), weights, updates)
        return moved, inner, now, n + 1

    def on(state: Any) -> Any:
        return (state[2] >= GOAL) & (state[3] < STEPS)

    weights, _, last, steps = lax.while_loop(on, step, (start, optimiser.init(start), jnp.inf, 0))
    return weights, last, steps


def one(width: int, seed: int, grid: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    X, y = rng.uniform(-1, 1, (POINTS, 2)), rng.choice([-1.0, 1.0], POINTS)
    start = {
        "W": jnp.asarray(2 * rng.standard_normal((width, 2))),
        "b": jnp.asarray(rng.standard_normal(width)),
        "v": jnp.asarray(rng.standard_normal(width) / np.sqrt(width)),
        "c": jnp.asarray(0.0),
    }
    weights, last, steps = fitted(start, jnp.asarray(X), jnp.asarray(y))
    slope = jax.grad(lambda x: value(weights, x))
    seen = np.linalg.norm(jax.vmap(slope)(jnp.asarray(rng.uniform(-1, 1, (FOUND, 2)))), axis=1).max()
    edges = np.linspace(-1, 1, grid + 1)
    corner = np.stack(np.meshgrid(edges[:-1], edges[:-1]), axis=-1).reshape(-1, 2)
    low, high = (np.asarray(b) for b in enclose(slope, corner, corner + 2 / grid))
    proved = np.linalg.norm(np.maximum(abs(low), abs(high)), axis=1).max() * (1 + 1e-12)
    return {"fit": float(last), "steps": int(steps), "found": float(seen), "proved": float(proved)}


def measure(run: Run) -> dict[str, Any]:
    widths, seeds, grid = (WIDTHS[1:4], run.seeds(4), 16) if run.quick else (WIDTHS, run.seeds(4), GRID)
    rows, p, seen, proved = [], [], [], []
    for width in widths:
        found = [run.row(f"width {width}, seed {seed}", partial(one, width, seed, grid)) for seed in seeds]
        fits = [f for f in found if f["fit"] < GOAL]
        p += [4 * width + 1] * len(fits)
        seen += [f["found"] for f in fits]
        proved += [f["proved"] for f in fits]
        if fits:
            rows.append(
                {
                    "units": width,
                    "parameters": 4 * width + 1,
                    "seeds that fit": f"{len(fits)} of {len(found)}",
                    "largest gradient found": mean_of([f["found"] for f in fits], logarithms=True),
                    "proved bound": mean_of([f["proved"] for f in fits], logarithms=True),
                    "(n d/p)^(1/2)": float(np.sqrt(2 * POINTS / (4 * width + 1))),
                    "evidence": PROVED,
                }
            )
    return {"rows": rows, "exponents": {"found": exponent_of(p, seen), "proved": exponent_of(p, proved)}}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    exponents = [[float(x) for x in result["exponents"][k]] for k in ("found", "proved")]
    falling, unknown = [e[2] < 0 for e in exponents], bool(np.isnan(exponents).any())
    told = ["{:.2f} [{:.2f}, {:.2f}]".format(*e) for e in exponents]
    first, last = result["rows"][0], result["rows"][-1]
    proved = [float(row["proved bound"][0]) for row in (first, last)]
    sentence = (
        f"The Lipschitz constant goes like p^b with b = {told[0]} as found and {told[1]} as proved: proved "
        f"{proved[0]:.3g} at {first['parameters']} parameters, {proved[1]:.3g} at "
        f"{last['parameters']}."
    )
    return (HELD if all(falling) else DEPENDS if any(falling) or unknown else FAILED), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    p = [row["parameters"] for row in result["rows"]]
    for key, colour in (("largest gradient found", "#d55e00"), ("proved bound", "#0072b2")):
        values = np.array([row[key] for row in result["rows"]], dtype=float)
        spread = abs(values[:, 1:] - values[:, :1]).T
        spread = np.where(np.isfinite(spread).all(axis=0), spread, 0.0)  # of one seed there is no interval
        axes.errorbar(p, values[:, 0], yerr=spread, fmt="-o", color=colour, label=key, capsize=3)
    axes.plot(p, [row["(n d/p)^(1/2)"] for row in result["rows"]], "--", color="black", label="(n d/p)^(1/2)")
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="Lipschitz constant over the square")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
