"""JAX functions as programs of jets: with ``programs`` the only file that knows how JAX writes a function down.

``propagate`` walks the equations of a traced function and hands each to a rule (``operations``). Three kinds of values
flow: jets, truths (undecided comparisons), and arrays that are known exactly. Float arithmetic among known arrays makes
jets too, for it rounds. Calls (jit, custom_jvp, remat, ...) are inlined, loops of known length unrolled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.lax import GatherScatterMode

from ...solvers.precision import fewer_digits
from . import ball, jet, piecewise
from .arithmetic import arithmetic, factored, logaddexp
from .jet import Jet, Setting
from .operations import CALLS, COMPARISONS, EXACT, LIGHT, REARRANGEMENTS
from .piecewise import Truth
from .programs import inner_programs, is_logaddexp, needed_equations
from .values import UnsupportedOperation, Value, fit, known, lift


def propagate(program: ClosedJaxpr, x: Jet, setting: Setting) -> Jet:
    (out,) = _Walk(setting).run(program.jaxpr, program.consts, [x])
    return jet.tighten(out if isinstance(out, Jet) else lift(out, setting), setting)


def _identity(value: Value) -> Any:
    """Equal for the same value: small known arrays by their entries, everything else by the object."""
    if known(value) and not isinstance(value, jax.core.Tracer) and np.size(value) <= 64:
        array = np.asarray(value)
        return array.shape, str(array.dtype), array.tobytes()
    return id(value)


def _reshapes(eqn: Any, args: list[Value]) -> bool:
    """Whether it gives the entries another shape, and nothing else."""
    if eqn.primitive.name not in ("reshape", "squeeze", "expand_dims", "broadcast_in_dim") or len(args) != 1:
        return False
    if not isinstance(args[0], Jet) or (eqn.primitive.name == "reshape" and eqn.params["dimensions"] is not None):
        return False
    return math.prod(args[0].shape) == math.prod(eqn.outvars[0].aval.shape) > 0


class _Walk:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.done: dict[Any, tuple[list[Value], list[Value]]] = {}  # equations, with their operands and results
        self.roots: dict[int, Jet] = {}  # of reshaped jets, by id
        self.shapes: dict[Any, Jet] = {}  # by the root's id and the shape

    def run(self, jaxpr: Jaxpr, consts: Sequence[Value], args: Sequence[Value]) -> list[Value]:
        values: dict[Any, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

        def read(atom: Any) -> Value:
            if not isinstance(atom, Literal):
                return values[atom]
            aval: Any = atom.aval
            return np.asarray(atom.val, aval.dtype)

        for eqn in needed_equations(jaxpr):
            out = self.once(eqn, [read(atom) for atom in eqn.invars])
            values.update(zip(eqn.outvars, out, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def once(self, eqn: Any, args: list[Value]) -> list[Value]:
        """The results; those of the same operation on the same operands if it was met before."""
        if eqn.primitive.name in CALLS or eqn.primitive.name == "scan":
            return self.equation(eqn, args)
        if _reshapes(eqn, args):
            return [self.reshaped(eqn, args[0])]
        key = (eqn.primitive.name, str(eqn.params), *map(_identity, args))
        if key not in self.done:
            self.done[key] = args, self.equation(eqn, args)
        return self.done[key][1]

    def reshaped(self, eqn: Any, a: Jet) -> Jet:
        """``a`` in another shape; the very jet from which reshaping set out, where it comes back to its shape."""
        root, shape = self.roots.get(id(a), a), eqn.outvars[0].aval.shape
        key = id(root), shape
        if root.shape == shape:
            return root
        if key not in self.shapes:
            out = self.shapes[key] = self.rearrange(eqn, [a])[0]
            self.roots[id(out)] = root
        return self.shapes[key]

    def equation(self, eqn: Any, args: list[Value]) -> list[Value]:
        name, params = eqn.primitive.name, eqn.params
        if name in CALLS:
            return self.call(name, params, args)
        if name == "scan":
            return self.scan(params, args)
        floats = any(jnp.issubdtype(atom.aval.dtype, jnp.floating) for atom in eqn.outvars)
        if all(map(known, args)) and (not floats or name in EXACT):
            out = eqn.primitive.bind(*args, **params)
            return list(out) if eqn.primitive.multiple_results else [out]
        self._refuse_other_floats(eqn)
        if any(isinstance(a, Truth) for a in args) or name in COMPARISONS or name == "is_finite":
            return [self.logic(name, eqn, args)]
        if name in REARRANGEMENTS:
            return self.rearrange(eqn, args)
        if name in LIGHT and (name != "neg" or known(args[0]) or args[0].exponent is None):
            return [arithmetic(name, eqn, args, self.setting)]
        found = factored(name, eqn, args, self.setting)
        if found is None:
            found = self.setting.compile_separately(lambda: arithmetic(name, eqn, args, self.setting))
        return [found]

    def _refuse_other_floats(self, eqn: Any) -> None:
        if asked := fewer_digits(eqn.params):
            raise UnsupportedOperation(f"enclosures need float64, but {eqn.primitive.name!r} asks for {asked}")
        for atom in (*eqn.invars, *eqn.outvars):
            dtype = atom.aval.dtype
            if jnp.issubdtype(dtype, jnp.inexact) and dtype != jnp.float64:
                raise UnsupportedOperation(
                    f"enclosures need real float64, but {eqn.primitive.name!r} works in {dtype}: "
                    "convert the model's parameters to float64 first"
                )

    # --- calls and loops ----------------------------------------------------------------------------------------------

    def call(self, name: str, params: dict[str, Any], args: list[Value]) -> list[Value]:
        inner = inner_programs({k: params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in params})[0]
        if name == "custom_jvp_call" and is_logaddexp(inner):
            return [logaddexp(fit(args[0], args, self.setting), fit(args[1], args, self.setting), self.setting)]
        return self.run(inner.jaxpr, inner.consts, args)

    def scan(self, params: dict[str, Any], args: list[Value]) -> list[Value]:
        if not params["length"]:
            raise UnsupportedOperation("a scan of no steps has no enclosure")
        n_consts, n_carry, inner = params["num_consts"], params["num_carry"], params["jaxpr"]
        consts, carry, xs = args[:n_consts], args[n_consts : n_consts + n_carry], args[n_consts + n_carry :]
        steps: list[list[Value]] = []
        for i in range(params["length"]):
            at = params["length"] - 1 - i if params["reverse"] else i
            out = self.run(inner.jaxpr, inner.consts, [*consts, *carry, *(self._take(x, at) for x in xs)])
            carry, collected = out[:n_carry], out[n_carry:]
            steps.append(collected)
        if params["reverse"]:
            steps.reverse()
        return [*carry, *(self._stack([step[k] for step in steps]) for k in range(len(steps[0]) if steps else 0))]

    def _take(self, x: Value, at: int) -> Value:
        return jet.rearrange([x], lambda a: a[at], self.setting)[0] if isinstance(x, Jet) else x[at]

    def _stack(self, values: list[Value]) -> Value:
        if all(map(known, values)):
            return jnp.stack(values)
        jets = [lift(v, self.setting) for v in values]
        return jet.rearrange(jets, lambda *parts: jnp.stack(parts), self.setting)[0]

    # --- rules --------------------------------------------------------------------------------------------------------

    def rearrange(self, eqn: Any, args: list[Value]) -> list[Value]:
        """Moves entries about, and so acts on every coefficient alike. Integers and known predicates steer it."""
        operands = [jnp.issubdtype(atom.aval.dtype, jnp.floating) for atom in eqn.invars]
        jets = [lift(a, self.setting) for a, moved in zip(args, operands, strict=True) if moved]
        if eqn.primitive.name == "gather" and eqn.params["mode"] == GatherScatterMode.FILL_OR_DROP:
            return [self.gather(eqn, jets[0], args[1])]

        def apply(*parts: jax.Array) -> Any:
            moved = iter(parts)
            return eqn.primitive.bind(
                *(next(moved) if is_operand else a for a, is_operand in zip(args, operands, strict=True)), **eqn.params
            )

        return jet.rearrange(jets, apply, self.setting)

    def gather(self, eqn: Any, a: Jet, indices: Value) -> Jet:
        """What is out of bounds is filled with a constant, which is no entry of ``a``."""

        def bind(x: Any) -> Any:
            return eqn.primitive.bind(x, indices, **{**eqn.params, "fill_value": 0.0})

        inside = bind(jnp.ones(a.shape)) == 1
        if not isinstance(inside, jax.core.Tracer) and inside.all():
            return jet.rearrange([a], bind, self.setting)[0]
        fill = eqn.params["fill_value"]
        other = lift(jnp.nan if fill is None else fill, self.setting)
        return jet.rearrange([a, other], lambda x, y: jnp.where(inside, bind(x), y), self.setting)[0]

    def logic(self, name: str, eqn: Any, args: list[Value]) -> Value:
        if name in COMPARISONS and any(isinstance(a, Truth) for a in args):
            raise UnsupportedOperation(
                f"the operation {name!r} between results of comparisons has no enclosure: use jnp.logical_and, "
                "jnp.logical_or and jnp.logical_not"
            )
        if name in COMPARISONS:
            a, b = (fit(x, args, self.setting) for x in args)
            return piecewise.compare(name, a, b, self.setting, same=eqn.invars[0] is eqn.invars[1])
        if name == "is_finite":
            fine = ball.bounded(args[0].base)
            never = jnp.zeros_like(fine)
            return Truth(fine, never, fine, never)
        if name == "select_n":
            on_false, on_true = (lift(a, self.setting) for a in args[1:])
            return piecewise.select(args[0], on_true, on_false, self.setting)
        if name in REARRANGEMENTS and len(args) == 1:
            return args[0].map(lambda part: eqn.primitive.bind(part, **eqn.params))
        truths = [a if isinstance(a, Truth) else piecewise.known(a) for a in args]
        if name == "not":
            return piecewise.negation(truths[0])
        if name == "and":
            return piecewise.conjunction(*truths)
        if name == "or":
            return piecewise.negation(piecewise.conjunction(*map(piecewise.negation, truths)))
        raise UnsupportedOperation(
            f"the operation {name!r} on the result of a comparison has no enclosure: use jnp.where"
        )
