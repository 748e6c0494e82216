"""Failures confirmed on the doubled grid: the solver's own error is never the surrogate's.

A surrogate that is off this grid's solution, and within the tolerance of that on a grid twice as fine, was right where
the solver was not.
"""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from ...solvers.classes.finer import solution_on_doubled_grid
from ...solvers.outputs import Output, values
from ...solvers.problem import Problem
from ...solvers.tolerance import Tolerance, scaled
from ..measured_error import magnitude_of, norm_of
from .counterexample import Counterexample

MOST = 3  # failures of one search that are solved on the finer grid: the worst, of which reports speak


class FinerGrid:
    """Errors against the doubled grid's solution, in this grid's nodes and norm; ``calls`` counts its solves."""

    def __init__(self, problem: Problem, allowed: Tolerance, output: Output | None = None) -> None:
        self.problem, self.allowed, self.output, self.calls = problem, allowed, output, 0

    def error(self, record: Counterexample) -> float | None:
        """Of the field on record; None where no finer solution is to be had."""
        p = record.inputs
        truth = solution_on_doubled_grid(self.problem, p)
        if truth is None:
            return None
        self.calls += 1
        if not np.isfinite(record.field).all():
            return np.inf
        field = np.asarray(self.problem.prescribe(jnp.asarray(p), jnp.asarray(record.field)))
        if self.output is not None:
            ours, theirs = values(self.problem, self.output, np.stack([p, p]), np.stack([field, truth]))
            return float(scaled(abs(theirs - ours), abs(theirs), self.allowed.scale))
        away = norm_of(self.problem, p, truth - field)
        return float(scaled(away, magnitude_of(self.problem, p, truth), self.allowed.scale))

    def confirmed(self, record: Counterexample) -> Counterexample | None:
        """The record with its ``finer_error``; None where the failure is not there on the finer grid."""
        error = self.error(record)
        if error is not None and error <= self.allowed.relative:
            return None
        return replace(record, finer_error=error)

    def sift(self, records: list[Counterexample]) -> tuple[list[Counterexample], list[str]]:
        """Those that stand, the first ``MOST`` of them confirmed; and what is to be said of the others."""
        kept: list[Counterexample] = []
        rejected = 0
        for record in records:
            if len(kept) >= MOST or (kept and kept[0].finer_error is None):
                kept.append(record)
                continue
            again = self.confirmed(record)
            rejected += again is None
            kept += [] if again is None else [again]
        if not rejected:
            return kept, []
        return kept, [
            f"at {rejected} inputs the error against the solution on this grid is above the tolerance, but within it "
            "against the solution on the doubled grid: the solver's own error, no failure of the surrogate. Solve on a "
            "finer grid"
        ]
