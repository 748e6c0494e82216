"""Truth and certificates run in float64 (IEEE 754 binary64), rounded to nearest, or not at all.

JAX's 64-bit mode is a setting of the process that anybody may change at any time, with a value of this thread's own
laid over it where one was entered. ``float64`` enters one, so that what runs inside is computed in float64 whatever
becomes of the process's; ``in_float64`` does so for a whole function, and looks at the process's before and after.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax import lax

UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2  # u = 2^-53, round to nearest
RANGE = 2.0**100  # proofs need coefficients and loads between 1/RANGE and RANGE, so that no square leaves float64

# JAX has read by now what ``import assay`` left for it in the environment: programs that a solver starts, with a JAX of
# their own, are not to find it there.
for _name, _before in getattr(sys.modules.get(__name__.split(".")[0]), "_lent", {}).items():
    if _before is None:
        os.environ.pop(_name, None)
    else:
        os.environ[_name] = _before

_ONE, _LITTLE = 1.0, 2.0**-60
_enable_x64: Callable[[bool], Any] = getattr(jax if hasattr(jax, "enable_x64") else jax.experimental, "enable_x64")  # noqa: B009

_ALGORITHMS = {preset.name for preset in lax.DotAlgorithmPreset}

P = ParamSpec("P")
T = TypeVar("T")


def rounds_to_nearest() -> bool:
    """Whether this thread rounds as proofs assume: 1 + 2^-60 and 1 - 2^-60 are 1 in no other mode."""
    return _ONE + _LITTLE == _ONE and _ONE - _LITTLE == _ONE


def require_float64() -> None:
    """Refuse to go on in single precision, or rounded elsewhere than to nearest: a bound computed so proves nothing.

    Raises:
        RuntimeError: JAX's 64-bit mode, which ``import assay`` turns on, is off, or the rounding mode another.
    """
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise RuntimeError(
            "assay needs float64, but JAX's 64-bit mode is off: remove the code that switches it off, or call "
            "jax.config.update('jax_enable_x64', True) before solving or certifying"
        )
    if not rounds_to_nearest():
        raise RuntimeError("assay needs float64 rounded to nearest, but this thread's rounding mode is another")


@contextmanager
def float64() -> Iterator[None]:
    """This thread computes in float64, compiled, promoting types as usual, NaN a value; afterwards all is as before.

    Device and precision of products of float32 are held at what they are; an algorithm that computes products of
    float64 in fewer digits, too, is not.
    """
    config: Any = jax.config
    products = config.jax_default_matmul_precision
    products = None if products in _ALGORITHMS else products
    with ExitStack() as stack:
        for setting in (
            _enable_x64(True),
            jax.disable_jit(False),
            jax.debug_nans(False),
            jax.debug_infs(False),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.default_matmul_precision(products),
            jax.default_device(config.jax_default_device),
        ):
            stack.enter_context(setting)
        yield


def in_float64(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` computed in ``float64``, or refused: before it, and before anything is returned.

    Raises:
        RuntimeError: 64-bit mode is off for the process, or the rounding mode is another, at the start or at the end:
            foreign code changed it, and what ran beside it may have been computed in single precision.
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        require_float64()
        with float64():
            result = function(*args, **kwargs)
            require_float64()  # this thread: a destructor may run anywhere
        require_float64()  # the process: so may another thread
        return result

    return checked


def gamma(operations: int) -> float:
    """gamma_n = n u / (1 - n u), the relative error of n chained roundings (Higham 2002, Lemma 3.1)."""
    return operations * UNIT_ROUNDOFF / (1 - operations * UNIT_ROUNDOFF)


def fewer_digits(params: dict[str, Any]) -> str:
    """What makes an operation of a JAX program on float64 compute in other digits, by its parameters; empty if nothing.

    An algorithm for products, such as F32_F32_F32, rounds float64 operands first; an accuracy lets functions be off.
    """
    asked = params.get("precision")
    each = asked if type(asked) is tuple else (asked,)
    plain = all(x is None or isinstance(x, lax.Precision) for x in each)
    if "dimension_numbers" in params and not plain and asked != lax.DotAlgorithmPreset.F64_F64_F64:
        return f"precision={asked}"
    return f"accuracy={params['accuracy']}" if params.get("accuracy") is not None else ""
