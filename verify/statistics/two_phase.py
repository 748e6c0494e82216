"""The probability of failure where proved bounds of the error are to be had without a solve.

First, N independent draws: one whose bound is within the tolerance is no failure, at no cost. Of the others a few
("pilots", chosen by their bounds alone) are solved, and tell by what factor bounds exceed errors; from this the chance
q(b) that a draw with the bound b fails is guessed. Then every other one is solved with a probability pi, a share FLOOR
of the calls evenly and the rest in proportion to sqrt(q(b)), which would be best if the guess were right (Neyman 1934).
Each failure counts 1 / (N pi), a pilot 1 / N: the sum is unbiased whatever the bounds and the guess are worth (Horvitz
and Thompson 1952).

The failures that are met are a thinned sample of all draws: each w = 1 / (N pi) times a nearly Poisson number. The
interval is that of Fay and Feuer (1997) for such sums, y = sum w, v = sum w^2, with W the largest weight of any draw
that could have been met:

    lower = v / 2y chi2(2 y^2 / v; tail),    upper = v' / 2y' chi2(2 y'^2 / v'; 1 - tail),    y' = y + W, v' = v + W^2

It is exact for equal weights, where it is Garwood's, and was conservative in every comparison since; no proof is known
of unequal ones. W allows for failures with small bounds, of which no one was met: of a share s of inputs that were
solved n times without a failure no more can be said than that at most 3.7 / n of them fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import chi2
from scipy.stats import t as student

from .independent import two_sided
from .probability import ErrorOf, FailureProbability, tally, unknown_note

TWO_PHASE = "two-phase"
PILOTS = 0.15  # of the calls
FLOOR = 0.3  # of the other calls, spent evenly
TAILS = 4  # degrees of freedom: effectivities far from the usual are not taken for impossible
CHUNK = 1 << 14  # draws at a time
NUMBERS = 1 << 22  # that these hold at most


@dataclass(frozen=True)
class _Open:
    """The draws that no bound decides, each by the chunk and row that it is drawn again from."""

    draws: int
    bounds: Float[np.ndarray, " m"]
    chunks: np.ndarray
    rows: np.ndarray


def two_phase(
    error_of: ErrorOf,
    bound_of: ErrorOf,
    dimension: int,
    tolerance: float,
    calls: int,
    seed: int,
    population: int,
    confidence: float = 0.95,
    progress: Callable[[str, int, int], None] | None = None,
) -> FailureProbability:
    """
    Args:
        bound_of: proved upper bounds of the errors, infinite where there is none; never NaN.
        population: N, how many draws to bound.
        progress: told the stage, how much of it is done, and how much there is.
    """
    found = _scan(bound_of, dimension, tolerance, seed, population, progress)
    count = len(found.bounds)
    if count <= calls:  # every draw is decided, and equal draws have the exact interval
        errors = _errors(error_of, found, np.arange(count), dimension, seed)
        known, failed, unknown = tally(errors, tolerance)
        lower, upper = (two_sided(population, k, confidence)[end] for end, k in enumerate((failed, failed + unknown)))
        notes = (f"{population - count} of {population} draws were decided by a proof", *unknown_note(unknown, count))
        estimate = failed / (population - unknown) if population > unknown else math.nan
        return FailureProbability(estimate, lower, upper, confidence, True, TWO_PHASE, count, failed, notes)
    pilots = _pilots(found.bounds, max(2, int(PILOTS * calls)))
    errors = np.full(count, np.nan)
    errors[pilots] = _errors(error_of, found, pilots, dimension, seed)
    left = np.ones(count, dtype=bool)
    left[pilots] = False
    chance = _probabilities(found.bounds, errors, pilots, left, tolerance, calls - len(pilots))
    chosen = np.flatnonzero(left)[_systematic(chance[left], np.random.default_rng([seed, 12]))]
    if progress is not None:
        progress("solving", len(pilots), calls)
    errors[chosen] = _errors(error_of, found, chosen, dimension, seed)
    met = np.zeros(count, dtype=bool)
    met[pilots] = met[chosen] = True
    weights = 1 / (population * chance)
    failing, missing = met & (errors > tolerance), met & np.isnan(errors)
    largest = float(weights.max())
    lower = poisson_sum(weights[failing], largest, confidence)[0]
    upper = poisson_sum(weights[failing | missing], largest, confidence)[1]
    estimate = float(weights[failing].sum())
    return FailureProbability(
        estimate=estimate,
        lower=lower,
        upper=max(min(upper, 1.0), estimate),
        confidence=confidence,
        reliable=True,
        method=TWO_PHASE,
        calls=int(met.sum()),
        failed=int(failing.sum()),
        notes=(
            f"{population - count} of {population} draws were decided by a proof",
            *unknown_note(int(missing.sum()), int(met.sum())),
        ),
    )


def poisson_sum(weights: Float[np.ndarray, " k"], largest: float, confidence: float) -> tuple[float, float]:
    """The interval of Fay and Feuer for the mean of a weighted sum of Poisson counts, of which these were met."""
    tail = (1 - confidence) / 2
    y, v = float(weights.sum()), float((weights**2).sum())
    lower = v / (2 * y) * float(chi2.ppf(tail, 2 * y**2 / v)) if y > 0 else 0.0
    y, v = y + largest, v + largest**2
    return lower, v / (2 * y) * float(chi2.ppf(1 - tail, 2 * y**2 / v))


def _chunks(dimension: int, seed: int, population: int) -> Iterator[tuple[int, int]]:
    """Numbers of chunks and how many draws each holds."""
    size = max(1, min(CHUNK, NUMBERS // dimension))
    for k, start in enumerate(range(0, population, size)):
        yield k, min(size, population - start)


def _draws(seed: int, chunk: int, count: int, dimension: int) -> Float[np.ndarray, "n d"]:
    return np.random.default_rng([seed, 11, chunk]).random((count, dimension))


def _scan(
    bound_of: ErrorOf,
    dimension: int,
    tolerance: float,
    seed: int,
    population: int,
    progress: Callable[[str, int, int], None] | None,
) -> _Open:
    """All draws, and the open ones among them."""
    bounds, chunks, rows, done = [], [], [], 0
    for k, count in _chunks(dimension, seed, population):
        found = np.asarray(bound_of(_draws(seed, k, count, dimension)), dtype=np.float64)
        undecided = np.flatnonzero(~(found <= tolerance))
        bounds.append(np.nan_to_num(found[undecided], nan=np.inf, posinf=np.inf))
        chunks.append(np.full(len(undecided), k))
        rows.append(undecided)
        done += count
        if progress is not None:
            progress("proving draws", done, population)
    return _Open(population, np.concatenate(bounds), np.concatenate(chunks), np.concatenate(rows))


def _errors(error_of: ErrorOf, found: _Open, chosen: np.ndarray, dimension: int, seed: int) -> Float[np.ndarray, " k"]:
    """Of some of the open draws, drawn again."""
    if not len(chosen):
        return np.zeros(0)
    points = np.empty((len(chosen), dimension))
    for k, count in _chunks(dimension, seed, found.draws):
        mine = found.chunks[chosen] == k
        if mine.any():
            points[mine] = _draws(seed, k, count, dimension)[found.rows[chosen[mine]]]
    return np.asarray(error_of(points), dtype=np.float64)


def _pilots(bounds: Float[np.ndarray, " m"], count: int) -> np.ndarray:
    """One half spread evenly over the ranks of the bounds, the other towards the largest."""
    order, m = np.argsort(-bounds, kind="stable"), len(bounds)
    even = np.linspace(0, m - 1, count - count // 2).astype(int)
    top = np.geomspace(1, m, count // 2).astype(int) - 1
    return order[np.unique(np.concatenate([even, top]))]


def _probabilities(
    bounds: Float[np.ndarray, " m"],
    errors: Float[np.ndarray, " m"],
    pilots: np.ndarray,
    left: Bool[np.ndarray, " m"],
    tolerance: float,
    calls: int,
) -> Float[np.ndarray, " m"]:
    """With what probability each is solved: 1 for the pilots, of the others growing with the bound."""
    chance = np.ones(len(bounds))
    guess = np.sqrt(_failing(bounds, bounds[pilots], errors[pilots], tolerance))[left]
    even = np.full(len(guess), 1 / len(guess))
    share = guess / guess.sum() if guess.sum() > 0 else even
    aim = FLOOR * even + (1 - FLOOR) * share
    scale = float(calls)
    for _ in range(50):  # what would exceed 1 is handed to the others
        capped = np.minimum(aim * scale, 1.0)
        free = capped < 1
        if not free.any() or math.isclose(capped.sum(), calls, rel_tol=1e-9):
            break
        scale *= max((calls - (~free).sum()) / capped[free].sum(), 1.0)
    chance[left] = np.minimum(aim * scale, 1.0)
    return chance


def _failing(
    bounds: Float[np.ndarray, " m"], known: Float[np.ndarray, " k"], errors: Float[np.ndarray, " k"], tolerance: float
) -> Float[np.ndarray, " m"]:
    """The guessed chance of a failure by the bound, from bounds over errors where both are known; growing with it."""
    some = np.isfinite(known) & np.isfinite(errors) & (errors > 0) & (known > 0)
    with np.errstate(divide="ignore"):
        b, limit = np.log(bounds), math.log(tolerance)
    if some.sum() < 3:
        return np.ones(len(bounds))
    factors = np.log(known[some] / errors[some])
    line = np.polyfit(np.log(known[some]), factors, 1) if np.ptp(known[some]) > 0 else np.array([0.0, factors.mean()])
    line[0] = min(line[0], 0.9)  # the error grows with the bound
    line[1] = (factors - line[0] * np.log(known[some])).mean()
    spread = max(float((factors - np.polyval(line, np.log(known[some]))).std()), 0.05)
    finite = np.where(np.isfinite(b), b, 0.0)
    above = (finite - np.polyval(line, finite) - limit) / spread
    return np.where(np.isfinite(b), student.cdf(above, TAILS), 1.0)


def _systematic(chance: Float[np.ndarray, " m"], rng: np.random.Generator) -> np.ndarray:
    """Rows, each with its probability; how many is fixed but for the last."""
    order = rng.permutation(len(chance))
    sums = np.cumsum(chance[order])
    ticks = np.arange(rng.random(), sums[-1], 1.0)
    return np.sort(order[np.unique(np.searchsorted(sums, ticks, side="right").clip(max=len(chance) - 1))])
