"""``falsify``: search the input space for failures, spending solves only on confirmation.

A method (``search/methods/``) says where: by the sharpest signal that costs no solve (``signal.py``), or by the errors
that were confirmed. Only the solver confirms one, so that a counterexample is never a matter of the signal. A tenth of
the budget goes to independent draws from the sampling law: only they enter the statistics (``draws.py``), points found
by optimisation never do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.identity import check_rows
from ..solvers.outputs import Output, find_output
from ..solvers.precision import in_float64
from ..solvers.problem import Attempt, Problem
from ..solvers.problems.dataset import DatasetProblem
from ..solvers.processes.sending import check_executor
from ..solvers.seed import checked_seed
from ..solvers.snapshots.snapshot_file import Snapshots, as_json
from ..solvers.tolerance import Tolerance
from .answers.batch_remark import batch_remark
from .answers.evaluate import captured
from .answers.first_call import check_answers
from .certificate import Against
from .falsification import VERDICTS, Falsification
from .proofs.prover import unchanged
from .search.confirmation import TEST, Confirmation
from .search.counterexample import Counterexample
from .search.findings import distinct, findings
from .search.further import asked_signals, further_signals
from .search.independent import IndependentDraws
from .search.methods.catalogue import STANDARD, check_method, find_method
from .search.methods.search import Search
from .search.methods.without_solver import search_without_solver
from .search.peaks import STARTS
from .search.records import add_records, database_file, known_failures
from .search.shrinking import CALLS, checked_nominal
from .search.signal import make_signal
from .statistics.draws import Draws
from .statistics.errors import seen_in_training
from .unsolved import unsolved_inputs


@in_float64
def falsify(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    budget: int = 100,
    seed: int = 0,
    *,
    absolute: float | None = None,
    method: str = STANDARD,
    executor: Executor | None = None,
    draws: int | None = None,
    tests: Snapshots | None = None,
    starts: int = STARTS,
    output: str | Output | None = None,
    shrink: int = CALLS,
    nominal: Any = None,
    database: str | Path | None = None,
    beside: Callable[[Any], Any] | None = None,
    distance: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Falsification:
    """Search for inputs where the error exceeds ``absolute + tolerance ||u||``, with at most ``budget`` solver calls.

    The surrogate's own solver calls, if it makes any, are not counted.

    Args:
        absolute: an error allowed whatever the size of the solution, in the problem's norm; None for the problem's own
            (``Problem.zero_scale``).
        method: how it is searched, by name (``search/methods/catalogue.py``); the default is fixed. Where a
            method asks for the slope of the true error, a solve and its adjoint, that counts as two calls.
        executor: where the solves run, as in ``sample``; the same solves, wherever. Left out, here. Shared is what is
            asked at a time: draws, known failures, peaks of signals, four promises of a Gaussian process, a population,
            a step each of up to four failures that are shrunk. Slopes of the true error are computed here.
        draws: independent draws from the sampling law for the probability of failure, beside the search: each costs
            a solve above the budget, unless its error is proved to be within the tolerance. None: a tenth of the
            budget, within it.
        tests: solutions at inputs that training never saw. They cost no call, and count as draws where they are
            independent draws from the sampling law (``sample(..., independent=True)``). Of a data set without a solver
            they are all that is compared, and draws from the data's own law; left out, all its rows are.
        starts: points that the climb begins with (``find_peaks``).
        output: the name of an output of the problem, or one made by ``assay.output``: errors are of this number then,
            |l(u) - l(N)| > absolute + tolerance |l(u)|, and ``absolute`` is in its unit, 0 if left out.
        shrink: solver calls beside the budget, spent where failures were found, to simplify them: the worst first. At
            most as many as the budget. 0 leaves them as they are.
        nominal: the input [d] that they are brought near to; the centre of the box if left out.
        database: a folder that keeps failures by problem (``search/records.py``): what is known of this problem's, of
            whatever surrogate, is tried first, at half of the budget at most, and what is found is added.
        beside: another surrogate of the problem: where the two disagree is looked at, too.
        distance: whether to look far from the inputs that the surrogate learnt from, too (``trained_at``).
        progress: told the stage in words, how much of it is done, and how much there is.

    Raises:
        ValueError: tolerance or budget not positive, absolute or draws negative, tests of another problem, an unknown
            output or method, an executor of forked processes or one that the problem cannot be sent to, ``beside`` that
            is no surrogate of it, ``distance`` of one that does not tell what it learnt from.
        RuntimeError: float64 is switched off.
    """
    proof = unchanged(problem)
    about = None if output is None else find_output(proof.problem, output)
    allowed = Tolerance.of(problem, tolerance, absolute, None if about is None else about.name)
    of_fields = allowed if about is None else Tolerance.of(problem, tolerance)
    budget = _whole(budget, 1, "the budget must be a whole number, at least one solver call")
    draws = None if draws is None else _whole(draws, 0, "draws must be a whole number, zero or more")
    seed = checked_seed(seed)
    how, shrink = find_method(method), _whole(shrink, 0, "shrink is a whole number of solver calls, zero or more")
    centre = checked_nominal(problem.inputs, nominal)
    known, remarks = known_failures(database, problem) if database is not None else (None, [])
    check_executor(executor)
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
    count = draws if draws is not None else (-(-budget // 10) if budget > 1 else 0)
    confirm = Confirmation(problem, model, allowed, budget, seed, report, about, executor)
    more = asked_signals(problem, surrogate, model, allowed.scale, about, beside, distance)
    others = (*more, *further_signals(problem, model, signal, allowed.scale, about)) if problem.has_solver else ()
    if problem.has_solver:
        check_method(method, signal.kind != "none" or bool(others), confirm.slope.exists, problem.name)
    notes = [note for note in (batch_remark(problem, model, alone, of_fields),) if note]
    tested = _test(surrogate, confirm, tests, notes)
    apart = IndependentDraws(confirm, signal, box.from_law(rng.random((count, box.dimension))), report)
    confirm.budget = budget if draws is not None else budget - apart.solves
    with _kept_if_interrupted(confirm, database):
        if signal.kind == "none":  # some of the draws are all that a search may begin with
            apart.solve(box.dimension + 1)
        notes += remarks
        if known is not None and problem.has_solver:
            _try_known(confirm, known, notes)
        search = Search(confirm, signal, seed, starts, rng, report, notes, others=others)
        (how if problem.has_solver else search_without_solver)(search)
        drawn = tested + apart.solve()
        made = findings(confirm, signal, min(shrink, budget), centre if shrink else None)
    notes += made.notes
    found = made.counterexamples
    if database is not None:
        add_records(database_file(database, problem), [*found, *confirm.unsolved])
    return Falsification(
        counterexamples=found,
        worst=confirm.worst if confirm.compared else np.nan,
        worst_inputs=confirm.worst_inputs,
        solver_calls=confirm.calls,
        tolerance=allowed.relative,
        absolute=allowed.absolute,
        verdict=_verdict(confirm, found, allowed.relative),
        signal=signal.kind,
        evaluations=search.evaluations,
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
        unsolved=tuple(confirm.unsolved),
        regions=tuple(made.regions),
        shrink_calls=made.calls,
        finer_calls=made.finer_calls,
        asked=np.array(confirm.asked).reshape(-1, box.dimension),
        errors=np.array(confirm.errors),
        spent=np.array(confirm.spent, dtype=int),
        box=box,
    )


@contextmanager
def _kept_if_interrupted(confirm: Confirmation, database: str | Path | None) -> Iterator[None]:
    """What failed until a search was interrupted is known to the next one, which tries it first."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if database is not None:
            file = database_file(database, confirm.problem)
            add_records(file, [*distinct(confirm.found, confirm.problem.inputs), *confirm.unsolved])
        raise


def _whole(value: Any, least: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{what}, not {value!r}")
    return int(value)


def _try_known(confirm: Confirmation, known: Float[np.ndarray, "k d"], notes: list[str]) -> None:
    """What failed once is tried first, with half of what may be spent, so that something is left to search with."""
    some = known[: (confirm.left + 1) // 2]
    if not len(some):
        return
    before = len(confirm.found)
    confirm.check(some, "in the database")
    fail = len(confirm.found) - before
    left = f"; {len(known) - len(some)} more were left for a larger budget" if len(known) > len(some) else ""
    notes.append(f"{fail} of {len(some)} inputs of the database fail again{left}")


def _verdict(confirm: Confirmation, found: list[Counterexample], tolerance: float) -> str:
    if found:
        return VERDICTS[0]
    # written so that a worst error that is not a number would be undecided, too
    decided = confirm.compared > 0 and confirm.not_numbers == 0 and confirm.worst <= tolerance
    return VERDICTS[1] if decided else VERDICTS[2]


def _test(surrogate: Any, confirm: Confirmation, tests: Snapshots | None, notes: list[str]) -> Draws:
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
    if not hasattr(tests, "problem_name"):
        raise ValueError(
            f"tests are snapshots (sample(..., independent=True), or what Dataset.split holds out), not a "
            f"{type(tests).__name__}: assay.dataset(inputs, fields, ...).snapshots are those of arrays"
        )
    about, mine = (tests.problem_name, tests.problem_settings), (problem.name, as_json(problem.settings))
    if about != mine or tests.fields.shape[1] != problem.size or tests.inputs.shape[1] != box.dimension:
        raise ValueError(f"the tests are of {about[0]} {about[1]}, not of {mine[0]} {mine[1]}")
    if problem.has_solver:
        check_rows("the set of tests", problem, tests)
    errors = confirm.compare(tests.inputs, tests.fields, TEST)
    seen = seen_in_training(surrogate, tests.inputs)
    if seen:
        notes.append(
            f"the surrogate learnt from {seen} of the {len(tests)} test inputs: the probability of failure is told "
            "without them"
        )
        return Draws(0, 0)
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
    reasons = [tests.reasons.get(i, "") for i in range(len(tests))]
    known = Attempt(tests.fields, tests.residuals, *np.zeros((2, len(tests)), dtype=int))  # type: ignore[arg-type]
    confirm.not_solved(unsolved_inputs(problem, tests.inputs, known, reasons, TEST, confirm.seed))
    unsolved = int((~tests.valid).sum())
    return Draws(
        len(tests) - unsolved, len(tests) - unsolved - int((errors <= confirm.allowed.relative).sum()), 0, unsolved
    )
