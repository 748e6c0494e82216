"""Hashes by which a proof on disk names what it is a proof of: the problem, and the surrogate's basis and program.

A program is hashed as a whole: every operation with its settings, which values it takes, their kinds and shapes, and
every constant. Two programs with one hash compute the same function. The thin part that knows JAX's own types of
programs; a constant of a traced program may still be the array that somebody else holds, so ``frozen`` copies it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def of_model(basis: Any, program: ClosedJaxpr) -> str:
    """The basis, and the program of the coefficients."""
    digest = hashlib.sha256(_array(basis))
    digest.update(of_program(program).encode())
    return digest.hexdigest()


def trace(function: Callable[[Any], Any], dimension: int) -> ClosedJaxpr:
    """The program of a function of one input, as it is now, its constants copied."""
    asked_anew = jax.make_jaxpr(lambda p: function(p))  # of the function itself JAX would remember an earlier program
    return frozen(asked_anew(jnp.ones(dimension)))


def frozen(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program with constants of its own, that nobody can change."""
    return ClosedJaxpr(_frozen(program.jaxpr), [_own(x) for x in program.consts])


def _own(x: Any, dtype: Any = None) -> np.ndarray:
    copy = np.array(x, dtype)
    copy.flags.writeable = False
    return copy


def _frozen(jaxpr: Jaxpr) -> Jaxpr:
    def atom(x: Any) -> Any:
        if not isinstance(x, Literal):
            return x
        aval: Any = x.aval
        return Literal(_own(x.val, aval.dtype), aval)

    def param(x: Any) -> Any:
        if isinstance(x, ClosedJaxpr):
            return frozen(x)
        if isinstance(x, Jaxpr):
            return _frozen(x)
        return tuple(param(y) for y in x) if type(x) is tuple else x

    equations = [
        e.replace(invars=[atom(x) for x in e.invars], params={key: param(x) for key, x in e.params.items()})
        for e in jaxpr.eqns
    ]
    return jaxpr.replace(eqns=equations, outvars=[atom(x) for x in jaxpr.outvars])


def of_program(program: ClosedJaxpr, constants: Sequence[Any] | None = None) -> str:
    """Hash of a program.

    ``constants``: others than the program's own, among which a ``jax.ShapeDtypeStruct`` stands for any array.

    Raises:
        ValueError: the program has effects or calls back into Python: it is not all there.
    """
    if program.effects:
        raise ValueError("a function with side effects is not one program")
    digest = hashlib.sha256()
    for part in _program(program.jaxpr, program.consts if constants is None else constants):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _program(jaxpr: Jaxpr, consts: Iterable[Any]) -> Iterable[bytes]:
    numbers: dict[Any, int] = {}

    def new(variables: Iterable[Any]) -> Iterable[bytes]:
        for v in variables:
            numbers[v] = len(numbers)
            yield v.aval.str_short().encode()

    def atom(x: Any) -> bytes:
        return b"=" + _array(x.val) if isinstance(x, Literal) else str(numbers[x]).encode()

    yield b"given"
    yield from (_array(x) for x in consts)
    yield from new([*jaxpr.constvars, *jaxpr.invars])
    for eqn in jaxpr.eqns:
        if "callback" in eqn.primitive.name:
            raise ValueError("a function that calls back into Python is not one program")
        yield eqn.primitive.name.encode()
        yield from (atom(x) for x in eqn.invars)
        for key, value in sorted(eqn.params.items()):
            yield key.encode()
            yield from _setting(value)
        yield from new(eqn.outvars)
    yield b"result"
    yield from (atom(x) for x in jaxpr.outvars)


def _setting(value: Any) -> Iterable[bytes]:
    if isinstance(value, ClosedJaxpr):
        yield from _program(value.jaxpr, value.consts)
    elif isinstance(value, Jaxpr):
        yield from _program(value, ())
    elif type(value) in (tuple, list):
        yield f"{len(value)} of".encode()
        for x in value:
            yield from _setting(x)
    elif isinstance(value, np.ndarray):
        yield _array(value)
    elif callable(value) and not isinstance(value, (type, np.dtype)):
        yield type(value).__name__.encode()  # how to differentiate: not part of the values
    else:
        yield ADDRESS.sub("", repr(value)).encode()


def _array(x: Any) -> bytes:
    if isinstance(x, jax.ShapeDtypeStruct):
        return f"any {x.dtype}{list(x.shape)}".encode()
    x = np.asarray(x)
    if x.dtype == np.float64:
        x = x.astype("<f8", copy=False)
    return f"{x.dtype.str}{list(x.shape)}".encode() + np.ascontiguousarray(x).tobytes()
