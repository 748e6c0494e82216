"""coordinate: a network over the place, u(x; p): every node is answered by itself, from where and when it is.

    h_0 = tanh(W_0 gamma(t, x) + b_0(p)),   h_l = tanh((1 + a_l(p)) W_l h_{l-1} + b_l(p)),   net(p)(t, x) = W h_L + w

gamma are Fourier features, the encoding of radiance fields: cos(2^k pi x) and sin(2^k pi x) of every coordinate, the
time among them; without them a network learns what varies fast in space last. The inputs modulate every layer (a_l, b_l
from a tanh layer of their features). Not to be confused with ``deeponet``, whose functions of the place are the same
for all inputs: here they move with p, as a front does, and cost times * nodes * width^2 for every input, so batches are
small.
Good values: width 32, 2 layers, 4 octaves on 16 x 16 cells, one more on twice finer ones.
References: Mildenhall et al. 2020; Tancik et al. 2020 (the encoding); Perez et al. 2018 (the modulation).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.problem import Problem
from ..design import Design, View, fits_all, mesh_of, positive

MOST_OCTAVES = 32


class Coordinate(nn.Module):
    """See the module's docstring."""

    width: int
    layers: int
    octaves: int
    period: tuple[float, ...]
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        gamma = encoded(places(view), self.octaves, (0.0,) * (self.shape[0] > 1) + self.period)
        c = Conditions(self.width, name="inputs")(view.x)
        h = jnp.tanh(nn.Dense(self.width, name="lift")(gamma) + nn.Dense(self.width, name="shift_0")(c)[:, None])
        for layer in range(1, self.layers + 1):
            a, b = (nn.Dense(self.width, name=f"{what}_{layer}")(c)[:, None] for what in ("gain", "shift"))
            h = jnp.tanh((1 + a) * nn.Dense(self.width, name=f"hidden_{layer}", use_bias=False)(h) + b)
        out = nn.Dense(self.shape[2], name="head", kernel_init=nn.initializers.zeros)(h)
        return out.reshape((-1, *self.shape))


class Conditions(nn.Module):
    """A tanh layer of the inputs' features, from which layers are modulated. Spread biases break its oddness."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "n m"]) -> Float[Array, "n width"]:
        return jnp.tanh(nn.Dense(self.width, bias_init=nn.initializers.normal(1.0), name="lift")(x))


def places(view: View) -> Float[Array, "times*nodes axes"]:
    """Coordinates of every value's node, behind its time where there are several."""
    if len(view.times) == 1:
        return view.coordinates
    clock = jnp.repeat(view.times, len(view.coordinates))[:, None]
    return jnp.concatenate([clock, jnp.tile(view.coordinates, (len(view.times), 1))], axis=1)


def encoded(where: Float[Array, "k axes"], octaves: int, period: tuple[float, ...]) -> Float[Array, "k features"]:
    """Fourier features of places over [-1, 1], and the places themselves where a coordinate has no period (0)."""
    periods = jnp.asarray(period, where.dtype)
    angle = np.pi * where * jnp.where(periods > 0, 2 / jnp.where(periods > 0, periods, 1.0), 0.5)
    flat = [where[:, i : i + 1] for i, T in enumerate(period) if T == 0]
    waves = [f(angle * 2.0**k) for k in range(octaves) for f in (jnp.cos, jnp.sin)]
    return jnp.concatenate([*flat, *waves], axis=1)


def periods_of(problem: Problem) -> tuple[float, ...]:
    """The period of every coordinate over [-1, 1]; 0 where it has none."""
    grid = problem.grid_shape
    if problem.periodic and grid:
        return tuple(2 * n / (n - 1) for n in grid)
    return (0.0,) * mesh_of(problem)[0].shape[1]


def build(problem: Problem, *, width: int = 32, layers: int = 2, octaves: int = 4) -> nn.Module:
    """The network of a problem.

    Args:
        width: units of every layer.
        layers: hidden layers beyond the first.
        octaves: frequencies pi/2, pi, 2 pi, .. of the encoding over [-1, 1], along each coordinate.

    Raises:
        ValueError: numbers that make no sense.
    """
    positive(width=width, layers=layers, octaves=octaves)
    if octaves > MOST_OCTAVES:
        raise ValueError(
            f"octaves is at most {MOST_OCTAVES}, beyond which no nodes tell frequencies apart, not {octaves}"
        )
    return Coordinate(width, layers, octaves, periods_of(problem), problem.shape)


COORDINATE = Design("coordinate", build, fits_all)
