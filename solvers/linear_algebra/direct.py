"""Sparse direct solves on the host (SuperLU, symmetric ordering), as fallback and reference, callable inside JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ..interrupts import deferred
from .superlu import symmetric_lu


def factorise(matrix: sp.csr_matrix) -> Callable[[np.ndarray], np.ndarray]:
    """Factors of a symmetric positive definite matrix; the returned solve takes [n] or [n, k].

    Raises:
        ValueError: the matrix is singular.
    """
    try:
        factor = symmetric_lu(matrix)
    except RuntimeError as error:
        raise ValueError(f"the matrix could not be factorised: {error}") from None
    return factor.solve


def solve_refined(matrix: sp.csr_matrix, b: np.ndarray) -> np.ndarray:
    """Direct solve with two steps of iterative refinement; NaN where the matrix is singular."""
    try:
        solve = factorise(matrix)
    except ValueError:
        return np.full_like(b, np.nan)
    u = solve(b)
    for _ in range(2):
        u = u + solve(b - matrix @ u)
    return u


def callback_float64(fn: Callable[..., np.ndarray], like: Array, *args: Array) -> Float[Array, " n"]:
    """``fn(*args)``, a numpy function of float64 arrays, called from compiled code; under vmap, row after row.

    It has no derivatives, may be interrupted (``interrupts.py``), and answers NaN where it may not raise.

    Args:
        like: an array of the shape of the result.
    """
    shape = jax.ShapeDtypeStruct(like.shape, jnp.float64)
    return jax.pure_callback(deferred(fn, like.shape), shape, *args, vmap_method="sequential")
