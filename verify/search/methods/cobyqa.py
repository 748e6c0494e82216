"""``cobyqa``: a trust region with quadratic models of the true error that no slope is needed for (Ragonneau and Zhang
2024; SciPy), from many starts."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from .search import Search
from .true_error import Spent, TrueError

HOW = "climbed the true error by quadratic models"
RADIUS, LEAST = 0.25, 1e-3  # of the trust region, of the box: first and last
MANY = 10**6  # evaluations, which the budget ends before


def cobyqa(search: Search) -> None:
    """One run after another, from points that are uniform in the box."""
    while search.goes_on():
        model_ascent(search, search.rng.random(search.box.dimension))


def model_ascent(search: Search, x: Float[np.ndarray, " d"], radius: float = RADIUS, limit: float = np.inf) -> None:
    """One run from x, of at most ``limit`` calls."""
    truth = TrueError(search, HOW)
    truth.limit = limit
    options = {"initial_tr_radius": radius, "final_tr_radius": LEAST, "maxfev": MANY, "maxiter": MANY}
    with suppress(Spent):
        minimize(lambda x: -truth(x), np.clip(x, 0, 1), method="COBYQA", bounds=[(0, 1)] * len(x), options=options)
