"""The same training with weights rounded in other ways, to other numbers of bits."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax

from .... import problem, sample
from ....run_training import errors_at
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="A changed rounding mode takes training from an error of about 25 % to one of about 99.97 %",
    said="by Ali Rahimi and Benjamin Recht in the test-of-time talk at NIPS 2017",
    theorem="Updates below half a unit in the last place are lost by rounding to nearest; rounding in one "
    "direction adds a drift of half a unit a step; stochastic rounding is right in the mean.",
    experiment="A network of 2-32-32-8 units for a thermal block, 64 solves, 2000 steps of Adam at a rate of 1e-3: "
    "arithmetic in double precision, but the weights are rounded after every step to 53, 24, 11 or 8 bits "
    "(double, single, half, bfloat16), to nearest, toward zero, upward, or stochastically. Mean and worst "
    "error at 256 fresh inputs over seeds. 53 bits are the weights' own: these rows are the identity in "
    "every mode, a check of the rounding and no evidence. And of the double-precision weights rounded "
    "once, at inference.",
    limits="Weights alone are rounded, neither activations nor gradients; one small problem and one optimiser. "
    "The talk's own case was another network, and no more is taken from it than the two errors.",
    rule="Of changes from rounding to nearest to another mode, and back. Held if one with 24 bits takes the "
    "mean error from at most 25 % to at least 99.97 %; depends (on the bits) if only with fewer bits, or "
    "if one makes the mean error ten times as large, or if a mean error is not finite; failed if none "
    "does.",
)
BITS, MODES = (53, 24, 11, 8), ("nearest", "toward zero", "upward", "stochastic")
STEPS, RATE, MODES_OF_FIELDS, WIDTH = 2000, 1e-3, 8, 32
NAMES = {53: "double", 24: "single", 11: "half", 8: "bfloat16"}


def rounded(x: Any, bits: Any, mode: str, key: Any) -> Any:
    """x with a significand of so many bits."""
    exponent = jnp.frexp(x)[1]
    scaled = jnp.ldexp(x, bits - exponent)
    if mode == "stochastic":
        whole = jnp.floor(scaled + jax.random.uniform(key, x.shape))
    else:
        whole = {"nearest": jnp.round, "toward zero": jnp.trunc, "upward": jnp.ceil}[mode](scaled)
    return jnp.ldexp(whole, exponent - bits)


def answer(weights: Any, X: Any) -> Any:
    for W, b in weights[:-1]:
        X = jnp.tanh(X @ W + b)
    return X @ weights[-1][0] + weights[-1][1]


@partial(jax.jit, static_argnames=("mode", "steps"))
def trained(start: Any, X: Any, C: Any, bits: Any, mode: str, steps: int) -> Any:
    optimiser = optax.adam(RATE)

    def step(state: Any, key: Any) -> tuple[Any, None]:
        weights, inner = state
        grad = jax.grad(lambda w: jnp.mean((answer(w, X) - C) ** 2))(weights)
        updates, inner = optimiser.update(grad, inner, weights)
        leaves, tree = jax.tree.flatten(optax.apply_updates(weights, updates))
        keys = jax.random.split(key, len(leaves))
        moved = [rounded(w, bits, mode, k) for w, k in zip(leaves, keys, strict=True)]
        return (jax.tree.unflatten(tree, moved), inner), None

    keys = jax.random.split(jax.random.key(0), steps)
    return lax.scan(step, (start, optimiser.init(start)), keys)[0][0]


def one(seed: int, steps: int) -> dict[str, Any]:
    """[mean, worst] by bits and mode; and of weights rounded once, to nearest."""
    made = problem("thermal-block", blocks=(2, 1), cells=8, low=0.3, high=3.0)
    rows, fresh = sample(made, 64, seed), sample(made, 256, 1000 + seed, independent=True)
    _, _, V = np.linalg.svd(rows.fields, full_matrices=False)
    C = rows.fields @ V[:MODES_OF_FIELDS].T
    middle, size = C.mean(axis=0), C.std(axis=0)
    rng = np.random.default_rng(seed)
    sizes = (2, WIDTH, WIDTH, MODES_OF_FIELDS)
    start = [(jnp.asarray(rng.standard_normal((a, b)) / np.sqrt(a)), jnp.zeros(b)) for a, b in pairwise(sizes)]

    def errors(weights: Any) -> list[float]:
        def fields(P: Any) -> np.ndarray:
            X = 2 * made.inputs.to_unit(np.asarray(P)) - 1
            return np.asarray((np.asarray(answer(weights, X)) * size + middle) @ V[:MODES_OF_FIELDS])

        found = errors_at(made, fields, fresh).errors
        return [float(found.mean()), float(found.max())]

    X, T = jnp.asarray(2 * made.inputs.to_unit(rows.inputs) - 1), jnp.asarray((C - middle) / size)
    ends = {(b, m): trained(start, X, T, b, m, steps) for b in BITS for m in MODES}
    found: dict[str, Any] = {f"{b} {m}": errors(weights) for (b, m), weights in ends.items()}
    for b in BITS:
        once = jax.tree.map(lambda w, b=b: rounded(w, b, "nearest", None), ends[53, "nearest"])
        found[f"{b} once"] = errors(once)
    return found


def measure(run: Run) -> dict[str, Any]:
    steps = 100 if run.quick else STEPS
    found = [run.row(f"seed {seed}", partial(one, seed, steps)) for seed in run.seeds(5)]
    rows = []
    for bits in BITS:
        for mode in (*MODES, "once"):
            x = np.array([f[f"{bits} {mode}"] for f in found])
            name = "to nearest, at inference alone" if mode == "once" else mode
            row: dict[str, Any] = {"format": f"{bits} bits ({NAMES[bits]})", "rounding": name}
            row |= {f"{what} error": mean_of(x[:, i], logarithms=True) for i, what in enumerate(("mean", "worst"))}
            rows.append({**row, "of seeds the worst": float(x[:, 1].max()), "evidence": EMPIRICAL})
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    mean = {(int(row["format"].split()[0]), row["rounding"]): float(row["mean error"][0]) for row in result["rows"]}
    if not np.isfinite(list(mean.values())).all():
        return DEPENDS, "Not every mean error is a finite number."
    pairs = [(b, *pair) for b in BITS[1:] for m in MODES[1:] for pair in (("nearest", m), (m, "nearest"))]
    collapsed = [b for b, old, new in pairs if mean[b, old] <= 0.25 and mean[b, new] >= 0.9997]
    factor, bits, old, new = max((mean[b, new] / mean[b, old], b, old, new) for b, old, new in pairs)
    single = max(mean[24, m] for m in MODES) / min(mean[24, m] for m in MODES)
    within = "agree to 0.1 %" if single <= 1.001 else f"lie within a factor of {single:.3g}"
    sentence = (
        f"At 24 bits the modes' mean errors {within}; the largest change is from {old} to {new} at {bits} bits, "
        f"{factor:.3g} times ({mean[bits, old]:.2g} to {mean[bits, new]:.2g})."
    )
    if any(b >= 24 for b in collapsed):
        return HELD, sentence
    return (DEPENDS if collapsed or factor >= 10 else FAILED), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    names = list(dict.fromkeys(row["rounding"] for row in result["rows"]))
    for name, colour in zip(names, ("#0072b2", "#009e73", "#d55e00", "#cc79a7", "#999999"), strict=True):
        values = np.array([row["mean error"] for row in result["rows"] if row["rounding"] == name], dtype=float)
        spread = abs(values[:, 1:] - values[:, :1]).T
        axes.errorbar(BITS, values[:, 0], yerr=spread, fmt="-o", color=colour, label=name, capsize=3, markersize=4)
    axes.set(yscale="log", xlabel="bits of a weight", ylabel="mean relative error")
    axes.set_xticks(BITS)
    axes.axhline(0.9997, color="black", linewidth=0.8, linestyle="--")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
