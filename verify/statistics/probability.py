"""``FailureProbability``: an estimate of how likely a failure is, with an interval and what the interval is worth.

Every estimator is a function of an ``ErrorOf``: u [n, d] uniform in the unit cube -> errors [n], of which those above
the tolerance fail, infinite ones among them, and NaN is not known. The interval holds whatever the unknown ones are:
they count as successes at its lower end and as failures at its upper one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...solvers.shown.table import html_table
from ..evidence import Evidence

ErrorOf = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]]


@dataclass(frozen=True)
class FailureProbability:
    """With the confidence ``lower <= P(failure) <= upper``, over the sampling law; never a proof. Where not
    ``reliable`` the interval is not to be trusted: ``notes`` say why. ``calls``: solves; ``failed`` of these failed.
    """

    estimate: float
    lower: float
    upper: float
    confidence: float
    reliable: bool
    method: str
    calls: int
    failed: int
    notes: tuple[str, ...] = ()
    evidence: Evidence = Evidence.STATISTICAL

    def _repr_html_(self) -> str:
        rows = {
            "estimate": self.estimate,
            "at least": self.lower,
            "at most": self.upper,
            "confidence": self.confidence,
            "evidence": str(self.evidence) if self.reliable else "not reliable",
            "by": f"{self.method}, {self.failed} failures in {self.calls} solves",
            "notes": self.notes or None,
        }
        return html_table("Probability of failure", rows)

    def __repr__(self) -> str:
        doubt = "" if self.reliable else "not reliable: "
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return (
            f"FailureProbability({doubt}{self.estimate:.3g}, in [{self.lower:.3g}, {self.upper:.3g}] with confidence "
            f"{self.confidence:g}, by {self.method}, {self.failed} failures in {self.calls} solves: {self.evidence}"
            f"{notes})"
        )


def tally(errors: Float[np.ndarray, " n"], tolerance: float) -> tuple[int, int, int]:
    """How many are known, how many of these failed, and how many are not known."""
    unknown = np.isnan(errors)
    return int((~unknown).sum()), int((errors > tolerance).sum()), int(unknown.sum())


def unknown_note(unknown: int, calls: int) -> tuple[str, ...]:
    """What is said where the solver gave no solution."""
    if not unknown:
        return ()
    return (f"the solver failed at {unknown} of {calls} inputs: the interval holds whatever the errors are there",)
