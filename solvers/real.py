"""Numbers from foreign code, taken with open eyes: complex and masked values are refused, not cast."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

COMPLEX = "complex values: write real and imaginary parts as two components"
MASKED = (
    "values that are masked: fill them, field.filled(value), or drop those that are masked at every input, "
    "field.data[~mask], and give the coordinates of the others"
)


def real_array(values: Any, what: str = "", refused: type[ValueError] = ValueError) -> np.ndarray:
    """A float64 copy, of the same shape, that nobody else can change.

    Args:
        what: the beginning of the message, which goes on with what the values are, such as "the weights have".

    Raises:
        refused: complex or masked values, a sparse matrix, or no numbers.
    """
    why = ""
    if sp.issparse(values):
        why = "the form of a sparse matrix: pass its .toarray()"
    elif _masked(values):
        why = MASKED
    if why:
        raise refused(f"{what} {why}".lstrip())
    try:
        found = np.asarray(values)
        if found.dtype.kind == "c":
            why = COMPLEX
        elif found.dtype.kind in "USMm" or found.dtype.names:
            raise TypeError
        elif found.dtype.kind == "O":  # one by one: numpy makes NaN of None
            return np.array([float(x) for x in found.ravel()]).reshape(found.shape)
        else:
            return np.array(found, dtype=np.float64)
    except ValueError as error:
        why = f"no numbers in one array: {error}"
    except (TypeError, RuntimeError) as error:
        kind = type(values).__name__
        if callable(getattr(values, "detach", None)):  # PyTorch's, on a device or part of a graph
            why = f"a {kind} that numpy cannot read ({error}): hand over its .detach().cpu().numpy()"
        elif isinstance(error, TypeError):
            why = f"no numbers, but {kind}"
        else:
            raise
    raise refused(f"{what} {why}".lstrip())


def real_csr(matrix: Any) -> sp.csr_matrix:
    """A copy of a sparse or dense matrix in which every stored entry stands once and none is zero.

    Raises:
        ValueError: no matrix of real finite numbers; the message goes on after "... ".
    """
    if isinstance(matrix, LinearOperator):
        raise ValueError("is a LinearOperator: its entries are needed, pass the sparse matrix itself")
    if not sp.issparse(matrix):
        matrix = real_array(matrix, "has")
        if matrix.ndim != 2:
            raise ValueError(f"has shape {list(matrix.shape)}, not [N, N]")
    if matrix.dtype.kind == "c":
        raise ValueError(f"has {COMPLEX}")
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"has no numbers, but {matrix.dtype}")
    copied = sp.csr_matrix(matrix.tocsr() if sp.issparse(matrix) else matrix, dtype=np.float64, copy=True)
    copied.sum_duplicates()
    copied.eliminate_zeros()
    if not np.isfinite(copied.data).all():
        raise ValueError("has entries that are NaN or infinite")
    return copied


def _masked(values: Any) -> bool:
    """Also in a list of masked arrays, whose masks numpy forgets."""
    if isinstance(values, list | tuple):
        return any(_masked(v) for v in values if isinstance(v, list | tuple | np.ma.MaskedArray))
    return bool(np.ma.is_masked(values))
