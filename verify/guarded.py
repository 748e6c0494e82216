"""Guarded answers: what a guard returns, and how they come about, route by route."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..solvers.shown.drawn import drawn
from ..solvers.shown.table import html_table
from .certificate import Certificate
from .evidence import Evidence
from .proofs.bounds import ErrorBounds, OutputBounds, no_interval, nothing_proved, output_errors, scaled_upper
from .search.unsolved_input import UnsolvedInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUTES = ("accepted", "polished", "solved", "failed")


@dataclass(frozen=True)
class Answer:
    """Guarded answers: the fields, how each came about, and the certificate of exactly these fields.

    ``route``: one of ``ROUTES`` for every row, and ``counts`` of each; ``notes``: what went wrong on the way.
    ``unsolved``: a record of each row that failed, with the reason.
    ``error_upper``: what was compared with the tolerance, a bound of ||e|| / (absolute / tolerance + ||u||): without an
    absolute tolerance ``relative_upper``. ``seconds``: all that the call took, compiling and solving included.

    Of a guard for an output: ``output`` holds the numbers that are within the tolerance, or the solver's, and
    ``error_upper`` bounds their errors; those of accepted answers are the outputs of the fields, those of polished ones
    the middle of the proved interval. ``u`` are the surrogate's fields then, or the solver's, with their own bounds.

    Of a guard with a calibration: ``statistical`` marks the answers that were accepted by it, of whose errors nothing
    is proved, and ``calibration`` is its statement: law, number of draws and confidence.
    """

    u: Float[np.ndarray, "n N"]
    route: np.ndarray  # [n] of ROUTES
    relative_upper: Float[np.ndarray, " n"]
    certificate: Certificate
    seconds: float
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    error_upper: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    output: Float[np.ndarray, " n"] | None = None
    statistical: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    calibration: str = ""
    unsolved: tuple[UnsolvedInput, ...] = ()

    @property
    def evidence(self) -> Evidence:
        """What all answers together stand on: the weakest of those that were not solved."""
        if self.statistical.any():
            return Evidence.STATISTICAL
        return self.certificate.evidence if np.isfinite(self.error_upper).any() else Evidence.NONE

    def _repr_html_(self) -> str:
        bounds = self.error_upper if len(self.error_upper) else self.relative_upper
        rows = {
            "queries": len(self.u),
            **{route: count for route, count in self.counts.items() if count},
            "largest bound of an error": float(np.max(bounds)) if len(bounds) else None,
            "evidence": str(self.evidence),
            "calibration": self.calibration or None,
            "seconds": self.seconds,
            "notes": self.notes or None,
        }
        return html_table("Guarded answers", rows)

    def plot(self, path: str | os.PathLike[str] | None = None, tolerance: float | None = None) -> Figure:
        """The bound of every answer, by the route that it came by; infinite ones at the upper edge."""
        return drawn("answer", path, self, tolerance)

    def __repr__(self) -> str:
        routes = ", ".join(f"{count} {route}" for route, count in self.counts.items() if count)
        bounds = self.error_upper if len(self.error_upper) else self.relative_upper
        about = "bound" if self.output is None else f"error bound of {self.certificate.output!r}"
        largest = f"; largest {about} {float(np.max(bounds))!r}" if len(bounds) else ""
        if self.statistical.any():
            proved = bounds[~self.statistical]
            largest = f"; {int(self.statistical.sum())} accepted statistically, without a bound"
            largest += f", the others' largest bound {float(np.max(proved))!r}" if len(proved) else ""
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return f"Answer({len(self.route)} fields{': ' if routes else ''}{routes}{largest}{notes})"


def room(n: int, size: int, out: np.ndarray | None) -> Float[np.ndarray, "n N"]:
    """Where n fields are written to: the first rows of ``out``, where one is given.

    Raises:
        ValueError: it is too small, or no float64.
    """
    if out is None:
        return np.empty((n, size))
    if out.shape[0] < n or out.shape[1:] != (size,) or out.dtype != np.float64:
        raise ValueError(
            f"out must be a float64 array of at least {n} rows and {size} columns, not {out.dtype}{out.shape}"
        )
    return out[:n]


class Batch:
    """The answers under construction: rows are settled one route after another."""

    def __init__(self, P: np.ndarray, size: int, scale: float, out: np.ndarray | None) -> None:
        n = len(P)
        self.P, self.u = P, room(n, size, out)
        self.route = np.full(n, "failed", dtype="<U8")
        self.open = np.ones(n, dtype=bool)
        self.changed = np.zeros(n)
        self.bounds = nothing_proved(n)
        self.scale, self.error_upper = scale, np.full(n, np.inf)
        self.notes: list[str] = []
        self.unsolved: list[UnsolvedInput] = []
        self.executor: Executor | None = None  # where solves run
        self.output, self.found = np.full(n, np.nan), no_interval(np.full(n, np.nan))

    def settle(self, rows: np.ndarray, good: np.ndarray, route: str, bound: ErrorBounds | None) -> np.ndarray:
        """Mark the ``good`` ones of ``rows`` as answered; returns their numbers. No ``bound``: nothing is known."""
        done = rows[good]
        self.route[done], self.open[done] = route, False
        if bound is not None:
            for mine, new in zip(self.bounds, bound, strict=True):
                mine[done] = np.asarray(new)[good]
            self.error_upper[done] = scaled_upper(bound, self.scale, np)[good]
        return done

    def settle_output(
        self,
        rows: np.ndarray,
        good: np.ndarray,
        route: str,
        values: np.ndarray,
        bound: ErrorBounds,
        found: OutputBounds,
    ) -> None:
        """``settle`` with these values of an output and what is known of it."""
        done = self.settle(rows, good, route, bound)
        self.output[done] = values[good]
        for mine, new in zip(self.found, found, strict=True):
            np.asarray(mine)[done] = np.asarray(new)[good]
        self.error_upper[done] = output_errors(values, found.lower, found.upper, self.scale)[1][good]
