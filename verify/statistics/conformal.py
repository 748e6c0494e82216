"""Error bars from rows that training never saw, for any surrogate: split conformal prediction.

Of n errors at rows exchangeable with a new one (drawn alike, and none looked at in training) let e_(k) be the k-th
smallest, k = ceil((n + 1) level). A new error is at most e_(k) with probability at least ``level``, over the rows and
the new input together, whatever the surrogate: statistical evidence, never a proof, and nothing about inputs drawn
otherwise (Vovk, Gammerman and Shafer 2005; Lei et al. 2018).

The band is for all values at once: with w_j the root mean square error of value j at one half of the rows, the scores
max_j |e_j| / w_j of the other half have such a quantile q, and the band is q w_j.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.tolerance import scaled
from ..answers.evaluate import captured, evaluate
from ..answers.first_call import check_answers
from ..measured_error import magnitude_of, norm_of

FLAT = 1e-6  # of the largest w: values that are always right, such as a boundary's, have a narrow bar


@dataclass(frozen=True)
class Bars:
    """A new input's answer has an error of at most ``error``, relative, and of at most ``band`` in all its values, each
    with probability ``level``: infinite where there are too few rows (``remarks`` say how many it takes).
    """

    level: float
    error: float
    band: Float[np.ndarray, " N"]
    rows: int
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Bars(with probability {self.level:g} a new error is at most {self.error:.3g}, by {self.rows} rows: "
            "statistical, for inputs drawn as these were)"
        )


@in_float64
def conformal(problem: Problem, surrogate: Any, tests: Any, level: float = 0.9) -> Bars:
    """Error bars from solutions at inputs that training never saw and that were drawn as later ones will be.

    Args:
        tests: such as ``Dataset.split`` holds out, or ``sample(..., independent=True)``; rows that were not solved are
            left out.

    Raises:
        ValueError: no row, a level that is no probability, or answers that are no fields.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level is a probability between 0 and 1, not {level}")
    rows = np.flatnonzero(tests.valid)
    if not len(rows) or tests.fields.shape[1] != problem.size:
        raise ValueError(f"conformal needs solutions of {problem.name}, [n, {problem.size}], that training never saw")
    model = captured(surrogate)
    check_answers(problem, model)
    P, truths = tests.inputs[rows], tests.fields[rows]
    answers = evaluate(model, P, problem)
    pairs = zip(P, answers.fields, truths, strict=True)
    away = np.stack([np.asarray(problem.prescribe(p, u)) - t for p, u, t in pairs])
    sizes = [magnitude_of(problem, p, t) for p, t in zip(P, truths, strict=True)]
    lengths = [norm_of(problem, p, e) for p, e in zip(P, away, strict=True)]
    errors = scaled(np.array(lengths), np.array(sizes), problem.zero_scale)
    errors = np.where(answers.good & ~np.isnan(errors), errors, np.inf)  # what is no number is no small error
    least = least_rows(level)
    remarks = [f"{len(rows)} rows are too few for a level of {level:g}: it takes {least}"] if len(rows) < least else []
    band = _band(away[::2][answers.good[::2]], np.where(answers.good[1::2, None], away[1::2], np.inf), level)
    if not remarks and not np.isfinite(band).all():
        remarks.append(f"no band: it takes {2 * least} rows, nearly all of them answered")
    return Bars(level, quantile(errors, level), band, len(rows), (*remarks, *answers.trouble))


def least_rows(level: float) -> int:
    """The fewest rows of which one is a quantile: n + 1 >= 1 / (1 - level)."""
    n = 1
    while math.ceil((n + 1) * level - 1e-12) > n:
        n += 1
    return n


def quantile(scores: Float[np.ndarray, " n"], level: float) -> float:
    """The k-th smallest, k = ceil((n + 1) level); infinite where there are fewer."""
    k = math.ceil((len(scores) + 1) * level - 1e-12)
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else math.inf


def _band(some: Float[np.ndarray, "m N"], others: Float[np.ndarray, "n N"], level: float) -> Float[np.ndarray, " N"]:
    if not len(some):
        return np.full(others.shape[1], np.inf)
    w = np.sqrt((some**2).mean(axis=0))
    w = np.maximum(w, max(FLAT * w.max(), np.finfo(float).tiny))
    return quantile(np.abs(others / w).max(axis=1), level) * w
