"""Shrinking: the simplest input that still fails, each step confirmed by a solve.

In this order: as few inputs as possible differ from the nominal one, those that do lie as near to it as possible, and
are round numbers. The first is delta debugging (Zeller and Hildebrandt 2002): groups of inputs are put back, halved
where the failure goes away with them. What is not solved is not believed: failures need not form a convex set.

Each step depends on the one before. Several failures are shrunk side by side, a step of each solved together, as long
as there are calls enough for that: the worst is never kept short for the others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
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
ABREAST, EACH_NEEDS = 4, 20  # failures that are shrunk side by side; the calls that must be left for each of them
Proved = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]
Trials = Generator[np.ndarray, Counterexample | None, np.ndarray]  # inputs, whether they fail, and what came out


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
        self._known: dict[bytes, Counterexample | None] = {}

    def trails(self, records: list[Counterexample]) -> list[list[Counterexample]]:
        """Of each, ever simpler failures as they were confirmed; none where the budget was spent before."""
        ways = [_Way(record.inputs, self.nominal, self.confirm.problem.inputs) for record in records]
        waiting, going = list(ways), list[_Way]()
        while going or (waiting and self.confirm.left):
            abreast = min(max(self.confirm.left // EACH_NEEDS, 1), ABREAST)
            while waiting and len(going) < abreast and self.confirm.left:
                going.append(waiting.pop(0))
            now = going[:abreast]  # the worst first; others pause
            self._solve([way.asks for way in now])
            for way in now:
                way.hear(self._known.get(way.asks.tobytes()))
            going = [way for way in going if not way.ended]
        return [way.trail for way in ways]

    def _solve(self, points: list[Float[np.ndarray, " d"]]) -> None:
        """What is not known of them, as far as the budget reaches."""
        P = np.array(list({p.tobytes(): p for p in points if p.tobytes() not in self._known}.values()))
        if len(P) and self.confirm.left and self.proved is not None:
            passes = self.proved(P) <= self.confirm.allowed.relative
            self._known.update(dict.fromkeys((p.tobytes() for p in P[passes]), None))
            P = P[~passes]
        P, before = P[: self.confirm.left], len(self.confirm.found)
        if len(P):
            self.confirm.check(P, "shrunk")
            failed = {record.inputs.tobytes(): record for record in self.confirm.found[before:]}
            self._known.update({p.tobytes(): failed.get(p.tobytes()) for p in P})


class _Way:
    """From one failing input to the simplest: ``asks`` for an input, is told by ``hear``, until it has ``ended``."""

    def __init__(self, p: Float[np.ndarray, " d"], nominal: Float[np.ndarray, " d"], box: Box) -> None:
        self.nominal, self.box = nominal, box
        self.trail: list[Counterexample] = []
        self.ended = False
        self._steps = self._shrunk(p)
        self.asks = next(self._steps)

    def hear(self, failure: Counterexample | None) -> None:
        """The failure there; None where there is none, or nothing is known."""
        try:
            self.asks = self._steps.send(failure)
        except StopIteration:
            self.ended = True

    def _shrunk(self, p: Float[np.ndarray, " d"]) -> Trials:
        if (yield from self._fails(self.nominal)):
            return self.nominal
        p = yield from self._fewest(p)
        p = yield from self._one_by_one(p)
        p = yield from self._nearest(p)
        p = yield from self._roundest(p)
        return (yield from self._one_by_one(p))

    def _fails(self, p: Float[np.ndarray, " d"]) -> Generator[np.ndarray, Counterexample | None, bool]:
        """Whether a solve confirms a failure at p."""
        found = yield p
        if found is not None:
            self.trail.append(found)
        return found is not None

    def _fewest(self, p: Float[np.ndarray, " d"]) -> Trials:
        """Put groups of inputs back to nominal, those that moved least first; halve a group that cannot be."""
        distance = np.abs(self.box.to_unit(p) - self.box.to_unit(self.nominal))
        moved = [int(i) for i in np.argsort(distance, kind="stable") if p[i] != self.nominal[i]]
        for i in moved[:-3:-1] if len(moved) > 1 else []:  # a failure of one input alone is found at once
            alone = self.nominal.copy()
            alone[i] = p[i]
            if (yield from self._fails(alone)):
                return alone
        waiting = [moved[: len(moved) // 2], moved[len(moved) // 2 :]][::-1] if len(moved) > 1 else [moved]
        while waiting:
            group = [i for i in waiting.pop() if p[i] != self.nominal[i]]
            if not group:
                continue
            trial = p.copy()
            trial[group] = self.nominal[group]
            if (yield from self._fails(trial)):
                p = trial
            elif len(group) > 1:
                middle = len(group) // 2
                waiting += [group[middle:], group[:middle]]
        return p

    def _one_by_one(self, p: Float[np.ndarray, " d"]) -> Trials:
        """Put back single inputs until each that is left is needed: one may be so only beside another."""
        again = True
        while again:
            again = False
            for i in np.flatnonzero(p != self.nominal):
                trial = p.copy()
                trial[i] = self.nominal[i]
                if (yield from self._fails(trial)):
                    p, again = trial, True
        return p

    def _nearest(self, p: Float[np.ndarray, " d"]) -> Trials:
        """Halve the way to nominal, of all inputs together and then of each by itself."""
        changed = [int(i) for i in np.flatnonzero(p != self.nominal)]
        p = yield from self._halved(p, changed, HALVINGS)
        for i in changed if len(changed) > 1 else []:
            p = yield from self._halved(p, [i], EACH)
        return p

    def _halved(self, p: np.ndarray, which: list[int], times: int) -> Trials:
        """The nearest of the points on the way to nominal, in these inputs, that fails by bisection."""
        here, goal = self.box.to_unit(p), self.box.to_unit(self.nominal)
        low, high = 0.0, 1.0  # shares of the way from nominal: passes or unknown, fails
        for _ in range(times):
            middle = (low + high) / 2
            x = here.copy()
            x[which] = goal[which] + middle * (here[which] - goal[which])
            trial = p.copy()
            trial[which] = self.box.from_unit(x)[which]
            if (yield from self._fails(trial)):
                high, p = middle, trial
            else:
                low = middle
        return p

    def _roundest(self, p: Float[np.ndarray, " d"]) -> Trials:
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
                if value == p[i] or (yield from self._fails(trial)):
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
