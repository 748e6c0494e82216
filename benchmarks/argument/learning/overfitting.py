"""More parameters than data: networks of growing width and polynomials of growing degree through the same points."""

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
from ..small_networks import adam, dense, descend, keys, mean_square, network, regression

CLAIM = Claim(
    claim="Over-parametrised networks should overfit like a polynomial through eleven points, and do not.",
    said="in the debate; the double descent of the error is Belkin, Hsu, Ma and Mandal's (2019)",
    theorem="Polynomials through equidistant points of 1/(1 + 25 x^2) diverge near the ends (Runge 1901), through "
    "Chebyshev's points they converge. Of all coefficients that fit, least squares from zero give the "
    "smallest: past interpolation that is a kernel method, which need not be bad.",
    experiment="(a) Runge's function at 11 equidistant and 11 Chebyshev points: polynomials of degree 1 to 80, past "
    "degree 10 the smallest coefficients in Legendre's basis. Networks of one layer of tanh, width 1 to "
    "256, Adam for 20 000 steps. (b) Thermal block, contrast 10, 8 modes, 64 snapshots: random features "
    "without ridge, and trained networks, of 4 to 1024 units. Mean and worst error at 512 other inputs; "
    "seeds draw weights and, in (b), the design.",
    limits="Small data, no noise; one optimiser, one scale of first weights. Polynomials draw nothing: no interval.",
    rule="Held: the widest trained networks' worst error, in (a) and (b), is at most 1.5 times that of the "
    "best width, while the polynomial of degree 10 is 10 times worse than its best degree. Depends: the "
    "mean obeys this but not the worst, or one of (a), (b) only. Failed: else.",
)
DEGREES = (1, 2, 4, 6, 8, 10, 12, 14, 20, 30, 40, 60, 80)
WIDTHS = (1, 2, 3, 4, 8, 16, 32, 64, 256)
UNITS = (4, 8, 16, 32, 64, 128, 256, 1024)


def runge(x: Any) -> Any:
    return 1 / (1 + 25 * x**2)


def polynomial(x: np.ndarray, degree: int) -> list[float]:
    """Mean and worst error of the least squares of the smallest coefficients."""
    V = np.polynomial.legendre.legvander
    c = np.linalg.lstsq(V(x, degree), runge(x), rcond=1e-13)[0]
    z = np.linspace(-1, 1, 2001)
    away = np.abs(V(z, degree) @ c - runge(z))
    return [float(away.mean()), float(away.max())]


def trained(x: Any, y: Any, sizes: tuple[int, ...], steps: int, seeds: range) -> tuple[Any, Any]:
    """Weights of all seeds, x and y of each, and the roots of their losses."""

    def one(key: Any, x: Any, y: Any) -> Any:
        return descend(partial(mean_square, x=x, y=y), dense(key, sizes), adam(steps), steps)[0]

    found = jax.jit(jax.vmap(one))(keys(seeds), x, y)
    return found, np.sqrt(jax.vmap(mean_square)(found, x, y))


def line(width: int, steps: int, seeds: range) -> list[list[float]]:
    """Networks of one input: mean, worst and training error of every seed."""
    x = np.tile(np.linspace(-1, 1, 11)[:, None], (len(seeds), 1, 1))
    weights, loss = trained(jnp.asarray(x), jnp.asarray(runge(x)), (1, width, 1), steps, seeds)
    z = jnp.linspace(-1, 1, 2001)[:, None]
    away = np.abs(np.asarray(jax.vmap(network, (0, None))(weights, z)) - runge(np.asarray(z)))[..., 0]
    return [[float(a.mean()), float(a.max()), float(e)] for a, e in zip(away, loss, strict=True)]


def block(width: int, steps: int, seeds: range, samples: int = 64) -> dict[str, list[list[float]]]:
    """The thermal block: random features and networks of one width."""
    problem = ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5)
    data = [regression(problem, samples, seed=s) for s in seeds]
    x, y = (jnp.asarray(np.stack([getattr(r, k) for r in data])) for k in ("x", "y"))
    sizes = (x.shape[2], width, y.shape[2])
    weights, loss = trained(x, y, sizes, steps, seeds)
    found: dict[str, list[list[float]]] = {"random features": [], "network": []}
    for s, r in enumerate(data):
        away = r.errors(network([{k: v[s] for k, v in layer.items()} for layer in weights], jnp.asarray(r.test_x)))
        found["network"].append([float(away.mean()), float(away.max()), float(loss[s])])
        first = dense(jax.random.PRNGKey(s), sizes)[0]
        H, T = (np.tanh(z @ np.asarray(first["w"]) + np.asarray(first["b"])) for z in (r.x, r.test_x))
        c = np.linalg.lstsq(H, r.y, rcond=1e-13)[0]
        away = r.errors(T @ c)
        fit = float(np.sqrt(((H @ c - r.y) ** 2).sum(axis=1).mean()))
        found["random features"].append([float(away.mean()), float(away.max()), fit])
    return found


def measure(run: Run) -> dict[str, Any]:
    seeds, quick = run.seeds(3), run.quick
    steps, widths, units = (1000, WIDTHS[::4], UNITS[::3]) if quick else (20000, WIDTHS, UNITS)
    places = {"equidistant": np.linspace(-1, 1, 11), "Chebyshev": np.cos(np.pi * (np.arange(11) + 0.5) / 11)}
    curves: dict[str, list[list[Any]]] = {
        f"polynomial, {k}": [[d, [[*polynomial(x, d), 0.0]]] for d in DEGREES] for k, x in places.items()
    }
    curves["network, equidistant"] = [[w, run.row(f"a {w}", partial(line, w, steps, seeds))] for w in widths]
    blocks = [[w, run.row(f"b {w}", partial(block, w, steps // 4, seeds))] for w in units]
    for name in ("random features", "network"):
        curves[f"{name}, thermal block"] = [[w, found[name]] for w, found in blocks]
    rows = []
    for name, curve in curves.items():
        for what, error in enumerate(("mean", "worst")):
            middle = [float(np.exp(np.mean(np.log([e[what] for e in at])))) for _, at in curve]
            best = int(np.argmin(middle))
            bad = DEGREES.index(10) if name.startswith("poly") else int(np.argmax(middle))
            row: dict[str, Any] = {"model": name, "error": error, "best at": curve[best][0]}
            at = [e[what] for e in curve[best][1]]  # nothing is drawn for polynomials: a number without an interval
            row["best"] = mean_of(at, True) if len(at) > 1 else at[0]
            row |= {"degree 10, or the worst width": curve[bad][0], "there": middle[bad], "largest": curve[-1][0]}
            rows.append({**row, "at the largest / best": middle[-1] / middle[best], "evidence": EMPIRICAL})
    return {"rows": rows, "curves": curves}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    found = {(row["model"], row["error"]): row for row in result["rows"]}
    nets = ("network, equidistant", "network, thermal block")
    ratios = {what: [float(found[net, what]["at the largest / best"]) for net in nets] for what in ("mean", "worst")}
    worse = {key: float(row["there"]) / float(np.ravel(row["best"])[0]) for key, row in found.items()}
    peak = found["random features, thermal block", "worst"]
    words = (
        f"The widest networks' worst errors are {ratios['worst'][0]:.2g} (Runge) and {ratios['worst'][1]:.2g} times "
        f"(thermal block) those of the best width; the polynomial through 11 equidistant points is "
        f"{worse['polynomial, equidistant', 'worst']:.2g} times worse than the best degree; random features are "
        f"{worse['random features, thermal block', 'worst']:.2g} times worse at "
        f"{peak['degree 10, or the worst width']} units than at best."
    )
    if worse["polynomial, equidistant", "worst"] > 10 and all(ratio <= 1.5 for ratio in ratios["worst"]):
        return HELD, words
    if all(ratio <= 1.5 for ratio in ratios["mean"]) or any(ratio <= 1.5 for ratio in ratios["worst"]):
        return DEPENDS, words
    return FAILED, words


def draw(result: dict[str, Any], figure: Figure) -> None:
    panels = figure.subplots(1, 2)
    colours = dict(zip(result["curves"], ("#d55e00", "#e69f00", "#0072b2", "#009e73", "#0072b2"), strict=True))
    for name, curve in result["curves"].items():
        for what, style in ((0, "--"), (1, "-")):
            y = [np.exp(np.mean(np.log([e[what] for e in at]))) for _, at in curve]
            label = name.split(", thermal")[0] if what else None
            panels[int("block" in name)].loglog([at[0] for at in curve], y, style, color=colours[name], label=label)
    panels[0].set(title="Runge's function, 11 points", ylabel="error: worst (solid), mean (dashed)")
    panels[1].set(title="thermal block, 64 snapshots", xlabel="units")
    panels[0].set(xlabel="degree, or units")
    for panel, place, points in zip(panels, ("lower left", "best"), (10, 64), strict=True):
        panel.axvline(points, color="grey", linewidth=0.8)
        panel.legend(fontsize=8, loc=place)
        panel.grid(alpha=0.3, which="both")
