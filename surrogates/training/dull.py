"""How well the dull baselines predict rows that were left out: what a network has to beat, in a second.

Each is fitted to all rows, and one at a time is left out in closed form (``refitted.py``); where that tells nothing, as
of a polynomial that passes through a row whatever it is, it is fitted to the rows that a split keeps. The basis is that
of all rows: what it leaves out is the same for everybody and not counted. A network is compared with them at the same
rows (``paired.py``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ...solvers.problem import Problem
from ..baselines import kernel_ridge, linear, mean, nearest, pod_interpolation, polynomial, random_features
from ..baselines.refitted import left_out_residuals
from ..baselines.regression import Regression
from ..surrogate import Surrogate
from .paired import COVERED, ROUNDING, Ratio, ratio_of_means
from .residual_loss import error_field

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
WORSE = 1.05  # times the error of a dull baseline, from which on it is told
CLOSE = 0.9  # times that error, from which on nobody knows which is better, however narrow the interval
FEW = 256  # rows up to which every row is left out once, and all baselines take no time
MANY = 2048  # rows beyond which pod-interpolation is not tried, whose system of all of them takes minutes
MORE = "more snapshots or steps"  # what may help a network
CHEAPEST = ("mean", "nearest", "linear", "polynomial", "kernel-ridge")  # of many rows


UNJUDGED = (
    "the inputs of the snapshots nearly repeat each other, so that none could be left out to judge this network by: "
    "sample further ones"
)


def _best(errors: dict[str, float]) -> tuple[str, float]:
    """The name and the error of the best baseline; no name where none has a finite error."""
    known = {name: error for name, error in errors.items() if np.isfinite(error)}
    return min(known.items(), key=lambda item: item[1], default=("", np.inf))


def affordable(rows: int) -> tuple[str, ...]:
    """The baselines beside a network that has its own rows left out: all, where they take no time."""
    return tuple(DULL) if rows <= FEW else CHEAPEST


def remedies(problem: Problem, physics_weight: float) -> str:
    """What may help a network that a dull baseline beats."""
    if physics_weight == 1:
        return "more steps or physics_points"
    if physics_weight or error_field(problem) is None:
        return MORE
    return "more snapshots, more steps or its equation (physics_weight=0.5)"


def dull_warning(
    errors: dict[str, float], network: float, where: str = "left-out snapshots", more: str = MORE
) -> list[str]:
    """A sentence if the best dull baseline is better than the network at rows left out; none otherwise.

    Args:
        errors: relative errors of the dull baselines by name.
        where: what the network's own error was measured at.
        more: what may help the network (``remedies``).
    """
    best, error = _best(errors)
    if not best or network <= max(WORSE * error, ROUNDING):
        return []
    return [
        f"{best}, which costs nothing, has a relative error of {error:.2g} at left-out snapshots and this "
        f"network {network:.2g} at {where}: train {best} instead, or the network with {more}"
    ]


def little_added(
    base: str,
    error: float,
    alone: float,
    network: float,
    more: str = MORE,
    *,
    where: str = "left-out snapshots",
    how: str = "",
) -> list[str]:
    """A sentence if the network leaves what it corrects about as wrong as it was at other inputs; none otherwise.

    Args:
        base: the name of what it corrects, and ``error`` its mean relative error there.
        alone: that of the baseline of that name, which need not vanish where fields do.
        where: what inputs these are.
        how: the baseline is trained, where it has options.
    """
    if network < CLOSE * error or network <= ROUNDING:
        return []
    instead = f"train {base}{how} instead, or " if alone <= network else "train "
    return [
        f"the network adds little to the {base} that it corrects: a relative error of {network:.2g} after {error:.2g} "
        f"at {where}: {instead}the network with {more}"
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


def close_warning(rows: Beside, ratios: dict[str, Ratio], surely: bool = False, more: str = MORE) -> list[str]:
    """A sentence if some baseline is about as good as the network or better, for all that these rows tell; none if all
    are clearly worse, or with ``surely`` none is clearly better, and none of a network that is right to rounding.
    """
    if rows.network.mean() <= ROUNDING:
        return []
    near = [(name, r) for name, r in ratios.items() if not (r.value <= CLOSE and r.high <= 1)]
    if surely:
        near = [(name, r) for name, r in near if r.low > 1 and r.value > WORSE]
    if not near:
        return []
    near.sort(key=lambda item: -np.nan_to_num(item[1].value, nan=np.inf))
    best, found = near[0]
    intervals = ", ".join(f"{name} {r.value:.3g} [{r.low:.3g}, {r.high:.3g}]" for name, r in near)
    if found.low > 1 and found.value > WORSE:
        what, remedy = "is better", f"train {best} instead, or the network with {more}"
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


def fitted_to_all(r: Regression, seed: int) -> dict[str, Surrogate]:
    """Those of the dull baselines that can be fitted, and soon."""
    found = {}
    for name, baseline in DULL.items():
        if name == "pod-interpolation" and len(r.x) > MANY:
            continue
        try:
            found[name] = baseline.fit(r, seed)
        except (ValueError, np.linalg.LinAlgError):
            continue
    return found


def held_out(
    r: Regression, fitted: dict[str, Surrogate], found: list[Split], seed: int
) -> dict[str, Float[np.ndarray, " n"]]:
    """Relative errors of dull baselines at rows that were left out, NaN at rows of which nothing is known; the least
    mean first, and of those that are right to rounding the simplest. Baselines of which nothing is known are missing.

    Folds alone hide what a baseline gains when it has all rows, such as one more degree. Over 120 problems drawn at
    random the least mean by folds was more than a tenth above the best at other inputs in 13, by this in 5.
    """
    errors = {}
    for name, surrogate in fitted.items():
        known = _one_left_out(r, surrogate)
        known = _folds_left_out(r, name, found, seed) if known is None else known
        if known is not None:
            errors[name] = known
    return dict(sorted(errors.items(), key=lambda item: max(float(np.nanmean(item[1])), ROUNDING)))


def _one_left_out(r: Regression, fitted: Surrogate) -> Float[np.ndarray, " n"] | None:
    """Relative errors at every row, as fitted to all others with the settings that all rows chose; None where some are
    not known.
    """
    try:
        errors = r.each_error(r.targets - left_out_residuals(r, fitted))
    except (ValueError, np.linalg.LinAlgError):
        return None
    return errors if np.isfinite(errors).all() else None


def _folds_left_out(r: Regression, name: str, found: list[Split], seed: int) -> Float[np.ndarray, " n"] | None:
    """Relative errors at the rows that splits leave out, NaN at others; None where some are not known."""
    errors = np.full(len(r.x), np.nan)
    for split in found:
        try:
            said = targets_of(DULL[name].fit(r.some(split.fit), seed), r.x[split.held])
        except (ValueError, np.linalg.LinAlgError):
            return None
        errors[split.held] = r.each_error(said, split.held)
        if not np.isfinite(errors[split.held]).all():
            return None
    return errors
