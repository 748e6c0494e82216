"""``guard``: run a surrogate so that a wrong answer never gets out.

Three routes, cheapest first, each taken only on a proof that ||e|| <= absolute + tolerance ||u||:

    accepted   the surrogate's own field, its bound is small enough: the one at this input, or, with a trust map, the
               one of the leaf that the input lies in, which costs a lookup
    polished   the field after a correction (Galerkin in the surrogate's basis, or CG steps), certified anew
    solved     the discrete truth, with the certificate of its own residual; also whenever the surrogate raises or
               answers with NaN, infinity or another shape, or nothing can be proved

A surrogate with a basis is certified in reduced coordinates, from its coefficients alone (microseconds); any other
callable by its fields. A row that even the solver could not answer is NaN, with an infinite bound and the route
"failed"."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float

from ..solvers.batching import VectorMap
from ..solvers.foreign import SettingsChanged
from ..solvers.outputs import Output, find_output
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.processes.rows import attempt_rows
from ..solvers.processes.sending import check_executor
from ..solvers.tolerance import Tolerance
from .answers.evaluate import Model, as_float64, captured, evaluate
from .answers.first_call import check_answers
from .answers.warm_up import SIZES, warm_up
from .boxes.map_file import load_trust_map
from .boxes.region import ProvedRegion
from .boxes.trust_map import TrustMap
from .certificate import certificate_of
from .certify import STEPS, unbounded
from .guarded import ROUTES, Answer, Batch
from .proofs.bounds import ErrorBounds, OutputBounds, only_where, output_errors, scaled_upper
from .proofs.proof import ReducedProof
from .proofs.prover import prover, unchanged
from .statistical_guard import StatisticalGuard
from .statistics.calibration import Calibration
from .unsolved import unsolved_inputs, with_others


class Guard:
    """Callable ``guard(P) -> Answer``; see the module's docstring. Built by ``guard``."""

    @in_float64
    def __init__(
        self,
        problem: Problem,
        surrogate: Callable[[Any], Any],
        tolerance: float,
        trust: TrustMap | str | Path | None = None,
        absolute: float | None = None,
        output: str | Output | None = None,
    ) -> None:
        allowed = Tolerance.of(
            problem, tolerance, absolute, None if output is None else str(getattr(output, "name", output))
        )
        if output is not None and trust is not None:
            raise ValueError("a trust map bounds errors of fields, not of an output: leave out trust= or output=")
        self._wanted = output
        self.problem, self.tolerance, self.absolute = problem, allowed.relative, allowed.absolute
        self.notes: tuple[str, ...] = ()  # what is the matter with the surrogate or the proof, said with every answer
        self._scale = allowed.scale
        self._offered = captured(surrogate)
        if output is not None:
            find_output(problem, output)  # an unknown one is told before anything is prepared
        check_answers(problem, self._offered, may_raise=True)
        self._trust: TrustMap | None
        if trust is None or isinstance(trust, TrustMap):
            self._trust, self._label = trust, "the trust map"
        else:
            self._trust, self._label = load_trust_map(trust), str(trust)
        unchanged(problem)
        self.prover = prover(problem, self._offered)
        self.notes += self.prover.proof.prepare().notes
        self._prepare()

    def _prepare(self) -> None:
        """What no process can take over from another: compiled functions and traced programs."""
        self.surrogate: Model = self._offered
        wanted = self._wanted
        self.output = None if wanted is None else find_output(self.prover.proof.problem, wanted)
        self.region: ProvedRegion | None = None
        if self._trust is not None:
            self.region = ProvedRegion(self.problem, self._offered, self._trust, self._scale, self._label)
            self.surrogate = self.region.model
        reduced = self.reduced
        if reduced is not None:
            self.stages = [VectorMap(stage, SIZES) for stage in reduced.accepting]  # the cheapest first
            self.improve = VectorMap(reduced.improve, SIZES)
            self.notes += tuple(note for note in reduced.notes if note not in self.notes)
            self._modes = np.array(reduced.basis.T, order="C")

    def check_unchanged(self) -> None:
        """
        Raises:
            ValueError: the problem was changed in place since.
        """
        if not self.prover.holds:
            raise ValueError(f"{self.problem.name} was changed in place since this guard was built: build another one")

    @property
    def reduced(self) -> ReducedProof | None:
        """The bound from coefficients alone, where the surrogate has a basis that allows it."""
        return self.prover.reduced

    def __getstate__(self) -> dict[str, Any]:
        """The surrogate as it was read, and the constants of its bounds: another process answers with the same bits."""
        kept = (
            "problem",
            "tolerance",
            "absolute",
            "notes",
            "_scale",
            "_offered",
            "_trust",
            "_label",
            "_wanted",
            "prover",
        )
        return {key: self.__dict__[key] for key in kept}

    @in_float64
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __repr__(self) -> str:
        how = "from coefficients" if self.reduced is not None and self.output is None else "from fields"
        if how == "from fields" and self._offered.basis is not None:
            how += f", for {self.prover.why_not_reduced}"
        if not self.prover.proof.proves:
            how = "by solving alone"
        absolute = f", absolute={self.absolute:g}" if self.absolute else ""
        trust = f", trust={self._label!r}" if self.region is not None else ""
        output = f", output={self.output.name!r}" if self.output is not None else ""
        return f"guard({self.problem.name}, tolerance={self.tolerance:g}{absolute}{output}{trust}: bounds {how})"

    @in_float64
    def warm_up(self) -> float:
        """Compile every route, for any number of rows, so that no later call does; the seconds that it took.

        The surrogate is called with 1, 2, 4, ... 1024 rows. One whose answer
        depends on what else is asked at once is found out here: every later answer says so.
        """
        start = time.perf_counter()
        note = warm_up(self)
        if note:
            self.notes = tuple(dict.fromkeys((*self.notes, note)))
        return time.perf_counter() - start

    @in_float64
    def __call__(self, P: Any, out: Float[np.ndarray, "n N"] | None = None, executor: Executor | None = None) -> Answer:
        """Guarded answers at P [n, d]. ``out``: a buffer to write the fields to, for callers who answer many batches;
        ``executor``: where the solves run, as in ``sample``.

        Raises:
            ValueError: P is not [n, d], NaN, infinite or outside the problem's box (row and input are named); the
                problem was changed in place since.
        """
        start = time.perf_counter()
        batch = self._begun(P, out, executor)
        self._answer(batch)
        self._solve(batch)
        return self._finish(batch, start)

    @in_float64
    def without_solving(self, P: Any) -> tuple[Answer, Bool[np.ndarray, " n"]]:
        """What can be answered without a solve, and which rows cannot: NaN here, and for ``by_solving``."""
        start = time.perf_counter()
        batch = self._begun(P)
        self._answer(batch)
        batch.u[batch.open] = np.nan
        return self._finish(batch, start), batch.open

    @in_float64
    def by_solving(self, P: Any, executor: Executor | None = None) -> Answer:
        """The solver's answers, as the last route gives them; the surrogate is not asked."""
        start = time.perf_counter()
        batch = self._begun(P, executor=executor)
        self._solve(batch)
        return self._finish(batch, start)

    def _begun(self, P: Any, out: np.ndarray | None = None, executor: Executor | None = None) -> Batch:
        self.check_unchanged()
        check_executor(executor)
        batch = Batch(self.problem.inputs.check(P), self.problem.size, self._scale, out)
        batch.executor = executor
        batch.notes += self.notes
        return batch

    def _answer(self, batch: Batch) -> None:
        """All routes but the last."""
        if self.output is not None:
            self._answer_output(batch)
        elif self.reduced is not None:
            self._answer_reduced(batch)
        elif self.prover.proof.proves:
            self._answer_fields(batch)

    def _within(self, bound: ErrorBounds) -> np.ndarray:
        return np.asarray(scaled_upper(bound, self._scale, np) <= self.tolerance)

    def _answer_reduced(self, batch: Batch) -> None:
        P, k = batch.P, len(self._modes)
        try:
            c = as_float64(self.surrogate.coefficients(P))
        except SettingsChanged:
            raise
        except Exception as error:  # counted and solved instead, whatever it was
            batch.notes += [f"the surrogate raised {type(error).__name__}: {error}", *self.surrogate.changes()]
            return
        batch.notes += self.surrogate.changes()
        if c.shape != (len(P), k):
            batch.notes.append(f"coefficients(P) answered with shape {list(c.shape)}, not {[len(P), k]}")
            return
        healthy = np.isfinite(c).all(axis=1)
        if not healthy.all():
            batch.notes.append(f"{int((~healthy).sum())} answers of the surrogate are NaN or infinite")
        rows = self._by_the_map(batch, np.flatnonzero(healthy))
        for bounds in self.stages:
            if not len(rows):
                break
            bound = bounds(P[rows], c[rows])
            batch.settle(rows, self._within(bound), "accepted", bound)
            rows = rows[batch.open[rows]]
        if len(rows):
            c[rows] = self.improve(P[rows])
            bound = self.stages[-1](P[rows], c[rows])
            batch.settle(rows, self._within(bound), "polished", bound)
        rows = rows[batch.open[rows]]
        if batch.open.all() and not len(rows):
            return
        c[~np.isfinite(c).all(axis=1)] = 0.0
        np.matmul(c, self._modes, out=batch.u)
        self._polish(batch, rows)

    def _by_the_map(self, batch: Batch, rows: np.ndarray) -> np.ndarray:
        """Settle what lies in leaves whose bound is small enough; returns the other rows."""
        if self.region is None:
            return rows
        upper = self.region.upper(batch.P[rows])
        done = batch.settle(rows, upper <= self.tolerance, "accepted", None)
        batch.error_upper[done] = upper[upper <= self.tolerance]
        if self.region.scale == 0:
            np.asarray(batch.bounds.relative_upper)[done] = upper[upper <= self.tolerance]
        if len(done):
            batch.notes.append(f"{len(done)} answers have their bound from the trust map: relative, not absolute")
        return rows[batch.open[rows]]

    def _answer_fields(self, batch: Batch) -> None:
        evaluation = evaluate(self.surrogate, batch.P, self.problem)
        batch.notes.extend(evaluation.trouble)
        rows = np.flatnonzero(evaluation.good)
        batch.u[rows] = evaluation.fields[rows]
        rows = self._by_the_map(batch, rows)
        if not len(rows):
            return
        fields, bound, changed = self.prover.proof.bounds(batch.P[rows], evaluation.fields[rows], 0)
        batch.u[rows], batch.changed[rows] = fields, changed
        batch.settle(rows, self._within(bound), "accepted", bound)
        self._polish(batch, rows[batch.open[rows]])

    def _answer_output(self, batch: Batch) -> None:
        """The field's own output, else the middle of its proved interval, by the cheapest bound, then a sharper one."""
        evaluation = evaluate(self.surrogate, batch.P, self.problem)
        batch.notes.extend(evaluation.trouble)
        rows, proof, output = np.flatnonzero(evaluation.good), self.prover.proof, self.output
        assert output is not None
        for effort in (0, STEPS) if proof.proves and not proof.why_no_output(output) else ():
            if not len(rows):
                return
            fields, bound, changed, found = proof.output_bounds(batch.P[rows], evaluation.fields[rows], effort, output)
            batch.u[rows], batch.changed[rows] = fields, changed
            own, lower, upper = (np.asarray(x) for x in found)
            with np.errstate(invalid="ignore"):  # infinite ends have no middle
                middle = lower + (upper - lower) / 2
            for route, values in (("accepted", own), ("polished", middle)):
                good = batch.open[rows] & (output_errors(values, lower, upper, self._scale)[1] <= self.tolerance)
                batch.settle_output(rows, good, route, values, bound, found)
            rows = rows[batch.open[rows]]

    def _polish(self, batch: Batch, rows: np.ndarray) -> None:
        if not len(rows):
            return
        fields, bound = self.prover.proof.polish(batch.P[rows], batch.u[rows], STEPS)
        good = self._within(bound)
        done = batch.settle(rows, good, "polished", bound)
        batch.u[done] = fields[good]

    def _solve(self, batch: Batch) -> None:
        rows = np.flatnonzero(batch.open)
        if not len(rows):
            return
        P = batch.P[rows]
        attempts, reasons = attempt_rows(self.problem, P, batch.executor)
        truth = np.asarray(attempts.u)
        batch.unsolved += unsolved_inputs(self.problem, P, attempts, reasons, "guard")
        batch.u[rows] = truth
        good = np.isfinite(truth).all(axis=1)
        proof = self.prover.proof
        if self.output is None:
            bound = only_where(good, proof.bounds(P, truth, 0)[1])
            batch.settle(rows, good, "solved", bound)
        else:
            _, bound, _, found = proof.output_bounds(P, truth, 0, self.output)
            bound, found = only_where(good, bound), found.only_where(good)
            batch.settle_output(rows, good, "solved", np.asarray(found.value), bound, found)
        batch.changed[rows] = 0.0
        over = good & ~(batch.error_upper[rows] <= self.tolerance)
        if over.any() and proof.proves:
            batch.notes.append(f"{int(over.sum())} solved answers are only known to more than the tolerance: undecided")
            if self.output is None:
                batch.notes += proof.remarks(P, truth, bound, good)
            else:
                batch.notes += unbounded(proof, self.output, P, found, good) + self._near_zero(found, over)
        if not good.all():
            why = with_others(self.problem, batch.unsolved[0].reason)
            batch.notes.append(
                f"the solver failed at {int((~good).sum())} inputs: these rows are NaN. The first: {why}"
            )

    def _finish(self, batch: Batch, start: float) -> Answer:
        proof, notes = self.prover.proof, list(batch.notes)
        if not proof.proves:
            why = "; ".join(proof.remarks(batch.P, batch.u, batch.bounds, np.ones(len(batch.P), dtype=bool)))
            notes.append(
                f"nothing was accepted without a solve, for {why}; a guard gains time only where bounds are known"
            )
        asked = None if self.output is None else (self.output.name, batch.found)
        certificate = certificate_of(proof, batch.bounds, batch.changed, tuple(notes), {}, asked)
        if self.region is not None:
            stands_on = dict.fromkeys((*certificate.assumptions, *self.region.assumptions))
            certificate = replace(certificate, assumptions=tuple(stands_on))
        counts = {route: int((batch.route == route).sum()) for route in ROUTES}
        seconds = time.perf_counter() - start
        return Answer(
            batch.u, batch.route, certificate.relative_upper, certificate, seconds, certificate.notes, counts,
            batch.error_upper, None if self.output is None else batch.output, unsolved=tuple(batch.unsolved),
        )  # fmt: skip

    def _near_zero(self, found: OutputBounds, over: np.ndarray) -> list[str]:
        """What to do where an output is too small for a relative error."""
        zero = over & np.isfinite(found.upper) & (np.asarray(found.lower) <= 0) & (np.asarray(found.upper) >= 0)
        if self.absolute or not zero.any():
            return []
        return [
            f"{int(zero.sum())} outputs may be zero, where no relative error is small enough: give an absolute one, in "
            "the output's own unit"
        ]


@overload
def guard(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = ...,
    trust: TrustMap | str | Path | None = ...,
    absolute: float | None = ...,
    output: str | Output | None = ...,
    calibration: None = ...,
    beside: None = ...,
) -> Guard: ...
@overload
def guard(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = ...,
    trust: None = ...,
    absolute: float | None = ...,
    output: None = ...,
    *,
    calibration: Calibration | str | Path,
    beside: Callable[[Any], Any] | None = ...,
) -> StatisticalGuard: ...
def guard(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    trust: TrustMap | str | Path | None = None,
    absolute: float | None = None,
    output: str | Output | None = None,
    calibration: Calibration | str | Path | None = None,
    beside: Callable[[Any], Any] | None = None,
) -> Guard | StatisticalGuard:
    """A guarded surrogate: ``guarded(P)`` answers within absolute + tolerance ||u||, with a proof, or by solving.

    The first call of each kind compiles: ``warm_up`` does it for all of them. A guard can be pickled where the problem
    and the surrogate can.

    Args:
        trust: a map that ``certify_box`` made of this problem and surrogate, or its file: inside its leaves whose bound
            is within the tolerance no bound is computed. Answers come from the surrogate's program as it is now.
        absolute: an error allowed whatever the size of the solution, in the problem's norm; None for the problem's own
            (``Problem.zero_scale``). Of an output: in its own unit, None for 0.
        output: the name of an output of the problem, or one made by ``assay.output``: the tolerance is on this number
            then, |l - l(u)| <= absolute + tolerance |l(u)|, and ``Answer.output`` holds it.
        calibration: what ``calibrate`` made of this problem, surrogate and tolerance, or its file: answers below its
            threshold are accepted first, on statistical evidence alone (``statistical_guard.py``).
        beside: the other surrogate that the calibration was made with, where it was.

    Raises:
        ValueError: the tolerance is not positive; the map or the calibration is about another problem or surrogate, or
            was changed; an unknown output, or one with a map or a calibration.
    """
    if calibration is None:
        if beside is not None:
            raise ValueError("beside is the other surrogate of a calibration: give calibration= too, or leave it out")
        return Guard(problem, surrogate, tolerance, trust, absolute, output)
    if trust is not None or output is not None:
        raise ValueError("a calibration is of fields, and goes without a trust map: leave out trust= and output=")
    model = captured(surrogate)
    return StatisticalGuard(Guard(problem, model, tolerance, None, absolute), problem, model, calibration, beside)
