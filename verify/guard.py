"""``guard``: run a surrogate so that a wrong answer never gets out.

Three routes, cheapest first, each taken only on a proof that the relative error is within the tolerance:

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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.batching import VectorMap
from ..solvers.coercive import CoerciveProblem
from ..solvers.foreign import SettingsChanged
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from .certificate import NOTHING, STEPS, Certificate, certifier, from_bounds, mask, nothing
from .first_call import check_answers
from .proved_region import ProvedRegion
from .reduced import reduced_path
from .surrogate import captured, evaluate, numbers
from .thomson import FieldBound
from .trust_map import TrustMap

ROUTES = ("accepted", "polished", "solved", "failed")


@dataclass(frozen=True)
class Answer:
    """Guarded answers: the fields, how each came about, and the certificate of exactly these fields."""

    u: Float[np.ndarray, "n N"]
    route: np.ndarray  # [n] of ROUTES
    relative_upper: Float[np.ndarray, " n"]
    certificate: Certificate
    seconds: float
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


class _Batch:
    """The answers under construction: rows are settled one route after another."""

    def __init__(self, P: np.ndarray, size: int, out: np.ndarray | None) -> None:
        n = len(P)
        if out is None:
            out = np.empty((n, size))
        if out.shape[0] < n or out.shape[1:] != (size,) or out.dtype != np.float64:
            raise ValueError(
                f"out must be a float64 array of at least {n} rows and {size} columns, not {out.dtype}{out.shape}"
            )
        self.P, self.u = P, out[:n]
        self.route = np.full(n, "failed", dtype="<U8")
        self.open = np.ones(n, dtype=bool)
        self.changed = np.zeros(n)
        self.bounds = FieldBound(*(np.full(n, x) for x in NOTHING))  # type: ignore[arg-type]
        self.notes: list[str] = []

    def settle(self, rows: np.ndarray, good: np.ndarray, route: str, bound: FieldBound | None) -> np.ndarray:
        """Mark the ``good`` ones of ``rows`` as answered; returns their numbers. No ``bound``: nothing is known."""
        done = rows[good]
        self.route[done], self.open[done] = route, False
        for mine, new in zip(self.bounds, bound or (), strict=bound is not None):
            mine[done] = np.asarray(new)[good]
        return done

    @property
    def relative_upper(self) -> np.ndarray:
        return np.asarray(self.bounds.relative_upper)


class Guard:
    """Callable ``guard(P) -> Answer``; see the module's docstring. Built by ``guard``."""

    @in_float64
    def __init__(
        self,
        problem: Problem,
        surrogate: Callable[[Any], Any],
        tolerance: float,
        trust: TrustMap | str | Path | None = None,
    ) -> None:
        if not 0 < tolerance < np.inf:
            raise ValueError(f"the tolerance is a relative error and must be positive, not {tolerance}")
        model = captured(surrogate)
        check_answers(problem, model, may_raise=True)
        self.problem, self.tolerance = problem, float(tolerance)
        self.surrogate = model
        self.reduced = reduced_path(problem, model)
        self.region: ProvedRegion | None = None
        if trust is not None:
            self.region = ProvedRegion(problem, model, trust)
            self.surrogate = self.region.model
        if self.reduced is not None:
            reduced = self.reduced
            self._one = VectorMap(lambda p, c: reduced.bound(p, c, 1))
            self._all = VectorMap(lambda p, c: reduced.bound(p, c))
            self._galerkin = VectorMap(reduced.galerkin)
            self._modes = np.array(reduced.basis.T, order="C")

    @in_float64
    def __call__(self, P: Any, out: Float[np.ndarray, "n N"] | None = None) -> Answer:
        """Guarded answers at P [n, d]. ``out``: a buffer to write the fields to, for callers who answer many batches.

        Raises:
            ValueError: P is not [n, d], NaN, infinite or outside the problem's box (row and input are named).
        """
        start = time.perf_counter()
        batch = _Batch(self.problem.inputs.check(P), self.problem.size, out)
        if isinstance(self.problem, CoerciveProblem):
            if self.reduced is not None:
                self._answer_reduced(batch)
            else:
                self._answer_fields(self.problem, batch)
        self._solve(batch)
        return self._finish(batch, start)

    def _within(self, bound: FieldBound) -> np.ndarray:
        return np.asarray(bound.relative_upper) <= self.tolerance

    def _answer_reduced(self, batch: _Batch) -> None:
        assert self.reduced is not None
        P, k = batch.P, len(self._modes)
        try:
            c = numbers(self.surrogate.coefficients(P))
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
        for bounds in (self._one, self._all):
            if not len(rows):
                break
            bound = bounds(P[rows], c[rows])
            batch.settle(rows, self._within(bound), "accepted", bound)
            rows = rows[batch.open[rows]]
        if len(rows):
            c[rows] = self._galerkin(P[rows])
            bound = self._all(P[rows], c[rows])
            batch.settle(rows, self._within(bound), "polished", bound)
        rows = rows[batch.open[rows]]
        if batch.open.all() and not len(rows):
            return
        c[~np.isfinite(c).all(axis=1)] = 0.0
        np.matmul(c, self._modes, out=batch.u)
        assert isinstance(self.problem, CoerciveProblem)
        self._polish(self.problem, batch, rows)

    def _by_the_map(self, batch: _Batch, rows: np.ndarray) -> np.ndarray:
        """Settle what lies in leaves whose bound is small enough; returns the other rows."""
        if self.region is None:
            return rows
        upper = self.region.upper(batch.P[rows])
        done = batch.settle(rows, upper <= self.tolerance, "accepted", None)
        batch.relative_upper[done] = upper[upper <= self.tolerance]
        if len(done):
            batch.notes.append(f"{len(done)} answers have their bound from the trust map: relative, not absolute")
        return rows[batch.open[rows]]

    def _answer_fields(self, problem: CoerciveProblem, batch: _Batch) -> None:
        evaluation = evaluate(self.surrogate, batch.P, problem)
        batch.notes.extend(evaluation.trouble)
        rows = np.flatnonzero(evaluation.good)
        batch.u[rows] = evaluation.fields[rows]
        rows = self._by_the_map(batch, rows)
        if not len(rows):
            return
        fields, bound, changed = certifier(problem).bounds(batch.P[rows], evaluation.fields[rows], 0)
        batch.u[rows], batch.changed[rows] = fields, changed
        batch.settle(rows, self._within(bound), "accepted", bound)
        self._polish(problem, batch, rows[batch.open[rows]])

    def _polish(self, problem: CoerciveProblem, batch: _Batch, rows: np.ndarray) -> None:
        if not len(rows):
            return
        fields, bound = certifier(problem).polish(batch.P[rows], batch.u[rows], STEPS)
        good = self._within(bound)
        done = batch.settle(rows, good, "polished", bound)
        batch.u[done] = fields[good]

    def _solve(self, batch: _Batch) -> None:
        rows = np.flatnonzero(batch.open)
        if not len(rows):
            return
        truth = np.asarray(self.problem.attempt_batch(batch.P[rows]).u)
        batch.u[rows] = truth
        good = np.isfinite(truth).all(axis=1)
        if isinstance(self.problem, CoerciveProblem):
            _, bound, _ = certifier(self.problem).bounds(batch.P[rows], truth, 0)
            bound = mask(bound, good)
        else:
            bound = FieldBound(*(np.full(len(rows), x) for x in NOTHING))  # type: ignore[arg-type]
        batch.settle(rows, good, "solved", bound)
        batch.changed[rows] = 0.0
        over = good & (np.asarray(bound.relative_upper) > self.tolerance)
        if over.any() and isinstance(self.problem, CoerciveProblem):
            batch.notes.append(f"{int(over.sum())} solved answers are only known to more than the tolerance: undecided")
        if not good.all():
            batch.notes.append(f"the solver failed at {int((~good).sum())} inputs: these rows are NaN")

    def _finish(self, batch: _Batch, start: float) -> Answer:
        notes = tuple(batch.notes)
        if isinstance(self.problem, CoerciveProblem):
            certificate = from_bounds(self.problem, batch.bounds, batch.changed, notes, {})
            if self.region is not None:
                stands_on = dict.fromkeys((*certificate.assumptions, *self.region.assumptions))
                certificate = replace(certificate, assumptions=tuple(stands_on))
        else:
            certificate = nothing(
                self.problem,
                len(batch.P),
                (*notes, f"no proved bound is known for {self.problem.name}: all were solved"),
            )
        counts = {route: int((batch.route == route).sum()) for route in ROUTES}
        seconds = time.perf_counter() - start
        return Answer(batch.u, batch.route, certificate.relative_upper, certificate, seconds, certificate.notes, counts)


def guard(
    problem: Problem,
    surrogate: Callable[[Any], Any],
    tolerance: float = 1e-2,
    trust: TrustMap | str | Path | None = None,
) -> Guard:
    """A guarded surrogate: ``guarded(P)`` answers within the relative tolerance, with a proof, or by solving.

    Args:
        trust: a map that ``certify_box`` made of this problem and surrogate, or its file: inside its leaves whose bound
            is within the tolerance no bound is computed. Answers come from the surrogate's program as it is now.

    Raises:
        ValueError: the tolerance is not positive; the map is about another problem or surrogate, or was changed.
    """
    return Guard(problem, surrogate, tolerance, trust)
