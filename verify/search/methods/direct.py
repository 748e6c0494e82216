"""``direct``: boxes are divided where the true error is large or little is known (Jones, Perttunen, Stuckman 1993;
Gablonsky and Kelley 2001 for its bias; SciPy). Nothing in it is random."""

from __future__ import annotations

from contextlib import suppress

from scipy.optimize import direct

from .search import Search
from .true_error import Spent, TrueError

HOW = "divided boxes by the true error"
MANY = 10**6


def direct_boxes(search: Search) -> None:
    """One run, until the solves are spent or the boxes are as small as float64 has them."""
    truth = TrueError(search, HOW)
    with suppress(Spent):
        direct(
            lambda x: -truth(x), [(0, 1)] * search.box.dimension, maxfun=search.confirm.left + 1, maxiter=MANY,
            vol_tol=0, len_tol=0,
        )  # fmt: skip
