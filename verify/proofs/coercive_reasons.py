"""Why a bound of a coercive problem is infinite, row by row where that costs little, and what to do instead."""

from __future__ import annotations

from collections import Counter

import jax.numpy as jnp
import numpy as np

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.precision import RANGE

LOOKED_AT = 32  # rows whose data are computed again to say what is wrong with them
SHOWN = 3


def without_bound(problem: CoerciveProblem, P: np.ndarray, fields: np.ndarray, rows: np.ndarray) -> list[str]:
    """Sentences about rows, finite and inside the box, whose absolute error has no upper bound."""
    found: Counter[str] = Counter()
    first: dict[str, np.ndarray] = {}
    for i in rows[:LOOKED_AT]:
        why = _why(problem, P[i], fields[i])
        found[why] += 1
        first.setdefault(why, P[i])
    more = f" (of the first {LOOKED_AT} looked at)" if len(rows) > LOOKED_AT else ""
    return [
        f"{count} fields have no upper bound{more}, such as at {problem.inputs.named(first[why])}: {why}"
        for why, count in found.most_common(SHOWN)
    ]


def without_relative_bound(problem: CoerciveProblem, P: np.ndarray, rows: np.ndarray) -> list[str]:
    """Sentences about rows whose absolute error alone is bounded: the solution is zero there, or the field far off."""
    if not len(rows):
        return []
    zero = [i for i in rows[:LOOKED_AT] if not np.asarray(problem.load(jnp.asarray(P[i]))).any()]
    notes = []
    if zero:
        notes.append(
            f"{len(zero)} inputs, such as {problem.inputs.named(P[zero[0]])}, have a load of zero and so the solution "
            "zero: no relative error is defined there, give an absolute one beside the tolerance"
        )
    if len(rows) > len(zero):
        notes.append(
            f"{len(rows) - len(zero)} fields are so far off that only their absolute error is bounded from above: "
            "the bound is no smaller than what is known of the solution"
        )
    return notes


def _why(problem: CoerciveProblem, p: np.ndarray, field: np.ndarray) -> str:
    theta = np.asarray(problem.theta(jnp.asarray(p)))
    load = float(np.abs(np.asarray(problem.load(jnp.asarray(p)))).max())
    if not np.isfinite(theta).all() or not np.isfinite(load):
        return "weights or load are NaN or infinite"
    if not (theta > 0).all():
        q = int(np.argmin(theta))
        return f"weight {q} is {theta[q]:.3g}: the proof needs all of them positive, restrict the box to where they are"
    if not ((theta >= 1 / RANGE) & (theta <= RANGE)).all():
        return f"weights from {theta.min():.3g} to {theta.max():.3g} leave 2^-100 to 2^100: change the units"
    if load != 0 and not 1 / RANGE <= load <= RANGE:
        return f"a load of size {load:.3g} leaves 2^-100 to 2^100: change the units"
    least = float(problem.coercivity(jnp.asarray(theta)))
    if not least >= RANGE**-3:
        return (
            "no positive lower bound of the smallest eigenvalue is known: parts of very different size, such as rows "
            "of the identity or penalties beside the stiffness, hide it in rounding: eliminate or scale them"
        )
    size = float(np.abs(field).max(initial=0.0))
    if not size <= RANGE**3:
        return f"a field of size {size:.3g} is too large to square"
    return f"the arithmetic leaves float64: weights {theta.min():.3g} to {theta.max():.3g}, load {load:.3g}"
