"""What can be searched for without a solver: where the surrogate breaks a relation that solutions fulfil."""

from __future__ import annotations

from ....solvers.problems.dataset import DatasetProblem
from ..peaks import find_peaks
from ..relation import broken_relation
from .search import Search


def search_without_solver(search: Search) -> None:
    """The largest residual of the surrogate's answers, where data come with a residual; nothing is confirmed."""
    confirm, box, signal = search.confirm, search.box, search.signal
    assert isinstance(confirm.problem, DatasetProblem)
    search.notes.append("there is no solver: nothing is known of errors at other inputs than those of the data")
    points = box.centre[None]
    if signal.kind == "residual":
        peaks = find_peaks(signal, box, search.seed, search.starts, search.report)
        search.evaluations += peaks.evaluations
        points = box.from_unit(peaks.points)
    search.notes += broken_relation(confirm.problem, confirm.model, points)
