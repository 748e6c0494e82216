"""A compiled bound of one box, applied to many: chunks on every processor.

Compiling takes from seconds to many minutes, depending on how many operations the surrogate's program has, loops
unrolled: each of them becomes thousands, whatever the order. How long it will take is estimated from their number and
told beforehand, and compiling is done in a thread of its own, so that an interrupt need not wait for its end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ...solvers.interrupts import abandon
from ...solvers.precision import in_float64
from .box_bound import BoxResult

BATCH, CHUNK = 64, 4  # boxes of one round, and of one pass through the compiled bound
AT_LEAST, PER_OPERATION = 25.0, 0.4  # seconds of compiling: of any bound, and of an operation of the surrogate
PAUSE = 0.3  # seconds between looks at the compiler
Arguments = tuple[Any, ...]


class TooLong(RuntimeError):
    """Compiling would take, or has taken, longer than it may; ``seconds``: how long it would."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"compiling takes {seconds:.0f} s")
        self.seconds = seconds


class BoxBounds:
    """Bounds of n boxes: chunks on every processor, so that few boxes cost little and many stay in cache."""

    def __init__(self, bound: Callable[[Array, Array, Any, Array], BoxResult], size: int = CHUNK) -> None:
        """
        Args:
            bound: of one box, as ``make_box_bound`` and ``make_flux_bound`` give it.
            size: boxes of one pass through it.
        """
        chunk = jax.vmap(bound, in_axes=(0, 0, None, None))

        def through(low: Array, high: Array, given: Any, always_true: Array, count: Array) -> BoxResult:
            def body(i: Array, out: BoxResult) -> BoxResult:
                one, other = (jax.lax.dynamic_slice_in_dim(x, i * size, size) for x in (low, high))
                part = chunk(one, other, given, always_true)
                return jax.tree.map(lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, i * size, 0), out, part)

            n = low.shape[0]
            nothing = BoxResult(jnp.zeros(n), jnp.zeros(n), jnp.zeros(n, jnp.int64), jnp.zeros_like(low))
            return jax.lax.fori_loop(0, count, body, nothing)

        self._size = size
        self._program = jax.jit(through)
        self._compiled: dict[Hashable, Any] = {}  # by the shapes of what is given
        self._workers = max(1, min(processors(), BATCH // size))
        self._pool = ThreadPoolExecutor(self._workers)

    def __call__(self, low: np.ndarray, high: np.ndarray, given: Any) -> BoxResult:
        """The bounds of up to ``BATCH`` boxes, one row of every result for each.

        Args:
            low, high: ends in unit coordinates, [n, d].
            given: what else the bound is told, ``BoundInputs``.
        """
        compiled = self.prepare(low.shape[1], given)
        shares = np.array_split(np.arange(len(low)), min(self._workers, -(-len(low) // self._size)))
        parts = list(self._pool.map(lambda rows: self._one(compiled, low[rows], high[rows], given), shares))
        upper, floor, axis, best = (np.concatenate(x) for x in zip(*parts, strict=True))
        return BoxResult(upper, floor, axis, best)  # type: ignore[arg-type]  # arrays of numpy

    def prepare(
        self,
        d: int,
        given: Any,
        expected: float = 0.0,
        limit: float = np.inf,
        tell: Callable[[float], None] = lambda left: None,
    ) -> Any:
        """Compile for d inputs and for arrays of the shapes of ``given``, unless that was done before.

        Args:
            expected: how many seconds that will probably take.
            limit: how many it may be expected to take.
            tell: called now and then with the seconds that are probably left.

        Raises:
            TooLong: it would take longer than ``limit``, or takes three times as long after all.
        """
        key = _shapes(d, given)
        if key in self._compiled:
            return self._compiled[key]
        if expected > limit:
            raise TooLong(expected)
        tell(expected)
        start = time.perf_counter()
        lowered = self._program.lower(*_arguments(np.zeros((1, d)), np.ones((1, d)), given, self._size))
        compiled = self._compiled[key] = _compiled_in_a_thread(lowered, start, expected, limit, tell)
        return compiled

    @in_float64  # which holds for a thread, and these have their own
    def _one(self, compiled: Any, low: np.ndarray, high: np.ndarray, given: Any) -> list[np.ndarray]:
        result = compiled(*_arguments(low, high, given, self._size))
        return [np.asarray(x)[: len(low)] for x in result]


def _arguments(low: np.ndarray, high: np.ndarray, given: Any, size: int) -> Arguments:
    n = len(low)
    filled = [np.concatenate([x, np.repeat(x[-1:], BATCH - n, 0)]) for x in (low, high)]
    return (*filled, given, np.True_, np.int64(-(-n // size)))


def _shapes(d: int, given: Any) -> Hashable:
    leaves, tree = jax.tree.flatten(given)
    return d, tree, tuple((np.shape(x), x.dtype) for x in leaves)


def _compiled_in_a_thread(
    lowered: Any, start: float, expected: float, limit: float, tell: Callable[[float], None]
) -> Any:
    """What ``lowered`` compiles to, waited for in a way that an interrupt ends."""
    made: list[Any] = []

    def work() -> None:
        try:
            made.append(lowered.compile())
        except Exception as error:
            made.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(PAUSE)
            spent = time.perf_counter() - start
            tell(max(expected - spent, 0.0))
            if spent > 3 * limit:
                raise TooLong(spent)
    except BaseException:
        abandon(thread)
        raise
    if isinstance(made[0], Exception):
        raise made[0]
    return made[0]


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
