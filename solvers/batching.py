"""Row-by-row evaluation of a JAX function over batches of any length, compiled once.

On few cores a loop over rows beats ``vmap``: one row's fields stay in cache, and iterative solvers stop row by row.
Rows go through a compiled loop of fixed size with a run-time trip count, so that no batch length compiles anew and none
is padded with work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .interrupts import finished
from .representative import kept_by_problem

PAUSE = 0.3  # seconds of work between moments at which a batch can be interrupted
EMBEDDED = (
    1 << 20
)  # bytes of an array up to which a program holds it: a larger one is copied, folded and hashed for long


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``jax.jit(fn)``, with the large arrays that fn closes over passed to the program instead of written into it; as
    there, they are what they were when it was traced.
    """
    programs: dict[Any, Callable[..., Any]] = {}  # by shapes and types of the arguments

    def traced(*args: Any) -> Callable[..., Any]:
        jaxpr, shapes = jax.make_jaxpr(fn, return_shape=True)(*args)
        tree = jax.tree.structure(shapes)
        large = [i for i, const in enumerate(jaxpr.consts) if getattr(const, "nbytes", 0) > EMBEDDED]
        small = {i: const for i, const in enumerate(jaxpr.consts) if i not in set(large)}
        count = len(jaxpr.consts)

        def run(given: list[Any], *args: Any) -> Any:
            consts = [small.get(i) for i in range(count)]
            for i, const in zip(large, given, strict=True):
                consts[i] = const
            return jax.tree.unflatten(tree, jax.core.eval_jaxpr(jaxpr.jaxpr, consts, *jax.tree.leaves(args)))

        return partial(jax.jit(run), [jnp.array(jaxpr.consts[i]) for i in large])

    def call(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        key = tree, tuple((np.shape(x), str(getattr(x, "dtype", type(x)))) for x in leaves)
        if key not in programs:
            programs[key] = traced(*args)
        return programs[key](*args)

    return call


def without_caches(owner: Any) -> dict[str, Any]:
    """For pickling: an object's attributes without what it computed or compiled, which any process makes anew."""
    kept = owner.__dict__.items()
    return {k: v for k, v in kept if not isinstance(getattr(type(owner), k, None), cached_property)}


class RowMap:
    """``RowMap(fn)(X, Y, ...)``: fn applied to the rows of X, Y, ..., its results stacked as host arrays.

    ``fn(*given, *row)``: what is ``given`` to a call is the same for all rows, and not compiled in.
    """

    def __init__(self, fn: Callable[..., Any], chunk: int = 32) -> None:
        self.chunk = chunk

        def rows(arrays: tuple[jax.Array, ...], count: jax.Array, given: tuple[jax.Array, ...]) -> Any:
            shapes = jax.eval_shape(fn, *given, *(x[0] for x in arrays))
            out = jax.tree.map(lambda s: jnp.zeros((chunk, *s.shape), s.dtype), shapes)

            def one(i: jax.Array, out: Any) -> Any:
                return jax.tree.map(lambda buffer, new: buffer.at[i].set(new), out, fn(*given, *(x[i] for x in arrays)))

            return lax.fori_loop(0, count, one, out)

        self._compiled = compiled(rows)
        self._pace = 1  # rows that take about PAUSE; one, until that is known

    def __call__(self, *arrays: Any, given: tuple[Any, ...] = ()) -> Any:
        hosts = [np.asarray(x) for x in arrays]
        n = len(hosts[0])
        pieces: list[Any] = []
        start = 0
        while start < n or not pieces:
            count = min(self._pace, n - start)
            rows = tuple(self._padded(x[start : start + count]) for x in hosts)
            began = time.perf_counter()
            result = finished(self._compiled, rows, jnp.asarray(count), given)
            spent = time.perf_counter() - began
            self._pace = min(self.chunk, max(1, int(PAUSE * count / max(spent, 1e-9))))
            pieces.append(jax.tree.map(lambda x, m=count: np.asarray(x)[:m], result))
            start += count
        return jax.tree.map(lambda *parts: parts[0] if len(parts) == 1 else np.concatenate(parts), *pieces)

    def _padded(self, x: np.ndarray) -> np.ndarray:
        if len(x) == self.chunk:
            return x
        full = np.zeros((self.chunk, *x.shape[1:]), dtype=x.dtype)
        full[: len(x)] = x
        return full


class VectorMap:
    """``RowMap`` for functions so small that vectorising over rows pays; batches are padded to one of few sizes.

    ``fn(*given, *row)``: what is ``given`` to a call is the same for all rows, and not compiled in.
    """

    def __init__(self, fn: Callable[..., Any], sizes: tuple[int, ...] = (16, 64, 256)) -> None:
        self.sizes = sizes
        self._compiled = compiled(lambda given, rows: jax.vmap(lambda row: fn(*given, *row))(rows))

    def __call__(self, *arrays: Any, given: tuple[Any, ...] = ()) -> Any:
        hosts = [np.asarray(x) for x in arrays]
        n = len(hosts[0])
        pieces: list[Any] = []
        start = 0
        while start < n or not pieces:
            size = next((s for s in self.sizes if s >= n - start), self.sizes[-1])
            rows = [x[start : start + size] for x in hosts]
            count = len(rows[0])
            padded = [np.concatenate([x, np.zeros((size - count, *x.shape[1:]))]) if count < size else x for x in rows]
            result = finished(self._compiled, given, padded)
            pieces.append(jax.tree.map(lambda x, m=count: np.asarray(x)[:m], result))
            start += size
        return jax.tree.map(lambda *parts: parts[0] if len(parts) == 1 else np.concatenate(parts), *pieces)


@kept_by_problem(64)
def vectorised(problem: Any, *methods: str) -> Callable[[Any], tuple[Any, ...]]:
    """P [n, d] -> what these methods of the problem give at every row, vectorised and compiled."""
    return jax.jit(jax.vmap(lambda p: tuple(getattr(problem, name)(p) for name in methods)))
