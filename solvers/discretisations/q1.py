"""Bilinear (Q1) finite elements for -div(a grad u) on a grid of equal square cells, a constant in each cell.

    element energy   w (1/4 (-u00+u10-u01+u11)^2 + 1/4 (-u00-u10+u01+u11)^2 + 1/6 (u00-u10-u01+u11)^2)

so A = sum_cells w_c B_c' B_c with three rows B_c (x-gradient, y-gradient, hourglass): exact integration, the element
matrix does not depend on the cell size in two dimensions. One operator, three readers: ``apply`` for JAX, ``CsrMap``
for scipy, ``flux`` (the factor B) for norms and bounds. All off-diagonal entries are <= 0: for any positive weights A
is an M-matrix.

Fields are [nx+1, ny+1] with the first axis along x; cell weights [nx, ny]; free nodes are the interior ones.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

# corners in the order 00, 10, 01, 11
FACTOR = np.array([[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5], [1.0, -1.0, -1.0, 1.0]])
FACTOR[2] /= np.sqrt(6.0)
ELEMENT = np.array([[4.0, -1, -1, -2], [-1, 4, -2, -1], [-1, -2, 4, -1], [-2, -1, -1, 4]]) / 6

# Roundings between exact data and one entry of ``apply``: at most 3 for a corner's bracket with its scaling, 2 for the
# product by the weight and by 1/6, 3 for the sum of four cells; 12 leaves room for any order the compiler picks.
APPLY_ROUNDINGS = 12


def apply(w: Float[Array, "nx ny"], u: Float[Array, "nx+1 ny+1"]) -> Float[Array, "nx-1 ny-1"]:
    """A u in the interior nodes; boundary values of ``u`` take part."""
    sw, se, nw, ne = w[:-1, :-1], w[1:, :-1], w[:-1, 1:], w[1:, 1:]
    c = u[1:-1, 1:-1]
    north, south, east, west = u[1:-1, 2:], u[1:-1, :-2], u[2:, 1:-1], u[:-2, 1:-1]
    return (
        ne * (4 * c - north - east - 2 * u[2:, 2:])
        + se * (4 * c - south - east - 2 * u[2:, :-2])
        + nw * (4 * c - north - west - 2 * u[:-2, 2:])
        + sw * (4 * c - south - west - 2 * u[:-2, :-2])
    ) * (1 / 6)


def apply_absolute(w: Float[Array, "nx ny"], u: Float[Array, "nx+1 ny+1"]) -> Float[Array, "nx-1 ny-1"]:
    """|A_c| |u| summed over the cells: what the rounding errors of ``apply`` are proportional to."""
    sw, se, nw, ne = w[:-1, :-1], w[1:, :-1], w[:-1, 1:], w[1:, 1:]
    v = jnp.abs(u)
    c = v[1:-1, 1:-1]
    north, south, east, west = v[1:-1, 2:], v[1:-1, :-2], v[2:, 1:-1], v[:-2, 1:-1]
    return (
        ne * (4 * c + north + east + 2 * v[2:, 2:])
        + se * (4 * c + south + east + 2 * v[2:, :-2])
        + nw * (4 * c + north + west + 2 * v[:-2, 2:])
        + sw * (4 * c + south + west + 2 * v[:-2, :-2])
    ) * (1 / 6)


def diagonal(w: Float[Array, "nx ny"]) -> Float[Array, "nx-1 ny-1"]:
    """The diagonal of A in the interior nodes."""
    return (w[:-1, :-1] + w[1:, :-1] + w[:-1, 1:] + w[1:, 1:]) * (2 / 3)


def flux(u: Float[Array, "nx+1 ny+1"]) -> Float[Array, "3 nx ny"]:
    """B u, the three factor rows of every cell: ||u||_A^2 = sum_c w_c |B_c u|^2."""
    a, b, c, d = u[:-1, :-1], u[1:, :-1], u[:-1, 1:], u[1:, 1:]
    east, north = b - a, c - a
    east_top, north_right = d - c, d - b
    return jnp.stack([(east + east_top) / 2, (north + north_right) / 2, (north_right - north) / np.sqrt(6.0)])


def flux_square(u: Float[Array, "nx+1 ny+1"]) -> Float[Array, "nx ny"]:
    """|B_c u|^2 of every cell, ``flux`` without the array of fluxes."""
    a, b, c, d = u[:-1, :-1], u[1:, :-1], u[:-1, 1:], u[1:, 1:]
    x, y, h = (b - a) + (d - c), (c - a) + (d - b), (d - b) - (c - a)
    return (x * x + y * y) * 0.25 + h * h * (1 / 6)


def divergence(y: Float[Array, "3 nx ny"]) -> Float[Array, "nx-1 ny-1"]:
    """B'y in the interior nodes: f - B'y is what the flux y leaves of the load f. For JAX and for numpy arrays."""
    x, z, h = y[0] / 2, y[1] / 2, y[2] / np.sqrt(6.0)
    return (
        (h - x - z)[1:, 1:]  # of the cell whose corner 00 the node is
        + (x - z - h)[:-1, 1:]  # 10
        + (z - x - h)[1:, :-1]  # 01
        + (x + z + h)[:-1, :-1]  # 11
    )


def coordinates(n: int) -> Float[np.ndarray, "N 2"]:
    """The nodes of n x n cells on the unit square, flat, x outermost."""
    ticks = np.linspace(0, 1, n + 1)
    x, y = np.meshgrid(ticks, ticks, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def interior(nx: int, ny: int) -> np.ndarray:
    """Boolean mask [nx+1, ny+1] of the interior nodes."""
    mask = np.zeros((nx + 1, ny + 1), dtype=bool)
    mask[1:-1, 1:-1] = True
    return mask


class CsrMap:
    """Cell weights -> CSR matrix of the interior nodes, through one fixed sparse linear map to the matrix entries."""

    def __init__(self, nx: int, ny: int) -> None:
        number = -np.ones((nx + 1, ny + 1), dtype=np.int64)
        size = (nx - 1) * (ny - 1)
        number[1:-1, 1:-1] = np.arange(size).reshape(nx - 1, ny - 1)
        corners = np.stack([number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]], axis=-1).reshape(-1, 4)
        cells = np.broadcast_to(np.arange(nx * ny)[:, None, None], (nx * ny, 4, 4))
        rows = np.broadcast_to(corners[:, :, None], cells.shape)
        cols = np.broadcast_to(corners[:, None, :], cells.shape)
        values = np.broadcast_to(ELEMENT, cells.shape)
        free = (rows >= 0) & (cols >= 0)
        rows, cols, cells, values = rows[free], cols[free], cells[free], values[free]
        pattern, slot = np.unique(rows * size + cols, return_inverse=True)  # sorted by row, then column: CSR order
        self.indices = (pattern % size).astype(np.int32)
        self.indptr = np.searchsorted(pattern // size, np.arange(size + 1)).astype(np.int32)
        self.entries = sp.csr_matrix((values, (slot, cells)), shape=(len(pattern), nx * ny))
        self.size = size

    def __call__(self, w: Float[np.ndarray, "nx ny"]) -> sp.csr_matrix:
        return sp.csr_matrix((self.entries @ np.ravel(w), self.indices, self.indptr), shape=(self.size, self.size))
