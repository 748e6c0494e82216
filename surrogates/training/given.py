"""What ``train`` takes as snapshots: those of ``sample``, or two arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...solvers.identity import confirm, telling_row
from ...solvers.problem import Problem
from ...solvers.real import real_array
from ...solvers.snapshots.sample import Snapshots


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


def _numbers(name: str, a: Any) -> np.ndarray:
    try:
        return real_array(a)
    except ValueError as error:
        failed = "; NaN stands where a solve failed" if np.ma.is_masked(a) else ""
        raise ValueError(f"the {name} have {error}{failed}") from None
