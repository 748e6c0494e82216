"""``Certificate``: what is proved of n fields, as every verb says it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from ..solvers.classes.distance import distance
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from ..solvers.problems.black_box import BlackBox
from ..solvers.representative import kept_by_problem, representative
from ..solvers.shown.drawn import drawn
from ..solvers.shown.table import html_table
from .evidence import Evidence
from .proofs.bounds import ErrorBounds, OutputBounds, output_errors, scaled_lower, scaled_upper
from .proofs.proof import Proof

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ON_THIS_GRID = "against the discrete solution on this grid"


@kept_by_problem(16)
def against(problem: Problem) -> str:
    """What every bound is a bound against, with the truth's own estimated distance to the PDE (``distance.py``)."""
    if isinstance(problem, BlackBox):
        return "against the solver's own solution; how far that is from the truth behind it is not known"
    if getattr(problem, "discretisation_error", None) is None:
        return ON_THIS_GRID + ", whose own distance to the PDE is not known"
    found = distance(problem)
    if found is None:
        return ON_THIS_GRID + ", whose own distance to the PDE could not be estimated"
    return f"{ON_THIS_GRID}, {found.words}"


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
class OutputInterval:
    """Proved intervals of an output of the exact solution of the discrete equations; ``value``: that of the fields."""

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    value: Float[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class Certificate:
    """Bounds for n fields. ``upper`` is infinite where nothing could be proved; the reasons are in ``notes``.

    ``lower <= ||u - N|| <= upper`` and ``relative_lower <= ||u - N|| / ||u|| <= relative_upper`` for the exact
    solution u of the discrete equations, ``square_lower <= ||u||^2 <= square_upper``. ``outputs``: intervals of
    outputs of u by name: the one that was asked for, ``output``, whose ends are ``output_lower`` and ``output_upper``,
    and those that come for nothing, such as "compliance" (f.u) of a coercive problem. ``floor`` is the part of upper
    that is rounding: effectivity means nothing below it. ``overwritten``: the largest change by putting prescribed
    values in place. ``norm`` and ``against`` say in words what is measured, and against which truth; ``evidence`` and
    ``assumptions`` how far it is proved and what that stands on; ``cost`` counts what was spent, by name.
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
    outputs: dict[str, OutputInterval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    zero_scale: float = 0.0  # ``Problem.zero_scale``
    output: str = ""  # the name of the output that was asked for

    @property
    def against(self) -> str:
        """What the bounds are bounds against, with the truth's own estimated distance to the PDE."""
        return self.measured_against.words

    def __len__(self) -> int:
        return len(self.upper)

    def __repr__(self) -> str:
        """Of the output that was asked for, where one was."""
        errors, about = (
            (self.output_error(1.0)[1], f" of {self.output!r}") if self.output else (self.relative_upper, "")
        )
        bounded = int(np.isfinite(errors).sum())
        largest = f" ({self.evidence}), the largest {float(np.max(errors))!r}" if bounded else ""
        notes = f", {len(self.notes)} notes" if self.notes else ""
        return f"Certificate({len(self)} fields, {bounded} relative errors{about} bounded{largest}{notes})"

    def _repr_html_(self) -> str:
        known = self.relative_upper[np.isfinite(self.relative_upper)]
        rows = {
            "fields": len(self),
            "relative errors bounded": len(known),
            "largest of these bounds": float(known.max()) if len(known) else None,
            "output": self.output or None,
            "evidence": str(self.evidence) if len(known) else "undecided",
            "norm": self.norm,
            "assumptions": self.assumptions if len(known) else None,
            "notes": self.notes or None,
        }
        return html_table("Certificate", rows)

    def plot(
        self, path: str | os.PathLike[str] | None = None, errors: Any = None, tolerance: float | None = None
    ) -> Figure:
        """Every row between its lower and upper bound; with ``errors``, relative ones against solves, bound against
        error. Bounds that are infinite are marked at the upper edge.

        Raises:
            ValueError: errors of another number of rows; a picture of another format.
        """
        return drawn("certificate", path, self, errors, tolerance)

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

    @property
    def output_lower(self) -> Float[np.ndarray, " n"]:
        """At most the truth's output, for the output that was asked for.

        Raises:
            ValueError: none was.
        """
        return self._asked.lower

    @property
    def output_upper(self) -> Float[np.ndarray, " n"]:
        """At least the truth's output; as ``output_lower``."""
        return self._asked.upper

    @property
    def output_value(self) -> Float[np.ndarray, " n"]:
        """The output of the fields themselves; as ``output_lower``."""
        assert self._asked.value is not None
        return self._asked.value

    @property
    def _asked(self) -> OutputInterval:
        if not self.output:
            raise ValueError("this certificate is of fields alone: certify(..., output=NAME) bounds an output, too")
        return self.outputs[self.output]

    def output_error(self, tolerance: float, absolute: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """At least and at most |l(u) - l(N)| / (absolute / tolerance + |l(u)|) for the output l that was asked for.

        Raises:
            ValueError: none was; numbers that are no tolerance.
        """
        asked = self._asked
        return output_errors(self.output_value, asked.lower, asked.upper, self._scale(tolerance, absolute))

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
    proof: Proof,
    bounds: ErrorBounds,
    changed: Any,
    notes: tuple[str, ...],
    cost: dict[str, float],
    output: tuple[str, OutputBounds] | None = None,
) -> Certificate:
    """What a proof says, as a certificate: its bounds [n], the largest overwritten changes [n], and the intervals of
    the output that was asked for, by its name.
    """
    found = {name: OutputInterval(lower, upper) for name, (lower, upper) in proof.free_outputs(bounds).items()}
    if output is not None:
        value, lower, upper = (np.asarray(x, dtype=np.float64) for x in output[1])
        found[output[0]] = OutputInterval(lower, upper, value)
    b = ErrorBounds(*(np.asarray(x, dtype=np.float64) for x in bounds))  # type: ignore[arg-type]  # arrays of numpy
    return Certificate(
        **b._asdict(),
        overwritten=np.asarray(changed, dtype=np.float64),
        norm=proof.problem.norm_name,
        measured_against=Against(proof.problem),
        evidence=proof.evidence,
        assumptions=proof.assumptions,
        outputs=found,
        notes=notes,
        cost=cost,
        zero_scale=proof.problem.zero_scale,
        output="" if output is None else output[0],
    )
