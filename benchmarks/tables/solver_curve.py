"""The solver's own cost-accuracy curve: what a surrogate of the same error is compared with.

Every resolution (the problem's own and coarser ones that nest in it) at several tolerances; full multigrid where the
problem has it; a black box at every level of the knob that its user named. A way that answers the same to the last bit
as another one on the same grid is no other way.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...solvers.batching import RowMap
from ...solvers.discretisations import q1_multigrid as multigrid
from ...solvers.problem import Problem
from ...solvers.problems.black_box import BlackBox
from ...solvers.problems.thermal_block import ThermalBlock
from .fairness import Errors, SolverPoint, Timing, timed
from .grids import Transfer, axes, resolutions
from .yardstick import Progress, Yardstick

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-5)


class Way(NamedTuple):
    """P [n, d] -> fields [n, N] on ``grid``."""

    method: str
    grid: Problem
    tolerance: float | None
    knob: str
    call: Callable[[np.ndarray], Any]


def ways(problem: Problem, tolerances: tuple[float, ...]) -> Iterator[Way]:
    """The truth itself first, then one way on every coarser grid, then the others."""
    if isinstance(problem, BlackBox):
        for level in (None, *(tolerances if getattr(problem, "loosen", None) is not None else ())):
            yield _way("the solver", problem, level, "level")
        return
    yield _iterative(problem, None)
    grids = resolutions(problem) if axes(problem) is not None else [problem]
    coarse = tolerances[:3:2]
    for grid in grids[1:]:
        yield _iterative(grid, coarse[-1])
    for tolerance in tolerances:
        yield _iterative(problem, tolerance)
    for grid in grids[1:]:
        for tolerance in coarse[:-1]:
            yield _iterative(grid, tolerance)
    for grid in grids:
        if isinstance(grid, ThermalBlock):
            for cycles in (1, 2, 3) if grid is problem else (1,):
                yield Way(f"full multigrid, {cycles}", grid, None, "", full_multigrid(grid, cycles))


def _iterative(grid: Problem, tolerance: float | None) -> Way:
    return _way("iterative", grid, tolerance, "residual")


def _way(method: str, grid: Problem, tolerance: float | None, knob: str) -> Way:
    return Way(method, grid, tolerance, knob, lambda P: grid.attempt_batch(P, tolerance).u)


def full_multigrid(problem: ThermalBlock, cycles: int) -> Callable[[np.ndarray], np.ndarray]:
    """Solves at a fixed price, P [n, d] -> [n, N]."""
    n = problem.cells
    load = jnp.full((n - 1, n - 1), 1 / n**2)
    return RowMap(
        lambda p: problem._flat(multigrid.full_multigrid(problem.cell_weights(problem.theta(p)), load, cycles))
    )


def solver_curve(
    yardstick: Yardstick,
    Q: Float[np.ndarray, "batch d"],
    tolerances: tuple[float, ...] = TOLERANCES,
    progress: Progress | None = None,
) -> list[SolverPoint]:
    """Every way, timed on the queries Q; the points stand by grid, the careful ones last."""
    problem, clock = yardstick.problem, yardstick.clock
    found = list(ways(problem, tolerances))
    points: list[SolverPoint] = []

    def measure(way: Way) -> dict[str, Any] | None:
        cells = way.grid.settings.get("cells")
        errors = yardstick.errors(Transfer(way.grid, problem)(np.asarray(way.call(yardstick.P))))
        if any((p.cells, p.errors) == (cells, errors) for p in points):
            return None
        one = timed(lambda: np.asarray(way.call(Q[:1])), 1, 15)
        many = timed(lambda: np.asarray(way.call(Q)), len(Q))
        return dataclasses.asdict(SolverPoint(way.method, cells, way.tolerance, way.knob, errors, one, many))

    needed = 0.0
    for i, way in enumerate(found):
        if i and not clock.allows("some ways to run the solver", 0.0, 0.5 if i > 1 else 0.8, wait=needed):
            break
        start = time.perf_counter()
        kept = yardstick.parts.json(f"solver-{i:02d}", lambda way=way: measure(way))  # type: ignore[misc]
        needed = max(needed, time.perf_counter() - start)
        if kept is not None:
            points.append(_point(kept))
        if progress is not None:
            progress("timing the solver", i + 1, len(found))
    return sorted(points, key=lambda p: (-(p.cells or 0), p.method, p.tolerance is None, -(p.tolerance or 0)))


def _point(kept: dict[str, Any]) -> SolverPoint:
    return SolverPoint(
        kept["method"],
        kept["cells"],
        kept["tolerance"],
        kept["knob"],
        errors_from(kept["errors"]),
        Timing(**kept["one"]),
        Timing(**kept["batch"]),
    )


def errors_from(kept: dict[str, Any]) -> Errors:
    components = {name: (float(a), float(b)) for name, (a, b) in kept["components"].items()}
    return Errors(kept["mean"], kept["worst"], components)
