"""Test inputs with their discrete truths and their fine references: what every error of a table is measured by.

The reference is the problem on a grid 4 or 8 times as fine, refined as long as time and memory allow. Its own error is
estimated from three grids, this problem's among them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ...solvers.batching import RowMap
from ...solvers.problem import Problem, SolveError
from ...solvers.processes.rows import solved_rows
from ...solvers.tolerance import Tolerance
from .clock import Clock
from .fairness import MEASURES, Errors
from .grids import Transfer, axes, finer, ratios
from .parts import Parts

LARGEST = 4_000_000  # values of a fine solution
SECONDS = 180.0  # for the reference
COMPILE = 3.0  # seconds for a solver, about
CORNERS = 16
TIMED = 8  # solves that are made here, whatever executor there is, to say what one takes
Progress = Callable[[str, int, int], None]


class Solves(NamedTuple):
    """Fields with NaN where a solve failed; the distinct reasons; the median of the seconds of one."""

    fields: Float[np.ndarray, "n N"]
    reasons: list[str]
    seconds: float


def solve_rows(
    problem: Problem,
    P: Float[np.ndarray, "n d"],
    into: Callable[[np.ndarray], np.ndarray] | None = None,
    stop: Callable[[float], bool] | None = None,
    executor: Executor | None = None,
) -> Solves:
    """Truths one by one, each handed through ``into``, until ``stop(seconds of one solve)`` says so; with an executor
    the first of them, which are timed, here, and the others there.
    """
    fields: list[np.ndarray] = []
    reasons: dict[str, None] = {}
    seconds: list[float] = []
    for p in P if executor is None else P[:TIMED]:
        start = time.perf_counter()
        result = problem.attempt_once(p)
        u = np.asarray(result.u)
        seconds.append(time.perf_counter() - start)
        if not np.isfinite(u).all():
            reasons.update(dict.fromkeys(why for why in (problem.explain(p, result),) if why))
        fields.append(u if into is None else into(u[None])[0])
        if stop is not None and len(seconds) > 1 and stop(float(np.median(seconds[1:]))):
            break
    each = float(np.median(seconds[1:] or seconds))  # the first one compiles
    if executor is not None and len(fields) == TIMED:
        found: dict[int, np.ndarray] = {}
        for i, attempt, why in solved_rows(problem, P, range(TIMED, len(P)), executor):
            u = np.asarray(attempt.u)
            found[i] = u if into is None else into(u[None])[0]
            reasons.update({why: None} if why else {})
            if stop is not None and stop(each):
                break
        there = itertools.takewhile(found.__contains__, range(TIMED, len(P)))  # no gap: the draws come first
        fields += [found[i] for i in there]
    reasons.update(dict.fromkeys(problem.failures()))
    return Solves(np.array(fields), list(reasons), each)


class Reference(NamedTuple):
    """Fine solutions in the problem's nodes, their own mean error, their grid; or ``why`` there are none."""

    fields: Float[np.ndarray, "n N"] | None
    error: float
    cells: int | None
    why: str


def why_no_reference(problem: Problem) -> str:
    """What can be said before any work; empty where finer solutions can be compared with."""
    if not ratios(problem):
        return "this problem has no finer grid to compare with"
    if axes(problem) is None:
        return "the nodes are no tensor grid, on which fields could be compared across resolutions"
    return ""


class Yardstick:
    """Measures errors of fields.

    The first rows come from the sampling law and give the means; corners of the box follow and count for the worst.
    Rows that the solver did not solve are left out: ``failed`` counts them, ``reasons`` says why. ``insist``: on all
    inputs, whatever time they take.

    Raises:
        SolveError: none of the draws was solved.
    """

    def __init__(
        self,
        problem: Problem,
        draws: int = 48,
        seed: int = 0,
        halvings: int = 2,
        insist: bool = False,
        parts: Parts | None = None,
        clock: Clock | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.executor = executor  # of solves that are not timed
        self.problem, self.parts, self.clock = problem, parts or Parts(), clock or Clock()
        P, d = self._inputs(draws, seed), problem.inputs.dimension

        def solve() -> tuple[np.ndarray, dict[str, Any]]:
            def stop(each: float) -> bool:
                return not (insist or self._allows_another(each))

            found = solve_rows(problem, P, stop=stop, executor=executor)
            if not np.isfinite(found.fields).all(axis=1)[:draws].any():  # and nothing is kept: the next run tries again
                why = ": " + "; ".join(found.reasons) if found.reasons else ""
                raise SolveError(f"{problem.name}: none of the draws from the sampling law was solved{why}")
            about = {"reasons": found.reasons, "seconds": found.seconds}
            return np.hstack([P[: len(found.fields)], found.fields]), about

        rows, about = self.parts.rows("truths", d + problem.size, solve)
        self.reasons, self.seconds = list(about["reasons"]), float(about["seconds"])  # seconds: of one solve
        good = np.isfinite(rows).all(axis=1)
        self.failed, self.asked = int((~good).sum()), len(rows)
        self.draws = int(good[: min(draws, len(rows))].sum())
        self.P, self.truths = rows[good, :d], rows[good, d:]
        self.scale = Tolerance.of(problem, 1.0)
        self._measure = RowMap(lambda p, u, t: _with_norms(problem, p, u, t))
        self.zero = self._zero_in_nodes()
        self.reference = self._reference(halvings)

    def _inputs(self, draws: int, seed: int) -> Float[np.ndarray, "n d"]:
        box, d = self.problem.inputs, self.problem.inputs.dimension
        corners = np.random.default_rng(seed).integers(0, 2, (CORNERS, d)).astype(float)
        if 2**d <= CORNERS:
            corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij")).reshape(d, -1).T
        drawn = box.from_law(np.random.default_rng([seed, 2]).random((draws, d)))
        return np.concatenate([drawn, box.from_unit(corners)])

    def _allows_another(self, seconds: float) -> bool:
        return self.clock.allows("some of the test inputs", 0.0, 0.3, wait=seconds)

    def _zero_in_nodes(self) -> Tolerance:
        """What counts as zero in the Euclidean norm over the nodes, from how the two norms compare on the truths."""
        if self.scale.absolute == 0:
            return Tolerance(1.0)
        norms = self._norms(self.truths)[1]
        sizes = np.linalg.norm(self.truths, axis=1)
        quotient = float(np.median(sizes[norms > 0] / norms[norms > 0])) if (norms > 0).any() else 1.0
        return Tolerance(1.0, self.scale.absolute * quotient)

    def _norms(self, fields: np.ndarray) -> Any:
        """Errors and sizes of the truth in the problem's norm, and the fields with what is prescribed."""
        return self._measure(self.P, fields, self.truths)

    # ---- the reference -----------------------------------------------------------------------------------------------

    def _reference(self, halvings: int) -> Reference:
        def make() -> tuple[np.ndarray, dict[str, Any]]:
            made = self._refine(halvings)
            fields = np.zeros((0, self.problem.size)) if made.fields is None else made.fields
            return fields, {"error": made.error, "cells": made.cells, "why": made.why}

        fields, about = self.parts.rows("reference", self.problem.size, make)
        return Reference(fields if len(fields) else None, about["error"], about["cells"], about["why"])

    def _refine(self, halvings: int) -> Reference:
        problem = self.problem
        why = why_no_reference(problem)
        if why:
            return Reference(None, np.nan, None, why)
        fields, before, each, started = [self.truths], problem, self.seconds, time.perf_counter()
        for k in range(1, halvings + 1):
            fine = finer(problem, k)
            growth = 2 * fine.size / before.size  # of a solve's time, about: direct solvers grow faster than the field
            seconds = len(self.P) * each * growth
            if k == 1:
                seconds *= 1 + growth  # one finer grid alone is of no use
            if fine.size > LARGEST:
                why = f"a finer solution has {fine.size:,} values, above {LARGEST:,}"
            elif time.perf_counter() - started + seconds > SECONDS:
                why = f"finer solutions would take more than {SECONDS:g} s"
            elif not self.clock.allows("finer grids to compare with", 2 * COMPILE, 0.35, wait=seconds):
                why = "there was no time for finer solutions"
            if why:
                break
            found = solve_rows(fine, self.P, Transfer(fine, problem), executor=self.executor)
            fields.append(found.fields)
            before, each = fine, found.seconds
        if len(fields) < 3:
            return Reference(None, np.nan, None, why)
        factor = 2 ** (len(fields) - 1)
        error = reference_error(self._l2(fields[-1], fields[-2]), self._l2(fields[-2], fields[0]), factor)[: self.draws]
        if not np.isfinite(error).any():
            return Reference(None, np.nan, None, "the finer grids were not solved at any draw")
        return Reference(fields[-1], float(np.nanmean(error)), factor * problem.settings["cells"], "")

    # ---- errors ------------------------------------------------------------------------------------------------------

    def _l2(self, u: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return np.asarray(self.zero.scaled(np.linalg.norm(u - reference, axis=1), np.linalg.norm(reference, axis=1)))

    def rows(self, fields: np.ndarray) -> dict[str, np.ndarray]:
        """Errors row by row; infinite where a field is not finite. NaN in "PDE" where there is no reference."""
        good = np.isfinite(fields).all(axis=1)
        safe = np.where(good[:, None], fields, 0.0)
        errors, norms, safe = self._norms(safe)
        found = {"discrete": np.asarray(self.scale.scaled(errors, norms))}
        if self.reference.fields is not None:
            found["PDE"] = self._l2(safe, self.reference.fields)
        return {m: np.where(good, found[m], np.inf) for m in MEASURES if m in found}

    def errors(self, fields: np.ndarray) -> Errors:
        mean, worst = {}, {}
        for measure, e in self.rows(fields).items():
            e = np.where(np.isnan(e), np.inf, e)  # an error that is no number is not small
            known = np.ones(len(e), dtype=bool)
            if measure == "PDE" and self.reference.fields is not None:
                known = np.isfinite(self.reference.fields).all(axis=1)
            mean[measure], worst[measure] = float(e[: self.draws][known[: self.draws]].mean()), float(e[known].max())
        return Errors(mean, worst, self._components(fields))

    def _components(self, fields: np.ndarray) -> dict[str, tuple[float, float]]:
        """(mean, worst) L2 error of every component, relative to its root mean square over the test inputs."""
        count = self.problem.shape[2]
        if count == 1:
            return {}
        e, u = ((v.reshape(len(v), -1, count) ** 2).sum(axis=1) for v in (fields - self.truths, self.truths))
        relative = np.asarray(Tolerance(1.0).scaled(np.sqrt(e), np.sqrt(u.mean(axis=0))))
        relative = np.where(np.isnan(relative), np.inf, relative)
        means, worst = relative[: self.draws].mean(axis=0), relative.max(axis=0)
        return {n: (float(a), float(b)) for n, a, b in zip(self.problem.component_names, means, worst, strict=True)}


def _with_norms(problem: Problem, p: Any, u: Any, truth: Any) -> tuple[Any, Any, Any]:
    v = problem.prescribe(p, u)
    return problem.norm(p, truth - v), problem.magnitude(p, truth), v


def reference_error(last: np.ndarray, before: np.ndarray, factor: int) -> np.ndarray:
    """The error C (h/f)^q of a solution f times as fine, from the differences to half of that and to our own grid.

    last = C (h/f)^q (2^q - 1) and before = C h^q (1 - (f/2)^-q); their quotient tells q, held between 0.5 and 2.
    """
    orders = np.linspace(0.5, 2.0, 151)
    quotients = (float(factor) ** orders - 2**orders) / (2**orders - 1)
    q = np.interp(before / np.maximum(last, 1e-300), quotients, orders)
    return last / (2**q - 1)
