"""Interval Taylor jets: every Taylor coefficient of a function along given directions, enclosed over a whole box.

For directions v_1, ..., v_r (usually one) and x in the box,

    y(x + t_1 v_1 + ... + t_r v_r) = sum over multi-indices k of y_k(x) t^k + ...,    y_k(X) in terms[k], y(X) in base.

Products convolve coefficients. Composition is Faa di Bruno's formula,

    (phi o z)_k = sum_j phi^(j)(z)/j! * sum over ordered (k_1, ..., k_j) with sum k of z_{k_1} ... z_{k_j},

with the range of each phi^(j) over the interval z(X), itself sharp (``elementary``, ``sigmoidal``): for functions of a
linear form every coefficient is sharp. The usual recurrences (tanh: y' = (1 - y^2) z') build phi^(j) from intervals
that forget each other: 2 to 20 times wider on 2 x 32 networks at order 6, and never narrower there. Equal factors are
merged into powers, so that even ones stay positive.

*Mean-value form.* Where the last direction runs over all coordinate axes, the first-order coefficients g_a enclose the
gradient over the box, so that y(x) in y(centre) + sum_a g_a [-rho_a, rho_a]. ``tighten`` intersects the base with it
before every nonlinear function. Without it the width of a second layer is |W2||W1| rho where |W2 W1| rho would do.

*Kinks.* |x| and max are piecewise smooth. Across a kink first-order terms enclose the hull of the slopes of both sides,
for which the mean-value form still holds (a difference of values is an average of slopes); terms of order >= 2 are
everything.

Reference: Moore 1966; Makino & Berz 2003; Faa di Bruno 1855.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import ball
from .ball import Ball
from .elementary import Taylor, integer_power

Index = tuple[int, ...]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["base", "centre", "terms", "exponent", "cofactor", "source"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Jet:
    """``base`` [*S] over the box, ``centre`` [*S] at its centre, ``terms[k]`` [q, *S]; an absent term is zero.

    The rest is what else is known of it, see ``factors``: that it is exp(exponent) cofactor, that it is a linear map of
    something.
    """

    base: Ball
    centre: Ball | None = None
    terms: dict[Index, Ball] = field(default_factory=dict)
    exponent: Jet | None = None  # of shape (), if it is one number for all entries
    cofactor: Jet | None = None
    source: Linear | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape


@partial(jax.tree_util.register_dataclass, data_fields=["of", "matrix", "offset"], meta_fields=[])
@dataclass(frozen=True)
class Linear:
    """matrix' of + offset for constants ``matrix`` [n, *S] and ``offset`` [*S]; ``of`` has n entries."""

    of: Jet
    matrix: Ball
    offset: Ball


@dataclass(frozen=True)
class Setting:
    """What a run computes: orders per direction; how many directions, q; half-widths [q] of the box if the last
    directions run over all axes.

    ``sums``: the run follows a computed value instead (``rounding``), in whose sums at most so many terms occur.
    ``alive``: a run-time value that is true; see ``apart``.
    """

    order: Index
    rows: int
    widths: Array | None = None
    sums: int | None = None
    alive: Array | None = None

    def apart(self, compute: Callable[[], Jet]) -> Jet:
        """``compute()``, in a branch on ``alive``, which is a boundary for the compiler; everything where it is false.

        Without boundaries the arithmetic of one operation is fused into every reader of its result, and copied there:
        seven times as much code, and as many times longer to compile.
        """
        if self.alive is None:
            return compute()
        like = jax.eval_shape(compute)
        nothing = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan), like)
        found: Jet = jax.lax.cond(self.alive, compute, lambda: nothing)
        return found

    def at_points(self) -> Setting:
        """The same, values only."""
        return replace(self, order=(0,) * len(self.order))

    @property
    def degree(self) -> int:
        return sum(self.order)

    @property
    def gradient(self) -> Index:
        return (0,) * (len(self.order) - 1) + (1,)

    def indices(self) -> Iterator[Index]:
        """Every multi-index but zero, lower orders first."""
        every = itertools.product(*(range(m + 1) for m in self.order))
        return iter(sorted((k for k in every if any(k)), key=lambda k: (sum(k), k)))


def _minus(k: Index, i: Index) -> Index:
    return tuple(a - b for a, b in zip(k, i, strict=True))


def _total(balls: list[Ball]) -> Ball:
    out = balls[0]
    for b in balls[1:]:
        out = ball.add(out, b)
    return out


def constant(value: Ball, centred: bool) -> Jet:
    return Jet(value, value if centred else None)


def tighten(jet: Jet, setting: Setting) -> Jet:
    """The base, intersected with the mean-value form."""
    if setting.widths is None or jet.centre is None or setting.gradient not in jet.terms:
        return jet
    slopes = ball.magnitude(jet.terms[setting.gradient])
    widths = setting.widths.reshape((-1,) + (1,) * len(jet.shape))
    reach = jnp.sum(slopes * widths, axis=0) * (1 + ball.sum_slack(widths.size)) + 2 * widths.size * ball.TINY
    return replace(jet, base=ball.intersect(jet.base, ball.widen(jet.centre, reach)))


# --- linear maps ------------------------------------------------------------------------------------------------------


def linear(jet: Jet, apply: Callable[[Ball], Ball]) -> Jet:
    """apply is linear and acts on balls [n, *S] row by row.

    One coefficient at a time: stacked into one array they would be fused into one loop, slower to compile than to run.
    """
    centre = None if jet.centre is None else apply(jet.centre[None])[0]
    return Jet(apply(jet.base[None])[0], centre, {k: apply(term) for k, term in jet.terms.items()})


def rearrange(jets: list[Jet], apply: Callable[..., Any], setting: Setting) -> list[Jet]:
    """Jets whose entries come from the entries of others; apply acts on arrays, and may return several."""

    def move(*balls: Ball) -> list[Ball]:
        mid, rad = apply(*(b.mid for b in balls)), apply(*(b.rad for b in balls))
        several = isinstance(mid, (list, tuple))
        return [Ball(*pair) for pair in zip(mid, rad, strict=True)] if several else [Ball(mid, rad)]

    if not jets:
        return []
    keys = [k for k in setting.indices() if any(k in a.terms for a in jets)]
    zeros = [jnp.zeros((setting.rows, *a.shape)) for a in jets]
    base = move(*(a.base for a in jets))
    centres = [a.centre for a in jets if a.centre is not None]
    centre = move(*centres) if len(centres) == len(jets) else [None] * len(base)
    terms: list[dict[Index, Ball]] = [{} for _ in base]
    for k in keys:
        rows = jax.vmap(move)(*(a.terms.get(k, Ball(zero, zero)) for a, zero in zip(jets, zeros, strict=True)))
        for term, row in zip(terms, rows, strict=True):
            term[k] = row
    out = [Jet(*parts) for parts in zip(base, centre, terms, strict=True)]
    return [replace(jet, **known) for jet, known in zip(out, _rearranged(jets, apply, move, setting), strict=False)]


def _rearranged(
    jets: list[Jet], apply: Callable[..., Any], move: Callable[..., list[Ball]], setting: Setting
) -> Iterator[dict[str, Any]]:
    """What is known of the rearranged jets."""
    exponents: Any = itertools.repeat(None)
    cofactors: Any = itertools.repeat(None)
    common = jets[0].exponent
    if all(a.exponent is not None for a in jets):
        if common is not None and common.shape == () and all(a.exponent is common for a in jets):
            exponents = itertools.repeat(common)
        else:
            exponents = rearrange([spread(a.exponent, a.shape) for a in jets if a.exponent], apply, setting)
        if any(a.cofactor is not None for a in jets):
            one = [constant(ball.point(jnp.ones(a.shape)), a.centre is not None) for a in jets]
            cofactors = rearrange([a.cofactor or unit for a, unit in zip(jets, one, strict=True)], apply, setting)
    source = jets[0].source if len(jets) == 1 else None
    if source is None:
        linear: Any = itertools.repeat(None)
    else:
        matrices, offsets = jax.vmap(move)(source.matrix), move(source.offset)
        linear = [Linear(source.of, *parts) for parts in zip(matrices, offsets, strict=True)]
    for z, y, origin in zip(exponents, cofactors, linear, strict=False):
        yield {"exponent": z, "cofactor": y, "source": origin}


def plain(jet: Jet) -> Jet:
    """The coefficients alone."""
    return Jet(jet.base, jet.centre, jet.terms)


def spread(jet: Jet, shape: tuple[int, ...]) -> Jet:
    """The coefficients alone, broadcast to a shape."""
    if jet.shape == shape:
        return jet

    def wider(x: Array) -> Array:
        aligned = (1,) * (len(shape) - len(jet.shape)) + jet.shape  # the rows stay in front
        return jnp.broadcast_to(x.reshape((x.shape[0], *aligned)), (x.shape[0], *shape))

    return linear(plain(jet), lambda rows: ball.each(wider, rows))


def reshaped(jet: Jet, shape: tuple[int, ...]) -> Jet:
    """The coefficients alone, in another shape."""
    return linear(plain(jet), lambda rows: rows.reshape((rows.shape[0], *shape)))


def neg(a: Jet) -> Jet:
    return linear(a, ball.neg)


def add(a: Jet, b: Jet) -> Jet:
    centre = None if a.centre is None or b.centre is None else ball.add_from_zero(a.centre, b.centre)
    terms = dict(a.terms)
    for k, term in b.terms.items():
        terms[k] = ball.add(terms[k], term) if k in terms else term
    return Jet(ball.add_from_zero(a.base, b.base), centre, terms)


def sub(a: Jet, b: Jet) -> Jet:
    return add(a, neg(b))


# --- products and compositions ----------------------------------------------------------------------------------------


def product(a: Jet, b: Jet, times: Callable[[Ball, Ball], Ball], setting: Setting) -> Jet:
    """(ab)_k = sum_i a_i b_(k-i) for any bilinear ``times`` of balls [*S], [*T] -> [*R]."""
    a, b = tighten(a, setting), tighten(b, setting)
    left, right = jax.vmap(times, in_axes=(0, None)), jax.vmap(times, in_axes=(None, 0))
    both = jax.vmap(times)
    centre = None if a.centre is None or b.centre is None else times(a.centre, b.centre)
    terms = {}
    for k in setting.indices():
        parts = [right(a.base, b.terms[k])] if k in b.terms else []
        parts += [left(a.terms[k], b.base)] if k in a.terms else []
        parts += [both(a.terms[i], b.terms[_minus(k, i)]) for i in a.terms if _minus(k, i) in b.terms]
        if parts:
            terms[k] = _total(parts)
    return Jet(times(a.base, b.base), centre, terms)


def mul(a: Jet, b: Jet, setting: Setting) -> Jet:
    """Entry by entry."""
    return product(a, b, ball.mul, setting)


def div(a: Jet, b: Jet, setting: Setting) -> Jet:
    return mul(a, unary(integer_power(-1), b, setting), setting)


def unary(taylor: Taylor, z: Jet, setting: Setting) -> Jet:
    """phi o z, entry by entry."""
    z = tighten(z, setting)
    centre = None if z.centre is None else taylor(z.centre, 0)[0]
    D = taylor(z.base, setting.degree if z.terms else 0)
    powers: dict[tuple[Index, int], Ball] = {}
    terms = {}
    for k in setting.indices():
        per_order: dict[int, list[Ball]] = {}
        for monomial, count in partitions(k):
            if all(i in z.terms for i, _ in monomial):
                factors = []
                for i, e in monomial:
                    powers.setdefault((i, e), z.terms[i] if e == 1 else ball.power(z.terms[i], e))
                    factors.append(powers[i, e])
                out = factors[0]
                for factor in factors[1:]:
                    out = ball.mul(out, factor)
                j = sum(e for _, e in monomial)
                per_order.setdefault(j, []).append(out if count == 1 else ball.scale(out, float(count)))
        parts = [ball.mul(D[j][None], _total(sums)) for j, sums in per_order.items()]
        if parts:
            terms[k] = _total(parts)
    return Jet(D[0], centre, terms)


def partitions(k: Index) -> list[tuple[tuple[tuple[Index, int], ...], int]]:
    """The monomials of Faa di Bruno's formula for y_k: ((index, exponent), ...) and how often each occurs.

    The index times the exponent sum to k; a monomial with exponents e_1, e_2, ... stands for (sum e)! / (e_1! e_2! ...)
    ordered products.
    """
    smaller = [i for i in itertools.product(*(range(n + 1) for n in k)) if any(i)]

    def split(rest: Index, allowed: list[Index]) -> Iterator[tuple[tuple[Index, int], ...]]:
        if not any(rest):
            yield ()
            return
        for at, i in enumerate(allowed):
            e = 1
            left = _minus(rest, i)
            while min(left) >= 0:
                for others in split(left, allowed[at + 1 :]):
                    yield ((i, e), *others)
                e, left = e + 1, _minus(left, i)

    out = []
    for monomial in split(k, smaller):
        exponents = [e for _, e in monomial]
        out.append((monomial, math.factorial(sum(exponents)) // math.prod(math.factorial(e) for e in exponents)))
    return out
