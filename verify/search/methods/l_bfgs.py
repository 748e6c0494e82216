"""``l-bfgs``: quasi-Newton ascent of the true error through the solver's derivatives, from many starts.

L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995) on the logarithm of the error in unit coordinates; a point costs a solve and its
adjoint, two calls."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from .search import Search
from .true_error import Spent, TrueError

HOW = "climbed the true error by its slope"
ITERATIONS = 60  # of one run
ENOUGH = 1e-4  # growth of the error, relative, in a step: less is a summit
FAR = 10.0  # below the start, in logarithms: where nothing is known


def l_bfgs(search: Search) -> None:
    """One run after another, from points that are uniform in the box."""
    while search.goes_on():
        ascend(search, search.rng.random(search.box.dimension))


def ascend(search: Search, x: Float[np.ndarray, " d"], limit: float = np.inf) -> bool:
    """One run from x, of at most ``limit`` calls; whether there was a slope at all."""
    truth = TrueError(search, HOW)
    truth.limit = limit
    slopes, first = [0], [np.nan]

    def downhill(x: np.ndarray) -> tuple[float, np.ndarray]:
        height, slope = truth.with_slope(x)
        if not np.isfinite(slope).all():
            if np.isnan(first[0]):  # at the start: there is nowhere to go
                raise Spent
            return FAR - first[0], np.zeros_like(x)
        slopes[0] += 1
        first[0] = height if np.isnan(first[0]) else first[0]
        return -height, -slope

    options = {"maxiter": ITERATIONS, "maxfun": 4 * ITERATIONS, "ftol": ENOUGH, "gtol": ENOUGH}
    with suppress(Spent):
        start, box = np.clip(x, 0, 1), [(0, 1)] * len(x)
        minimize(downhill, start, jac=True, method="L-BFGS-B", bounds=box, options=options)
    return slopes[0] > 0
