"""Textbook interval arithmetic in numpy, rounded outward: networks, second derivatives and residuals of small networks.

The yardstick that every enclosure has to beat. Boxes come in batches [n, d], bounds go out as pairs [n, k]. Elementary
functions get their exact range (tanh, tanh', tanh'' over an interval), so that what is lost is lost to dependency
alone. Library functions are trusted to 2^-49 relative. Where a bound cannot be given it is infinite.
Reference: Moore 1966.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

Layers = list[tuple[np.ndarray, np.ndarray]]  # (W [out, in], b [out]) of each layer, tanh between them
Rows = Float[np.ndarray, "n k"]
_INFLECTION = 3**-0.5  # of tanh': where tanh'' = -2 t (1 - t^2) is extreme, as a value of t = tanh
_TINY = 2.0**-1000


class Interval(NamedTuple):
    """lower <= x <= upper, entry by entry; arrays of one shape."""

    lower: np.ndarray
    upper: np.ndarray


def outward(lower: np.ndarray, upper: np.ndarray, units: int = 1) -> Interval:
    """Wider by a few units in the last place; the whole line where nothing is known."""
    share = units * 2.0**-52
    low, high = lower - share * np.abs(lower) - _TINY, upper + share * np.abs(upper) + _TINY
    unknown = np.isnan(low) | np.isnan(high)
    return Interval(np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high))


def affine(W: np.ndarray, b: np.ndarray, x: Interval) -> Interval:
    """W x + b; ``W`` [out, in], or [n, out, in] with one matrix per row of x."""
    with np.errstate(over="ignore", invalid="ignore"):
        mid = 0.5 * x.lower + 0.5 * x.upper
        rad = np.maximum(x.upper - mid, mid - x.lower) * (1 + 2.0**-50) + _TINY
        size = np.abs(W)
        product = "ki,ni->nk" if W.ndim == 2 else "nki,ni->nk"
        y = np.einsum(product, W, mid) + b
        spread = np.einsum(product, size, rad)
        slack = 2.0**-52 * (W.shape[-1] + 4) * (np.einsum(product, size, np.abs(mid)) + spread + np.abs(b))
        return outward(y - spread - slack, y + spread + slack)


def add(x: Interval, y: Interval) -> Interval:
    """The range of x + y, rounded outward."""
    with np.errstate(over="ignore", invalid="ignore"):
        return outward(x.lower + y.lower, x.upper + y.upper)


def scale(factor: np.ndarray, x: Interval) -> Interval:
    """A constant times x."""
    return multiply(Interval(factor, factor), x)


def multiply(x: Interval, y: Interval) -> Interval:
    """The range of x y: the extremes lie at ends of both, rounded outward."""
    with np.errstate(over="ignore", invalid="ignore"):
        corners = [a * b for a in x for b in y]
        low, high = corners[0], corners[0]
        for c in corners[1:]:
            low, high = np.minimum(low, c), np.maximum(high, c)
        return outward(low, high)


def square(x: Interval) -> Interval:
    """The range of x^2, never below zero."""
    with np.errstate(over="ignore"):
        low, high = x.lower**2, x.upper**2
        crosses = (x.lower <= 0) & (x.upper >= 0)
        out = outward(np.where(crosses, 0.0, np.minimum(low, high)), np.maximum(low, high))
    return Interval(np.maximum(out.lower, 0.0), out.upper)


def exp(x: Interval) -> Interval:
    """The range of exp, which is monotone; eight units in the last place for the library's own error."""
    with np.errstate(over="ignore"):
        return outward(np.exp(x.lower), np.exp(x.upper), 8)


def tanh(x: Interval) -> Interval:
    """The range of tanh, which is monotone; eight units in the last place for the library's own error."""
    out = outward(np.tanh(x.lower), np.tanh(x.upper), 8)
    return Interval(np.maximum(out.lower, -1.0), np.minimum(out.upper, 1.0))


def slope(t: Interval) -> Interval:
    """tanh' = 1 - t^2 from the range t of tanh."""
    s = square(t)
    return Interval(np.maximum(0.0, 1 - s.upper - 2.0**-52), 1 - s.lower + 2.0**-52)


def curvature(t: Interval) -> Interval:
    """tanh'' = -2 t (1 - t^2): monotone between its extrema at t = -+1/3^(1/2)."""

    def at(v: np.ndarray) -> np.ndarray:
        return np.asarray(-2 * v * (1 - v) * (1 + v))

    a, b = at(t.lower), at(t.upper)
    most = at(np.array(-_INFLECTION))
    low = np.where((t.lower <= _INFLECTION) & (t.upper >= _INFLECTION), -most, np.minimum(a, b))
    high = np.where((t.lower <= -_INFLECTION) & (t.upper >= -_INFLECTION), most, np.maximum(a, b))
    return Interval(low - 2.0**-48, high + 2.0**-48)


def network(layers: Layers, low: Rows, high: Rows) -> Interval:
    """The range of a tanh network over boxes."""
    x = Interval(low, high)
    for W, b in layers[:-1]:
        x = tanh(affine(W, b, x))
    return affine(*layers[-1], x)


def second_derivative(layers: Layers, axis: int, low: Rows, high: Rows) -> Interval:
    """d^2 / dx_axis^2 of a tanh network: values, first and second derivatives carried through every layer."""
    x = Interval(low, high)
    unit = np.zeros_like(low)
    unit[:, axis] = 1.0
    first, second = Interval(unit, unit), Interval(0 * unit, 0 * unit)
    for W, b in layers[:-1]:
        none = np.zeros(len(b))
        z, z1, z2 = affine(W, b, x), affine(W, none, first), affine(W, none, second)
        x = tanh(z)
        d1, d2 = slope(x), curvature(x)
        first, second = multiply(d1, z1), add(multiply(d1, z2), multiply(d2, square(z1)))
    return affine(layers[-1][0], np.zeros(len(layers[-1][1])), second)


def residual(model: dict[str, Any], output: Float[np.ndarray, "n r m"], low: Rows, high: Rows) -> Interval:
    """``output`` times v(x) = exp(A x + a) * network(x), entry by entry: see ``peer_residual.py``."""
    growth = exp(affine(model["A"], model["a"], Interval(low, high)))
    return affine(output, np.zeros(1), multiply(growth, network(model["layers"], low, high)))


def length(x: Interval) -> Float[np.ndarray, " n"]:
    """At least the Euclidean length of every vector in x [n, k]."""
    with np.errstate(over="ignore"):
        size = np.maximum(np.abs(x.lower), np.abs(x.upper))
        return np.asarray(np.sqrt(np.sum(size**2, axis=1)) * (1 + 2.0**-40))
