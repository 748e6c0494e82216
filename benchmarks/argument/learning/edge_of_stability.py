"""Edge of stability: the curvature of the loss along gradient descent."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

from ....solvers.problems.thermal_block import ThermalBlock
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of, mean_share_of
from ..small_networks import dense, descend, keys, mean_square, regression

CLAIM = Claim(
    claim="Gradient descent trains at the edge of stability.",
    said="by Cohen, Kaur, Li, Kolter and Talwalkar (2021), of image classifiers",
    theorem="On a quadratic loss gradient descent with step eta diverges where the largest eigenvalue of the "
    "Hessian, the sharpness, is above 2/eta. For neural networks no such theorem holds; why they stay is "
    "partly explained (Damian, Nichani, Lee 2023).",
    experiment="Thermal block, contrast 10, 6 modes from 64 snapshots; a network of two tanh layers of 16, "
    "full-batch gradient descent at five step sizes, up to a fixed time (steps times eta) of 1500, three "
    "starts. The sharpness is computed exactly 100 times a run. Late is the last fifth; it, the loss and "
    "wobbles are of the runs that begin below 2/eta and reach it, or, where none does, of all that begin "
    "below (of all, where none begins there). Wobbles are the share of looks at which the loss is above "
    "the one before.",
    limits="One small network in float64, mean squares, no batches. Step sizes at which sharpness never reaches "
    "2/eta say nothing for or against; nor do runs that begin above it, which are left out.",
    rule="Of runs that begin below 2/eta. Held: at every step size at which some of them reach 2/eta or end in "
    "numbers that are not finite, none does the latter, the late sharpness of those that reach it is "
    "within 25 % of 2/eta in the mean, and their loss still falls at least tenfold. Depends: so at some "
    "of these step sizes. Failed: at none, or no run gets there.",
)
RATES = (0.02, 0.04, 0.06, 0.08, 0.12)
TIME, LOOKS, SIZES = 1500.0, 100, (4, 16, 16, 6)


def runs(rate: float, time: float, seeds: range) -> dict[str, list[list[float]]]:
    """Sharpness and loss at every look, of all seeds."""
    r = regression(ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5), 64, modes=6)
    loss = partial(mean_square, x=jnp.asarray(r.x), y=jnp.asarray(r.y))
    each = max(1, int(time / rate) // LOOKS)

    def one(key: Any) -> Any:
        start = dense(key, SIZES)
        unravel = ravel_pytree(start)[1]

        def look(weights: Any, _: Any) -> Any:
            flat = ravel_pytree(weights)[0]
            H = jax.hessian(lambda w: loss(unravel(w)))(flat)
            sharpness = jnp.linalg.eigvalsh(H)[-1]
            after = descend(loss, weights, optax.sgd(rate), each)[0]
            return after, (sharpness, loss(weights))

        return lax.scan(look, start, None, length=LOOKS)[1]

    sharpness, losses = jax.jit(lambda k: lax.map(one, k))(keys(seeds))
    return {"sharpness": np.asarray(sharpness).tolist(), "loss": np.asarray(losses).tolist()}


def measure(run: Run) -> dict[str, Any]:
    seeds, time = run.seeds(3), TIME / (20 if run.quick else 1)
    rows, curves = [], {}
    for rate in RATES[:: 2 if run.quick else 1]:
        found = run.row(f"{rate}", partial(runs, rate, time, seeds))
        s, f = (np.array(found[k], dtype=float) for k in ("sharpness", "loss"))
        below = ~(s[:, 0] >= 2 / rate)
        lost = below & ~(np.isfinite(s).all(axis=1) & np.isfinite(f).all(axis=1))
        there = below & ~lost & (s.max(axis=1) >= 2 / rate)
        some = next(runs for runs in (there, below, ~below) if runs.any())  # whose numbers the row has
        rows.append(
            {
                "step eta": rate,
                "2/eta": 2 / rate,
                "sharpness at first": mean_of(s[:, 0]),
                "highest": mean_of(s.max(axis=1)),
                "begin below 2/eta": int(below.sum()),
                "of them reach it": int(there.sum()),
                "not finite": int(lost.sum()),
                "late sharpness * eta/2": mean_of(s[some, -LOOKS // 5 :].mean(axis=1) * rate / 2),
                "loss falls by": mean_of(f[some, 0] / f[some, -1], True),
                "wobbles": mean_share_of((np.diff(f[some]) > 0).mean(axis=1)),
                "evidence": EMPIRICAL,
            }
        )
        curves[str(rate)] = {"sharpness": s[0], "loss": f[0], "step": time / LOOKS}
    return {"rows": rows, "curves": curves}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    there = [row for row in result["rows"] if row["of them reach it"] or row["not finite"]]
    at_it = [row for row in there if not row["not finite"] and abs(_number(row, "late sharpness * eta/2") - 1) < 0.25]
    edge = [row for row in at_it if _number(row, "loss falls by") >= 10]
    late = ", ".join(f"{_number(row, 'late sharpness * eta/2'):.2f}" for row in result["rows"])
    runs = [sum(row[key] for row in result["rows"]) for key in ("of them reach it", "begin below 2/eta", "not finite")]
    words = (
        f"Of {runs[1]} runs that begin below 2/eta {runs[0]} reach it and {runs[2]} end in numbers that are not "
        f"finite, at {len(there)} of {len(result['rows'])} step sizes; at {len(edge)} of these they stay within 25 % "
        "of it in the mean while the loss falls tenfold or more; late sharpness in units of 2/eta, small steps first: "
        f"{late}."
    )
    return (FAILED if not edge else HELD if len(edge) == len(there) else DEPENDS), words


def _number(row: dict[str, Any], name: str) -> float:
    return float(row[name][0])


def draw(result: dict[str, Any], figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    for rate, curve in result["curves"].items():
        times = curve["step"] * np.arange(len(curve["loss"]))
        scaled = np.array(curve["sharpness"], float) * float(rate) / 2
        line = left.plot(times, scaled, label=f"eta = {rate}", linewidth=1)[0]
        right.semilogy(times, np.array(curve["loss"], float), color=line.get_color(), linewidth=1)
    left.axhline(1, color="black", linewidth=0.8)
    left.set(xlabel="steps * eta", ylabel="sharpness * eta / 2", title="sharpness (line: 2/eta)", ylim=(0, 2))
    right.set(xlabel="steps * eta", ylabel="loss", title="loss, seed 0")
    left.legend(fontsize=8, loc="upper right")
    for panel in (left, right):
        panel.grid(alpha=0.3)
