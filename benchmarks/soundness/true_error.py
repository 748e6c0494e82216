"""The true error of a field, as the interval that computed numbers leave; and the one check of every two-sided bound.

With the computed truth t, its own proved bound b >= ||u - t|| and e = t - N (its entries carry one rounding each, which
``FieldProof.norm_row`` charges), in the problem's norm:

    ||e|| - b  <=  ||u - N||  <=  ||e|| + b

b comes from the bound under test, which is the only one there is; so it is used for nothing but the exact solution's
few last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from ...verify.certify import certify
from ...verify.proofs.field_proof import FieldProof
from ...verify.proofs.prover import proof_of


class Interval(NamedTuple):
    """``value`` is the error as computed; the exact one lies in [low, high]."""

    value: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]


class TrueError:
    """Truths of one problem at the inputs it has been asked for, and the errors of fields against them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._norm = _norm(problem)

    def truths(self, P: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n N"], Interval]:
        """(the computed truths, their norms): solve once, measure many fields."""
        U = np.asarray(self.problem.solve_batch(P))
        if not np.isfinite(U).all():
            unsolved = int((~np.isfinite(U).all(axis=1)).sum())
            raise RuntimeError(f"{unsolved} truths were not solved: there is nothing to compare with")
        size, slack = self._norm(P, U)
        b = np.asarray(certify(self.problem, U, P, steps=0).upper) + slack
        return U, Interval(size, size - b, size + b)

    def __call__(self, P: np.ndarray, U: np.ndarray, norms: Interval, fields: np.ndarray) -> Interval:
        """||u - N|| for every row; ``norms`` as ``truths`` gave them."""
        value, slack = self._norm(P, U - fields)
        b = norms.high - norms.value + slack
        return Interval(value, np.maximum(value - b, 0.0), value + b)


@kept_by_problem(16)
def _norm(problem: Problem) -> RowMap:
    """Norms of fields, and what rounding leaves open of them."""
    proof = proof_of(problem)
    assert isinstance(proof, FieldProof), (
        f"norms with their rounding are known of a FieldProof alone, not of {type(proof)}"
    )
    return RowMap(proof.norm_row)


@dataclass
class Tally:
    """Certificates compared with true errors: ``violations`` must stay 0."""

    certificates: int = 0
    violations: int = 0
    infinite: int = 0
    above: float = np.inf  # smallest upper / error - 1
    below: float = np.inf  # smallest 1 - lower / error
    worst: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.certificates += other.certificates
        self.violations += other.violations
        self.infinite += other.infinite
        self.above, self.below = min(self.above, other.above), min(self.below, other.below)
        self.worst.extend(other.worst)


def check(bound: Any, error: Interval, norms: Interval, label: str = "") -> Tally:
    """lower <= true error <= upper for absolute and relative bounds and those of ||u||^2; a NaN counts as a violation.

    ``bound``: a Certificate, or ``ErrorBounds``. Only what certainly lies outside is a violation: the
    bound misses the whole interval that the truth's own residual leaves.
    """
    names = ("lower", "upper", "relative_lower", "relative_upper", "square_lower", "square_upper")
    lower, upper, relative_lower, relative_upper, square_lower, square_upper = (
        np.asarray(getattr(bound, name), dtype=np.float64) for name in names
    )
    low, high = np.maximum(norms.low, 0.0), norms.high
    with np.errstate(divide="ignore", invalid="ignore"):
        relative_low = np.where(high > 0, error.low / high, 0.0)
        relative_high = np.where(low > 0, error.high / low, np.inf)
    pairs: Mapping[str, np.ndarray] = {
        "upper": upper - error.low,
        "lower": error.high - lower,
        "relative upper": relative_upper - relative_low,
        "relative lower": relative_high - relative_lower,
        "square upper": square_upper - low**2,
        "square lower": high**2 - square_lower,
        "order": upper - lower,
    }
    bad = np.zeros(len(upper), dtype=bool)
    worst = []
    for name, margin in pairs.items():
        wrong = ~(margin >= 0)  # NaN is wrong too, except infinity minus infinity, where both ends say nothing
        wrong &= ~(np.isinf(upper) & np.isinf(error.high))
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            truth = f"[{error.low[i]!r}, {error.high[i]!r}]"
            worst.append(f"{label} {name}: error in {truth}, bounds [{lower[i]!r}, {upper[i]!r}]")
        bad |= wrong
    known = np.isfinite(upper) & (error.value > 0)
    # closeness is told only where the truth is known better than the gap
    telling = known & (error.high - error.low < 1e-6 * error.value)
    above = upper[telling] / error.value[telling] - 1
    below = 1 - lower[telling] / error.value[telling]
    return Tally(
        len(upper), int(bad.sum()), int(np.isinf(upper).sum()),
        float(above.min(initial=np.inf)), float(below.min(initial=np.inf)), worst,
    )  # fmt: skip
