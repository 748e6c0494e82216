"""mlp: a multilayer perceptron from the features of the inputs to all values of the field at once.

    net(x) = W h_L + w,    h_0 = x,    h_l = tanh(W_l h_{l-1} + w_l)

The plainest network: the last layer is as large as the field, and nothing tells it that neighbours are alike. It fits
every problem of few inputs; ``pod-mlp`` is the same with the last layer's rows spanned by few modes of the snapshots,
and nearly always better. Good values: two layers of 128.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from .design import Design, View, fits_all, positive


class Mlp(nn.Module):
    """tanh layers and a linear one. Spread biases break the oddness of tanh."""

    widths: tuple[int, ...]
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        h = view.x
        for width in self.widths:
            h = jnp.tanh(nn.Dense(width, bias_init=nn.initializers.normal(1.0))(h))
        size = self.shape[0] * self.shape[1] * self.shape[2]
        return nn.Dense(size, kernel_init=nn.initializers.zeros)(h).reshape((-1, *self.shape))


def build(problem: Problem, *, widths: Sequence[int] = (128, 128)) -> nn.Module:
    """The network of a problem.

    Args:
        widths: units of the hidden layers.

    Raises:
        ValueError: no layer, or one without units.
    """
    for width in widths:
        positive(widths=width)
    if not widths:
        raise ValueError("widths are the sizes of one or more hidden layers, such as (128, 128)")
    return Mlp(tuple(int(w) for w in widths), problem.shape)


MLP = Design("mlp", build, fits_all, batch=32)
