"""What is compiled of a function is kept, and found again by the function's program.

Compiling an enclosure takes seconds, tracing the function milliseconds. So every call traces the function, copies the
constants of its program, and hashes the whole (``fingerprint``): every operation, every number. Equal programs share
what was compiled, whichever function object they came from. A function whose closed-over arrays or globals have changed
has another program and is compiled anew; no answer is about what the function was before. The exception is JAX's own: a
function under ``jax.jit`` keeps the program of its first call, and that call's bytes of the arrays that it holds, while
what is enclosed has the arrays as they are now: do not change in place what a compiled function holds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
from jax import Array

from ...solvers.batching import RowMap
from .programs import FixedFunction, Function, trace

KEPT = 64  # compiled enclosures; the one that was not asked for the longest is dropped first

Bounds = Callable[..., Any]  # (function, *settings, *arrays) -> arrays
How = Callable[[Callable[..., Any]], Any]


def compiled(how: How, bounds: Bounds, fn: Function, shape: tuple[int, ...], settings: tuple[Any, ...] = ()) -> Any:
    """``how``, such as ``jax.jit``, of ``bounds(fn, *settings, ...)``; kept if the program of fn is all there is of it.

    Args:
        bounds: a function of a module, which has no state.
        shape: of the input of fn.
        settings: can be hashed.
    """
    program = trace(fn, shape)
    try:
        fixed = FixedFunction(program)
    except (ValueError, TypeError):
        return how(partial(bounds, fn, *settings))
    return _kept(how, bounds, fixed, settings)


@lru_cache(maxsize=KEPT)
def _kept(how: How, bounds: Bounds, fn: FixedFunction, settings: tuple[Any, ...]) -> Any:
    return how(partial(bounds, fn, *settings))


def call(bounds: Bounds, fn: Function, settings: tuple[Any, ...], *arrays: Any) -> Any:
    """``bounds(fn, *settings, *arrays)`` compiled; the first of the arrays is [d].

    Among values that are being traced it becomes part of what is being compiled, and ``fn`` is taken as it is.
    """
    if any(isinstance(x, Array) for x in settings) or _traced(arrays):
        return jax.jit(partial(bounds, fn, *settings))(*arrays)
    return compiled(jax.jit, bounds, fn, arrays[0].shape, settings)(*arrays)


def call_rows(bounds: Bounds, fn: Function, settings: tuple[Any, ...], *arrays: Any) -> Any:
    """The same for every row of arrays [n, d], the results stacked."""
    if _traced(arrays):
        return jax.vmap(partial(bounds, fn, *settings))(*arrays)
    return compiled(RowMap, bounds, fn, arrays[0].shape[1:], settings)(*arrays)


def _traced(arrays: Any) -> bool:
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(arrays))
