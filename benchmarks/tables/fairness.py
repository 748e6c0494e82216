"""The rules of a fair comparison: clocks, times matched at equal error, verdicts.

A surrogate is compared with the cheapest solve that is as wrong as the surrogate, not with the most careful one
(``solver_curve.py``). Between the points of the curve's lower envelope the time is interpolated in log-log, as a
solver's tolerance can be tuned to any error in between. A solver that is known at one accuracy alone has no curve, and
nothing is compared with it; a surrogate that is further off than USEFUL somewhere does not win, however fast it is. Two
measures of error (``yardstick.py``):

    PDE        relative L2 distance to a much finer solution, in the problem's nodes
    discrete   relative distance to the discrete solution on the problem's grid, in the problem's norm; a coarser
               solution is interpolated linearly (the interpolation is not timed)

Reference: McGreivy and Hakim 2024, "Weak baselines and reporting biases lead to overoptimism".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REPEATS = 5
TIE = 1.1  # closer than this in speed is a tie
USEFUL = 0.1  # a worst error above this is no use at any speed
MEASURES = ("PDE", "discrete")
VERDICTS = ("win", "tie", "lose", "no use", "not comparable")


@dataclass(frozen=True)
class Timing:
    """Seconds per query: median, smallest and largest of several runs; ``compile`` the first call apart from that."""

    median: float
    low: float
    high: float
    compile: float


def timed(call: Callable[[], Any], queries: int, repeats: int = REPEATS) -> Timing:
    """``call`` answers ``queries`` queries and returns when its answers are there.

    More than REPEATS runs are for calls that take no time worth speaking of.
    """
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    seconds: list[float] = []
    while len(seconds) < REPEATS or (len(seconds) < repeats and sum(seconds) * queries < 0.5):
        start = time.perf_counter()
        call()
        seconds.append((time.perf_counter() - start) / queries)
    median = float(np.median(seconds))
    return Timing(median, min(seconds), max(seconds), max(first - median * queries, 0.0))


@dataclass(frozen=True)
class Errors:
    """Mean over the draws from the sampling law, and the largest found anywhere, for each of MEASURES.

    ``components``: (mean, worst) of each component, where there are several.
    """

    mean: dict[str, float]
    worst: dict[str, float]
    components: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class SolverPoint:
    """One way to run the solver."""

    method: str
    cells: int | None
    tolerance: float | None
    knob: str  # what the tolerance is of
    errors: Errors
    one: Timing
    batch: Timing

    @property
    def label(self) -> str:
        grid = "" if self.cells is None else f", {self.cells} cells"
        return self.method + grid + ("" if self.tolerance is None else f", {self.knob} {self.tolerance:g}")


def is_curve(errors: Sequence[float]) -> bool:
    """Whether these are errors of more than one accuracy."""
    finite = [e for e in errors if np.isfinite(e)]
    return bool(finite) and min(finite) < 0.99 * max(finite)


def matched_time(points: list[tuple[float, float]], error: float) -> tuple[float, bool]:
    """The time at which the curve (error, seconds) reaches ``error``, and whether it reaches it at all.

    Where it does not, the time of its most accurate point, which is then too small for the solver: the truth cannot
    be asked for more.

    Raises:
        ValueError: no point has a finite error.
    """
    front: list[tuple[float, float]] = []  # from accurate and dear to wrong and cheap
    for e, t in sorted((e, t) for e, t in points if np.isfinite(e)):
        if not front or t < front[-1][1]:
            front.append((e, t))
    if not front:
        raise ValueError("no way to run the solver has a finite error")
    if not error >= front[0][0]:
        return front[0][1], False
    inside = [(e, t) for e, t in front if e <= error]
    beyond = [(e, t) for e, t in front if e > error]
    (e0, t0), after = inside[-1], beyond[0] if beyond else None
    if after is None or e0 <= 0:
        return t0, True
    share = np.log(error / e0) / np.log(after[0] / e0)
    return float(np.exp((1 - share) * np.log(t0) + share * np.log(after[1]))), True


def breakeven(training: float, solver: float, surrogate: float) -> float:
    """N*: how many queries repay ``training`` seconds, infinite where the surrogate is not faster."""
    return training / (solver - surrogate) if solver > surrogate else np.inf


def verdict(speedups: list[float], worst: float = 0.0) -> str:
    """win, tie or lose, by the least favourable of the speedups; no use where the ``worst`` error is not small."""
    least = min(speedups)
    word = "win" if least >= TIE else "tie" if least > 1 / TIE else "lose"
    return word if word == "lose" or worst <= USEFUL else "no use"
