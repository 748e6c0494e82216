"""``Falsification``: what a search for failures found, and what finding nothing is worth."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from ..solvers.box import Box
from ..solvers.shown.drawn import drawn
from ..solvers.shown.table import html_table
from .certificate import Against
from .search.counterexample import Counterexample
from .search.regions import Region
from .search.unsolved_input import UnsolvedInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = ("falsified", "not falsified", "undecided")


@dataclass(frozen=True)
class Falsification:
    """What a search found; finding nothing proves nothing. Errors are relative to the solution's size plus ``absolute /
    tolerance``.

    ``worst`` is the largest *confirmed* error, NaN where no error was; ``component_errors``: likewise of each component
    by itself, where there are several. In ``solver_calls`` a slope of the true error counts as two. ``verdict`` is
    "undecided" where no failure is confirmed, and either nothing could be compared, or an error is not a number, or it
    lies above the tolerance by no more than the solver's own error. ``failure_probability_upper``: 95 % Clopper-Pearson
    bound from the independent draws alone (statistical evidence), of the inputs that the solver answers;
    ``failure_or_unsolved_upper`` counts as failures those that it does not. ``unsolved``: every input at which the
    truth failed, with the reason; ``regions``: failing inputs, gathered by basin. ``shrink_calls`` and ``finer_calls``:
    solves beside the search, for shrinking and on the doubled grid.
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
    unsolved: tuple[UnsolvedInput, ...] = ()
    regions: tuple[Region, ...] = ()
    shrink_calls: int = 0
    finer_calls: int = 0
    asked: Float[np.ndarray, "n d"] = field(default_factory=lambda: np.zeros((0, 0)))  # inputs that were compared
    errors: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))  # with solutions, and their errors
    spent: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, dtype=int))  # solver calls until then
    box: Box | None = None  # that was searched

    @property
    def words(self) -> str:
        """What was found, or what finding nothing is worth."""
        if self.counterexamples:
            worst = self.counterexamples[0].error
            return (
                f"{len(self.counterexamples)} failures found in {self.solver_calls} calls, the worst error {worst:.4g}"
            )
        share = f"{100 * self.failure_probability_upper:.3g} % of inputs fail"
        where = " where the solver answers" if self.draws_unsolved else ""
        drawn = f"with 95 % confidence at most {share}{where} ({self.draws} independent draws)"
        return f"nothing found in {self.solver_calls} calls; {drawn}"

    @property
    def against(self) -> str:
        """What errors are errors against, with the truth's own estimated distance to the PDE."""
        return self.measured_against.words

    def __repr__(self) -> str:
        notes = f", {len(self.notes)} notes" if self.notes else ""
        fails = f", the truth fails at {len(self.unsolved)} inputs" if self.unsolved else ""
        return (
            f"Falsification({self.verdict} at tolerance {self.tolerance:g}: {len(self.counterexamples)} "
            f"counterexamples, worst confirmed error {self.worst:.4g}, {self.solver_calls} solver calls{fails}{notes})"
        )

    def _repr_html_(self) -> str:
        drawn_ = f"at most {self.failure_probability_upper:.3g} with 95 % confidence ({self.draws} draws)"
        names = self.box.names if self.box else ()
        at = ", ".join(f"{name}={x:.4g}" for name, x in list(zip(names, self.worst_inputs, strict=False))[:6])
        rows = {
            "verdict": f"{self.verdict} at tolerance {self.tolerance:g}",
            "counterexamples": len(self.counterexamples),
            "worst confirmed error": self.worst,
            "at": at if at and np.isfinite(self.worst) else None,
            "solver calls": self.solver_calls,
            "probability of failure (statistical)": drawn_ if self.draws else None,
            "the truth fails at": f"{len(self.unsolved)} inputs" if self.unsolved else None,
            "notes": self.notes or None,
        }
        return html_table("Falsification", rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Where it fails, of all inputs that were compared: errors along each input, and each pair of inputs; of many
        inputs those that tell most.
        """
        return drawn("falsification", path, self)
