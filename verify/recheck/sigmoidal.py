"""Sigmoid-shaped functions of Taylor models: tanh, the logistic function, log(exp a + exp b), erf and erfc.

tanh^(k)/k! is a polynomial in tanh. How large it gets over an interval is looked up in a table of narrow cells, each
bounded by its value and slope in the middle, and by Cauchy's estimate |f_k| <= tan(1) for what is left (|tanh| <=
tan(1) where |Im z| <= 1). The logistic function is (1 + tanh(x/2)) / 2, and it is the derivative of

    softplus(x) = log(1 + exp x),     softplus^(k)/k! = 2^-k / k  tanh^(k-1)/(k-1)!  at x/2,      k >= 2

erf^(k)/k! = (2/sqrt(pi)) (-1)^(k-1) H_(k-1)(x) exp(-x^2) / k! with Hermite's polynomials H_n, of which Cramer's
inequality says |H_n(x)| exp(-x^2/2) <= 1.0865 2^(n/2) (n!)^(1/2) (Abramowitz and Stegun 1964, 22.14.17).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy import special

from .functions import LIBM, LIBM_LOG1P, compose, scale_exactly
from .model import FLUSHED, TINY, UP, Model, U, add, gamma, negative

CAUCHY = math.tan(1.0) * (1 + 1e-12)
CELL, FAR = 2.0**-10, 8.0  # width of the table's cells, and how far they reach
CRAMER = 1.0866
PEAK = 2 / math.sqrt(math.pi)  # erf's slope at zero, to a few roundings
SLOPE = PEAK * (1 + 1e-12)
GONE = 40.0  # beyond, exp(-x^2/2), and every derivative of erf, is below 1e-300


@lru_cache(maxsize=64)
def tanh_polynomial(j: int) -> tuple[int, ...]:
    """tanh^(j) as a polynomial in T = tanh, lowest power first: p' = (1 - T^2) dp/dT."""
    p = [0, 1]
    for _ in range(j):
        slopes = [i * c for i, c in enumerate(p)][1:]
        p = [0] * (len(slopes) + 2)
        for i, c in enumerate(slopes):
            p[i] += c
            p[i + 2] -= c
    return tuple(p)


def _at(j: int, T: np.ndarray) -> tuple[np.ndarray, float]:
    """tanh^(j)/j! from T, and its error where |T| <= 1 is within LIBM of tanh."""
    p, over = tanh_polynomial(j), math.factorial(j)
    value = np.zeros_like(T)
    for c in reversed(p):
        value = value * T + c / over
    size = sum(abs(c) for c in p) / over
    slope = sum(i * abs(c) for i, c in enumerate(p)) / over
    return value, 1.01 * (size * gamma(2 * len(p)) + slope * LIBM)


@lru_cache(maxsize=32)
def _table(j: int) -> tuple[np.ndarray, ...]:
    """Bounds of |tanh^(j)|/j! over cells of [-FAR, FAR], beyond at either end, as maxima over 2^k neighbours."""
    x = np.arange(-FAR, FAR, CELL) + CELL / 2
    T = np.tanh(x)
    value, slope = (np.abs(v) + e for v, e in (_at(j, T), _at(j + 1, T)))
    h = CELL / 2
    cells = value + h * (j + 1) * slope + h**2 * (j + 1) * (j + 2) / 2 * CAUCHY
    # |tanh(z) - 1| <= 2 exp(-2 Re z) / (1 - exp(-2 Re z)) on the circle of radius one around a point beyond FAR
    beyond = np.full(1, 2.01 * math.exp(-2 * (FAR - 1)) if j else 1.0)
    levels = [np.concatenate([beyond, cells, beyond]) * (1 + 1e-9)]
    while len(levels[-1]) > 2 ** (len(levels) - 1):
        last, step = levels[-1], 2 ** (len(levels) - 1)
        levels.append(np.maximum(last[:-step], last[step:]))
    return tuple(levels)


def largest_tanh(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
    """A bound of |tanh^(j)|/j! over [low, high]; infinite where that is no bounded interval."""
    levels = _table(j)
    cells = len(levels[0]) - 2
    fine = np.isfinite(low) & np.isfinite(high)
    first, last = (
        np.clip(np.floor((np.where(fine, np.clip(x, -2 * FAR, 2 * FAR), 0.0) + FAR) / CELL), -1, cells).astype(int) + 1
        for x in (low, high)
    )
    level = np.frexp((last - first + 1).astype(float))[1] - 1
    out = np.empty(low.shape)
    for k in np.unique(level):
        at = level == k
        out[at] = np.maximum(levels[k][first[at]], levels[k][last[at] - 2**k + 1])
    return np.where(fine, out, np.inf)


def tanh(a: Model) -> Model:
    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        T = np.tanh(x)
        found = [_at(k, T) for k in range(m + 1)]
        return np.stack([v for v, _ in found]), np.stack([np.full(x.shape, e) for _, e in found])

    ones = np.ones_like(a.loss)
    return compose(a, taylor, largest_tanh, ones, LIBM * ones)


def logistic(a: Model) -> Model:
    """(1 + tanh(a/2)) / 2."""
    inner = tanh(scale_exactly(a, np.array(0.5)))
    half = scale_exactly(inner, np.array(0.5))
    c = half.coefficients.copy()
    c[0] += 0.5
    radius = (half.radius + U * np.abs(c[0])) * UP
    return Model(a.space, c, radius, (0.25 * a.loss + LIBM) * UP + FLUSHED)


def largest_softplus(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
    """A bound of |softplus^(j)|/j!, j >= 1, over [low, high]."""
    if j == 1:
        return np.ones(low.shape)
    return largest_tanh(low / 2, high / 2, j - 1) * (2.0**-j / j) * (1 + 1e-12)


def largest_erf(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
    """A bound of |erf^(j)|/j!, j >= 1, over [low, high], by Cramer's inequality where it comes closest to zero."""
    nearest = np.maximum(np.maximum(low, -high), 0.0)
    most = SLOPE * CRAMER * 2 ** ((j - 1) / 2) * math.sqrt(math.factorial(j - 1)) / math.factorial(j)
    bounded = np.isfinite(low) & np.isfinite(high)
    return np.where(bounded, most * np.maximum(np.exp(-(nearest**2) / 2), 1e-300) * (1 + 1e-10), np.inf)


def logaddexp(a: Model, b: Model, sums: int = 2) -> Model:
    """log(exp a + exp b) = b + softplus(a - b), smooth where the program's max and abs have kinks.

    The program is max(a, b) + log1p(exp(-|a - b|)). It changes by no more than the larger change of a and b; d = a - b
    is rounded by u |d|, which |d| exp(-|d|) <= 1 leaves at u; exp is off by LIBM + 16 u |d|, log1p by LIBM_LOG1P.
    ``sums``: the longest sum that the program may put it into.
    """
    exact = add(b, _softplus(add(a, negative(b))))
    size = a.magnitude + a.loss + b.magnitude + b.loss + 1
    loss = (a.loss + b.loss + 4 * gamma(sums) * size + 2 * (LIBM + LIBM_LOG1P) + 64 * U) * UP + FLUSHED
    return Model(a.space, exact.coefficients, exact.radius, loss)


def _softplus(a: Model) -> Model:
    """Its values alone: what programs lose is said by ``logaddexp``."""

    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        T = np.tanh(x / 2)
        first = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
        values, errors = [first], [4 * LIBM + 4 * U * np.abs(first)]
        for k in range(1, m + 1):
            value, error = ((1 + T) / 2, LIBM + 2 * U) if k == 1 else _at(k - 1, T)
            share = 1.0 if k == 1 else 2.0**-k / k
            values.append(share * value)
            errors.append(np.full(x.shape, share * error * (1 + 1e-12) + 4 * U * share * CAUCHY))
        return np.stack(values), np.stack(errors)

    nothing = np.zeros_like(a.loss)
    return compose(replace(a, loss=nothing), taylor, largest_softplus, nothing, nothing)


def erf(a: Model) -> Model:
    """Its error function in scipy is taken to be within 16 ulp, as numpy's functions are."""

    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        near = np.clip(x, -GONE, GONE)
        bell = PEAK * np.exp(-near * near)
        # H_0, H_1, ...: their values, and the same sums of absolute values, of which roundings are a small share
        H, sizes = [np.ones_like(near), 2 * near], [np.ones_like(near), 2 * np.abs(near)]
        for n in range(1, m):
            H.append(2 * near * H[n] - 2 * n * H[n - 1])
            sizes.append(2 * np.abs(near) * sizes[n] + 2 * n * sizes[n - 1])
        values, errors = [special.erf(x)], [LIBM * np.abs(special.erf(x))]
        for k in range(1, m + 1):
            over = (-1.0) ** (k - 1) / math.factorial(k)
            known = np.abs(x) < GONE
            values.append(np.where(known, over * H[k - 1] * bell, 0.0))
            relative = gamma(8 * k + 16) + 2 * LIBM + 4 * U * near * near
            errors.append(np.where(known, relative * abs(over) * sizes[k - 1] * bell, 0.0) + TINY)
        return np.stack(values), np.stack(errors)

    ones = np.ones_like(a.loss)
    return compose(a, taylor, largest_erf, SLOPE * ones, LIBM * ones)


def erfc(a: Model) -> Model:
    """1 - erf(a). XLA's erfc is within 64 + 4 a^2 ulp (``verify/enclose/rounding.py``)."""
    inner = negative(erf(a))
    c = inner.coefficients.copy()
    c[0] += 1
    radius = (inner.radius + U * np.abs(c[0])) * UP
    reach = (a.magnitude + a.loss) * UP
    loss = (SLOPE * a.loss + (64 + 4 * reach * reach) * 4 * U) * UP + FLUSHED
    return Model(a.space, c, radius, loss)
