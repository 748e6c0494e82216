"""A compiled bound of one box, applied to many: chunks on every processor."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..solvers.precision import in_float64
from .box_bound import BoxResult

BATCH, CHUNK = 64, 4  # boxes of one round, and of one pass through the compiled bound


class BoxBounds:
    """Bounds of n boxes: chunks on every processor, so that few boxes cost little and many keep the cache."""

    def __init__(self, bound: Callable[[Array, Array, Any, Array], BoxResult], size: int = CHUNK) -> None:
        """``size``: boxes of one pass."""
        chunk = jax.vmap(bound, in_axes=(0, 0, None, None))

        def through(low: Array, high: Array, given: Any, alive: Array, count: Array) -> BoxResult:
            def body(i: Array, out: BoxResult) -> BoxResult:
                one, other = (jax.lax.dynamic_slice_in_dim(x, i * size, size) for x in (low, high))
                part = chunk(one, other, given, alive)
                return jax.tree.map(lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, i * size, 0), out, part)

            n = low.shape[0]
            nothing = BoxResult(jnp.zeros(n), jnp.zeros(n), jnp.zeros(n, jnp.int64), jnp.zeros_like(low))
            return jax.lax.fori_loop(0, count, body, nothing)

        self._size = size
        self._compiled = jax.jit(through)
        self._workers = max(1, min(processors(), BATCH // size))
        self._pool = ThreadPoolExecutor(self._workers)

    def __call__(self, low: np.ndarray, high: np.ndarray, given: Any) -> BoxResult:
        """All but the first axis of the results are those of one box; ``given``: what else the bound is told."""
        shares = np.array_split(np.arange(len(low)), min(self._workers, -(-len(low) // self._size)))
        parts = list(self._pool.map(lambda rows: self._one(low[rows], high[rows], given), shares))
        upper, floor, axis, best = (np.concatenate(x) for x in zip(*parts, strict=True))
        return BoxResult(upper, floor, axis, best)  # type: ignore[arg-type]  # arrays of numpy

    @in_float64  # which holds for a thread, and these have their own
    def _one(self, low: np.ndarray, high: np.ndarray, given: Any) -> list[np.ndarray]:
        n = len(low)
        filled = [np.concatenate([x, np.repeat(x[-1:], BATCH - n, 0)]) for x in (low, high)]
        result = self._compiled(*filled, given, np.True_, np.int64(-(-n // self._size)))
        return [np.asarray(x)[:n] for x in result]


def processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
