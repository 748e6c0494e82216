"""Rules of arithmetic: the jet of an operation's result from those of its operands.

Where computed values are followed (``Setting.sums``), each adds what the operation loses (``lossy``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import ball, composition, elementary, factors, jet, piecewise, sigmoidal
from .ball import Ball
from .jet import Jet, Setting
from .operations import BINARY, UNARY, supported
from .rounding import local_error, rounded
from .values import UnsupportedOperation, Value, fit, known, lift


def arithmetic(name: str, eqn: Any, args: list[Value], setting: Setting) -> Jet:
    params = eqn.params
    if name not in supported():
        raise UnsupportedOperation(f"the operation {name!r} has no enclosure; supported are {', '.join(supported())}")
    if name == "dot_general":
        return dot(eqn, args, setting)
    if name in ("reduce_sum", "cumsum"):
        return sums(eqn, lift(args[0], setting), setting)
    if name in ("reduce_max", "reduce_min"):
        return extreme(name, params["axes"], lift(args[0], setting), setting)
    if name == "mul" and known(args[0]) != known(args[1]):
        return scaled(args, setting)
    if name == "div" and known(args[1]) and not known(args[0]):
        return divided(args[0], args[1], setting)
    a, *others = (fit(x, args, setting) for x in args)
    sizes = [ball.magnitude(x.base) for x in (a, *others)]
    if name in UNARY:
        out = composition.unary(UNARY[name], a, setting)
    elif name == "mul":
        same = eqn.invars[0] is eqn.invars[1]
        out = composition.unary(elementary.square, a, setting) if same else composition.mul(a, others[0], setting)
    elif name == "div":
        sizes[1] = ball.magnitude(ball.reciprocal(others[0].base))
        out = composition.div(a, others[0], setting)
    elif name == "integer_pow":
        out = composition.unary(elementary.integer_power(params["y"]), a, setting)
    elif name == "pow":
        out = power(args, a, others[0], setting)
    elif name == "abs":
        out = piecewise.absolute(a, setting)
    elif name == "clamp":
        out = piecewise.minimum(piecewise.maximum(others[0], a, setting), others[1], setting)
    elif name in BINARY:
        out = BINARY[name](a, others[0], setting)
        if name in ("add", "add_any", "sub") and known(args[1]):
            out = factors.shifted(out, a, args[1] if name != "sub" else -jnp.asarray(args[1]))
        elif name in ("add", "add_any") and known(args[0]):
            out = factors.shifted(out, others[0], args[0])
    elif name == "neg":
        out = jet.neg(a)
    elif name == "convert_element_type" and params["new_dtype"] == jnp.float64:
        return a
    else:
        raise UnsupportedOperation(f"the operation {name!r} has no enclosure here")
    return lossy(name, params, sizes, out, setting)


def factored(name: str, eqn: Any, args: list[Value], setting: Setting) -> Jet | None:
    """What can be said of exponents and sources of the operands, if anything."""
    jets = [a for a in args if isinstance(a, Jet)]
    if setting.sums is not None:
        return None
    if name in ("mul", "div") and len(jets) == 1 and args[0] is not args[1] and (name == "mul" or known(args[1])):
        a, factor = (args[0], args[1]) if known(args[1]) else (args[1], args[0])
        a = fit(a, args, setting)
        k = jnp.broadcast_to(jnp.asarray(factor), a.shape)
        if name == "mul":
            return factors.scaled(a, lambda rows: ball.scale(rows, k[None]), setting)
        inverse = ball.reciprocal(ball.point(k))
        return factors.scaled(a, lambda rows: ball.mul(rows, inverse[None]), setting)
    if name == "dot_general" and len(jets) == 1:
        return factors.through(
            jets[0], lambda a: dot(eqn, [a if isinstance(x, Jet) else x for x in args], setting), setting
        )
    if name == "reduce_sum" and jets and jets[0].exponent is not None:
        return factors.through(jets[0], lambda a: sums(eqn, a, setting), setting)
    if name in ("exp", "log", "neg", "mul", "div", "sqrt", "rsqrt", "square", "integer_pow"):
        fitted = [fit(x, args, setting) for x in args]
        if name == "mul" and eqn.invars[0] is eqn.invars[1]:
            name = "square"
        return factors.arithmetic(name, eqn.params.get("y"), fitted, setting)
    return None


def lossy(name: str, params: dict[str, Any], sizes: list[jax.Array], out: Jet, setting: Setting) -> Jet:
    return rounded(out, local_error(name, params, sizes, ball.magnitude(out.base), setting))


def scaled(args: list[Value], setting: Setting) -> Jet:
    """A jet times a known array, where computed values are followed; elsewhere ``factored`` does it."""
    factor, a = (args[0], args[1]) if known(args[0]) else (args[1], args[0])
    a = fit(a, args, setting)
    k = jnp.broadcast_to(jnp.asarray(factor), a.shape)
    out = jet.linear(a, lambda rows: ball.scale(rows, k[None]))
    return lossy("mul", {}, [ball.magnitude(a.base), jnp.abs(k)], out, setting)


def divided(a: Jet, divisor: Value, setting: Setting) -> Jet:
    """A jet over a known array, likewise."""
    a = fit(a, [a, divisor], setting)
    inverse = ball.reciprocal(ball.point(jnp.broadcast_to(jnp.asarray(divisor), a.shape)))
    out = jet.linear(a, lambda rows: ball.mul(rows, inverse[None]))
    return lossy("div", {}, [ball.magnitude(a.base), ball.magnitude(inverse)], out, setting)


def power(args: list[Value], base: Jet, exponent: Jet, setting: Setting) -> Jet:
    """x^alpha for one known alpha, else exp(y log x), where x > 0."""
    alpha = args[1]
    if known(alpha) and not isinstance(alpha, jax.core.Tracer) and np.unique(np.asarray(alpha)).size == 1:
        number = float(np.ravel(np.asarray(alpha))[0])
        if number.is_integer() and abs(number) <= 64:
            return composition.unary(elementary.integer_power(int(number)), base, setting)
        return composition.unary(elementary.real_power(number), base, setting)
    logarithm = composition.unary(elementary.log, base, setting)
    return composition.unary(elementary.exp, composition.mul(exponent, logarithm, setting), setting)


def dot(eqn: Any, args: list[Value], setting: Setting) -> Jet:
    bind, params = eqn.primitive.bind, eqn.params
    shape, (contracted, _) = eqn.invars[0].aval.shape, params["dimension_numbers"]
    terms = math.prod(shape[i] for i in contracted[0])
    if known(args[0]) == known(args[1]):
        a, b = (lift(x, setting) for x in args)
        sizes = bind(ball.magnitude(a.base), ball.magnitude(b.base), **params)

        def times(x: Ball, y: Ball) -> Ball:
            return ball.bilinear(x, y, lambda p, q: bind(p, q, **params), terms)

        out = composition.product(a, b, times, setting)
    else:
        left = known(args[0])
        W, a = (args[0], args[1]) if left else (args[1], args[0])

        def by(matrix: Any) -> Callable[[jax.Array], jax.Array]:
            return jax.vmap(lambda x: bind(*((matrix, x) if left else (x, matrix)), **params))

        out = factors.dot(a, by, W, terms, setting)
        sizes = by(ball.absolute_matrix(W))(ball.magnitude(a.base)[None])[0]
    return lossy("dot_general", params, [sizes], out, setting)


def sums(eqn: Any, a: Jet, setting: Setting) -> Jet:
    """reduce_sum and cumsum."""

    def one(x: jax.Array) -> jax.Array:
        return eqn.primitive.bind(x, **eqn.params)

    terms = math.prod(a.shape)
    out = jet.linear(a, lambda rows: ball.total(rows, jax.vmap(one), terms))
    return lossy(eqn.primitive.name, {}, [one(ball.magnitude(a.base))], out, setting)


def extreme(name: str, axes: Sequence[int], a: Jet, setting: Setting) -> Jet:
    """reduce_max and reduce_min, one entry after another."""
    pairwise = piecewise.maximum if name == "reduce_max" else piecewise.minimum
    for axis in sorted(axes, reverse=True):
        entries = [
            jet.rearrange([a], lambda x, i=i, axis=axis: jnp.take(x, i, axis=axis), setting)[0]
            for i in range(a.shape[axis])
        ]
        a = entries[0]
        for entry in entries[1:]:
            a = pairwise(a, entry, setting)
    return a


def logaddexp(a: Jet, b: Jet, setting: Setting) -> Jet:
    """b + softplus(a - b), without the kink that the program's max and abs would seem to have."""
    out = jet.add(b, composition.unary(sigmoidal.softplus, jet.sub(a, b), setting))
    return lossy("logaddexp", {}, [ball.magnitude(a.base), ball.magnitude(b.base)], out, setting)
