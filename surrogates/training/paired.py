"""Whose errors are smaller: the ratio of the mean errors of two surrogates at the same rows, with an interval.

    ratio = sum_i e_i / sum_i d_i

A few hard rows rule both sums and are hard for both, so rows are drawn again with replacement, in pairs and with their
twins, and the interval lies between percentiles of the ratios (bootstrap). It is statistical, and of rows like these.
Reference: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

DRAWS = 2000
NUMBERS = 1_000_000  # that are drawn at once
COVERED = 0.95  # of the interval
LEAST = 5  # rows or groups of twins, below which there is no interval to be had
ROUNDING = 1e-14  # added to both means: what is below is nobody's merit


class Ratio(NamedTuple):
    """Of two mean errors, and the ends of its interval."""

    value: float
    low: float
    high: float


def ratio_of_means(
    ours: Float[np.ndarray, " n"], theirs: Float[np.ndarray, " n"], groups: Int[np.ndarray, " n"]
) -> Ratio:
    """Our mean error by theirs; from nought to infinity where there are few groups, or an error is no number."""
    which = np.unique(groups, return_inverse=True)[1].ravel()
    sums = np.stack([np.bincount(which, weights=e + ROUNDING) for e in (ours, theirs)])
    value = float(sums[0].sum() / sums[1].sum())
    count = sums.shape[1]
    if count < LEAST or not np.isfinite(sums).all():
        return Ratio(value, 0.0, np.inf)
    rng, together, ratios = np.random.default_rng(0), max(1, NUMBERS // count), []
    for start in range(0, DRAWS, together):
        drawn = rng.integers(count, size=(min(together, DRAWS - start), count))
        ratios += list(sums[0][drawn].sum(axis=1) / sums[1][drawn].sum(axis=1))
    low, high = np.quantile(ratios, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Ratio(value, float(low), float(high))
