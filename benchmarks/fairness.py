"""The rules of a fair comparison: clocks, the solver's own cost-accuracy curve, and times matched at equal error.

A surrogate is compared with the cheapest solve that is as wrong as the surrogate, not with the most careful one. The
curve holds every resolution (the problem's own and coarser ones that nest in it) at several tolerances, and full
multigrid where the problem has it. Between the points of its lower envelope the time is interpolated in log-log, as a
solver's tolerance can be tuned to any error in between. Two measures of error:

    PDE        relative L2 distance to a much finer solution, in the problem's nodes
    discrete   relative distance to the discrete solution on the problem's grid, in the problem's norm; a coarser
               solution is interpolated linearly (the interpolation is not timed)

Reference: McGreivy and Hakim 2024, "Weak baselines and reporting biases lead to overoptimism".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..solvers import multigrid
from ..solvers.batching import RowMap
from ..solvers.problem import Problem
from ..solvers.thermal_block import ThermalBlock

REPEATS = 5
TIE = 1.1  # closer than this in speed is a tie
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-5)
MEASURES = ("PDE", "discrete")


@dataclass(frozen=True)
class Timing:
    """Seconds per query: median, smallest and largest of several runs; ``compile`` the first call apart from that."""

    median: float
    low: float
    high: float
    compile: float


def timed(call: Callable[[], Any], queries: int, repeats: int = REPEATS) -> Timing:
    """``call`` answers ``queries`` queries and returns when its answers are there."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    seconds = []
    for _ in range(max(repeats, 5)):
        start = time.perf_counter()
        call()
        seconds.append((time.perf_counter() - start) / queries)
    median = float(np.median(seconds))
    return Timing(median, min(seconds), max(seconds), max(first - median * queries, 0.0))


@dataclass(frozen=True)
class Errors:
    """Mean over the draws from the sampling law, and the largest found anywhere, for each of MEASURES."""

    mean: dict[str, float]
    worst: dict[str, float]


@dataclass(frozen=True)
class SolverPoint:
    """One way to run the solver."""

    method: str
    cells: int | None
    tolerance: float | None
    errors: Errors
    one: Timing
    batch: Timing


def resolutions(problem: Problem, count: int = 4) -> list[Problem]:
    """The problem on its own grid and on coarser ones, by halving; only itself where it has no ``cells``."""
    found = [problem]
    cells = problem.settings.get("cells")
    for _ in range(count - 1):
        if not isinstance(cells, int) or cells % 2:
            break
        cells //= 2
        try:
            found.append(type(problem)(**{**problem.settings, "cells": cells}))
        except ValueError:
            break
    return found


def finer(problem: Problem, factor: int) -> Problem:
    """The problem on a grid ``factor`` times as fine."""
    return type(problem)(**{**problem.settings, "cells": factor * problem.settings["cells"]})


def axes(problem: Problem) -> list[np.ndarray] | None:
    """The ticks of each axis where the nodes are a tensor grid in row-major order, else None."""
    x = problem.coordinates
    ticks = [np.unique(np.round(column, 12)) for column in x.T]
    if np.prod([len(t) for t in ticks]) != len(x) or problem.size != len(x):
        return None
    grid = np.stack([g.ravel() for g in np.meshgrid(*ticks, indexing="ij")], axis=1)
    return ticks if np.allclose(grid, x, atol=1e-9) else None


def transfer(U: Float[np.ndarray, "n M"], source: Problem, target: Problem) -> Float[np.ndarray, "n N"]:
    """Fields of ``source`` in the nodes of ``target``, by linear interpolation along each axis."""
    if source is target:
        return U
    here, there = axes(source), axes(target)
    if here is None or there is None:
        raise ValueError(f"fields of {source.name} lie on no tensor grid: they cannot be compared across resolutions")
    out = U.reshape(len(U), *(len(t) for t in here))
    for i, (a, b) in enumerate(zip(here, there, strict=True)):
        hat = np.stack([np.interp(b, a, e) for e in np.eye(len(a))], axis=1)  # [len(b), len(a)]
        out = np.moveaxis(np.tensordot(out, hat, axes=(i + 1, 1)), -1, i + 1)
    return out.reshape(len(U), -1)


class Yardstick:
    """Test inputs with their discrete truths and their fine references; measures errors of fields.

    The first ``draws`` rows come from the sampling law and give the means; corners of the box follow and count for
    the worst.
    """

    def __init__(self, problem: Problem, draws: int = 48, seed: int = 0, factor: int = 4) -> None:
        box = problem.inputs
        self.problem, self.draws = problem, draws
        d = box.dimension
        corners = np.random.default_rng(seed).integers(0, 2, (16, d)).astype(float)
        if d <= 4:
            corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij")).reshape(d, -1).T
        self.P = np.concatenate(
            [box.from_law(np.random.default_rng([seed, 2]).random((draws, d))), box.from_unit(corners)]
        )
        self.truths = np.asarray(problem.solve_batch(self.P))
        self._discrete = RowMap(lambda p, u, t: problem.relative_error(p, problem.prescribe(p, u), t))
        self.reference, self.reference_error, self.reference_cells = self._reference(factor)

    def _reference(self, factor: int) -> tuple[np.ndarray | None, float, int | None]:
        """The fine solutions in our nodes, and their own error by grid halving (mean over the draws)."""
        if not isinstance(self.problem.settings.get("cells"), int) or axes(self.problem) is None:
            return None, np.nan, None
        fine, half = finer(self.problem, factor), finer(self.problem, factor // 2)
        u, v = (transfer(np.asarray(x.solve_batch(self.P)), x, self.problem) for x in (fine, half))
        error = reference_error(_l2(u, v), _l2(v, self.truths), factor)
        return u, float(np.mean(error[: self.draws])), int(fine.settings["cells"])

    def rows(self, fields: np.ndarray) -> dict[str, np.ndarray]:
        """Relative errors row by row; infinite where a field is not finite."""
        good = np.isfinite(fields).all(axis=1)
        safe = np.where(good[:, None], fields, 0.0)
        found = {"discrete": np.asarray(self._discrete(self.P, safe, self.truths))}
        if self.reference is not None:
            found["PDE"] = _l2(safe, self.reference)
        return {m: np.where(good, found[m], np.inf) for m in MEASURES if m in found}

    def errors(self, fields: np.ndarray) -> Errors:
        by_measure = self.rows(fields)
        return Errors(
            {m: float(e[: self.draws].mean()) for m, e in by_measure.items()},
            {m: float(e.max()) for m, e in by_measure.items()},
        )


def reference_error(last: np.ndarray, before: np.ndarray, factor: int) -> np.ndarray:
    """The error C (h/f)^q of a solution f times as fine, from the differences to half of that and to our own grid.

    last = C (h/f)^q (2^q - 1) and before = C h^q (1 - (f/2)^-q); their quotient tells q, held between 0.5 and 2.
    """
    orders = np.linspace(0.5, 2.0, 151)
    quotients = (float(factor) ** orders - 2**orders) / (2**orders - 1)
    q = np.interp(before / np.maximum(last, 1e-300), quotients, orders)
    return last / (2**q - 1)


def _l2(u: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return np.linalg.norm(u - reference, axis=1) / np.linalg.norm(reference, axis=1)


def solver_curve(
    yardstick: Yardstick,
    batch: int,
    tolerances: tuple[float, ...] = TOLERANCES,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[SolverPoint]:
    """The problem's own grid at every tolerance, coarser ones at two, and full multigrid with one to three cycles."""
    problem = yardstick.problem
    Q = problem.inputs.sample(batch, seed=5)
    ways: list[tuple[str, Problem, float | None, Callable[[np.ndarray], np.ndarray]]] = []
    for grid in resolutions(problem):
        for tolerance in (*tolerances, None) if grid is problem else tolerances[:3:2]:
            ways.append(("iterative", grid, tolerance, lambda P, g=grid, t=tolerance: g.attempt_batch(P, t).u))  # type: ignore[misc]
        if isinstance(grid, ThermalBlock):
            for cycles in (1, 2, 3) if grid is problem else (1,):
                ways.append((f"full multigrid, {cycles}", grid, None, full_multigrid(grid, cycles)))
    points = []
    for i, (method, grid, tolerance, call) in enumerate(ways):
        fields = transfer(np.asarray(call(yardstick.P)), grid, problem)
        one = timed(lambda c=call: c(Q[:1]), 1, 15)  # type: ignore[misc]
        many = timed(lambda c=call: c(Q), batch)  # type: ignore[misc]
        cells = grid.settings.get("cells")
        points.append(SolverPoint(method, cells, tolerance, yardstick.errors(fields), one, many))
        if progress is not None:
            progress("timing the solver", i + 1, len(ways))
    return points


def full_multigrid(problem: ThermalBlock, cycles: int) -> Callable[[np.ndarray], np.ndarray]:
    """Solves at a fixed price, P [n, d] -> [n, N]."""
    n = problem.cells
    load = jnp.full((n - 1, n - 1), 1 / n**2)
    return RowMap(
        lambda p: problem._flat(multigrid.full_multigrid(problem.cell_weights(problem.theta(p)), load, cycles))
    )


def matched_time(points: list[tuple[float, float]], error: float) -> tuple[float, bool]:
    """The time at which the curve (error, seconds) reaches ``error``, and whether it reaches it at all.

    Where it does not, the time of its most accurate point, which is then too small for the solver: the truth cannot
    be asked for more.
    """
    usable = sorted((e, t) for e, t in points if np.isfinite(e))
    front: list[tuple[float, float]] = []  # from accurate and dear to wrong and cheap
    for e, t in usable:
        if not front or t < front[-1][1]:
            front.append((e, t))
    if error < front[0][0]:
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


def verdict(speedups: list[float]) -> str:
    """win, tie or lose, by the least favourable of the speedups."""
    least = min(speedups)
    return "win" if least >= TIE else "tie" if least > 1 / TIE else "lose"
