"""A teacher for a network that has few snapshots and no equation: what cheap regressors make of them, everywhere.

A network of thousands of weights passes through 64 snapshots however it likes in between. So the dull baselines are
fitted first, the one that predicts left-out rows best is the teacher, and the network is trained on the snapshots *and*
on what the teacher says at ``TAUGHT`` inputs where nothing was solved. It ends about as right as the teacher, and
remains a network: small, smooth, enclosed over boxes. What is a polynomial to ``BASE_BELOW`` is not learnt but added:
the network is then a correction of it.

A teacher that is worse than the network alone would do harm. With more fitted rows than units in the last layer the
network is tried alone on some of them for ``TRIAL`` steps, and trained without a teacher where it predicts the others
surely better, by the interval of ``paired.py``; the steps after which it predicted them best are then its last (early
stopping).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ...baselines.regression import Regression
from ...training.dull import DULL, Split, fitted_to_all, held_out, splits, targets_of
from ...training.pod import Data, box_points
from ...training.reduced_operator import ReducedOperator
from .energy_loss import LossRows

TAUGHT = 1024
SHARE = 0.5  # of the loss at taught inputs
TRIAL = 250  # steps
BASE_BELOW = 1e-3  # left-out error of a polynomial that a taught network only corrects
OUT_OF_REACH = 1e-5  # of the teacher, where no network alone is tried; with physics, of a polynomial that is corrected
TEACHER_SEED = 104_729  # added to the seed: taught inputs are not the snapshots'
DEGREES = {"mean": 0, "linear": 1}  # of the baselines that are polynomials by another name
CHECKED = 256  # further inputs, at which network and teacher are compared


class Teacher(NamedTuple):
    """The dull baselines fitted to all rows, of which the best teaches."""

    regression: Regression
    judged: dict[str, Float[np.ndarray, " n"]]  # relative errors at left-out rows, the best baseline's first
    fitted: dict[str, Any]  # name -> surrogate
    split: Split  # of the rows, to judge others by

    @property
    def name(self) -> str:
        """The best baseline's."""
        return next(iter(self.judged))

    @property
    def errors(self) -> Float[np.ndarray, " n"]:
        """The best baseline's at left-out rows, NaN where not known."""
        return self.judged[self.name]

    @property
    def error(self) -> float:
        """Their root mean square."""
        return float(np.sqrt(np.nanmean(self.errors**2)))

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(np.nanmean(self.errors))

    @property
    def tells(self) -> int:
        """How many rows of the split judge others, twins counted once."""
        return len(np.unique(self.regression.groups[self.split.held]))

    def __call__(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n k"]:
        """Targets at scaled features."""
        return targets_of(self.fitted[self.name], x)

    def polynomial(self, below: float) -> Any | None:
        """The surrogate that the network only corrects, where the best one is a polynomial and its error at left-out
        rows is that small.
        """
        if self.name not in (*DEGREES, "polynomial") or not self.error < below:
            return None
        if self.name == "polynomial":
            return self.fitted[self.name]
        return DULL["polynomial"].fit(self.regression, degree=DEGREES[self.name])


def find_teacher(data: Data, V: Float[np.ndarray, "N k"], seed: int) -> Teacher | None:
    """The best baseline; None where nothing can be left out."""
    r = Regression.in_basis(data, V)
    found = splits(r, seed)
    if not found:
        return None
    fitted = fitted_to_all(r, seed)
    judged = held_out(r, fitted, found, seed)
    return Teacher(r, judged, fitted, found[0]) if judged else None


def taught_rows(
    data: Data, teacher: Teacher, operator: ReducedOperator | None, seed: int, count: int = TAUGHT
) -> LossRows:
    """Rows of the loss from the teacher's answers, weighted as ``field_rows`` weights snapshots."""
    P = box_points(data.box, count, seed + TEACHER_SEED)
    x, s = data.scaled(P)
    C = s[:, None] * teacher(x)  # coefficients
    if operator is None:
        energy = np.sum(C**2, axis=1)
        scale = _shares_of(energy)
        return LossRows(x, (scale * s**2)[:, None], (scale * s)[:, None] * C, 1.0)
    theta, _ = operator.weights(P)
    images = np.einsum("nq,qij,nj->ni", theta, operator.terms, C, optimize=True)
    scale = _shares_of(np.sum(images * C, axis=1))
    return LossRows(x, theta * (scale * s**2)[:, None], (scale * s)[:, None] * images, 1.0)


def less(part: LossRows, terms: Float[np.ndarray, "Q k k"], Y: Float[np.ndarray, "n k"]) -> LossRows:
    """The same loss for what is added to Y."""
    images = np.einsum("nq,qij,nj->ni", part.phi, terms, Y, optimize=True)
    constant = part.constant + float(np.sum(images * Y) - 2 * np.sum(part.b * Y))
    return LossRows(part.x, part.phi, part.b - images, constant)


def without(part: LossRows, held: Int[np.ndarray, " h"]) -> LossRows:
    """The same number of rows, of which some count nothing."""
    keep = np.ones(len(part.phi))
    keep[held] = 0
    keep *= len(keep) / keep.sum()
    return LossRows(part.x, part.phi * keep[:, None], part.b * keep[:, None], part.constant)


def _shares_of(energy: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 / (n energy); answers that are next to nothing weigh no more than small ones."""
    return 1 / (len(energy) * np.maximum(energy, 1e-6 * np.mean(energy) + 1e-300))
