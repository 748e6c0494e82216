"""``calibrate``: choose by draws with known errors which answers a guard may accept without a proof.

The theorem is in ``thresholds.py``, which signal in ``signals.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.seed import checked_seed
from ...solvers.snapshots.sample import sample
from ...solvers.tolerance import Tolerance
from ..answers.evaluate import Model, captured, evaluate
from ..answers.first_call import check_answers
from ..proofs.prover import unchanged
from ..search.distance import training_inputs
from ..search.further import another
from .calibration import NONE, SAME, Calibration, counts, sketch, solver_hash
from .errors import check_rows_of, check_unseen, scaled_errors, why_no_draws
from .signals import choose_signal
from .thresholds import least_draws, qualified

FREE = 1000  # draws without a solve, by which thresholds are placed
REPEATED = 16  # draws that are asked twice
DATA_LAW = "inputs drawn as the rows of the data were"


@in_float64
def calibrate(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    snapshots: Any = None,
    *,
    n: int = 200,
    tolerance: float = 1e-2,
    miscoverage: float = 0.05,
    confidence: float = 0.95,
    seed: int = 0,
    absolute: float | None = None,
    beside: Callable[[Any], Any] | None = None,
    distance: bool = False,
    executor: Executor | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Calibration:
    """Which answers ``guard(..., calibration=)`` may accept: of these at most the share ``miscoverage`` is beyond the
    tolerance, with this confidence over the draws, for inputs drawn from the problem's sampling law. Never a proof.

    Args:
        snapshots: solutions at independent draws that neither training nor any choice among surrogates saw
            (``sample(problem, n, independent=True)``); rows that were not solved are left out. None: ``n`` are solved.
        absolute: an error allowed whatever the size of the solution, as in ``guard``.
        beside: another surrogate of the problem: how far the two disagree is the signal. The guard takes it, too.
        distance: how far inputs are from those that the surrogate learnt from (``trained_at``) is the signal.
        executor: where the solves run, as in ``sample``.
        progress: called with (rows solved, n).

    Raises:
        ValueError: too few solved draws for the confidence (the number needed is named), a Sobol design in place of
            draws, solutions of another problem, a surrogate that answers the same input differently, training inputs
            that nobody tells, or arguments that make no sense.
    """
    unchanged(problem)
    allowed = Tolerance.of(problem, tolerance, absolute)
    seed = checked_seed(seed)
    for name, value in (("miscoverage", miscoverage), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ValueError(f"the {name} is a probability between 0 and 1, such as 0.05 or 0.95, not {value!r}")
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n is how many draws to solve at, a whole number such as 200, not {n!r}")
    least = least_draws(miscoverage, 1 - confidence)
    ask = f"a miscoverage of {miscoverage:g} at confidence {confidence:g} takes {least} solved draws"
    if snapshots is None and n < least:
        raise ValueError(f"n={n} draws are too few: {ask}, all of them within the tolerance: pass n={least} or more")
    if beside is not None and distance:
        raise ValueError("a calibration is by one signal: leave out beside= or distance=")
    model = captured(surrogate)
    check_answers(problem, model)
    other = None if beside is None else another(problem, beside)
    trained_at = training_inputs(problem, surrogate) if distance else None
    notes: list[str] = []
    if snapshots is None:
        if not problem.has_solver:
            raise ValueError(f"{problem.name} has no solver: calibrate needs rows held out of the data, snapshots=")
        snapshots = sample(problem, n, seed, independent=True, executor=executor, progress=progress)
    else:
        check_rows_of(problem, snapshots, "calibrate")
        for seeing in (surrogate, beside):
            check_unseen(seeing, np.asarray(snapshots.inputs), "calibrate")
        if why := why_no_draws(problem, snapshots):
            raise ValueError(f"calibrate needs independent draws: {why}")
        notes.append("the given rows are taken for independent draws from the sampling law, which nothing else saw")
    truths = np.asarray(snapshots.fields)
    solved = np.isfinite(truths).all(axis=1)
    if not solved.all():
        notes.append(f"{int((~solved).sum())} draws had no solution: the statement is about inputs that have one")
    order = np.random.default_rng([seed, 16]).permutation(np.flatnonzero(solved))  # halves of rows given in some order
    P, truths = np.asarray(snapshots.inputs)[order], truths[order]
    if len(P) < least:
        lost = len(solved) - len(P)
        more = f"; {lost} of {len(solved)} draws had no solution: more of them are needed (n, --n)" if lost else ""
        raise ValueError(f"{len(P)} solved draws are too few: {ask}, all of them within the tolerance{more}")
    answers = evaluate(model, P, problem)
    notes += answers.trouble
    _check_repeats(problem, model, P[:REPEATED], answers.fields[:REPEATED])
    others = None if other is None else evaluate(other, P, problem).fields
    if other is not None and others is not None:
        _check_repeats(problem, other, P[:REPEATED], others[:REPEATED])
    errors, _ = scaled_errors(problem, P, answers, truths, allowed.scale)
    kind, values, trained = choose_signal(
        problem, model, allowed.scale, P, errors, seed, (miscoverage, confidence), other, trained_at
    )
    free, trained = _placing(problem, P, trained, seed)
    there = values(free)
    signals, failed = values(P), ~(errors <= allowed.relative)
    chosen = qualified(signals, failed, answers.good, there, trained, miscoverage, confidence)
    made = Calibration(
        problem_name=problem.name,
        problem_settings=problem.settings,
        law=f"inputs drawn from the sampling law of {problem.name}'s box" if problem.has_solver else DATA_LAW,
        solver_hash=solver_hash(problem),
        box=problem.inputs,
        tolerance=allowed.relative,
        absolute=allowed.absolute,
        miscoverage=float(miscoverage),
        confidence=float(confidence),
        seed=seed,
        signal=kind,
        threshold=chosen.threshold,
        accepted=chosen.accepted,
        failed=chosen.failed,
        share=float((there <= chosen.threshold).mean()),
        trained=trained,
        inputs=P,
        errors=errors,
        signals=signals,
        sketches=sketch(answers.fields),
        witness=truths[0],
        beside=NONE if others is None else sketch(others),
        trained_at=NONE if trained_at is None else trained_at,
        notes=tuple(notes),
    )
    assert not made.qualifies or counts(made) == (made.accepted, made.failed)
    return made


def _placing(
    problem: Problem, P: Float[np.ndarray, "n d"], trained: int, seed: int
) -> tuple[Float[np.ndarray, "m d"], int]:
    """Inputs that place the thresholds, never those that test them, and the number of the first of these: of data of an
    unknown law the first half of the rows.
    """
    if problem.has_solver:
        some = np.random.default_rng([seed, 9]).random((FREE, problem.inputs.dimension))
        return problem.inputs.from_law(some), trained
    half = len(P) // 2
    return P[:half], half


def _check_repeats(problem: Problem, model: Model, P: np.ndarray, fields: np.ndarray) -> None:
    again = evaluate(model, P, problem).fields
    size = np.nan_to_num(np.abs(fields)).max(initial=0.0)
    if not np.allclose(again, fields, rtol=0, atol=SAME * size, equal_nan=True):
        raise ValueError(
            "the surrogate answers the same inputs differently each time, so that no calibration could know it again: "
            "fix what is random in it"
        )
