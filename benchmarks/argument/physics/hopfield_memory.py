"""A Hopfield memory in the place of a surrogate: it recalls the nearest snapshot, until it holds too many."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ....run_training import errors_at
from ....solvers.problems.thermal_block import ThermalBlock
from ....solvers.snapshots.sample import sample
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of, mean_share_of

CLAIM = Claim(
    claim="An energy landscape can store the solutions: a Hopfield memory recalls up to .138 N of them.",
    said="in the debate; the memory is Hopfield's (1982), the capacity Amit, Gutfreund and Sompolinsky's (1985)",
    theorem="N spins with Hebb's couplings hold up to .138 N drawn patterns as minima of the energy, with about "
    "1.6 % of the bits wrong there, and none beyond (Amit, Gutfreund, Sompolinsky 1985: by the replica "
    "method as N grows, which is heuristic and no proof). By proof: the pseudo-inverse's couplings hold "
    "up to N that are linearly independent (Personnaz, Guyon, Dreyfus 1985).",
    experiment="N = 400 spins. (a) Drawn patterns, recalled from themselves by sequential descent of the energy; the "
    "share whose overlap stays above .95. (b) A surrogate of the thermal block, contrast 10: the bits are "
    "signs of 400 drawn affine functions of the inputs; those of 16 to 128 snapshots are stored, the bits "
    "of a query descend, the answer is the snapshot whose bits are nearest to the end. Mean and worst "
    "error of 256 draws, with Hebb's and with pseudo-inverse couplings, beside the nearest snapshot.",
    limits="One size, finite: the capacity is sharp only as N grows. Hebb's rule bears the correlated bits of "
    "inputs badly; other codes, and Hopfield networks with more than pairs, bear more. Boltzmann machines "
    "are not tried. The information bottleneck and renormalisation are claims of their own: information "
    "plane, coarse graining.",
    rule="Held: in (a) at least 90 % of patterns are held at .10 N and at most 50 % at .18 N, and in (b), "
    "below .138 N, Hebb's memory has at most 1.2 times the nearest snapshot's mean error. Depends: (a) "
    "alone. Failed: not (a).",
)
SPINS = 400
LOADS = (0.04, 0.08, 0.10, 0.12, 0.138, 0.15, 0.18, 0.22)
STORED = (16, 32, 54, 64, 128)


def descend(W: np.ndarray, states: np.ndarray, sweeps: int = 30) -> np.ndarray:
    """Spins flipped one after the other, each to the side of its field: the energy -s W s / 2 never grows."""
    s = states.copy()
    for _ in range(sweeps):
        before = s.copy()
        for i in range(s.shape[1]):
            field = s @ W[i]
            s[:, i] = np.where(field > 0, 1.0, np.where(field < 0, -1.0, s[:, i]))
        if (s == before).all():
            break
    return s


def couplings(X: np.ndarray, rule: str) -> np.ndarray:
    """Of patterns [m, N], without those of a spin with itself."""
    W: np.ndarray = X.T @ X / X.shape[1] if rule == "Hebb" else np.linalg.pinv(X) @ X
    return W - np.diag(np.diag(W))


def capacity(load: float, seed: int) -> float:
    """Share of drawn patterns that are held."""
    X = np.random.default_rng(seed).choice([-1.0, 1.0], (round(load * SPINS), SPINS))
    overlap = (descend(couplings(X, "Hebb"), X) * X).mean(axis=1)
    return float((overlap > 0.95).mean())


def surrogate(m: int, seed: int) -> dict[str, list[float]]:
    """Mean and worst error of memories of m snapshots, and of the nearest one."""
    problem, rng = ThermalBlock((2, 2), 16, low=10**-0.5, high=10**0.5), np.random.default_rng(seed)
    data, tests = sample(problem, m, seed), sample(problem, 256, 1000 + seed, independent=True)
    normal, shift = rng.standard_normal((4, SPINS)), rng.uniform(-1.5, 1.5, SPINS)

    def scaled(P: Any) -> np.ndarray:
        return 2 * np.asarray(problem.inputs.to_unit(P)) - 1

    def bits(P: Any) -> np.ndarray:
        return np.where(scaled(P) @ normal + shift > 0, 1.0, -1.0)

    X, x, fields = bits(data.inputs), scaled(data.inputs), np.asarray(data.fields)

    def recalled(P: Any, W: np.ndarray) -> np.ndarray:
        rows: np.ndarray = fields[np.argmax(descend(W, bits(P)) @ X.T, axis=1)]
        return rows

    def nearest(P: Any) -> np.ndarray:
        rows: np.ndarray = fields[np.argmin(((scaled(P)[:, None] - x) ** 2).sum(axis=2), axis=1)]
        return rows

    models: dict[str, Any] = {rule: partial(recalled, W=couplings(X, rule)) for rule in ("Hebb", "pseudo-inverse")}
    errors = {name: errors_at(problem, f, tests).errors for name, f in {**models, "nearest": nearest}.items()}
    return {name: [float(e.mean()), float(e.max())] for name, e in errors.items()}


def measure(run: Run) -> dict[str, Any]:
    seeds = run.seeds(3)
    loads, stored = (LOADS[::3], STORED[:1]) if run.quick else (LOADS, STORED)
    rows, shares, curves = [], [], []
    empty = dict.fromkeys(("memory", "stored / N", "held", "mean error", "worst error", "mean / nearest"), "")
    for load in loads:
        held = [run.row(f"{load} {s}", partial(capacity, load, s)) for s in seeds]
        own = {"memory": "Hebb, drawn patterns", "stored / N": load, "held": mean_share_of(held)}
        rows.append({**empty, **own, "evidence": EMPIRICAL})
        shares.append([load, float(np.mean(held))])
    for m in stored:
        found = [run.row(f"snapshots {m} {s}", partial(surrogate, m, s)) for s in seeds]
        for name in found[0]:
            mean, worst = ([f[name][i] for f in found] for i in (0, 1))
            ratio = mean_of([f[name][0] / f["nearest"][0] for f in found], True) if name != "nearest" else 1.0
            own = {"memory": f"{name}, snapshots", "stored / N": m / SPINS, "mean error": mean_of(mean, True)}
            own |= {"worst error": mean_of(worst, True), "mean / nearest": ratio}
            rows.append({**empty, **own, "evidence": EMPIRICAL})
            curves.append([name, m, float(np.mean(mean))])
    return {"rows": rows, "shares": shares, "curves": curves}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    drawn = [row for row in result["rows"] if row["memory"] == "Hebb, drawn patterns"]
    below = float(np.min([float(row["held"][0]) for row in drawn if row["stored / N"] <= 0.1]))
    above = float(np.max([float(row["held"][0]) for row in drawn if row["stored / N"] >= 0.18] or [1.0]))
    ratios: dict[str, list[float]] = {}
    for row in result["rows"]:
        if row["mean / nearest"] not in ("", 1.0) and row["stored / N"] < 0.138:
            ratios.setdefault(row["memory"].split(",")[0], []).append(float(row["mean / nearest"][0]))
    hebb, inverse = ratios["Hebb"], ratios["pseudo-inverse"]
    words = (
        f"Of drawn patterns {'all' if below == 1 else f'at least {below:.0%}'} are held up to .10 N and at most "
        f"{above:.0%} from .18 N. As a surrogate with less than .138 N snapshots the memory has {min(hebb):.2g} to "
        f"{max(hebb):.2g} times the nearest snapshot's mean error with Hebb's couplings, {min(inverse):.2g} to "
        f"{max(inverse):.2g} times with the pseudo-inverse's."
    )
    if not (below >= 0.9 and above <= 0.5):
        return FAILED, words
    return (HELD if all(ratio <= 1.2 for ratio in hebb) else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*result["shares"], strict=True), "o-")
    left.axvline(0.138, color="grey", linestyle="--")
    left.set(xlabel="patterns / spins (line: .138)", ylabel="share held", title="drawn patterns, Hebb")
    for name in ("Hebb", "pseudo-inverse", "nearest"):
        right.loglog(*zip(*[c[1:] for c in result["curves"] if c[0] == name], strict=True), "o-", label=name)
    right.axvline(0.138 * SPINS, color="grey", linestyle="--")
    right.set(xlabel="snapshots stored", ylabel="mean relative error", title="as a surrogate, 400 spins")
    right.set_xticks(STORED, [str(m) for m in STORED])
    right.minorticks_off()
    right.legend(fontsize=8)
    for panel in (left, right):
        panel.grid(alpha=0.3)
