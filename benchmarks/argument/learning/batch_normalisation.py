"""Batch normalisation, layer normalisation and neither, each at the best of many steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from matplotlib.figure import Figure

from ....solvers.problems.thermal_block import ThermalBlock
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of
from ..small_networks import dense, keys, regression

CLAIM = Claim(
    claim="Batch normalisation works, and nobody knows why.",
    said="by Rahimi and Recht in their test-of-time talk (2017), in substance",
    theorem="Made against internal covariate shift (Ioffe, Szegedy 2015), it works without reducing that; it "
    "makes gradients smoother (Santurkar, Tsipras, Ilyas, Madry 2018), and large steps harmless, since "
    "weights before it have no scale (Arora, Li, Lyu 2019).",
    experiment="Thermal block, contrast 10, 6 modes, 128 snapshots; five tanh layers of 24 with no normalisation, "
    "batch normalisation (statistics of the batch in training, of all snapshots in use) or layer "
    "normalisation, each with learnt scale and shift. Batches of 32, momentum .9, 12 steps from 1e-4 to "
    "30, 3000 of them, falling by a cosine. Per start: the best step by training loss, the range of steps "
    "within twice that loss, the largest eigenvalue of the loss's Hessian there, errors of 512 draws.",
    limits="A small regression without noise; it was made for deep classifiers. Why it works is not asked.",
    rule="By intervals over starts that exclude equality: held if its range of steps, in decades, is wider "
    "than without it and its worst error smaller; failed if neither, or if its worst error is larger. "
    "Depends: else, or if one of them does not train.",
)
KINDS, RATES = ("none", "batch", "layer"), np.geomspace(1e-4, 30, 12)
DEPTH, WIDTH, BATCH = 5, 24, 32


def start(key: Array, d: int, r: int) -> Any:
    """Layers, and scale and shift of each hidden one."""
    norms = [{"scale": jnp.ones(WIDTH), "shift": jnp.zeros(WIDTH)}] * DEPTH
    return {"layers": dense(key, (d, *[WIDTH] * DEPTH, r)), "norms": norms}


def forward(weights: Any, x: Array, kind: str, seen: Array | None = None) -> Array:
    """Answers; with batch normalisation the statistics are those of ``seen``, or of x itself."""
    own = x if seen is None else seen
    for layer, norm in zip(weights["layers"][:-1], weights["norms"], strict=True):
        x, own = x @ layer["w"] + layer["b"], own @ layer["w"] + layer["b"]
        if kind != "none":
            axis = 0 if kind == "batch" else 1
            both = [(v, own if kind == "batch" else v) for v in (x, own)]
            x, own = (
                (v - jnp.mean(w, axis, keepdims=True)) / jnp.sqrt(jnp.var(w, axis, keepdims=True) + 1e-5)
                for v, w in both
            )
            x, own = (v * norm["scale"] + norm["shift"] for v in (x, own))
        x, own = jnp.tanh(x), jnp.tanh(own)
    return x @ weights["layers"][-1]["w"] + weights["layers"][-1]["b"]


def loss(weights: Any, x: Array, y: Array, kind: str) -> Array:
    return jnp.mean(jnp.sum((forward(weights, x, kind) - y) ** 2, axis=1))


def sharpness(weights: Any, x: Array, y: Array, kind: str) -> Array:
    """The largest eigenvalue of the Hessian in size, by 30 steps of the power method."""
    flat, unravel = ravel_pytree(weights)
    slope = jax.grad(lambda w: loss(unravel(w), x, y, kind))

    def step(v: Array, _: Any) -> Any:
        Hv = jax.jvp(slope, (flat,), (v,))[1]
        size = jnp.linalg.norm(Hv)
        return Hv / size, size

    return lax.scan(step, jnp.ones_like(flat) / jnp.sqrt(flat.size), None, length=30)[1][-1]


def sweep(kind: str, steps: int, seeds: range) -> Any:
    """Of each seed and rate: training loss, mean error, worst error, sharpness."""
    problem = ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5)
    data = [regression(problem, 128, modes=6, seed=s) for s in seeds]
    x, y, z = (jnp.asarray(np.stack([getattr(r, k) for r in data])) for k in ("x", "y", "test_x"))

    def one(key: Array, x: Array, y: Array, z: Array, rate: Array) -> Any:
        optimiser = optax.sgd(optax.cosine_decay_schedule(1.0, steps, 0.01), momentum=0.9)

        def step(state: Any, key: Array) -> Any:
            weights, inner = state
            rows = jax.random.choice(key, len(x), (BATCH,), replace=False)
            slope = jax.grad(loss)(weights, x[rows], y[rows], kind)
            update, inner = optimiser.update(jax.tree.map(lambda g: rate * g, slope), inner, weights)
            return (optax.apply_updates(weights, update), inner), None

        first = start(key, x.shape[1], y.shape[1])
        (weights, _), _ = lax.scan(step, (first, optimiser.init(first)), jax.random.split(key, steps))
        return loss(weights, x, y, kind), forward(weights, z, kind, x), sharpness(weights, x, y, kind)

    over_rates = jax.vmap(one, (None, None, None, None, 0))
    fits, answers, sharp = jax.jit(jax.vmap(over_rates, (0, 0, 0, 0, None)))(keys(seeds), x, y, z, jnp.asarray(RATES))
    errors = np.array([[r.errors(a) for a in answers[s]] for s, r in enumerate(data)])
    return np.stack([fits, errors.mean(axis=2), errors.max(axis=2), sharp], axis=2).tolist()


def measure(run: Run) -> dict[str, Any]:
    seeds, steps = run.seeds(4), 30 if run.quick else 3000
    rows, curves, own = [], {}, {}
    for kind in KINDS:
        found = np.array(run.row(kind, partial(sweep, kind, steps, seeds)), dtype=float)
        found = np.where(np.isfinite(found), found, np.inf)
        best = found[..., 0].argmin(axis=1)
        at = found[np.arange(len(best)), best]
        near = (found[..., 0] <= 2 * at[:, :1]).sum(axis=1) * np.log10(RATES[1] / RATES[0])
        own[kind] = near, at[:, 2]
        row: dict[str, Any] = {"normalisation": kind, "best steps": mean_of(RATES[best], True)}
        row["decades of steps within twice"] = mean_of(near)
        row["trains at all"] = mean_of((found[..., 0] < 0.5).mean(axis=1))
        for i, name in enumerate(("training loss", "mean error", "worst error", "sharpness")):
            row[name] = mean_of(at[:, i], True)
        row |= {"wider by, decades": mean_of(near - own["none"][0])}
        row |= {"worst / without": mean_of(at[:, 2] / own["none"][1], True)}
        rows.append({**row, "evidence": EMPIRICAL})
        curves[kind] = [np.exp(np.log(np.minimum(found[..., i], 1e9)).mean(axis=0)) for i in (0, 2)]
    return {"rows": rows, "curves": curves, "rates": RATES}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    none, batch, layer = ({k: np.array(v, float) for k, v in r.items() if isinstance(v, list)} for r in result["rows"])
    wider, worst = batch["wider by, decades"], batch["worst / without"]
    words = (
        f"Batch normalisation's range of steps is {wider[0]:+.2g} decades [{wider[1]:.2g}, {wider[2]:.2g}] wider, its "
        f"worst error {worst[0]:.2g} [{worst[1]:.2g}, {worst[2]:.2g}] times that without it; layer normalisation's "
        f"{layer['worst / without'][0]:.2f} times. Sharpness after training: {none['sharpness'][0]:.2g} without, "
        f"{batch['sharpness'][0]:.2g} with it, {layer['sharpness'][0]:.2g} with layers'."
    )
    wide, better = wider[1] > 0, worst[2] < 1
    if not np.isfinite([wider[0], worst[0], none["training loss"][0], batch["training loss"][0]]).all():
        return DEPENDS, words
    return (HELD if wide and better else FAILED if worst[1] > 1 or not (wide or better) else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    for i, (panel, what) in enumerate(zip(figure.subplots(1, 2), ("training loss", "worst error of 512"), strict=True)):
        for kind, curves in result["curves"].items():
            panel.loglog(result["rates"], np.array(curves[i], float), "o-", label=kind, markersize=4)
        panel.set(xlabel="step size", title=what, ylim=(None, 30))
        panel.legend(title="normalisation", fontsize=8)
