"""Taylor models of many boxes at once, in numpy's float64: a polynomial in t in [-1, 1]^d, and how far it may be off.

    f(x0 + rho t) = sum_a c_a t^a + e,   |e| <= radius        for every box of the batch, entry by entry

Roundings go into the radius by a-priori bounds (gamma_n times absolute values, Higham 2002, chapter 3), whatever the
order of summation; radii are rounded up by ``UP``, more than a sum of 3e4 numbers that are not negative can lose.
Beside it ``loss`` bounds what the program loses when it is evaluated in float64 anywhere in the box: the distance of
the computed from the exact value. References: Makino and Berz 2003 (Taylor models); Rump 1999 (midpoint-radius).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from .space import Space

U = 2.0**-53
UP = 1 + 4e-12
TINY = 1e-290  # more than underflow loses
FLUSHED = 2.0**-500  # what the surrogate loses where it is flushed to zero on the way


def gamma(n: int) -> float:
    """At least n u / (1 - n u), with some room."""
    return 1.01 * (n + 8) * U


@dataclass(frozen=True, eq=False)
class Model:
    """``coefficients`` [n, B, *S] in the order of ``space`` (those of the highest degrees may be left out), ``radius``
    and ``loss`` [B, *S]. ``log``: of a value known as exp(log), where that is finite.
    """

    space: Space
    coefficients: Float[np.ndarray, "n B ..."]
    radius: Float[np.ndarray, "B ..."]
    loss: Float[np.ndarray, "B ..."]
    log: Model | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.radius.shape[1:]

    @property
    def degree(self) -> int:
        return self.space.degree_of(len(self.coefficients))

    def sizes(self) -> Float[np.ndarray, "k B ..."]:
        """Bounds of the parts of every degree."""
        starts = self.space.starts[: self.degree + 1]
        return np.add.reduceat(np.abs(self.coefficients), starts, axis=0) * UP

    @property
    def polynomial(self) -> Float[np.ndarray, "B ..."]:
        """A bound of the polynomial."""
        return np.abs(self.coefficients).sum(axis=0) * UP

    @property
    def magnitude(self) -> Float[np.ndarray, "B ..."]:
        return (self.polynomial + self.radius) * UP

    @property
    def reach(self) -> Float[np.ndarray, "B ..."]:
        """How far the values are from the polynomial's constant."""
        return (np.abs(self.coefficients[1:]).sum(axis=0) * UP + self.radius) * UP + TINY

    @property
    def lower(self) -> Float[np.ndarray, "B ..."]:
        low = self.coefficients[0] - self.reach
        low = low - (np.abs(low) * 4 * U + TINY)
        if self.log is None:
            return low
        return np.where(np.isfinite(self.log.radius), np.fmax(low, np.exp(self.log.lower) * (1 - 1e-12)), low)

    @property
    def upper(self) -> Float[np.ndarray, "B ..."]:
        high = self.coefficients[0] + self.reach
        high = high + (np.abs(high) * 4 * U + TINY)
        if self.log is None:
            return high
        return np.where(np.isfinite(self.log.radius), np.fmin(high, np.exp(self.log.upper) * (1 + 1e-12)), high)

    def moved(self, what: Any) -> Model:
        """Entries rearranged: ``what`` acts on arrays [1, *S], row by row."""
        log = None if self.log is None else self.log.moved(what)
        return Model(self.space, what(self.coefficients), what(self.radius), what(self.loss), log)

    def truncated(self, degree: int) -> Model:
        """Higher degrees go into the radius."""
        if degree >= self.degree:
            return self
        n = self.space.count[degree]
        rest = np.abs(self.coefficients[n:]).sum(axis=0)
        return replace(self, coefficients=self.coefficients[:n], radius=(self.radius + rest * UP) * UP, log=None)


def constant(space: Space, values: Any, batch: int = 1) -> Model:
    """Numbers that are known exactly."""
    known = np.broadcast_to(np.asarray(values, dtype=np.float64), (1, batch, *np.shape(values)))
    return Model(space, known, np.zeros(known.shape[1:]), np.zeros(known.shape[1:]))


def padded(rows: np.ndarray, count: int) -> np.ndarray:
    """With zeros for coefficients that were left out."""
    if len(rows) == count:
        return rows
    return np.concatenate([rows, np.zeros((count - len(rows), *rows.shape[1:]))])


def add(a: Model, b: Model, sums: int = 2) -> Model:
    """``sums``: the longest sum that the program may put it into."""
    n = max(len(a.coefficients), len(b.coefficients))
    if n == len(a.coefficients) and n == len(b.coefficients):
        c = a.coefficients + b.coefficients
    else:
        shape = np.broadcast_shapes(a.coefficients.shape[1:], b.coefficients.shape[1:])
        c = np.zeros((n, *shape))
        c[: len(a.coefficients)] += a.coefficients
        c[: len(b.coefficients)] += b.coefficients
    left, right = a.polynomial, b.polynomial
    radius = (a.radius + b.radius + U * (left + right)) * UP + TINY
    whole = left + right + a.radius + b.radius + a.loss + b.loss
    loss = (a.loss + b.loss + 2 * gamma(sums) * whole) * UP + FLUSHED
    return Model(a.space, c, radius, loss)


def negative(a: Model) -> Model:
    return Model(a.space, -a.coefficients, a.radius, a.loss)


def scale(a: Model, k: Any) -> Model:
    """Times numbers that are known exactly."""
    size = np.abs(k)
    c = a.coefficients * k
    radius = (a.radius * size + 2 * U * a.polynomial * size) * UP + TINY
    loss = (a.loss * size + 4 * U * (a.magnitude + a.loss) * size) * UP + FLUSHED
    return Model(a.space, c, radius, loss)


def products(space: Space, a: np.ndarray, b: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients of the product up to a degree."""
    if len(a) > len(b):
        a, b = b, a
    shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
    top = min(degree, space.degree_of(len(a)) + space.degree_of(len(b)))
    out = np.zeros((space.count[top], *shape))
    for i in range(len(a)):
        left = top - space.degree[i]
        if left < 0:
            break
        many = min(len(b), int(space.count[left]))
        if i == 0:
            out[:many] += a[0] * b[:many]
        else:
            out[space.table[i, :many]] += a[i] * b[:many]
    return out


def tail(a: np.ndarray, b: np.ndarray, degree: int) -> Any:
    """What products of parts of every degree add up to above ``degree``."""
    if len(a) + len(b) - 2 <= degree:
        return 0.0
    upwards = np.cumsum(b[::-1], axis=0)[::-1]  # of degree j or more
    return sum(a[i] * upwards[max(degree + 1 - i, 0)] for i in range(len(a)) if degree + 1 - i < len(b)) * UP


def mul(a: Model, b: Model, degree: int | None = None) -> Model:
    """The product, its polynomial cut at ``degree``."""
    space = a.space
    degree = space.order if degree is None else degree
    c = products(space, a.coefficients, b.coefficients, degree)
    one, other = a.sizes(), b.sizes()
    left, right = one.sum(axis=0) * UP, other.sum(axis=0) * UP
    terms = min(len(a.coefficients), len(b.coefficients))
    cross = a.radius * (right + b.radius) + left * b.radius
    radius = (tail(one, other, degree) + cross + gamma(terms) * left * right) * UP + TINY
    A, B = left + a.radius, right + b.radius
    loss = (a.loss * (B + b.loss) + A * b.loss + 4 * U * (A + a.loss) * (B + b.loss)) * UP + FLUSHED
    return Model(space, c, radius, loss)


def linear(a: Model, spec: str, W: np.ndarray, terms: int, sums: int | None = None) -> Model:
    """Sums of products with a matrix that is known exactly; ``spec``: of einsum, with ``...`` for rows and boxes."""
    size = np.abs(W)
    c = np.einsum(spec, a.coefficients, W, optimize=True)
    g = gamma(terms)
    polynomial = a.polynomial
    whole = (polynomial + a.radius + a.loss) * UP
    both = np.stack([a.radius + g * polynomial, a.loss + 2 * gamma(max(terms, sums or 0)) * whole])
    radius, loss = np.einsum(spec, both, size, optimize=True) * (1 + g) * UP
    return Model(a.space, c, radius + TINY, loss + FLUSHED)


def total(a: Model, axes: tuple[int, ...], sums: int | None = None) -> Model:
    """Sums of entries along axes of S."""
    along = tuple(i + 1 for i in axes)
    terms = int(np.prod([a.shape[i] for i in axes], dtype=int))
    polynomial, g = a.polynomial, gamma(terms)
    radius = (a.radius + g * polynomial).sum(axis=along) * UP + TINY
    whole = polynomial + a.radius + a.loss
    loss = (a.loss + 2 * gamma(max(terms, sums or 0)) * whole).sum(axis=along) * UP + FLUSHED
    return Model(a.space, a.coefficients.sum(axis=tuple(i + 2 for i in axes)), radius, loss)
