"""autoencoder: fields on a curved manifold of few dimensions, decoded from a code that the inputs determine.

    net(p) = decode(code(features of p)),    trained with    |decode(encode(u)) - u|^2 + |encode(u) - code|^2

A basis of k functions is a flat manifold of dimension k, and what moves, such as a front, needs many; the solutions
themselves form one of at most as many dimensions as there are inputs. The decoder is that manifold; ``latent`` is its
dimension, by default the number of inputs. Both stand in ``training``, beside an estimate of the dimension that the
snapshots themselves have (``intrinsic.py``): where that is much smaller a smaller code would do, as where inputs are
functions given by their values but depend on a few numbers. The encoder only helps in training. On tensor grids of up
to three axes both are convolutions of 3 nodes an axis, on every other node at the next level; elsewhere they are dense.
Good values: width 16, 3 levels.
References: Lee, Carlberg 2020 (the manifold); Fresca, Dede', Manzoni 2021 (the code from the inputs, trained jointly).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from ..training.pod import Data
from .convolution import Convolution
from .deeponet import Tanh
from .design import Design, View, fits_all, positive
from .intrinsic import intrinsic_dimension
from .on_grids import MOST_AXES

COARSEST = 3  # nodes along an axis
CODE_WIDTH = 64  # of the network from the inputs to the code
DENSE_WIDTH = 128  # of encoder and decoder where there is no grid


class Autoencoder(nn.Module):
    """See the module's docstring."""

    latent: int
    width: int
    periodic: bool
    grids: tuple[tuple[int, ...], ...]  # of every level, the finest first; none where it is dense
    shape: tuple[int, int, int]

    def setup(self) -> None:
        self.code = Tanh((CODE_WIDTH, CODE_WIDTH), self.latent)
        times, nodes, components = self.shape
        if self.grids:
            self.encoder: nn.Module = GridEncoder(self.latent, self.width, self.periodic, self.grids)
            self.decoder: nn.Module = GridDecoder(times * components, self.width, self.periodic, self.grids)
        else:
            self.encoder = Tanh((DENSE_WIDTH,), self.latent)
            self.decoder = Tanh((DENSE_WIDTH,), times * nodes * components)

    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        if self.is_initializing():
            self.penalty(view, jnp.zeros((1, *self.shape), view.x.dtype))
        return self.decode(self.code(view.x))

    def penalty(self, view: View, u: Float[Array, "n times nodes components"]) -> Float[Array, ""]:
        """What is added to the loss."""
        z = self.encode(u)
        return jnp.mean((self.decode(z) - u) ** 2) + jnp.mean((z - self.code(view.x)) ** 2)

    @property
    def levels(self) -> int:
        """How many grids there are; one where nodes form none."""
        return max(1, len(self.grids))

    def encode(self, u: Float[Array, "n times nodes components"]) -> Float[Array, "n latent"]:
        n = len(u)
        if not self.grids:
            found: Array = self.encoder(u.reshape(n, -1))
            return found
        found = self.encoder(jnp.moveaxis(u, 2, 1).reshape((n, *self.grids[0], -1)))
        return found

    def decode(self, z: Float[Array, "n latent"]) -> Float[Array, "n times nodes components"]:
        times, nodes, components = self.shape
        out = self.decoder(z)
        if not self.grids:
            return out.reshape((-1, *self.shape))
        return jnp.moveaxis(out.reshape(-1, nodes, times, components), 2, 1)


class GridEncoder(nn.Module):
    """Convolutions, each on every other node of the one before."""

    latent: int
    width: int
    periodic: bool
    grids: tuple[tuple[int, ...], ...]

    @nn.compact
    def __call__(self, h: Float[Array, "n *grid c"]) -> Float[Array, "n latent"]:
        for level, grid in enumerate(self.grids):
            h = jnp.tanh(Convolution(self.width, self.periodic, name=f"level_{level}")(h))
            if level + 1 < len(self.grids):
                h = h[(slice(None), *(slice(None, None, 2) for _ in grid))]
        return nn.Dense(self.latent, name="head")(h.reshape(len(h), -1))


class GridDecoder(nn.Module):
    """Convolutions, each on the nodes of the one before and those between them."""

    channels: int
    width: int
    periodic: bool
    grids: tuple[tuple[int, ...], ...]

    @nn.compact
    def __call__(self, z: Float[Array, "n latent"]) -> Float[Array, "n *grid channels"]:
        coarse = self.grids[-1]
        h = nn.Dense(int(np.prod(coarse)) * self.width, bias_init=nn.initializers.normal(1.0), name="spread")(z)
        h = jnp.tanh(h).reshape((len(z), *coarse, self.width))
        for level in reversed(range(len(self.grids) - 1)):
            h = between(h, self.grids[level])
            h = jnp.tanh(Convolution(self.width, self.periodic, name=f"level_{level}")(h))
        return nn.Dense(self.channels, name="head", kernel_init=nn.initializers.zeros)(h)


def between(h: Float[Array, "n *coarse c"], grid: tuple[int, ...]) -> Float[Array, "n *grid c"]:
    """Linear interpolation on to finer nodes."""
    for axis, fine in enumerate(grid, start=1):
        coarse = h.shape[axis]
        hats = [np.interp(np.linspace(0, coarse - 1, fine), np.arange(coarse), e) for e in np.eye(coarse)]
        h = jnp.moveaxis(jnp.tensordot(jnp.asarray(np.array(hats), h.dtype), h, ((0,), (axis,))), 0, axis)
    return h


def build(problem: Problem, *, latent: int | None = None, width: int = 16, levels: int = 3) -> nn.Module:
    """The network of a problem.

    Args:
        latent: dimension of the code; None for the number of inputs.
        width: channels of the convolutions.
        levels: grids, each of every other node of the one before, as far as there are enough.

    Raises:
        ValueError: numbers that make no sense.
    """
    latent = problem.inputs.dimension if latent is None else latent
    positive(latent=latent, width=width, levels=levels)
    grids = [problem.grid_shape] if problem.grid_shape and len(problem.grid_shape) <= MOST_AXES else []
    while grids and len(grids) < levels and all((n + 1) // 2 >= COARSEST for n in grids[-1]):
        grids.append(tuple((n + 1) // 2 for n in grids[-1]))
    return Autoencoder(int(latent), width, problem.periodic, tuple(grids), problem.shape)


def report(problem: Problem, arrays: Mapping[str, np.ndarray], data: Data) -> dict[str, Any]:
    """The dimension of the manifold, the number of inputs, and the dimension of the snapshots where it can be told."""
    intrinsic = intrinsic_dimension(data.fields / data.amplitudes[:, None])
    return {
        "latent": len(arrays["net.code.head.bias"]),
        "inputs": problem.inputs.dimension,
        "intrinsic_dimension": None if intrinsic is None else round(intrinsic, 3),
    }


AUTOENCODER = Design("autoencoder", build, fits_all, report=report, penalised=True)
