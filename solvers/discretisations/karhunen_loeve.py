"""Karhunen-Loeve eigenpairs of the exponential covariance exp(-|x - y| / l) on [0, 1], and of its tensor square.

The n-th eigenfunction (n = 0, 1, ...) is a cosine (n even) or sine (n odd) of w_n (x - 1/2), with

    w_n = n pi + 2 arctan(1 / (l w_n)),    eigenvalue 2 l / (1 + l^2 w_n^2),    (l^2 w^2 - 1) sin w = 2 l w cos w

The right-hand side of the fixed point falls with w, so w_n is the only root, and lies in (n pi, (n + 1) pi). The
separable covariance exp(-|x1 - y1|/l - |x2 - y2|/l) on the unit square has the products as its eigenpairs; all
eigenvalues sum to 1. Reference: Ghanem and Spanos, Stochastic Finite Elements (1991), section 2.3.3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def frequencies(count: int, length: float) -> Float[np.ndarray, " count"]:
    """The first ``count`` roots w_n, by bisection followed by two Newton steps: accurate to a few ulp."""
    n = np.arange(count)
    low, high = n * np.pi, (n + 1) * np.pi
    for _ in range(50):
        w = (low + high) / 2
        above = w - 2 * np.arctan2(1, length * w) > n * np.pi
        low, high = np.where(above, low, w), np.where(above, w, high)
    for _ in range(2):
        w = w - (w - 2 * np.arctan2(1, length * w) - n * np.pi) / (1 + 2 * length / (1 + (length * w) ** 2))
    return w


def eigenvalues(count: int, length: float) -> Float[np.ndarray, " count"]:
    """The ``count`` largest eigenvalues on [0, 1], decreasing."""
    return 2 * length / (1 + (length * frequencies(count, length)) ** 2)


def amplitudes(count: int, length: float) -> Float[np.ndarray, " count"]:
    """The largest value of |phi_n| that the sine or cosine allows."""
    w = frequencies(count, length)
    odd = np.arange(count) % 2 == 1
    return 1 / np.sqrt(0.5 + np.where(odd, -1, 1) * np.sin(w) / (2 * w))


def eigenfunctions(
    x: Float[np.ndarray, " n"], count: int, length: float, slopes: bool = False
) -> Float[np.ndarray, "n count"]:
    """The eigenfunctions at the points ``x``, of unit length in L2(0, 1); with ``slopes`` their derivatives."""
    w = frequencies(count, length)
    odd = np.arange(count) % 2 == 1
    angle = (np.asarray(x)[:, None] - 0.5) * w
    wave = np.where(odd, np.cos(angle), -np.sin(angle)) * w if slopes else np.where(odd, np.sin(angle), np.cos(angle))
    return wave * amplitudes(count, length)


def tensor_modes(count: int, length: float) -> tuple[Int[np.ndarray, " count"], Int[np.ndarray, " count"], np.ndarray]:
    """The ``count`` largest eigenvalues on the unit square, decreasing, with their mode numbers along x and along y.

    Ties (i, j), (j, i) stand in the order of i. Mode (i, j) is among the first ``count`` only if (i + 1)(j + 1) <=
    count, since every (i', j') <= (i, j) has an eigenvalue at least as large.
    """
    one = eigenvalues(count, length)
    i, j = np.nonzero(np.multiply.outer(np.arange(1, count + 1), np.arange(1, count + 1)) <= count)
    values = one[i] * one[j]
    order = np.lexsort((i, -np.round(values / values.max(), 12)))[:count]
    return i[order], j[order], values[order]
