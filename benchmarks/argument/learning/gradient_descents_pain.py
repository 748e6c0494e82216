"""Two linear layers: first-order methods against conditioning, a second-order method beside them."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from matplotlib.figure import Figure

from ....surrogates.training.gauss_newton import levenberg_marquardt
from ...learning.two_layers import data, loss, residuals
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of
from ..small_networks import descend

CLAIM = Claim(
    claim="Gradient descent's pain is real: even on two linear layers it stalls.",
    said="by Rahimi and Recht in their test-of-time talk (2017), with this example",
    theorem="The loss has no local minimum but the global ones (Baldi, Hornik 1989), and that is 0. Near one, "
    "gradient descent at its best step takes a number of steps that grows like the condition number of "
    "the Hessian there, which grows with that of the map.",
    experiment="W2 W1 x = A x, 6 inputs, 6 hidden units, 10 outputs, 200 normal rows, A with singular values from 1 "
    "to 1/condition. Gradient descent, momentum .9 and Adam, each at the best of 12 constant steps and "
    "each for 10 000 of them; Levenberg-Marquardt for 200. Relative errors in the Frobenius norm, three "
    "draws of A, rows and first weights.",
    limits="Full batches, no noise, constant steps; more steps help, in proportion. Levenberg-Marquardt's step "
    "costs a solve with as many unknowns as there are weights, 96 here: for a million weights nobody can "
    "pay it.",
    rule="Held: at condition 1e5 every first-order method's error is at least 1e4 times that of "
    "Levenberg-Marquardt, in the mean of logarithms, and at condition 1 some first-order method comes "
    "within 1e-8. Failed: some first-order method comes within 10 times of it at 1e5. Depends: else.",
)
CONDITIONS = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5)
RATES = 10.0 ** np.arange(-5, 0.51, 0.5)
FIRST = {"gradient descent": optax.sgd, "momentum .9": partial(optax.sgd, momentum=0.9), "Adam": optax.adam}
ROWS, LOOKS, SECOND = 200, 50, "Levenberg-Marquardt"


def first_order(name: str, condition: float, steps: int, seed: int) -> dict[str, Any]:
    """The best rate's error, the rate and its curve."""
    rows, start = data(seed, condition, ROWS)
    size = jnp.mean(jnp.sum(rows[1] ** 2, axis=1))

    def one(rate: Any) -> Any:
        weights, curve = descend(partial(loss, rows=rows), start, FIRST[name](rate), steps, LOOKS)
        return jnp.append(curve, loss(weights, rows))

    curves = np.sqrt(np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(RATES)) / size))
    best = int(np.nanargmin(np.where(np.isfinite(curves[:, -1]), curves[:, -1], np.inf)))
    return {"error": curves[best, -1], "rate": RATES[best], "curve": curves[best]}


def second_order(condition: float, seed: int) -> dict[str, Any]:
    rows, start = data(seed, condition, ROWS)
    size = float(jnp.sum(rows[1] ** 2))
    begin, advance = levenberg_marquardt(residuals)
    state, curve = begin(start, rows), [float(jnp.sqrt(loss(start, rows) * len(rows[0]) / size))]
    for _ in range(20):
        state, value = advance(state, rows, 10)
        curve.append(float(jnp.sqrt(value / size)))
    return {"error": curve[-1], "rate": 0.0, "curve": curve}


def measure(run: Run) -> dict[str, Any]:
    seeds, steps = run.seeds(3), 500 if run.quick else 10_000
    rows, curves = [], {}
    for condition in CONDITIONS[:: 5 if run.quick else 1]:
        row: dict[str, Any] = {"condition": condition}
        for name in (*FIRST, SECOND):
            first = partial(first_order, name, condition, steps)
            measured = partial(second_order, condition) if name == SECOND else first
            found = [run.row(f"{name} {condition:g} {s}", partial(measured, s)) for s in seeds]
            row[name] = mean_of([max(f["error"], 1e-17) for f in found], True)
            if condition == CONDITIONS[-1]:
                curves[name] = found[0]["curve"]
            if name == "Adam":
                row["Adam's best steps"] = f"{min(f['rate'] for f in found):.1g} to {max(f['rate'] for f in found):.1g}"
        rows.append({**row, "evidence": EMPIRICAL})
    return {"rows": rows, "curves": curves, "steps": steps}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    easy, hard = result["rows"][0], result["rows"][-1]
    apart = {name: hard[name][0] / hard[SECOND][0] for name in FIRST}
    near = min(easy[name][0] for name in FIRST)
    words = (
        f"At condition number {hard['condition']:.0e} the errors are "
        + ", ".join(f"{hard[name][0]:.1e} ({name})" for name in FIRST)
        + f" against {hard[SECOND][0]:.1e} (Levenberg-Marquardt); at 1 the best first-order method ends at {near:.1e}."
    )
    if min(apart.values()) < 10:
        return FAILED, words
    return (HELD if min(apart.values()) >= 1e4 and near < 1e-8 else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    rows = result["rows"]
    for name in (*FIRST, SECOND):
        values = np.array([row[name] for row in rows], dtype=float)
        x = [row["condition"] for row in rows]
        line = left.loglog(x, values[:, 0], "o-", label=name, markersize=4)[0]
        left.fill_between(x, values[:, 1], values[:, 2], color=line.get_color(), alpha=0.15)
        curve = np.maximum(np.array(result["curves"][name], dtype=float), 1e-17)
        last = 200 if name == SECOND else result["steps"]
        right.loglog(np.linspace(0, last, len(curve))[1:], curve[1:], color=line.get_color())
    left.set(xlabel="condition number of the map", ylabel="relative error at the end", ylim=(1e-18, 10))
    right.set(xlabel="steps", title="condition 1e5, seed 0")
    figure.axes[1].legend(*left.get_legend_handles_labels(), fontsize=8, loc="center right")
    for panel in (left, right):
        panel.grid(alpha=0.3)
