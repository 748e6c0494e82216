"""``certify``: proved two-sided bounds of a surrogate's error against the discrete truth, at points.

Order of business for every field: finiteness first (a NaN or infinity anywhere, boundary included, means an infinite
bound); then prescribed values are overwritten by the problem's own; then that same array is certified, and returned by
whoever answers with it. The largest overwritten change is reported: overwriting may raise the error (a jump within one
cell)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..solvers.batching import RowMap
from ..solvers.classes.coercive import CoerciveProblem
from ..solvers.classes.distance import distance
from ..solvers.foreign import call_foreign
from ..solvers.precision import in_float64
from ..solvers.problem import Problem
from .answers.evaluate import as_float64, captured, evaluate
from .answers.first_call import check_answers
from .evidence import Evidence
from .proofs.thomson import FieldBound, bound_field, bound_polished, scaled_lower, scaled_upper
from .reasons import no_proof, without_bound, without_relative_bound

STEPS = 2  # CG steps of the default bound
NOT_FINITE = "fields with values that are NaN or infinite: nothing is proved there"
NOTHING = (0.0, np.inf, 0.0, np.inf, np.inf, 0.0, np.inf)  # a FieldBound that says nothing


@lru_cache(maxsize=16)
def assumptions(problem: CoerciveProblem) -> tuple[str, ...]:
    """What the proofs of this problem stand on, and how it is known."""
    known = "by construction of the elements"
    if problem.indefiniteness is not None:
        known = "verified by factorisation up to rounding, for which the bounds are charged"
    given = "theta(p) and f(p) are what their functions give, to a few roundings of each entry"
    if problem.load_terms() is None:
        given += ": what cancels inside of them is not seen (load terms are)"
    return (
        f"A(p) = sum_q theta_q(p) A_q with every A_q symmetric positive semidefinite, {known}",
        "theta_q(p) > 0, checked at every input",
        given,
        "prescribed values exact, overwritten before certifying",
        "finite field, checked",
        "rounding, underflow covered for IEEE float64, libm error <= 16 ulp, no value-changing compiler optimisation",
    )


@dataclass(frozen=True)
class Certificate:
    """Bounds for n fields. ``upper`` is infinite where nothing could be proved; the reasons are in ``notes``.

    ``lower <= ||u - N|| <= upper`` and ``relative_lower <= ||u - N|| / ||u|| <= relative_upper`` for the exact
    solution u of the discrete equations. ``quantity_lower/upper`` enclose the compliance f.u = ||u||^2. ``floor`` is
    the part of upper that is rounding: effectivity means nothing below it."""

    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    relative_lower: Float[np.ndarray, " n"]
    relative_upper: Float[np.ndarray, " n"]
    floor: Float[np.ndarray, " n"]
    overwritten: Float[np.ndarray, " n"]
    quantity_lower: Float[np.ndarray, " n"]
    quantity_upper: Float[np.ndarray, " n"]
    norm: str
    against: str
    evidence: Evidence
    assumptions: tuple[str, ...]
    notes: tuple[str, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    zero_scale: float = 0.0  # ``Problem.zero_scale``

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
        scale = self._scale(tolerance, absolute)
        return np.asarray(scaled_upper(self._bound, scale, np) <= tolerance)

    def beyond(self, tolerance: float, absolute: float | None = None) -> Bool[np.ndarray, " n"]:
        """Of which rows ||u - N|| > absolute + tolerance ||u|| is proved."""
        scale = self._scale(tolerance, absolute)
        return np.asarray(scaled_lower(self._bound, scale, np) > tolerance)

    def _scale(self, tolerance: float, absolute: float | None) -> float:
        absolute = tolerance * self.zero_scale if absolute is None else absolute
        if not (0 < tolerance < np.inf and 0 <= absolute / tolerance < np.inf):
            raise ValueError(
                "the tolerance is a relative error and must be positive, the absolute one zero or positive, and both "
                f"finite, not {tolerance} and {absolute}"
            )
        return absolute / tolerance

    @property
    def _bound(self) -> FieldBound:
        relative = (self.relative_lower, self.relative_upper)
        parts = (self.lower, self.upper, *relative, self.floor, self.quantity_lower, self.quantity_upper)
        return FieldBound(*parts)  # type: ignore[arg-type]  # arrays of numpy


@lru_cache(maxsize=16)
def against(problem: Problem) -> str:
    """What every bound is a bound against, with the truth's own estimated distance to the PDE (``distance.py``)."""
    text = "against the discrete solution on this grid"
    if getattr(problem, "discretisation_error", None) is None:
        return text + ", whose own distance to the PDE is not known"
    found = distance(problem)
    if found is None:
        return text + ", whose own distance to the PDE could not be estimated"
    return f"{text}, {found.words}"


class FieldCertifier:
    """Compiled bounds for one problem; keep it where many batches are certified."""

    def __init__(self, problem: CoerciveProblem) -> None:
        self.problem = problem
        self._bounds: dict[int, RowMap] = {}
        self._polish: dict[int, RowMap] = {}

    def bounds(self, P: np.ndarray, fields: np.ndarray, steps: int) -> tuple[np.ndarray, FieldBound, np.ndarray]:
        """(the fields as certified, their bounds, the largest overwritten change), row by row."""
        if steps not in self._bounds:

            def one(p: Array, u: Array) -> tuple[Array, FieldBound, Array]:
                v, changed = _in_place(self.problem, p, u)
                return v, bound_field(self.problem, p, v, steps)[0], changed

            self._bounds[steps] = RowMap(one)
        return self._bounds[steps](P, fields)

    def polish(self, P: np.ndarray, fields: np.ndarray, steps: int) -> tuple[np.ndarray, FieldBound]:
        """The fields improved by ``steps`` CG steps, with bounds for what came out."""
        if steps not in self._polish:

            def one(p: Array, u: Array) -> tuple[Array, FieldBound]:
                return bound_polished(self.problem, p, _in_place(self.problem, p, u)[0], steps)

            self._polish[steps] = RowMap(one)
        return self._polish[steps](P, fields)


def _in_place(problem: Problem, p: Array, u: Array) -> tuple[Array, Array]:
    v = problem.prescribe(p, u)
    change = jnp.max(jnp.abs(v - u))
    # A row with a NaN or infinity keeps a NaN somewhere the bound must see, whatever was overwritten.
    v = jnp.where(jnp.all(jnp.isfinite(u)), v, jnp.nan)
    return v, change


@lru_cache(maxsize=16)
def certifier(problem: CoerciveProblem) -> FieldCertifier:
    """The compiled certifier of a problem, made once."""
    return FieldCertifier(problem)


@in_float64
def certify(problem: Problem, surrogate: Callable[[Any], Any] | Any, P: Any, *, steps: int = STEPS) -> Certificate:
    """Proved bounds of a surrogate's error at the inputs P [n, d].

    Args:
        surrogate: any callable P -> [n, N], called once per query, or the fields themselves as an array [n, N].
        steps: CG steps that sharpen the bound; 0 is one reference solve. How sharp:
            ``benchmarks/soundness/effectivity.py``.

    Raises:
        ValueError: P is not [n, d], NaN or infinite; an array of fields of another shape.
        RuntimeError: float64 is switched off, or foreign code changed the arithmetic for good.
    """
    start = time.perf_counter()
    P = problem.inputs.rows(P)
    if callable(surrogate):
        surrogate = captured(surrogate)
        check_answers(problem, surrogate, may_raise=True)
        evaluation = evaluate(surrogate, P, problem)
        fields, notes = evaluation.fields, list(evaluation.trouble)
    else:
        said: dict[str, None] = {}
        fields = call_foreign(as_float64, surrogate, whose="the array of fields", said=said)
        if fields.shape != (len(P), problem.size):
            raise ValueError(f"fields must have shape {[len(P), problem.size]}, not {list(fields.shape)}")
        notes = list(said)
    inside = problem.inputs.contains(P)
    if not inside.all():
        notes.append(f"{int((~inside).sum())} inputs are outside the problem's box: nothing is proved there")
    if not isinstance(problem, CoerciveProblem):
        return nothing(problem, len(P), (*notes, no_proof(problem)))
    _, bound, changed = certifier(problem).bounds(P, fields, steps)
    good = inside & np.isfinite(fields).all(axis=1)
    if not callable(surrogate) and not np.isfinite(fields).all():
        notes.append(NOT_FINITE)
    notes += remarks(problem, P, fields, bound, good) + _overwritten(np.asarray(changed), fields, good)
    cost = {
        "reference_solves": float(len(P) * _reference_solves(problem, steps)),
        "seconds": time.perf_counter() - start,
    }
    return from_bounds(problem, mask(bound, good), changed, tuple(notes), cost)


def remarks(
    problem: CoerciveProblem, P: np.ndarray, fields: np.ndarray, bound: FieldBound, good: np.ndarray
) -> list[str]:
    """Why upper bounds are infinite, of rows that are finite and inside the box."""
    absolute, relative = np.isfinite(np.asarray(bound.upper)), np.isfinite(np.asarray(bound.relative_upper))
    return [
        *without_bound(problem, P, fields, np.flatnonzero(good & ~absolute)),
        *without_relative_bound(problem, P, np.flatnonzero(good & absolute & ~relative)),
    ]


def _overwritten(changed: np.ndarray, fields: np.ndarray, good: np.ndarray) -> list[str]:
    visible = good & (changed > 1e-12 * np.abs(np.where(good[:, None], fields, 0.0)).max(axis=1, initial=0.0))
    if not visible.any():
        return []
    return [
        f"{int(visible.sum())} fields were off by up to {changed[visible].max():.2g} where values are prescribed; "
        "these were overwritten, and the bounds are of the fields so mended"
    ]


def _reference_solves(problem: CoerciveProblem, steps: int) -> int:
    own = steps > 0 and problem.preconditioner(jnp.asarray(problem.reference_theta)) is not None
    return 1 if own else steps + 1


def mask(bound: FieldBound, good: np.ndarray) -> FieldBound:
    """The bounds where ``good``, and "nothing proved" elsewhere."""
    return FieldBound(*(np.where(good, x, w) for x, w in zip(bound, NOTHING, strict=True)))  # type: ignore[arg-type]


def from_bounds(
    problem: CoerciveProblem, bound: FieldBound, changed: Any, notes: tuple[str, ...], cost: dict[str, float]
) -> Certificate:
    """A certificate from proved bounds of a coercive problem."""
    b = FieldBound(*(np.asarray(x, dtype=np.float64) for x in bound))  # type: ignore[arg-type]
    return Certificate(
        lower=np.asarray(b.lower),
        upper=np.asarray(b.upper),
        relative_lower=np.asarray(b.relative_lower),
        relative_upper=np.asarray(b.relative_upper),
        floor=np.asarray(b.floor),
        overwritten=np.asarray(changed, dtype=np.float64),
        quantity_lower=np.asarray(b.energy_lower),
        quantity_upper=np.asarray(b.energy_upper),
        norm=problem.norm_name,
        against=against(problem),
        evidence=Evidence.PROVED,
        assumptions=assumptions(problem),
        notes=notes,
        cost=cost,
        zero_scale=problem.zero_scale,
    )


def nothing(problem: Problem, n: int, notes: tuple[str, ...]) -> Certificate:
    """The certificate that proves nothing: "undecided", with the reason."""
    zero, infinite = np.zeros(n), np.full(n, np.inf)
    return Certificate(
        zero, infinite, zero, infinite, infinite, zero, np.full(n, -np.inf), infinite,
        problem.norm_name, against(problem), Evidence.NONE, (), notes, {}, problem.zero_scale,
    )  # fmt: skip
