"""The true error as minimisers of somebody else's ask for it: one solve a point, none twice, and an end.

What they are told are heights, logarithms of errors, to be made large: an error is a matter of its order of magnitude.
A solve that failed says nothing; it counts as the least height known, so that nobody climbs to it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .search import Search

SMALLEST, LARGEST = 1e-12, 1e12  # errors beyond count as these
REPEATS = 1000  # points in a row that were asked before: a minimiser that goes on asking will never end


class Spent(Exception):
    """The solves are spent, or a minimiser asks for nothing new: the way out of it."""


class TrueError:
    """``error(x)``, its heights at unit coordinates; ``how`` stands in the records."""

    def __init__(self, search: Search, how: str) -> None:
        self.search, self.how = search, how
        self.confirm, self.box = search.confirm, search.box
        self.calls = self.confirm.calls  # when it began
        self.limit = np.inf  # of calls for this one
        self._repeats = 0

    @property
    def left(self) -> int:
        """Calls that may be spent."""
        return int(min(self.confirm.left, self.limit - (self.confirm.calls - self.calls)))

    def __call__(self, x: Float[np.ndarray, " d"]) -> float:
        """
        Raises:
            Spent: nothing is left for a point that was not asked before.
        """
        return float(self.heights(np.asarray(x)[None])[0])

    def heights(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """All of them, new ones in one batch.

        Raises:
            Spent: not all could be solved; those that could were.
        """
        P = self.box.from_unit(np.clip(X, 0, 1))
        fresh = {p.tobytes(): p for p in P if p.tobytes() not in self.confirm.known}
        self._repeats = 0 if fresh else self._repeats + len(P)
        if self._repeats > REPEATS:
            raise Spent
        if fresh:
            self.confirm.check(np.stack(list(fresh.values()))[: self.left], self.how)
        errors = np.array([self.confirm.known.get(p.tobytes(), np.nan) for p in P])
        if any(key not in self.confirm.known for key in fresh):
            raise Spent
        return self.of(errors)

    def of(self, errors: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Heights of errors."""
        with np.errstate(invalid="ignore"):
            heights = np.log(np.clip(errors, SMALLEST, LARGEST))
        return np.where(np.isnan(heights), self.least, heights)

    @property
    def least(self) -> float:
        """The least height known: that of what is not known."""
        errors = np.array(list(self.confirm.known.values()))
        known = errors[~np.isnan(errors)]
        return float(np.log(np.clip(known.min(), SMALLEST, LARGEST))) if len(known) else float(np.log(SMALLEST))

    def with_slope(self, x: Float[np.ndarray, " d"]) -> tuple[float, Float[np.ndarray, " d"]]:
        """Height and slope, at the cost of two calls; a slope of NaN where there is none.

        Raises:
            Spent: fewer are left; the last one is spent on the height.
        """
        p = self.box.from_unit(np.clip(x, 0, 1))
        if self.left < 2 and p.tobytes() not in self.confirm.slopes:
            if self.left:
                self(x)
            raise Spent
        error, slope = self.confirm.check_slope(p, self.how)
        return float(self.of(np.array([error]))[0]), slope

    def best(self, apart: float = 0.0, count: int = 1) -> Float[np.ndarray, "k d"]:
        """The highest points known, in unit coordinates, no two of them within ``apart`` in any coordinate."""
        errors = np.array(self.confirm.errors)
        kept: list[np.ndarray] = []
        for i in np.argsort(-np.where(np.isnan(errors), -1.0, errors), kind="stable"):
            if np.isnan(errors[i]) or len(kept) == count:
                break
            x = self.box.to_unit(self.confirm.asked[i])
            if all(np.abs(x - other).max() > apart for other in kept):
                kept.append(x)
        return np.array(kept).reshape(-1, self.box.dimension)
