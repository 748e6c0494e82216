"""How JAX writes a function down: a program (jaxpr) of equations, and what can be read off it before it is walked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun

from ...solvers.foreign import call_foreign
from ..answers import fingerprint

Function = Callable[[jax.Array], jax.Array]


class FixedFunction:
    """The function [d] -> [*k] that a program computes, constants copied; equal to every other with an equal program.

    Raises:
        ValueError: the program has side effects or calls back into Python: it is not all there is of the function.
        TypeError: some constants have no values: those of a function that is being traced, or random keys.
    """

    def __init__(self, program: ClosedJaxpr) -> None:
        self.program = fingerprint.frozen(program)
        self._key = fingerprint.of_program(self.program)

    def __call__(self, x: jax.Array) -> jax.Array:
        (out,) = jaxpr_as_fun(self.program)(x)
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FixedFunction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def trace(fn: Function, shape: tuple[int, ...]) -> ClosedJaxpr:
    """The program of fn, as it is now, for a float64 input; it must return one array."""
    if isinstance(fn, FixedFunction):
        return fn.program
    tracing = jax.make_jaxpr(lambda x: fn(x), return_shape=True)  # of fn itself JAX would remember an earlier program
    program, out = call_foreign(tracing, jax.ShapeDtypeStruct(shape, jnp.float64), whose="the function to enclose")
    if not isinstance(out, jax.ShapeDtypeStruct):
        raise ValueError("the function to enclose must return one array: concatenate its results")
    return program


def longest_sum(jaxpr: Jaxpr) -> int:
    """The largest number of terms that one operation of the program adds up."""
    longest = 2
    for eqn in jaxpr.eqns:
        aval: Any = eqn.invars[0].aval if eqn.invars else None
        shape = getattr(aval, "shape", ())
        if eqn.primitive.name == "dot_general":
            longest = max(longest, math.prod(shape[i] for i in eqn.params["dimension_numbers"][0][0]))
        elif eqn.primitive.name in ("reduce_sum", "cumsum"):
            longest = max(longest, math.prod(shape))
        for inner in inner_programs(eqn.params):
            longest = max(longest, longest_sum(inner.jaxpr))
    return longest


def needed_equations(jaxpr: Jaxpr) -> list[Any]:
    """The equations on which the result depends, in order."""
    needed, alive = {id(atom) for atom in jaxpr.outvars}, []
    for eqn in reversed(jaxpr.eqns):
        if any(id(v) in needed for v in eqn.outvars):
            needed |= {id(atom) for atom in eqn.invars}
            alive.append(eqn)
    return alive[::-1]


def inner_programs(params: dict[str, Any]) -> list[ClosedJaxpr]:
    """The programs inside an equation."""
    candidates = [v for p in params.values() for v in (p if isinstance(p, (tuple, list)) else [p])]
    opened = [ClosedJaxpr(c, ()) if isinstance(c, Jaxpr) else c for c in candidates]
    return [c for c in opened if isinstance(c, ClosedJaxpr)]


def is_logaddexp(inner: ClosedJaxpr) -> bool:
    """Whether this program is jnp.logaddexp's, by comparison with one traced now: a name alone proves nothing."""
    avals = [v.aval for v in inner.jaxpr.invars]
    if len(avals) != 2 or inner.consts or any(a.dtype != jnp.float64 for a in avals):
        return False
    arguments = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals]
    reference = jax.make_jaxpr(jnp.logaddexp)(*arguments)
    call = reference.jaxpr.eqns[-1]
    return "call_jaxpr" in call.params and str(inner_programs(call.params)[0].jaxpr) == str(inner.jaxpr)
