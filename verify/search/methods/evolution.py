"""An evolution strategy on the true error, one solve a point: half of what is left explores, half climbs the best."""

from __future__ import annotations

import numpy as np

from .search import Search


def climb_truth(search: Search) -> None:
    """Mutations of the worst point known, four at a time, of a step that grows on success and shrinks on failure."""
    confirm, box, rng = search.confirm, search.box, search.rng
    if not confirm.left:
        return
    X = rng.random((max(confirm.left // 2, 1), box.dimension))
    errors = confirm.check(box.from_unit(X), "explored")
    best = box.to_unit(confirm.worst_inputs) if confirm.worst > 0 else X[0]
    top, step = confirm.worst, 0.2
    while confirm.left and len(errors):
        x = np.clip(best + step * rng.standard_normal((4, box.dimension)), 0, 1)
        errors = confirm.check(box.from_unit(x), "climbed the true error")
        if confirm.worst > top:
            top, best, step = confirm.worst, box.to_unit(confirm.worst_inputs), min(step * 1.5, 0.5)
        else:
            step = max(step * 0.7, 1e-4)
