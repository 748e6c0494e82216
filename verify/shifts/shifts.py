"""``shifts``: errors where the question is not what the surrogate learnt, a row for each named change of it.

No row speaks of others: a surrogate that stands one shift may fail at the next. Every row is n independent draws, the
unshifted one too; where only the truth changes these are the same inputs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ...solvers.box import few
from ...solvers.classes.richardson import restrict
from ...solvers.identity import check_problem
from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.problems.catalogue import closest
from ...solvers.processes.rows import solved_rows
from ...solvers.processes.sending import check_executor
from ...solvers.seed import checked_seed
from ...solvers.shown.drawn import drawn
from ...solvers.shown.table import html_table
from ..answers.evaluate import captured, evaluate
from ..answers.first_call import check_answers
from ..statistics.errors import scaled_errors
from .named import (
    MOST_ALONE,
    Refused,
    Shift,
    boundary,
    changed_setting,
    finer,
    other,
    rougher,
    unshifted,
    wider,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("wider", "rougher", "boundary", "finer")


@dataclass(frozen=True)
class Shifted:
    """Errors of one shift; NaN where the truth was not solved, infinite where the surrogate gave no field of numbers.
    ``inputs``: what the surrogate was told.
    """

    name: str
    what: str
    inputs: Float[np.ndarray, "n d"]
    errors: Float[np.ndarray, " n"]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        worst = f"mean {self.mean:.3g}, worst {self.worst:.3g}" if len(self.known) else "nothing was solved"
        return f"Shifted({self.name}: {worst}, {len(self.known)} of {len(self.errors)} solved)"

    @property
    def known(self) -> Float[np.ndarray, " m"]:
        """Of inputs at which there is a truth."""
        return self.errors[~np.isnan(self.errors)]

    @property
    def mean(self) -> float:
        return float(np.mean(self.known))

    @property
    def p95(self) -> float:
        return float(np.quantile(self.known, 0.95, method="higher"))

    @property
    def worst(self) -> float:
        return float(np.max(self.known))

    @property
    def worst_inputs(self) -> Float[np.ndarray, " d"]:
        return np.asarray(self.inputs[int(np.nanargmax(self.errors))])


@dataclass(frozen=True)
class Shifts:
    """``rows``: the unshifted one first; ``refused``: shifts that there are not, with the reason."""

    rows: tuple[Shifted, ...]
    refused: tuple[Refused, ...]
    solver_calls: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        solved = [row for row in self.rows if len(row.known)]
        worst = max(solved, key=lambda row: row.worst, default=None)
        where = "" if worst is None else f", the worst error {worst.worst:.3g} ({worst.name})"
        refused = f", {len(self.refused)} not shifted" if self.refused else ""
        return f"Shifts({len(self.rows)} rows{where}, {self.solver_calls} solves{refused})"

    def _repr_html_(self) -> str:
        rows = {row.name: repr(row)[len(f"Shifted({row.name}: ") : -1] for row in self.rows}
        return html_table("Errors under shifts", rows | {f"not {each.name}": each.why for each in self.refused})

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The errors of every shift, row by row, with their means."""
        return drawn("shifts", path, self)

    def __getitem__(self, name: str) -> Shifted:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


@in_float64
def shifts(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    *,
    n: int = 64,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    widen: float = 1.5,
    rough: float = 2.0,
    inputs: Sequence[str] | None = None,
    settings: Iterable[Mapping[str, Any]] = (),
    others: Mapping[str, Problem] | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Shifts:
    """Errors at n draws of each shift.

    Args:
        n: solver calls of each row.
        kinds: of ``KINDS``, which shifts; settings and others come besides.
        widen: ranges become so many times as wide; drawn is what was added.
        rough: so many times as many modes.
        inputs: names of those that are widened alone; all, up to 12, if left out.
        settings: of the problem, changed without the surrogate being told: one shift for each dictionary.
        others: problems of the same inputs and nodes by the name of the shift, such as one's own with other boundary
            data.
        executor: where the solves run, as in ``sample``.

    Raises:
        ValueError: numbers or names that make no sense; a problem without a solver.
    """
    check_problem(problem)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n is a whole number of solves of each shift, at least 1, not {n!r}")
    seed = checked_seed(seed)
    for what, factor in (("widen", widen), ("rough", rough)):
        if isinstance(factor, bool) or not isinstance(factor, Real) or not 1 < float(factor) < np.inf:
            raise ValueError(f"{what} is a finite factor above 1, such as 1.5, not {factor!r}")
    for kind in kinds:
        if kind not in KINDS:
            raise closest(kind, KINDS, "kind of shift")
    alone = _alone(problem, inputs)
    if not problem.has_solver:
        raise ValueError(f"{problem.name} has no solver: there is no truth where the question changes")
    check_executor(executor)
    P = problem.inputs.draw(int(n), seed)
    found: list[Shift | Refused] = [unshifted(problem, P)]
    makers: dict[str, Callable[[], Any]] = {
        "wider": lambda: wider(problem, P, float(widen), alone, seed),
        "rougher": lambda: rougher(problem, int(n), float(rough), seed),
        "boundary": lambda: boundary(problem, P),
        "finer": lambda: finer(problem, P),
    }
    for kind in KINDS:
        found += makers[kind]() if kind in kinds else ()
    if inputs is None and not alone and "wider" in kinds:
        d = problem.inputs.dimension
        found.append(Refused("wider, one at a time", f"{d} inputs are many: name those wanted with inputs="))
    for changed in settings:
        found += changed_setting(problem, P, changed)
    for name, truth in (others or {}).items():
        found += other(problem, P, name, truth)
    model = captured(surrogate)
    check_answers(problem, model)
    rows, refused = [], [each for each in found if isinstance(each, Refused)]
    calls = 2 * any(
        isinstance(each, Shift) and each.name == "rougher" for each in found
    )  # which tell whether modes mean the same
    for shift in (each for each in found if isinstance(each, Shift)):
        truths, reasons = _solved(problem, shift, executor, progress)
        calls += len(truths)
        answers = evaluate(model, shift.told, problem)
        errors, _ = scaled_errors(problem, shift.told, answers, truths, problem.zero_scale)
        failed = [f"{count} of {len(truths)} solves failed: {why}" for why, count in Counter(reasons).most_common(2)]
        if np.isnan(errors).all():
            refused.append(Refused(shift.name, f"{shift.what}: {failed[0] if failed else 'no error is a number'}"))
            continue
        rows.append(Shifted(shift.name, shift.what, shift.told, errors, (*failed, *answers.trouble)))
    return Shifts(tuple(rows), tuple(refused), calls, tuple(model.changes()))


def _alone(problem: Problem, inputs: Sequence[str] | None) -> list[str]:
    names = problem.inputs.names
    if inputs is None:
        return list(names) if len(names) <= MOST_ALONE else []
    for name in inputs:
        if name not in names:
            raise closest(name, names, f"input of {problem.name} ({few(names)})")
    return list(inputs)


def _solved(
    problem: Problem, shift: Shift, executor: Executor | None, progress: Callable[[str, int, int], None] | None
) -> tuple[Float[np.ndarray, "n N"], list[str]]:
    """Truths in the problem's own nodes, NaN where there is none, and why. Inputs beyond the box are not refused."""
    truths, reasons = np.full((len(shift.solved), problem.size), np.nan), list[str]()
    same = shift.solver.shape == problem.shape
    for done, (i, attempt, why) in enumerate(solved_rows(shift.solver, shift.solved, range(len(truths)), executor)):
        u = np.asarray(attempt.u)
        if np.isfinite(u).all():
            truths[i] = u if same else restrict(shift.solver, problem, u)
        else:
            reasons.append(why or "the solver did not say why")
        if progress is not None:
            progress(shift.name, done + 1, len(truths))
    return truths, reasons
