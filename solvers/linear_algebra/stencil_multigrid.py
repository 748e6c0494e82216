"""A multigrid V-cycle that follows rough coefficients: interpolation from the operator, Galerkin coarse operators.

For nine-point operators on the interior nodes of a square grid with zero boundary values,

    (A u)_ij = sum_ab S[a, b, i, j] u_(i+a-1, j+b-1),

the coarse nodes are every second one. A node between two coarse ones is interpolated so that the stencil, collapsed
across the line, vanishes there; the nodes in the middle of four so that the whole stencil does. The coarse operator is
P'AP, nine points again: its columns are found nine at a time, by colours that no stencil joins. Averaged coefficients
(``q1_multigrid.py``) are cheaper to set up, and as good where the coefficient changes little from cell to cell; where
it jumps by orders of magnitude between neighbours they need five times the iterations.
Reference: Alcouffe, Brandt, Dendy, Painter 1981; Dendy 1982 (black box multigrid).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from .dense import inverse
from .krylov import computed_if

DAMPING = 8 / 9
COARSEST = 8  # cells a side, at most, of the grid that is solved directly

Stencil = Float[Array, "3 3 m m"]


class Interpolation(NamedTuple):
    """Weights of the coarse neighbours: of nodes between two along the first and second axis, and between four."""

    first: tuple[Array, Array]  # [c+1, c] each
    second: tuple[Array, Array]  # [c, c+1]
    middle: tuple[Array, Array, Array, Array]  # [c+1, c+1]: low-low, low-high, high-low, high-high


class Level(NamedTuple):
    """One grid: its operator, the interpolation from the next coarser one, and the smoother."""

    stencil: Stencil
    interpolation: Interpolation
    damped_inverse_diagonal: Float[Array, "m m"]


class Hierarchy(NamedTuple):
    """All grids for one field of weights, the finest first; of the coarsest one the inverse."""

    positive: Bool[Array, ""]
    levels: tuple[Level, ...]
    coarsest_inverse: Float[Array, "k k"]


def fits(cells: int) -> bool:
    """Whether halving reaches a grid that is small enough."""
    while cells % 2 == 0 and cells > COARSEST:
        cells //= 2
    return 2 <= cells <= COARSEST


def diffusion_stencil(w: Float[Array, "n n"]) -> Stencil:
    """Of Q1 diffusion with one coefficient per cell: minus a third across a corner, minus a sixth along an edge."""
    ll, lh, hl, hh = w[:-1, :-1], w[:-1, 1:], w[1:, :-1], w[1:, 1:]
    rows = (
        (-ll / 3, -(ll + lh) / 6, -lh / 3),
        (-(ll + hl) / 6, (ll + lh + hl + hh) * (2 / 3), -(lh + hh) / 6),
        (-hl / 3, -(hl + hh) / 6, -hh / 3),
    )
    return jnp.stack([jnp.stack(row) for row in rows])


def apply(S: Stencil, u: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """A u for interior values u, zero on the boundary."""
    m = u.shape[0]
    padded = jnp.pad(u, 1)
    out = jnp.zeros_like(u)
    for a in range(3):
        for b in range(3):
            out = out + S[a, b] * padded[a : a + m, b : b + m]
    return out


def interpolation(S: Stencil) -> Interpolation:
    """From the stencils of the nodes that are not coarse. The coarse ones have odd indices in both directions."""
    E = jnp.sum(S[:, :, 0::2, 1::2], axis=1)  # collapsed across the first axis
    F = jnp.sum(S[:, :, 1::2, 0::2], axis=0)
    first = (-E[0] / E[1], -E[2] / E[1])
    second = (-F[0] / F[1], -F[2] / F[1])
    C = S[:, :, 0::2, 0::2]
    # a middle node's neighbours lie on lines along the second axis (below and above it) and along the first
    below_low, below_high = (jnp.pad(x, ((1, 0), (0, 0))) for x in second)
    above_low, above_high = (jnp.pad(x, ((0, 1), (0, 0))) for x in second)
    left_low, left_high = (jnp.pad(x, ((0, 0), (1, 0))) for x in first)
    right_low, right_high = (jnp.pad(x, ((0, 0), (0, 1))) for x in first)
    middle = (
        -(C[0, 0] + C[0, 1] * below_low + C[1, 0] * left_low) / C[1, 1],
        -(C[0, 2] + C[0, 1] * below_high + C[1, 2] * right_low) / C[1, 1],
        -(C[2, 0] + C[2, 1] * above_low + C[1, 0] * left_high) / C[1, 1],
        -(C[2, 2] + C[2, 1] * above_high + C[1, 2] * right_high) / C[1, 1],
    )
    return Interpolation(first, second, middle)


def prolong(P: Interpolation, c: Float[Array, "c c"]) -> Float[Array, "m m"]:
    """P c: values at the c x c coarse nodes interpolated to all m x m nodes."""
    padded = jnp.pad(c, 1)
    first = P.first[0] * padded[:-1, 1:-1] + P.first[1] * padded[1:, 1:-1]
    second = P.second[0] * padded[1:-1, :-1] + P.second[1] * padded[1:-1, 1:]
    ll, lh, hl, hh = P.middle
    middle = ll * padded[:-1, :-1] + lh * padded[:-1, 1:] + hl * padded[1:, :-1] + hh * padded[1:, 1:]

    def placed(x: Array, i: int, j: int) -> Array:
        return lax.pad(x, jnp.zeros((), x.dtype), ((i, i, 1), (j, j, 1)))

    return placed(c, 1, 1) + placed(first, 0, 1) + placed(second, 1, 0) + placed(middle, 0, 0)


def restrict(P: Interpolation, r: Float[Array, "m m"]) -> Float[Array, "c c"]:
    """P' r, the transpose of ``prolong``."""
    first, second, middle = r[0::2, 1::2], r[1::2, 0::2], r[0::2, 0::2]
    ll, lh, hl, hh = (weight * middle for weight in P.middle)
    out = r[1::2, 1::2] + ll[1:, 1:] + lh[1:, :-1] + hl[:-1, 1:] + hh[:-1, :-1]
    out = out + (P.first[0] * first)[1:] + (P.first[1] * first)[:-1]
    return out + (P.second[0] * second)[:, 1:] + (P.second[1] * second)[:, :-1]


def galerkin(S: Stencil, P: Interpolation) -> Stencil:
    """The stencil of P'AP."""
    count = (S.shape[2] - 1) // 2
    i, j = jnp.meshgrid(jnp.arange(count), jnp.arange(count), indexing="ij")

    def columns(colour: Array) -> Array:
        """The sum of all columns of one colour: each row meets one of them."""
        chosen = (i % 3 == colour // 3) & (j % 3 == colour % 3)
        return restrict(P, apply(S, prolong(P, chosen.astype(S.dtype))))

    found = lax.map(columns, jnp.arange(9))

    def entry(a: int, b: int) -> Array:
        colour = (i + a - 1) % 3 * 3 + (j + b - 1) % 3
        inside = (i + a >= 1) & (i + a <= count) & (j + b >= 1) & (j + b <= count)
        return jnp.where(inside, jnp.take_along_axis(found, colour[None], axis=0)[0], 0.0)

    return jnp.stack([jnp.stack([entry(a, b) for b in range(3)]) for a in range(3)])


def hierarchy(w: Float[Array, "n n"]) -> Hierarchy:
    """All levels for one field of cell weights: costs about eight V-cycles.

    Raises:
        ValueError: a grid that halving does not bring down to ``COARSEST`` cells a side.
    """
    if w.shape[0] != w.shape[1] or not fits(w.shape[0]):
        raise ValueError(f"{w.shape} cells cannot be halved down to at most {COARSEST} a side")
    S = diffusion_stencil(w)
    levels = []
    while S.shape[2] + 1 > COARSEST:
        P = interpolation(S)
        levels.append(Level(S, P, DAMPING / S[1, 1]))
        S = galerkin(S, P)
    m = S.shape[2]
    unit = jnp.eye(m * m, dtype=w.dtype).reshape(m * m, m, m)
    dense = jax.vmap(lambda e: apply(S, e))(unit).reshape(m * m, m * m)
    return Hierarchy(jnp.all(w > 0), tuple(levels), inverse(dense))


def v_cycle(h: Hierarchy, r: Float[Array, "m m"], depth: int = 0) -> Float[Array, "m m"]:
    """One symmetric V(1,1)-cycle from zero: a symmetric positive definite approximation of A^-1."""
    if depth == len(h.levels):
        return (h.coarsest_inverse @ r.reshape(-1)).reshape(r.shape)
    S, P, damped = h.levels[depth]
    defect = computed_if(h.positive, lambda: r - apply(S, damped * r))
    correction = v_cycle(h, restrict(P, defect), depth + 1)
    v = computed_if(h.positive, lambda: damped * r + prolong(P, correction))
    return v + damped * (r - apply(S, v))
