"""Conjugate gradients preconditioned by one geometric multigrid V-cycle, for plane stress on structured quadrilaterals.

As in ``q1_multigrid.py``: coarse operators are the same elements on coarser cells with averaged moduli, a dense inverse
once a side has at most ``COARSEST`` cells. The smoother, before and after, is the Chebyshev polynomial of degree 2 in
the operator scaled by its 2 x 2 nodal blocks D, on [b/6, b], where b bounds the largest eigenvalue of D^-1 A cell by
cell:

    v'A v <= max_c b_c sum_c E_c v'D_c v = max_c b_c v'D v,    b_c the largest eigenvalue of D_c^-1 A_c

which no field of moduli can exceed. Reference: Adams, Brezina, Hu, Tuminaro, J. Comput. Phys. 188 (2003), 593-610.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..linear_algebra import krylov
from ..linear_algebra.dense import inverse
from ..precision import gamma
from . import plane_stress as ps
from . import q1_multigrid

COARSEST = 4  # cells along the longer side of the grid that is solved directly
SMOOTHED_SHARE = 6  # the smoother treats the upper 5/6 of the spectrum
FLOOR = gamma(4 * ps.APPLY_ROUNDINGS)  # a residual below FLOOR |A| |u| cannot be told from zero


class Level(NamedTuple):
    """What a grid has before any moduli are known, as numpy arrays."""

    elements: ps.Elements
    free: Bool[np.ndarray, "2 nx+1 ny+1"]
    blocks: np.ndarray  # uu, uv, vv of each corner's nodal block, [4, 3] or [4, 3, nx, ny]
    largest: float  # b of the module's docstring


class Scaled(NamedTuple):
    """One grid with its moduli."""

    modulus: Float[Array, "nx ny"]
    inverse: Float[Array, "3 nx+1 ny+1"]  # uu, uv, vv of D^-1, zero in prescribed entries


class Hierarchy(NamedTuple):
    """All grids with their moduli, the finest first; of the coarsest one the inverse."""

    positive: Bool[Array, ""]
    scaled: tuple[Scaled, ...]
    coarsest_inverse: Float[Array, "m m"]


def levels(
    nodes: Callable[[int, int], np.ndarray],
    free: Callable[[int, int], np.ndarray],
    nx: int,
    ny: int,
    poisson: float,
) -> tuple[Level, ...]:
    """All grids, finest first; ``nodes(nx, ny)`` and ``free(nx, ny)`` describe the one of nx x ny cells."""
    grids = []
    while True:
        e = ps.elements(nodes(nx, ny), poisson)
        k = ps.element_matrix(e)
        blocks = np.stack([np.stack([k[c, c], k[c, c + 4], k[c + 4, c + 4]]) for c in range(4)])
        grids.append(Level(e, free(nx, ny), blocks, _largest_eigenvalue(k)))
        if max(nx, ny) <= COARSEST:
            return tuple(grids)
        nx, ny = (nx + 1) // 2, (ny + 1) // 2


def _largest_eigenvalue(k: np.ndarray) -> float:
    """b: the largest generalised eigenvalue of the element matrices against their nodal 2 x 2 blocks."""
    k = k.reshape(8, 8, -1).transpose(2, 0, 1)
    nodal = np.kron(np.ones((2, 2)), np.eye(4))  # the same corner, either component
    inverse = np.linalg.inv(np.linalg.cholesky(k * nodal))
    return float(np.linalg.eigvalsh(inverse @ k @ inverse.transpose(0, 2, 1)).max()) * 1.001


def hierarchy(grids: tuple[Level, ...], modulus: Float[Array, "nx ny"]) -> Hierarchy:
    """The operators of all grids for one field of moduli."""
    scaled, w = [], modulus
    for grid in grids:
        scaled.append(Scaled(w, _inverse_blocks(grid, w)))
        w = q1_multigrid.coarsen(w)
    last, modulus_last = grids[-1], scaled[-1].modulus
    unknowns = np.flatnonzero(last.free)

    def column(v: Array) -> Array:
        return ps.apply(last.elements, modulus_last, v.reshape(last.free.shape)).reshape(-1)[unknowns]

    dense = jax.vmap(column)(jnp.asarray(np.eye(last.free.size)[unknowns]))
    return Hierarchy(jnp.all(modulus > 0), tuple(scaled), inverse(dense))


def _inverse_blocks(grid: Level, modulus: Array) -> Float[Array, "3 nx+1 ny+1"]:
    nx, ny = modulus.shape
    total = jnp.zeros((3, nx + 1, ny + 1))
    for (i, j), block in zip(ps.CORNERS, grid.blocks, strict=True):
        cells = (block[:, None, None] if grid.elements.uniform else block) * modulus
        total = total + jnp.pad(cells, ((0, 0), (i, 1 - i), (j, 1 - j)))
    u_free, v_free = grid.free
    uu, vv = jnp.where(u_free, total[0], 1), jnp.where(v_free, total[2], 1)
    uv = jnp.where(u_free & v_free, total[1], 0)
    determinant = uu * vv - uv * uv
    return jnp.stack(
        [jnp.where(u_free, vv / determinant, 0), -uv / determinant, jnp.where(v_free, uu / determinant, 0)]
    )


def _precondition(inverse: Array, r: Array) -> Array:
    return jnp.stack([inverse[0] * r[0] + inverse[1] * r[1], inverse[1] * r[0] + inverse[2] * r[1]])


def _interpolation(n: int) -> np.ndarray:
    """Linear interpolation from all nodes of ceil(n/2) equal cells to those of n."""
    coarse = (n + 1) // 2
    position = np.arange(n + 1) * coarse / n
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(coarse + 1)[None, :]))


def prolong(c: Array, nx: int, ny: int) -> Float[Array, "2 nx+1 ny+1"]:
    """Bilinear interpolation to the nodes of nx x ny cells."""
    if nx % 2 or ny % 2:
        return jnp.asarray(_interpolation(nx)) @ c @ jnp.asarray(_interpolation(ny).T)
    spread = lax.pad(c, jnp.zeros((), c.dtype), ((0, 0, 0), (1, 1, 1), (1, 1, 1)))
    rows = spread[:, 1:-1] + (spread[:, :-2] + spread[:, 2:]) / 2
    return rows[:, :, 1:-1] + (rows[:, :, :-2] + rows[:, :, 2:]) / 2


def restrict(r: Float[Array, "2 nx+1 ny+1"]) -> Array:
    """The transpose of ``prolong``."""
    nx, ny = r.shape[1] - 1, r.shape[2] - 1
    if nx % 2 or ny % 2:
        return jnp.asarray(_interpolation(nx).T) @ r @ jnp.asarray(_interpolation(ny))
    padded = jnp.pad(r, ((0, 0), (1, 1), (1, 1)))

    def shifted(i: int, j: int) -> Array:
        return padded[:, i : nx + 1 + i : 2, j : ny + 1 + j : 2]

    edges = shifted(0, 1) + shifted(2, 1) + shifted(1, 0) + shifted(1, 2)
    corners = shifted(0, 0) + shifted(2, 0) + shifted(0, 2) + shifted(2, 2)
    return shifted(1, 1) + edges / 2 + corners / 4


def v_cycle(grids: tuple[Level, ...], h: Hierarchy, r: Array, depth: int = 0) -> Array:
    """One symmetric V-cycle from zero: a symmetric positive definite approximation of the inverse."""
    grid, (modulus, inverse) = grids[depth], h.scaled[depth]
    if depth == len(grids) - 1:
        unknowns = np.flatnonzero(grid.free)
        solved = h.coarsest_inverse @ r.reshape(-1)[unknowns]
        return jnp.zeros(grid.free.size).at[unknowns].set(solved).reshape(r.shape)
    nx, ny = modulus.shape
    centre, half = grid.largest * (1 + 1 / SMOOTHED_SHARE) / 2, grid.largest * (1 - 1 / SMOOTHED_SHARE) / 2
    second = 1 / (2 * (centre / half) ** 2 - 1)  # Chebyshev's recurrence, written out for two steps

    computed_if = partial(krylov.computed_if, h.positive)

    def scaled_defect(v: Array) -> Array:
        return _precondition(inverse, r - ps.apply(grid.elements, modulus, v))

    def smooth(step: Array, v: Array) -> Array:
        """The second of the polynomial's two steps; ``step`` is the first one, already in v."""
        return v + second * step + (1 + second) / centre * scaled_defect(v)

    def before() -> Array:
        first = _precondition(inverse, r) / centre
        return smooth(first, first)

    v = computed_if(before)
    defect = computed_if(lambda: jnp.where(grid.free, r - ps.apply(grid.elements, modulus, v), 0))
    correction = v_cycle(grids, h, jnp.where(grids[depth + 1].free, restrict(defect), 0), depth + 1)
    v = computed_if(lambda: v + jnp.where(grid.free, prolong(correction, nx, ny), 0))
    first = computed_if(lambda: scaled_defect(v) / centre)
    return smooth(first, v + first)


def solve(
    grids: tuple[Level, ...], modulus: Float[Array, "nx ny"], b: Float[Array, "2 nx+1 ny+1"], tolerance: float
) -> krylov.CgResult:
    """A u = b in free entries to a *true* relative residual of ``tolerance``, or to the rounding floor of evaluating
    it.
    """
    h = hierarchy(grids, modulus)
    grid = grids[0]

    def operator(v: Array) -> Array:
        return jnp.where(grid.free, ps.apply(grid.elements, modulus, v), 0)

    def absolute(v: Array) -> Array:
        return jnp.where(grid.free, ps.apply_absolute(grid.elements, modulus, v), 0)

    return krylov.refined(operator, absolute, lambda r: v_cycle(grids, h, r), b, tolerance, FLOOR, h.positive)
