"""Differences on a grid of n x n equal squares, by axis: stencils on nodal arrays [n+1, n+1] and matrices over the
interior.

    second(v, x) = 2 v_P - v_E - v_W  ~  -h^2 v_xx,        central(v, x) = v_E - v_W  ~  2 h v_x

Equations below are multiplied by h^2, the area of a cell, so that residuals and loads are those of a weak form.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float

from . import q1


def coordinates(n: int) -> Float[np.ndarray, "N 2"]:
    """Nodes of the unit square, x first: node i (n + 1) + j lies at (i/n, j/n)."""
    x, y = np.meshgrid(np.arange(n + 1) / n, np.arange(n + 1) / n, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def interior(n: int) -> Bool[np.ndarray, "n+1 n+1"]:
    """Which nodes lie inside."""
    return q1.interior(n, n)


def neighbours(v: Float[Array, "n+1 n+1"], axis: int) -> tuple[Array, Array]:
    """The values before and after each interior node along an axis."""
    return (v[:-2, 1:-1], v[2:, 1:-1]) if axis == 0 else (v[1:-1, :-2], v[1:-1, 2:])


def second(v: Float[Array, "n+1 n+1"], axis: int) -> Float[Array, "n-1 n-1"]:
    """2 v_P - v_E - v_W along an axis, in interior nodes."""
    before, after = neighbours(v, axis)
    return 2 * v[1:-1, 1:-1] - (before + after)


def central(v: Float[Array, "n+1 n+1"], axis: int) -> Float[Array, "n-1 n-1"]:
    """v_E - v_W along an axis, in interior nodes."""
    before, after = neighbours(v, axis)
    return after - before


def pad(v: Float[Array, "n-1 n-1"]) -> Float[Array, "n+1 n+1"]:
    """Interior values to all nodes, zero on the boundary."""
    return jnp.pad(v, 1)


def _along(n: int, one_dimensional: sp.csr_matrix, axis: int) -> sp.csr_matrix:
    unit = sp.identity(n - 1, format="csr")
    parts = (one_dimensional, unit) if axis == 0 else (unit, one_dimensional)
    return sp.kron(*parts, format="csr")


def _tridiagonal(n: int, lower: float, diagonal: float, upper: float) -> sp.csr_matrix:
    bands = [np.full(n - 2, lower), np.full(n - 1, diagonal), np.full(n - 2, upper)]
    return sp.diags(bands, [-1, 0, 1], format="csr")


def second_matrix(n: int, axis: int) -> sp.csr_matrix:
    """``second`` over the interior nodes, zero on the boundary."""
    return _along(n, _tridiagonal(n, -1.0, 2.0, -1.0), axis)


def central_matrix(n: int, axis: int) -> sp.csr_matrix:
    """``central`` over the interior nodes, zero on the boundary."""
    return _along(n, _tridiagonal(n, -1.0, 0.0, 1.0), axis)
