"""Derivatives of elementary functions over an interval: powers, exp, log, sine and cosine.

Each function takes a ball X [*S] and an order m and returns the range D_0 [*S] and [D_1, ..., D_m], one ball [m, *S],

    phi^(j)(x) / j!  in  D_j       for every x in X,

each D_j the range itself up to rounding, because phi^(j) is monotone between known points. Where phi^(j) is not defined
on all of X, D_j is everything. End points are evaluated within 16 ulp of the library function (``ball``, hypothesis 3).
All orders are computed at once, as one array: the compiler's time goes with the number of operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
from jax import Array

from .ball import (
    Ball,
    U,
    add,
    bounded,
    bracket,
    ends,
    hull,
    hull_from_zero,
    leading,
    lower,
    mul,
    nothing,
    point,
    poison,
    power,
    powers,
    reciprocal,
    scale,
    union,
    upper,
)

Taylor = Callable[[Ball, int], tuple[Ball, Ball]]

_FAR = 2.0**30  # beyond it, sine and cosine are only known to lie in [-1, 1]


def binomial(alpha: Fraction, j: int) -> Fraction:
    """alpha (alpha - 1) ... (alpha - j + 1) / j!"""
    out = Fraction(1)
    for i in range(j):
        out *= (alpha - i) / (i + 1)
    return out


def _increasing(X: Ball, value: Callable[[Array], Array], least: float = -math.inf) -> Ball:
    """The range of an increasing library function that is nowhere below ``least``."""
    first, last = ends(X)
    low, high = bracket(value(first))[0], bracket(value(last))[1]
    if least == 0:
        return poison(hull_from_zero(jnp.maximum(low, 0.0), high), X)
    return poison(hull(jnp.maximum(low, least), high), X)


def _real(X: Ball, D: Ball, allowed: Array) -> Ball:
    """D where phi is defined on all of X."""
    return Ball(D.mid, jnp.where(bounded(X) & allowed, D.rad, jnp.inf))


def times(a: Ball, k: Sequence[float]) -> Ball:
    """a [*S] times every one of the constants k [m]: [m, *S]."""
    return scale(a[None], leading(k, a.shape))


def inverse_factorials(m: int) -> list[float]:
    return [1 / math.factorial(j) for j in range(1, m + 1)]


def exp(X: Ball, m: int) -> tuple[Ball, Ball]:
    D = _increasing(X, jnp.exp, least=0.0)
    return D, times(D, inverse_factorials(m))


LOG_2 = Fraction(Context(prec=60).ln(Decimal(2)))


def exp2(X: Ball, m: int) -> tuple[Ball, Ball]:
    """exp(x log 2). XLA's own exp2 is up to 320 ulp off."""
    D = exp(scale(X, math.log(2)), 0)[0]
    return D, times(D, [float(LOG_2**j / math.factorial(j)) for j in range(1, m + 1)])


def expm1(X: Ball, m: int) -> tuple[Ball, Ball]:
    return _increasing(X, jnp.expm1, least=-1.0), exp(X, m)[1]


def log(X: Ball, m: int) -> tuple[Ball, Ball]:
    """log^(j)(x) / j! = (-1)^(j-1) x^-j / j, for x > 0."""
    allowed = lower(X) > 0
    signs = [(-1) ** (j - 1) / j for j in range(1, m + 1)]
    derivatives = scale(_powers_of(reciprocal(X), range(1, m + 1)), leading(signs, X.shape))
    return _real(X, _increasing(X, jnp.log), allowed), _real(X, derivatives, allowed)


def _powers_of(a: Ball, exponents: Iterable[int]) -> Ball:
    """a [*S] raised to every exponent: [m, *S]."""
    n = list(exponents)
    return powers(a[None], n) if n else nothing(a)


def log1p(X: Ball, m: int) -> tuple[Ball, Ball]:
    """log(1 + x). XLA's own log1p is up to 128 ulp off, near x = -0.414."""
    return log(add(X, point(jnp.ones(X.shape))), m)


def integer_power(n: int) -> Taylor:
    """x^n: C(n, j) x^(n-j); everything if n < 0 and zero in X."""

    def taylor(X: Ball, m: int) -> tuple[Ball, Ball]:
        c = [float(binomial(Fraction(n), j)) for j in range(1, m + 1)]
        orders = range(1, m + 1)
        if n < 0:
            base, exponents = reciprocal(X), [j - n for j in orders]
        else:
            base, exponents = X, [max(n - j, 0) for j in orders]
        D = scale(_powers_of(base, exponents), leading(c, X.shape))
        zero = leading(np.asarray(c) == 0, X.shape)
        return power(X, n), Ball(jnp.where(zero, 0.0, D.mid), jnp.where(zero, 0.0, D.rad))

    return taylor


def real_power(alpha: float, value: Callable[[Array], Array] | None = None) -> Taylor:
    """x^alpha for x > 0 (x >= 0 for the value itself if alpha > 0): C(alpha, j) x^(alpha - j), monotone.

    The exponent alpha - j would have to be rounded, so x^alpha is multiplied by the j-th power of 1/x, in ball
    arithmetic at either end. ``value``: a better x -> x^alpha, such as sqrt.
    """
    raise_to = value or (lambda x: jnp.power(x, alpha))

    def taylor(X: Ball, m: int) -> tuple[Ball, Ball]:
        low, high = lower(X), upper(X)
        at_ends = [hull(*bracket(raise_to(end))) for end in (low, high)]
        value = union(*at_ends)  # >= 0 is kept through the rounding, so that the root of x^2 may be taken
        value = hull_from_zero(jnp.maximum(lower(value), 0.0), upper(value))
        c = [float(binomial(Fraction(alpha), j)) for j in range(1, m + 1)]
        inverses = [_powers_of(reciprocal(point(end)), range(1, m + 1)) for end in (low, high)]
        derivatives = [mul(at[None], inverse) for at, inverse in zip(at_ends, inverses, strict=True)]
        D = _real(X, scale(union(*derivatives), leading(c, X.shape)), low > 0)
        return _real(X, value, low >= 0 if alpha > 0 else low > 0), D

    return taylor


square = integer_power(2)
sqrt = real_power(0.5, jnp.sqrt)
rsqrt = real_power(-0.5, lambda x: 1 / jnp.sqrt(x))


def sin(X: Ball, m: int) -> tuple[Ball, Ball]:
    S, C = _wave(X, jnp.sin, math.pi / 2), _wave(X, jnp.cos, 0.0)
    return S, _cycle(S, C, [1, 1, -1, -1], m)


def cos(X: Ball, m: int) -> tuple[Ball, Ball]:
    S, C = _wave(X, jnp.sin, math.pi / 2), _wave(X, jnp.cos, 0.0)
    return C, _cycle(C, S, [1, -1, -1, 1], m)


def _cycle(even: Ball, odd: Ball, signs: list[int], m: int) -> Ball:
    """Derivatives of even order come from one of the two, those of odd order from the other."""
    orders = np.arange(1, m + 1)
    pick = leading(orders % 2 == 1, even.shape)
    D = Ball(jnp.where(pick, odd.mid[None], even.mid[None]), jnp.where(pick, odd.rad[None], even.rad[None]))
    return scale(D, leading([signs[j % 4] / math.factorial(j) for j in orders], even.shape))


def _wave(X: Ball, value: Callable[[Array], Array], phase: float) -> Ball:
    """The range of a function that is 1 at phase + 2 pi k, -1 half a period later and monotone in between.

    X holds a peak if an integer lies between (x - phase) / (2 pi) at its ends, which are computed within 4u (1 + |t|):
    with twice that as slack a peak may be counted that X just misses, never the other way round.
    """
    low, high = ends(X)

    def holds(peak: float) -> Array:
        first, last = ((end - peak) * (1 / (2 * math.pi)) for end in (low, high))
        slack = 8 * U * (2 + jnp.abs(first) + jnp.abs(last))
        return jnp.floor(last + slack) >= first - slack

    (low_0, high_0), (low_1, high_1) = bracket(value(low)), bracket(value(high))
    smallest = jnp.where(holds(phase + math.pi), -1.0, jnp.maximum(jnp.minimum(low_0, low_1), -1.0))
    largest = jnp.where(holds(phase), 1.0, jnp.minimum(jnp.maximum(high_0, high_1), 1.0))
    far = (jnp.abs(low) > _FAR) | (jnp.abs(high) > _FAR)
    return poison(hull(jnp.where(far, -1.0, smallest), jnp.where(far, 1.0, largest)), X)


def absolute(X: Ball) -> Ball:
    """|x|; starts at zero for a ball across zero."""
    low, high = lower(X), upper(X)
    inside = (low <= 0) & (high >= 0)
    smallest = jnp.where(inside, 0.0, jnp.minimum(jnp.abs(low), jnp.abs(high)))
    return poison(hull_from_zero(smallest, jnp.maximum(jnp.abs(low), jnp.abs(high))), X)
