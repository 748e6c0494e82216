"""``signal``: the distinct peaks of what costs no solve, confirmed, the highest first, and nothing else."""

from __future__ import annotations

from .search import Search
from .standard_v1 import confirm_peaks


def signal_alone(search: Search) -> None:
    """As many peaks as there are, or as the budget reaches; the rest of it is not spent."""
    confirm_peaks(search, search.confirm.left)
    if search.confirm.left:
        search.notes.append(f"{search.confirm.left} solver calls of the budget were not spent: there is no other peak")
