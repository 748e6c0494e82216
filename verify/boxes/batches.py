"""A compiled bound of one box, applied to many: chunks on every processor, or on every device of JAX.

A chunk holds the same boxes and is computed by the same loop wherever that is, so that bounds do not depend on how many
processors there are, nor on how many devices, if several: these are given whole chunks, in arrays of one shape. For one
device XLA compiles another program than for several, and last bits of bounds may differ between the two (an ulp of a
few was seen). Both are bounds: they charge every rounding, whichever order it comes in.

Compiling takes from seconds to many minutes, depending on how many operations the surrogate's program has, loops
unrolled: each of them becomes thousands, whatever the order. How long it will take is estimated from their number and
told beforehand, and compiling is done in a thread of its own, so that an interrupt need not wait for its end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from ...solvers.interrupts import abandon
from ...solvers.precision import in_float64
from .box_bound import BoxResult

BATCH, CHUNK = 64, 4  # boxes of one round, and of one pass through the compiled bound
AT_LEAST, PER_OPERATION = 25.0, 0.4  # seconds of compiling: of any bound, and of an operation of the surrogate
SHARES = "shares"  # the axis of the devices
PAUSE = 0.3  # seconds between looks at the compiler
Arguments = tuple[Any, ...]


class TooLong(RuntimeError):
    """Compiling would take, or has taken, longer than it may; ``seconds``: how long it would."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"compiling takes {seconds:.0f} s")
        self.seconds = seconds


class BoxBounds:
    """Bounds of n boxes: chunks on every processor, so that few boxes cost little and many stay in cache."""

    def __init__(
        self,
        bound: Callable[[Array, Array, Any, Array], BoxResult],
        size: int = CHUNK,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """
        Args:
            bound: of one box, as ``make_box_bound`` and ``make_flux_bound`` give it.
            size: boxes of one pass through it.
            devices: that compute them; all of JAX's (of the kind that it computes on) if left out.
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

        devices = jax.devices() if devices is None else devices
        self._size, self._devices = size, min(len(devices), BATCH // size)
        if self._devices > 1:
            mesh = Mesh(np.array(devices[: self._devices]), (SHARES,))
            each, all_ = PartitionSpec(SHARES), PartitionSpec()
            self._program = jax.jit(
                jax.shard_map(
                    lambda low, high, given, always_true, count: through(low, high, given, always_true, count[0]),
                    mesh=mesh,
                    in_specs=(each, each, all_, all_, each),
                    out_specs=each,
                    check_vma=False,  # the loop begins with zeros, which are the same on all of them
                )
            )
        else:
            self._program = jax.jit(through)
        self._compiled: dict[Hashable, Any] = {}  # by the shapes of what is given
        self._workers = 1 if self._devices > 1 else max(1, min(processors(), BATCH // size))
        self._pool = ThreadPoolExecutor(self._workers)

    def __call__(self, low: np.ndarray, high: np.ndarray, given: Any) -> BoxResult:
        """The bounds of up to ``BATCH`` boxes, one row of every result for each.

        Args:
            low, high: ends in unit coordinates, [n, d].
            given: what else the bound is told, ``BoundInputs``.
        """
        compiled = self.prepare(low.shape[1], given)
        chunks = -(-len(low) // self._size)
        calls = min(self._workers, chunks)  # each of one share for every device
        ends = self._size * (np.arange(calls * self._devices + 1) * chunks // (calls * self._devices))
        shares = [slice(a, min(b, len(low))) for a, b in pairwise(ends)]
        asked = [shares[i : i + self._devices] for i in range(0, len(shares), self._devices)]
        parts = list(self._pool.map(lambda some: self._one(compiled, low, high, given, some), asked))
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
        one = [slice(0, 1)] * self._devices
        lowered = self._program.lower(*self._arguments(np.zeros((1, d)), np.ones((1, d)), given, one))
        compiled = self._compiled[key] = _compiled_in_a_thread(lowered, start, expected, limit, tell)
        return compiled

    @in_float64  # which holds for a thread, and these have their own
    def _one(
        self, compiled: Any, low: np.ndarray, high: np.ndarray, given: Any, shares: list[slice]
    ) -> list[np.ndarray]:
        result = compiled(*self._arguments(low, high, given, shares))
        kept = np.concatenate([np.arange(s.stop - s.start) + i * BATCH for i, s in enumerate(shares)])
        return [np.asarray(x)[kept] for x in result]

    def _arguments(self, low: np.ndarray, high: np.ndarray, given: Any, shares: list[slice]) -> Arguments:
        """For each device ``BATCH`` boxes, its share first, and how many chunks of them are wanted."""
        filled = [np.concatenate([_filled(x[s]) for s in shares]) for x in (low, high)]
        count = np.array([-(-(s.stop - s.start) // self._size) for s in shares])
        return (*filled, given, np.True_, count if self._devices > 1 else count[0])


def _filled(x: np.ndarray) -> np.ndarray:
    last = x[-1:] if len(x) else np.zeros((1, x.shape[1]))
    return np.concatenate([x, np.repeat(last, BATCH - len(x), 0)])


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
