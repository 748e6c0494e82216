"""Two-sided bounds of errors, whatever they were proved by: the absolute ones, the relative ones, and ||u||^2.

All of them may be JAX scalars of one field or arrays of n rows. "Nothing proved" is zero from below and infinity from
above.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...solvers.outputs import ROUNDINGS, Output
from ...solvers.precision import UNIT_ROUNDOFF, gamma

TINY = 2.0**-1000  # what underflows in a product of vectors of any length
UNDERFLOW = 2.0**-490  # what underflows in squares on the way to a norm
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


class OutputBounds(NamedTuple):
    """lower <= l(u) <= upper for an output l, and ``value``, that of the field itself, as computed."""

    value: Float[Array, "*n"]
    lower: Float[Array, "*n"]
    upper: Float[Array, "*n"]

    def only_where(self, good: Bool[np.ndarray, " n"]) -> OutputBounds:
        """Of n rows: those that are ``good``, and intervals of everything elsewhere."""
        ends = np.where(good, self.lower, -np.inf), np.where(good, self.upper, np.inf)
        return OutputBounds(np.asarray(self.value), *ends)  # type: ignore[arg-type]  # arrays of numpy


def interval_around(centre: Array, radius: Array) -> tuple[Array, Array]:
    """centre - radius and centre + radius, rounded outwards; everything where either is no number."""
    known = jnp.isfinite(centre) & (radius >= 0) & jnp.isfinite(radius)
    radius = radius * SLACK + 4 * UNIT_ROUNDOFF * jnp.abs(centre)
    return jnp.where(known, centre - radius, -jnp.inf), jnp.where(known, centre + radius, jnp.inf)


def intersected(
    own: tuple[Array, Array, Array], lower: Array, upper: Array, floor: Array, size: tuple[Array, Array]
) -> ErrorBounds:
    """Two bounds of one error e: r >= ||e|| of ``own`` = (r, small, large) with small <= ||u|| <= large; and, where
    ``upper`` is finite, lower <= ||e|| <= upper, of which ``floor`` is rounding, with another such interval ``size``.
    """
    r, small, large = own
    known = jnp.isfinite(upper)
    return assembled(
        jnp.where(known, jnp.maximum(lower, 0.0), 0.0),
        jnp.where(known, jnp.minimum(upper, r), r),
        jnp.where(known, floor, r),
        jnp.where(known, jnp.maximum(size[0], small), small),
        jnp.where(known, jnp.minimum(size[1], large), large),
    )


def output_errors(value: Any, lower: Any, upper: Any, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """At least and at most |l - value| / (scale + |l|) for l between lower and upper; of arrays, elementwise.

    Away from the value the quotient grows, but where l changes its sign: the most is at an end, or where l is zero.
    """
    value, lower, upper = (np.asarray(x, dtype=np.float64) for x in (value, lower, upper))
    down, up = 1 - 8 * UNIT_ROUNDOFF, 1 + 8 * UNIT_ROUNDOFF
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ends = [np.abs(l - value) / (scale + np.abs(l)) for l in (lower, upper)]
        at_zero = np.where((lower <= 0) & (upper >= 0) & (value != 0), np.abs(value) / np.float64(scale), 0.0)
        known = np.isfinite(value) & np.isfinite(lower) & np.isfinite(upper) & (lower <= upper)
        same = known & (lower == value) & (upper == value)  # 0 / 0 is 0
        most = np.where(same, 0.0, np.maximum(np.maximum(*ends), at_zero) * up)
        outside = known & ((value < lower) | (value > upper))
        least = np.where(outside, np.minimum(*ends) * down, 0.0)
    return np.where(np.isfinite(least), least, 0.0), np.where(known & ~np.isnan(most), most, np.inf)


def linear_value(weights: Array, size: Array | None, offset: Array, v: Array) -> tuple[Array, Array]:
    """weights . v + offset, and how far the exact one may be from it; ``size`` as in ``Output.size``."""
    off = gamma(v.size + 8) * jnp.vdot(jnp.abs(weights), jnp.abs(v)) + gamma(ROUNDINGS + 8) * jnp.abs(offset)
    if size is not None:
        off = off + gamma(ROUNDINGS) * jnp.vdot(size, jnp.abs(v)) * SLACK
    return jnp.vdot(weights, v) + offset, off * (1 + gamma(v.size + 8)) * SLACK + TINY


def squares(output: Output, found: list[ErrorBounds]) -> tuple[Array, Array]:
    """The interval of a multiple of ||u||^2, by all bounds that are known of it."""
    lower = jnp.max(jnp.stack([bounds.square_lower for bounds in found]))
    upper = jnp.min(jnp.stack([bounds.square_upper for bounds in found]))
    return output.square * lower / SLACK, output.square * upper * SLACK


NOTHING = (0.0, np.inf, 0.0, np.inf, np.inf, 0.0, np.inf)


def nothing_proved(n: int) -> ErrorBounds:
    """Bounds of n rows that say nothing."""
    return ErrorBounds(*(np.full(n, x) for x in NOTHING))  # type: ignore[arg-type]  # arrays of numpy


def no_interval(value: np.ndarray) -> OutputBounds:
    """Of n rows of which only the fields' own output is known."""
    everything = np.full(len(value), np.inf)
    return OutputBounds(value, -everything, everything)  # type: ignore[arg-type]  # arrays of numpy


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
