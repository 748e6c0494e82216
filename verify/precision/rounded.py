"""A JAX function evaluated in another arithmetic: its program is walked, and the result of every operation rounded.

    nearest      to the format; sums of a product are rounded once, as hardware that accumulates them wide does
    perturbed    moved by up to a unit in the last place at random, and rounded: another library, another order
    reordered    sums taken in a random order, in up to ``PARTS`` parts, each of which is rounded: narrow accumulators

Inputs and constants (weights) are rounded first. Calls are walked through, loops and branches with their bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Array, Float

from ..enclose.operations import CALLS, EXACT
from ..enclose.programs import inner_programs
from .formats import Format

WAYS = ("nearest", "perturbed", "reordered")
PARTS = 16
Rounded = Callable[[Float[Array, "n d"], Array], Float[Array, "n N"]]  # rows and a key of randomness


def rounded(function: Callable[[Any], Any], rows: int, d: int, form: Format, way: str) -> Rounded:
    """``function`` of ``rows`` inputs [rows, d] in another arithmetic, compiled.

    Raises:
        Exception: whatever JAX raises where it cannot trace the function.
    """
    program = jax.make_jaxpr(function)(jnp.zeros((rows, d)))

    def evaluated(P: Array, key: Array) -> Array:
        walk = _Walk(form, way, key)
        (out,) = walk.program(program, [walk.held(P)])
        return jnp.asarray(out, dtype=jnp.float64)

    return jax.jit(evaluated)


def calls_back(program: Jaxpr) -> bool:
    """Whether anything in it is computed by the host, where no operation can be rounded."""
    return any(
        "callback" in eqn.primitive.name or any(calls_back(inner.jaxpr) for inner in inner_programs(eqn.params))
        for eqn in program.eqns
    )


class _Walk:
    def __init__(self, form: Format, way: str, key: Array) -> None:
        self.form, self.way, self._key = form, way, key

    def key(self) -> Array:
        self._key, mine = jax.random.split(self._key)
        return mine

    def held(self, x: Any) -> Any:
        """A value as the format holds it; whole numbers and truths as they are."""
        return self.form.nearest(jnp.asarray(x)) if jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x

    def result(self, name: str, x: Any) -> Any:
        """What an operation gave, as this arithmetic gives it."""
        if not jnp.issubdtype(jnp.result_type(x), jnp.inexact):
            return x
        if self.way == "perturbed" and name not in EXACT:
            return self.form.perturbed(x, self.key())
        return self.form.nearest(x)

    def program(self, program: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
        return self.run(program.jaxpr, [self.held(c) for c in program.consts], args)

    def run(self, jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

        def read(atom: Any) -> Any:
            return self.held(atom.val) if isinstance(atom, Literal) else values[atom]

        for eqn in jaxpr.eqns:
            values.update(zip(eqn.outvars, self.equation(eqn, [read(a) for a in eqn.invars]), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, eqn: Any, args: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, eqn.params
        if name in CALLS:
            return self.program(inner_programs(params)[0], args)
        if name in ("scan", "while", "cond"):
            return self._loop(name, params, args)
        if self.way == "reordered" and name in ("dot_general", "reduce_sum"):
            return [self._summed(eqn, args)]
        # what was rounded has the kind of number that the program expects of it
        out = eqn.primitive.bind(*_as([atom.aval for atom in eqn.invars], args), **params)
        return [self.result(name, x) for x in (out if eqn.primitive.multiple_results else [out])]

    def _loop(self, name: str, params: dict[str, Any], args: list[Any]) -> list[Any]:
        """Loops carry a key of their own: what is drawn in one turn is not what was drawn in the last."""
        if name == "cond":
            branches = [partial(self._turn, branch) for branch in params["branches"]]
            return list(lax.switch(args[0], branches, self.key(), tuple(args[1:]))[1])
        if name == "while":
            of_test, of_body = params["cond_nconsts"], params["body_nconsts"]
            test, body = args[:of_test], args[of_test : of_test + of_body]

            def on(carry: tuple[Any, Any]) -> Any:
                return self._turn(params["cond_jaxpr"], carry[0], (*test, *carry[1]))[1][0]

            def turn(carry: tuple[Any, Any]) -> tuple[Any, Any]:
                return self._turn(params["body_jaxpr"], carry[0], (*body, *carry[1]))

            return list(lax.while_loop(on, turn, (self.key(), tuple(args[of_test + of_body :])))[1])
        fixed, carried = params["num_consts"], params["num_carry"]
        first = (self.key(), tuple(args[fixed : fixed + carried]))

        def step(carry: tuple[Any, Any], x: Any) -> tuple[Any, Any]:
            key, out = self._turn(params["jaxpr"], carry[0], (*args[:fixed], *carry[1], *x))
            return (key, out[:carried]), out[carried:]

        (_, last), rows = lax.scan(step, first, tuple(args[fixed + carried :]), params["length"], params["reverse"])
        return [*last, *rows]

    def _turn(self, program: ClosedJaxpr, key: Array, args: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
        inner = _Walk(self.form, self.way, key)
        out = inner.program(program, args)
        return inner.key(), tuple(_as(program.out_avals, out))

    def _summed(self, eqn: Any, args: list[Any]) -> Any:
        """A sum, or the sums of a product, in a random order and in parts."""
        whole = partial(eqn.primitive.bind, **eqn.params)
        if eqn.primitive.name == "dot_general":
            (left, right), _ = eqn.params["dimension_numbers"]
            axes = [left[0], right[0]] if left else []
        else:
            axes = [eqn.params["axes"][0]] if eqn.params["axes"] else []
        length = args[0].shape[axes[0]] if axes else 0
        if length < 2 or not jnp.issubdtype(jnp.result_type(args[0]), jnp.inexact):
            return self.result(eqn.primitive.name, whole(*args))
        order = jax.random.permutation(self.key(), length)
        mixed = [jnp.take(a, order, axis=axis) for a, axis in zip(args, axes, strict=True)]
        total = None
        for part in np.array_split(np.arange(length), min(PARTS, length)):
            cut = [
                lax.slice_in_dim(a, int(part[0]), int(part[-1]) + 1, axis=x) for a, x in zip(mixed, axes, strict=True)
            ]
            some = self.form.nearest(whole(*cut))
            total = some if total is None else self.form.nearest(total + some)
        return total


def _as(avals: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Values with the kinds of numbers that a program expects."""
    kinds = [getattr(aval, "dtype", None) for aval in avals]
    return [
        x if kind is None or jnp.result_type(x) == kind else lax.convert_element_type(x, kind)
        for x, kind in zip(values, kinds, strict=True)
    ]
