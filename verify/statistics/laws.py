"""The laws that inputs are drawn from: their density, how much denser one is than another, and whether rows look drawn.

All laws of a ``Box`` are independent over the inputs, so that densities and ratios of densities are products. With
q(p) / r(p) for a query law q and a sampling law r, each factor is exp of a smooth function whose slope times x is a
quadratic polynomial: its largest value over an interval is at an end or at a root.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import kolmogorov, ndtr

from ...solvers.box import Box

TAIL = float(ndtr(-3.0))  # what a normal law loses at either end of its box
FEWEST = 20  # rows, below which nothing is said of their law
STRANGE = 1e-6  # the probability at most that draws from the law are taken for others


def log_density(box: Box, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The logarithm of each input's density, -inf outside the box."""
    P = np.asarray(P, dtype=np.float64)
    found = np.full(P.shape, -np.inf)
    inside = (box.lower <= P) & (box.upper >= P)
    for j, law in enumerate(box.laws):
        low, high, x = box.lower[j], box.upper[j], P[:, j]
        if law == "uniform":
            value = np.full(len(x), -np.log(high - low))
        elif law == "log-uniform":
            with np.errstate(divide="ignore", invalid="ignore"):
                value = -np.log(x) - np.log(np.log(high / low))
        else:
            middle, deviation = _normal(box, j)
            value = -(((x - middle) / deviation) ** 2) / 2
            value = value - np.log(deviation * np.sqrt(2 * np.pi) * (1 - 2 * TAIL))
        found[:, j] = np.where(inside[:, j], value, -np.inf)
    return found


def ratio(query: Box, sampled: Box, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """How much denser the query law is than the sampling law at rows of the sampling law's box: 0 outside the query's.

    Raises:
        ValueError: the boxes have other inputs, or the query's reaches beyond the other, where nothing was sampled.
    """
    _check_inside(query, sampled)
    return np.exp((log_density(query, P) - log_density(sampled, P)).sum(axis=1))


def largest_ratio(query: Box, sampled: Box) -> float:
    """The largest ``ratio`` over the query's box.

    Raises:
        ValueError: as ``ratio``.
    """
    _check_inside(query, sampled)
    total = 0.0
    for j in range(query.dimension):
        one, other = _slope(query, j), _slope(sampled, j)
        roots = np.roots(np.trim_zeros(one - other, "f")) if (one != other).any() else np.zeros(0)
        real = roots[np.abs(roots.imag) < 1e-9].real
        ends = np.array([query.lower[j], query.upper[j]])
        x = np.concatenate([ends, real[(real > ends[0]) & (real < ends[1])]])
        P = np.tile(query.centre, (len(x), 1))
        P[:, j] = x
        total += float((log_density(query, P) - log_density(sampled, P))[:, j].max())
    return float(np.exp(total))


def looks_drawn(box: Box, P: Float[np.ndarray, "n d"]) -> bool:
    """Whether rows may be draws from the box's law: those that are fail in one batch of a million (Kolmogorov's test of
    each input). Of few rows nothing is said, and that they are independent is not looked at.
    """
    n, d = P.shape
    if n < FEWEST:
        return True
    u = np.sort(_levels(box, P), axis=0)
    steps = np.arange(n + 1.0)[:, None] / n
    distance = np.maximum(np.abs(u - steps[1:]), np.abs(u - steps[:-1])).max(axis=0)
    return bool((kolmogorov(np.sqrt(n) * distance) * d > STRANGE).all())


def _levels(box: Box, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The inverse of ``Box.from_law``."""
    u = np.empty_like(P)
    for j, law in enumerate(box.laws):
        low, high, x = box.lower[j], box.upper[j], P[:, j]
        if law == "uniform":
            u[:, j] = (x - low) / (high - low)
        elif law == "log-uniform":
            u[:, j] = np.log(np.maximum(x, low) / low) / np.log(high / low)
        else:
            middle, deviation = _normal(box, j)
            u[:, j] = (ndtr((x - middle) / deviation) - TAIL) / (1 - 2 * TAIL)
    return np.clip(u, 0.0, 1.0)


def _normal(box: Box, j: int) -> tuple[float, float]:
    """Centre and standard deviation of a normal input."""
    return (box.lower[j] + box.upper[j]) / 2, (box.upper[j] - box.lower[j]) / 6


def _slope(box: Box, j: int) -> Float[np.ndarray, " 3"]:
    """x times the slope of the logarithm of an input's density, as a polynomial in x."""
    if box.laws[j] == "uniform":
        return np.zeros(3)
    if box.laws[j] == "log-uniform":
        return np.array([0.0, 0.0, -1.0])
    middle, deviation = _normal(box, j)
    return np.array([-1.0, middle, 0.0]) / deviation**2


def _check_inside(query: Any, sampled: Box) -> None:
    if not isinstance(query, Box) or query.names != sampled.names:
        raise ValueError(
            f"the law of the queries is a Box of the same inputs ({sampled.listed}): problem.inputs.replace(laws=...) "
            "makes one"
        )
    if (query.lower < sampled.lower).any() or (query.upper > sampled.upper).any():
        j = int(np.argmax((query.lower < sampled.lower) | (query.upper > sampled.upper)))
        raise ValueError(
            f"the queries' box reaches beyond the sampled one in input {sampled.names[j]!r}, where no error was "
            "measured: narrow it, or sample there"
        )
