"""unet: convolutions at several resolutions of a tensor grid, with what is lost on the way down handed over.

    down:  h_l = C_l pool(h_{l-1}),   up:  g_l = C'_l [h_l, widen(g_{l+1})],   C: two convolutions of 3 nodes, gelu

It sees the inputs as functions on the grid (``Problem.input_field``) and the coordinates of the nodes. A level has half
the nodes, rounded up: an odd side is pooled as if its last node stood twice, and what is widened again is cut to fit.
Convolutions go around the ends of a periodic grid and meet zeros at those of others. All times are numbers of a node.
A convolution sees its neighbours alone: what acts far away passes through the coarsest level. Good values: width 8 to
32, 3 levels. Reference: Ronneberger, Fischer, Brox 2015.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from .convolution import Convolution
from .design import Design, View, positive
from .on_grids import channels_of, misfit_grid

LEAST = 4  # nodes along each axis
COARSEST = 3  # nodes of the shortest axis, below which there is no further level


class Block(nn.Module):
    """Two convolutions."""

    width: int
    periodic: bool

    @nn.compact
    def __call__(self, h: Float[Array, "n *grid c"]) -> Float[Array, "n *grid width"]:
        for k in range(2):
            h = nn.gelu(Convolution(self.width, self.periodic, name=f"convolution_{k}")(h))
        return h


class Unet(nn.Module):
    """See the module's docstring."""

    grid: tuple[int, ...]
    width: int
    levels: int
    periodic: bool
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        times, nodes, components = self.shape
        h = Block(self.width, self.periodic, name="down_0")(channels_of(view, self.grid, not self.periodic))
        passed = []
        for level in range(1, self.levels):
            passed.append(h)
            h = Block(self.width << level, self.periodic, name=f"down_{level}")(halved(h))
        for level in reversed(range(self.levels - 1)):
            wide = doubled(h, passed[level].shape[1:-1])
            h = jnp.concatenate([passed[level], wide], axis=-1)
            h = Block(self.width << level, self.periodic, name=f"up_{level}")(h)
        out = nn.Dense(times * components, kernel_init=nn.initializers.zeros, name="head")(h)
        return jnp.moveaxis(out.reshape(-1, nodes, times, components), 2, 1)


def halved(h: Float[Array, "n *grid c"]) -> Float[Array, "n *half c"]:
    """Means of pairs of nodes along every axis; the last node of an odd side stands for a pair."""
    for axis in range(1, h.ndim - 1):
        if h.shape[axis] % 2:
            h = jnp.concatenate([h, jnp.take(h, jnp.array([-1]), axis=axis)], axis=axis)
        pairs = h.reshape((*h.shape[:axis], -1, 2, *h.shape[axis + 1 :]))
        h = pairs.mean(axis=axis + 1)
    return h


def doubled(h: Float[Array, "n *half c"], grid: tuple[int, ...]) -> Float[Array, "n *grid c"]:
    """Every value at two nodes along every axis, cut to the grid."""
    for axis, side in enumerate(grid, start=1):
        h = jnp.repeat(h, 2, axis=axis)[(slice(None),) * axis + (slice(side),)]
    return h


def build(problem: Problem, *, width: int = 8, levels: int = 3) -> nn.Module:
    """The network of a problem.

    Args:
        width: channels at the finest level, twice as many at each coarser one.
        levels: resolutions, as far as the grid can be halved.

    Raises:
        ValueError: numbers that make no sense.
    """
    grid = problem.grid_shape
    assert grid is not None
    positive(width=width, levels=levels)
    while levels > 1 and min(grid) >> (levels - 1) < COARSEST:
        levels -= 1
    return Unet(grid, width, levels, problem.periodic, problem.shape)


def misfit(problem: Problem) -> str:
    """One sentence why it does not fit a problem; empty where it does."""
    return misfit_grid("unet", problem, LEAST)


UNET = Design("unet", build, misfit, needs="nodes that form a tensor grid", sees_fields=True)
