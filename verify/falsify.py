"""``falsify``: search the input space for failures, spending solves only on confirmation.

The climb (``peaks.py``) follows the sharpest signal that costs no solve (``signal.py``); the solver then confirms
the best distinct peaks, so that a counterexample is never a matter of the signal. A tenth of the budget goes to
independent draws from the sampling law: only they enter the statistics (``draws.py``), points found by optimisation
never do. Where there is no signal at all the true error is climbed within the budget by the same evolution strategy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.outputs import Output, find_output
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.problems.dataset import DatasetProblem
from ..solvers.seed import checked_seed
from ..solvers.snapshots.snapshot_file import Snapshots, as_json
from ..solvers.tolerance import Tolerance
from .answers.batch_remark import batch_remark
from .answers.evaluate import captured
from .answers.first_call import check_answers
from .certificate import Against
from .proofs.prover import unchanged
from .search.confirmation import Confirmation
from .search.counterexample import Counterexample
from .search.peaks import STARTS, find_peaks
from .search.relation import broken_relation
from .search.signal import BROKEN, Signal, make_signal
from .statistics.draws import Draws

VERDICTS = ("falsified", "not falsified", "undecided")


@dataclass(frozen=True)
class Falsification:
    """What a search found; finding nothing proves nothing. Errors are relative to the solution's size plus ``absolute /
    tolerance``.

    ``worst`` is the largest *confirmed* error, NaN where no error was; ``component_errors``: likewise of each component
    by itself, where there are several. ``verdict`` is "undecided" where no failure is
    confirmed, and either nothing could be compared, or an error is not a number, or it lies above the tolerance by no
    more than the solver's own error. ``failure_probability_upper``: 95 % Clopper-Pearson bound from the independent
    draws alone (statistical evidence), of the inputs that the solver answers; ``failure_or_unsolved_upper`` counts as
    failures those that it does not.
    """

    counterexamples: list[Counterexample]
    worst: float
    worst_inputs: Float[np.ndarray, " d"]
    solver_calls: int
    tolerance: float
    absolute: float
    verdict: str
    signal: str
    evaluations: int
    draws: int
    draws_failed: int
    draws_proved: int
    draws_unsolved: int
    failure_probability_upper: float
    failure_or_unsolved_upper: float
    measured_against: Against
    seconds: float
    component_errors: dict[str, float]
    notes: tuple[str, ...] = ()
    output: str = ""  # the name of the output that errors are of; "" for those of fields

    @property
    def against(self) -> str:
        """What errors are errors against, with the truth's own estimated distance to the PDE."""
        return self.measured_against.words

    def __repr__(self) -> str:
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return (
            f"Falsification({self.verdict} at tolerance {self.tolerance:g}: {len(self.counterexamples)} "
            f"counterexamples, worst confirmed error {self.worst:.4g}, {self.solver_calls} solver calls{notes})"
        )


@in_float64
def falsify(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    budget: int = 100,
    seed: int = 0,
    *,
    absolute: float | None = None,
    draws: int | None = None,
    tests: Snapshots | None = None,
    starts: int = STARTS,
    output: str | Output | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Falsification:
    """Search for inputs where the error exceeds ``absolute + tolerance ||u||``, with at most ``budget`` solver calls.

    The surrogate's own solver calls, if it makes any, are not counted.

    Args:
        absolute: an error allowed whatever the size of the solution, in the problem's norm; None for the problem's own
            (``Problem.zero_scale``).
        draws: independent draws from the sampling law for the probability of failure, beside the search: each costs
            a solve above the budget, unless its error is proved to be within the tolerance. None: a tenth of the
            budget, within it.
        tests: solutions at inputs that training never saw. They cost no call, and count as draws where they are
            independent draws from the sampling law (``sample(..., independent=True)``). Of a data set without a solver
            they are all that is compared, and draws from the data's own law; left out, all its rows are.
        starts: points that the climb begins with (``find_peaks``).
        output: the name of an output of the problem, or one made by ``assay.output``: errors are of this number then,
            |l(u) - l(N)| > absolute + tolerance |l(u)|, and ``absolute`` is in its unit, 0 if left out.
        progress: told the stage in words, how much of it is done, and how much there is.

    Raises:
        ValueError: tolerance or budget not positive, absolute or draws negative, tests of another problem, an unknown
            output.
        RuntimeError: float64 is switched off.
    """
    proof = unchanged(problem)
    about = None if output is None else find_output(proof.problem, output)
    allowed = Tolerance.of(problem, tolerance, absolute, None if about is None else about.name)
    of_fields = allowed if about is None else Tolerance.of(problem, tolerance)
    budget = _whole(budget, 1, "the budget must be a whole number, at least one solver call")
    draws = None if draws is None else _whole(draws, 0, "draws must be a whole number, zero or more")
    seed = checked_seed(seed)
    start = time.perf_counter()
    box = problem.inputs
    report = progress or (lambda stage, done, total: None)
    model = captured(surrogate)
    alone = check_answers(problem, model)
    assert alone is not None
    signal = make_signal(problem, model, allowed.scale, about)
    rng = np.random.default_rng([seed, 1])
    if not problem.has_solver:
        budget = draws = 0
    count = draws if draws is not None else (max(1, budget // 10) if budget > 1 else 0)
    confirm = Confirmation(problem, model, allowed, budget if draws is None else count, seed, report, about)
    notes = [note for note in (batch_remark(problem, model, alone, of_fields),) if note]
    tested = _test(confirm, tests, notes)
    drawn = tested + _draw(confirm, signal, box.from_law(rng.random((count, box.dimension))), report)
    if draws is not None:
        confirm.budget = confirm.calls + budget
    evaluations = _search(confirm, signal, seed, starts, rng, report, notes)
    found = sorted(_distinct(confirm.found, box), key=lambda c: -c.error)
    return Falsification(
        counterexamples=found,
        worst=confirm.worst if confirm.compared else np.nan,
        worst_inputs=confirm.worst_inputs,
        solver_calls=confirm.calls,
        tolerance=allowed.relative,
        absolute=allowed.absolute,
        verdict=_verdict(confirm, allowed.relative),
        signal=signal.kind,
        evaluations=evaluations,
        draws=drawn.decided,
        draws_failed=drawn.failed,
        draws_proved=drawn.proved,
        draws_unsolved=drawn.unsolved,
        failure_probability_upper=drawn.upper,
        failure_or_unsolved_upper=drawn.upper_with_unsolved,
        measured_against=Against(problem),
        seconds=time.perf_counter() - start,
        component_errors=confirm.component_errors,
        notes=(*notes, *confirm.notes(), *model.changes()),
        output="" if about is None else about.name,
    )


def _whole(value: Any, least: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{what}, not {value!r}")
    return int(value)


def _verdict(confirm: Confirmation, tolerance: float) -> str:
    if confirm.found:
        return VERDICTS[0]
    # written so that a worst error that is not a number would be undecided, too
    decided = confirm.compared > 0 and confirm.not_numbers == 0 and confirm.worst <= tolerance
    return VERDICTS[1] if decided else VERDICTS[2]


def _test(confirm: Confirmation, tests: Snapshots | None, notes: list[str]) -> Draws:
    """Errors at inputs whose solutions are known; draws if they are independent of each other."""
    problem, box = confirm.problem, confirm.problem.inputs
    if tests is None and isinstance(problem, DatasetProblem):
        confirm.compare(problem.known_inputs, problem.known_fields, "row of the data")
        notes.append(
            f"errors are at the {len(problem.known_inputs)} rows of the data, those that it was trained on among them: "
            "pass rows that training never saw, tests="
        )
    if tests is None:
        return Draws(0, 0)
    about, mine = (tests.problem_name, tests.problem_settings), (problem.name, as_json(problem.settings))
    if about != mine or tests.fields.shape[1] != problem.size or tests.inputs.shape[1] != box.dimension:
        raise ValueError(f"the tests are of {about[0]} {about[1]}, not of {mine[0]} {mine[1]}")
    errors = confirm.compare(tests.inputs, tests.fields, "test input")
    if not problem.has_solver:
        notes.append(
            f"the {len(tests)} test rows count as draws from the law that the data came from, if they were held "
            "out at random and no surrogate was chosen by them"
        )
    elif not np.allclose(box.to_unit(box.draw(len(tests), tests.seed)), box.to_unit(tests.inputs), rtol=0, atol=1e-9):
        notes.append(
            f"the {len(tests)} test inputs are no independent draws (a Sobol design?): the probability of failure is "
            "told without them"
        )
        return Draws(0, 0)
    else:
        notes.append(f"the {len(tests)} test inputs count among the draws, as long as no surrogate was chosen by them")
    unsolved = int((~tests.valid).sum())
    return Draws(
        len(tests) - unsolved, len(tests) - unsolved - int((errors <= confirm.allowed.relative).sum()), 0, unsolved
    )


def _draw(
    confirm: Confirmation, signal: Signal, P: Float[np.ndarray, "n d"], report: Callable[[str, int, int], None]
) -> Draws:
    """Independent draws, each decided by a proof, or by a solve."""
    if not len(P):
        return Draws(0, 0)
    tolerance = confirm.allowed.relative
    upper = np.full(len(P), np.inf)
    if signal.proved is not None:
        for i in range(0, len(P), 512):
            upper[i : i + 512] = signal.proved(P[i : i + 512])
            report("proving draws", min(i + 512, len(P)), len(P))
    proved = (upper <= tolerance) & (upper < BROKEN)
    errors = confirm.check(P[~proved], "independent draw")
    unsolved = confirm.failed_solves
    # an error that is no number is no success
    failed = len(errors) - unsolved - int((errors <= tolerance).sum())
    return Draws(len(P) - unsolved, failed, int(proved.sum()), unsolved)


def _search(
    confirm: Confirmation,
    signal: Signal,
    seed: int,
    starts: int,
    rng: np.random.Generator,
    report: Callable[[str, int, int], None],
    notes: list[str],
) -> int:
    """Spend the budget on the peaks of the signal; how often the signal was evaluated."""
    box = confirm.problem.inputs
    if isinstance(confirm.problem, DatasetProblem):
        notes.append("there is no solver: nothing is known of errors at other inputs than those of the data")
        peaks = find_peaks(signal, box, seed, starts, report) if signal.kind == "residual" else None
        points = box.centre[None] if peaks is None else box.from_unit(peaks.points)
        notes += broken_relation(confirm.problem, confirm.surrogate, points)
        return 0 if peaks is None else peaks.evaluations
    if signal.kind == "none":
        _climb_truth(confirm, rng)
        notes.append("no residual and no bound to climb: the true error itself was climbed, one solve a point")
        return 0
    peaks = find_peaks(signal, box, seed, starts, report)
    points = peaks.points
    if signal.kind == "bound":  # a proved bound within the tolerance excludes a point at no cost
        points = points[~(peaks.values <= confirm.allowed.relative)]
    confirm.check(box.from_unit(points), f"climbed the {signal.kind}")
    blind = bool((peaks.values >= BROKEN).all())
    if blind and confirm.left:
        notes.append(
            f"no finite {signal.kind} to climb was found: the true error itself was climbed, one solve a point"
        )
    if blind or signal.kind != "bound":
        _climb_truth(confirm, rng)
    if not len(points):
        confirm.check(box.from_unit(peaks.points[:3]), f"climbed the {signal.kind}")
    if confirm.left:
        notes.append(
            f"{confirm.left} solver calls of the budget were not spent: no other peak of the {signal.kind} lies above "
            "the tolerance"
        )
    return peaks.evaluations


def _climb_truth(confirm: Confirmation, rng: np.random.Generator) -> None:
    """Evolution on the true error with what is left of the budget: half exploring, half around the best."""
    if not confirm.left:
        return
    box = confirm.problem.inputs
    X = rng.random((max(confirm.left // 2, 1), box.dimension))
    errors = confirm.check(box.from_unit(X), "explored")
    best = box.to_unit(confirm.worst_inputs) if confirm.worst > 0 else X[0]
    top, step = confirm.worst, 0.2
    while confirm.left and len(errors):
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
