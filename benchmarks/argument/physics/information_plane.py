"""The information plane of a surrogate's layers, and what the width of bins makes of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from ....solvers.problems.thermal_block import ThermalBlock
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of
from ..small_networks import adam, dense, descend, keys, mean_square, network, regression

CLAIM = Claim(
    claim="Training first fits, then compresses: layers forget what the answer does not need (information bottleneck).",
    said="by Shwartz-Ziv and Tishby (2017), of classifiers; in the debate of surrogates",
    theorem="A layer that is an injective function of continuous inputs holds infinitely much information on "
    "them, at all times; what is plotted is the entropy of binned activations, which depends on the bins "
    "and falls where tanh saturates (Saxe and others 2018; Goldfeld and others 2019).",
    experiment="Thermal block, contrast 10, 6 modes, 512 snapshots; three layers of 8 units, tanh or rectifiers, "
    "4000 steps of Adam, three starts. Of the last hidden layer the entropy of its activations, binned "
    "into 5, 10, 30, 100 or 1000 equal bins of its final range, at 41 times; inputs are equally likely, "
    "so that this is its information on the input. Compression: the fall from the largest value to the "
    "last, in bits of at most 9.",
    limits="A small regression without noise; other estimators give other curves, which is the point. "
    "Information on the target is not shown: for fields without noise it is as infinite.",
    rule="Held: the compression is above 0.5 bits, by its interval over starts, for both activations at all "
    "bins but those that separate all inputs throughout. Failed: at none. Depends: else.",
)
BINS, ACTIVATIONS = (5, 10, 30, 100, 1000), ("tanh", "rectifier")
SAMPLES, SIZES, LOOKS = 512, (4, 8, 8, 8, 6), 40


def entropy(layer: np.ndarray, bins: int, low: float, high: float) -> float:
    """Of the binned rows of a layer [n, units], in bits."""
    words = np.floor((layer - low) / (high - low) * bins).clip(-1, bins).astype(int)
    _, counts = np.unique(words, axis=0, return_counts=True)
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def curves(kind: str, steps: int, seed: int) -> dict[str, Any]:
    """Entropies by bins at every look, and the loss."""
    r = regression(ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5), SAMPLES, modes=6, seed=seed)
    net = partial(network, activation=jnp.tanh if kind == "tanh" else jax.nn.relu)
    x = jnp.asarray(r.x)
    loss = partial(mean_square, x=x, y=jnp.asarray(r.y), net=net)

    def hidden(layers: Any) -> Array:
        return (jnp.tanh if kind == "tanh" else jax.nn.relu)(net(layers[:-1], x))

    each = jax.jit(lambda w: descend(loss, w, adam(steps), steps // LOOKS)[0])
    weights, seen, losses = dense(keys(range(seed, seed + 1))[0], SIZES), [], []
    for look in range(LOOKS + 1):
        seen.append(np.asarray(hidden(weights)))
        losses.append(float(loss(weights)))
        weights = each(weights) if look < LOOKS else weights
    low, high = float(seen[-1].min()), float(seen[-1].max()) + 1e-9
    return {"entropy": [[entropy(h, b, low, high) for h in seen] for b in BINS], "loss": losses}


def measure(run: Run) -> dict[str, Any]:
    seeds, steps = run.seeds(3), 80 if run.quick else 4000
    rows, shown = [], {}
    for kind in ACTIVATIONS:
        found = [run.row(f"{kind} {s}", partial(curves, kind, steps, s)) for s in seeds]
        bits = np.array([f["entropy"] for f in found], dtype=float)
        for i, bins in enumerate(BINS):
            falls = bits[:, i].max(axis=1) - bits[:, i, -1]
            row: dict[str, Any] = {"activation": kind, "bins": bins, "bits at first": mean_of(bits[:, i, 0])}
            row |= {"most": mean_of(bits[:, i].max(axis=1)), "at the end": mean_of(bits[:, i, -1])}
            rows.append({**row, "compression": mean_of(falls), "evidence": EMPIRICAL})
        shown[kind] = bits.mean(axis=0)
    return {"rows": rows, "curves": shown, "most": float(np.log2(SAMPLES)), "steps": steps}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    # separated throughout: the bits are all there at first and at the end
    whole = result["most"] - 0.01
    told = [r for r in result["rows"] if min(r["bits at first"][0], r["at the end"][0]) < whole]
    falls = [row for row in told if row["compression"][1] > 0.5]
    most = {kind: max(r["compression"][0] for r in result["rows"] if r["activation"] == kind) for kind in ACTIVATIONS}
    words = (
        f"The last layer loses more than half a bit in {len(falls)} of {len(told)} pairs of activation and bins that "
        f"do not separate all inputs; at most, over bins, {most['tanh']:.2f} (tanh) and {most['rectifier']:.2f} "
        f"(rectifiers) of {result['most']:.0f} bits, while what it holds at the end depends on the bins."
    )
    return (HELD if len(falls) == len(told) else DEPENDS if falls else FAILED), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (kind, bits) in zip(panels, result["curves"].items(), strict=True):
        times = np.linspace(0, result["steps"], LOOKS + 1)
        for bins, curve in zip(BINS, bits, strict=True):
            panel.plot(times, np.array(curve, dtype=float), label=f"{bins} bins")
        panel.axhline(result["most"], color="grey", linewidth=0.8)
        panel.set(xlabel="steps", title=kind)
        panel.grid(alpha=0.3)
    panels[0].set(ylabel="information of the last layer on the input, bits")
    panels[1].legend(fontsize=8)
