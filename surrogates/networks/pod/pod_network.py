"""The network of pod-mlp: tanh layers, a linear head, what that is linear in, and its answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ....solvers.problem import Problem
from ...baselines import polynomial
from ...surrogate import scaled_features
from .energy_loss import Rows, Sloped, Squares, best_head, loss_of, with_constant

PARTS = ("kernel", "bias")


class Mlp(nn.Module):
    """tanh layers and a linear one. Spread biases break the oddness of tanh: training starts four times better."""

    widths: tuple[int, ...]
    outputs: int
    skip: bool = False
    vanish: tuple[tuple[int, float], ...] = ()  # features, and what they are where the field vanishes

    def setup(self) -> None:
        self.hidden = [
            nn.Dense(
                width,
                param_dtype=jnp.float64,
                kernel_init=nn.initializers.variance_scaling(2.25, "fan_in", "normal"),
                bias_init=nn.initializers.normal(1.0),
            )
            for width in self.widths
        ]
        self.head = nn.Dense(self.outputs, use_bias=not self.vanish, param_dtype=jnp.float64)

    def features(self, x: Float[Array, "n m"]) -> Float[Array, "n h"]:
        """The last hidden layer."""
        for layer in self.hidden:
            h = jnp.tanh(layer(x))
            x = x + h if self.skip and x.shape == h.shape else h
        return x

    def last(self, x: Float[Array, "n m"]) -> Float[Array, "n h+1"]:
        """What the head is linear in: the last hidden layer and a one, or their products with what they vanish with."""
        h = with_constant(self.features(x))
        if not self.vanish:
            return h
        z = jnp.stack([x[:, j] - zero for j, zero in self.vanish], axis=1)
        return (z[:, :, None] * h[:, None, :]).reshape(len(x), -1)

    def __call__(self, x: Float[Array, "n m"]) -> Float[Array, "n k"]:
        return self.head(self.last(x) if self.vanish else self.features(x))


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the answer at the scaled features, times the amplitude."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * targets_of_network(architecture, arrays, x)


def targets_of_network(architecture: dict[str, Any], arrays: dict[str, Any], x: Array) -> Float[Array, "n k"]:
    """The network at scaled features, and the polynomial that it corrects where there is one."""
    count = len(architecture["widths"])
    names = [*(f"hidden_{i}" for i in range(count)), "head"]
    weights = {n: {part: arrays[f"{n}.{part}"] for part in PARTS if f"{n}.{part}" in arrays} for n in names}
    network = Mlp(
        tuple(architecture["widths"]),
        arrays["basis"].shape[1],
        architecture.get("skip", False),
        _pairs(architecture.get("vanish", ())),
    )
    y = jnp.asarray(network.apply({"params": weights}, x))
    if "base.powers" not in arrays:
        return y
    base = {"powers": arrays["base.powers"], "values": arrays["base.values"]}
    return y + jnp.asarray(polynomial.values({}, base, x))


@lru_cache(maxsize=16)
def training_loss(network: Mlp, smoothness: float) -> Callable[[Any, Rows], Array]:
    def loss(weights: Any, rows: Rows) -> Array:
        error = loss_of(last_layer(network, weights, rows.x), rows)
        if smoothness == 0:
            return error
        return error + smoothness * sum(jnp.sum(weights[name]["kernel"] ** 2) for name in weights)

    return loss


def last_layer(network: Mlp, weights: Any, x: Any) -> Float[Array, "n h+1"]:
    def last(x: Array) -> Array:
        return jnp.asarray(network.apply({"params": weights}, x, method="last"))

    if not isinstance(x, Sloped):
        return last(x)
    h, slope = jax.jvp(last, (x.x,), (x.along,))
    return x.share[:, None] * h + slope


def _pairs(vanish: Any) -> tuple[tuple[int, float], ...]:
    return tuple((int(j), float(zero)) for j, zero in vanish)


@lru_cache(maxsize=16)
def head_residuals(network: Mlp) -> Callable[[Any, Squares], Array]:
    def residuals(weights: Any, row: Squares) -> Array:
        x = jax.tree.map(lambda a: a[None], row.x)
        y = last_layer(network, weights["hidden"], x)[0] @ weights["head"]
        return row.root @ (y - row.best)

    return residuals


@lru_cache(maxsize=16)
def compiled_parts(network: Mlp) -> tuple[Callable[[Any, Rows], Array], Callable[[Any, Any], Array]]:
    """The best last layer, and the layer before it."""
    return (
        jax.jit(lambda weights, rows: best_head(last_layer(network, weights, rows.x), rows)),
        jax.jit(lambda weights, x: last_layer(network, weights, x)),
    )
