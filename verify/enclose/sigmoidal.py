"""Derivatives of sigmoid-shaped functions over an interval: tanh, the logistic function, softplus, erf and erfc.

The j-th derivative is a polynomial times a positive weight that decays on both sides:

    tanh^(j)(x) / j! = s(x) Q_j(T),        s = sech^2 x = 4e / (1 + e)^2,  e = exp(-2|x|),  T = tanh x
    erf^(j)(x)  / j! = g(x) H_j(x),        g = exp(-x^2)                    (H_j: a scaled Hermite polynomial)

so that its extrema are the roots of the next polynomial. These are found once, by exact sign changes in rational
arithmetic. None can be missed: by Rolle's theorem the (j+1)-st derivative has at least one root more than the j-th, and
its polynomial has degree j. On an interval the range of phi^(j) is then the hull of its values at the two ends and at
the extrema inside. An extremum that may or may not be inside is counted: that only widens.

The others follow from tanh: logistic(x) = (1 + tanh(x/2)) / 2, and softplus' = logistic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .ball import (
    LIBM,
    TINY,
    Ball,
    U,
    add,
    bracket,
    concatenate,
    ends,
    hull,
    hull_from_zero,
    leading,
    neg,
    no_simplify,
    nothing,
    point,
    poison,
    scale,
)

Polynomial = tuple[Fraction, ...]  # coefficients, constant first
Extremum = tuple[float, float, float, float]  # its place lies in [first, second], its value in [third, fourth]

_WEIGHT = 2.0**-44  # relative error of sech^2: 32u from exp, twice 17u from 1 + e, a few roundings: below 90u
_FLAT = 40.0  # beyond it exp(-x^2) times any H_j below is under TINY


# --- polynomials and their extrema, exactly ---------------------------------------------------------------------------


def _value(p: Polynomial, x: Fraction) -> Fraction:
    out = Fraction(0)
    for c in reversed(p):
        out = out * x + c
    return out


def _derivative(p: Polynomial) -> Polynomial:
    return tuple(i * c for i, c in enumerate(p))[1:] or (Fraction(0),)


def _times(p: Polynomial, q: Polynomial) -> Polynomial:
    out = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for k, b in enumerate(q):
            out[i + k] += a * b
    return tuple(out)


def _sum_abs(p: Polynomial) -> float:
    return float(sum(abs(c) for c in p))


def _roots(p: Polynomial) -> list[tuple[Fraction, Fraction]]:
    """Brackets of all roots, each proved by a change of sign; the polynomial has as many as its degree."""
    guesses = sorted(np.roots([float(c) for c in reversed(p)]).real) if len(p) > 1 else []
    brackets = []
    for guess in guesses:
        around = Fraction(float(guess))
        for width in (Fraction(1, 10**k) for k in range(14, 5, -1)):
            low, high = around - width, around + width
            if _value(p, low) * _value(p, high) < 0:
                brackets.append((low, high))
                break
    disjoint = all(a[1] < b[0] for a, b in itertools.pairwise(brackets))
    if len(brackets) != len(p) - 1 or not disjoint:
        raise ArithmeticError(f"the roots of {[float(c) for c in p]} could not be isolated")
    return brackets


@cache
def tanh_polynomial(j: int) -> Polynomial:
    """Q_j with tanh^(j) / j! = (1 - T^2) Q_j(T), from d/dx = (1 - T^2) d/dT."""
    if j == 1:
        return (Fraction(1),)
    whole = _times((Fraction(1), Fraction(0), Fraction(-1)), tanh_polynomial(j - 1))
    return tuple(c / j for c in _derivative(whole))


@cache
def tanh_extrema(j: int) -> tuple[Extremum, ...]:
    """The extrema of tanh^(j) / j!, placed by their T = tanh x."""
    whole = _times((Fraction(1), Fraction(0), Fraction(-1)), tanh_polynomial(j))
    steepest = Fraction(_sum_abs(_derivative(whole)))
    out = []
    for low, high in _roots(tanh_polynomial(j + 1)):
        value, error = _value(whole, low), steepest * (high - low) * 2
        out.append(_rounded_out(low, high, value - error, value + error))
    return tuple(out)


@cache
def hermite_polynomial(j: int) -> Polynomial:
    """H_j with (d/dx)^(j-1) exp(-x^2) / j! = exp(-x^2) H_j(x)."""
    if j == 1:
        return (Fraction(1),)
    before = hermite_polynomial(j - 1)
    minus = _times((Fraction(0), Fraction(-2)), before)
    slope = _derivative(before)
    slope = slope + (Fraction(0),) * (len(minus) - len(slope))
    return tuple((a + b) / j for a, b in zip(minus, slope, strict=True))


@cache
def hermite_extrema(j: int) -> tuple[Extremum, ...]:
    """The extrema of exp(-x^2) H_j(x), placed by x. At an extremum the slope is zero, and |slope'| <= C."""
    out = []
    curvature = (j + 1) * (j + 2) * _sum_abs(hermite_polynomial(j + 2)) * 5.0 ** (j + 1)  # |x| < 5 up to order 12
    for low, high in _roots(hermite_polynomial(j + 1)):
        if max(-low, high) > 5:
            raise ValueError(f"derivatives of erf are enclosed up to order 12, not {j}")
        value = math.exp(-(float(low) ** 2)) * float(_value(hermite_polynomial(j), low))
        error = 1e-13 * abs(value) + curvature * float(high - low) ** 2 + 1e-300
        out.append(_rounded_out(low, high, Fraction(value - error), Fraction(value + error)))
    return tuple(out)


def _rounded_out(low: Fraction, high: Fraction, smallest: Fraction, largest: Fraction) -> Extremum:
    below = [math.nextafter(float(x), -math.inf) for x in (low, smallest)]
    above = [math.nextafter(float(x), math.inf) for x in (high, largest)]
    return below[0], above[0], below[1], above[1]


# --- ranges -----------------------------------------------------------------------------------------------------------


def _padded(rows: Sequence[Sequence[Any]], filling: Any) -> list[list[Any]]:
    """Rows of one length."""
    longest = max(map(len, rows), default=0)
    return [[*row, *[filling] * (longest - len(row))] for row in rows]


def _horner(table: Sequence[Polynomial], x: Array) -> Array:
    """The values [m, *S] of m polynomials; leading zeros change nothing, not even the roundings."""
    coefficients = np.array(_padded([[float(c) for c in p] for p in table], 0.0)).T
    out = jnp.broadcast_to(leading(coefficients[-1], x.shape), (len(table), *x.shape))
    for c in coefficients[-2::-1]:
        out = out * x[None] + leading(c, x.shape)
    return out


NOWHERE: Extremum = (math.inf, -math.inf, 0.0, 0.0)


def _range(
    places: tuple[Array, Array],
    values: tuple[Array, Array],
    errors: tuple[Array, Array],
    extrema: Sequence[Sequence[Extremum]],
) -> Ball:
    """For each of m functions [m, *S]: the hull of the values at both ends, each within its error, and of its extrema
    between the places [*S].
    """
    (v, w), (dv, dw) = values, errors
    smallest, largest = jnp.minimum(v - dv, w - dw), jnp.maximum(v + dv, w + dw)
    for row in zip(*_padded(extrema, NOWHERE), strict=True):
        first, last, low, high = (leading(x, places[0].shape) for x in np.array(row).T)
        inside = (places[0] <= last) & (places[1] >= first)
        smallest = jnp.where(inside, jnp.minimum(smallest, low), smallest)
        largest = jnp.where(inside, jnp.maximum(largest, high), largest)
    return hull(smallest, largest)


def tanh(X: Ball, m: int) -> tuple[Ball, Ball]:
    """Errors of s Q_j(T): 2^-44 from s, relative; |Q_j'| 34u from T; 3j roundings of Horner's rule with |T| <= 1."""
    low, high = ends(X)
    T = no_simplify(jnp.tanh(low)), no_simplify(jnp.tanh(high))
    places = jnp.maximum(bracket(T[0])[0], -1.0), jnp.minimum(bracket(T[1])[1], 1.0)
    out = poison(hull(*places), X)
    if m == 0:
        return out, nothing(X)
    s = _sech_squared(low), _sech_squared(high)
    orders = range(1, m + 1)
    Q = [tanh_polynomial(j) for j in orders]
    size = np.array([_sum_abs(q) for q in Q])
    slopes = np.array([_sum_abs(_derivative(q)) for q in Q])
    slack = leading(size * (_WEIGHT + 4 * np.array(orders) * U) + slopes * 2 * LIBM, X.shape)
    tiny = leading(8 * TINY * (1 + size), X.shape)
    values = s[0] * _horner(Q, T[0]), s[1] * _horner(Q, T[1])
    errors = s[0] * slack + tiny, s[1] * slack + tiny
    return out, poison(_range(places, values, errors, [tanh_extrema(j) for j in orders]), X)


def _sech_squared(x: Array) -> Array:
    e = no_simplify(jnp.exp(-2 * jnp.abs(x)))
    return no_simplify(4 * e / ((1 + e) * (1 + e)))


def logistic(X: Ball, m: int) -> tuple[Ball, Ball]:
    """1 / (1 + exp(-x)); derivatives 2^-(j+1) tanh^(j)(x/2)."""

    def value(x: Array) -> Array:  # four roundings and exp: within 20 ulp, also far to the left
        e = no_simplify(jnp.exp(-jnp.abs(x)))
        return jnp.where(x < 0, e, 1.0) / (1 + e)

    first, last = ends(X)
    low, high = bracket(value(first), 2 * LIBM)[0], bracket(value(last), 2 * LIBM)[1]
    out = poison(hull_from_zero(jnp.maximum(low, 0.0), jnp.minimum(high, 1.0)), X)
    halves = [2.0 ** -(j + 1) for j in range(1, m + 1)]
    return out, scale(tanh(scale(X, 0.5), m)[1], leading(halves, X.shape))


def softplus(X: Ball, m: int) -> tuple[Ball, Ball]:
    """log(1 + exp(x)) = max(x, 0) + log(1 + e), e = exp(-|x|); softplus^(j) = logistic^(j-1).

    1 + e is rounded, which costs the logarithm u absolutely; LIBM on e <= 1 and on the logarithm < 1 the rest.
    """

    def value(x: Array) -> tuple[Array, Array]:
        out = jnp.maximum(x, 0.0) + no_simplify(jnp.log(1 + no_simplify(jnp.exp(-jnp.abs(x)))))
        return out, 3 * LIBM + 4 * U * jnp.abs(out)

    first, last = ends(X)
    (low, low_error), (high, high_error) = value(first), value(last)
    out = poison(hull_from_zero(jnp.maximum(low - low_error, 0.0), high + high_error), X)
    if m == 0:
        return out, nothing(X)
    S, higher = logistic(X, m - 1)
    return out, scale(concatenate([S[None], higher]), leading([1 / j for j in range(1, m + 1)], X.shape))


def erf(X: Ball, m: int) -> tuple[Ball, Ball]:
    """erf' = 2/sqrt(pi) exp(-x^2). The exponent's rounding, u x^2, is a relative error of the exponential."""
    places = ends(X)
    low, high = bracket(lax.erf(places[0]))[0], bracket(lax.erf(places[1]))[1]
    out = poison(hull(jnp.maximum(low, -1.0), jnp.minimum(high, 1.0)), X)
    if m == 0:
        return out, nothing(X)
    orders = range(1, m + 1)
    H = [hermite_polynomial(j) for j in orders]
    absolute = [tuple(abs(c) for c in h) for h in H]
    values, errors = [], []
    for x in (jnp.clip(x, -_FLAT, _FLAT) for x in places):
        g = no_simplify(jnp.exp(-x * x))
        values.append(g * _horner(H, x))
        size = g * _horner(absolute, jnp.abs(x))
        errors.append(size * (2 * LIBM + 4 * U * x * x + 8 * U * leading(np.array(orders), x.shape)) + 1e-290)
    bumps = _range(places, (values[0], values[1]), (errors[0], errors[1]), [hermite_extrema(j) for j in orders])
    return out, poison(scale(bumps, 2 / math.sqrt(math.pi)), X)


def erfc(X: Ball, m: int) -> tuple[Ball, Ball]:
    """1 - erf(x)."""
    D, derivatives = erf(X, m)
    return add(point(jnp.ones(X.shape)), neg(D)), neg(derivatives)
