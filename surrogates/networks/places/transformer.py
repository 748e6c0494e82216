"""transformer: attention between slices of the mesh, each a mixture of nodes in a like state.

    w_is = softmax_s(h_i / slice),   z_s = sum_i w_is h_i / sum_i w_is,   h_i <- h_i + sum_s w_is attention(z)_s

Attention between all nodes would cost their number squared. Here every layer sorts the nodes softly into a few slices,
lets the slices attend to each other and hands the outcome back, at a cost linear in the nodes, on any mesh and without
neighbours: nodes that are far from each other but alike, such as those of one material or of one front, exchange what
they know at once. A node starts from its place, the inputs as functions there and the inputs' features. All times are
numbers of a node. Good values: width 32, 2 layers of 16 slices.
References: Vaswani et al. 2017; Wu et al. 2024 (Transolver: the slices).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.problem import Problem
from ..design import Design, View, fits_all, positive
from .coordinate import Conditions, encoded, periods_of

OCTAVES = 2


class Slices(nn.Module):
    """Attention between slices of the nodes."""

    slices: int

    @nn.compact
    def __call__(self, h: Float[Array, "n nodes w"]) -> Float[Array, "n nodes w"]:
        width = h.shape[-1]
        weight = jax.nn.softmax(nn.Dense(self.slices, name="slice")(h))
        z = jnp.einsum("nis,niw->nsw", weight, h) / jnp.maximum(weight.sum(axis=1), 1e-12)[..., None]
        query, key, value = (nn.Dense(width, use_bias=False, name=what)(z) for what in ("query", "key", "value"))
        attention = jax.nn.softmax(jnp.einsum("nsw,ntw->nst", query, key) / np.sqrt(width))
        return jnp.einsum("nis,nsw->niw", weight, nn.Dense(width, name="out")(attention @ value))


class Layer(nn.Module):
    """Attention, and a hidden layer that sees the inputs. All layers are one program, with weights of their own."""

    slices: int

    @nn.compact
    def __call__(self, h: Float[Array, "n nodes w"], c: Float[Array, "n w"]) -> tuple[Array, None]:
        width = h.shape[-1]
        h = h + Slices(self.slices, name="attention")(nn.LayerNorm(name="norm")(h))
        wide = nn.Dense(width, name="wide")(h) + nn.Dense(width, name="shift")(c)[:, None]
        return h + nn.Dense(width, name="narrow")(jnp.tanh(wide)), None


class Transformer(nn.Module):
    """See the module's docstring."""

    width: int
    layers: int
    slices: int
    period: tuple[float, ...]
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        times, nodes, components = self.shape
        assert view.fields is not None
        c = Conditions(self.width, name="inputs")(view.x)
        place = nn.Dense(self.width, name="place")(encoded(view.coordinates, OCTAVES, self.period))
        h = place + nn.Dense(self.width, name="seen")(view.fields) + nn.Dense(self.width, name="start")(c)[:, None]
        h = jnp.tanh(h)
        layers = nn.scan(
            Layer, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=nn.broadcast, length=self.layers
        )
        h, _ = layers(self.slices, name="layer")(h, c)
        out = nn.Dense(times * components, name="head", kernel_init=nn.initializers.zeros)(h)
        return jnp.moveaxis(out.reshape(-1, nodes, times, components), 2, 1)


def build(problem: Problem, *, width: int = 32, layers: int = 2, slices: int = 16) -> nn.Module:
    """The network of a problem.

    Args:
        width: numbers of a node.
        layers: of attention, each with a hidden layer of its own.
        slices: of each layer.

    Raises:
        ValueError: numbers that make no sense.
    """
    positive(width=width, layers=layers, slices=slices)
    return Transformer(width, layers, slices, periods_of(problem), problem.shape)


TRANSFORMER = Design("transformer", build, fits_all, sees_fields=True)
