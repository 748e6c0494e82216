"""``standard-v1``: the signal first, its distinct peaks confirmed by solves, then the true error.

Fixed and versioned, without anything to tune: what it finds is comparable. Where the signal is a proved bound, points
whose bound is within the tolerance cost nothing; where there is no signal, or none that is finite, all of the budget
goes to the true error."""

from __future__ import annotations

from ..peaks import find_peaks
from ..signal import BROKEN
from .evolution import climb_truth
from .search import Search


def standard_v1(search: Search) -> None:
    """Spend the budget on the peaks of the signal, and what is left on the true error."""
    confirm, signal, box, notes = search.confirm, search.signal, search.box, search.notes
    if signal.kind == "none":
        climb_truth(search)
        notes.append("no residual and no bound to climb: the true error itself was climbed, one solve a point")
        return
    peaks = find_peaks(signal, box, search.seed, search.starts, search.report)
    search.evaluations += peaks.evaluations
    points = peaks.points
    if signal.kind == "bound":  # a proved bound within the tolerance excludes a point at no cost
        points = points[~(peaks.values <= confirm.allowed.relative)]
    confirm.check(box.from_unit(points), f"climbed the {signal.kind}")
    blind = bool((peaks.values >= BROKEN).all())
    if blind and confirm.left:
        notes.append(
            f"no finite {signal.kind} to climb was found: the true error itself was climbed, one solve a point"
        )
    if blind or signal.kind != "bound":
        climb_truth(search)
    if not len(points):
        confirm.check(box.from_unit(peaks.points[:3]), f"climbed the {signal.kind}")
    if confirm.left:
        notes.append(
            f"{confirm.left} solver calls of the budget were not spent: no other peak of the {signal.kind} lies above "
            "the tolerance"
        )
