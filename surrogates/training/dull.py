"""How well the dull baselines predict rows that were left out: what a network has to beat, in a second.

They are fitted to the rows that a split keeps, in the basis of all rows, and judged at the others; what the basis
leaves out is the same for everybody and not counted. For the warning that one of them may be better they are judged
once more, as fitted to all rows but one (``refitted``), beside the network's errors at the same rows (``paired.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import nnls

from ..baselines import kernel_ridge, linear, mean, nearest, pod_interpolation, polynomial, random_features
from ..baselines.refitted import left_out_residuals
from ..baselines.regression import Regression
from ..surrogate import Surrogate
from .paired import COVERED, Ratio, ratio_of_means

DULL: dict[str, Any] = {
    "mean": mean,
    "nearest": nearest,
    "linear": linear,
    "polynomial": polynomial,
    "pod-interpolation": pod_interpolation,
    "kernel-ridge": kernel_ridge,
    "random-features": random_features,
}
SHARE = 0.2  # of the rows is left out
PARTS = 10  # of few rows: fits to fewer than nine tenths of them flatter what needs few, and hide higher degrees
NEAR_BEST = 3.0  # times the least error: what is mixed at all
MIXED = (
    0.9  # of the best one's error: what a mixture must come below, whose shares are fitted to the rows that judge it
)
WORSE = 1.05  # times the error of a dull baseline, from which on it is told
CLOSE = 0.9  # times that error, from which on nobody knows which is better, however narrow the interval
FEW = 256  # rows up to which every row is left out once
MANY = 2048  # rows from which on a dense system of all of them is not solved for a warning
CHEAPEST = ("mean", "linear", "kernel-ridge")  # beside a network that has its own rows left out


def _best(errors: dict[str, float]) -> tuple[str, float]:
    """The name and the error of the best baseline; no name where none has a finite error."""
    known = {name: error for name, error in errors.items() if np.isfinite(error)}
    return min(known.items(), key=lambda item: item[1], default=("", np.inf))


def dull_warning(errors: dict[str, float], network: float, where: str = "left-out snapshots") -> list[str]:
    """A sentence if the best dull baseline is better than the network at rows left out; none otherwise.

    Args:
        errors: relative errors of the dull baselines by name.
        where: what the network's own error was measured at.
    """
    best, error = _best(errors)
    if not best or network <= WORSE * error:
        return []
    return [
        f"{best}, which costs nothing, has a relative error of {error:.2g} at left-out snapshots and this "
        f"network {network:.2g} at {where}: train {best} instead, or the network with more snapshots or steps"
    ]


class Beside(NamedTuple):
    """Relative errors at rows, of which groups of twins count as one, and what rows these are."""

    network: Float[np.ndarray, " n"]
    dull: dict[str, Float[np.ndarray, " n"]]
    groups: Int[np.ndarray, " n"]
    where: str

    def ratios(self) -> dict[str, Ratio]:
        """The network's mean error by that of every baseline."""
        return {name: ratio_of_means(self.network, errors, self.groups) for name, errors in self.dull.items()}


def close_warning(rows: Beside, ratios: dict[str, Ratio], surely: bool = False) -> list[str]:
    """A sentence if some baseline is about as good as the network or better, for all that these rows tell; none if all
    are clearly worse, or with ``surely`` none is clearly better.
    """
    near = [(name, r) for name, r in ratios.items() if not (r.value <= CLOSE and r.high <= 1)]
    if surely:
        near = [(name, r) for name, r in near if r.low > 1 and r.value > WORSE]
    if not near:
        return []
    near.sort(key=lambda item: -np.nan_to_num(item[1].value, nan=np.inf))
    best, found = near[0]
    intervals = ", ".join(f"{name} {r.value:.3g} [{r.low:.3g}, {r.high:.3g}]" for name, r in near)
    if found.low > 1 and found.value > WORSE:
        what, remedy = "is better", f"train {best} instead, or the network with more snapshots or steps"
    else:
        what, remedy = "may be as good or better", "compare them with more snapshots"
    return [
        f"{best}, which costs nothing, {what}: a relative error of {rows.dull[best].mean():.2g} against "
        f"{rows.network.mean():.2g} of this network at {len(rows.network)} {rows.where} (the network's divided by that "
        f"of {intervals}, {COVERED:.0%} intervals): {remedy}"
    ]


class Split(NamedTuple):
    """Rows to fit and rows to judge by."""

    fit: Int[np.ndarray, " m"]
    held: Int[np.ndarray, " h"]


def splits(r: Regression, seed: int) -> list[Split]:
    """One split, or with few rows as many as leave every row out once; rows that nearly repeat others stay together.
    Empty where there is one group of rows alone.
    """
    count = int(r.groups.max()) + 1
    if count < 2:
        return []
    order = np.random.default_rng([seed, 1]).permutation(count)
    parts = np.array_split(order, min(count, PARTS if len(r.x) <= FEW else round(1 / SHARE)))
    found = []
    for part in parts if len(r.x) <= FEW else parts[:1]:
        held = np.isin(r.groups, part)
        found.append(Split(np.flatnonzero(~held), np.flatnonzero(held)))
    return found


def targets_of(surrogate: Surrogate, x: Float[np.ndarray, "h m"]) -> Float[np.ndarray, "h k"]:
    """What a dull baseline predicts at scaled features, in the units of the rows' targets."""
    return np.asarray(DULL[surrogate.name].values(surrogate.architecture, surrogate.arrays, x, np))


class HeldOut(NamedTuple):
    """Errors of the dull baselines at rows left out, the best first, and the mixture of them that does best there."""

    errors: dict[str, float]  # root mean square relative; NaN where one could not be fitted
    mixture: dict[str, float]  # shares that add up to one
    error: float  # of the mixture
    means: dict[str, float]  # mean relative errors of the baselines that could be fitted
    each: Float[np.ndarray, " h"]  # relative error of the mixture at every row that was left out
    rows: Int[np.ndarray, " h"]  # these rows

    @property
    def mean(self) -> float:
        """The mean relative error of the mixture."""
        return float(np.mean(self.each))


def held_out(r: Regression, found: list[Split], seed: int) -> HeldOut:
    """Fit every dull baseline to every split, and mix the best by non-negative least squares at the rows left out.

    Reference: Breiman 1996 (stacked regressions).
    """
    left = np.concatenate([split.held for split in found])
    predicted, errors = {}, {}
    for name, baseline in DULL.items():
        try:
            parts = [targets_of(baseline.fit(r.some(s.fit), seed), r.x[s.held]) for s in found]
            predicted[name] = np.concatenate(parts)
            errors[name] = r.error(predicted[name], left)
        except (ValueError, np.linalg.LinAlgError):
            errors[name] = float("nan")
    errors = dict(sorted(errors.items(), key=lambda item: (np.isnan(item[1]), item[1])))
    best = next(iter(errors))
    near = [name for name, error in errors.items() if error <= NEAR_BEST * errors[best]]
    shares = _shares([(predicted[name] * r.weights[left][:, None]).ravel() for name in near], r, left)
    mixed = sum(share * predicted[name] for name, share in zip(near, shares, strict=True))
    error = r.error(np.asarray(mixed), left)
    means = {name: r.mean_error(answer, left) for name, answer in predicted.items()}
    if not error < MIXED * errors[best]:
        return HeldOut(errors, {best: 1.0}, errors[best], means, r.each_error(predicted[best], left), left)
    shared = {n: float(w) for n, w in zip(near, shares, strict=True) if w > 0}
    return HeldOut(errors, shared, error, means, r.each_error(np.asarray(mixed), left), left)


def refitted(
    r: Regression, names: Iterable[str], fitted: dict[str, Surrogate], seed: int
) -> dict[str, Float[np.ndarray, "n k"]]:
    """Residuals of dull baselines at every row, as fitted to all others with the settings that all rows chose; of those
    that can be fitted and judged. Folds hide what a baseline gains when it has all rows.

    Args:
        fitted: those that are fitted to all rows already.
    """
    found = {}
    for name in names:
        if name == "pod-interpolation" and len(r.x) > MANY:
            continue
        try:
            residuals = left_out_residuals(r, fitted.get(name) or DULL[name].fit(r, seed))
        except (ValueError, np.linalg.LinAlgError):
            continue
        if np.isfinite(residuals).all():
            found[name] = residuals
    return found


def _shares(columns: list[np.ndarray], r: Regression, left: np.ndarray) -> np.ndarray:
    target = (r.targets[left] * r.weights[left][:, None]).ravel()
    size = np.linalg.norm(target) or 1.0
    heavy = 1e3  # how strictly the shares add up to one, before they are made to
    system = np.vstack([np.stack(columns, axis=1) / size, np.full(len(columns), heavy)])
    shares = nnls(system, np.append(target / size, heavy))[0]
    total = shares.sum()
    return shares / total if total > 0 else np.eye(len(columns))[0]
