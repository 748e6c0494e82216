"""A network tried alone: trained on some of the rows, judged at the others, every few steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ...baselines.regression import Regression
from ...training.dull import Split
from ...training.optimisers import RATE, first_order, lbfgs
from .energy_loss import Rows

EVERY = 50  # steps
PATIENCE = 4  # looks without a new best


class Trial(NamedTuple):
    """Relative errors of left-out rows after every ``EVERY`` steps, and their root mean squares."""

    rows: list[Float[np.ndarray, " h"]]
    errors: list[float]

    @property
    def best(self) -> Float[np.ndarray, " h"] | None:
        """Those of the least root mean square; None where there was no step."""
        return self.rows[int(np.argmin(self.errors))] if self.errors else None

    @property
    def last(self) -> int | None:
        """The step to stop after; None where the error was still falling in the end."""
        best = int(np.argmin(self.errors)) if self.errors else 0
        return None if best + 1 == len(self.errors) else EVERY * (best + 1)

    def after(self, steps: int) -> Float[np.ndarray, " h"] | None:
        """Of a network trained for so many steps, or for all; None where there was no step."""
        at = min(max(1, steps // EVERY), len(self.rows))
        return self.rows[at - 1] if at else None


def tried(
    loss: Callable[[Any, Rows], Any],
    weights: Any,
    rows: Rows,
    answer: Callable[[Any], Float[np.ndarray, "h k"]],
    r: Regression,
    split: Split,
    steps: int,
) -> Trial:
    """Train on rows of which those left out count nothing.

    Args:
        answer: weights -> targets at the rows left out.
        steps: at most; fewer where the error has risen for a while. The clock has no say: whether a run is resumed, and
            how long it may take, changes nothing in what it ends with.
    """
    left: list[Float[np.ndarray, " h"]] = []
    errors: list[float] = []
    for end, (begin, advance) in ((EVERY, first_order("adam", loss, EVERY, RATE)), (steps, lbfgs(loss))):
        state = begin(weights)
        while EVERY * len(errors) < end:
            state, value = advance(state, rows, EVERY)
            said = answer(state[0])
            error = r.error(said, split.held)
            if not np.isfinite(float(value)) or not np.isfinite(error):
                return Trial(left, errors)
            errors.append(error)
            left.append(r.each_error(said, split.held))
            if len(errors) - 1 - int(np.argmin(errors)) >= PATIENCE:
                return Trial(left, errors)
        weights = state[0]
    return Trial(left, errors)
