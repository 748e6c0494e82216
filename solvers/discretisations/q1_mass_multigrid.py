"""Conjugate gradients with a multigrid V-cycle for m u + A(w) u = b: a lumped mass plus Q1 diffusion on square cells.

What an implicit step of a diffusion problem asks for. Everything is as in ``q1_multigrid.py`` but that each level
carries its lumped mass (that of the unit square, so four times as much per node on each coarser grid), which also keeps
the damped Jacobi smoother convergent whichever of the two terms is larger. Coarsening ends at two cells a side, one
unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..linear_algebra.krylov import CgResult, computed_if, refined
from . import q1
from .q1_multigrid import DAMPING, FLOOR, coarsen, prolong, restrict, stiffness


class Level(NamedTuple):
    """One grid: its cell weights, the lumped mass of a node, and the damped Jacobi smoother."""

    weights: Float[Array, "nx ny"]
    mass: Float[Array, ""]
    damped_inverse_diagonal: Float[Array, "nx-1 ny-1"]


class Hierarchy(NamedTuple):
    """All grids for one field of weights, the finest first."""

    positive: Bool[Array, ""]  # all weights > 0; otherwise the cycle returns zeros and nothing converges
    levels: tuple[Level, ...]


def operator(level: Level, v: Float[Array, "nx-1 ny-1"]) -> Float[Array, "nx-1 ny-1"]:
    """m v + A v for interior values, zero on the boundary."""
    return level.mass * v + stiffness(level.weights, v)


def hierarchy(w: Float[Array, "nx ny"], mass: Float[Array, ""] | float) -> Hierarchy:
    """All levels for one field of cell weights and the lumped mass of one node."""
    levels = []
    cells = w.shape[0] * w.shape[1]
    positive = jnp.all(w > 0)
    while True:
        m = jnp.asarray(mass * cells / (w.shape[0] * w.shape[1]))
        levels.append(Level(w, m, DAMPING / (m + q1.diagonal(w))))
        if max(w.shape) <= 2:
            return Hierarchy(positive, tuple(levels))
        w = coarsen(w)


def v_cycle(h: Hierarchy, r: Float[Array, "nx-1 ny-1"], depth: int = 0) -> Float[Array, "nx-1 ny-1"]:
    """One symmetric V(1,1)-cycle from zero: a symmetric positive definite approximation of (m + A)^-1."""
    level = h.levels[depth]
    inverse = level.damped_inverse_diagonal
    if depth == len(h.levels) - 1:
        return inverse / DAMPING * r
    nx, ny = level.weights.shape
    defect = computed_if(h.positive, lambda: r - operator(level, inverse * r))
    correction = v_cycle(h, restrict(defect, nx, ny), depth + 1)
    v = computed_if(h.positive, lambda: inverse * r + prolong(correction, nx, ny))
    return v + inverse * (r - operator(level, v))


def solve(h: Hierarchy, b: Float[Array, "nx-1 ny-1"], tolerance: float, max_iterations: int = 100) -> CgResult:
    """(m + A) u = b to a *true* relative residual of ``tolerance``, or to the rounding floor of evaluating it."""
    fine = h.levels[0]

    def absolute(u: Array) -> Array:
        return fine.mass * jnp.abs(u) + q1.apply_absolute(fine.weights, jnp.pad(u, 1))

    return refined(
        lambda v: operator(fine, v), absolute, lambda r: v_cycle(h, r), b, tolerance, FLOOR, h.positive, max_iterations
    )
