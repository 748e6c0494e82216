"""Smooth functions of Taylor models: Taylor coefficients at the centre, and the range of the next one over the box.

    f(z) = sum_{k <= m} f_k(z0) (z - z0)^k + R,   |R| <= sup |f_(m+1)| |z - z0|^(m+1),   f_k = f^(k) / k!

A rule gives ``compose`` the f_k at the centre with their errors, and a bound of |f_(m+1)| over the box; and what the
program loses: |f'| times the loss of its argument, and what its own library function may be off. numpy's functions are
taken to be within 16 ulp; those that programs call, within what ``verify/enclose/rounding.py`` says of XLA's. Here:
exponentials, logarithms, powers, sin and cos; ``sigmoidal.py`` has the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .model import FLUSHED, TINY, UP, Model, U, mul, negative, padded

LIBM = 34 * U  # 16 ulp and a little
LIBM_LOG1P = 1024 * U  # XLA's log1p: 128 ulp were measured, near x = -0.414; 512 are allowed for

# (f_0 .. f_m at x, their errors), a bound of |f_j| over [low, high]
Taylor = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
Largest = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def compose(a: Model, taylor: Taylor, largest: Largest, slope: np.ndarray, size: np.ndarray) -> Model:
    """f(a), Horner's rule in a - a_0. ``slope`` bounds |f'| on the way of the loss, ``size`` is what f itself loses."""
    space, m = a.space, a.space.order
    at, reach = a.coefficients[0], a.reach
    with np.errstate(all="ignore"):
        values, errors = taylor(at, m)
        rest = replace(
            a, coefficients=np.concatenate([np.zeros_like(a.coefficients[:1]), a.coefficients[1:]]), log=None
        )
        out = Model(space, values[m][None], errors[m], np.zeros_like(a.loss))
        for k in range(m - 1, -1, -1):
            out = mul(out, rest, m - k)
            c = out.coefficients
            c[0] += values[k]
            out = replace(out, radius=(out.radius + errors[k] + U * np.abs(c[0])) * UP)
        far = largest(a.lower, a.upper, m + 1) * reach ** (m + 1) * UP
        radius = (out.radius + far) * UP + TINY
        loss = (slope * a.loss + size) * UP + FLUSHED
    return Model(space, out.coefficients, radius, np.where(a.loss == 0, size * UP + FLUSHED, loss))


# --- exp, log, powers -------------------------------------------------------------------------------------------------


def exp(a: Model) -> Model:
    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        values = np.exp(x)[None] / np.array([math.factorial(k) for k in range(m + 1)]).reshape(-1, *[1] * x.ndim)
        return values, values * (LIBM + 8 * U)

    def largest(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
        return np.exp(high) * (1 + 1e-12) / math.factorial(j)

    with np.errstate(over="ignore"):
        most = np.exp(a.upper + a.loss) * (1 + 1e-12)
    size = (LIBM + 16 * U * (a.magnitude + a.loss)) * most
    return replace(compose(a, taylor, largest, most, size), log=replace(a, log=None))


def log(a: Model) -> Model:
    """The exponent itself where the value is known as one."""

    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.where(x > 0, x, np.nan)
        values = [np.log(x)] + [(-1.0) ** (k + 1) / (k * x**k) for k in range(1, m + 1)]
        sizes = [np.abs(v) * (LIBM + 4 * (k + 4) * U) for k, v in enumerate(values)]
        return np.stack(values), np.stack(sizes)

    def largest(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
        return (1 + 1e-12) / (j * np.where(low > 0, low, 0.0) ** j)

    slope, size = _above(
        a, 0.0, lambda low, high: ((1 + 1e-12) / low, np.maximum(np.abs(np.log(low)), np.abs(np.log(high))))
    )
    if a.log is None:
        return compose(a, taylor, largest, slope, LIBM * size)
    known = np.isfinite(a.log.radius)
    loss = (slope * a.loss + LIBM * size) * UP + FLUSHED
    out = replace(a.log, loss=loss, log=None)
    if known.all():
        return out
    other = compose(replace(a, log=None), taylor, largest, slope, LIBM * size)
    n = max(len(out.coefficients), len(other.coefficients))
    rows = [padded(m.coefficients, n) for m in (out, other)]
    return Model(a.space, np.where(known, *rows), np.where(known, out.radius, other.radius), loss)


def expm1(a: Model) -> Model:
    """exp(a) - 1, which near zero is as exact as a is."""

    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.exp(x)[None] / np.array([math.factorial(k) for k in range(m + 1)]).reshape(-1, *[1] * x.ndim)
        errors = rows * (LIBM + 8 * U)
        values = np.concatenate([np.expm1(x)[None], rows[1:]])
        errors[0] = np.abs(values[0]) * LIBM
        return values, errors + TINY

    def largest(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
        return np.exp(high) * (1 + 1e-12) / math.factorial(j)

    with np.errstate(over="ignore"):
        most = np.exp(a.upper + a.loss) * (1 + 1e-12)
    size = (LIBM + 16 * U * (a.magnitude + a.loss)) * (most + 1)
    return compose(a, taylor, largest, most, size)


def log1p(a: Model) -> Model:
    """log(1 + a) for a > -1, which near zero is as exact as a is."""

    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.where(x > -1, x, np.nan)
        from_minus_one = 1 + x  # one rounding: a relative error of u, k times in its k-th power
        values = [np.log1p(x)] + [(-1.0) ** (k + 1) / (k * from_minus_one**k) for k in range(1, m + 1)]
        sizes = [np.abs(v) * (LIBM + 8 * (k + 4) * U) for k, v in enumerate(values)]
        return np.stack(values), np.stack(sizes) + TINY

    def largest(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
        return (1 + 1e-10) / (j * np.where(low > -1, (1 + low) * (1 - 4 * U), 0.0) ** j)

    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (1 + 1e-12) / (1 + low), np.maximum(np.abs(np.log1p(low)), np.abs(np.log1p(high))) * (1 + 1e-12)

    slope, size = _above(a, -1.0, bounds)
    return compose(a, taylor, largest, slope, LIBM_LOG1P * size)


def power(a: Model, y: float) -> Model:
    """a^y for a > 0 and any y that is known."""
    factors = [1.0]
    for k in range(1, a.space.order + 2):
        factors.append(factors[-1] * (y - k + 1) / k)
    n = a.space.order + 1

    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.where(x > 0, x, np.nan)
        first, inverse = x**y, 1 / x
        values = [factors[0] * first]
        for k in range(1, m + 1):
            first = first * inverse
            values.append(factors[k] * first)
        return np.stack(values), np.abs(np.stack(values)) * (LIBM + 8 * (n + 4) * U) + TINY

    def largest(low: np.ndarray, high: np.ndarray, j: int) -> np.ndarray:
        low = np.where(low > 0, low, 0.0)
        return abs(factors[j]) * (1 + 1e-10) * np.maximum(low ** (y - j), high ** (y - j))

    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        most, steep = (np.maximum(low**e, high**e) * (1 + 1e-10) for e in (y, y - 1))
        return abs(y) * steep, most

    slope, size = _above(a, 0.0, bounds)
    return compose(a, taylor, largest, slope, (2.0**-40 if y not in (-1, 0.5, -0.5) else LIBM) * size)


def _above(
    a: Model, edge: float, bounds: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """(steepest, largest) over what is computed; infinite where that may not be above ``edge``, 0 or -1."""
    low, high = a.lower - a.loss * UP, a.upper + a.loss * UP
    inside = low > edge
    with np.errstate(all="ignore"):
        steep, most = bounds(np.where(inside, low, 1.0), np.where(inside, high, 1.0))
    return np.where(inside, steep, np.inf), np.where(inside, most, np.inf)


def reciprocal(a: Model) -> Model:
    """1/a on either side of zero."""
    if a.log is not None and np.isfinite(a.log.radius).all():
        return replace(exp(negative(replace(a.log, loss=np.zeros_like(a.loss)))), loss=_inverse_loss(a))
    sign = np.where(a.coefficients[0] < 0, -1.0, 1.0)
    out = power(scale_exactly(a, sign), -1.0)
    return replace(scale_exactly(out, sign), log=None)


def _inverse_loss(a: Model) -> np.ndarray:
    slope, size = _above(a, 0.0, lambda low, high: ((1 + 1e-12) / low**2, (1 + 1e-12) / low))
    return (slope * a.loss + 8 * U * size) * UP + FLUSHED


def scale_exactly(a: Model, sign: np.ndarray) -> Model:
    """Times powers of two, or signs."""
    return Model(a.space, a.coefficients * sign, a.radius * np.abs(sign), a.loss * np.abs(sign))


def integer_power(a: Model, n: int) -> Model:
    if n < 0:
        return integer_power(reciprocal(a), -n)
    if n == 0:
        return Model(a.space, np.ones_like(a.coefficients[:1]), np.zeros_like(a.radius), np.zeros_like(a.loss))
    out, base = None, a
    while n:
        if n & 1:
            out = base if out is None else mul(out, base)
        base, n = (mul(base, base) if n > 1 else base), n >> 1
    assert out is not None
    return replace(out, log=None)


# --- sin, cos ---------------------------------------------------------------------------------------------------------


def _wave(shift: int) -> Callable[[Model], Model]:
    def taylor(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
        turns = [np.sin(x), np.cos(x), -np.sin(x), -np.cos(x)]
        values = np.stack([turns[(k + shift) % 4] / math.factorial(k) for k in range(m + 1)])
        return values, np.abs(values) * (LIBM + 4 * U) + TINY

    def apply(a: Model) -> Model:
        largest: Largest = lambda low, high, j: np.full(low.shape, (1 + 1e-12) / math.factorial(j))  # noqa: E731
        ones = np.ones_like(a.loss)
        size = np.where(a.magnitude + a.loss < 2.0**30, LIBM, 2.0)
        return compose(a, taylor, largest, ones, size)

    return apply


sin, cos = _wave(0), _wave(1)
