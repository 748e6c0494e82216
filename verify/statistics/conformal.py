"""Error bars from rows that training never saw, for any surrogate: split conformal prediction.

Of n errors at rows exchangeable with a new one (drawn alike, and none looked at in training) let e_(k) be the k-th
smallest, k = ceil((n + 1) level). A new error is at most e_(k) with probability at least ``level``, over the rows and
the new input together, whatever the surrogate: statistical evidence, never a proof, and nothing about inputs drawn
otherwise (Vovk, Gammerman and Shafer 2005; Lei et al. 2018). It says nothing of the worst case.

The band is for all values at once: with w_j the root mean square error of value j at one half of the rows, the scores
max_j |e_j| / w_j of the other half have such a quantile q, and the band is q w_j.

Where new inputs p are drawn from another law, r(p) times as dense as that of the rows, the rows' errors count by
r(p_i), and a new one's place by r(p): with W = sum_i r(p_i) + r(p) the bar is the smallest e of which the errors at
most e have sum r(p_i) >= level W, infinite where there is none (Tibshirani, Barber, Candes and Ramdas 2019). It grows
with r(p): with the largest r of the queries' box in its place one bar serves all of them.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...solvers.box import Box
from ...solvers.identity import check_problem
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.shown.table import html_table
from ..answers.evaluate import captured, evaluate
from ..answers.first_call import check_answers
from .errors import check_rows_of, check_unseen, scaled_errors, why_no_draws
from .laws import largest_ratio, ratio

FLAT = 1e-6  # of the largest w: values that are always right, such as a boundary's, have a narrow bar
LEVEL = 0.9
ROUNDING = 1e-12  # of a level: products that are whole numbers but for the last bits


@dataclass(frozen=True)
class Bars:
    """A new input's answer has an error of at most ``error``, relative, and of at most ``band`` in all its values, each
    with probability ``level``: infinite where there are too few rows (``remarks`` say how many it takes). ``worst``:
    the largest error among the rows, which no bar is about.
    """

    level: float
    error: float
    band: Float[np.ndarray, " N"]
    rows: int
    remarks: tuple[str, ...] = ()
    worst: float = math.nan
    law: str = "inputs drawn as these were"

    @property
    def quantile(self) -> float:
        """``error``."""
        return self.error

    @property
    def miscoverage(self) -> float:
        """The probability at most that a new error is larger."""
        return 1 - self.level

    def _repr_html_(self) -> str:
        rows = {
            "a new error is at most": self.error,
            "with probability": self.level,
            "evidence": "statistical" if math.isfinite(self.error) else "undecided",
            "rows": self.rows,
            "for": self.law,
            "largest error found": self.worst,
            "remarks": self.remarks or None,
        }
        return html_table("Error bars", rows)

    def __repr__(self) -> str:
        if not math.isfinite(self.error):
            why = "; ".join(self.remarks) or "too many of the answers are no numbers"
            found = f"the largest found is {self.worst:.3g}"
            return f"Bars(no bar at probability {self.level:g}, by {self.rows} rows: {why}; {found})"
        return (
            f"Bars(with probability {self.level:g} a new error is at most {self.error:.3g}, by {self.rows} rows: "
            f"statistical, for {self.law}; the largest found is {self.worst:.3g})"
        )


@in_float64
def conformal(
    problem: Problem,
    surrogate: Any,
    snapshots: Any = None,
    miscoverage: float | None = None,
    *,
    level: float | None = None,
    queries: Box | None = None,
    tests: Any = None,
) -> Bars:
    """Error bars from solutions at inputs that training never saw and that were drawn as later ones will be.

    Args:
        snapshots: such as ``Dataset.split`` holds out, or ``sample(..., independent=True)``; rows that were not solved
            are left out. Also accepted as ``tests``.
        miscoverage: the probability at most that a new error is larger than the bar, such as 0.1. A number above one
            half is read as the level, as this argument was in earlier versions.
        level: 1 - miscoverage, in its place; 0.9 where neither is given.
        queries: the law of later inputs, where it is another than that of the rows: a box inside theirs, with laws of
            its own (``problem.inputs.replace(laws=...)``). The bars are for these then.

    Raises:
        ValueError: no row, rows that the surrogate learnt from, a level that is no probability, queries beyond the
            rows' box, or answers that are no fields.
    """
    check_problem(problem)
    level = _level(miscoverage, level)
    if (snapshots is None) == (tests is None):
        raise ValueError(
            "conformal takes solutions that training never saw: conformal(problem, surrogate, snapshots, miscoverage)"
        )
    snapshots = tests if snapshots is None else snapshots
    check_rows_of(problem, snapshots, "conformal")
    rows = np.flatnonzero(np.isfinite(snapshots.fields).all(axis=1))
    if not len(rows):
        raise ValueError(f"conformal needs solutions of {problem.name}, and none of these rows was solved")
    P, truths = np.asarray(snapshots.inputs)[rows], np.asarray(snapshots.fields)[rows]
    check_unseen(surrogate, P, "conformal")
    weights, new, law = np.ones(len(rows)), 1.0, Bars.law
    if queries is not None:
        weights, new = ratio(queries, problem.inputs, P), largest_ratio(queries, problem.inputs)
        law = "inputs drawn from the queries' law, where the rows were drawn from the problem's"
    model = captured(surrogate)
    check_answers(problem, model)
    answers = evaluate(model, P, problem)
    errors, away = scaled_errors(problem, P, answers, truths, problem.zero_scale)
    found = weighted_quantile(errors, weights, new, level)
    some, others = halves(P)
    scores, w = _band(away[some][answers.good[some]], np.where(answers.good[others, None], away[others], np.inf))
    bar = weighted_quantile(scores, weights[others], new, level) * w
    remarks = _too_few(level, weights, new, queries is not None, bool(np.isfinite(bar).all()))
    if why := why_no_draws(problem, snapshots):
        remarks.append(f"the rows are no independent draws, so that the level is not assured: {why}")
    return Bars(level, found, bar, len(rows), (*remarks, *answers.trouble), float(errors.max()), law)


def _level(miscoverage: float | None, level: float | None) -> float:
    for name, given in (("miscoverage", miscoverage), ("level", level)):
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float | np.number)):
            raise ValueError(f"the {name} is a probability between 0 and 1, not {given!r:.80}")
    if miscoverage is not None and level is not None:
        raise ValueError(f"miscoverage={miscoverage} and level={level} say the same: give one of them")
    if miscoverage is None:
        level = LEVEL if level is None else level
        if not 0 < level < 1:
            raise ValueError(f"the level is a probability between 0 and 1, such as 0.9, not {level}")
        return level
    if not 0 < miscoverage < 1:
        raise ValueError(f"the miscoverage is a probability between 0 and 1, such as 0.1, not {miscoverage}")
    return max(miscoverage, 1 - miscoverage)


def _too_few(level: float, weights: np.ndarray, new: float, other_law: bool, band: bool) -> list[str]:
    n, least = len(weights), least_rows(level)
    if other_law:
        if weights.sum() < level * (weights.sum() + new):
            equal = float(weights.sum() ** 2 / max((weights**2).sum(), np.finfo(float).tiny))
            return [
                f"{n} rows are too few for a level of {level:g} under the queries' law: they count as {equal:.3g}, and "
                f"the densest query as {new:.3g} of them: sample more, or from a law nearer to the queries'"
            ]
    elif n < least:
        return [f"{n} rows are too few for a level of {level:g}: it takes {least}"]
    return [] if band else [f"no band: it takes {2 * least} rows, nearly all of them answered"]


def least_rows(level: float) -> int:
    """The fewest rows of which one is a quantile: n + 1 >= 1 / (1 - level)."""
    n = 1
    while math.ceil((n + 1) * level - ROUNDING) > n:
        n += 1
    return n


def quantile(scores: Float[np.ndarray, " n"], level: float) -> float:
    """The k-th smallest, k = ceil((n + 1) level); infinite where there are fewer."""
    k = math.ceil((len(scores) + 1) * level - ROUNDING)
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else math.inf


def weighted_quantile(
    scores: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], new: float, level: float
) -> float:
    """The smallest score with a share of at least ``level`` of all weight, that of a new score among it, at or below;
    with equal weights ``quantile``.
    """
    order = np.argsort(scores, kind="stable")
    sums = np.cumsum(weights[order])
    total = float(weights.sum()) + new
    enough = sums >= level * total - ROUNDING * total
    return float(scores[order][np.argmax(enough)]) if len(scores) and enough.any() else math.inf


def halves(P: Float[np.ndarray, "n d"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " k"]]:
    """Two halves of rows, as if drawn, and the same for the same inputs: rows may be sorted, and a fixed choice of them
    is then no sample, of which a new one could be another.
    """
    seed = hashlib.sha256(np.ascontiguousarray(P, dtype="<f8").tobytes()).digest()
    order = np.random.default_rng(list(seed)).permutation(len(P))
    return order[::2], order[1::2]


def _band(some: Float[np.ndarray, "m N"], others: Float[np.ndarray, "n N"]) -> tuple[np.ndarray, np.ndarray]:
    """The scores of the other rows, and what they are multiples of."""
    if not len(some):
        return np.full(len(others), np.inf), np.ones(others.shape[1])
    w = np.sqrt((some**2).mean(axis=0))
    w = np.maximum(w, max(FLAT * w.max(), np.finfo(float).tiny))
    return np.abs(others / w).max(axis=1), w
