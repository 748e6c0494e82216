"""``falsify``: search the input space for failures, spending solves only on confirmation.

The climb (``search.py``) follows the sharpest signal that costs no solve (``signal.py``); the solver then confirms the
best distinct peaks, so that a counterexample is never a matter of the signal. A tenth of the budget goes to
independent draws from the sampling law: only they enter the statistics, points found by optimisation never do. Where
there is no signal at all the true error is climbed within the budget by the same evolution strategy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import beta

from ..solvers.precision import require_float64
from ..solvers.problem import Problem
from .certificate import against
from .counterexample import Counterexample, measured_error
from .search import STARTS, find_peaks
from .signal import make_signal
from .surrogate import evaluate

VERDICTS = ("falsified", "not falsified")


@dataclass(frozen=True)
class Falsification:
    """What a search found. ``worst`` is the largest *confirmed* relative error; finding nothing proves nothing.

    ``failure_probability_upper``: 95 % Clopper-Pearson bound from the independent draws alone (statistical evidence).
    """

    counterexamples: list[Counterexample]
    worst: float
    worst_inputs: Float[np.ndarray, " d"]
    solver_calls: int
    tolerance: float
    verdict: str
    signal: str
    evaluations: int
    draws: int
    draws_failed: int
    failure_probability_upper: float
    against: str
    seconds: float
    notes: tuple[str, ...] = ()


class _Confirmation:
    """Spends the budget: solves, measures, keeps what fails."""

    def __init__(self, problem: Problem, surrogate: Callable[[Any], Any], tolerance: float, budget: int, seed: int):
        self.problem, self.surrogate, self.tolerance = problem, surrogate, tolerance
        self.budget, self.seed, self.calls, self.failed_solves = budget, seed, 0, 0
        self.found: list[Counterexample] = []
        self.trouble: dict[str, None] = {}
        self.worst, self.worst_inputs = 0.0, np.full(problem.inputs.dimension, np.nan)

    def check(self, P: np.ndarray, how: str) -> Float[np.ndarray, " n"]:
        """Confirmed relative errors at P, as far as the budget reaches; NaN where the truth itself failed."""
        P = P[: max(self.budget - self.calls, 0)]
        if not len(P):
            return np.zeros(0)
        evaluation = evaluate(self.surrogate, P, self.problem.size)
        fields = evaluation.fields
        self.trouble.update(dict.fromkeys(evaluation.trouble))
        truths = np.asarray(self.problem.attempt_batch(P).u)
        errors = np.full(len(P), np.nan)
        for i, (p, field, truth) in enumerate(zip(P, fields, truths, strict=True)):
            self.calls += 1
            if not np.isfinite(truth).all():
                self.failed_solves += 1
                continue
            error, lower, upper, evidence = measured_error(self.problem, p, field, truth)
            errors[i] = error
            if error > self.worst:
                self.worst, self.worst_inputs = error, p
            if lower > self.tolerance:
                self.found.append(
                    Counterexample(
                        inputs=p,
                        error=error,
                        lower=lower,
                        upper=upper,
                        evidence=evidence,
                        tolerance=self.tolerance,
                        found=how,
                        solver_calls=self.calls,
                        field=field,
                        problem_name=self.problem.name,
                        problem_settings=self.problem.settings,
                        seed=self.seed,
                    )
                )
        return errors


def falsify(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    budget: int = 100,
    seed: int = 0,
    *,
    starts: int = STARTS,
    progress: Callable[[str, int, int], None] | None = None,
) -> Falsification:
    """Search for inputs where the relative error exceeds ``tolerance``, with at most ``budget`` solver calls.

    The surrogate's own solver calls, if it makes any, are not counted.

    Raises:
        ValueError: tolerance or budget not positive.
        RuntimeError: float64 is switched off.
    """
    require_float64()
    if not 0 < tolerance < np.inf:
        raise ValueError(f"the tolerance is a relative error and must be positive, not {tolerance}")
    if budget < 1:
        raise ValueError(f"the budget must be at least one solver call, not {budget}")
    start = time.perf_counter()
    box = problem.inputs
    signal = make_signal(problem, surrogate)
    confirm = _Confirmation(problem, surrogate, tolerance, budget, seed)
    draws = max(1, budget // 10) if budget > 1 else 0
    evaluations, notes = 0, []
    rng = np.random.default_rng([seed, 1])
    P = box.from_law(rng.random((draws, box.dimension))) if draws else np.zeros((0, box.dimension))
    independent = confirm.check(P, "independent draw")
    if signal.kind == "none":
        notes.append("no residual and no bound to climb: the true error itself was climbed, one solve a point")
        _climb_truth(confirm, box, rng)
    else:
        peaks = find_peaks(signal, box, seed, starts, progress)
        evaluations = peaks.evaluations
        points, values = peaks.points, peaks.values
        if signal.kind == "bound":  # a proved bound within the tolerance excludes a point at no cost
            points = points[values > tolerance]
        confirm.check(box.from_unit(points), f"climbed the {signal.kind}")
        if signal.kind == "residual":
            _climb_truth(confirm, box, rng)
        if not len(points):
            confirm.check(box.from_unit(peaks.points[:3]), f"climbed the {signal.kind}")
    if confirm.failed_solves:
        notes.append(f"the solver failed at {confirm.failed_solves} inputs: nothing is known about the surrogate there")
    notes.extend(confirm.trouble)
    drawn = int(np.isfinite(independent).sum())
    failed = int((independent[np.isfinite(independent)] > tolerance).sum())
    found = sorted(_distinct(confirm.found, box), key=lambda c: -c.error)
    return Falsification(
        counterexamples=found,
        worst=confirm.worst,
        worst_inputs=confirm.worst_inputs,
        solver_calls=confirm.calls,
        tolerance=tolerance,
        verdict=VERDICTS[0] if found else VERDICTS[1],
        signal=signal.kind,
        evaluations=evaluations,
        draws=drawn,
        draws_failed=failed,
        failure_probability_upper=float(beta.ppf(0.95, failed + 1, drawn - failed)) if drawn > failed else 1.0,
        against=against(problem),
        seconds=time.perf_counter() - start,
        notes=tuple(notes),
    )


def _climb_truth(confirm: _Confirmation, box: Any, rng: np.random.Generator) -> None:
    """Evolution on the true error with what is left of the budget: half exploring, half around the best."""
    remaining = confirm.budget - confirm.calls
    if remaining < 1:
        return
    X = rng.random((max(remaining // 2, 1), box.dimension))
    errors = confirm.check(box.from_unit(X), "explored")
    best = box.to_unit(confirm.worst_inputs) if confirm.worst > 0 else X[0]
    top, step = confirm.worst, 0.2
    while confirm.calls < confirm.budget and len(errors):
        x = np.clip(best + step * rng.standard_normal((4, box.dimension)), 0, 1)
        errors = confirm.check(box.from_unit(x), "climbed the true error")
        if confirm.worst > top:
            top, best, step = confirm.worst, box.to_unit(confirm.worst_inputs), min(step * 1.5, 0.5)
        else:
            step = max(step * 0.7, 1e-4)


def _distinct(records: list[Counterexample], box: Any) -> list[Counterexample]:
    """The worst of those within a hundredth of the box of each other."""
    kept: list[Counterexample] = []
    for record in sorted(records, key=lambda c: -c.error):
        x = box.to_unit(record.inputs)
        if all(np.abs(x - box.to_unit(other.inputs)).max() > 1e-2 for other in kept):
            kept.append(record)
    return kept
