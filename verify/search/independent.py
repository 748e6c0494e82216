"""The independent draws beside a search, the only ones that enter its statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ..statistics.draws import Draws
from .confirmation import Confirmation
from .signal import BROKEN, Signal


class IndependentDraws:
    """Draws P from the sampling law, each decided by a proof, or by one of ``solves`` solves, once: before the search
    or after it, for they are drawn before either. Their calls come on top of the search's budget.
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
        self._proved = (upper <= confirm.allowed.relative) & (upper < BROKEN)
        self._open = P[~self._proved]
        self._result: Draws | None = None

    @property
    def solves(self) -> int:
        """Calls that they cost."""
        return len(self._open)

    def solve(self) -> Draws:
        """What they say; a second time nothing is solved."""
        if self._result is None:
            self._result = self._solved()
        return self._result

    def _solved(self) -> Draws:
        confirm, tolerance = self._confirm, self._confirm.allowed.relative
        before = confirm.failed_solves
        confirm.budget += self.solves
        errors = confirm.check(self._open, "independent draw")
        unsolved = confirm.failed_solves - before
        # an error that is no number is no success
        failed = len(errors) - unsolved - int((errors <= tolerance).sum())
        return Draws(len(self._proved) - unsolved, failed, int(self._proved.sum()), unsolved)
