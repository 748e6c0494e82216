"""Tridiagonal systems, plain or cyclic: row i is lower_i u_{i-1} + diagonal_i u_i + upper_i u_{i+1} = b_i.

Elimination with partial pivoting (LAPACK's gtsv through JAX); the cyclic corner entries, lower_0 (to the last unknown)
and upper_{n-1} (to the first), are a rank-one change handled by the Sherman-Morrison formula. A singular system gives
NaN or infinity. The plain solve ignores the two corner entries.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class Bands(NamedTuple):
    """The three entries of every row, left of, on and right of the diagonal."""

    lower: Float[Array, " n"]
    diagonal: Float[Array, " n"]
    upper: Float[Array, " n"]


def transpose(a: Bands) -> Bands:
    """The bands of the transposed matrix."""
    return Bands(jnp.roll(a.upper, 1), a.diagonal, jnp.roll(a.lower, -1))


def apply(a: Bands, u: Float[Array, " n"], cyclic: bool) -> Float[Array, " n"]:
    """The matrix times ``u``."""
    left, right = jnp.roll(u, 1), jnp.roll(u, -1)
    if not cyclic:
        left, right = left.at[0].set(0.0), right.at[-1].set(0.0)
    return a.lower * left + a.diagonal * u + a.upper * right


def solve(a: Bands, b: Float[Array, " n"], cyclic: bool = False) -> Float[Array, " n"]:
    """The matrix' inverse times ``b``; cyclic systems need at least three unknowns."""
    lower, upper = a.lower.at[0].set(0.0), a.upper.at[-1].set(0.0)
    if not cyclic:
        return lax.linalg.tridiagonal_solve(lower, a.diagonal, upper, b[:, None])[:, 0]
    # A = T + x y' with x = (g, 0, .., 0, upper_last), y = (1, 0, .., 0, lower_first/g); g = -diagonal_0 keeps T's first
    # pivot away from zero.
    first, last = a.lower[0], a.upper[-1]
    g = -a.diagonal[0]
    diagonal = a.diagonal.at[0].add(-g).at[-1].add(-first * last / g)
    x = jnp.zeros_like(b).at[0].set(g).at[-1].set(last)
    both = lax.linalg.tridiagonal_solve(lower, diagonal, upper, jnp.stack([b, x], axis=1))
    v, z = both[:, 0], both[:, 1]
    return v - z * ((v[0] + v[-1] * first / g) / (1 + z[0] + z[-1] * first / g))
