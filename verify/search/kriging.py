"""A Gaussian process of vectors: few outputs with one kernel, fitted by its likelihood.

    k(x, y) = (1 + s + s^2/3) exp(-s),    s^2 = 5 sum_j (x_j - y_j)^2 / l_j^2    (Matern, 5/2)

With K = k(X, X) + noise, and y_i the outputs, each of its own variance, the lengths l minimise

    sum_i n log(y_i' K^-1 y_i) + m log det K,

and a prior that keeps them within the size of the box. Reference: Rasmussen and Williams 2006, section 5.4.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

NOISE = 1e-6  # of the variance: outputs are computed, not measured
SPREAD = 0.4  # of the logarithms of lengths, a priori: few points tell them badly
ITERATIONS = 20


class Kriging:
    """Fitted to X [n, d] in the unit box and Y [n, m]; ``lengths`` to begin with are those of an earlier fit."""

    def __init__(
        self,
        X: Float[np.ndarray, "n d"],
        Y: Float[np.ndarray, "n m"],
        lengths: Float[np.ndarray, " d"] | None = None,
        refit: bool = True,
    ) -> None:
        d = X.shape[1]
        self.X, self._mean = X, Y.mean(axis=0)
        self._Y = Y - self._mean
        self._Y = self._Y[:, np.abs(self._Y).max(axis=0) > 0]
        self._varies = np.abs(Y - self._mean).max(axis=0) > 0
        self._usual = np.log(0.4 * np.sqrt(d))
        start = np.full(d, self._usual) if lengths is None else np.log(lengths)
        if refit and self._Y.shape[1]:
            bounds = [(np.log(0.02), np.log(20.0))] * d
            options = {"maxiter": ITERATIONS}
            start = minimize(self._unlikely, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
        self.lengths = np.exp(start)
        L = cholesky(self._kernel(X, X) + NOISE * np.eye(len(X)), lower=True)
        self._whitens = solve_triangular(L, np.eye(len(X)), lower=True)  # asked often, so that a product is worth it
        self._weights = self._whitens.T @ (self._whitens @ self._Y)
        self._variances = np.maximum((self._Y * self._weights).sum(axis=0), 0) / len(X)

    def __call__(self, Z: Float[np.ndarray, "k d"]) -> tuple[Float[np.ndarray, "k m"], Float[np.ndarray, "k m"]]:
        """Means and standard deviations."""
        K = self._kernel(Z, self.X)
        mean = np.tile(self._mean, (len(Z), 1))
        mean[:, self._varies] += K @ self._weights
        left = np.maximum(1 - ((K @ self._whitens.T) ** 2).sum(axis=1), 0)
        deviation = np.zeros_like(mean)
        deviation[:, self._varies] = np.sqrt(left[:, None] * self._variances)
        return mean, deviation

    def _kernel(self, A: np.ndarray, B: np.ndarray) -> Float[np.ndarray, "a b"]:
        a, b = A / self.lengths, B / self.lengths
        squares = np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)
        s = np.sqrt(5 * squares)
        out: np.ndarray = (1 + s + s**2 / 3) * np.exp(-s)
        return out

    def _unlikely(self, log_lengths: Float[np.ndarray, " d"]) -> tuple[float, Float[np.ndarray, " d"]]:
        """What is minimised, and its slope."""
        n, m = self._Y.shape
        self.lengths = np.exp(log_lengths)
        K = self._kernel(self.X, self.X) + NOISE * np.eye(n)
        factor = cho_factor(K, lower=True)
        alpha, inverse = cho_solve(factor, self._Y), cho_solve(factor, np.eye(n))
        energies = np.maximum((self._Y * alpha).sum(axis=0), 1e-300)
        value = n * np.log(energies).sum() + 2 * m * np.log(np.diag(factor[0])).sum()
        outer = m * inverse - n * (alpha / energies) @ alpha.T
        s = np.sqrt(5 * np.maximum(((self.X[:, None] - self.X[None]) ** 2 / self.lengths**2).sum(axis=2), 0))
        weight = outer * (5 / 3) * (1 + s) * np.exp(-s)
        slope = np.array([(weight * (x[:, None] - x) ** 2).sum() for x in (self.X / self.lengths).T])
        away = (log_lengths - self._usual) / SPREAD
        return float(value + m * away @ away), slope + 2 * m * away / SPREAD
