"""The probability of failure by independent draws, with an exact interval, or one that holds however often it is looked
at.

k of n draws failed. Clopper and Pearson 1934: the two-sided interval of all x for which neither P(Binomial(n, x) >= k)
nor P(Binomial(n, x) <= k) is below half of 1 - confidence. It is exact for an n that was fixed beforehand. Who looks,
and then decides whether to go on, needs a sequence of intervals that all hold together, with the confidence: with

    M_n(x) = B(k + 1/2, n - k + 1/2) / (B(1/2, 1/2) x^k (1 - x)^(n - k))

the likelihood of the draws mixed over the arcsine law and divided by that of x, M_n is a martingale of mean one where x
is the true probability, and exceeds 1 / (1 - confidence) at any n with a probability of at most 1 - confidence (Ville
1939; Robbins 1970). The interval is where it does not.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy
from scipy.stats import beta

from .probability import ErrorOf, FailureProbability, tally, unknown_note

DRAWS, SEQUENCE = "draws", "sequence"


def two_sided(draws: int, failed: int, confidence: float) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson; everything where there is no draw."""
    tail = (1 - confidence) / 2
    lower = float(beta.ppf(tail, failed, draws - failed + 1)) if failed else 0.0
    return lower, float(beta.ppf(1 - tail, failed + 1, draws - failed)) if draws > failed else 1.0


def at_any_time(draws: int, failed: int, confidence: float) -> tuple[float, float]:
    """An interval such that those after 1, 2, 3, ... draws all hold, with the confidence."""
    if not draws:
        return 0.0, 1.0
    start = betaln(failed + 0.5, draws - failed + 0.5) - betaln(0.5, 0.5) + math.log(1 - confidence)

    def beyond(x: float) -> float:
        """log M_n(x) + log(1 - confidence): positive outside the interval."""
        return float(start - xlogy(failed, x) - xlog1py(draws - failed, -x))

    middle, tiny = failed / draws, np.finfo(float).tiny
    lower = float(brentq(beyond, tiny, middle, xtol=1e-15)) if failed and beyond(tiny) > 0 else 0.0
    last = 1 - np.finfo(float).epsneg
    upper = float(brentq(beyond, middle, last, xtol=1e-15)) if failed < draws and beyond(last) > 0 else 1.0
    return lower, upper


def independent_draws(
    error_of: ErrorOf,
    dimension: int,
    tolerance: float,
    calls: int,
    rng: np.random.Generator,
    confidence: float = 0.95,
    at_any: bool = False,
) -> FailureProbability:
    """By ``calls`` draws; with the same generator a larger number begins with the same ones.

    Args:
        at_any: the interval holds also if ``calls`` was chosen by what fewer of the same draws said.
    """
    errors = error_of(rng.random((calls, dimension)))
    known, failed, unknown = tally(errors, tolerance)
    interval = at_any_time if at_any else two_sided
    lower = interval(calls, failed, confidence)[0]
    upper = interval(calls, failed + unknown, confidence)[1]
    return FailureProbability(
        estimate=failed / known if known else math.nan,
        lower=lower,
        upper=upper,
        confidence=confidence,
        reliable=True,
        method=SEQUENCE if at_any else DRAWS,
        calls=calls,
        failed=failed,
        notes=unknown_note(unknown, calls),
    )
