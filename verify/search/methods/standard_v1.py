"""``standard-v1``: the signals first, their distinct peaks confirmed by solves, then the true error.

Fixed and versioned, without anything to tune: what it finds is comparable. Where the signal is a proved bound, points
whose bound is within the tolerance cost nothing, and the search ends where all peaks are; where bounds are infinite, or
far above what is estimated, or there are none, the peaks of other signals come first, and the highest of each is looked
at before any is given up. Then the true error is climbed from the best points known: by its slope where the solver has
derivatives, but never by that alone, for a failure may stand on a plateau or behind a kink.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..peaks import find_peaks
from ..signal import BROKEN, Signal
from .cma_es import evolve
from .gaussian_process import promises
from .l_bfgs import ascend
from .search import Search
from .true_error import TrueError

SHARE = 3  # one call in so many for the peaks of signals, at least ``FEW``
FEW = 4
SHARP = 2.0  # times what is estimated: a bound above that says where bounds are worst, not errors
APART = 0.05  # of the box: nearer points are one start
WIDTH = 0.15  # of a population around a known point
FREE = 2  # calls by slopes for each without, and those after a run that raised the worst error by this share:
GAIN = 0.01
WORTH = 16  # calls left, at least, for slopes: they have to be compiled
FIRST, OF_EACH = 2, 10  # without any signal a Gaussian process has one call in ``FIRST``, ``OF_EACH`` an input at most
EVOLVES = 4  # calls left an input, at least, for a turn of evolution


def standard_v1(search: Search) -> None:
    """Spend the budget on the peaks of the signals, and what is left on the true error."""
    confirm = search.confirm
    if confirm.left and confirm_peaks(search, max(confirm.left // SHARE, min(confirm.left, FEW))):
        climb_truth(search)
        return
    if confirm.left:
        search.notes.append(
            f"{confirm.left} solver calls of the budget were not spent: no peak of the {search.signal.kind} lies above "
            "the tolerance"
        )


def confirm_peaks(search: Search, most: int) -> bool:
    """Solve at the signals' highest peaks; whether errors above the tolerance are possible elsewhere."""
    confirm, signal, box = search.confirm, search.signal, search.box
    ranked: list[list[tuple[np.ndarray, str]]] = []
    known = False
    if signal.kind != "none":
        points, values = _peaks(search, signal)
        if signal.kind == "bound":  # a proved bound within the tolerance excludes a point at no cost
            above = ~(values <= confirm.allowed.relative)
            if not above.any():
                confirm.check(box.from_unit(points[:3])[:most], f"climbed the {signal.kind}")
                return False
            known = bool((values < BROKEN).all()) and sharp(search, points, values)
            # infinite bounds are alike: where errors can be estimated, these tell which is worse
            points = points[above & (values < BROKEN)] if search.others else points[above]
        ranked.append([(x, signal.kind) for x in points])
        if (values >= BROKEN).all():
            search.notes.append(f"no finite {signal.kind} to climb was found")
    for other in () if known else search.others:
        ranked.append([(x, other.kind) for x in _peaks(search, other)[0]])
    if not ranked:
        search.notes.append("no residual and no bound to climb: the true error itself was climbed, one solve a point")
    most = max(most, min(confirm.left, len(ranked)))  # the highest of each, whatever the others promise
    chosen, some = _in_turn(ranked)[:most], max(most // SHARE, FEW, len(ranked))
    for i in range(0, len(chosen), some):
        before, few = confirm.worst, chosen[i : i + some]
        confirm.check(box.from_unit(np.stack([x for x, _ in few])), [f"climbed the {kind}" for _, kind in few])
        if confirm.worst <= before:  # the highest come first: those that follow say less
            break
    return True


def sharp(search: Search, points: Float[np.ndarray, "m d"], bounds: Float[np.ndarray, " m"]) -> bool:
    """Whether the highest bound is about the error there, as far as that can be estimated: then nothing tells more."""
    estimates = [other for other in search.others if other.kind == "estimate"]
    search.evaluations += len(estimates)
    found = [float(e.values(search.box.from_unit(points[:1]))[0]) for e in estimates]
    return all(e < BROKEN and bounds[0] <= SHARP * e for e in found)


def _peaks(search: Search, signal: Signal) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"]]:
    peaks = find_peaks(signal, search.box, search.seed, search.starts, search.report)
    search.evaluations += peaks.evaluations
    return peaks.points, peaks.values


def _in_turn(ranked: list[list[tuple[np.ndarray, str]]]) -> list[tuple[np.ndarray, str]]:
    """The best of each list, the last list's first, then the second of each, but for what is close to one before."""
    kept: list[tuple[np.ndarray, str]] = []
    for i in range(max(map(len, ranked), default=0)):
        for points in ranked[::-1]:
            if i < len(points) and all(np.abs(points[i][0] - x).max() > APART for x, _ in kept):
                kept.append(points[i])
    return kept


def climb_truth(search: Search) -> None:
    """Turn after turn until the solves are spent: by slopes from the best points known, where there are slopes, by
    promises of a Gaussian process of the error field, by evolution from the worst point known.
    """
    confirm, rng, d = search.confirm, search.rng, search.box.dimension
    truth = TrueError(search, "explored")
    slopes = confirm.slope.exists and confirm.left >= WORTH
    begun = confirm.calls
    blind = search.signal.kind == "none" and not search.others
    if blind:
        promises(search, min(confirm.left // FIRST, OF_EACH * d) if slopes else 2 * d)
    starts = list(truth.best(APART, len(confirm.errors)))
    by_slope, free, failed, turn, run, gained = 0, confirm.calls - begun, 0, 0, 0, False
    while search.goes_on():
        before, worst = confirm.calls, confirm.worst
        if slopes and failed < 3 and (by_slope <= FREE * free or gained):
            run += 1  # from the best points known, and every third time from anywhere: peaks may lie in one basin
            x = starts.pop(0) if starts and run % 3 else rng.random(d)
            failed = 0 if ascend(search, x) else failed + 1
            by_slope += confirm.calls - before
            gained = not blind and confirm.worst > (1 + GAIN) * worst
            continue
        turn, gained = turn + 1, False
        if turn % 4 or confirm.left < EVOLVES * d:
            promises(search, 2 * d)
        else:
            evolve(search, truth.best()[0] if len(truth.best()) else rng.random(d), WIDTH, limit=2 * d)
        free += confirm.calls - before
