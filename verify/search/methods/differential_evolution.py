"""``differential-evolution``: points move by differences of others (Storn and Price 1997; SciPy), with restarts."""

from __future__ import annotations

from contextlib import suppress

from scipy.optimize import differential_evolution

from .search import Search
from .true_error import Spent, TrueError

HOW = "climbed the true error by differences"
FEWEST, GENERATIONS = 8, 10  # of the population; what the budget is to suffice for
MANY = 10**6


def differences(search: Search) -> None:
    """Runs from uniform populations, until the solves are spent."""
    truth, d = TrueError(search, HOW), search.box.dimension
    with suppress(Spent):
        while search.confirm.left:
            size = min(max(search.confirm.left // GENERATIONS, FEWEST), 15 * d)
            differential_evolution(
                lambda X: -truth.heights(X.T), [(0, 1)] * d, init=search.rng.random((size, d)), maxiter=MANY,
                vectorized=True, updating="deferred", polish=False, rng=search.rng,
            )  # fmt: skip
