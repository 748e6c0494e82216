"""How a jet was made, where its coefficients alone would forget it: as a multiple of an exponential, as a linear map.

Interval coefficients bound a number without remembering how it was computed. Given the series of exp over an interval,
log does not return the series of its argument: what cancels on paper does not cancel between intervals. And a product
W (A h) computed in two steps has a width of |W| |A| times that of h, where |W A| would do. Both happen in every
surrogate of a problem with logarithmic inputs: its features take log p of p = exp(x), its answer is multiplied by an
amplitude exp(-mean log p), and its modes by the matrix of the certificate. So a ``Jet`` may carry two facts about
itself besides its coefficients:

*It is exp(z) y.* The jets z (``exponent``) and y (``cofactor``; 1 where it is absent) are kept beside the product.
Products, quotients, powers, roots and logarithms then act on z and y, where log(exp(z) y) = z + log y is exact. A z of
shape () is one number for all entries, a common factor, which a linear map acting on y leaves alone.

*It is A h + b,* with a constant matrix A, a constant vector b and a jet h (``source``, a ``Linear``). The next linear
map W is then multiplied into A and b, and (W A) h computed at once.

For a surrogate of the thermal block (2 x 2 blocks, two layers of 32, boxes with sides of a quarter of the domain) the
enclosures of fifth derivatives are narrower by a factor of 4000 for it. These are statements about real numbers, so
none is kept where computed values are followed (``rounding``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
from jax import Array

from . import ball, composition, elementary, jet
from .ball import Ball
from .jet import Jet, Linear, Setting

SOURCE = 512  # entries up to which a linear map's source is remembered


def exponential(z: Jet, y: Jet | None, shape: tuple[int, ...], setting: Setting) -> Jet:
    """exp(z) y, which remembers both."""
    if z.shape != () and z.base.mid.size == 1:
        z = jet.reshaped(z, ())

    def compute() -> Jet:
        e = jet.spread(jet.plain(composition.unary(elementary.exp, z, setting)), shape)
        return jet.plain(e if y is None else composition.mul(e, jet.plain(y), setting))

    return replace(setting.compile_separately(compute), exponent=z, cofactor=y)


def arithmetic(name: str, y: int | None, args: list[Jet], setting: Setting) -> Jet | None:
    """The operation on exponents and cofactors; None where nothing is known, or nothing is gained.

    ``args`` have one shape; ``y`` is the exponent of integer_pow.
    """
    if setting.sums is not None:
        return None
    if name == "exp":
        return exponential(args[0], None, args[0].shape, setting)
    if all(a.exponent is None for a in args):
        return None
    a = args[0]
    if name == "log":
        assert a.exponent is not None
        z = jet.spread(a.exponent, a.shape)
        return z if a.cofactor is None else jet.add(z, composition.unary(elementary.log, a.cofactor, setting))
    if name == "neg":
        assert a.exponent is not None
        return exponential(a.exponent, jet.neg(_cofactor(a)), a.shape, setting)
    if name in ("mul", "div"):
        return _product(name, a, args[1], setting)
    powers: dict[str, tuple[float, elementary.Taylor]] = {
        "sqrt": (0.5, elementary.sqrt),
        "rsqrt": (-0.5, elementary.rsqrt),
        "square": (2.0, elementary.square),
        "integer_pow": (float(y or 0), elementary.integer_power(y or 0)),
    }
    if name not in powers:
        return None
    assert a.exponent is not None
    power, taylor = powers[name]
    cofactor = None if a.cofactor is None else composition.unary(taylor, a.cofactor, setting)
    z = jet.linear(a.exponent, lambda rows: ball.scale(rows, power))
    return exponential(z, cofactor, a.shape, setting)


def _product(name: str, a: Jet, b: Jet, setting: Setting) -> Jet:
    shape = a.shape
    z, w = a.exponent, b.exponent
    dropped = z if name == "div" and z is w else None  # a common factor
    if dropped is not None:
        z = w = None
    if z is not None and w is not None and z.shape != w.shape:
        z, w = jet.spread(z, shape), jet.spread(w, shape)
    if w is not None and name == "div":
        w = jet.neg(w)
    total = jet.add(z, w) if z is not None and w is not None else z if z is not None else w
    left, right = (x.cofactor if x.exponent is not None else x for x in (a, b))  # None: 1
    if right is None:
        y = left
    elif left is None:
        y = right if name == "mul" else composition.unary(elementary.integer_power(-1), right, setting)
    else:
        y = setting.compile_separately(
            lambda: jet.plain((composition.mul if name == "mul" else composition.div)(left, right, setting))
        )
    if total is None:
        out = y or jet.constant(ball.point(jnp.ones(shape)), a.centre is not None)
        return out if dropped is None else _spoilt(out, dropped)
    return exponential(total, y, shape, setting)


def _spoilt(out: Jet, dropped: Jet) -> Jet:
    """``out``, but everything where an exponent that cancelled was, as log(-1) is: there the function has no value."""
    centre = None if out.centre is None else ball.poison(out.centre, dropped.base)
    return replace(out, base=ball.poison(out.base, dropped.base), centre=centre)


def _cofactor(a: Jet) -> Jet:
    """y of exp(z) y."""
    return a.cofactor or jet.constant(ball.point(jnp.ones(a.shape)), a.centre is not None)


def through(a: Jet, linear_map: Callable[[Jet], Jet], setting: Setting) -> Jet:
    """linear_map(a), with a common factor exp(z) taken out of it."""
    if setting.sums is not None or a.exponent is None or a.exponent.shape != () or a.cofactor is None:
        return linear_map(a)
    y = linear_map(a.cofactor)
    return exponential(a.exponent, y, y.shape, setting)


def dot(a: Jet, by: Callable[[Array], Callable[[Array], Array]], W: Array, terms: int, setting: Setting) -> Jet:
    """W a for a known W: ``by(matrix)`` multiplies rows [n, *S] by it."""
    apply, apply_abs = by(jnp.asarray(W)), by(ball.absolute_matrix(W))

    def balls(rows: Ball) -> Ball:
        return ball.linear(rows, apply, apply_abs, terms)

    if setting.sums is not None or a.base.mid.size > SOURCE:
        return jet.linear(a, balls)
    if a.source is None:
        size = a.base.mid.size
        whole = ball.point(jnp.eye(size).reshape((size, *a.shape)))
        nothing = ball.point(jnp.zeros((1, *a.shape)))
        out = setting.compile_separately(lambda: jet.linear(jet.plain(a), balls))
        return replace(out, source=Linear(jet.plain(a), balls(whole), balls(nothing)[0]))
    h, matrix, offset = a.source.of, balls(a.source.matrix), balls(a.source.offset[None])[0]
    count, shape = matrix.shape[0], matrix.shape[1:]
    flat = matrix.reshape((count, -1))

    def merged(rows: Ball) -> Ball:
        rows = rows.reshape((rows.shape[0], count))
        return ball.bilinear(rows, flat, lambda p, q: p @ q, count).reshape((rows.shape[0], *shape))

    def compute() -> Jet:
        out = jet.linear(h, merged)
        centre = None if out.centre is None else ball.add(out.centre, offset)
        return replace(out, base=ball.add(out.base, offset), centre=centre)

    return replace(setting.compile_separately(compute), source=Linear(h, matrix, offset))


def shifted(out: Jet, a: Jet, known: Array) -> Jet:
    """``out`` = a + known, with a's source."""
    if a.source is None:
        return out
    by = ball.point(jnp.broadcast_to(jnp.asarray(known, jnp.float64), a.shape))
    return replace(out, source=replace(a.source, offset=ball.add(a.source.offset, by)))


def scaled(a: Jet, factor: Callable[[Ball], Ball], setting: Setting) -> Jet:
    """``factor`` multiplies rows by known numbers, entry by entry."""
    out = setting.compile_separately(lambda: jet.linear(jet.plain(a), factor))
    if a.source is not None:
        linear = Linear(a.source.of, factor(a.source.matrix), factor(a.source.offset[None])[0])
        out = replace(out, source=linear)
    if a.exponent is not None:
        out = replace(out, exponent=a.exponent, cofactor=scaled(_cofactor(a), factor, setting))
    return out


__all__ = ["arithmetic", "dot", "exponential", "scaled", "shifted", "through"]
