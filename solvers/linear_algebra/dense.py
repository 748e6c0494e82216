"""Small dense systems inside compiled code, by Gauss-Jordan elimination in array operations.

LAPACK, called from compiled code, starts threads of its own, which fight with XLA's for the cores; a loop of row
operations does not, compiles quickly and can be vectorised over many systems. There is no pivoting: for symmetric
positive definite matrices elimination is stable without (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
section 14.4).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def inverse(a: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """The inverse of a positive definite matrix, formed in its own place: half the work of ``gauss_jordan`` with the
    identity on the right. Not a number where a pivot is zero.
    """

    def eliminate(k: Array, m: Array) -> Array:
        row = m[k] / m[k, k]
        column = m[:, k]
        m = m - jnp.outer(column, row)
        return m.at[k].set(row).at[:, k].set(-column / column[k]).at[k, k].set(1 / column[k])

    return lax.fori_loop(0, a.shape[0], eliminate, a)


def gauss_jordan(system: Float[Array, "m m+r"]) -> Float[Array, "m r"]:
    """a^-1 b from the system [a, b], a positive definite; not a number where a pivot is zero."""
    m = system.shape[0]

    def eliminate(i: Array, system: Array) -> Array:
        row = system[i] / system[i, i]
        return (system - jnp.outer(system[:, i], row)).at[i].set(row)

    return lax.fori_loop(0, m, eliminate, system)[:, m:]


def solve_spd(a: Float[Array, "m m"], b: Float[Array, " m"]) -> Float[Array, " m"]:
    """a^-1 b for a positive definite, scaled to a diagonal of ones first: the pivots tell nothing of the units then."""
    scale = 1 / jnp.sqrt(jnp.abs(jnp.diagonal(a)))
    system = jnp.concatenate([a * scale[:, None] * scale[None, :], (b * scale)[:, None]], axis=1)
    return gauss_jordan(system)[:, 0] * scale
