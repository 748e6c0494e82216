"""Float64 centre-radius intervals whose arithmetic covers its own rounding.

A ``Ball(mid, rad)`` is the set {x real : |x - mid| <= rad}, entry by entry; where mid or rad is NaN or infinite it is
the whole real line. Every operation f here keeps

    x in A, y in B   implies   f(x, y) in f(A, B)            for all reals x, y.

Hypotheses, about how a float64 operation is carried out:

1. fl(a o b) = (a o b)(1 + delta) + eta with |delta| <= u = 2^-53 and |eta| <= TINY = 2^-1022: subnormal results may be
   flushed to zero, as XLA does on CPUs. A multiplication and an addition may be contracted into one rounding.
2. Subnormal operands may be read as zero (XLA on CPUs does), so no stored number is subnormal: ``point`` replaces
   subnormal inputs, and an inexact radius is never below TINY.
3. Library functions (exp, tanh, ...) are within 16 units in the last place. Those used here: 7 at most (measured, CPU).
4. No fast-math. XLA's algebraic simplifier does rewrite some expressions, with errors that 1. does not describe:
   x / c into x * (1/c), which is 0 for c = 1.7e308; (x + c) + d into x + (c + d); exp(x) * exp(y) into exp(x + y);
   x / (y / z) into x * z / y. Constants and the results of divisions and library functions therefore pass through
   ``no_simplify``, which the simplifier does not look through, and which is gone again before loops are fused.

Radii. A sum of k non-negative terms, products of two included, is computed within k relative roundings, so that
``_outward`` (relative 2^-46 = 128 u, absolute 64 TINY) more than covers k <= 60; every radius below has fewer.

Reference: Rump 1999, *Fast and parallel interval arithmetic*; Higham 2002, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

U = 2.0**-53  # unit roundoff
TINY = 2.0**-1022  # smallest normal number
LIBM = 17 * 2.0**-52  # relative error of a library function against its computed value, 16 ulp of the true one
_TERMS = 16  # roundings granted to a sum beyond one per term


@partial(jax.tree_util.register_dataclass, data_fields=["mid", "rad"], meta_fields=[])
@dataclass(frozen=True)
class Ball:
    """The reals within ``rad`` of ``mid``; every real where either is NaN or infinite."""

    mid: Array
    rad: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mid.shape

    def __getitem__(self, index: object) -> Ball:
        return each(lambda x: x[index], self)

    def reshape(self, shape: tuple[int, ...]) -> Ball:
        return each(lambda x: x.reshape(shape), self)


def each(move: Callable[[Array], Array], a: Ball) -> Ball:
    """A rearrangement of entries (reshape, slice, ...): the same for mid and rad, and exact."""
    return Ball(move(a.mid), move(a.rad))


def leading(k: ArrayLike | Sequence[float], shape: tuple[int, ...]) -> Array:
    """k [n], to be broadcast against arrays [n, *shape]."""
    return jnp.asarray(k).reshape((-1,) + (1,) * len(shape))


def no_simplify(x: Array) -> Array:
    """x, hidden from the algebraic simplifier (hypothesis 4)."""
    return jax.lax.optimization_barrier(x)


def _outward(rad: Array) -> Array:
    return rad * (1 + 2.0**-46) + 64 * TINY


# --- making and reading balls -----------------------------------------------------------------------------------------


def point(x: ArrayLike) -> Ball:
    """Exactly x. A subnormal x becomes 0 +- TINY."""
    x = no_simplify(jnp.asarray(x, jnp.float64))
    not_zero = (jax.lax.bitcast_convert_type(x, jnp.int64) << 1) != 0
    subnormal = (jnp.abs(x) < TINY) & not_zero
    return Ball(jnp.where(subnormal, 0.0, x), jnp.where(subnormal, TINY, 0.0))


@jax.jit
def hull(low: Array, high: Array) -> Ball:
    """A ball that holds [low, high]; everything unless low <= high."""
    mid = 0.5 * low + 0.5 * high
    rad = _outward(jnp.maximum(high - mid, mid - low))
    return Ball(mid, jnp.where(low <= high, rad, jnp.nan))


@jax.jit
def hull_from_zero(low: Array, high: Array) -> Ball:
    """The same, but [0, high] has mid = rad, so that it is known not to reach below zero."""
    around, half = hull(low, high), _outward(0.5 * high)
    from_zero = (low == 0) & (high >= 0)
    return Ball(jnp.where(from_zero, half, around.mid), jnp.where(from_zero, half, around.rad))


@jax.jit
def from_bounds(lower: ArrayLike, upper: ArrayLike) -> Ball:
    """The closed box [lower, upper], exact where lower = upper."""
    low, high = point(lower), point(upper)
    around, same = hull_from_zero(low.mid - low.rad, high.mid + high.rad), low.mid == high.mid
    return Ball(jnp.where(same, low.mid, around.mid), jnp.where(same, jnp.maximum(low.rad, high.rad), around.rad))


def everything(shape: tuple[int, ...]) -> Ball:
    return Ball(jnp.zeros(shape), jnp.full(shape, jnp.inf))


def nothing(like: Ball) -> Ball:
    """No rows at all: [0, *S]."""
    return Ball(jnp.zeros((0, *like.shape)), jnp.zeros((0, *like.shape)))


def concatenate(balls: Sequence[Ball]) -> Ball:
    """Rows after rows."""
    return Ball(jnp.concatenate([b.mid for b in balls]), jnp.concatenate([b.rad for b in balls]))


def bounded(a: Ball) -> Array:
    """Where a is not the whole real line, nor nearly so."""
    return jnp.isfinite(jnp.abs(a.mid) + a.rad)


def ends(a: Ball) -> tuple[Array, Array]:
    """Float64 numbers below and above every element; NaN where a is everything: follow it by ``poison``."""
    low, high = a.mid - a.rad, a.mid + a.rad
    return low - (jnp.abs(low) * 2.0**-52 + 4 * TINY), high + (jnp.abs(high) * 2.0**-52 + 4 * TINY)


def lower(a: Ball) -> Array:
    """A float64 below every element; exact where rad = 0 or mid = rad."""
    low = jnp.where(a.mid == a.rad, 0.0, ends(a)[0])
    return jnp.where(bounded(a), jnp.where(a.rad == 0, a.mid, low), -jnp.inf)


def upper(a: Ball) -> Array:
    """A float64 above every element; exact where rad = 0."""
    return jnp.where(bounded(a), jnp.where(a.rad == 0, a.mid, ends(a)[1]), jnp.inf)


def magnitude(a: Ball) -> Array:
    """An upper bound of |x|, infinite for the whole line."""
    return jnp.where(bounded(a), (jnp.abs(a.mid) + a.rad) * (1 + 2.0**-50), jnp.inf)


def poison(a: Ball, *sources: Ball) -> Ball:
    """a, but everything wherever one of the sources is: the results of comparisons with NaN are not to be trusted."""
    fine = jnp.ones((), bool)
    for source in sources:
        fine = fine & bounded(source)
    return Ball(a.mid, jnp.where(fine, a.rad, jnp.inf))


# --- arithmetic -------------------------------------------------------------------------------------------------------


def neg(a: Ball) -> Ball:
    return Ball(-a.mid, a.rad)


@jax.jit
def add(a: Ball, b: Ball) -> Ball:
    """|fl(x + y) - (x + y)| <= u |fl(x + y)|."""
    mid = a.mid + b.mid
    return Ball(mid, _outward(a.rad + b.rad + U * jnp.abs(mid)))


def add_from_zero(a: Ball, b: Ball) -> Ball:
    """The same; two balls that start at zero (mid = rad) have a sum that does, so that its root may be taken."""
    total = add(a, b)
    return Ball(jnp.where((a.mid == a.rad) & (b.mid == b.rad), total.rad, total.mid), total.rad)


def sub(a: Ball, b: Ball) -> Ball:
    return add(a, neg(b))


def widen(a: Ball, by: Array) -> Ball:
    """Every x + e with |e| <= by."""
    return Ball(a.mid, _outward(a.rad + by))


@jax.jit
def mul(a: Ball, b: Ball) -> Ball:
    """The hull of all products, by its centre and radius.

    For centres a, b >= 0 let P = a rad(b), Q = rad(a) b, R = rad(a) rad(b), M = min(P, Q, R). The largest of the four
    products of end points is ab + (P + Q + R), the smallest ab - (P + Q + R) + 2M: centre ab + M, radius
    S = P + Q + R - M. Other signs follow by symmetry. S >= 2M, so ``_outward`` covers the rounding of M, at most 3uM.
    """
    A, B = jnp.abs(a.mid), jnp.abs(b.mid)
    P, Q, R = A * b.rad, a.rad * B, a.rad * b.rad
    M = jnp.minimum(jnp.minimum(P, Q), R)
    product = a.mid * b.mid
    mid = product + jnp.where((a.mid < 0) ^ (b.mid < 0), -M, M)
    return Ball(mid, _outward((P + Q + R - M) + 2 * U * (jnp.abs(product) + jnp.abs(mid))))


def scale(a: Ball, k: ArrayLike) -> Ball:
    """a k for a constant k, exact or given within 3u. Also where k is subnormal, and so read as 0."""
    k = no_simplify(jnp.asarray(k, jnp.float64))
    mid = a.mid * k
    lost = TINY * (jnp.abs(a.mid) + a.rad)
    return Ball(mid, _outward(jnp.abs(k) * a.rad * (1 + 4 * U) + 4 * U * jnp.abs(mid) + lost))


@jax.jit
def reciprocal(a: Ball) -> Ball:
    """1/x is monotone on either side of zero; everything where a touches zero."""
    low, high = lower(a), upper(a)
    at_low, at_high = no_simplify(1 / low), no_simplify(1 / high)
    out = hull(_down(at_high, 2 * U), _up(at_low, 2 * U))
    return Ball(out.mid, jnp.where(bounded(a) & ((low > 0) | (high < 0)), out.rad, jnp.inf))


def power(a: Ball, n: int) -> Ball:
    """x^n for an integer n, see ``powers``."""
    if n < 0:
        return power(reciprocal(a), -n)
    return powers(a[None], [n])[0]


def powers(a: Ball, exponents: Sequence[int]) -> Ball:
    """x_i^n_i for the rows x_i of a [k, *S] (or [1, *S]) and k exponents n_i >= 0: monotone pieces, so that even powers
    of balls across zero start at zero.

    |x|^n is a product of n factors, relative error (n - 1) u. It underflows only where |x| < 1, where further factors
    do not enlarge the error of n TINY.
    """
    n = leading(np.asarray(exponents), a.shape[1:])
    low, high = lower(a), upper(a)
    at_low, at_high = low, high
    for step in range(1, max(exponents)):
        at_low, at_high = jnp.where(n > step, at_low * low, at_low), jnp.where(n > step, at_high * high, at_high)
    slack, even = 2 * n * U, n % 2 == 0
    inside = (low <= 0) & (high >= 0)
    smallest = jnp.where(inside, 0.0, jnp.maximum(_down(jnp.minimum(at_low, at_high), slack, n), 0.0))
    least = jnp.where(even, smallest, _down(at_low, slack, n))
    most = _up(jnp.where(even, jnp.maximum(at_low, at_high), at_high), slack, n)
    around = hull_from_zero(least, most)
    one, whole = n == 1, n == 0
    mid = jnp.where(one, a.mid, around.mid)
    rad = jnp.where(one, a.rad, jnp.where(bounded(a), around.rad, jnp.inf))
    return Ball(jnp.where(whole, 1.0, mid), jnp.where(whole, 0.0, rad))


def _down(x: Array, relative: ArrayLike, tinies: ArrayLike = 1) -> Array:
    """x minus at least relative |x| + tinies TINY."""
    return x - (jnp.abs(x) * (relative + 4 * U) + 4 * TINY * tinies)


def _up(x: Array, relative: ArrayLike, tinies: ArrayLike = 1) -> Array:
    return x + (jnp.abs(x) * (relative + 4 * U) + 4 * TINY * tinies)


def bracket(value: Array, relative: float = LIBM) -> tuple[Array, Array]:
    """Bounds of what a library function should have returned (hypothesis 3)."""
    value = no_simplify(value)
    return _down(value, relative), _up(value, relative)


@jax.jit
def union(a: Ball, b: Ball) -> Ball:
    (a_low, a_high), (b_low, b_high) = ends(a), ends(b)
    return poison(hull(jnp.minimum(a_low, b_low), jnp.maximum(a_high, b_high)), a, b)


@jax.jit
def intersect(a: Ball, b: Ball) -> Ball:
    """What is in both; never wider than a. Two enclosures of one thing meet, else a theorem is broken: everything."""
    (a_low, a_high), (b_low, b_high) = ends(a), ends(b)
    low, high = jnp.maximum(a_low, b_low), jnp.minimum(a_high, b_high)
    both, known = hull(low, high), bounded(a)
    narrower, impossible = both.rad < a.rad, low > high  # comparisons with NaN are false
    mid = jnp.where(narrower, both.mid, jnp.where(known, a.mid, b.mid))
    rad = jnp.where(narrower, both.rad, jnp.where(known, a.rad, b.rad))
    return Ball(mid, jnp.where(impossible, jnp.inf, rad))


# --- sums -------------------------------------------------------------------------------------------------------------


def linear(a: Ball, apply: Callable[[Array], Array], apply_abs: Callable[[Array], Array], terms: int) -> Ball:
    """W x for a constant matrix with ``terms`` entries per row; apply_abs multiplies by A >= max(|W|, 2^-960).

    In any order of summation |fl(Wc) - Wc| <= gamma_n |W||c| (Higham 2002, section 3.1), and computing the radius is
    itself within gamma_(n+3). An entry of W that is read as zero loses less than TINY |c| <= g A |c|.
    """
    g = sum_slack(terms)
    return Ball(apply(a.mid), apply_abs(a.rad + g * jnp.abs(a.mid)) * (1 + g) + 64 * (terms + 1) * TINY)


def total(a: Ball, add_up: Callable[[Array], Array], terms: int) -> Ball:
    """Sums of entries. Where all of them start at zero, so does the sum."""
    out = linear(a, add_up, add_up, terms)
    stray = add_up(jnp.where(a.mid == a.rad, 0.0, 1.0))
    return Ball(jnp.where(stray == 0, out.rad, out.mid), out.rad)


def bilinear(a: Ball, b: Ball, apply: Callable[[Array, Array], Array], terms: int) -> Ball:
    """Sums of ``terms`` products of two balls: |a| rad(b) + rad(a) (|b| + rad(b)) + gamma |a||b| (Rump 1999)."""
    g = sum_slack(terms)
    A, B = jnp.abs(a.mid), jnp.abs(b.mid)
    rad = apply(A, b.rad + g * B) + apply(a.rad, B + b.rad)
    return Ball(apply(a.mid, b.mid), rad * (1 + g) + 64 * (terms + 1) * TINY)


def sum_slack(terms: int) -> float:
    """At least gamma_(n+8): the roundings of a sum of n products, of the radius around it and of this number."""
    n = terms + _TERMS
    return 1.01 * n * U / (1 - n * U)


def absolute_matrix(W: ArrayLike) -> Array:
    """What ``linear`` wants as A."""
    return jnp.maximum(jnp.abs(jnp.asarray(W, jnp.float64)), 2.0**-960)
