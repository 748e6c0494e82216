"""Residual networks as discretised flows: depth at fixed time, before and after training."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array
from matplotlib.figure import Figure

from ....solvers.problems.thermal_block import ThermalBlock
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, exponent_of, mean_of
from ..small_networks import adam, descend, keys, regression

CLAIM = Claim(
    claim="Residual networks are discretised flows.",
    said="in the debate; by E (2017), Haber and Ruthotto (2017) and Chen, Rubanova, Bettencourt and Duvenaud (2018)",
    theorem="x_(l+1) = x_l + (T/L) f(x_l, w(l/L)) with weights that are smooth in l/L is Euler's method, off the "
    "flow by O(1/L). Where weights of neighbouring layers are drawn independently the limit is another "
    "one, of stochastic equations or none (Cohen, Cont, Rossier, Xu 2021).",
    experiment="Thermal block, contrast 10, 6 modes, 64 snapshots; residual tanh networks of width 16, fixed time T "
    "= 4, L = 4 to 64 layers, from equal weights in all layers or from independent ones, 1500 steps of "
    "Adam. Twice the layers, each weight used in two of half the step, is what a flow would not notice: "
    "the relative change of the answers at 512 draws, before and after training; and the roughness, the "
    "mean |w_(l+1) - w_l| over the mean |w_l|. Exponents of both in L, three starts.",
    limits="One width, one time, one optimiser; a factor of 1/L before f, where usual networks have none. That "
    "layers converge does not say that a flow is a good way to learn.",
    rule="Held: after training, for both kinds of first weights, the change under halved steps falls with L "
    "(exponent's interval below -0.5) and the roughness falls (its interval below 0). Failed: the change "
    "falls for neither. Depends: else.",
)
DEPTHS, WIDTH, TIME, KINDS = (4, 8, 16, 32, 64), 16, 4.0, ("equal", "independent")
SHOWN = {
    "change before": "change before training",
    "change": "change after",
    "roughness": "roughness after",
    "mean": "mean error",
    "worst": "worst error",
}


def start(key: Array, d: int, r: int, depth: int, kind: str) -> dict[str, Array]:
    """Lift, layers [depth, ...] and output."""
    one, two, three, four = jax.random.split(key, 4)
    layers = 1 if kind == "equal" else depth
    w = jax.random.normal(two, (layers, WIDTH, WIDTH)) / jnp.sqrt(WIDTH)
    b = jax.random.normal(three, (layers, WIDTH))
    return {
        "in": jax.random.normal(one, (d, WIDTH)) / jnp.sqrt(d),
        "w": jnp.broadcast_to(w, (depth, WIDTH, WIDTH)),
        "b": jnp.broadcast_to(b, (depth, WIDTH)),
        "out": jax.random.normal(four, (WIDTH, r)) / jnp.sqrt(WIDTH),
    }


def forward(weights: dict[str, Array], x: Array, times: int = 1) -> Array:
    """Answers, every layer used that many times with as much smaller steps."""
    w, b = (jnp.repeat(weights[k], times, axis=0) for k in ("w", "b"))

    def layer(h: Array, own: Any) -> Any:
        return h + TIME / len(w) * jnp.tanh(h @ own[0] + own[1]), None

    return lax.scan(layer, x @ weights["in"], (w, b))[0] @ weights["out"]


def sweep(kind: str, depth: int, steps: int, seeds: range) -> list[dict[str, float]]:
    """Of every start: change under halved steps and roughness, before and after; the fit and the errors."""
    r = regression(ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5), 64, modes=6)
    x, y, z = (jnp.asarray(v) for v in (r.x, r.y, r.test_x))

    def loss(weights: Any) -> Array:
        return jnp.mean(jnp.sum((forward(weights, x) - y) ** 2, axis=1))

    def described(weights: Any) -> Any:
        once, twice, w = forward(weights, z), forward(weights, z, 2), weights["w"]
        rough = jnp.mean(jnp.linalg.norm(jnp.diff(w, axis=0), axis=(1, 2))) / jnp.mean(jnp.linalg.norm(w, axis=(1, 2)))
        return jnp.linalg.norm(once - twice) / jnp.linalg.norm(once), rough

    def one(key: Array) -> Any:
        first = start(key, x.shape[1], y.shape[1], depth, kind)
        found, _ = descend(loss, first, adam(steps), steps)
        return described(first), described(found), loss(found), forward(found, z)

    before, after, fits, answers = jax.jit(jax.vmap(one))(keys(seeds))
    found = []
    for s in range(len(seeds)):
        errors = r.errors(answers[s])
        numbers = {
            "change before": before[0][s],
            "change": after[0][s],
            "roughness": after[1][s],
            "fit": fits[s] ** 0.5,
        }
        found.append({k: float(v) for k, v in {**numbers, "mean": errors.mean(), "worst": errors.max()}.items()})
    return found


def measure(run: Run) -> dict[str, Any]:
    seeds, steps, depths = run.seeds(3), 50 if run.quick else 1500, DEPTHS[:3] if run.quick else DEPTHS
    rows, exponents, curves = [], {}, {}
    for kind in KINDS:
        found = [run.row(f"{kind} {depth}", partial(sweep, kind, depth, steps, seeds)) for depth in depths]
        for depth, each in zip(depths, found, strict=True):
            row: dict[str, Any] = {"first weights": kind, "layers": depth}
            row |= {shown: mean_of([e[k] for e in each], True) for k, shown in SHOWN.items()}
            rows.append({**row, "evidence": EMPIRICAL})
        many = np.repeat(depths, len(seeds))
        for what in ("change before", "change", "roughness"):
            curves[f"{kind}, {what}"] = [[e[what] for e in each] for each in found]
            exponents[f"{kind}, {what}"] = exponent_of(many, np.ravel(curves[f"{kind}, {what}"]))
    return {"rows": rows, "curves": curves, "exponents": exponents, "layers": depths}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    e = {name: [float(v) for v in values] for name, values in result["exponents"].items()}
    small = [e[f"{kind}, change"][2] < -0.5 for kind in KINDS]
    smooth = [e[f"{kind}, roughness"][2] < 0 for kind in KINDS]
    change = [f"L^{a:.2f} [{low:.2f}, {high:.2f}]" for a, low, high in (e[f"{kind}, change"] for kind in KINDS)]
    words = (
        f"Halving the steps changes trained networks' answers like {change[0]} from equal first weights and like "
        f"{change[1]} from independent ones; the differences of neighbouring layers go like "
        f"L^{e['equal, roughness'][0]:.2f} and L^{e['independent, roughness'][0]:.2f}."
    )
    unknown = bool(np.isnan([e[f"{kind}, change"] for kind in KINDS]).any())
    return (HELD if all(small + smooth) else DEPENDS if any(small) or unknown else FAILED), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels = figure.subplots(1, 2)
    for name, values in result["curves"].items():
        kind, what = name.split(", ")
        y, colour = np.array(values, dtype=float), "#0072b2" if kind == "equal" else "#d55e00"
        panel, style = panels[int(what == "roughness")], "--" if "before" in what else "-"
        label = f"{kind} first weights" + (", before training" if "before" in what else "")
        panel.loglog(result["layers"], np.exp(np.log(y).mean(axis=1)), style, color=colour, label=label)
        panel.loglog(result["layers"], y, ".", color=colour, alpha=0.5)
    for panel, what in zip(panels, ("change of answers under halved steps", "roughness after training"), strict=True):
        panel.set(xlabel="layers L", title=what)
        panel.set_xticks(result["layers"], [str(n) for n in result["layers"]])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, loc="lower left")
