"""JAX functions as programs of jets: with ``programs`` the only file that knows how JAX writes a function down.

``propagate`` walks the equations of a traced function and hands each to a rule. Three kinds of values flow: jets,
truths (undecided comparisons), and arrays that are known exactly. Float arithmetic among known arrays makes jets too,
for it rounds. Calls (jit, custom_jvp, remat, ...) are inlined, loops of known length unrolled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.lax import GatherScatterMode

from ...solvers.precision import fewer_digits
from . import ball, composition, elementary, factors, jet, piecewise, sigmoidal
from .ball import Ball
from .jet import Jet, Setting
from .piecewise import Truth
from .programs import inner_programs, is_logaddexp, needed_equations
from .rounding import local_error, rounded

Value = Any  # Jet | Truth | jax.Array | np.ndarray

REARRANGEMENTS = {
    *("reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "slice", "split", "rev", "copy", "copy_p"),
    *("concatenate", "stack", "pad", "gather", "scatter", "dynamic_slice", "dynamic_update_slice", "select_n", "tile"),
    *("stop_gradient", "optimization_barrier"),
}
UNARY: dict[str, elementary.Taylor] = {
    "tanh": sigmoidal.tanh,
    "logistic": sigmoidal.logistic,
    "erf": sigmoidal.erf,
    "erfc": sigmoidal.erfc,
    "exp": elementary.exp,
    "exp2": elementary.exp2,
    "expm1": elementary.expm1,
    "log": elementary.log,
    "log1p": elementary.log1p,
    "sin": elementary.sin,
    "cos": elementary.cos,
    "sqrt": elementary.sqrt,
    "rsqrt": elementary.rsqrt,
    "square": elementary.square,
}
EXACT = REARRANGEMENTS | {"iota", "convert_element_type"}  # of known arrays, they give known arrays
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
CALLS = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}


class UnsupportedOperation(ValueError):
    """A function uses an operation that has no rule; the message names it."""


def propagate(program: ClosedJaxpr, x: Jet, setting: Setting) -> Jet:
    (out,) = _Walk(setting).run(program.jaxpr, program.consts, [x])
    return jet.tighten(out if isinstance(out, Jet) else _lift(out, setting), setting)


def _lift(value: Value, setting: Setting) -> Jet:
    """A known array as a jet."""
    if isinstance(value, Jet):
        return value
    if isinstance(value, Truth):
        raise UnsupportedOperation("arithmetic on the result of a comparison is not supported: use jnp.where")
    return jet.constant(ball.point(jnp.asarray(value, jnp.float64)), setting.sums is None)


def _known(value: Value) -> bool:
    return not isinstance(value, (Jet, Truth))


def _identity(value: Value) -> Any:
    """Equal for the same value: small known arrays by their entries, everything else by the object."""
    if _known(value) and not isinstance(value, jax.core.Tracer) and np.size(value) <= 64:
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
        if all(map(_known, args)) and (not floats or name in EXACT):
            out = eqn.primitive.bind(*args, **params)
            return list(out) if eqn.primitive.multiple_results else [out]
        self._refuse_other_floats(eqn)
        if any(isinstance(a, Truth) for a in args) or name in COMPARISONS or name == "is_finite":
            return [self.logic(name, eqn, args)]
        if name in REARRANGEMENTS:
            return self.rearrange(eqn, args)
        if name in LIGHT and (name != "neg" or _known(args[0]) or args[0].exponent is None):
            return [self.arithmetic(name, eqn, args)]
        known = self.factored(name, eqn, args)
        return [self.setting.compile_separately(lambda: self.arithmetic(name, eqn, args)) if known is None else known]

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
            return [self.logaddexp(_fit(args[0], args, self.setting), _fit(args[1], args, self.setting))]
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
        if all(map(_known, values)):
            return jnp.stack(values)
        jets = [_lift(v, self.setting) for v in values]
        return jet.rearrange(jets, lambda *parts: jnp.stack(parts), self.setting)[0]

    def logaddexp(self, a: Jet, b: Jet) -> Jet:
        """b + softplus(a - b), without the kink that the program's max and abs would seem to have."""
        out = jet.add(b, composition.unary(sigmoidal.softplus, jet.sub(a, b), self.setting))
        return self._lossy("logaddexp", {}, [ball.magnitude(a.base), ball.magnitude(b.base)], out)

    # --- rules --------------------------------------------------------------------------------------------------------

    def rearrange(self, eqn: Any, args: list[Value]) -> list[Value]:
        """Moves entries about, and so acts on every coefficient alike. Integers and known predicates steer it."""
        operands = [jnp.issubdtype(atom.aval.dtype, jnp.floating) for atom in eqn.invars]
        jets = [_lift(a, self.setting) for a, moved in zip(args, operands, strict=True) if moved]
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
        other = _lift(jnp.nan if fill is None else fill, self.setting)
        return jet.rearrange([a, other], lambda x, y: jnp.where(inside, bind(x), y), self.setting)[0]

    def logic(self, name: str, eqn: Any, args: list[Value]) -> Value:
        if name in COMPARISONS and any(isinstance(a, Truth) for a in args):
            raise UnsupportedOperation(
                f"the operation {name!r} between results of comparisons has no enclosure: use jnp.logical_and, "
                "jnp.logical_or and jnp.logical_not"
            )
        if name in COMPARISONS:
            a, b = (_fit(x, args, self.setting) for x in args)
            return piecewise.compare(name, a, b, self.setting, same=eqn.invars[0] is eqn.invars[1])
        if name == "is_finite":
            fine = ball.bounded(args[0].base)
            never = jnp.zeros_like(fine)
            return Truth(fine, never, fine, never)
        if name == "select_n":
            on_false, on_true = (_lift(a, self.setting) for a in args[1:])
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

    def arithmetic(self, name: str, eqn: Any, args: list[Value]) -> Jet:
        setting, params = self.setting, eqn.params
        if name not in supported():
            raise UnsupportedOperation(
                f"the operation {name!r} has no enclosure; supported are {', '.join(supported())}"
            )
        if name == "dot_general":
            return self.dot(eqn, args)
        if name in ("reduce_sum", "cumsum"):
            return self.sums(eqn, _lift(args[0], setting))
        if name in ("reduce_max", "reduce_min"):
            return self.extreme(name, params["axes"], _lift(args[0], setting))
        if name == "mul" and _known(args[0]) != _known(args[1]):
            return self.scaled(args)
        if name == "div" and _known(args[1]) and not _known(args[0]):
            return self.divided(*args)
        a, *others = (_fit(x, args, setting) for x in args)
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
            out = self.pow(args, a, others[0])
        elif name == "abs":
            out = piecewise.absolute(a, setting)
        elif name == "clamp":
            out = piecewise.minimum(piecewise.maximum(others[0], a, setting), others[1], setting)
        elif name in BINARY:
            out = BINARY[name](a, others[0], setting)
            if name in ("add", "add_any", "sub") and _known(args[1]):
                out = factors.shifted(out, a, args[1] if name != "sub" else -jnp.asarray(args[1]))
            elif name in ("add", "add_any") and _known(args[0]):
                out = factors.shifted(out, others[0], args[0])
        elif name == "neg":
            out = jet.neg(a)
        elif name == "convert_element_type" and params["new_dtype"] == jnp.float64:
            return a
        else:
            raise UnsupportedOperation(f"the operation {name!r} has no enclosure here")
        return self._lossy(name, params, sizes, out)

    def factored(self, name: str, eqn: Any, args: list[Value]) -> Jet | None:
        """What can be said of exponents and sources of the operands, if anything."""
        setting, jets = self.setting, [a for a in args if isinstance(a, Jet)]
        if setting.sums is not None:
            return None
        if name in ("mul", "div") and len(jets) == 1 and args[0] is not args[1] and (name == "mul" or _known(args[1])):
            a, known = (args[0], args[1]) if _known(args[1]) else (args[1], args[0])
            a = _fit(a, args, setting)
            k = jnp.broadcast_to(jnp.asarray(known), a.shape)
            if name == "mul":
                return factors.scaled(a, lambda rows: ball.scale(rows, k[None]), setting)
            inverse = ball.reciprocal(ball.point(k))
            return factors.scaled(a, lambda rows: ball.mul(rows, inverse[None]), setting)
        if name == "dot_general" and len(jets) == 1:
            return factors.through(
                jets[0], lambda a: self.dot(eqn, [a if isinstance(x, Jet) else x for x in args]), setting
            )
        if name == "reduce_sum" and jets and jets[0].exponent is not None:
            return factors.through(jets[0], lambda a: self.sums(eqn, a), setting)
        if name in ("exp", "log", "neg", "mul", "div", "sqrt", "rsqrt", "square", "integer_pow"):
            fitted = [_fit(x, args, setting) for x in args]
            if name == "mul" and eqn.invars[0] is eqn.invars[1]:
                name = "square"
            return factors.arithmetic(name, eqn.params.get("y"), fitted, setting)
        return None

    def _lossy(self, name: str, params: dict[str, Any], sizes: list[jax.Array], out: Jet) -> Jet:
        return rounded(out, local_error(name, params, sizes, ball.magnitude(out.base), self.setting))

    def scaled(self, args: list[Value]) -> Jet:
        """A jet times a known array, where computed values are followed; elsewhere ``factored`` does it."""
        known, a = (args[0], args[1]) if _known(args[0]) else (args[1], args[0])
        a = _fit(a, args, self.setting)
        k = jnp.broadcast_to(jnp.asarray(known), a.shape)
        out = jet.linear(a, lambda rows: ball.scale(rows, k[None]))
        return self._lossy("mul", {}, [ball.magnitude(a.base), jnp.abs(k)], out)

    def divided(self, a: Jet, known: Value) -> Jet:
        """A jet over a known array, likewise."""
        a = _fit(a, [a, known], self.setting)
        inverse = ball.reciprocal(ball.point(jnp.broadcast_to(jnp.asarray(known), a.shape)))
        out = jet.linear(a, lambda rows: ball.mul(rows, inverse[None]))
        return self._lossy("div", {}, [ball.magnitude(a.base), ball.magnitude(inverse)], out)

    def pow(self, args: list[Value], base: Jet, exponent: Jet) -> Jet:
        """x^alpha for one known alpha, else exp(y log x), where x > 0."""
        alpha = args[1]
        if _known(alpha) and not isinstance(alpha, jax.core.Tracer) and np.unique(np.asarray(alpha)).size == 1:
            number = float(np.ravel(np.asarray(alpha))[0])
            if number.is_integer() and abs(number) <= 64:
                return composition.unary(elementary.integer_power(int(number)), base, self.setting)
            return composition.unary(elementary.real_power(number), base, self.setting)
        logarithm = composition.unary(elementary.log, base, self.setting)
        return composition.unary(elementary.exp, composition.mul(exponent, logarithm, self.setting), self.setting)

    def dot(self, eqn: Any, args: list[Value]) -> Jet:
        bind, params = eqn.primitive.bind, eqn.params
        shape, (contracted, _) = eqn.invars[0].aval.shape, params["dimension_numbers"]
        terms = math.prod(shape[i] for i in contracted[0])
        if _known(args[0]) == _known(args[1]):
            a, b = (_lift(x, self.setting) for x in args)
            sizes = bind(ball.magnitude(a.base), ball.magnitude(b.base), **params)

            def times(x: Ball, y: Ball) -> Ball:
                return ball.bilinear(x, y, lambda p, q: bind(p, q, **params), terms)

            out = composition.product(a, b, times, self.setting)
        else:
            left = _known(args[0])
            W, a = (args[0], args[1]) if left else (args[1], args[0])

            def by(matrix: Any) -> Callable[[jax.Array], jax.Array]:
                return jax.vmap(lambda x: bind(*((matrix, x) if left else (x, matrix)), **params))

            out = factors.dot(a, by, W, terms, self.setting)
            sizes = by(ball.absolute_matrix(W))(ball.magnitude(a.base)[None])[0]
        return self._lossy("dot_general", params, [sizes], out)

    def sums(self, eqn: Any, a: Jet) -> Jet:
        """reduce_sum and cumsum."""

        def one(x: jax.Array) -> jax.Array:
            return eqn.primitive.bind(x, **eqn.params)

        terms = math.prod(a.shape)
        out = jet.linear(a, lambda rows: ball.total(rows, jax.vmap(one), terms))
        return self._lossy(eqn.primitive.name, {}, [one(ball.magnitude(a.base))], out)

    def extreme(self, name: str, axes: Sequence[int], a: Jet) -> Jet:
        """reduce_max and reduce_min, one entry after another."""
        pairwise = piecewise.maximum if name == "reduce_max" else piecewise.minimum
        for axis in sorted(axes, reverse=True):
            entries = [
                jet.rearrange([a], lambda x, i=i, axis=axis: jnp.take(x, i, axis=axis), self.setting)[0]
                for i in range(a.shape[axis])
            ]
            a = entries[0]
            for entry in entries[1:]:
                a = pairwise(a, entry, self.setting)
        return a


LIGHT = ("add", "add_any", "sub", "neg", "convert_element_type")  # not worth a boundary of their own

BINARY: dict[str, Callable[[Jet, Jet, Setting], Jet]] = {
    "add": lambda a, b, setting: jet.add(a, b),
    "add_any": lambda a, b, setting: jet.add(a, b),
    "sub": lambda a, b, setting: jet.sub(a, b),
    "max": piecewise.maximum,
    "min": piecewise.minimum,
}


@cache
def supported() -> list[str]:
    """The names of all operations that have a rule."""
    other = "mul div neg integer_pow pow abs clamp convert_element_type dot_general scan is_finite"
    sums = "reduce_sum cumsum reduce_max reduce_min"
    return sorted({*REARRANGEMENTS, *UNARY, *COMPARISONS, *CALLS, *BINARY, *other.split(), *sums.split()})


def _fit(value: Value, beside: list[Value], setting: Setting) -> Jet:
    """value as a jet of the common shape: programs may leave scalars beside arrays as they are."""
    shape = jnp.broadcast_shapes(*(np.shape(v) if _known(v) else v.shape for v in beside))
    out = _lift(value, setting)
    if out.shape == shape:
        return out
    return jet.rearrange([out], lambda x: jnp.broadcast_to(x, shape), setting)[0]
