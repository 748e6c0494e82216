"""What claims about training have in common: fields as few coefficients, small networks, a loop that trains them.

A problem becomes a regression from inputs in [-1, 1]^d to the leading coefficients of its snapshots' proper orthogonal
decomposition, divided by the largest one's size, so that a mean square of 1 is the error of nothing. Errors are those
of the coefficients, relative to the field's: what the discarded modes hold is counted too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from ...solvers.snapshots.sample import sample

Weights = list[dict[str, Array]]


@dataclass(frozen=True)
class Regression:
    """Rows to learn from, rows to test with, and what becomes of coefficients."""

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "n r"]
    test_x: Float[np.ndarray, "m d"]
    test_y: Float[np.ndarray, "m r"]
    rest: Float[np.ndarray, " m"]  # the squared size of what no coefficients hold, in the same unit
    size: Float[np.ndarray, " m"]  # of the whole fields

    def errors(self, found: Any) -> Float[np.ndarray, " m"]:
        """Relative errors of the fields at the test inputs, in the Euclidean norm, infinite where one is no number."""
        with np.errstate(all="ignore"):
            away = np.sqrt(((np.asarray(found) - self.test_y) ** 2).sum(axis=1) + self.rest) / self.size
        return np.where(np.isfinite(away), away, np.inf)


def regression(problem: Problem, samples: int, modes: int = 8, tests: int = 512, seed: int = 0) -> Regression:
    """A problem as a regression: ``samples`` points of a Sobol design, and independent draws to test with."""
    train, test = sample(problem, samples, seed), sample(problem, tests, 1000 + seed, independent=True)
    x, test_x = (2 * np.asarray(problem.inputs.to_unit(s.inputs)) - 1 for s in (train, test))
    return of_fields(x, np.asarray(train.fields), test_x, np.asarray(test.fields), modes)


def of_fields(x: Any, U: Any, test_x: Any, T: Any, modes: int) -> Regression:
    """The same from scaled inputs and fields, to learn from and to test with."""
    middle = U.mean(axis=0)
    V = np.linalg.svd(U - middle, full_matrices=False)[2][:modes].T
    y, test_y = (U - middle) @ V, (T - middle) @ V
    unit = float(np.sqrt((y**2).sum(axis=1).mean()))
    rest = np.maximum(((T - middle) ** 2).sum(axis=1) - (test_y**2).sum(axis=1), 0) / unit**2
    return Regression(x, y / unit, test_x, test_y / unit, rest, np.linalg.norm(T, axis=1) / unit)


def dense(key: Array, sizes: Sequence[int]) -> Weights:
    """Weights of size 1/sqrt(inputs of a layer), biases of size 1 in the first."""
    layers: Weights = []
    for i, (n, m) in enumerate(pairwise(sizes)):
        key, one, two = jax.random.split(key, 3)
        bias = jax.random.normal(two, (m,)) if i == 0 and len(sizes) > 2 else jnp.zeros(m)
        layers.append({"w": jax.random.normal(one, (n, m)) / jnp.sqrt(n), "b": bias})
    return layers


def network(layers: Weights, x: Array, activation: Callable[[Array], Array] = jnp.tanh) -> Array:
    """The multilayer perceptron, rows [n, d] to [n, r]."""
    for layer in layers[:-1]:
        x = activation(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def mean_square(layers: Weights, x: Array, y: Array, net: Callable[..., Array] = network) -> Array:
    """The loss: of a row the squares of all coefficients, 1 where nothing is answered."""
    return jnp.mean(jnp.sum((net(layers, x) - y) ** 2, axis=1))


def count(layers: Any) -> int:
    """The parameters."""
    return sum(int(np.size(a)) for a in jax.tree.leaves(layers))


def descend(
    loss: Callable[[Any], Array], start: Any, optimiser: Any, steps: int, looks: int = 1
) -> tuple[Any, Float[Array, " looks"]]:
    """Weights after that many steps of an optax optimiser on a loss without noise, and the loss before each look."""

    def step(state: Any, _: Any) -> Any:
        weights, inner = state
        value, slope = jax.value_and_grad(loss)(weights)
        update, inner = optax.with_extra_args_support(optimiser).update(slope, inner, weights)
        return (optax.apply_updates(weights, update), inner), value

    def look(state: Any, _: Any) -> Any:
        state, values = lax.scan(step, state, None, length=steps // looks)
        return state, values[0]

    (weights, _), curve = lax.scan(look, (start, optimiser.init(start)), None, length=looks)
    return weights, curve


def adam(steps: int, rate: float = 3e-3) -> Any:
    """Adam with a rate that falls to a hundredth by a cosine."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps, 0.01))


def keys(seeds: range) -> Array:
    """One key a seed, to be mapped over."""
    return jnp.stack([jax.random.PRNGKey(s) for s in seeds])
