"""A surrogate as one fixed program: its basis and its coefficients, traced once, with constants of their own.

What is proved over a box is proved of a traced JAX program. A surrogate is anybody's object: it may answer otherwise
when it is not traced, count its calls, depend on how many rows it is asked for, or have its weights changed between the
proof and its use. ``Frozen`` does none of this: each row goes through the one program that was hashed.

Its weights, the arrays among the program's constants, are apart from the ``Architecture`` that takes them: what is
compiled of one serves every network of the kind.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun
from jaxtyping import Float

from ...solvers.batching import VectorMap
from ...solvers.problem import is_traced
from ..enclose.programs import inner_programs
from . import fingerprint
from .evaluate import Model, as_float64, captured

SIZES = (1, 16, 128, 1024)  # rows per compiled call


class Architecture:
    """The coefficients [k] of one input [d] as a function of the weights, the arrays among the program's constants.

    ``key``: a hash that is equal for equal functions; ``operations``: how many the program has, loops unrolled.
    """

    def __init__(self, program: ClosedJaxpr) -> None:
        self._places = [i for i, x in enumerate(program.consts) if np.ndim(x) and np.asarray(x).dtype == np.float64]
        shapes = {i: jax.ShapeDtypeStruct(np.shape(program.consts[i]), np.float64) for i in self._places}
        self._constants = [shapes.get(i, x) for i, x in enumerate(program.consts)]
        self._program = program.jaxpr
        self.key = fingerprint.of_program(program, self._constants)
        self.operations = _operations(program.jaxpr)

    def weights_of(self, program: ClosedJaxpr) -> tuple[np.ndarray, ...]:
        """Those of a program with this architecture."""
        return tuple(program.consts[i] for i in self._places)

    def __call__(self, weights: tuple[Any, ...], p: Float[Array, " d"]) -> Float[Array, " k"]:
        constants = list(self._constants)
        for i, w in zip(self._places, weights, strict=True):
            constants[i] = w
        return jaxpr_as_fun(ClosedJaxpr(self._program, constants))(p)[0]


def _operations(jaxpr: Jaxpr) -> int:
    """How many the program has, loops unrolled: that is how they are enclosed."""
    count = 0
    for equation in jaxpr.eqns:
        inner = sum(_operations(program.jaxpr) for program in inner_programs(equation.params))
        count += equation.params.get("length", 1) * inner if inner else 1
    return count


class Frozen(Model):
    """A surrogate whose coefficients are one program, traced here: no foreign code runs when it is called.

    ``basis`` [N, k] is a copy; ``hash`` names basis and program (``fingerprint.of_model``); ``architecture`` and
    ``weights`` are the program in two parts.

    Args:
        surrogate: anything with a basis and coefficients in JAX.
        dimension: of the inputs.
        basis: to be used in place of the surrogate's own.

    Raises:
        jax.errors.JAXTypeError: the coefficients are not a JAX function.
        AttributeError: there is no basis.
        ValueError: they have side effects, call back into Python, or give no [k] for one input.
    """

    basis: Float[np.ndarray, "N k"]

    def __init__(self, surrogate: Any, dimension: int, basis: Float[np.ndarray, "N k"] | None = None) -> None:
        self.said = {}
        model = captured(surrogate)
        if model.basis is None:
            raise AttributeError("it offers no basis with coefficients")
        V = self.basis = as_float64(model.basis if basis is None else basis)
        V.flags.writeable = False
        program = fingerprint.trace(lambda p: model.coefficients(p[None])[0], dimension)
        shapes = [list(aval.shape) for aval in program.out_avals]
        if shapes != [[V.shape[1]]]:
            raise ValueError(f"coefficients(P) must have one column per mode ({V.shape[1]}), not {shapes}")
        self.hash = fingerprint.of_model(V, program)
        self.architecture = Architecture(program)
        self.weights = self.architecture.weights_of(program)
        self._one = lambda p: self.architecture(self.weights, p)
        self._rows = VectorMap(self._one, SIZES)

    def coefficients(self, P: Any) -> Any:
        """[n, d] -> [n, k], each row by itself; also when traced."""
        if not is_traced(P):
            return self._rows(P)
        return self._one(P[0])[None] if P.shape[0] == 1 else jax.vmap(self._one)(P)

    def __call__(self, P: Any) -> Any:
        return self.coefficients(P) @ self.basis.T
