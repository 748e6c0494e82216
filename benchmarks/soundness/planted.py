"""Failures planted in an accurate surrogate: each breaks the tolerance by a known factor that the solver confirms.

A polynomial of degree 6 in the deviations of the logarithms, amplitude built in, is within 1e-3 of the solution of a
2 x 1 thermal block; around x_i, in unit coordinates, its coefficients grow by

    c(p) (1 + sum_i h_i exp(-|x(p) - x_i|^2 / 2 w_i^2))

with h_i such that the true error at x_i is the wanted factor times the tolerance. The bumps of one model keep 5 (w_i +
w_j) apart, so that each is a failure of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...solvers.classes.coercive import CoerciveProblem
from .true_error import TrueError

DEGREE, MODES = 6, 6
WIDTHS = (0.0003, 0.001, 0.003, 0.01, 0.03)
FACTORS = (1.01, 1.05, 1.2, 2.0, 10.0, 100.0)
PLACES = ("inside", "face of the box", "corner of the box", "face of leaves", "corner of leaves", "beside a face")


@dataclass(frozen=True)
class Failure:
    """Where one was planted, how wide it is, and how far the true error there exceeds the tolerance."""

    place: str
    x: Float[np.ndarray, " d"]  # unit coordinates
    width: float
    factor: float  # of the tolerance


class Polynomial:
    """s(p) V W'(1, t, ..., t^6), t the first feature, s the amplitude; for two blocks there is one deviation."""

    def __init__(self, problem: CoerciveProblem, spoilt: tuple[Failure, ...] = ()) -> None:
        self.problem, self.spoilt = problem, spoilt
        self.heights = np.zeros(len(spoilt))
        P = problem.inputs.sample(128, seed=0)
        U = np.asarray(problem.solve_batch(P))
        scale = np.asarray(jax.vmap(problem.features)(jnp.asarray(P))[1])
        self.basis = np.linalg.svd((U / scale[:, None]).T, full_matrices=False)[0][:, :MODES] * problem.free[:, None]
        powers = np.asarray(self._powers(P)[0])
        self.weights = np.linalg.lstsq(powers, (U / scale[:, None]) @ self.basis, rcond=None)[0]

    def _powers(self, P: Any) -> tuple[Any, Any]:
        x, scale = jax.vmap(self.problem.features)(jnp.asarray(P))
        return jnp.stack([x[:, 0] ** n for n in range(DEGREE + 1)], axis=1), scale

    def coefficients(self, P: Any) -> Any:
        powers, scale = self._powers(P)
        c = scale[:, None] * (powers @ self.weights)
        if not self.spoilt:
            return c
        box = self.problem.inputs
        x = (jnp.log(jnp.asarray(P)) - np.log(box.lower)) / np.log(box.upper / box.lower)
        centres, widths = np.stack([f.x for f in self.spoilt]), np.array([f.width for f in self.spoilt])
        distance = jnp.sum(((x[:, None, :] - centres) / widths[:, None]) ** 2, axis=2)
        return c * (1 + jnp.exp(-distance / 2) @ self.heights)[:, None]

    def __call__(self, P: Any) -> np.ndarray:
        return np.asarray(self.coefficients(P)) @ self.basis.T


def failures(d: int, count: int, rng: np.random.Generator) -> tuple[Failure, ...]:
    """So many, far enough from each other; widths and factors all equally often."""
    found: list[Failure] = []
    while len(found) < count:
        place = str(rng.choice(PLACES))
        x = rng.random(d)
        axis = rng.integers(d)
        dyadic = rng.integers(1, 16, d) / 16
        if place == "face of the box":
            x[axis] = rng.integers(2)
        elif place == "corner of the box":
            x = rng.integers(0, 2, d).astype(float)
        elif place == "face of leaves":
            x[axis] = dyadic[axis]
        elif place == "corner of leaves":
            x = dyadic
        elif place == "beside a face":
            x[axis] = dyadic[axis] + rng.choice([-1, 1]) * 10.0 ** rng.integers(-12, -3)
        new = Failure(place, x, float(rng.choice(WIDTHS)), float(rng.choice(FACTORS)))
        if all(np.linalg.norm(x - f.x) > 5 * (new.width + f.width) for f in found):
            found.append(new)
    return tuple(found)


def plant(
    problem: CoerciveProblem, spoilt: tuple[Failure, ...], tolerance: float
) -> tuple[Polynomial, Float[np.ndarray, " n"]]:
    """(the model, the lower ends of its true errors at the failures, all of them above the tolerance).

    Raises:
        RuntimeError: a failure is not as large as wanted.
    """
    model, true_error = Polynomial(problem, spoilt), TrueError(problem)
    P = problem.inputs.from_unit(np.stack([f.x for f in spoilt]))
    U, norms = true_error.truths(P)
    wanted = tolerance * np.array([f.factor for f in spoilt])
    model.heights = wanted.copy()
    low = np.zeros(len(spoilt))
    for _ in range(4):
        low = true_error(P, U, norms, model(P)).low / norms.high
        model.heights = model.heights * (wanted / low)
    low = true_error(P, U, norms, model(P)).low / norms.high
    if not ((low > tolerance) & (np.abs(low / wanted - 1) < 0.005)).all():
        raise RuntimeError("a planted failure is not as large as wanted: is the surrogate accurate enough?")
    return model, low
