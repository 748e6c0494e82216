"""Conjugate gradients preconditioned by one geometric multigrid V-cycle, for Q1 diffusion on a grid of square cells.

Coarse operators are the same element with averaged cell weights; damped Jacobi (omega = 8/9, the optimum for the
constant coefficient stencil, smoothing factor 1/3) before and after; bilinear interpolation and its transpose; a dense
inverse once a side has at most ``COARSEST`` cells. An odd number n of cells coarsens to (n + 1)/2 equal cells:
interpolation and averaging are then small dense matrices along each axis, and everything else stays the same (the grids
are not nested, which multigrid as a preconditioner does not need).
Reference: Trottenberg, Oosterlee, Schueller, Multigrid (2001), chapters 2 and 7.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..linear_algebra import stencil_multigrid
from ..linear_algebra.dense import inverse
from ..linear_algebra.krylov import CgResult, Operator, computed_if, refined
from ..precision import gamma
from . import q1

DAMPING = 8 / 9
COARSEST = 4  # cells along the longer side of the grid that is solved directly
# A residual below FLOOR |A| |u| cannot be told from zero: rounding u to float64 alone makes one of that size.
FLOOR = gamma(4 * q1.APPLY_ROUNDINGS)


class Level(NamedTuple):
    """One grid: its cell weights and the damped Jacobi smoother."""

    weights: Float[Array, "nx ny"]
    damped_inverse_diagonal: Float[Array, "nx-1 ny-1"]


class Hierarchy(NamedTuple):
    """All grids for one field of weights, the finest first."""

    positive: Bool[Array, ""]  # all weights > 0; otherwise the cycle returns zeros and nothing converges
    levels: tuple[Level, ...]
    coarsest_inverse: Float[Array, "m m"]


def _interpolation(n: int) -> np.ndarray:
    """Linear interpolation from the interior nodes of ceil(n/2) equal cells to those of n, [n-1, ceil(n/2)-1]."""
    coarse = (n + 1) // 2
    position = np.arange(1, n) * coarse / n
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(1, coarse)[None, :]))


def _averaging(n: int) -> np.ndarray:
    """Share of each of n fine cells in each of ceil(n/2) coarse cells, rows summing to one, [ceil(n/2), n]."""
    coarse = (n + 1) // 2
    fine_ends, coarse_ends = np.arange(n + 1) / n, np.arange(coarse + 1) / coarse
    overlap = np.minimum(coarse_ends[1:, None], fine_ends[None, 1:]) - np.maximum(
        coarse_ends[:-1, None], fine_ends[None, :-1]
    )
    return np.maximum(0, overlap) * coarse


def _coarsen_axis(w: Array) -> Array:
    if w.shape[0] % 2:
        return jnp.asarray(_averaging(w.shape[0])) @ w
    return (w[0::2] + w[1::2]) / 2


def coarsen(w: Float[Array, "nx ny"]) -> Array:
    """Cell weights of the next coarser grid: averages."""
    return _coarsen_axis(_coarsen_axis(w).T).T


def prolong(c: Array, nx: int, ny: int) -> Float[Array, "nx-1 ny-1"]:
    """Bilinear interpolation of interior values to the grid of nx x ny cells."""
    if nx % 2 or ny % 2:
        return jnp.asarray(_interpolation(nx)) @ c @ jnp.asarray(_interpolation(ny).T)
    spread = lax.pad(c, jnp.zeros((), c.dtype), ((2, 2, 1), (2, 2, 1)))
    rows = spread[1:-1] + (spread[:-2] + spread[2:]) / 2
    return rows[:, 1:-1] + (rows[:, :-2] + rows[:, 2:]) / 2


def restrict(r: Float[Array, "nx-1 ny-1"], nx: int, ny: int) -> Array:
    """The transpose of ``prolong``."""
    if nx % 2 or ny % 2:
        return jnp.asarray(_interpolation(nx).T) @ r @ jnp.asarray(_interpolation(ny))

    def shifted(i: int, j: int) -> Array:
        return r[i : nx - 3 + i : 2, j : ny - 3 + j : 2]

    edges = shifted(0, 1) + shifted(2, 1) + shifted(1, 0) + shifted(1, 2)
    corners = shifted(0, 0) + shifted(2, 0) + shifted(0, 2) + shifted(2, 2)
    return shifted(1, 1) + edges / 2 + corners / 4


def stiffness(w: Float[Array, "nx ny"], v: Float[Array, "nx-1 ny-1"]) -> Float[Array, "nx-1 ny-1"]:
    """A v for interior values, zero on the boundary."""
    return q1.apply(w, jnp.pad(v, 1))


def _defect(w: Array, b: Array, u: Array) -> Array:
    return b - stiffness(w, u)


def hierarchy(w: Float[Array, "nx ny"]) -> Hierarchy:
    """All levels for one field of cell weights; costs less than one V-cycle."""
    positive = jnp.all(w > 0)  # of the finest weights: averages may hide one that is not
    levels = []
    while max(w.shape) > COARSEST:
        levels.append(Level(w, DAMPING / q1.diagonal(w)))
        w = coarsen(w)
    mx, my = w.shape[0] - 1, w.shape[1] - 1
    unit = jnp.eye(mx * my, dtype=w.dtype).reshape(mx * my, mx, my)
    dense = jax.vmap(lambda e: stiffness(w, e))(unit).reshape(mx * my, mx * my)
    return Hierarchy(positive, tuple(levels), inverse(dense))


def v_cycle(h: Hierarchy, r: Float[Array, "nx-1 ny-1"]) -> Float[Array, "nx-1 ny-1"]:
    """One symmetric V(1,1)-cycle from zero: a symmetric positive definite approximation of A^-1."""
    return _v_cycle(h, r, 0)


def _v_cycle(h: Hierarchy, r: Array, depth: int) -> Array:
    if depth == len(h.levels):
        return (h.coarsest_inverse @ r.reshape(-1)).reshape(r.shape)
    w, inverse = h.levels[depth]
    nx, ny = w.shape
    defect = computed_if(h.positive, lambda: r - stiffness(w, inverse * r))
    correction = _v_cycle(h, restrict(defect, nx, ny), depth + 1)
    v = computed_if(h.positive, lambda: inverse * r + prolong(correction, nx, ny))
    return v + inverse * (r - stiffness(w, v))


def full_multigrid(
    w: Float[Array, "nx ny"], b: Float[Array, "nx-1 ny-1"], cycles: int = 1
) -> Float[Array, "nx-1 ny-1"]:
    """An approximate solution of A(w) u = b at a fixed price: no iteration, no check; NaN unless all weights are > 0.

    Nested iteration: the coarsest level is solved, its solution interpolated to the next and corrected there by one
    V-cycle, and so on; the finest level gets ``cycles`` of them. Coefficients that jump
    inside coarse cells cost accuracy. Reference: Trottenberg et al. (2001), section 2.6.
    """
    h = hierarchy(w)
    loads = [b]
    for level in h.levels:
        loads.append(restrict(loads[-1], *level.weights.shape))
    u = (h.coarsest_inverse @ loads[-1].reshape(-1)).reshape(loads[-1].shape)
    for depth in reversed(range(len(h.levels))):
        here = h._replace(levels=h.levels[depth:])
        weights, f = h.levels[depth].weights, loads[depth]
        u = computed_if(h.positive, partial(prolong, u, *weights.shape))
        for _ in range(cycles if depth == 0 else 1):
            defect = computed_if(h.positive, partial(_defect, weights, f, u))
            u = u + v_cycle(here, defect)
    return jnp.where(h.positive, u, jnp.nan)


def solve(
    w: Float[Array, "nx ny"],
    b: Float[Array, "nx-1 ny-1"],
    tolerance: float,
    max_iterations: int = 200,
    rough: bool = False,
) -> CgResult:
    """A(w) u = b to a *true* relative residual of ``tolerance``, or to the rounding floor of evaluating it.

    If the coefficient may be ``rough``, ``stencil_multigrid`` stands by and takes over where averaged coarse operators
    turn out to be no help; that takes twice as long again to compile. Not converged: ``max_iterations`` did not do, or
    the weights are not positive.
    """
    h = hierarchy(w)

    def robust() -> Operator:
        dear = stencil_multigrid.hierarchy(w)
        return lambda r: stencil_multigrid.v_cycle(dear, r)

    return refined(
        lambda v: stiffness(w, v),
        lambda u: q1.apply_absolute(w, jnp.pad(u, 1)),
        lambda r: v_cycle(h, r),
        b,
        tolerance,
        FLOOR,
        h.positive,
        max_iterations,
        robust if rough and w.shape[0] == w.shape[1] and stencil_multigrid.fits(w.shape[0]) else None,
    )
