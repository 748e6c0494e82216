"""Two-sided bounds of errors, whatever they were proved by: the absolute ones, the relative ones, and ||u||^2.

All of them may be JAX scalars of one field or arrays of n rows. "Nothing proved" is zero from below and infinity from
above.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...solvers.precision import UNIT_ROUNDOFF

SLACK = 1 + 16 * UNIT_ROUNDOFF  # the last handful of scalar operations of each bound


class ErrorBounds(NamedTuple):
    """lower <= ||e|| <= upper and relative_lower <= ||e|| / ||u|| <= relative_upper for e = u - field."""

    lower: Float[Array, "*n"]
    upper: Float[Array, "*n"]
    relative_lower: Float[Array, "*n"]
    relative_upper: Float[Array, "*n"]
    floor: Float[Array, "*n"]  # share of ``upper`` that is rounding and inexact solves: no better field lowers it
    square_lower: Float[Array, "*n"]  # proved interval of ||u||^2
    square_upper: Float[Array, "*n"]


NOTHING = (0.0, np.inf, 0.0, np.inf, np.inf, 0.0, np.inf)


def nothing_proved(n: int) -> ErrorBounds:
    """Bounds of n rows that say nothing."""
    return ErrorBounds(*(np.full(n, x) for x in NOTHING))  # type: ignore[arg-type]  # arrays of numpy


def only_where(good: Bool[np.ndarray, " n"], bounds: ErrorBounds) -> ErrorBounds:
    """The bounds of rows that are ``good``, and "nothing proved" of the others."""
    parts = (np.where(good, x, nothing) for x, nothing in zip(bounds, NOTHING, strict=True))
    return ErrorBounds(*parts)  # type: ignore[arg-type]


def assembled(lower: Array, upper: Array, floor: Array, small: Array, large: Array) -> ErrorBounds:
    """Relative forms from lower <= ||e|| <= upper and small <= ||u|| <= large."""
    known = jnp.isfinite(upper)
    relative = known & (small > 0)
    some = known & (lower > 0) & jnp.isfinite(large)
    return ErrorBounds(
        lower=jnp.where(known, lower, 0.0),
        upper=jnp.where(known, upper, jnp.inf),
        relative_lower=jnp.where(some, lower / jnp.where(some, large, 1.0) / SLACK, 0.0),
        relative_upper=jnp.where(relative, upper / jnp.where(relative, small, 1.0) * SLACK, jnp.inf),
        floor=jnp.where(known, floor, jnp.inf),
        square_lower=small**2 / SLACK,
        square_upper=large**2 * SLACK,
    )


def is_zero(scale: Any) -> bool:
    """Whether errors are relative alone; a scale that is traced may be anything."""
    return isinstance(scale, int | float) and scale == 0


def scaled_upper(bounds: ErrorBounds, scale: Any, xp: Any = jnp) -> Any:
    """At least ||e|| / (scale + ||u||), elementwise; ``xp``: numpy or jax.numpy.

    From E = ||e|| <= upper and r = relative_upper: ||u|| >= E / r, and E / (scale + E / r) increases with E; or from
    ||u||^2 >= square_lower. The slack covers the rounding of scale, which is a quotient itself.
    """
    if is_zero(scale):
        return bounds.relative_upper
    upper, relative = xp.asarray(bounds.upper), xp.asarray(bounds.relative_upper)
    known = xp.isfinite(upper)
    size = xp.maximum(
        xp.where(known & (relative > 0), xp.where(known, upper, 0.0) / xp.where(relative > 0, relative, 1.0), 0.0),
        xp.sqrt(bounds.square_lower),
    )
    return xp.where(known, xp.where(known, upper, 0.0) / (scale + size) * SLACK, xp.inf)


def scaled_lower(bounds: ErrorBounds, scale: Any, xp: Any = jnp) -> Any:
    """At most ||e|| / (scale + ||u||): as above, from below."""
    if is_zero(scale):
        return bounds.relative_lower
    lower, relative = xp.asarray(bounds.lower), xp.asarray(bounds.relative_lower)
    size = xp.minimum(
        xp.where(relative > 0, lower / xp.where(relative > 0, relative, 1.0), xp.inf), xp.sqrt(bounds.square_upper)
    )
    return xp.where(lower > 0, lower / (scale + size) / SLACK, 0.0)
