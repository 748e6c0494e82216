"""A trained one-step network: what products of a state's coefficients and inputs miss, tanh layers learn.

    state(t + dt) = V (c + W [h(x), z(x)]),    x = [c / size, inputs],    c = V' state

V: the leading right singular vectors of states along solved trajectories. z: the coefficients alone and times one or
two inputs, and products of two leading coefficients, alone and times one input, which is what a quadratic flux asks
for. h: tanh layers, trained on what the least squares fit of z leaves; W: the least squares fit of both in the end.
Training states lie a little off the solved trajectories, as the network's own will. Errors count relative to the
state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.batching import RowMap
from ...solvers.classes.evolution import EvolutionProblem
from ...surrogates.networks.pod.pod_mlp import Mlp
from ...surrogates.training.optimise import Budget
from ...surrogates.training.optimisers import minimise

OFF = 1e-3  # of a state: how far training states lie off the trajectories
DAMPING = 1e-11  # of the least squares fit, beside the mean square of its columns
LEADING = 16  # coefficients whose products count


@dataclass(frozen=True)
class OneStep:
    """``stepper(P, states) -> states``; evaluated in numpy, for any number of rows."""

    problem: EvolutionProblem
    basis: Float[np.ndarray, "S r"]
    size: float
    columns: tuple[int, ...]  # the inputs that a step depends on
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]  # kernels and biases
    head: Float[np.ndarray, "h r"]

    def __call__(self, P: Float[np.ndarray, "n d"], states: Float[np.ndarray, "n S"]) -> Float[np.ndarray, "n S"]:
        c = states @ self.basis
        return np.asarray((c + self.features(P, c) @ self.head) @ self.basis.T)

    def read(self, P: np.ndarray, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n m"]:
        """x."""
        return np.concatenate([c / self.size, 2 * self.problem.inputs.to_unit(P)[:, self.columns] - 1], axis=1)

    def features(self, P: np.ndarray, c: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n h"]:
        """z, and h where there are layers."""
        x, r = self.read(P, c), c.shape[1]
        scaled, inputs = x[:, :r], x[:, r:]
        weights = np.concatenate([np.ones((len(x), 1)), inputs, _products(inputs)], axis=1)
        linear = (scaled[:, :, None] * weights[:, None, :]).reshape(len(x), -1)
        square = _products(scaled[:, :LEADING])
        parts = [linear, weights, square, square * inputs[:, :1]]
        if self.layers:
            for kernel, bias in self.layers:
                x = np.tanh(x @ kernel + bias)
            parts.append(x)
        return np.concatenate(parts, axis=1)


def _products(x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n pairs"]:
    first, second = np.triu_indices(x.shape[1])
    return x[:, first] * x[:, second]


def _fit(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    gram = found.T @ found
    gram += DAMPING * np.trace(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, found.T @ wanted))


def _loss(network: Mlp, weights: Any, data: tuple[Array, Array]) -> Array:
    x, wanted = data
    return jnp.mean((jnp.asarray(network.apply({"params": weights}, x)) - wanted) ** 2)


def train_one_step(
    problem: EvolutionProblem,
    columns: tuple[int, ...],
    modes: int = 32,
    trajectories: int = 400,
    pairs: int = 12_000,
    seconds: float = 60.0,
    widths: tuple[int, ...] = (64, 64),
    seed: int = 0,
) -> tuple[OneStep, dict[str, float]]:
    """The network, and what it took; ``before`` and ``error``: the root mean square relative error of a step by z
    alone and by all.
    """
    rng = np.random.default_rng(seed)
    P = problem.inputs.sample(trajectories, seed=seed)
    U = np.asarray(problem.solve_batch(P)).reshape(trajectories, problem.steps + 1, -1)
    i, t = rng.integers(trajectories, size=pairs), rng.integers(problem.steps, size=pairs)
    every = U[:, :: max(problem.steps // 16, 1)].reshape(-1, U.shape[2])
    V = np.linalg.svd(every / np.linalg.norm(every, axis=1, keepdims=True), full_matrices=False)[2][:modes].T
    c, weight = U[i, t] @ V, 1 / np.linalg.norm(U[i, t], axis=1, keepdims=True)
    c = c + OFF / weight / np.sqrt(V.shape[1]) * rng.standard_normal(c.shape)
    after = np.asarray(RowMap(problem.step)(P[i], c @ V.T))
    solved = np.isfinite(after).all(axis=1)
    P, c, weight, gone = P[i][solved], c[solved], weight[solved], after[solved] @ V - c[solved]
    plain = OneStep(problem, V, float(np.abs(c[:, 0]).std()), columns, (), np.zeros((0, V.shape[1])))
    z = plain.features(P, c)
    rest = (gone - z @ _fit(z * weight, gone * weight)) * weight
    scale = float(np.sqrt(np.mean(rest**2)))
    network = Mlp(widths, V.shape[1])
    weights = network.init(jax.random.PRNGKey(seed), plain.read(P, c)[:1])["params"]
    rows = (plain.read(P, c), rest / scale)
    done = minimise(partial(_loss, network), weights, rows, Budget(100_000, seconds), adam_steps=100)
    hidden = [done.weights[f"hidden_{k}"] for k in range(len(widths))]
    layers = tuple((np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in hidden)
    model = OneStep(problem, V, plain.size, columns, layers, plain.head)
    found = model.features(P, c)
    head = _fit(found * weight, gone * weight)
    error = float(np.sqrt(np.mean(np.sum(((found @ head - gone) * weight) ** 2, axis=1))))
    about = {"before": scale * np.sqrt(V.shape[1]), "error": error, "seconds": done.seconds, "steps": done.steps}
    return OneStep(problem, V, plain.size, columns, layers, head), {k: float(x) for k, x in about.items()}
