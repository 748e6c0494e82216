"""The supersolution v + t w of Bratu's problem, entry by entry: for fields (``bratu.py``) and over boxes."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from ...solvers.precision import UNIT_ROUNDOFF, gamma
from .bounds import UNDERFLOW

ENTRY = gamma(44)  # relative rounding of one term: exp to 16 ulp, differences, weights, sums
LARGEST = 100.0  # of a field: e^v stays far within float64


def supersolution(slope: Array, missing: Array, source: Array, w: Array) -> tuple[Array, Array]:
    """t with t slope - source (e^(t w) - 1 - t w) >= missing, entry by entry, and whether it was found.

    With e^x - 1 - x <= x^2 e^x / 2 the smallest t of an entry is a root of t a - t^2 c = f, where c holds e^(T max w)
    of a guess T. Whatever was guessed, the inequality is checked at the t that comes out.
    """
    curve = 0.5 * source * w**2 * (1 + 2 * ENTRY)
    first = jnp.maximum(jnp.max(missing / slope), 0.0)
    grown = curve * jnp.exp(jnp.minimum(2 * first * jnp.max(w), 50.0))
    root = jnp.sqrt(jnp.maximum(slope**2 - 4 * grown * missing, 0.0))
    each = jnp.where(missing > 0, 2 * missing / (slope + root), 0.0)
    t = jnp.max(each) * (1 + 1e-9) + UNDERFLOW
    least = t * slope * (1 - 8 * UNIT_ROUNDOFF) - t**2 * curve * jnp.exp(t * w) * (1 + 2 * ENTRY)
    return t, jnp.all(least >= missing)
