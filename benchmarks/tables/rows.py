"""One surrogate measured: its errors, its times, what it cost; and the same behind a guard, where bounds are proved."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.problem import Problem
from ...verify.answers.evaluate import captured, evaluate
from ...verify.answers.first_call import check_answers
from ...verify.falsify import falsify
from ...verify.guard import guard
from ...verify.proofs.prover import proof_of
from .contestants import Trained
from .fairness import Errors, Timing, timed
from .solver_curve import errors_from
from .yardstick import Yardstick

GUARD_TOLERANCE = 1e-2
BUDGET = 10  # solver calls of the search


@dataclass(frozen=True)
class Row:
    """One surrogate."""

    name: str
    kind: str  # network, baseline, guarded or given
    errors: Errors
    spread: tuple[float, float]  # smallest and largest mean discrete error over the seeds
    seeds: int
    one: Timing
    batch: Timing
    training: float  # seconds, snapshots included
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, but for numbers that JSON does not have."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(kept: dict[str, Any]) -> Row:
        """The row that ``to_json`` gave."""
        low, high = kept["spread"]
        times = {key: Timing(**kept[key]) for key in ("one", "batch")}
        return Row(**{**kept, **times, "errors": errors_from(kept["errors"]), "spread": (float(low), float(high))})


def proves(problem: Problem) -> bool:
    """Whether a guard has bounds to go by."""
    return proof_of(problem).proves


def measured(one: Trained, yardstick: Yardstick, Q: Float[np.ndarray, "batch d"], search: bool, known: float) -> Row:
    """Measure one surrogate: errors at the yardstick's inputs, times of one query and of the batch Q.

    Args:
        search: look for the worst error as well, where there is a bound to climb.
        known: the largest discrete error that somebody has confirmed already, 0 for none.

    Raises:
        ValueError: the surrogate's answers are no fields of the problem.
    """
    problem = yardstick.problem
    for member in one.members:
        check_answers(problem, member)
    answers = [evaluate(member, yardstick.P, problem) for member in one.members]
    found = [yardstick.errors(a.fields) for a in answers]
    mean = {m: float(np.mean([e.mean[m] for e in found])) for m in found[0].mean}
    worst = {m: max(e.worst[m] for e in found) for m in found[0].worst}
    components = {
        c: (float(np.mean([e.components[c][0] for e in found])), max(e.components[c][1] for e in found))
        for c in found[0].components
    }
    remarks = list(dict.fromkeys(trouble for a in answers for trouble in a.trouble))
    worst["discrete"] = max(worst["discrete"], known)
    member = one.members[0]
    failed = getattr(member, "training", {}).get("dropped", {}).get("failed", 0)
    if failed:
        remarks.append(f"{failed} snapshots failed")
    if search and proves(problem) and captured(member).basis is not None:
        result = falsify(
            problem, member, GUARD_TOLERANCE, BUDGET, 0, starts=1024, shrink=0, executor=yardstick.executor
        )
        worst["discrete"] = float(np.fmax(worst["discrete"], result.worst))  # NaN: undecided
        remarks.append(f"search: {result.verdict}")
    means = [e.mean["discrete"] for e in found]
    return Row(
        one.name,
        one.kind,
        Errors(mean, worst, components),
        (min(means), max(means)),
        len(one.members),
        timed(lambda: np.asarray(member(Q[:1])), 1, 15),
        timed(lambda: np.asarray(member(Q)), len(Q)),
        one.training,
        "; ".join(remarks),
    )


def guarded(one: Trained, yardstick: Yardstick, Q: Float[np.ndarray, "batch d"]) -> Row:
    """The first member behind a guard; answers that had to be solved are in the time."""
    answer = guard(yardstick.problem, one.members[0], GUARD_TOLERANCE)
    errors = yardstick.errors(answer(yardstick.P).u)
    buffer = np.empty((len(Q), yardstick.problem.size))
    counts = answer(Q).counts
    mean = errors.mean["discrete"]
    routes = ", ".join(f"{n} {route}" for route, n in counts.items() if n)
    return Row(
        f"guarded {one.name}",
        "guarded",
        errors,
        (mean, mean),
        1,
        timed(lambda: answer(Q[:1], out=buffer), 1, 15),
        timed(lambda: answer(Q, out=buffer), len(Q)),
        one.training,
        f"tolerance {GUARD_TOLERANCE:g}: {routes}",
    )
