"""deeponet: deep operator network, coefficients from the inputs times functions of the place, both learnt.

    net(p)(t, x) = sum_k b_k(features of p) tau_k(t, x) / sqrt(K)

The branch b takes the inputs (values of a function at its sensors, where they are that), the trunk tau the coordinates,
the time among them; both are tanh networks. Any mesh will do, and fields are as smooth as the trunk. Components of a
node share the trunk. It is a basis of K functions that are learnt with the coefficients; ``pod-mlp`` takes those of the
snapshots, which are the best for them, and is quicker. On a periodic grid the trunk sees the coordinates' cosines and
sines. Good values: K = 64, two layers of 64 each. References: Lu et al. 2021; Lu et al. 2022 (against POD).
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from .design import Design, View, fits_all, positive
from .places.coordinate import periods_of, places


class Tanh(nn.Module):
    """tanh layers and a linear one."""

    widths: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, h: Float[Array, "n m"]) -> Float[Array, "n outputs"]:
        for k, width in enumerate(self.widths):
            layer = nn.Dense(
                width,
                kernel_init=nn.initializers.variance_scaling(2.25, "fan_in", "normal"),
                bias_init=nn.initializers.normal(1.0),
                name=f"hidden_{k}",
            )
            h = jnp.tanh(layer(h))
        return nn.Dense(self.outputs, name="head")(h)


class DeepOnet(nn.Module):
    """See the module's docstring."""

    branch: tuple[int, ...]
    trunk: tuple[int, ...]
    terms: int
    period: tuple[float, ...]  # of each coordinate over [-1, 1]; 0 where it has none
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        times, nodes, components = self.shape
        if any(self.period):
            angle = 2 * np.pi * view.coordinates / jnp.asarray(self.period, view.coordinates.dtype)
            view = view._replace(coordinates=jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1))
        tau = Tanh(self.trunk, self.terms, name="trunk")(places(view))
        b = Tanh(self.branch, components * self.terms, name="branch")(view.x).reshape(-1, self.terms)
        out = (b @ tau.T / float(np.sqrt(self.terms))).reshape(-1, components, times, nodes)
        return jnp.moveaxis(out, 1, -1)


def build(
    problem: Problem, *, branch: Sequence[int] = (64, 64), trunk: Sequence[int] = (64, 64), terms: int = 64
) -> nn.Module:
    """The network of a problem.

    Args:
        branch: units of the hidden layers of the branch.
        trunk: units of those of the trunk; none: fields that are linear in the coordinates.
        terms: K.

    Raises:
        ValueError: numbers that make no sense.
    """
    positive(terms=terms)
    for width in branch:
        positive(branch=width)
    for width in trunk:
        positive(trunk=width)
    return DeepOnet(tuple(map(int, branch)), tuple(map(int, trunk)), int(terms), periods_of(problem), problem.shape)


DEEPONET = Design("deeponet", build, fits_all, batch=32)
