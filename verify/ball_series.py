"""A JAX program in ball arithmetic (Arb): power series in one variable with ball coefficients, through its jaxpr.

For ``audit`` (python-flint is an extra): written apart from ``enclose`` and sharing no code with it, so that a mistake
in one is not a mistake in the other. Entries are ``arb_series`` of a fixed length; tanh and the logistic function are
composed with the range of their derivatives over pieces of the argument, everything else is Arb's own.
Reference: Johansson 2017, *Arb: efficient arbitrary-precision midpoint-radius interval arithmetic*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from flint import arb, arb_series, ctx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

PIECES = 16
BITS = 106


def balls(values: Any) -> np.ndarray:
    """Float64 numbers as exact balls, entry by entry."""
    return np.vectorize(lambda x: arb(float(x)), otypes=[object])(np.asarray(values, dtype=np.float64))


def objects(values: Any) -> np.ndarray:
    """An object array of series or balls; numpy by itself would take a series apart into its coefficients."""
    if isinstance(values, np.ndarray):
        return values
    many = values if isinstance(values, (list, tuple)) else [values]
    out = np.empty(len(many), dtype=object)
    for i, value in enumerate(many):
        out[i] = value
    return out if many is values else out.reshape(())


def between(low: float, high: float) -> Any:
    """The ball that holds [low, high]."""
    return arb(low).union(arb(high))


def evaluate(program: ClosedJaxpr, argument: np.ndarray, length: int) -> np.ndarray:
    """The program's first result, a vector, for one argument [d] of series or balls: an object array of ``arb_series``.

    Raises:
        ValueError: an operation without a rule, by name.
    """
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = BITS, length
    try:
        lifted = objects([_series(x) for x in argument.ravel()])
        found = _run(program.jaxpr, program.consts, [lifted.reshape(argument.shape)])[0]
        return objects([_series(v) for v in objects(found).ravel()])
    finally:
        ctx.prec, ctx.cap = before


def _run(jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(atom: Any) -> Any:
        return np.asarray(atom.val) if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        name = eqn.primitive.name
        inner = next((eqn.params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in eqn.params), None)
        if inner is not None and name in ("pjit", "jit", "closed_call", "custom_jvp_call", "custom_vjp_call"):
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            out = _run(closed.jaxpr, closed.consts, operands)
        elif not any(_is_series(x) for x in operands):  # constants: integers, and exact float64 data
            result = eqn.primitive.bind(*(jax.numpy.asarray(x) for x in operands), **eqn.params)
            out = list(result) if eqn.primitive.multiple_results else [np.asarray(result)]
            if any(np.issubdtype(x.dtype, np.floating) for x in map(np.asarray, out)) and name not in MOVES:
                out = [_apply(name, eqn.params, [_lift(x) for x in operands])]
        else:
            out = [_apply(name, eqn.params, [_lift(x) for x in operands])]
        values.update(zip(eqn.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _is_series(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == object


def _lift(x: Any) -> np.ndarray:
    return x if _is_series(x) else balls(x)


def _apply(name: str, params: dict[str, Any], x: list[np.ndarray]) -> np.ndarray:
    if name in MOVES:
        return objects(MOVES[name](params, *x))
    if name in UNARY:
        return _map(UNARY[name], x[0])
    if name in ("add", "add_any"):
        return objects(x[0] + x[1])
    if name == "sub":
        return objects(x[0] - x[1])
    if name == "mul":
        return objects(x[0] * x[1])
    if name == "div":
        return objects(x[0] * _map(lambda v: 1 / v, x[1]))
    if name == "integer_pow":
        return _map(lambda v: _power(v, int(params["y"])), x[0])
    if name == "dot_general":
        (left, right), batched = params["dimension_numbers"]
        if batched[0]:
            raise ValueError("batched matrix products have no rule in an audit")
        return objects(np.tensordot(x[0], x[1], axes=(tuple(left), tuple(right))))
    if name == "reduce_sum":
        return objects(np.sum(x[0], axis=tuple(params["axes"])))
    raise ValueError(f"the operation {name!r} has no rule in an audit")


def _map(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        out[index] = function(_series(x[index]))
    return out


def _series(v: Any) -> Any:
    return v if isinstance(v, arb_series) else arb_series([v])


def _power(v: Any, n: int) -> Any:
    if n < 0:
        return 1 / _power(v, -n)
    out = arb_series([arb(1)])
    for _ in range(n):
        out = out * v
    return out


@cache
def tanh_polynomial(j: int) -> tuple[int, ...]:
    """tanh^(j) = (1 - T^2) P_j(T): P_1 = 1, P_(j+1) = (1 - T^2) P_j' - 2 T P_j."""
    if j == 1:
        return (1,)
    p = tanh_polynomial(j - 1)
    out = [0] * (len(p) + 1)
    for i, c in enumerate(p):
        if i:
            out[i - 1] += i * c
        out[i + 1] -= (i + 2) * c
    return tuple(out)


def _derivatives(z: Any, count: int) -> list[Any]:
    """Ranges of tanh^(j) / j! over the ball z, j < count: unions over pieces of it."""
    low, width = z.lower(), z.upper() - z.lower()
    pieces = 1 if width == 0 else PIECES
    out: list[Any] = []
    for i in range(pieces):
        piece = z if pieces == 1 else (low + width * i / pieces).union(low + width * (i + 1) / pieces)
        T = piece.tanh()
        slope = piece.sech() ** 2
        found = [T]
        for j in range(1, count):
            value = arb(0)
            for c in reversed(tanh_polynomial(j)):
                value = value * T + c
            found.append(slope * value / math.factorial(j))
        out = found if not out else [a.union(b) for a, b in zip(out, found, strict=True)]
    return out


def _tanh(v: Any) -> Any:
    D = _derivatives(v[0], ctx.cap)
    rest = v - v[0]
    out = arb_series([D[-1]])
    for d in reversed(D[:-1]):
        out = out * rest + d
    return out


def _logistic(v: Any) -> Any:
    return (_tanh(v / 2) + 1) / 2


UNARY: dict[str, Callable[[Any], Any]] = {
    "tanh": _tanh,
    "logistic": _logistic,
    "neg": lambda v: -v,
    "exp": lambda v: v.exp(),
    "log": lambda v: v.log(),
    "sqrt": lambda v: v.sqrt(),
    "rsqrt": lambda v: v.rsqrt(),
    "sin": lambda v: v.sin(),
    "cos": lambda v: v.cos(),
    "square": lambda v: v * v,
    "stop_gradient": lambda v: v,
    "copy": lambda v: v,
    "convert_element_type": lambda v: v,
}


def _broadcast(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    shape = [1] * len(params["shape"])
    for source, target in enumerate(params["broadcast_dimensions"]):
        shape[target] = x.shape[source]
    return np.broadcast_to(x.reshape(shape), params["shape"])


def _slice(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    strides = params["strides"] or (1,) * x.ndim
    pairs = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(a, b, s) for a, b, s in pairs)]


def _select(params: dict[str, Any], which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    """Only where the choice is known beforehand."""
    if any(isinstance(v, arb_series) for v in which.ravel()):
        raise ValueError("choices that depend on the input have no rule in an audit")
    known = np.broadcast_to(np.vectorize(lambda v: int(float(v)), otypes=[int])(which), cases[0].shape)
    return np.choose(known, [np.asarray(x) for x in cases]) if cases[0].ndim else cases[int(known)]


MOVES: dict[str, Callable[..., np.ndarray]] = {
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "reshape": lambda params, x: x.reshape(params["new_sizes"]),
    "select_n": _select,
    "squeeze": lambda params, x: np.squeeze(x, axis=tuple(params["dimensions"])),
    "expand_dims": lambda params, x: np.expand_dims(x, tuple(params["dimensions"])),
    "transpose": lambda params, x: np.transpose(x, params["permutation"]),
    "stack": lambda params, *parts: np.stack(parts, axis=params["axis"]),
    "concatenate": lambda params, *parts: np.concatenate(parts, axis=params["dimension"]),
}
