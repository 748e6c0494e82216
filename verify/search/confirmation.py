"""What a search spends its solves on: solve, measure, keep what fails, and remember what the errors do not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.component_errors import component_errors
from ...solvers.outputs import Output
from ...solvers.problem import Attempt, Problem
from ...solvers.processes.rows import attempt_rows, why_not
from ...solvers.tolerance import Tolerance
from ..answers.evaluate import captured, evaluate
from ..evidence import Evidence
from ..measured_error import exceeds, measured
from ..unsolved import unsolved_inputs, with_others
from .counterexample import Counterexample
from .slopes import TrueSlope
from .unseen import Unseen
from .unsolved_input import UnsolvedInput

TEST = "test input"  # how inputs were found whose solutions were given
BYTES, LEAST = 1 << 28, 32  # of solutions that are held at a time; inputs that are solved together all the same


class Confirmation:
    """Errors confirmed by the solver, at no more than ``budget`` of its calls.

    ``found`` holds a record of each error above the tolerance; ``worst`` and ``worst_inputs`` are of the largest error;
    ``unsolved`` a record of each input at which the solver failed; ``compared`` counts errors that are numbers,
    ``calls`` the solver's, of which ``adjoints`` were spent on slopes; ``asked`` and ``errors`` are the inputs that
    were compared with solutions, and their errors, ``spent`` the calls until then; ``known`` is the error by input, to
    the bit; ``notes`` says what is not known.
    """

    def __init__(
        self,
        problem: Problem,
        surrogate: Callable[[Any], Any],
        allowed: Tolerance,
        budget: int,
        seed: int,
        report: Callable[[str, int, int], None],
        output: Output | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.executor = executor
        self.problem, self.allowed = problem, allowed
        self.budget, self.seed, self.report, self.output = budget, seed, report, output
        self.calls, self.compared, self.failed_solves, self.not_numbers, self.open = 0, 0, 0, 0, 0
        self.adjoints, self.spent = 0, list[int]()
        self.known: dict[bytes, float] = {}
        self.slopes: dict[bytes, np.ndarray] = {}
        self.model = captured(surrogate)
        self.slope = TrueSlope(problem, self.model, allowed.scale, output)
        self.asked: list[np.ndarray] = []
        self.errors: list[float] = []
        self._unsolved: dict[tuple[Any, ...], UnsolvedInput] = {}
        self.found: list[Counterexample] = []
        self.trouble: dict[str, None] = {}
        self.unseen = Unseen(problem, allowed)
        self.component_errors: dict[str, float] = {}
        self.worst, self.worst_inputs = 0.0, np.full(problem.inputs.dimension, np.nan)

    @property
    def left(self) -> int:
        return max(self.budget - self.calls, 0)

    def check(self, P: np.ndarray, how: str | Sequence[str]) -> Float[np.ndarray, " n"]:
        """Confirmed errors at P, as far as the budget reaches, solved together where there is an executor; NaN where
        nothing could be compared.

        Args:
            how: how the inputs were found, for the records; of all of them, or of each.
        """
        P = P[: self.left]
        if not len(P):
            return np.zeros(0)
        ways = [how] * len(P) if isinstance(how, str) else how[: len(P)]
        most = max(LEAST, BYTES // (8 * self.problem.size))
        errors = []
        for i in range(0, len(P), most):
            self.report("solving", self.calls, self.budget)
            attempts, reasons = attempt_rows(self.problem, P[i : i + most], self.executor)
            errors.append(self._solved(P[i : i + most], attempts, reasons, ways[i : i + most]))
        self.report("solving", self.calls, self.budget)
        return np.concatenate(errors)

    def check_slope(self, p: Float[np.ndarray, " d"], how: str) -> tuple[float, Float[np.ndarray, " d"]]:
        """The confirmed error at p and the slope of its logarithm in unit coordinates, by a solve and its adjoint, here
        and not by the executor: two calls, which must be left; none where it was asked before.
        """
        if p.tobytes() in self.slopes:
            return self.known[p.tobytes()], self.slopes[p.tobytes()]
        assert self.left >= 2
        attempt, slope = self.slope(p)
        self.slopes[p.tobytes()] = slope
        self.calls, self.adjoints = self.calls + 1, self.adjoints + 1
        rows = Attempt(*(np.asarray(part)[None] for part in attempt))  # type: ignore[arg-type]
        error = float(self._solved(p[None], rows, [why_not(self.problem, p, attempt)], how)[0])
        self.report("solving", self.calls, self.budget)
        return error, slope

    def _solved(
        self, P: np.ndarray, attempts: Attempt, reasons: list[str], how: str | Sequence[str]
    ) -> Float[np.ndarray, " n"]:
        failed = unsolved_inputs(self.problem, P, attempts, reasons, how, self.seed)
        self.failed_solves += len(failed)
        self.not_solved(failed)
        return self.compare(P, np.asarray(attempts.u), how, solved=True)

    @property
    def unsolved(self) -> list[UnsolvedInput]:
        return list(self._unsolved.values())

    def not_solved(self, records: Iterable[UnsolvedInput]) -> None:
        """Keep inputs at which the truth failed."""
        for record in records:
            self._unsolved.setdefault(record.key, record)

    def compare(
        self, P: np.ndarray, truths: np.ndarray, how: str | Sequence[str], solved: bool = False
    ) -> Float[np.ndarray, " n"]:
        """Errors at P [n, d] against truths [n, N] that are known; NaN where there is none.

        Args:
            how: as in ``check``.
            solved: each truth cost a call.
        """
        evaluation = evaluate(self.model, P, self.problem)
        self.trouble.update(dict.fromkeys(evaluation.trouble))
        errors = np.full(len(P), np.nan)
        ways = [how] * len(P) if isinstance(how, str) else how[: len(P)]
        rows = zip(P, evaluation.fields, evaluation.answered, truths, ways, strict=True)
        for i, (p, field, answered, truth, way) in enumerate(rows):
            self.calls += int(solved)
            if np.isfinite(truth).all():
                errors[i] = self._measure(p, field, truth, way, bool(answered))
            self.spent.append(self.calls)
            self.known[p.tobytes()] = errors[i]
        self.asked += list(P)
        self.errors += errors.tolist()
        return errors

    def _measure(self, p: np.ndarray, field: np.ndarray, truth: np.ndarray, how: str, answered: bool) -> float:
        scale, output = self.allowed.scale, self.output
        error, lower, upper, evidence = measured(self.problem, output, p, field, truth, scale)
        if not answered:  # a field that is not there has no proved error
            evidence = Evidence.OBSERVED
        if np.isnan(error):
            self.not_numbers += 1
            return error
        self.compared += 1
        parts: dict[str, float] = {}
        if output is None:
            self.unseen.add(p, truth)
            parts = component_errors(self.problem, p, field, truth, scale)
        for name, part in parts.items():
            self.component_errors[name] = float(np.maximum(part, self.component_errors.get(name, 0.0)))
        if not np.isfinite(self.worst_inputs).all() or error > self.worst:
            self.worst, self.worst_inputs = error, p
        if exceeds(error, lower, evidence, self.allowed.relative):
            self.found.append(self._record(p, (error, lower, upper, evidence), field, how, parts))
        elif error > self.allowed.relative or (evidence is Evidence.PROVED and upper > self.allowed.relative):
            self.open += 1
        return error

    def _record(
        self,
        p: np.ndarray,
        measured: tuple[float, float, float, Evidence],
        field: np.ndarray,
        how: str,
        parts: dict[str, float],
    ) -> Counterexample:
        error, lower, upper, evidence = measured
        return Counterexample(
            inputs=p,
            error=error,
            lower=lower,
            upper=upper,
            evidence=evidence,
            tolerance=self.allowed.relative,
            found=how,
            solver_calls=self.calls,
            field=field,
            problem_name=self.problem.name,
            problem_settings=self.problem.settings,
            fingerprint=self.problem.fingerprint,
            seed=self.seed,
            absolute=self.allowed.absolute,
            component_errors=parts,
            output="" if self.output is None else self.output.name,
        )

    def notes(self) -> list[str]:
        """What is not known, and why."""
        said = []
        if self.failed_solves:
            solves = self.calls - self.adjoints
            first = next((one for one in self.unsolved if one.found != TEST), self.unsolved[0])
            said.append(
                f"the solver failed at {self.failed_solves} of the {solves} inputs that it was asked: nothing is known "
                f"about the surrogate there. The first: {with_others(self.problem, first.reason)}"
            )
        tests = sum(one.found == TEST for one in self.unsolved)
        if tests:
            said.append(f"{tests} of the test inputs came without a solution: they are listed with the unsolved ones")
        if self.not_numbers:
            said.append(
                f"at {self.not_numbers} inputs the error is not a number (a norm that is NaN, or infinite): undecided"
            )
        if self.open:
            said.append(
                f"at {self.open} inputs the solver's own error is too large to tell on which side of the tolerance "
                "the surrogate is: solve more accurately"
            )
        return [*said, *self.unseen.notes(), *self.trouble]
