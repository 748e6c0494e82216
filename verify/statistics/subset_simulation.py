"""The probability of failure by subset simulation: a rare event as a chain of frequent ones (Au and Beck 2001).

With levels l_1 < l_2 < ... < tolerance of the error, each exceeded by about a tenth of the draws that exceed the one
before, P(error > tolerance) is the product of the shares. Draws beyond a level are made by Markov chains that start at
those already there: in standard normals x' = rho x + sqrt(1 - rho^2) z, kept where it is beyond the level (Papaioannou,
Betz, Zwirglmaier and Straub 2015); rho is adapted until 44 % are kept.

Chains are correlated and may never see a part of the failures: the usual formulas for the spread know nothing of it.
So the whole is done ``RUNS`` times, independently, and the interval is Student's for the mean of the runs, by its
logarithm. It is not reliable, and says so, where a run never reached a failure, where runs differ much (they may have
found different parts), where chains hardly moved, or where the draws of the first level, which are independent,
contradict it. What all runs miss alike nothing here can see: no proof, and no replacement for ``independent.py``.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr
from scipy.stats import t as student

from .independent import two_sided
from .probability import ErrorOf, FailureProbability, unknown_note

SUBSET = "subset simulation"
RUNS = 10
LEVELS = 6  # that the calls are to suffice for
SHARE = 0.1
KEPT = 0.44  # of the proposals
SPREAD = 0.9  # of the runs, relative to their mean: beyond, the mean of few is not near normal
CORRELATED = 3.0  # times the variance that independent draws at each level would have: what runs have at least
STUCK = 0.1  # kept at least
LEAST = 50  # draws a level
WIDER = 1.25  # the runs' law is skewed, of which Student's interval knows nothing


class _Run:
    """One run; ``estimate`` is zero where no failure was reached."""

    def __init__(
        self, error_of: ErrorOf, dimension: int, tolerance: float, size: int, calls: int, rng: np.random.Generator
    ) -> None:
        self._ask, self._d, self._tolerance, self._rng = error_of, dimension, tolerance, rng
        self.calls = self.failed = self.unknown = 0
        self.kept, self.estimate, self.reached = 1.0, 0.0, False
        x = rng.standard_normal((size, dimension))
        e = self._errors(x)
        self.first, self.first_failed = size, int((e > tolerance).sum())
        chance, starts, step = 1.0, max(2, int(SHARE * size)), 0.6
        while True:
            level = float(np.sort(e)[-starts])
            failed = e > tolerance
            if failed.sum() >= starts or level >= tolerance:
                self.estimate, self.reached = chance * float(failed.mean()), True
                return
            beyond = np.flatnonzero(e > level)
            if not len(beyond) or self.calls + size > calls:
                self.estimate, self.reached = chance * float(failed.mean()), bool(failed.any())
                return
            chance *= len(beyond) / len(e)
            x, e, step = self._chains(x[beyond], e[beyond], level, size, step)

    def _errors(self, x: np.ndarray) -> np.ndarray:
        found = np.asarray(self._ask(ndtr(x)), dtype=np.float64)
        self.calls += len(x)
        self.failed += int((found > self._tolerance).sum())
        self.unknown += int(np.isnan(found).sum())
        return np.where(np.isnan(found), -np.inf, found)

    def _chains(
        self, x: np.ndarray, e: np.ndarray, level: float, size: int, step: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """About ``size`` draws beyond the level, by chains from these."""
        points, errors, kept = [x], [e], []
        for _ in range(max(1, round(size / len(x)) - 1)):
            proposed = math.sqrt(1 - step**2) * x + step * self._rng.standard_normal(x.shape)
            there = self._errors(proposed)
            good = there > level
            x, e = np.where(good[:, None], proposed, x), np.where(good, there, e)
            points.append(x)
            errors.append(e)
            kept.append(float(good.mean()))
            step = float(np.clip(step * math.exp((kept[-1] - KEPT) / math.sqrt(len(kept))), 0.02, 1.0))
        self.kept = min(self.kept, float(np.mean(kept)))
        return np.concatenate(points), np.concatenate(errors), step


def subset_simulation(
    error_of: ErrorOf,
    dimension: int,
    tolerance: float,
    calls: int,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> FailureProbability:
    """
    Raises:
        ValueError: too few calls for ``RUNS`` runs.
    """
    size = calls // (RUNS * LEVELS)
    if size < LEAST:
        raise ValueError(f"subset simulation takes {RUNS * LEVELS * LEAST} calls or more, not {calls}")
    runs = [_Run(error_of, dimension, tolerance, size, calls // RUNS, child) for child in rng.spawn(RUNS)]
    found = np.array([run.estimate for run in runs])
    mean, spread = float(found.mean()), float(found.std(ddof=1))
    first, failed = sum(run.first for run in runs), sum(run.first_failed for run in runs)
    plain = two_sided(first, failed, 1 - (1 - confidence) / 10)
    relative = spread / mean if mean > 0 else math.inf
    expected = _expected(mean, size)
    half = WIDER * float(student.ppf((1 + confidence) / 2, RUNS - 1)) * max(relative, expected) / math.sqrt(RUNS)
    lower, upper = (mean * math.exp(-half), min(mean * math.exp(half), 1.0)) if mean > 0 else (0.0, plain[1])
    doubts = _doubts(runs, relative, expected, (lower, upper), plain)
    unknown = sum(run.unknown for run in runs)
    if unknown:
        doubts.append("inputs without a solution were passed over")
    spent = sum(run.calls for run in runs)
    return FailureProbability(
        estimate=mean,
        lower=0.0 if doubts else lower,
        upper=max(plain[1], upper) if doubts else upper,
        confidence=confidence,
        reliable=not doubts,
        method=SUBSET,
        calls=spent,
        failed=sum(run.failed for run in runs),
        notes=(*(f"not reliable: {why}" for why in doubts), *unknown_note(unknown, spent)),
    )


def _expected(probability: float, size: int) -> float:
    """How much runs differ at least, relative to their mean: few that agree by chance are no better."""
    levels = max(math.log(probability) / math.log(SHARE), 1.0) if probability > 0 else math.inf
    return math.sqrt(CORRELATED * levels * (1 - SHARE) / (SHARE * size))


def _doubts(
    runs: list[_Run], relative: float, expected: float, interval: tuple[float, float], plain: tuple[float, float]
) -> list[str]:
    found: Float[np.ndarray, " runs"] = np.array([run.estimate for run in runs])
    doubts = []
    unreached = sum(not run.reached for run in runs)
    if unreached:
        doubts.append(f"{unreached} of {len(runs)} runs reached no failure, or not enough of them")
    if found.max() > 0 and expected > SPREAD:
        doubts.append("so rare a failure takes more calls")
    elif found.max() > 0 and relative > SPREAD:
        doubts.append(f"the runs differ by {relative:.2g} of their mean: each may have seen a part of the failures")
    if min(run.kept for run in runs) < STUCK:
        doubts.append("the chains hardly moved")
    if interval[1] < plain[0] or interval[0] > plain[1]:
        doubts.append("the independent draws among its own contradict it")
    return doubts
