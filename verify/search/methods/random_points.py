"""``random``: points drawn from the sampling law, one solve each: what every other method is to beat."""

from __future__ import annotations

from .search import Search


def random_points(search: Search) -> None:
    """They find failures, and are not counted as the draws that the probability of failure is told from."""
    confirm, box = search.confirm, search.box
    confirm.check(box.from_law(search.rng.random((confirm.left, box.dimension))), "drawn")
