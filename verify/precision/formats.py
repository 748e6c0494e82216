"""Floating-point formats, rounded to in float64: what hardware of that format would hold.

float16 has gradual underflow, which ``lax.reduce_precision`` has not: below its smallest normal number values are
rounded to multiples of its smallest one. Beyond the largest number all become infinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


@dataclass(frozen=True)
class Format:
    """``digits``: bits of the mantissa after the first; ``exponents``: bits of the exponent."""

    name: str
    exponents: int
    digits: int

    @property
    def unit(self) -> float:
        """The distance from 1 to the next number."""
        return float(2.0**-self.digits)

    def nearest(self, x: Array) -> Array:
        """Each value as this format holds it; a complex one by its parts."""
        if jnp.iscomplexobj(x):
            return lax.complex(self.nearest(jnp.real(x)), self.nearest(jnp.imag(x)))
        if self.digits >= jnp.finfo(x.dtype).nmant:
            return x
        normal = lax.reduce_precision(x, self.exponents, self.digits)
        least = 2.0 ** (2 - 2 ** (self.exponents - 1))  # the smallest normal number
        if least < jnp.finfo(x.dtype).tiny:
            return normal
        step = least * self.unit
        return jnp.where(jnp.abs(x) < least, jnp.round(x / step) * step, normal)

    def perturbed(self, x: Array, key: Array) -> Array:
        """Each value moved by up to a unit in its last place, at random, and rounded."""
        share = jax.random.uniform(key, x.shape, jnp.float64, -1.0, 1.0).astype(jnp.real(x).dtype)
        return self.nearest(x * (1 + self.unit * share))


FORMATS = (
    Format("float64", 11, 52),
    Format("float32", 8, 23),
    Format("float16", 5, 10),
    Format("bfloat16", 8, 7),
)
