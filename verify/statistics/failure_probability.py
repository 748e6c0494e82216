"""``failure_probability``: how likely the error of a surrogate is beyond the tolerance, over the inputs' sampling law.

By default the estimator that applies: where proved bounds decide some of the draws without a solve, ``two_phase.py``;
else independent draws with an exact interval, ``independent.py``. Inputs that a search found are no draws and never
enter. The surrogate answering with no field of numbers is a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.precision import in_float64
from ...solvers.problem import Problem
from ...solvers.processes.rows import attempt_rows
from ...solvers.processes.sending import check_executor
from ...solvers.seed import checked_seed
from ...solvers.tolerance import Tolerance
from ..answers.evaluate import captured, evaluate
from ..answers.first_call import check_answers
from ..proofs.prover import prover, unchanged
from ..search.signal import BROKEN, Signal, make_signal
from .errors import scaled_errors
from .independent import DRAWS, SEQUENCE, independent_draws
from .probability import FailureProbability
from .subset_simulation import SUBSET, subset_simulation
from .two_phase import TWO_PHASE, two_phase

METHODS = (DRAWS, SEQUENCE, TWO_PHASE, SUBSET)
TRIED = 256  # draws that tell whether bounds decide any
DECIDED = 0.1  # the share of them from which two phases pay
PER_CALL, MOST = (
    {True: 1000, False: 50},
    {True: 10**6, False: 10**5},
)  # draws to bound, from coefficients or from fields
CHUNK = 256  # solves between two reports of progress


@in_float64
def failure_probability(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    calls: int = 1000,
    seed: int = 0,
    *,
    absolute: float | None = None,
    method: str | None = None,
    confidence: float = 0.95,
    population: int | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> FailureProbability:
    """The probability that ||e|| > absolute + tolerance ||u||, with at most ``calls`` solves; statistical, not a proof.

    Args:
        absolute: as in ``falsify``.
        method: None for what applies; "draws", "sequence" (draws, with an interval that holds also if ``calls`` is
            raised, with the same seed, until it says enough), "two-phase", "subset simulation" (3000 calls or more;
            it may be not ``reliable``, and says so).
        population: of two phases, how many draws to bound; None for 1000 a call where bounds are of coefficients, at
            most a million, and 50 where they are of fields.
        executor: where the solves run, as in ``sample``.
        progress: told the stage in words, how much of it is done, and how much there is.

    Raises:
        ValueError: a tolerance that is not positive, fewer than one call, an unknown method or one that does not
            apply, a problem without a solver.
    """
    unchanged(problem)
    allowed = Tolerance.of(problem, tolerance, absolute)
    seed = checked_seed(seed)
    calls = _whole(calls, "calls is how many solves to spend")
    population = None if population is None else _whole(population, "population is how many draws to bound")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is a probability between 0 and 1, such as 0.95, not {confidence!r}")
    if method is not None and method not in METHODS:
        raise ValueError(f"the method is one of {', '.join(METHODS)}, or None for what applies, not {method!r}")
    if not problem.has_solver:
        raise ValueError(
            f"{problem.name} has no solver: falsify(..., tests=) tells how likely failures are by rows held out"
        )
    check_executor(executor)
    model = captured(surrogate)
    check_answers(problem, model)
    box, report = problem.inputs, progress or (lambda stage, done, total: None)

    def error_of(u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        errors = []
        for start in range(0, len(u), CHUNK):
            report("solving", start, len(u))
            P = box.from_law(u[start : start + CHUNK])
            truths = np.asarray(attempt_rows(problem, P, executor)[0].u)
            answers = evaluate(model, P, problem)
            errors.append(scaled_errors(problem, P, answers, truths, allowed.scale)[0])
        return np.concatenate(errors)

    notes: tuple[str, ...] = ()
    signal = make_signal(problem, model, allowed.scale) if method in (None, TWO_PHASE) else None
    if signal is not None:
        decided = _decided(problem, signal, allowed.relative, seed)
        if method is None:
            method = TWO_PHASE if decided >= DECIDED else DRAWS
        if method == TWO_PHASE and signal.proved is None:
            raise ValueError(
                f"two phases need proved bounds, which there are none of for {problem.name}: method='draws'"
            )
        if method == DRAWS and signal.proved is not None:
            notes = (f"proved bounds decide {100 * decided:.3g} % of draws, too few to save solves",)
    d = box.dimension
    if method == TWO_PHASE:
        assert signal is not None and signal.proved is not None
        of_coefficients = prover(problem, model).reduced is not None
        count = population or min(PER_CALL[of_coefficients] * calls, MOST[of_coefficients])
        bound_of = _bounds(problem, signal)
        return two_phase(error_of, bound_of, d, allowed.relative, calls, seed, max(count, calls), confidence, progress)
    if method == SUBSET:
        return subset_simulation(error_of, d, allowed.relative, calls, np.random.default_rng([seed, 13]), confidence)
    rng = np.random.default_rng([seed, 14])
    found = independent_draws(error_of, d, allowed.relative, calls, rng, confidence, at_any=method == SEQUENCE)
    return replace(found, notes=(*notes, *found.notes))


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{what}, a whole number of at least 1, not {value!r}")
    return int(value)


def _bounds(problem: Problem, signal: Signal) -> Callable[[np.ndarray], np.ndarray]:
    """Proved bounds at uniform points, infinite where there are none."""
    proved = signal.proved
    assert proved is not None

    def bound_of(u: np.ndarray) -> np.ndarray:
        found = np.asarray(proved(problem.inputs.from_law(u)), dtype=np.float64)
        return np.where(found < BROKEN, found, np.inf)  # NaN, too

    return bound_of


def _decided(problem: Problem, signal: Signal, tolerance: float, seed: int) -> float:
    """The share of a few draws that proved bounds decide."""
    if signal.proved is None:
        return 0.0
    some = np.random.default_rng([seed, 15]).random((TRIED, problem.inputs.dimension))
    return float((_bounds(problem, signal)(some) <= tolerance).mean())
