"""``certify``: proved two-sided bounds of a surrogate's error against the discrete truth, at points.

Order of business for every field: finiteness first (a NaN or infinity anywhere, boundary included, means an infinite
bound); then prescribed values are overwritten by the problem's own; then that same array is certified, and returned by
whoever answers with it. The largest overwritten change is reported: overwriting may raise the error (a jump within one
cell)."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..solvers.batching import RowMap
from ..solvers.coercive import CoerciveProblem
from ..solvers.precision import require_float64
from ..solvers.problem import Problem, SolveError
from .evidence import Evidence
from .surrogate import evaluate
from .thomson import FieldBound, bound_field, bound_polished

STEPS = 2  # CG steps of the default bound
COERCIVE_ASSUMPTIONS = (
    "A(p) = sum_q theta_q(p) A_q with every A_q symmetric positive semidefinite, by construction of the elements",
    "theta_q(p) > 0, checked at every input",
    "prescribed values exact, overwritten before certifying",
    "finite field, checked",
    "rounding covered for IEEE float64, libm error <= 16 ulp, no value-changing compiler optimisation",
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

    def __len__(self) -> int:
        return len(self.upper)


_against: weakref.WeakKeyDictionary[Problem, str] = weakref.WeakKeyDictionary()


def against(problem: Problem) -> str:
    """What every bound is a bound against, with the truth's own estimated distance to the PDE (at the box's centre)."""
    if problem not in _against:
        text = "against the discrete solution on this grid"
        estimate = getattr(problem, "discretisation_error", None)
        if estimate is not None:
            centre = problem.inputs.from_unit(np.full(problem.inputs.dimension, 0.5))
            try:
                value = estimate(centre)  # a number, or a record with the relative distance
                text += f", itself about {100 * float(getattr(value, 'relative', value)):.2g} % from the PDE"
            except (SolveError, ValueError):
                text += ", whose own distance to the PDE could not be estimated"
        else:
            text += ", whose own distance to the PDE is not known"
        _against[problem] = text
    return _against[problem]


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


_certifiers: weakref.WeakKeyDictionary[Problem, FieldCertifier] = weakref.WeakKeyDictionary()


def certifier(problem: CoerciveProblem) -> FieldCertifier:
    """The compiled certifier of a problem, made once."""
    if problem not in _certifiers:
        _certifiers[problem] = FieldCertifier(problem)
    return _certifiers[problem]


def certify(problem: Problem, surrogate: Callable[[Any], Any] | Any, P: Any, *, steps: int = STEPS) -> Certificate:
    """Proved bounds of a surrogate's error at the inputs P [n, d].

    Args:
        surrogate: any callable P -> [n, N], called once per query, or the fields themselves as an array [n, N].
        steps: CG steps that sharpen the bound; 0 is one reference solve. Two give effectivities below 1.04 on thermal
            blocks up to 3 x 3 at contrast 100.

    Raises:
        ValueError: P is not [n, d], NaN or infinite; an array of fields of another shape.
        RuntimeError: float64 is switched off.
    """
    require_float64()
    start = time.perf_counter()
    P = problem.inputs.rows(P)
    if callable(surrogate):
        evaluation = evaluate(surrogate, P, problem.size)
        fields, notes = evaluation.fields, list(evaluation.trouble)
    else:
        fields = np.asarray(surrogate, dtype=np.float64)
        if fields.shape != (len(P), problem.size):
            raise ValueError(f"fields must have shape {[len(P), problem.size]}, not {list(fields.shape)}")
        notes = []
    inside = problem.inputs.contains(P)
    if not inside.all():
        notes.append(f"{int((~inside).sum())} inputs are outside the problem's box: nothing is proved there")
    if not isinstance(problem, CoerciveProblem):
        return nothing(problem, len(P), (*notes, f"no proved bound is known for {problem.name}"))
    _, bound, changed = certifier(problem).bounds(P, fields, steps)
    good = inside & np.isfinite(fields).all(axis=1)
    if not callable(surrogate) and not np.isfinite(fields).all():
        notes.append("fields with values that are NaN or infinite: nothing is proved there")
    cost = {
        "reference_solves": float(len(P) * _reference_solves(problem, steps)),
        "seconds": time.perf_counter() - start,
    }
    return from_bounds(problem, mask(bound, good), changed, tuple(notes), cost)


def _reference_solves(problem: CoerciveProblem, steps: int) -> int:
    own = steps > 0 and problem.preconditioner(jnp.asarray(problem.reference_theta)) is not None
    return 1 if own else steps + 1


def mask(bound: FieldBound, good: np.ndarray) -> FieldBound:
    """The bounds where ``good``, and "nothing proved" elsewhere."""
    worst = FieldBound(0.0, np.inf, 0.0, np.inf, np.inf, 0.0, np.inf)  # type: ignore[arg-type]
    return FieldBound(*(np.where(good, x, w) for x, w in zip(bound, worst, strict=True)))  # type: ignore[arg-type]


def from_bounds(
    problem: Problem, bound: FieldBound, changed: Any, notes: tuple[str, ...], cost: dict[str, float]
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
        assumptions=COERCIVE_ASSUMPTIONS,
        notes=notes,
        cost=cost,
    )


def nothing(problem: Problem, n: int, notes: tuple[str, ...]) -> Certificate:
    """The certificate that proves nothing: "undecided", with the reason."""
    zero, infinite = np.zeros(n), np.full(n, np.inf)
    return Certificate(
        zero, infinite, zero, infinite, infinite, zero, np.full(n, -np.inf), infinite,
        problem.norm_name, against(problem), Evidence.NONE, (), notes,
    )  # fmt: skip
