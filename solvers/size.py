"""How large an array is, whatever its units: measured at a size near one and scaled back, by a power of two, which
changes no bit. Squares of 1e-170 or 1e160 leave float64 otherwise.

A residual whose square underflows would read as none, and zero as the solution of any equation with tiny data.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

MOST = 1000  # exponent: beyond, the power of two itself would leave float64


def powers(x: Any) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Two powers of two: what takes x near one, and back. Constants in derivatives."""
    size = lax.stop_gradient(jnp.max(jnp.abs(x), initial=0.0))
    exponent = jnp.clip(jnp.frexp(jnp.where(jnp.isfinite(size), size, 1.0))[1], -MOST, MOST)
    return jnp.ldexp(jnp.ones(()), -exponent), jnp.ldexp(jnp.ones(()), exponent)


def length(x: Any) -> Float[Array, ""]:
    """The Euclidean one, of an array."""
    down, up = powers(x)
    near = x * down
    return jnp.sqrt(jnp.vdot(near, near)) * up
