"""A JAX function as a list of steps on Taylor models: plain numbers and names, which other processes can be handed.

Calls are inlined, loops of known length unrolled; everything that only moves entries becomes one table of indices,
which JAX itself gives when it is handed numbers of entries for entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.lax import GatherScatterMode

from ...solvers.precision import fewer_digits
from ..enclose.programs import is_logaddexp

CALLS = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
MOVES = {
    *("reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "slice", "split", "rev", "concatenate"),
    *("stack", "pad", "gather", "scatter", "dynamic_slice", "dynamic_update_slice", "select_n", "tile"),
}
SAME = {"stop_gradient", "copy", "copy_p", "optimization_barrier", "convert_element_type"}
PLAIN = {
    *("add", "add_any", "sub", "mul", "div", "neg", "square", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tanh"),
    *("expm1", "log1p", "logistic", "erf", "erfc", "max", "min", "abs"),
}
STEPS_AT_MOST = 20_000


@dataclass(frozen=True)
class Slot:
    """A value that depends on the input, by its number."""

    number: int


@dataclass
class Tape:
    """``steps``: (operation, setting, operands, number of the result); operands are slots or known arrays. Slot 0 is
    the input; ``results`` what comes out.
    """

    steps: list[tuple[str, Any, list[Any], int]] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    sums: int = 2  # terms of the longest sum


def record(function: Callable[..., Any], dimension: int) -> Tape:
    """The tape of a function of one input [d] that returns arrays.

    Raises:
        ValueError: an operation that there is no rule for, by name.
    """
    program = jax.make_jaxpr(lambda p: function(p))(jnp.zeros(dimension))  # as it is now: JAX remembers functions
    recorder = _Recorder()
    recorder.tape.results = recorder.run(program.jaxpr, program.consts, [Slot(0)])
    return recorder.tape


class _Recorder:
    def __init__(self) -> None:
        self.tape, self.slots = Tape(), 1

    def run(self, jaxpr: Jaxpr, consts: Any, arguments: list[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

        def read(atom: Any) -> Any:
            if not isinstance(atom, Literal):
                return values[atom]
            aval: Any = atom.aval
            return np.asarray(atom.val, aval.dtype)

        for eqn in jaxpr.eqns:
            values.update(zip(eqn.outvars, self.equation(eqn, [read(a) for a in eqn.invars]), strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def step(self, name: str, setting: Any, operands: list[Any]) -> Slot:
        if len(self.tape.steps) >= STEPS_AT_MOST:
            raise ValueError("the program has too many operations for an audit")
        kept = [x if isinstance(x, Slot) else np.asarray(x) for x in operands]
        self.tape.steps.append((name, setting, kept, self.slots))
        self.slots += 1
        return Slot(self.slots - 1)

    def equation(self, eqn: Any, x: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, eqn.params
        if name in CALLS:
            inner = next(params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in params)
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            if name == "custom_jvp_call" and is_logaddexp(closed):
                return [self.step("logaddexp", None, x)]  # as a whole: max and abs in it have kinks, it has none
            return self.run(closed.jaxpr, closed.consts, x)
        floats = any(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in eqn.outvars)
        if not any(isinstance(v, Slot) for v in x) and (not floats or name in MOVES | SAME | {"iota"}):
            out = eqn.primitive.bind(*map(jnp.asarray, x), **params)
            return [np.asarray(v) for v in out] if eqn.primitive.multiple_results else [np.asarray(out)]
        for v in eqn.outvars:
            aval: Any = v.aval
            if aval.dtype != jnp.float64:
                raise ValueError(f"the operation {name!r} gives {aval.dtype} here, for which audits have no rule")
        if asked := fewer_digits(params):
            raise ValueError(f"the operation {name!r} asks for {asked}, for which audits have no rule")
        if name == "scan":
            return self.scan(params, x)
        if name in SAME:
            return x
        if name in MOVES:
            return self.moves(eqn, x)
        if name in ("max", "min") and (same := self._unchanged(eqn, x)) is not None:
            return [same]
        if name in PLAIN:
            return [self.step(name, None, x)]
        if name == "integer_pow":
            return [self.step(name, int(params["y"]), x)]
        if name == "pow" and not isinstance(x[1], Slot) and np.ndim(x[1]) == 0:
            return [self.step(name, float(x[1]), x[:1])]
        if name == "clamp":
            return [self.step("min", None, [self.step("max", None, [x[1], x[0]]), x[2]])]
        if name == "reduce_sum":
            axes = tuple(params["axes"])
            self._longest([eqn.invars[0].aval.shape[a] for a in axes])
            return [self.step(name, axes, x)]
        if name in ("reduce_max", "reduce_min"):
            return [self.step(name, tuple(params["axes"]), x)]
        if name == "cumsum":
            return [self.cumulative(eqn, x[0])]
        if name == "dot_general":
            return [self.dot(eqn, x)]
        raise ValueError(f"the operation {name!r} has no rule in an audit")

    def _unchanged(self, eqn: Any, x: list[Any]) -> Slot | None:
        """The operand that max with -inf, or min with inf, leaves as it is, if that is what this is."""
        never = -np.inf if eqn.primitive.name == "max" else np.inf
        for value, other, atom in zip(x, x[::-1], eqn.invars, strict=True):
            if isinstance(value, Slot) and not isinstance(other, Slot) and np.all(np.asarray(other) == never):
                return value if atom.aval.shape == eqn.outvars[0].aval.shape else None
        return None

    def cumulative(self, eqn: Any, x: Any) -> Slot:
        """Sums up to every entry along an axis, as the product with a triangle of ones."""
        shape, axis = eqn.invars[0].aval.shape, eqn.params["axis"]
        terms = self._longest([shape[axis]])
        ones = np.tri(terms) if eqn.params["reverse"] else np.tri(terms).T
        letters = "abcdefghijklmnopqrstuvwxy"[: len(shape)]
        out = letters[:axis] + "z" + letters[axis + 1 :]
        return self.step("dot", (letters, letters[axis] + "z", out, max(terms, 1)), [x, ones])

    def _longest(self, sizes: list[int]) -> int:
        terms = int(np.prod(sizes, dtype=int))
        self.tape.sums = max(self.tape.sums, terms)
        return terms

    def dot(self, eqn: Any, x: list[Any]) -> Slot:
        """In einsum's letters: (left, right, result)."""
        (left, right), (batch_left, batch_right) = eqn.params["dimension_numbers"]
        one, other = (len(v.aval.shape) for v in eqn.invars)
        letters = iter("abcdefghijklmnopqrstuvwxy")
        a, b = [next(letters) for _ in range(one)], [next(letters) for _ in range(other)]
        for i, j in zip((*left, *batch_left), (*right, *batch_right), strict=True):
            b[j] = a[i]
        batch = [a[i] for i in batch_left]
        rest = [v for i, v in enumerate(a) if i not in (*left, *batch_left)]
        rest += [v for j, v in enumerate(b) if j not in (*right, *batch_right)]
        terms = self._longest([eqn.invars[0].aval.shape[i] for i in left])
        return self.step("dot", ("".join(a), "".join(b), "".join(batch + rest), max(terms, 1)), x)

    def moves(self, eqn: Any, x: list[Any]) -> list[Any]:
        moved = [isinstance(v, Slot) or jnp.issubdtype(np.asarray(v).dtype, np.floating) for v in x]
        operands, numbers, start = [], [], 0
        for value, moving, atom in zip(x, moved, eqn.invars, strict=True):
            if not moving:
                numbers.append(jnp.asarray(value))
                continue
            size = int(np.prod(atom.aval.shape, dtype=int))
            numbers.append(jnp.arange(start, start + size).reshape(atom.aval.shape))
            operands.append(value)
            start += size
        params = eqn.params
        if eqn.primitive.name == "gather" and params["mode"] == GatherScatterMode.FILL_OR_DROP:
            params = {**params, "fill_value": -1}  # what fills is no entry: refused below
        found = eqn.primitive.bind(*numbers, **params)
        out = []
        for index in found if eqn.primitive.multiple_results else [found]:
            index = np.asarray(index)
            if index.size and not (index.min() >= 0 and index.max() < start):
                raise ValueError(f"the operation {eqn.primitive.name!r} reaches beyond its operand")
            out.append(self.step("move", index, operands))
        return out

    def scan(self, params: dict[str, Any], x: list[Any]) -> list[Any]:
        """Loops of known length, step by step."""
        consts, carried = params["num_consts"], params["num_carry"]
        fixed, carry, rows = x[:consts], x[consts : consts + carried], x[consts + carried :]
        closed, outputs = params["jaxpr"], []
        steps = range(params["length"])
        for i in reversed(steps) if params["reverse"] else steps:
            out = self.run(closed.jaxpr, closed.consts, [*fixed, *carry, *(self._row(v, i) for v in rows)])
            carry = out[:carried]
            outputs.append(out[carried:])
        if outputs and outputs[0]:
            raise ValueError("loops that collect results have no rule in an audit")
        return list(carry)

    def _row(self, value: Any, i: int) -> Any:
        if isinstance(value, Slot):
            raise ValueError("loops over the input have no rule in an audit")
        return np.asarray(value)[i]
