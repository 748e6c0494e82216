"""Small networks in a POD basis for the soundness of trust maps: random or trained, with and without skips.

    field(p) = s V (W'h(x) + w),    h <- a(A h + b), or h <- h + a(A h + b) with a skip

x and s are the problem's features. A random network is drawn and left alone; of a trained one the hidden layers take
a few steps of Adam on the coefficients, and the last layer is their least-squares solution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]

from ...solvers.classes.coercive import CoerciveProblem

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "sin": jnp.sin,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
}


@dataclass(frozen=True)
class Design:
    """What a network is made of."""

    activation: str
    layers: int
    skip: bool
    trained: bool
    scale: float  # of the random weights

    def __str__(self) -> str:
        skip = ", skip" if self.skip else ""
        return f"{self.activation} x {self.layers}{skip}, {'trained' if self.trained else 'random'}, {self.scale:g}"


class Network:
    """``width`` units a layer; ``basis`` and JAX ``coefficients``, as box proofs want them."""

    def __init__(self, problem: CoerciveProblem, design: Design, seed: int, width: int = 12, modes: int = 6) -> None:
        rng = np.random.default_rng(seed)
        self.problem, self.design = problem, design
        P = problem.inputs.sample(128, seed=seed)
        x, scale = jax.vmap(problem.features)(jnp.asarray(P))
        U = np.asarray(problem.solve_batch(P)) / np.asarray(scale)[:, None]
        self.basis = np.linalg.svd(U.T, full_matrices=False)[0][:, :modes] * problem.free[:, None]
        modes, targets = self.basis.shape[1], U @ self.basis
        sizes = [x.shape[1]] + [width] * design.layers
        self.hidden = [
            (design.scale * rng.normal(size=(a, b)) / np.sqrt(a), design.scale * rng.normal(size=b))
            for a, b in itertools.pairwise(sizes)
        ]
        self.head = rng.normal(size=(width + 1, modes)) * np.abs(targets).mean(axis=0) / np.sqrt(width)
        if design.trained:
            self._train(x, targets)

    def _features(self, hidden: Any, x: Any) -> Any:
        activation = ACTIVATIONS[self.design.activation]
        for i, (weights, bias) in enumerate(hidden):
            y = activation(x @ weights + bias)
            x = x + y if self.design.skip and i > 0 else y
        return x

    def _with_constant(self, hidden: Any, x: Any) -> Any:
        h = self._features(hidden, x)
        return jnp.concatenate([h, jnp.ones((h.shape[0], 1))], axis=1)

    def _train(self, x: Any, targets: np.ndarray, steps: int = 40) -> None:
        def loss(weights: Any) -> Any:
            return jnp.mean((self._with_constant(weights[0], x) @ weights[1] - targets) ** 2)

        weights: Any = (self.hidden, self._least_squares(self.hidden, x, targets))
        optimiser = optax.adam(1e-2)
        state, gradient = optimiser.init(weights), jax.jit(jax.grad(loss))
        for _ in range(steps):
            updates, state = optimiser.update(gradient(weights), state)
            weights = optax.apply_updates(weights, updates)
        self.hidden = [(np.asarray(A), np.asarray(b)) for A, b in weights[0]]
        self.head = self._least_squares(self.hidden, x, targets)

    def _least_squares(self, hidden: Any, x: Any, targets: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(np.asarray(self._with_constant(hidden, x)), targets, rcond=1e-10)[0]

    def coefficients(self, P: Any) -> Any:
        x, scale = jax.vmap(self.problem.features)(jnp.asarray(P))
        return scale[:, None] * (self._with_constant(self.hidden, x) @ self.head)

    def __call__(self, P: Any) -> np.ndarray:
        return np.asarray(self.coefficients(P)) @ self.basis.T


def designs(count: int, seed: int = 0) -> list[Design]:
    """Trained and random by turns; every third with skips; all activations, tanh most often."""
    rng = np.random.default_rng(seed)
    names = list(ACTIVATIONS)
    return [
        Design(
            "tanh" if i % 2 == 0 else names[1 + (i // 2) % (len(names) - 1)],
            2 if i % 3 == 2 else 1 + i % 2,
            i % 3 == 2,
            i % 4 < 2,
            float(rng.choice([0.3, 1.0, 2.0])),
        )
        for i in range(count)
    ]
