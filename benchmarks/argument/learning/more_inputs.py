"""More inputs, and what built-in boundary values change: networks trained on the equation alone, and on solutions."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of, share_of
from ..small_networks import adam, dense, descend, keys, network

CLAIM = Claim(
    claim="The more inputs, the lower the chance of a right solution; only hard constraints help.",
    said="in the debate",
    theorem="The samples that a worst error needs grow exponentially with the inputs in general (Novak, "
    "Wozniakowski 2009), and not at all for some analytic dependences (Cohen, DeVore, Schwab 2011).",
    experiment="-(k u')' = 1 on an interval, u = 0 at both ends, k constant on eight parts, linear elements on 16 "
    "cells. Of d = 1, 2, 4, 8 inputs each moves 8/d parts, some up and some down: as many kinks for every "
    "d. Contrast 4 and 100. A network of two layers of 24 gives u at the nodes. It learns at 32 inputs "
    "from solutions or from the energy alone (Deep Ritz). Hard: the ends are set to 0. Soft: squares of "
    "the ends are added with weight 1 or 100, whichever has the smaller worst error. More data: soft, at "
    "128 inputs. Adam for 3000 steps, four starts and designs. Right is a worst relative error in the "
    "energy norm below 30 % at 256 draws; an end that is off counts as a jump over one cell.",
    limits="One equation in one dimension; only boundary values are tried as hard constraints. The test chooses soft "
    "weights, which favours soft ones. Steps, rate and weights come from single runs, some with right at 10 %. "
    "Runs of a start share draws: intervals are too narrow. At contrast 4 none falls with four times the data.",
    rule="Two halves. More inputs: of all runs of a contrast together, the share of right ones is lower at eight "
    "inputs than at one, exact intervals apart, at both. Only hard constraints help: hard runs are right more "
    "often than soft ones, the interval over starts of their ratio of worst errors is below 1, that of more data "
    "is not. Held: both. Failed: neither. Depends: one.",
)
INPUTS, CONTRASTS, KINDS, HOW = (1, 2, 4, 8), (4, 100), ("solutions", "energy"), ("hard", "soft", "more data")
WEIGHTS, CELLS, RIGHT = (1.0, 100.0), 16, 0.3
SIGNS = np.array([1, 1, -1, 1, -1, -1, 1, -1])  # for every d < 8 each input has parts of both signs
X = jnp.linspace(0, 1, CELLS + 1)


def conductivity(p: Array, contrast: Array) -> Array:
    """From inputs in [-1, 1]^d to cells."""
    parts = SIGNS * p[..., np.arange(len(SIGNS)) % p.shape[-1]]
    return jnp.repeat(contrast ** (parts / 2), CELLS // len(SIGNS), axis=-1)


def solutions(k: Array) -> Array:
    """Exact at the nodes, by rows: k u' = c - x at the middles of cells, and the slopes add to nothing."""
    middle = X[:-1] + 0.5 / CELLS
    c = jnp.sum(middle / k, axis=1, keepdims=True) / jnp.sum(1 / k, axis=1, keepdims=True)
    return jnp.pad(jnp.cumsum((c - middle) / k, axis=1) / CELLS, ((0, 0), (1, 0)))


def energy(k: Array, u: Array) -> Array:
    """|u|^2 in the energy norm, by rows."""
    return CELLS * jnp.sum(k * jnp.diff(u, axis=1) ** 2, axis=1)


def answers(layers: Any, p: Array, k: Array, hard: bool) -> Array:
    """u [n, nodes], in units of the largest value at the harmonic mean."""
    u = network(layers, p) * jnp.mean(1 / k, axis=1, keepdims=True) / 8
    return u * (X * (1 - X) > 0) if hard else u


def worst(d: int, kind: str, steps: int, seeds: range) -> dict[str, np.ndarray]:
    """Worst errors [contrasts, seeds] with hard constraints, with the better soft weight, and at more inputs."""

    def one(contrast: Array, key: Array, weight: Any, how: str) -> Array:
        first, second, third = jax.random.split(key, 3)
        sizes = ((first, 128 if how == "more data" else 32), (second, 256))
        p, q = (jax.random.uniform(k, (n, d), minval=-1, maxval=1) for k, n in sizes)
        k, kq = conductivity(p, contrast), conductivity(q, contrast)
        u, unit = solutions(k), jnp.mean(1 / k, axis=1) / 8

        def loss(layers: Any) -> Array:
            v = answers(layers, p, k, how == "hard")
            work = (jnp.sum(v, axis=1) - (v[:, 0] + v[:, -1]) / 2) / CELLS
            equation = (energy(k, v) - 2 * work) / energy(k, u)
            away = jnp.sum((v - u) ** 2, axis=1) / jnp.sum(u**2, axis=1) if kind == "solutions" else equation
            return jnp.mean(away + weight * (v[:, 0] ** 2 + v[:, -1] ** 2) / unit**2)

        found, _ = descend(loss, dense(third, (d, 24, 24, CELLS + 1)), adam(steps, 1e-2), steps)
        truth = solutions(kq)
        away = answers(found, q, kq, how == "hard") - truth
        outside = CELLS * (kq[:, 0] * away[:, 0] ** 2 + kq[:, -1] * away[:, -1] ** 2)
        error = jnp.sqrt(jnp.max((energy(kq, away) + outside) / energy(kq, truth)))
        return jnp.where(jnp.isfinite(error), error, jnp.inf)

    def each(how: str) -> np.ndarray:
        seeded = jax.vmap(partial(one, how=how), (None, 0, None))
        made = jax.jit(jax.vmap(jax.vmap(seeded, (0, None, None)), (None, None, 0)))
        weights = (0.0,) if how == "hard" else WEIGHTS
        return np.asarray(made(jnp.array(CONTRASTS, float), keys(seeds), jnp.array(weights))).min(axis=0)

    return {how: each(how) for how in HOW}


def measure(run: Run) -> dict[str, Any]:
    seeds, steps, inputs = run.seeds(4), 50 if run.quick else 3000, INPUTS[::3] if run.quick else INPUTS
    rows, points = [], []
    for kind in KINDS:
        for d in inputs:
            found = run.row(f"{kind} {d}", partial(worst, d, kind, steps, seeds))
            for i, contrast in enumerate(CONTRASTS):
                row: dict[str, Any] = {"learns from": kind, "inputs": d, "contrast": contrast}
                errors = {how: np.array(found[how][i], dtype=float) for how in HOW}
                row |= {f"{how}: right": share_of(int((e < RIGHT).sum()), len(e)) for how, e in errors.items()}
                row |= {f"{how}: worst": mean_of(e, logarithms=True) for how, e in errors.items()}
                points.append([contrast, kind, d, *errors.values()])
                rows.append({**row, "evidence": EMPIRICAL})
    logs = np.log(np.array([p[3:] for p in points], dtype=float)).mean(axis=0)  # [how, seeds]
    ratios = {how: mean_of(np.exp(logs[HOW.index(how)] - logs[1]), True) for how in ("hard", "more data")}
    return {"rows": rows, "points": points, "worst error / soft": ratios}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    points, right, most = result["points"], [], max(p[2] for p in result["points"])
    for contrast in CONTRASTS:
        one, many = ([e for p in points if p[0] == contrast and p[2] == d for e in np.ravel(p[3:])] for d in (1, most))
        right.append([share_of(sum(float(e) < RIGHT for e in errors), len(errors)) for errors in (one, many)])
    shares = [float(np.mean([float(e) < RIGHT for p in points for e in p[3 + i]])) for i in range(3)]
    hard, data = ([float(x) for x in result["worst error / soft"][how]] for how in ("hard", "more data"))
    more = all(many[2] < one[1] for one, many in right)
    only = shares[0] > shares[1] and hard[2] < 1 <= data[2]
    falls = " and ".join(f"{x[0]:.0%} to {y[0]:.0%} (contrast {c})" for c, (x, y) in zip(CONTRASTS, right, strict=True))
    words = (
        f"From one to {most} inputs the share of right runs changes from {falls}. With soft boundary values "
        f"{shares[1]:.0%} are right; with hard ones {shares[0]:.0%}, worst errors {hard[0]:.2g} [{hard[1]:.2g}, "
        f"{hard[2]:.3g}] times; with four times the data {shares[2]:.0%}, {data[0]:.2g} [{data[1]:.2g}, {data[2]:.2g}]."
    )
    return (HELD if more and only else DEPENDS if more or only else FAILED), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels, colours = figure.subplots(1, 2, sharey=True), ("#0072b2", "#d55e00", "#009e73")
    for contrast, kind, d, *errors in result["points"]:
        for i, (how, e) in enumerate(zip(HOW, np.array(errors, dtype=float), strict=True)):
            place, mark = d * (0.88 + 0.08 * i + 0.04 * (kind == "energy")), "o" if kind == "solutions" else "x"
            label = f"{how}, from {kind}" if d == 1 else None
            panels[CONTRASTS.index(contrast)].loglog([place] * len(e), e, mark, color=colours[i], label=label, ms=4)
    for panel, contrast in zip(panels, CONTRASTS, strict=True):
        panel.axhline(RIGHT, color="grey", linewidth=0.8)
        panel.set_xticks(INPUTS, [str(d) for d in INPUTS])
        panel.minorticks_off()
        panel.set(xlabel="inputs", ylabel="worst relative error", title=f"contrast {contrast}")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=7, loc="lower right")
