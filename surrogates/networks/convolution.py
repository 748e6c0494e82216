"""Convolutions of three nodes along each axis of a tensor grid, as one matrix product and sums of shifts.

    (C h)(x) = w + sum_s W_s h(x + s),   s in {-1, 0, 1}^axes

All W_s h are one product, [nodes, channels] times [channels, 3^axes width]; XLA's own convolution on a CPU takes six
times as long inside a loop, which is where training runs.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

REACH = 3


class Convolution(nn.Module):
    """See the module's docstring. Around the ends of a periodic grid, with zeros beyond those of others."""

    width: int
    periodic: bool

    @nn.compact
    def __call__(self, h: Float[Array, "n *grid c"]) -> Float[Array, "n *grid width"]:
        axes = h.ndim - 2
        scaled = nn.initializers.variance_scaling(1.0 / REACH**axes, "fan_in", "truncated_normal")
        W = self.param("kernel", scaled, (h.shape[-1], REACH**axes * self.width)).astype(h.dtype)
        parts = (h @ W).reshape((*h.shape[:-1], *(REACH,) * axes, self.width))
        for axis in range(1, axes + 1):
            parts = self._shifted(parts, axis, axes)
        return parts + self.param("bias", nn.initializers.zeros, (self.width,)).astype(h.dtype)

    def _shifted(self, parts: Array, axis: int, axes: int) -> Array:
        """The sum over the shifts along one axis, of which there is one less then."""
        before, here, after = (jnp.take(parts, k, axis=axes + 1) for k in range(REACH))
        if self.periodic:
            return jnp.roll(before, 1, axis) + here + jnp.roll(after, -1, axis)
        n = here.shape[axis]
        gap = [(0, 0)] * here.ndim
        first, last = list(gap), list(gap)
        first[axis], last[axis] = (1, 0), (0, 1)
        inner = [slice(None)] * here.ndim
        start, end = list(inner), list(inner)
        start[axis], end[axis] = slice(0, n - 1), slice(1, n)
        return jnp.pad(before[tuple(start)], first) + here + jnp.pad(after[tuple(end)], last)
