"""Two layers can fit everything: what is written into the weights against what training finds, at the same size."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from ....solvers.problems.thermal_block import ThermalBlock
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of
from ..small_networks import Regression, Weights, adam, dense, descend, mean_square, network, of_fields, regression

CLAIM = Claim(
    claim="Networks of two layers can fit everything, but existence is not construction: training does not find "
    "what exists.",
    said="in the debate",
    theorem="n points in any dimension are fitted exactly by one hidden layer of n rectifiers, whose weights can "
    "be written down: along a line on which all points differ it is piecewise linear interpolation "
    "(Zhang, Bengio, Hardt, Recht, Vinyals 2017, theorem 1). That says nothing of other inputs, but for "
    "one input, where it is linear interpolation between neighbours.",
    experiment="Thermal block of 1 x 2 blocks, the ratio of the two conductivities free (one input), and of 2 x 2 "
    "(four inputs), contrast 100, 6 modes, n = 16 to 128 snapshots. Networks of n rectifiers: weights "
    "written down, and the best of three Adam runs of 10 000 steps from drawn weights, chosen by training "
    "error; that network again, trained from the written weights. Mean and worst error at 512 draws and "
    "the error of the fit, over three designs.",
    limits="Adam with a decaying rate, 64-bit; other optimisers find other weights, and Levenberg and "
    "Marquardt's method, which ends far closer to data on small networks, was not tried. Written weights "
    "have large and cancelling entries in four inputs: one of many networks that exist, none of which "
    "need be good.",
    rule="Held: at n = 128 the trained network's fit is more than 1e-6 off, with its whole interval (training "
    "does not find an interpolant), for one and four inputs, and for one input the written one's worst "
    "error is below the trained one's with separate intervals at every n. Failed: training fits to 1e-6 "
    "in both. Depends: else.",
)
SIZES = (16, 32, 64, 128)
relu = partial(network, activation=jax.nn.relu)


def data(inputs: int, n: int, seed: int) -> Regression:
    """One input: the ratio of two conductivities, equidistant; four: a Sobol design."""
    if inputs == 4:
        return regression(ThermalBlock((2, 2), 16, low=0.1, high=10.0), n, modes=6, seed=seed)
    problem, shift = ThermalBlock((1, 2), 16, low=0.1, high=10.0), np.random.default_rng(seed).uniform(0, 1)
    x = np.sort((shift + np.arange(n)) / n * 2 - 1)[:, None]
    test_x = np.random.default_rng(1000 + seed).uniform(-1, 1, (512, 1))
    fields = (np.asarray(problem.solve_batch(np.c_[10**z, 10**-z])) for z in (x, test_x))
    return of_fields(x, next(fields), test_x, next(fields), 6)


def written(r: Regression, seed: int) -> Weights:
    """One hidden layer of n rectifiers through all n points: piecewise linear along a drawn direction."""
    d = r.x.shape[1]
    a = np.random.default_rng(seed).standard_normal(d) if d > 1 else np.ones(1)
    order = np.argsort(r.x @ a)
    t, y = (r.x @ a)[order], r.y[order]
    slopes = np.diff(y, axis=0) / np.diff(t)[:, None]
    hinges = np.concatenate([slopes[:1], np.diff(slopes, axis=0)])  # change of slope at t_0 .. t_(n-2)
    w = {"w": jnp.asarray(np.outer(a, np.ones(len(t)))), "b": jnp.asarray(-t)}
    out = np.concatenate([hinges, np.zeros((1, y.shape[1]))])
    return [w, {"w": jnp.asarray(out), "b": jnp.asarray(y[0])}]


def trained(r: Regression, start: Any, steps: int) -> Weights:
    """By Adam, the best fit of all starts, which are stacked."""
    loss = partial(mean_square, x=jnp.asarray(r.x), y=jnp.asarray(r.y), net=relu)
    found = jax.jit(jax.vmap(lambda w: descend(loss, w, adam(steps), steps)[0]))(start)
    best = int(np.nanargmin(np.asarray(jax.vmap(loss)(found))))
    return jax.tree.map(lambda a: a[best], found)


def one(inputs: int, n: int, steps: int, seed: int) -> dict[str, list[float]]:
    """Mean, worst and fit of all three networks."""
    r = data(inputs, n, seed)
    by_hand = written(r, seed)
    drawn = jax.vmap(lambda k: dense(k, (inputs, n, r.y.shape[1])))(jax.random.split(jax.random.PRNGKey(seed), 3))
    networks = {
        "written": by_hand,
        "trained": trained(r, drawn, steps),
        "written, then trained": trained(r, jax.tree.map(lambda a: a[None], by_hand), steps),
    }
    found = {}
    for name, weights in networks.items():
        fit = np.asarray(relu(weights, jnp.asarray(r.x))) - r.y
        errors = r.errors(relu(weights, jnp.asarray(r.test_x)))
        found[name] = [float(errors.mean()), float(errors.max()), float(np.sqrt((fit**2).sum(axis=1).mean()))]
    return found


def measure(run: Run) -> dict[str, Any]:
    seeds, steps = run.seeds(3), 500 if run.quick else 10_000
    rows = []
    for inputs in (1, 4):
        for n in SIZES[:: 3 if run.quick else 1]:
            found = [run.row(f"{inputs} {n} {s}", partial(one, inputs, n, steps, s)) for s in seeds]
            for name in found[0]:
                values = np.array([f[name] for f in found], dtype=float)
                row = {"inputs": inputs, "snapshots = units": n, "network": name}
                row |= {k: mean_of(values[:, i], True) for i, k in enumerate(("mean error", "worst error", "fit"))}
                rows.append({**row, "evidence": EMPIRICAL})
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    most = max(row["snapshots = units"] for row in result["rows"])
    found = {(r["inputs"], r["network"]): r for r in result["rows"] if r["snapshots = units"] == most}
    fits = [[float(x) for x in found[d, "trained"]["fit"]] for d in (1, 4)]
    by_hand = [float(found[d, "written"]["fit"][0]) for d in (1, 4)]
    worst = {
        (r["inputs"], r["network"], r["snapshots = units"]): [*map(float, r["worst error"])] for r in result["rows"]
    }
    sizes = list(dict.fromkeys(r["snapshots = units"] for r in result["rows"]))
    pairs = {d: [(worst[d, "written", n], worst[d, "trained", n]) for n in sizes] for d in (1, 4)}
    told = [", ".join(f"{a[0]:.2g} and {b[0]:.2g}" for a, b in pairs[d]) for d in (1, 4)]
    below = sum(a[2] < b[1] for a, b in pairs[1])
    words = (
        f"With {most} units training ends {fits[0][0]:.1e} (one input) and {fits[1][0]:.1e} (four) away from its "
        f"data, the written network {by_hand[0]:.0e} and {by_hand[1]:.0e}. Worst errors elsewhere, written and "
        f"trained, for n = {', '.join(map(str, sizes))}: {told[0]} (one input: the written one's is below, intervals "
        f"separate, at {below} of {len(sizes)}), {told[1]} (four)."
    )
    if all(fit[0] <= 1e-6 for fit in fits):
        return FAILED, words
    return (HELD if all(fit[1] > 1e-6 for fit in fits) and below == len(sizes) else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    for panel, inputs in zip(panels, (1, 4), strict=True):
        for name in ("written", "trained", "written, then trained"):
            rows = [r for r in result["rows"] if r["inputs"] == inputs and r["network"] == name]
            n = [row["snapshots = units"] for row in rows]
            line = panel.loglog(n, [row["worst error"][0] for row in rows], "o-", label=f"{name}: worst")[0]
            fit = [max(float(row["fit"][0]), 1e-17) for row in rows]
            panel.loglog(n, fit, "x:", color=line.get_color(), label=f"{name}: fit")
        panel.set(xlabel="snapshots, and units", title="one input" if inputs == 1 else "four inputs")
        panel.set_xticks(n, [str(i) for i in n])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set(ylabel="relative error")
    panels[1].legend(fontsize=7)
