"""``Certificate``: what is proved of n fields, as every verb says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..solvers.classes.distance import distance
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.representative import kept_by_problem, representative
from .evidence import Evidence
from .proofs.bounds import ErrorBounds, scaled_lower, scaled_upper
from .proofs.proof import Proof


@kept_by_problem(16)
def against(problem: Problem) -> str:
    """What every bound is a bound against, with the truth's own estimated distance to the PDE (``distance.py``)."""
    text = "against the discrete solution on this grid"
    if getattr(problem, "discretisation_error", None) is None:
        return text + ", whose own distance to the PDE is not known"
    found = distance(problem)
    if found is None:
        return text + ", whose own distance to the PDE could not be estimated"
    return f"{text}, {found.words}"


class Against:
    """What errors are errors against, with the truth's own distance to the PDE.

    Worked out when it is first read, for it takes solves on several grids, of the problem as it is now.
    """

    def __init__(self, problem: Problem | None, words: str = "") -> None:
        self._problem, self._words = None if problem is None else representative(problem), words

    @property
    def words(self) -> str:
        if self._problem is not None:
            self._words = in_float64(against)(self._problem)
            self._problem = None
        return self._words

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process is told the words: a problem may not be one that can be sent."""
        return Against, (None, self.words)


@dataclass(frozen=True)
class Output:
    """Proved intervals of a quantity of the exact solution of the discrete equations."""

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Certificate:
    """Bounds for n fields. ``upper`` is infinite where nothing could be proved; the reasons are in ``notes``.

    ``lower <= ||u - N|| <= upper`` and ``relative_lower <= ||u - N|| / ||u|| <= relative_upper`` for the exact
    solution u of the discrete equations, ``square_lower <= ||u||^2 <= square_upper``. ``outputs``: quantities of u by
    name, such as "compliance" (f.u) of a coercive problem. ``floor`` is the part of upper that is rounding: effectivity
    means nothing below it. ``overwritten``: the largest change by putting prescribed values in place. ``norm`` and
    ``against`` say in words what is measured, and against which truth; ``evidence`` and ``assumptions`` how far it is
    proved and what that stands on; ``cost`` counts what was spent, by name.
    """

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    relative_lower: Float[np.ndarray, " n"]
    relative_upper: Float[np.ndarray, " n"]
    floor: Float[np.ndarray, " n"]
    square_lower: Float[np.ndarray, " n"]
    square_upper: Float[np.ndarray, " n"]
    overwritten: Float[np.ndarray, " n"]
    norm: str
    measured_against: Against
    evidence: Evidence
    assumptions: tuple[str, ...]
    outputs: dict[str, Output] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    zero_scale: float = 0.0  # ``Problem.zero_scale``

    @property
    def against(self) -> str:
        """What the bounds are bounds against, with the truth's own estimated distance to the PDE."""
        return self.measured_against.words

    def __len__(self) -> int:
        return len(self.upper)

    def __repr__(self) -> str:
        bounded = int(np.isfinite(self.relative_upper).sum())
        largest = f", the largest {float(np.max(self.relative_upper))!r}" if len(self) else ""
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return f"Certificate({len(self)} fields, {bounded} relative errors bounded ({self.evidence}){largest}{notes})"

    def within(self, tolerance: float, absolute: float | None = None) -> Bool[np.ndarray, " n"]:
        """Of which rows ||u - N|| <= absolute + tolerance ||u|| is proved.

        ``absolute``: in the norm of the certificate; None for what the problem itself counts as zero.

        Raises:
            ValueError: numbers that are no such tolerance.
        """
        return np.asarray(scaled_upper(self._bounds, self._scale(tolerance, absolute), np) <= tolerance)

    def beyond(self, tolerance: float, absolute: float | None = None) -> Bool[np.ndarray, " n"]:
        """Of which rows ||u - N|| > absolute + tolerance ||u|| is proved."""
        return np.asarray(scaled_lower(self._bounds, self._scale(tolerance, absolute), np) > tolerance)

    def _scale(self, tolerance: float, absolute: float | None) -> float:
        absolute = tolerance * self.zero_scale if absolute is None else absolute
        if not (0 < tolerance < np.inf and 0 <= absolute / tolerance < np.inf):
            raise ValueError(
                "the tolerance is a relative error and must be positive, the absolute one zero or positive, and both "
                f"finite, not {tolerance} and {absolute}"
            )
        return absolute / tolerance

    @property
    def _bounds(self) -> ErrorBounds:
        return ErrorBounds(*(getattr(self, name) for name in ErrorBounds._fields))


def certificate_of(
    proof: Proof, bounds: ErrorBounds, changed: Any, notes: tuple[str, ...], cost: dict[str, float]
) -> Certificate:
    """What a proof says, as a certificate: its bounds [n], and the largest overwritten changes [n]."""
    b = ErrorBounds(*(np.asarray(x, dtype=np.float64) for x in bounds))  # type: ignore[arg-type]  # arrays of numpy
    return Certificate(
        **b._asdict(),
        overwritten=np.asarray(changed, dtype=np.float64),
        norm=proof.problem.norm_name,
        measured_against=Against(proof.problem),
        evidence=proof.evidence,
        assumptions=proof.assumptions,
        outputs={name: Output(lower, upper) for name, (lower, upper) in proof.outputs(b).items()},
        notes=notes,
        cost=cost,
        zero_scale=proof.problem.zero_scale,
    )
