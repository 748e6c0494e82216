"""Bilinear (Q1) elements for plane stress on a structured grid of quadrilaterals, one Young's modulus per cell.

In a cell with corner values a = u00, b = u10, c = u01, d = u11 of one displacement component, its gradient in the
reference coordinates xi, eta in [-1/2, 1/2] is (X + eta H, Y + xi H) with the modes

    X = (b - a + d - c)/2,    Y = (c - a + d - b)/2,    H = (d - c) - (b - a)

so the strains at the 2 x 2 Gauss points are linear in m = (X u, Y v, Y u, H u, H v, X v). With D = L L' (modulus one)

    energy of a cell = E |L' strain|^2 summed over the Gauss points = E |F m|^2 = E |R m|^2,    F = Q R

where R has five rows only: a small rigid rotation has no energy, so that the six columns of F are linearly dependent,
and as the rotation takes part in X v, the last of the modes, it is the sixth row of R that vanishes. The operator is
*defined* by these float64 R: A = sum_cells E_c B_c' B_c, B_c = R_c T with T the corner values' modes. One R serves all
cells where these are equal parallelograms (there 2 x 2 points are exact). Fields are [2, nx+1, ny+1], moduli [nx, ny].
Reference: Hughes, The Finite Element Method (2000), chapters 3 and 4.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Bool, Float

CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
_CORNER_MODES = np.array([[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5], [1.0, -1, -1, 1]])  # X, Y, H from a, b, c, d
MODES = np.zeros((6, 8))  # T: corner values (a, b, c, d of u, then of v) to m
for _row, (_mode, _component) in enumerate(((0, 0), (1, 1), (1, 0), (2, 0), (2, 1), (0, 1))):
    MODES[_row, 4 * _component : 4 * _component + 4] = _CORNER_MODES[_mode]

# Roundings between exact data and one entry of ``apply``, relative to |B|' E |B| |u|: 3 for a mode, 6 for a row of R,
# 1 for the modulus, 5 for a row of R', 2 for T', 4 for the sum of cells; where element matrices are formed first, 2 x
# 8 more.
APPLY_ROUNDINGS = 48


class Elements(NamedTuple):
    """R of every cell, [5, 6] where all are alike, else [5, 6, nx, ny]; built by ``elements``."""

    factor: np.ndarray

    @property
    def uniform(self) -> bool:
        """Whether one R serves all cells."""
        return self.factor.ndim == 2


def stress_factor(poisson: float) -> Float[np.ndarray, "3 3"]:
    """L' with D = L L' for Young's modulus one; strains are (u_x, v_y, u_y + v_x)."""
    shear = (1 - poisson) / 2
    return np.linalg.cholesky(np.array([[1, poisson, 0], [poisson, 1, 0], [0, 0, shear]]) / (1 - poisson**2)).T


def elements(nodes: Float[np.ndarray, "nx+1 ny+1 2"], poisson: float) -> Elements:
    """The factors R of the grid with these nodes.

    Raises:
        ValueError: a cell is degenerate or turned inside out at a Gauss point.
    """
    corners = np.stack([nodes[i : i + nodes.shape[0] - 1, j : j + nodes.shape[1] - 1] for i, j in CORNERS], axis=-1)
    modes = np.einsum("xyak,mk->maxy", corners, _CORNER_MODES)  # X, Y, H of the coordinates
    square = stress_factor(poisson)
    points = []
    for xi in (-1, 1):
        for eta in (-1, 1):
            xi_, eta_ = xi / np.sqrt(12), eta / np.sqrt(12)
            (x1, y1), (x2, y2) = modes[0] + eta_ * modes[2], modes[1] + xi_ * modes[2]  # derivatives along xi and eta
            area = x1 * y2 - x2 * y1
            if not (area > 0).all():
                i, j = np.argwhere(~(area > 0))[0]
                raise ValueError(f"cell ({i}, {j}) is degenerate or turned inside out: move its corners apart")
            zero = np.zeros_like(area)
            along_x = np.array([[y2, zero, -y1, y2 * eta_ - y1 * xi_, zero, zero]])  # area u_x from m
            u_y = np.array([[-x2, zero, x1, x1 * xi_ - x2 * eta_, zero, zero]])
            v_x = np.array([[zero, -y1, zero, zero, y2 * eta_ - y1 * xi_, y2]])
            v_y = np.array([[zero, x1, zero, zero, x1 * xi_ - x2 * eta_, -x2]])
            strain = np.concatenate([along_x, v_y, u_y + v_x]) / area
            points.append(np.einsum("st,tmxy->smxy", square, strain) * np.sqrt(area / 4))
    stacked = np.concatenate(points)  # F, [12, 6, nx, ny]
    same = np.abs(stacked - stacked[:, :, :1, :1]).max() <= 1e-12 * np.abs(stacked).max()
    if same:
        r = np.asarray(np.linalg.qr(stacked[:, :, 0, 0], mode="r"))[:5]
        return Elements(np.where(np.abs(r) < 1e-13 * np.abs(r).max(), 0.0, r))
    per_cell = np.asarray(np.linalg.qr(stacked.transpose(2, 3, 0, 1), mode="r"))[..., :5, :]
    return Elements(np.ascontiguousarray(per_cell.transpose(2, 3, 0, 1)))


def cell_modes(u: Float[Array, "2 nx+1 ny+1"]) -> list[Array]:
    """m of every cell, six arrays [nx, ny]."""
    a, b, c, d = u[:, :-1, :-1], u[:, 1:, :-1], u[:, :-1, 1:], u[:, 1:, 1:]
    low, high = b - a, d - c
    x, y, h = (low + high) / 2, ((c - a) + (d - b)) / 2, high - low
    return [x[0], y[1], y[0], h[0], h[1], x[1]]


def flux(e: Elements, u: Float[Array, "2 nx+1 ny+1"]) -> Float[Array, "5 nx ny"]:
    """B u, the five factor rows of every cell: ||u||_A^2 = sum_c E_c |B_c u|^2."""
    return jnp.stack(_rows(e.factor, cell_modes(u)))


def _rows(r: np.ndarray, m: list[Array]) -> list[Array]:
    return [sum(r[i, j] * m[j] for j in range(6) if np.any(r[i, j])) for i in range(5)]


def apply(e: Elements, modulus: Float[Array, "nx ny"], u: Float[Array, "2 nx+1 ny+1"]) -> Float[Array, "2 nx+1 ny+1"]:
    """A u in all nodes, nothing prescribed."""
    if e.uniform:
        return _by_nodes(element_matrix(e), modulus, u)
    return _by_cells(e.factor, modulus, cell_modes(u), signed=True)


def apply_absolute(
    e: Elements, modulus: Float[Array, "nx ny"], u: Float[Array, "2 nx+1 ny+1"]
) -> Float[Array, "2 nx+1 ny+1"]:
    """sum_c E_c |B_c|' |B_c| |u|: what the rounding errors of ``apply`` are proportional to."""
    size = np.abs(e.factor)
    if e.uniform:
        b = size @ np.abs(MODES)
        return _by_nodes(b.T @ b, modulus, jnp.abs(u))
    v = jnp.abs(u)
    total = v[:, :-1, :-1] + v[:, 1:, :-1] + v[:, :-1, 1:] + v[:, 1:, 1:]
    half = total / 2
    return _by_cells(size, modulus, [half[0], half[1], half[0], total[0], total[1], half[1]], signed=False)


def _by_nodes(k: Float[np.ndarray, "8 8"], modulus: Array, u: Array) -> Array:
    """Every node gathers from its four cells: one pass over memory, which is what counts where the matrix is
    constant.
    """
    nx, ny = modulus.shape
    v = jnp.pad(u, ((0, 0), (1, 1), (1, 1)))
    w = jnp.pad(modulus, 1)
    result = []
    for component in range(2):
        total = jnp.zeros((nx + 1, ny + 1))
        for corner, (i, j) in enumerate(CORNERS):  # the node is this corner of the cell
            row = k[4 * component + corner]
            force = jnp.zeros((nx + 1, ny + 1))
            for column in np.flatnonzero(row):
                s, t = CORNERS[column % 4]
                force = force + row[column] * v[column // 4, 1 + s - i : nx + 2 + s - i, 1 + t - j : ny + 2 + t - j]
            total = total + w[1 - i : nx + 2 - i, 1 - j : ny + 2 - j] * force
        result.append(total)
    return jnp.stack(result)


def _by_cells(r: np.ndarray, modulus: Array, m: list[Array], signed: bool) -> Array:
    """B' (E (B u)) by way of the modes."""
    rows = [modulus * row for row in _rows(r, m)]
    xu, yv, yu, hu, hv, xv = (sum(r[i, j] * rows[i] for i in range(5) if np.any(r[i, j])) for j in range(6))
    x, y, h = (jnp.pad(jnp.stack(pair), ((0, 0), (1, 1), (1, 1))) for pair in ((xu, xv), (yu, yv), (hu, hv)))
    s = -1 if signed else 1
    here, before = slice(1, None), slice(None, -1)
    total = jnp.zeros((2, modulus.shape[0] + 1, modulus.shape[1] + 1))
    for i, j in CORNERS:  # the node is corner (i, j) of the cell
        cell = (slice(None), before if i else here, before if j else here)
        along_x, along_y, twist = (1 if i else s), (1 if j else s), (1 if i == j else s)
        total = total + (along_x / 2 * x[cell] + along_y / 2 * y[cell] + twist * h[cell])
    return total


def element_matrix(e: Elements) -> np.ndarray:
    """B' B of every cell, [8, 8] or [8, 8, nx, ny], in the order of ``MODES``' columns."""
    b = np.einsum("rm...,mk->rk...", e.factor, MODES)
    return np.einsum("rk...,rl...->kl...", b, b)


def interior_free(nx: int, ny: int) -> Bool[np.ndarray, "2 nx+1 ny+1"]:
    """The mask that prescribes both components along the whole boundary."""
    mask = np.zeros((2, nx + 1, ny + 1), dtype=bool)
    mask[:, 1:-1, 1:-1] = True
    return mask


class CsrMap:
    """Cell moduli -> CSR matrix of the free entries, in the order of flat fields (node after node, component last)."""

    def __init__(self, e: Elements, free: Bool[np.ndarray, "2 nx+1 ny+1"]) -> None:
        nx, ny = free.shape[1] - 1, free.shape[2] - 1
        flat = free.transpose(1, 2, 0)
        self.size = int(free.sum())
        number = np.full(flat.shape, -1, dtype=np.int64)
        number[flat] = np.arange(self.size)
        dofs = np.stack([number[i : nx + i, j : ny + j, c] for c in range(2) for i, j in CORNERS], axis=-1).reshape(
            -1, 8
        )
        k = element_matrix(e)
        k = np.broadcast_to(k[:, :, None, None], (8, 8, nx, ny)) if e.uniform else k
        values = k.transpose(2, 3, 0, 1).reshape(-1, 8, 8)
        cells = np.broadcast_to(np.arange(nx * ny)[:, None, None], values.shape)
        rows = np.broadcast_to(dofs[:, :, None], values.shape)
        cols = np.broadcast_to(dofs[:, None, :], values.shape)
        kept = (rows >= 0) & (cols >= 0)
        pattern, slot = np.unique(rows[kept] * self.size + cols[kept], return_inverse=True)
        self.indices = (pattern % self.size).astype(np.int32)
        self.indptr = np.searchsorted(pattern // self.size, np.arange(self.size + 1)).astype(np.int32)
        self.entries = sp.csr_matrix((values[kept], (slot, cells[kept])), shape=(len(pattern), nx * ny))

    def __call__(self, modulus: Float[np.ndarray, "nx ny"]) -> sp.csr_matrix:
        return sp.csr_matrix(
            (self.entries @ np.ravel(modulus), self.indices, self.indptr), shape=(self.size, self.size)
        )
