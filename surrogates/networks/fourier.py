"""Convolution of functions on a tensor grid by their low Fourier modes, in real arithmetic.

    (K h)(x) = Re sum_k e_k(x) W_k sum_y conj(e_k(y)) h(y) / period,   e_k(x) = exp(2 pi i k.x / period), |k_a| < modes

W_k are free complex matrices: on a periodic grid with all modes that is any convolution with a periodic kernel. A grid
that is not periodic is continued by zero to a ``period`` longer than its own; as nothing beyond the grid is kept, only
the sums over the grid's own nodes are computed.

The transforms are small matrices, real and imaginary parts beside each other: of few modes that takes half the time of
a fast Fourier transform on a CPU, less in float64. Arrays have the axes of the grid first, then rows and channels, so
that each transform is one matrix product. Reference: Li et al., Fourier neural operator, ICLR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def most_modes(side: int, periodic: bool, period: float) -> int:
    """The modes 0, 1, .. of an axis that are told apart: below its Nyquist frequency."""
    return (side + 1) // 2 if periodic else max(1, int(period / 2))


def waves(side: int, modes: int, period: float, half: bool) -> Float[np.ndarray, "2 k side"]:
    """cos and sin of the angles 2 pi k x / period in the nodes x = 0, 1, ..; k from 0 where ``half``, else from
    1 - modes.
    """
    k = np.arange(0 if half else 1 - modes, modes)
    angle = 2 * np.pi * np.outer(k, np.arange(side)) / period
    return np.stack([np.cos(angle), np.sin(angle)])


class SpectralConvolution(nn.Module):
    """See the module's docstring; one period and count of modes for each axis of the grid."""

    modes: tuple[int, ...]
    periods: tuple[float, ...]
    width: int

    @nn.compact
    def __call__(self, h: Float[Array, "*grid n c"]) -> Float[Array, "*grid n width"]:
        sides, channels = h.shape[: len(self.modes)], h.shape[-1]
        tables = [
            jnp.asarray(waves(*about, half=a == 0), h.dtype)
            for a, about in enumerate(zip(sides, self.modes, self.periods, strict=True))
        ]
        real, imaginary = _analyse(h, tables)
        counts = real.shape[: len(sides)]
        scale = 0.5 / np.sqrt(channels)
        W = self.param("kernel", nn.initializers.normal(scale), (2, *counts, channels, self.width)).astype(h.dtype)
        both = jnp.concatenate([real, imaginary], axis=-1)
        kernel = jnp.concatenate(
            [jnp.concatenate([W[0], W[1]], axis=-1), jnp.concatenate([-W[1], W[0]], axis=-1)], axis=-2
        )
        real, imaginary = jnp.split(both @ kernel, 2, axis=-1)
        return _synthesise(real, imaginary, tables) / float(np.prod(self.periods))


def _analyse(h: Array, tables: Sequence[Array]) -> tuple[Array, Array]:
    """The modes of a real function, the axes of the grid in reverse: every product brings its own to the front."""
    real, imaginary = _product(tables[0][0], h, 0), -_product(tables[0][1], h, 0)
    for a, (cosine, sine) in enumerate(tables[1:], start=1):
        real, imaginary = (
            _product(cosine, real, a) + _product(sine, imaginary, a),
            _product(cosine, imaginary, a) - _product(sine, real, a),
        )
    return real, imaginary


def _synthesise(real: Array, imaginary: Array, tables: Sequence[Array]) -> Array:
    """The real part of the function with these modes; those of the first axis stand for their conjugates as well."""
    for a, (cosine, sine) in enumerate(reversed(tables[1:])):
        real, imaginary = (
            _product(cosine.T, real, a) - _product(sine.T, imaginary, a),
            _product(cosine.T, imaginary, a) + _product(sine.T, real, a),
        )
    cosine, sine = tables[0]
    twice = jnp.asarray(np.r_[1.0, np.full(len(cosine) - 1, 2.0)][:, None], cosine.dtype)
    last = len(tables) - 1
    return _product((cosine * twice).T, real, last) - _product((sine * twice).T, imaginary, last)


def _product(matrix: Any, h: Array, axis: int) -> Array:
    """The matrix along an axis, which comes to the front."""
    return jnp.tensordot(matrix, h, (1, axis))
