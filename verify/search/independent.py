"""The independent draws beside a search, the only ones that enter its statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..statistics.draws import Draws
from .confirmation import Confirmation
from .signal import BROKEN, Signal


class IndependentDraws:
    """Draws P from the sampling law, each decided by a proof, or by one of ``solves`` solves, once: some before the
    search and the rest after it, for all are drawn before either. Their calls come on top of the search's budget.
    """

    def __init__(
        self,
        confirm: Confirmation,
        signal: Signal,
        P: Float[np.ndarray, "n d"],
        report: Callable[[str, int, int], None],
    ) -> None:
        self._confirm = confirm
        upper = np.full(len(P), np.inf)
        if signal.proved is not None:
            for i in range(0, len(P), 512):
                upper[i : i + 512] = signal.proved(P[i : i + 512])
                report("proving draws", min(i + 512, len(P)), len(P))
        proved = (upper <= confirm.allowed.relative) & (upper < BROKEN)
        self._proved, self._open = int(proved.sum()), P[~proved]
        self._solved = self._failed = self._unsolved = 0

    @property
    def solves(self) -> int:
        """Calls that they cost."""
        return len(self._open)

    def solve(self, most: int | None = None) -> Draws:
        """Solve those that are left, or so many of them; what all so far say."""
        confirm, end = self._confirm, self.solves if most is None else min(self._solved + most, self.solves)
        before, count = confirm.failed_solves, end - self._solved
        confirm.budget += count
        errors = confirm.check(self._open[self._solved : end], "independent draw")
        unsolved = confirm.failed_solves - before
        # an error that is no number is no success
        self._failed += count - unsolved - int((errors <= confirm.allowed.relative).sum())
        self._solved, self._unsolved = end, self._unsolved + unsolved
        return Draws(self._proved + end - self._unsolved, self._failed, self._proved, self._unsolved)
