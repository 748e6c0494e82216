"""What ``train`` takes as snapshots: those of ``sample``, or two arrays; and what is wrong with them, in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.identity import confirm, telling_row
from ...solvers.problem import Problem
from ...solvers.real import real_array
from ...solvers.snapshots.sample import Snapshots

EQUAL = 1e-12  # of the largest value: fields that differ by less differ by rounding


def as_snapshots(problem: Problem, given: Any) -> Any:
    """Snapshots, None, or a pair of inputs [n, d] and fields [n, N] or [n, ..., components], NaN where a solve failed.

    Raises:
        ValueError: none of these, or arrays that are not numbers of these shapes; the message says what to do.
    """
    if given is None or hasattr(given, "fields"):
        return given
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            "snapshots are what assay.sample returns, rows of a data set (its .snapshots, or what .split() gives), or "
            f"a pair (P, U) of inputs [n, d] and fields [n, N], not a {type(given).__name__}"
        )
    P, U = (_numbers(name, a) for name, a in zip(("inputs", "fields"), given, strict=True))
    d, size = problem.inputs.dimension, problem.size
    if P.ndim == 1 and d == 1:
        P = P[:, None]
    if U.ndim > 2 and U[:1].size == size:
        U = U.reshape(len(U), -1)
    check_shapes(problem, P, U)
    if len(P):  # the caller says whose they are: no row is solved again to see
        row = telling_row(U)
        confirm(problem, P[row], U[row])
    about = (0, problem.name, problem.settings, problem.inputs, problem.fingerprint)
    return Snapshots(P, U, np.full(len(P), np.nan), *about)


def check_shapes(problem: Problem, P: np.ndarray, U: np.ndarray) -> None:
    """Raise ValueError with the shapes wanted and, where that is plain, what to do."""
    d, size = problem.inputs.dimension, problem.size
    if P.ndim == 2 and P.shape[1] == d and U.shape == (len(P), size):
        return
    remedy = ""
    if P.ndim == 2 and U.ndim == 2:
        if P.shape[1] != d and P.shape[0] == d:
            remedy = ": transpose the inputs, a row is a snapshot"
        elif U.shape[1] != size and U.shape[0] == size:
            remedy = ": transpose the fields, a row is a snapshot"
        elif P.shape[1] == d and U.shape[1] == size:
            remedy = ": there must be as many inputs as fields"
    raise ValueError(
        f"snapshots must hold inputs [n, {d}] ({problem.inputs.listed}) and fields [n, {size}], "
        f"not {list(P.shape)} and {list(U.shape)}{remedy}"
    )


def not_finite(problem: Problem, P: Float[np.ndarray, "n d"], U: Float[np.ndarray, "n N"]) -> list[str]:
    """A sentence if rows of a pair hold NaN or infinity, which tells where the first does; none otherwise."""
    good = np.isfinite(P).all(axis=1) & np.isfinite(U).all(axis=1)
    if good.all():
        return []
    bad, first = int((~good).sum()), int(np.argmin(good))
    if not np.isfinite(P[first]).all():
        j = int(np.argmin(np.isfinite(P[first])))
        where = f"its input {problem.inputs.names[j]} is {P[first, j]}"
    else:
        at = int(np.argmin(np.isfinite(U[first])))
        t, node, c = (int(i) for i in np.unravel_index(at, problem.shape))
        more = f", {problem.component_names[c]}" * (problem.shape[2] > 1) + f", time {t}" * (problem.shape[0] > 1)
        where = f"its field is {U[first, at]} at node {node}{more}"
    what = f"the first row {first}, {where}" if bad > 1 else f"row {first}, {where}"
    return [
        f"{bad} of {len(P)} snapshots {'are' if bad > 1 else 'is'} not finite and left out ({what}, counted from 0): "
        f"mend {'them' if bad > 1 else 'it'}, unless that is a solve that failed"
    ]


def all_equal(P: Float[np.ndarray, "n d"], U: Float[np.ndarray, "n N"]) -> list[str]:
    """A sentence if rows of different inputs all have the same field, to rounding; none otherwise."""
    if np.abs(U - U[0]).max() > EQUAL * np.abs(U[0]).max() or not np.ptp(P, axis=0).any():
        return []
    return [
        f"the fields of all {len(U)} snapshots are equal, so that nothing is learnt of how they depend on the inputs: "
        "check that the solver looks at its inputs, or take mean, which is all that they need"
    ]


def _numbers(name: str, a: Any) -> np.ndarray:
    try:
        return real_array(a)
    except ValueError as error:
        failed = "; NaN stands where a solve failed" if np.ma.is_masked(a) else ""
        raise ValueError(f"the {name} have {error}{failed}") from None
