"""Interval Taylor jets: every Taylor coefficient of a function along given directions, enclosed over a whole box.

For directions v_1, ..., v_r (usually one) and x in the box,

    y(x + t_1 v_1 + ... + t_r v_r) = sum over multi-indices k of y_k(x) t^k + ...,    y_k(X) in term(k), y(X) in base.

Products and compositions: ``composition``.

*Mean-value form.* Where the last direction runs over all coordinate axes, the first-order coefficients g_a enclose the
gradient over the box, so that y(x) in y(centre) + sum_a g_a [-rho_a, rho_a]. ``tighten`` intersects the base with it
before every nonlinear function. Without it the width of a second layer is |W2||W1| rho where |W2 W1| rho would do.

*Kinks.* |x| and max are piecewise smooth. Across a kink first-order terms enclose the hull of the slopes of both sides,
for which the mean-value form still holds (a difference of values is an average of slopes); terms of order >= 2 are
everything.

All coefficients stand in one array, in the order of ``keys``: an operation is a handful of array operations, whatever
the order, since the compiler's time goes with their number.

Reference: Moore 1966; Makino & Berz 2003.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import ball
from .ball import Ball

Index = tuple[int, ...]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["base", "centre", "terms", "exponent", "cofactor", "source"],
    meta_fields=["keys"],
)
@dataclass(frozen=True)
class Jet:
    """``base`` [*S] over the box, ``centre`` [*S] at its centre, ``terms`` [n, q, *S] for the n ``keys``, in ascending
    order; coefficients of other indices are zero.

    The rest is what else is known of it, see ``factors``: that it is exp(exponent) cofactor, that it is a linear map of
    something.
    """

    base: Ball
    centre: Ball | None = None
    terms: Ball | None = None
    keys: tuple[Index, ...] = ()
    exponent: Jet | None = None  # of shape (), if it is one number for all entries
    cofactor: Jet | None = None
    source: Linear | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def term(self, k: Index) -> Ball | None:
        """The coefficients [q, *S] of index k; None where they are zero."""
        return None if self.terms is None or k not in self.keys else self.terms[self.keys.index(k)]


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
    ``always_true``: a run-time value that is true; see ``compile_separately``.
    """

    order: Index
    rows: int
    widths: Array | None = None
    sums: int | None = None
    always_true: Array | None = None

    def compile_separately(self, compute: Callable[[], Jet]) -> Jet:
        """``compute()``, in a branch on ``always_true``: a boundary for the compiler; everything where it is false.

        Without boundaries the arithmetic of one operation is fused into every reader of its result, and copied there:
        seven times as much code, and as many times longer to compile.
        """
        if self.always_true is None:
            return compute()
        once = jax.jit(compute)  # traced once, for its shapes and for the branch
        nothing = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan), jax.eval_shape(once))
        found: Jet = jax.lax.cond(self.always_true, once, lambda: nothing)
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

    def indices(self) -> tuple[Index, ...]:
        """Every multi-index but zero, lower orders first."""
        every = itertools.product(*(range(m + 1) for m in self.order))
        return tuple(sorted((k for k in every if any(k)), key=_ascending))


def _ascending(k: Index) -> tuple[int, Index]:
    return sum(k), k


def aligned(jet: Jet, keys: tuple[Index, ...], rows: int) -> Ball:
    """The coefficients [len(keys), rows, *S] of these indices, zero where they are absent."""
    if keys == jet.keys and jet.terms is not None:
        return jet.terms
    zeros = jnp.zeros((len(keys), rows, *jet.shape))
    if jet.terms is None:
        return Ball(zeros, zeros)
    return picked(jet.terms, [jet.keys.index(k) if k in jet.keys else None for k in keys])


def picked(stack: Ball, rows: Sequence[int | None]) -> Ball:
    """These rows of a stack [n, *S], zero for None."""
    if list(rows) == list(range(stack.shape[0])):
        return stack
    out = stack[np.array([row or 0 for row in rows])]
    if None not in rows:
        return out
    absent = ball.leading(np.array([row is None for row in rows]), stack.shape[1:])
    return Ball(jnp.where(absent, 0.0, out.mid), jnp.where(absent, 0.0, out.rad))


def constant(value: Ball, centred: bool) -> Jet:
    return Jet(value, value if centred else None)


def tighten(jet: Jet, setting: Setting) -> Jet:
    """The base, intersected with the mean-value form."""
    gradient = jet.term(setting.gradient)
    if setting.widths is None or jet.centre is None or gradient is None:
        return jet
    slopes = ball.magnitude(gradient)
    widths = setting.widths.reshape((-1,) + (1,) * len(jet.shape))
    reach = jnp.sum(slopes * widths, axis=0) * (1 + ball.sum_slack(widths.size)) + 2 * widths.size * ball.TINY
    return replace(jet, base=ball.intersect(jet.base, ball.widen(jet.centre, reach)))


# --- linear maps ------------------------------------------------------------------------------------------------------


def linear(jet: Jet, apply: Callable[[Ball], Ball]) -> Jet:
    """apply is linear and acts on balls [n, *S] row by row."""
    centre = None if jet.centre is None else apply(jet.centre[None])[0]
    terms = None if jet.terms is None else _by_rows(apply, jet.terms)
    return Jet(apply(jet.base[None])[0], centre, terms, jet.keys)


def _by_rows(apply: Callable[[Ball], Ball], terms: Ball) -> Ball:
    n, q, *shape = terms.shape
    out = apply(terms.reshape((n * q, *shape)))
    return out.reshape((n, q, *out.shape[1:]))


def rearrange(jets: list[Jet], apply: Callable[..., Any], setting: Setting) -> list[Jet]:
    """Jets whose entries come from the entries of others; apply acts on arrays, and may return several."""

    def move(*balls: Ball) -> list[Ball]:
        mid, rad = apply(*(b.mid for b in balls)), apply(*(b.rad for b in balls))
        several = isinstance(mid, (list, tuple))
        return [Ball(*pair) for pair in zip(mid, rad, strict=True)] if several else [Ball(mid, rad)]

    if not jets:
        return []
    base = move(*(a.base for a in jets))
    centres = [a.centre for a in jets if a.centre is not None]
    centre = move(*centres) if len(centres) == len(jets) else [None] * len(base)
    keys = tuple(k for k in setting.indices() if any(k in a.keys for a in jets))
    terms = jax.vmap(jax.vmap(move))(*(aligned(a, keys, setting.rows) for a in jets)) if keys else [None] * len(base)
    out = [Jet(*parts, keys) for parts in zip(base, centre, terms, strict=True)]
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
    return Jet(jet.base, jet.centre, jet.terms, jet.keys)


def spread(jet: Jet, shape: tuple[int, ...]) -> Jet:
    """The coefficients alone, broadcast to a shape."""
    if jet.shape == shape:
        return jet

    def wider(x: Array) -> Array:
        padded = (1,) * (len(shape) - len(jet.shape)) + jet.shape  # the rows stay in front
        return jnp.broadcast_to(x.reshape((x.shape[0], *padded)), (x.shape[0], *shape))

    return linear(plain(jet), lambda rows: ball.each(wider, rows))


def reshaped(jet: Jet, shape: tuple[int, ...]) -> Jet:
    """The coefficients alone, in another shape."""
    return linear(plain(jet), lambda rows: rows.reshape((rows.shape[0], *shape)))


def neg(a: Jet) -> Jet:
    return linear(a, ball.neg)


def add(a: Jet, b: Jet) -> Jet:
    centre = None if a.centre is None or b.centre is None else ball.add_from_zero(a.centre, b.centre)
    base = ball.add_from_zero(a.base, b.base)
    if a.terms is None or b.terms is None:
        one = b if a.terms is None else a
        return Jet(base, centre, one.terms, one.keys)
    keys = tuple(sorted({*a.keys, *b.keys}, key=_ascending))
    rows = a.terms.shape[1]
    return Jet(base, centre, ball.add(aligned(a, keys, rows), aligned(b, keys, rows)), keys)


def sub(a: Jet, b: Jet) -> Jet:
    return add(a, neg(b))
