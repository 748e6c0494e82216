"""resnet: residual layers of equal width, a discretised flow from the features to all values of the field.

    h_0 = W_0 x,    h_{l+1} = h_l + (horizon / layers) tanh(W_l h_l + w_l),    net(x) = W h_L + w

A step of Euler's method for dh/dt = tanh(W(t) h + w(t)): with more layers the steps shorten, and if the weights
of neighbouring layers approach each other the network has an ordinary differential equation as its limit in depth.
Whether they do is measured: ``change_per_layer`` of a trained one, |W_{l+1} - W_l| / |W_l| of every pair, whose mean
falls like 1 / layers where there is such a limit and stays near sqrt(2) where layers are independent. Good values:
width 96, 8 layers.
References: He et al. 2016; E 2017 (a flow); Haber, Ruthotto 2018; Cohen, Cont, Rossier, Xu 2021 (the limits).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from ..training.pod import Data
from .design import Design, View, fits_all, positive


class Resnet(nn.Module):
    """A linear map, equal residual steps, a linear map."""

    width: int
    layers: int
    horizon: float
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        h = nn.Dense(self.width, name="lift", bias_init=nn.initializers.normal(1.0))(view.x)
        for layer in range(self.layers):
            step = nn.Dense(self.width, name=f"step_{layer}")(h)
            h = h + self.horizon / self.layers * jnp.tanh(step)
        size = self.shape[0] * self.shape[1] * self.shape[2]
        return nn.Dense(size, name="head", kernel_init=nn.initializers.zeros)(h).reshape((-1, *self.shape))


def build(problem: Problem, *, width: int = 96, layers: int = 8, horizon: float = 4.0) -> nn.Module:
    """The network of a problem.

    Args:
        width: units of every layer.
        layers: residual steps.
        horizon: the time over which the flow runs.

    Raises:
        ValueError: numbers that make no sense.
    """
    positive(width=width, layers=layers)
    if not 0 < horizon < np.inf:
        raise ValueError(f"horizon is the time of a flow, positive and finite, not {horizon}")
    return Resnet(width, layers, float(horizon), problem.shape)


def change_per_layer(arrays: Mapping[str, np.ndarray]) -> list[float]:
    """|W_{l+1} - W_l| / |W_l| between a trained one's residual layers, the first pair first; none of a single layer."""
    layers = sum(key.startswith("net.step_") and key.endswith(".kernel") for key in arrays)
    W = [np.asarray(arrays[f"net.step_{i}.kernel"], dtype=np.float64) for i in range(layers)]
    return [float(np.linalg.norm(b - a) / np.linalg.norm(a)) for a, b in itertools.pairwise(W)]


def report(problem: Problem, arrays: Mapping[str, np.ndarray], data: Data) -> dict[str, Any]:
    """What training says of it."""
    changes = change_per_layer(arrays)
    return {"change_per_layer": changes, "mean_change_per_layer": float(np.mean(changes)) if changes else None}


RESNET = Design("resnet", build, fits_all, batch=32, report=report)
