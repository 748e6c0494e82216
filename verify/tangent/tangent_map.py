"""``tangent_map``: does the surrogate move as the solver does? Its input Jacobian against the solver's tangent.

A surrogate may be right at a point and wrong beside it: where its tangent space is another, errors grow with the first
step away. Nothing of this is proved: it is observed at the points asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import spearmanr

from ...solvers.box import Box
from ...solvers.identity import check_problem, check_rows
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.shown.drawn import drawn
from ...solvers.size import length
from ...solvers.snapshots.snapshot_file import Snapshots
from ...solvers.tolerance import scaled
from ..answers.evaluate import captured
from ..answers.first_call import check_answers
from ..measured_error import magnitude_of
from ..search.regions import Region, find_regions
from .differences import STEP
from .intrinsic_dimension import LEAST, NEIGHBOURS, local_dimension
from .jacobians import DIFFERENCES, Jacobians, SurrogateJacobians, TruthJacobians
from .spaces import SHARE, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOW = 0.1  # relative Jacobian error from which a match is a low one
CHUNK = 8  # points whose Jacobians are held at once
REASONS = 4


@dataclass(frozen=True)
class TangentMap:
    """What was seen at each point; NaN where nothing could be compared, ``reasons`` says why ("" elsewhere).

    Derivatives are along the axes of the unit box, logarithmic where an input is, lengths in the problem's norm.
    ``jacobian_errors``: (sum_j |E_j|^2)^(1/2) / (sum_j |J_j|^2)^(1/2), E = N' - u', J = u', with the problem's
    ``zero_scale`` added below. ``truth_values``, ``surrogate_values``: singular values, largest first; ``truth_rank``,
    ``surrogate_rank``: how many are above a hundredth of the largest. ``angles``: principal angles in radians between
    the two spaces of so many directions, smallest first, NaN beyond the smaller rank. ``data_dimension``: of solutions
    around the point's (``intrinsic_dimension.py``). ``errors``: of the fields themselves, relative. ``regions``: points
    of low match, ``jacobian_errors`` above ``low``, as boxes and hulls, one a basin.
    """

    inputs: Float[np.ndarray, "n d"]
    errors: Float[np.ndarray, " n"]
    jacobian_errors: Float[np.ndarray, " n"]
    angles: Float[np.ndarray, "n d"]
    truth_values: Float[np.ndarray, "n d"]
    surrogate_values: Float[np.ndarray, "n d"]
    truth_rank: Int[np.ndarray, " n"]
    surrogate_rank: Int[np.ndarray, " n"]
    data_dimension: Float[np.ndarray, " n"]
    low: float
    regions: tuple[Region, ...]
    reasons: tuple[str, ...]
    truth_by: str  # how derivatives of the solver were taken
    surrogate_by: str
    solver_calls: int
    notes: tuple[str, ...] = ()
    box: Box | None = None  # of the inputs

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Where the surrogate moves as the solver does: Jacobian errors, angles, ranks and errors over the inputs."""
        return drawn("tangents", path, self)

    @property
    def largest_angles(self) -> Float[np.ndarray, " n"]:
        """The last principal angle at each point; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return np.fmax.reduce(self.angles, axis=1)

    @property
    def compared(self) -> int:
        """At how many points there are two Jacobians."""
        return int((~np.isnan(self.jacobian_errors)).sum())

    @property
    def correlation(self) -> float:
        """Spearman's, of Jacobian errors with errors over the points; NaN for fewer than three."""
        known = ~(np.isnan(self.jacobian_errors) | np.isnan(self.errors))
        if known.sum() < 3 or min(np.ptp(x[known]) for x in (self.errors, self.jacobian_errors)) == 0:
            return float("nan")
        return float(spearmanr(self.jacobian_errors[known], self.errors[known]).statistic)

    def __repr__(self) -> str:
        known = self.jacobian_errors[~np.isnan(self.jacobian_errors)]
        median = float(np.median(known)) if len(known) else float("nan")
        return (
            f"TangentMap({self.compared} of {len(self.inputs)} points compared, median Jacobian error {median:.3g}, "
            f"{len(self.regions)} regions of low match, {self.solver_calls} solver calls)"
        )


@in_float64
def tangent_map(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    P: Any,
    *,
    low: float = LOW,
    snapshots: Snapshots | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> TangentMap:
    """The surrogate's input Jacobian against the solver's tangent at each of the inputs P [n, d].

    A solver that JAX differentiates is solved once a point, with one linear solve an input; any other is solved 1 + 2 d
    times a point, for differences (``differences.py``). Surrogates likewise, without solves.

    Args:
        low: relative Jacobian errors above are a low match.
        snapshots: solutions that tell the data's intrinsic dimension; those at P if left out.
        executor: where the solves of differences run; here if left out.
        progress: told the stage in words, how much of it is done, and how much there is.

    Raises:
        ValueError: no solver, no points, points outside the box, ``low`` not positive, snapshots of another problem.
    """
    check_problem(problem)
    box = problem.inputs
    P = box.check(P)
    if not problem.has_solver:
        raise ValueError(f"{problem.name} has no solver, and so no tangent to compare with")
    if not len(P):
        raise ValueError("a tangent map needs at least one point")
    if isinstance(low, bool) or not isinstance(low, int | float | np.number) or not 0 < float(low) < np.inf:
        raise ValueError(f"low is a relative Jacobian error, positive and finite, not {low!r}")
    if snapshots is not None:
        check_rows("the snapshots", problem, snapshots)
    model = captured(surrogate)
    check_answers(problem, model)
    truth, answer = TruthJacobians(problem, executor), SurrogateJacobians(problem, model, P)
    compare = _Comparison(problem)
    fields = []
    for start in range(0, len(P), CHUNK):
        some = P[start : start + CHUNK]
        solved = truth(some)
        fields.append(solved.fields)
        compare(some, solved, answer(some))
        if progress is not None:
            progress("comparing tangents", min(start + CHUNK, len(P)), len(P))
    found = np.concatenate(fields)
    among = found if snapshots is None else np.asarray(snapshots.fields)
    columns = {name: np.array(column) for name, column in compare.columns.items()}
    errors = columns["jacobian_errors"]
    bad = errors > float(low)  # not of rows that were not compared
    return TangentMap(
        inputs=P,
        **columns,
        data_dimension=local_dimension(problem, P, found, among),
        low=float(low),
        regions=tuple(find_regions(box, P[bad], errors[bad], P[errors <= float(low)])),
        reasons=tuple(compare.reasons),
        truth_by=truth.by,
        surrogate_by=answer.by,
        solver_calls=truth.calls,
        notes=tuple(_notes(box, compare, truth, answer, np.isfinite(among).all(axis=1).sum(), model.changes())),
        box=box,
    )


class _Comparison:
    """One row a point, in columns."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.metric, self.reasons = problem, Metric(problem), list[str]()
        names = ("errors", "jacobian_errors", "angles", "truth_values", "surrogate_values", "truth_rank")
        self.columns: dict[str, list[Any]] = {name: [] for name in (*names, "surrogate_rank")}

    def __call__(self, P: np.ndarray, solved: Jacobians, answered: Jacobians) -> None:
        for i, p in enumerate(P):
            why = solved.reasons[i] or answered.reasons[i]
            row = self._nothing()
            away = answered.fields[i] - solved.fields[i]
            if np.isfinite(away).all():
                row["errors"] = self._relative(self.metric.lengths(p, away[None]), p, solved.fields[i])
            if not why:
                row |= self._row(p, solved.derivatives[i], answered.derivatives[i])
            self.reasons.append(why)
            for name, value in row.items():
                self.columns[name].append(value)

    def _relative(self, lengths: np.ndarray, p: np.ndarray, u: np.ndarray) -> float:
        return float(scaled(lengths[0], magnitude_of(self.problem, p, u), self.problem.zero_scale))

    def _nothing(self) -> dict[str, Any]:
        empty = np.full(self.problem.inputs.dimension, np.nan)
        vectors = dict.fromkeys(("angles", "truth_values", "surrogate_values"), empty)
        return {"errors": np.nan, "jacobian_errors": np.nan, **vectors, "truth_rank": 0, "surrogate_rank": 0}

    def _row(self, p: np.ndarray, J: np.ndarray, of_surrogate: np.ndarray) -> dict[str, Any]:
        metric = self.metric
        off, size = (float(length(metric.lengths(p, rows))) for rows in (of_surrogate - J, J))
        true, own = metric.directions(p, J), metric.directions(p, of_surrogate)
        angles = np.full(len(J), np.nan)
        between = metric.angles(p, true, own)
        angles[: len(between)] = between
        return {
            "jacobian_errors": float(scaled(off, size, self.problem.zero_scale)),
            "angles": angles,
            "truth_values": true.values,
            "surrogate_values": own.values,
            "truth_rank": true.rank,
            "surrogate_rank": own.rank,
        }


def _notes(
    box: Box, compare: _Comparison, truth: TruthJacobians, answer: SurrogateJacobians, rows: int, changes: list[str]
) -> list[str]:
    notes = [f"directions weaker than {SHARE:g} of the strongest count as none: angles are without them"]
    if truth.by == DIFFERENCES:
        notes.append(
            f"the solver's derivatives are differences of steps of {STEP:g} of the box: they are no better than the "
            f"solver's own noise times {1 / STEP:g}"
        )
    if answer.contradicted:
        notes.append(
            "what JAX says of the surrogate's derivatives is not what its answers do: differences were taken instead"
        )
    if compare.metric.euclidean:
        notes.append("the norm comes from no inner product: angles and singular values are in the root mean square")
    if rows < LEAST:
        notes.append(f"the data's dimension is not told: it takes {LEAST} solutions, {NEIGHBOURS} of them neighbours")
    failed = [why for why in dict.fromkeys(compare.reasons) if why]
    if failed:
        count = sum(bool(why) for why in compare.reasons)
        notes.append(f"{count} of {len(compare.reasons)} points could not be compared: {'; '.join(failed[:REASONS])}")
    return [*notes, *changes]
