"""The largest threshold of a signal below which answers may be accepted, by draws whose errors are known.

An answer is accepted where its signal is at most t. Let r(t) be the share of failures *among accepted answers*, over
the law of the inputs. Given which of n independent draws are accepted, m of them, the failures k among these are
Binomial(m, r(t)): draws are independent of each other, and t is fixed before the errors are looked at. So
P(Binomial(m, a) <= k) is a p-value of the hypothesis r(t) > a, exactly, whatever the signal is worth (Clopper and
Pearson 1934). A threshold qualifies where it is rejected.

Several thresholds are tested in a sequence that is fixed beforehand, from the smallest up, each at the level d/2 for as
long as all before it were rejected; "accept all" comes last, at d/2 of its own and, if all before it were rejected,
theirs as well. The probability that any hypothesis that is true is rejected is at most d = 1 - confidence (the fallback
procedure, Wiens and Dmitrienko 2005, for p-values however dependent; in use for calibration as "Learn then Test",
Angelopoulos, Bates, Candes, Jordan and Lei 2021). Hence, with the confidence asked for, r is at most a at the largest
threshold that qualified. Proof: if "accept all" is true and no other, its level is at most d. If t is the first true
one of the others, it is tested at no more than d/2, and no later one unless it was rejected; "accept all" gets d/2
of its own, or more only if t was rejected. Both together: at most d/2 + d/2.

Hypotheses: the draws are independent and from the law of later inputs; thresholds are a function of other draws alone;
the surrogate and what trained it never saw these draws. Nothing is said of single answers or of another law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

STEPS = 12  # thresholds that are tested
LIKELY = 1.65  # standard deviations: enough of the draws will be accepted by the first, nearly always


@dataclass(frozen=True)
class Choice:
    """What qualified: -inf where nothing did, inf where all answers may be accepted. ``failed`` of the ``accepted``
    draws failed.
    """

    threshold: float
    accepted: int = 0
    failed: int = 0


def least_draws(miscoverage: float, level: float) -> int:
    """The fewest accepted draws, none of which fails, that reject: (1 - miscoverage)^n <= level."""
    n = max(1, math.floor(math.log(level) / math.log1p(-miscoverage)) - 1)
    while binom.cdf(0, n, miscoverage) > level:
        n += 1
    return n


def p_value(accepted: int, failed: int, miscoverage: float) -> float:
    """Of the hypothesis that the share of failures is larger than the miscoverage."""
    return float(binom.cdf(failed, accepted, miscoverage)) if accepted else 1.0


def shares(draws: int, miscoverage: float, confidence: float) -> Float[np.ndarray, " k"]:
    """What shares of the inputs the thresholds to be tested accept; none where there are too few draws for any but
    "accept all".
    """
    least = least_draws(miscoverage, (1 - confidence) / 2)
    first = (least + LIKELY * math.sqrt(least)) / max(draws, 1)
    return np.linspace(first, 1, STEPS)[:-1] if first < 1 else np.zeros(0)


def choose(
    signals: Float[np.ndarray, " m"],
    failed: Bool[np.ndarray, " m"],
    all_failed: Bool[np.ndarray, " n"],
    thresholds: Float[np.ndarray, " k"],
    miscoverage: float,
    confidence: float,
) -> Choice:
    """The largest threshold that qualifies.

    Args:
        signals, failed: of the draws by which thresholds are tested.
        all_failed: of the draws by which "accept all" is: these, and more.
        thresholds: increasing, fixed without these draws.
    """
    level = 1 - confidence
    own = level / 2 if len(thresholds) else level
    passed_on = level - own
    best = Choice(-math.inf)
    for t in thresholds:
        below = signals <= t
        m, k = int(below.sum()), int((failed & below).sum())
        if p_value(m, k, miscoverage) > passed_on:
            passed_on = 0.0
            break
        best = Choice(float(t), m, k)
    n, k = len(all_failed), int(all_failed.sum())
    if p_value(n, k, miscoverage) <= own + passed_on:
        return Choice(math.inf, n, k)
    return best


def qualified(
    signals: Float[np.ndarray, " n"],
    failed: Bool[np.ndarray, " n"],
    answered: Bool[np.ndarray, " n"],
    free: Float[np.ndarray, " m"],
    trained: int,
    miscoverage: float,
    confidence: float,
) -> Choice:
    """``choose`` by draws, with thresholds placed by others.

    Args:
        signals, failed, answered: of the draws; one that was not answered is never accepted, and tests nothing.
        free: the signals at other draws, that place the thresholds.
        trained: of the first so many draws the signal itself was made: these test "accept all" alone.
    """
    levels = shares(len(signals) - trained, miscoverage, confidence)
    varied = len(levels) and np.ptp(free) > 0
    placed = np.unique(np.quantile(free, levels, method="higher")) if varied else np.zeros(0)
    test = np.flatnonzero(answered[trained:]) + trained
    return choose(signals[test], failed[test], failed[answered], placed, miscoverage, confidence)
