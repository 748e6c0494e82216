"""JAX's names of operations, by the kind of rule that each has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from . import elementary, jet, piecewise, sigmoidal
from .jet import Jet, Setting

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
