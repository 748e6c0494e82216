"""What a network loses when it is evaluated in float64: error bounds of single operations.

``jet`` encloses the function that a program means: the same operations on real numbers, its float64 constants taken as
exact. The program as it runs returns something else. Its distance from the exact value is followed through the program
as the first-order term of a jet whose base holds both values (the mean value theorem: it is multiplied by slopes taken
between them); every operation adds what it loses itself:

    sums (add, dot, reduce_sum)    gamma_N sum |terms|, N the longest sum in the program: any order, bias included
    products and quotients         4u |xy|, 8u |x/y|
    library functions              16 ulp, but 512 for log1p (128 measured), (64 + 4x^2) for erfc (507 at x = 26)
    exp                            4u |x| more, for exp(x) exp(y) may be compiled to exp(x + y)
    everything                     2^-500, for what is flushed to zero on the way

valid for IEEE float64 without fast-math and for XLA's algebraic rewriting (see ``ball``, hypothesis 4) as long as no
number on the way exceeds 2^250 and no divisor is below 2^-250 in size; beyond, the error is infinite.

Reference: Higham 2002, chapters 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from . import ball
from .ball import LIBM, U, sum_slack
from .jet import Jet, Setting, aligned

_LARGE = 2.0**250
_FLUSHED = 2.0**-500
_ULP = 2.0**-52

EXACT = {
    *("neg", "abs", "max", "min", "clamp", "select_n", "reduce_max", "reduce_min"),
    *("stop_gradient", "copy", "convert_element_type"),
}
LIBRARY: dict[str, Callable[[Array, Array], Array]] = {  # (|x|, |f(x)|) -> error
    **dict.fromkeys(("tanh", "logistic", "erf", "sqrt", "rsqrt", "expm1", "log"), lambda x, y: LIBM * y + 0 * x),
    **dict.fromkeys(("sin", "cos"), lambda x, y: jnp.where(x < 2.0**30, LIBM * y, 2.0)),
    **dict.fromkeys(("exp", "exp2"), lambda x, y: (LIBM + 8 * U * x) * y),
    "log1p": lambda x, y: 512 * _ULP * y + 0 * x,
    "erfc": lambda x, y: (64 + 4 * x * x) * _ULP * y,
    "square": lambda x, y: 4 * U * y + 0 * x,
}


def rounded(jet: Jet, error: Array | None) -> Jet:
    """The value computed may be ``error`` further away from the exact one."""
    if error is None:
        return jet
    error = jnp.broadcast_to(error, jet.shape) + _FLUSHED
    lost = ball.widen(aligned(jet, ((1,),), 1), error[None, None])
    return Jet(ball.widen(jet.base, error), None, lost, ((1,),))


def local_error(name: str, params: dict[str, Any], sizes: list[Array], out: Array, setting: Setting) -> Array | None:
    """What one operation loses, from upper bounds of the sizes of its operands and its result; None: nothing.

    Sums of products come with the sum of the products' sizes as their only size.
    """
    if setting.sums is None or name in EXACT:
        return None
    gamma = sum_slack(setting.sums)
    if name in ("add", "sub", "add_any", "logaddexp"):
        error = 2 * gamma * (sizes[0] + sizes[1])
        if name == "logaddexp":  # max(x, y) + log1p(exp(-|x - y|)), where |x - y| exp(-|x - y|) < 1
            error = 2 * error + (512 + 64) * _ULP
    elif name in ("dot_general", "reduce_sum", "cumsum"):
        error = 2 * gamma * sizes[0]
    elif name == "mul":
        error = 4 * U * sizes[0] * sizes[1]
    elif name == "div":
        error = 8 * U * out
    elif name == "integer_pow":
        error = 4 * (abs(params["y"]) + 2) * U * out
    elif name == "pow":  # pow(exp(x), y) may be compiled to exp(x y)
        error = 2.0**-40 * out
    elif name in LIBRARY:
        error = LIBRARY[name](sizes[0], out)
    else:
        raise NotImplementedError(f"no rounding error is known for the operation {name!r}")
    fine = out < _LARGE
    for size in sizes:
        fine = fine & (size < _LARGE)
    return jnp.where(fine, error, jnp.inf)
