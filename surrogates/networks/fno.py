"""fno: Fourier neural operator, from functions on a tensor grid to functions on it.

    h_0 = P(inputs, coordinates),   h_{l+1} = gelu(W_l h_l + w_l + K_l h_l),   net = Q(h_L)

K_l is a convolution by the low Fourier modes (``fourier.py``), P and Q act in each node alone. It sees the inputs as
functions (``Problem.input_field``), so that one network serves any number of them. On a periodic grid no coordinates
are given: a shifted input has the shifted answer, exactly. Elsewhere the grid is continued by a margin.

``time``: "channels", all times at once as numbers of a node; "axis", the time as one more axis of the grid; "rollout",
one layer that is applied once a step, its state read at each. Good values: width 20 to 64, 4 layers; float32 takes
half the time and costs no accuracy above 1e-3. References: Li et al. 2021; Gupta et al. 2021 (dense beginning and end).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from ...solvers.problems.catalogue import closest
from .design import Design, View, positive
from .fourier import SpectralConvolution, most_modes
from .on_grids import channels_of, misfit_grid

TIMES = ("channels", "axis", "rollout")
MARGIN = 0.25  # of an axis, that a grid that is not periodic is continued by


class Layer(nn.Module):
    """W h + w + K h."""

    modes: tuple[int, ...]
    periods: tuple[float, ...]
    width: int

    @nn.compact
    def __call__(self, h: Float[Array, "*grid n c"]) -> Float[Array, "*grid n c"]:
        return nn.Dense(self.width, name="local")(h) + SpectralConvolution(
            self.modes, self.periods, self.width, name="spectral"
        )(h)


class Fno(nn.Module):
    """See the module's docstring."""

    grid: tuple[int, ...]
    modes: tuple[int, ...]  # of each axis, that of the time last where it is one
    periods: tuple[float, ...]
    width: int
    layers: int
    time: str
    periodic: bool
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        h = jnp.moveaxis(channels_of(view, self.grid, not self.periodic), 0, -2)
        times, nodes, components = self.shape
        if self.time == "axis":
            clock = jnp.broadcast_to(view.times[:, None, None].astype(h.dtype), (times, h.shape[-2], 1))
            wide = jnp.broadcast_to(h[..., None, :, :], (*self.grid, times, *h.shape[-2:]))
            h = jnp.concatenate([wide, jnp.broadcast_to(clock, (*wide.shape[:-1], 1))], axis=-1)
        h = nn.Dense(self.width, name="lift")(nn.gelu(nn.Dense(2 * self.width, name="inputs")(h)))
        h, states = self._through_layers(h)
        h = h if states is None else states
        h = nn.gelu(nn.Dense(2 * self.width, name="outputs")(h))
        numbers = times * components if self.time == "channels" else components
        out = nn.Dense(numbers, kernel_init=nn.initializers.zeros, name="head")(h)
        if self.time == "channels":
            out = jnp.moveaxis(out.reshape(nodes, -1, times, components), 0, 2)
        elif self.time == "axis":
            out = jnp.moveaxis(out.reshape(nodes, times, -1, components), (0, 1, 2), (2, 1, 0))
        else:
            out = jnp.moveaxis(out.reshape(times, nodes, -1, components), 2, 0)
        return out

    def _through_layers(self, h: Array) -> tuple[Array, Any]:
        """The last layer's state; rolled out the states of all times, by the same layer in every step. As a loop, which
        compiles one layer.
        """
        if self.time == "rollout":
            step = Layer(self.modes, self.periods, self.width, name="step")
            walk = nn.scan(_step, variable_broadcast="params", split_rngs={"params": False}, length=self.shape[0])
            return walk(step, h, None)
        layer = Layer(self.modes, self.periods, self.width, name="layers")
        deep = nn.scan(_apply, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.layers)
        return deep(layer, h, None)


def _apply(layer: Layer, h: Array, _: Any) -> tuple[Array, None]:
    return nn.gelu(layer(h)), None


def _step(layer: Layer, h: Array, _: Any) -> tuple[Array, Array]:
    """h_{k+1} = h_k + gelu(..)/8, and what it was."""
    return h + nn.gelu(layer(h)) / 8, h


def build(
    problem: Problem,
    *,
    width: int = 20,
    layers: int = 4,
    modes: int | Sequence[int] | None = None,
    time: str = "channels",
) -> nn.Module:
    """The network of a problem.

    Args:
        width: channels in each node.
        layers: Fourier layers.
        modes: Fourier modes that are kept along each axis, or along all; no more than the grid tells apart. By default
            16 on a line, 6 on other grids.
        time: see above; of a steady problem it says nothing.

    Raises:
        ValueError: numbers that make no sense, modes for another number of axes.
    """
    grid = problem.grid_shape
    assert grid is not None
    positive(width=width, layers=layers)
    if time not in TIMES:
        raise closest(str(time), TIMES, "time")
    time = "channels" if problem.shape[0] == 1 else time
    sides = (*grid, problem.shape[0]) if time == "axis" else grid
    wrapped = [problem.periodic] * len(grid) + [False] * (len(sides) - len(grid))
    modes = (16 if len(sides) == 1 else 6) if modes is None else modes
    kept = list(modes) if isinstance(modes, Sequence) else [modes] * len(sides)
    if len(kept) != len(sides):
        raise ValueError(f"modes are one whole number or {len(sides)}, one for each axis, not {modes!r}")
    for count in kept:
        positive(modes=count)
    periods = tuple(float(n) if w else n * (1 + MARGIN) for n, w in zip(sides, wrapped, strict=True))
    most = [most_modes(*about) for about in zip(sides, wrapped, periods, strict=True)]
    kept = [min(m, top) for m, top in zip(kept, most, strict=True)]
    return Fno(grid, tuple(kept), periods, width, layers, time, problem.periodic, problem.shape)


def misfit(problem: Problem) -> str:
    """One sentence why it does not fit a problem; empty where it does."""
    return misfit_grid("fno", problem)


FNO = Design("fno", build, misfit, needs="nodes that form a tensor grid", sees_fields=True)
