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


def real_array(values: Any) -> np.ndarray:
    """A float64 copy, of the same shape, that nobody else can change.

    Raises:
        ValueError: complex or masked values, a sparse matrix, or no numbers; the message goes on after "... has".
    """
    if sp.issparse(values):
        raise ValueError("the form of a sparse matrix: pass its .toarray()")
    if _masked(values):
        raise ValueError(MASKED)
    try:
        found = np.asarray(values)
        if found.dtype.kind == "c":
            raise ValueError(COMPLEX)
        if found.dtype.kind in "USMm" or found.dtype.names:
            raise TypeError
        if found.dtype.kind == "O":  # one by one: numpy makes NaN of None
            return np.array([float(x) for x in found.ravel()]).reshape(found.shape)
        return np.array(found, dtype=np.float64)
    except ValueError as error:
        if str(error) == COMPLEX:
            raise
        raise ValueError(f"no numbers in one array: {error}") from None
    except TypeError:
        raise ValueError(f"no numbers, but {type(values).__name__}") from None


def real_csr(matrix: Any) -> sp.csr_matrix:
    """A copy of a sparse or dense matrix in which every stored entry stands once and none is zero.

    Raises:
        ValueError: no matrix of real finite numbers; the message goes on after "... ".
    """
    if isinstance(matrix, LinearOperator):
        raise ValueError("is a LinearOperator: its entries are needed, pass the sparse matrix itself")
    if not sp.issparse(matrix):
        try:
            matrix = real_array(matrix)
        except ValueError as error:
            raise ValueError(f"has {error}") from None
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
