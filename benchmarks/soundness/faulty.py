"""Surrogates good and awful, made from the truth itself: what bounds, guards and searches are tried on.

``faults`` makes fields at inputs whose truths are known; ``PodGalerkin`` is a surrogate with a basis whose coefficients
can be spoilt (``coefficient_faults``), for the reduced path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...solvers.classes.coercive import CoerciveProblem

Fields = Float[np.ndarray, "n N"]
Fault = Callable[[np.ndarray, np.ndarray, "Pool"], np.ndarray]  # (inputs, truths, pool) -> fields


def _scatter(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class Pool:
    """Solved inputs of one problem: what nearest neighbours and bases are made from."""

    def __init__(self, problem: CoerciveProblem, n: int = 64, seed: int = 11) -> None:
        self.problem = problem
        self.P = problem.inputs.sample(n, seed=seed)
        self.X = problem.inputs.to_unit(self.P)
        self.U = np.asarray(problem.solve_batch(self.P))
        _, s, Vt = np.linalg.svd(self.U, full_matrices=False)
        self.modes = Vt[s > 1e-10 * s[0]]

    def nearest(self, P: np.ndarray) -> Fields:
        distance = ((self.problem.inputs.to_unit(P)[:, None] - self.X[None]) ** 2).sum(-1)
        return self.U[distance.argmin(1)]


def faults(problem: CoerciveProblem) -> dict[str, Fault]:
    """Every kind of wrongness, each the size of its name; all finite and zero where values are prescribed."""
    free = problem.free

    def size(U: np.ndarray) -> np.ndarray:
        return np.sqrt((U**2).mean(axis=1, keepdims=True))

    def truncated(P: np.ndarray, U: np.ndarray, pool: Pool, modes: int) -> np.ndarray:
        return U @ pool.modes[:modes].T @ pool.modes[:modes]

    def noise(P: np.ndarray, U: np.ndarray, pool: Pool, amount: float) -> np.ndarray:
        return U + amount * size(U) * _scatter((len(U), U.shape[1]), len(U)) * free

    def shifted(P: np.ndarray, U: np.ndarray, pool: Pool) -> np.ndarray:
        box = problem.inputs
        return np.asarray(problem.solve_batch(box.from_unit(np.clip(box.to_unit(P) + 0.01, 0, 1))))

    def spike(P: np.ndarray, U: np.ndarray, pool: Pool) -> np.ndarray:
        N = U.copy()
        node = np.random.default_rng(len(U)).choice(np.flatnonzero(free), len(U))
        N[np.arange(len(U)), node] *= 1.5
        return N

    return {
        "POD, 2 modes": lambda P, U, pool: truncated(P, U, pool, 2),
        "POD, 8 modes": lambda P, U, pool: truncated(P, U, pool, 8),
        "scaled by 1.01": lambda P, U, pool: 1.01 * U,
        "scaled by -3": lambda P, U, pool: -3.0 * U,
        "shifted inputs": shifted,
        "zero": lambda P, U, pool: np.zeros_like(U),
        "noise 1e-2": lambda P, U, pool: noise(P, U, pool, 1e-2),
        "noise 1e-8": lambda P, U, pool: noise(P, U, pool, 1e-8),
        "scaled by 1 + 1e-8": lambda P, U, pool: (1 + 1e-8) * U,
        "nearest neighbour": lambda P, U, pool: pool.nearest(P),
        "one node wrong": spike,
        "huge": lambda P, U, pool: 1e12 * noise(P, U, pool, 1.0),
        "tiny": lambda P, U, pool: 1e-12 * noise(P, U, pool, 1.0),
        "the truth": lambda P, U, pool: U.copy(),
    }


class PodGalerkin:
    """u ~ V c(p): POD modes in the energy of the reference operator, Galerkin coefficients, ``spoil`` on top."""

    def __init__(
        self,
        problem: CoerciveProblem,
        modes: int,
        spoil: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        pool: Pool | None = None,
    ) -> None:
        pool = pool or Pool(problem)
        free, terms = problem.free, np.eye(len(problem.reference_theta))
        scale = np.array([float(problem.features(p)[1]) for p in pool.P])
        U = (pool.U / scale[:, None])[:, free]
        A = problem.matrix(problem.reference_theta)
        values, vectors = np.linalg.eigh(U @ (A @ U.T))
        keep = min(modes, int((values > 1e-14 * values[-1]).sum()))
        V = np.zeros((problem.size, keep))
        V[free] = (U.T @ vectors[:, ::-1][:, :keep]) / np.sqrt(values[::-1][:keep])
        self.problem, self.basis, self.spoil = problem, V, spoil
        loads = problem.load_terms()
        assert loads is not None
        self._load = loads[:, free] @ V[free]
        self._stiffness = np.stack([V[free].T @ (problem.matrix(e) @ V[free]) for e in terms])

    def galerkin(self, P: np.ndarray) -> Float[np.ndarray, "n k"]:
        theta = np.stack([np.asarray(self.problem.theta(p)) for p in P])
        weights = np.stack([np.asarray(self.problem.load_weights(p)) for p in P])
        A = np.tensordot(theta, self._stiffness, 1)
        return np.linalg.solve(A, (weights @ self._load)[:, :, None])[:, :, 0]

    def coefficients(self, P: np.ndarray) -> Float[np.ndarray, "n k"]:
        P = np.asarray(P, dtype=np.float64)
        c = self.galerkin(P)
        return c if self.spoil is None else self.spoil(P, c)

    def __call__(self, P: np.ndarray) -> Fields:
        return self.coefficients(P) @ self.basis.T


def coefficient_faults() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray] | None]:
    """What spoils the coefficients, as functions of (inputs, coefficients); deterministic in both."""

    def noise(amount: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def spoil(P: np.ndarray, c: np.ndarray) -> np.ndarray:
            wave = np.sin(1e3 * np.log(P).sum(axis=1, keepdims=True) + 7.0 * np.arange(c.shape[1]) ** 2)
            return c + amount * np.linalg.norm(c, axis=1, keepdims=True) * wave / np.sqrt(c.shape[1])

        return spoil

    return {
        "Galerkin": None,
        "noise 1e-8": noise(1e-8),
        "noise 1e-4": noise(1e-4),
        "noise 1e-2": noise(1e-2),
        "noise 1": noise(1.0),
        "scaled by 1.01": lambda P, c: 1.01 * c,
        "huge": lambda P, c: -1e12 * c,
        "zero": lambda P, c: 0.0 * c,
    }


class Quadratic:
    """A polynomial of degree two in the logarithms of two inputs, in a POD basis, as a JAX program: poor, and quick to
    enclose. ``spoil`` (P, c) -> c changes its coefficients.
    """

    def __init__(self, problem: CoerciveProblem, spoil: Callable[[Any, Any], Any] | None = None) -> None:
        P = problem.inputs.sample(64, seed=0)
        U = np.asarray(problem.solve_batch(P))
        self.basis = np.linalg.svd(U.T, full_matrices=False)[0][:, :4] * problem.free[:, None]
        self.weights = np.linalg.lstsq(np.asarray(self.terms(P)), U @ self.basis, rcond=None)[0]
        self.spoil = spoil or (lambda P, c: c)

    @staticmethod
    def terms(P: Any) -> Any:
        """1, x, y, x^2, xy, y^2 of the logarithms."""
        x, y = jnp.log(jnp.asarray(P)).T
        return jnp.stack([jnp.ones_like(x), x, y, x * x, x * y, y * y], axis=1)

    def coefficients(self, P: Any) -> Any:
        return self.spoil(P, self.terms(P) @ self.weights)

    def __call__(self, P: Any) -> np.ndarray:
        return np.asarray(self.coefficients(P)) @ self.basis.T
