"""Shrinking: the simplest input that still fails, each step confirmed by a solve.

In this order: as few inputs as possible differ from the nominal one, those that do lie as near to it as possible, and
are round numbers. The first is delta debugging (Zeller and Hildebrandt 2002): groups of inputs are put back, halved
where the failure goes away with them. What is not solved is not believed: failures need not form a convex set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.box import Box
from .confirmation import Confirmation
from .counterexample import Counterexample

CALLS = 100  # solver calls for the shrinking of one search
HALVINGS = 5  # along the way to the nominal input, of all inputs together
EACH = 3  # and of each by itself
DIGITS = (1, 2, 3)  # of a round number
FURTHER = 1.1  # times as far from nominal as before may a round number be
Proved = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]


def checked_nominal(box: Box, nominal: Any) -> Float[np.ndarray, " d"]:
    """The input that failures are brought near to: the centre of the box unless said.

    Raises:
        ValueError: not an input of the box.
    """
    return box.centre if nominal is None else box.check(np.asarray(nominal, dtype=np.float64).reshape(1, -1))[0]


class Shrinking:
    """Simplifies failures at the cost of ``confirm``'s budget.

    ``proved``: upper bounds of errors, where there are any: what is proved to be within the tolerance is not solved.
    """

    def __init__(self, confirm: Confirmation, nominal: Float[np.ndarray, " d"], proved: Proved | None = None) -> None:
        self.confirm, self.nominal, self.proved = confirm, nominal, proved
        self.box = confirm.problem.inputs
        self._known: dict[bytes, Counterexample | None] = {}
        self.trail: list[Counterexample] = []  # ever simpler failures, as they were confirmed

    def shrink(self, record: Counterexample) -> Counterexample | None:
        """The simplest failure found from this one; None where the budget was spent before anything was simpler."""
        self.trail = []
        p = record.inputs
        if self._fails(self.nominal):
            return self.trail[-1]
        p = self._one_by_one(self._fewest(p))
        p = self._roundest(self._nearest(p))
        self._one_by_one(p)
        return self.trail[-1] if self.trail else None

    def _fails(self, p: Float[np.ndarray, " d"]) -> bool:
        """Whether a solve confirms a failure at p; what is known already costs none."""
        key = p.tobytes()
        if key not in self._known:
            if not self.confirm.left:
                return False
            if self.proved is not None and self.proved(p[None])[0] <= self.confirm.allowed.relative:
                self._known[key] = None
            else:
                before = len(self.confirm.found)
                self.confirm.check(p[None], "shrunk")
                self._known[key] = self.confirm.found[-1] if len(self.confirm.found) > before else None
        found = self._known[key]
        if found is not None:
            self.trail.append(found)
        return found is not None

    def _fewest(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Put groups of inputs back to nominal, those that moved least first; halve a group that cannot be."""
        distance = np.abs(self.box.to_unit(p) - self.box.to_unit(self.nominal))
        moved = [int(i) for i in np.argsort(distance, kind="stable") if p[i] != self.nominal[i]]
        for i in moved[:-3:-1] if len(moved) > 1 else []:  # a failure of one input alone is found at once
            alone = self.nominal.copy()
            alone[i] = p[i]
            if self._fails(alone):
                return alone
        waiting = [moved[: len(moved) // 2], moved[len(moved) // 2 :]][::-1] if len(moved) > 1 else [moved]
        while waiting:
            group = [i for i in waiting.pop() if p[i] != self.nominal[i]]
            if not group:
                continue
            trial = p.copy()
            trial[group] = self.nominal[group]
            if self._fails(trial):
                p = trial
            elif len(group) > 1:
                middle = len(group) // 2
                waiting += [group[middle:], group[:middle]]
        return p

    def _one_by_one(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Put back single inputs until each that is left is needed: one may be so only beside another."""
        again = True
        while again and self.confirm.left:
            again = False
            for i in np.flatnonzero(p != self.nominal):
                trial = p.copy()
                trial[i] = self.nominal[i]
                if self._fails(trial):
                    p, again = trial, True
        return p

    def _nearest(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Halve the way to nominal, of all inputs together and then of each by itself."""
        changed = [int(i) for i in np.flatnonzero(p != self.nominal)]
        p = self._halved(p, changed, HALVINGS)
        for i in changed if len(changed) > 1 else []:
            p = self._halved(p, [i], EACH)
        return p

    def _halved(self, p: np.ndarray, which: list[int], times: int) -> np.ndarray:
        """The nearest of the points on the way to nominal, in these inputs, that fails by bisection."""
        here, goal = self.box.to_unit(p), self.box.to_unit(self.nominal)
        low, high = 0.0, 1.0  # shares of the way from nominal: passes or unknown, fails
        for _ in range(times):
            middle = (low + high) / 2
            x = here.copy()
            x[which] = goal[which] + middle * (here[which] - goal[which])
            trial = p.copy()
            trial[which] = self.box.from_unit(x)[which]
            if self._fails(trial):
                high, p = middle, trial
            else:
                low = middle
        return p

    def _roundest(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Each changed input as a number of few digits: the nearest, or the next one away from nominal."""
        goal = self.box.to_unit(self.nominal)
        for i in np.flatnonzero(p != self.nominal):
            far = abs(self.box.to_unit(p)[i] - goal[i])
            for value in self._round_numbers(float(p[i]), float(self.nominal[i])):
                trial = p.copy()
                trial[i] = value
                inside = self.box.lower[i] <= value <= self.box.upper[i] and value != self.nominal[i]
                if not inside or abs(self.box.to_unit(trial)[i] - goal[i]) > FURTHER * far:
                    continue
                if value == p[i] or self._fails(trial):
                    p = trial
                    break
        return p

    @staticmethod
    def _round_numbers(value: float, nominal: float) -> Iterator[float]:
        for digits in DIGITS:
            nearest = float(f"{value:.{digits - 1}e}")
            unit = 10.0 ** (np.floor(np.log10(abs(value))) - digits + 1) if value else 1.0
            yield nearest
            away = nearest + np.copysign(unit, value - nominal)
            yield float(f"{away:.{digits - 1}e}")
