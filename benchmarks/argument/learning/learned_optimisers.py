"""An update rule that is itself learned, against Adam at its best rate, on problems it has seen and has not."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from .... import problem
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..learned_update import fitted, taught
from ..run import Run, mean_of
from ..small_networks import regression

CLAIM = Claim(
    claim="Learned optimisers are better than tuned ones.",
    said="in the debate; the idea is Andrychowicz et al.'s (2016), at scale VeLO's (Metz et al. 2022)",
    theorem="None that helps: over all problems alike no update is better than another (Wolpert, Macready 1997), "
    "and what is learned on short runs may be wrong for long ones (Wu et al. 2018).",
    experiment="Networks of two tanh layers of 16 fit four modes of 32 solves, in single precision. The update of "
    "each weight is Adam's direction times and plus what a network of 8 units, shared by all weights, "
    "makes of gradient, three momenta, size, weight and step; it begins as Adam at a rate of 0.007 and is "
    "learned by 240 rounds of evolution strategies (8 antithetic pairs) on whole runs of 200 steps for a "
    "thermal block and for Burgers' equation. Then new designs and starts of these, and Helmholtz's and "
    "an advection-diffusion equation. Adam has the best, for the run itself, of 16 schedules: 8 rates, "
    "held or falling by a cosine. Equal steps (200); equal time, where Adam has as many steps more as its "
    "step is faster; 800 steps.",
    limits="Tiny networks and little meta-training, whose time is not counted in that of the runs; VeLO's took "
    "thousands of months of accelerators. A first whole run had 80 rounds, after which the loss still "
    "fell: 2.9 times Adam's at equal steps on seen problems, 1.7 on unseen ones, 39 and 22 at 800 steps: "
    "failed; only the rounds were changed. Adam's rate is chosen by the result, on every run by itself, "
    "which favours Adam. Training losses, not errors: what an optimiser is for. Times of steps, in turns "
    "on a shared machine.",
    rule="Held: the ratio of losses to Adam's lies below 1, with its interval over three seeds, on seen and on "
    "unseen problems, at equal steps, at equal time and at 800 steps. Failed: not even at equal steps on "
    "seen problems. Depends: else.",
)
SEEN: dict[str, dict[str, Any]] = {"thermal-block": {"cells": 8}, "burgers": {"cells": 32, "steps": 10}}
UNSEEN: dict[str, dict[str, Any]] = {"helmholtz": {"cells": 16}, "advection-diffusion": {"cells": 8}}
STEPS, LONGER, DESIGNS, ROUNDS = 200, 800, 8, 240
SCHEDULES = jnp.array([(10.0**e, fall) for e in np.arange(-4, -0.4, 0.5) for fall in (0, 1)], jnp.float32)
BUDGETS = {"steps": "equal steps", "time": "equal time", "longer": "800 steps"}


def data(name: str, seed: int) -> tuple[Array, Array]:
    r = regression(problem(name, **{**SEEN, **UNSEEN}[name]), 32, 4, 8, seed)
    return jnp.asarray(r.x, jnp.float32), jnp.asarray(r.y, jnp.float32)


def one(seed: int, rounds: int) -> dict[str, Any]:
    """Of every problem the logarithms of the losses, the learned update's over Adam's, by budget."""
    tasks = [[data(name, 100 * (seed + 1) + i) for i in range(DESIGNS)] for name in SEEN]
    x, y = (jnp.stack([jnp.stack([task[i] for task in each]) for each in tasks]) for i in (0, 1))
    theta, curve, seconds = taught(x, y, STEPS, rounds, seed)
    key = jax.random.PRNGKey(1000 + seed)
    own, single = jax.jit(partial(fitted, "learned", theta, key)), jax.jit(partial(fitted, "Adam", SCHEDULES[5], key))
    schedules = jax.jit(jax.vmap(partial(fitted, "Adam"), (0, None, None, None, None)))

    def best(x: Array, y: Array, steps: int) -> float:
        found = np.asarray(schedules(SCHEDULES, key, x, y, steps))
        return float(np.min(np.where(np.isfinite(found), found, np.inf)))

    found: dict[str, Any] = {}
    for name in (*SEEN, *UNSEEN):
        x, y = data(name, seed)
        slower = _ratio(partial(own, x, y, LONGER), partial(single, x, y, LONGER))
        losses = {n: float(own(x, y, n)) for n in (STEPS, LONGER)}
        budgets = {"steps": (STEPS, STEPS), "time": (STEPS, round(STEPS * slower)), "longer": (LONGER, LONGER)}
        logs = {k: float(np.log(losses[n] / best(x, y, steps))) for k, (n, steps) in budgets.items()}
        found[name] = {**logs, "slower": slower}
    return {"problems": found, "curve": np.asarray(curve), "seconds": seconds}


def _ratio(first: Callable[[], Any], second: Callable[[], Any]) -> float:
    """How many times longer the first takes, by the fastest of runs in turns."""
    took = []
    for _ in range(6):
        for f in (first, second):
            began = time.perf_counter()
            jax.block_until_ready(f())
            took.append(time.perf_counter() - began)
    return min(took[2::2]) / min(took[3::2])


def measure(run: Run) -> dict[str, Any]:
    rounds = 4 if run.quick else ROUNDS
    found = [run.row(f"seed {seed}", partial(one, seed, rounds)) for seed in run.seeds(3)]
    rows = []
    for group, names in (("seen", SEEN), ("unseen", UNSEEN)):
        for name in (*names, "both"):
            of = list(names) if name == "both" else [name]
            row: dict[str, Any] = {"problem": name, "in learning": group}
            for budget, title in BUDGETS.items():
                logs = np.array([[f["problems"][n][budget] for n in of] for f in found], dtype=float).mean(axis=1)
                row[title] = mean_of(np.exp(logs), logarithms=True)
            slower = [float(np.mean([f["problems"][n]["slower"] for n in of])) for f in found]
            rows.append({**row, "time of a step / Adam's": mean_of(slower, True), "evidence": EMPIRICAL})
    spent = float(np.mean([f["seconds"] for f in found]))
    return {"rows": rows, "curves": [f["curve"] for f in found], "seconds of learning": spent}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    both = {row["in learning"]: row for row in result["rows"] if row["problem"] == "both"}
    ratios = {g: [[float(v) for v in row[title]] for title in BUDGETS.values()] for g, row in both.items()}
    said = [
        f"on {group} problems {', '.join(f'{r[0]:.2g} [{r[1]:.2g}, {r[2]:.2g}]' for r in found)}"
        for group, found in ratios.items()
    ]
    words = (
        "Its loss at equal steps, equal time and 800 steps is, times that of Adam at the best of 16 schedules, "
        f"{'; '.join(said)}. Learning took {float(result['seconds of learning']):.0f} s."
    )
    if all(r[2] < 1 for found in ratios.values() for r in found):
        return HELD, words
    return (DEPENDS if ratios["seen"][0][2] < 1 else FAILED), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    for i, curve in enumerate(result["curves"]):
        left.plot(np.arange(len(curve)), np.array(curve, dtype=float), label=f"seed {i}")
    left.set(xlabel="rounds of learning", ylabel="mean log of the loss after 200 steps")
    rows = [row for row in result["rows"] if row["problem"] != "both"]
    for i, (title, mark) in enumerate(zip(BUDGETS.values(), "os^", strict=True)):
        y = np.array([row[title] for row in rows], dtype=float)
        bars = np.abs(y[:, 1:] - y[:, :1]).T
        right.errorbar(np.arange(len(rows)) + 0.15 * (i - 1), y[:, 0], bars, fmt=mark, label=title, capsize=3)
    right.set_xticks(range(len(rows)), [f"{row['problem']}\n({row['in learning']})" for row in rows], fontsize=5.5)
    right.axhline(1, color="black", linewidth=0.8)
    right.set(yscale="log", ylabel="loss / Adam's")
    for panel in (left, right):
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
