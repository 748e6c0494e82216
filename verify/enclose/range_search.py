"""The range of a scalar function, or of one of its derivatives, over a box: branch and bound, bounds from both sides.

Each box is bounded by its control points and the remainder (``bernstein``), whose derivatives are interval Taylor jets,
and by the plain enclosure if that is better. Every value at an interpolation point bounds the range from inside.
The boxes that stand out furthest are halved, along the axis with the largest remainder and variation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ...solvers.precision import in_float64
from . import ball, bernstein
from .ball import Ball
from .bounds import coefficients, directional
from .compiled import compiled
from .programs import Function

_VARIATION = 0.15  # weight of the control points' variation against the remainder, when an axis is chosen


@dataclass(frozen=True)
class Range:
    """lower <= g <= upper everywhere; values at most ``attained_lower`` and at least ``attained_upper`` occur."""

    lower: float
    upper: float
    attained_lower: float
    attained_upper: float
    boxes: int
    seconds: float

    @property
    def gap(self) -> float:
        """What is undecided on either side, relative to the range that was found."""
        undecided = max(self.upper - self.attained_upper, self.attained_lower - self.lower)
        width = self.attained_upper - self.attained_lower
        return undecided / width if width > 0 else math.inf


@dataclass
class _Leaves:
    low: np.ndarray
    high: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    axis: np.ndarray


@in_float64
def range_bound(
    fn: Function,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    order: int = 4,
    derivative: tuple[int, int] = (0, 0),
    gap: float = 1e-4,
    seconds: float = 10.0,
    boxes: int = 100_000,
    batch: int = 64,
    progress: Callable[[Range], None] | None = None,
) -> Range:
    """Bounds of fn, a function [d] -> [] or [1], or of its ``derivative`` (axis, times), d^times fn / dx_axis^times.

    Stops at the relative ``gap``, after ``seconds`` (compilation apart, once for equal programs) or ``boxes``; what it
    has then is valid, and ``progress`` is told after every batch.
    """
    low, high = np.asarray(lower, np.float64)[None], np.asarray(upper, np.float64)[None]
    bound = compiled(_over_boxes, _bound, fn, low.shape[1:], (order, tuple(derivative)))
    _evaluate(bound, low, high, batch)  # compiles
    start = time.perf_counter()
    leaves = _start(low[0], high[0], min(batch, boxes))
    found = [np.inf, -np.inf]
    done = 0
    while True:
        fresh = np.flatnonzero(leaves.axis < 0)
        results = _evaluate(bound, leaves.low[fresh], leaves.high[fresh], batch)
        leaves.lower[fresh] = np.maximum(leaves.lower[fresh], results[0])
        leaves.upper[fresh] = np.minimum(leaves.upper[fresh], results[1])
        found = [min(found[0], results[2].min()), max(found[1], results[3].max())]
        leaves.axis[fresh] = results[4]
        done += fresh.size
        elapsed = time.perf_counter() - start
        low_end, high_end = float(leaves.lower.min()), float(leaves.upper.max())
        out = Range(low_end, high_end, float(found[0]), float(found[1]), done, elapsed)
        if progress is not None:
            progress(out)
        if out.gap <= gap or elapsed > seconds or done >= boxes or not _split(leaves, found, batch):
            return out


def _over_boxes(bound: Callable) -> Callable:
    return jax.jit(jax.vmap(bound))


def _start(low: np.ndarray, high: np.ndarray, most: int) -> _Leaves:
    """The box in up to ``most`` equal parts: a batch of one box costs as much as a full one."""
    lows, highs = np.array(low[None]), np.array(high[None])
    while 2 * len(lows) <= most:
        width = highs[0] - lows[0]
        a = int(np.argmax(width))
        middle = lows[:, a] / 2 + highs[:, a] / 2
        if not ((lows[:, a] < middle) & (middle < highs[:, a])).all():
            break
        left, right = highs.copy(), lows.copy()
        left[:, a], right[:, a] = middle, middle
        lows, highs = np.concatenate([lows, right]), np.concatenate([left, highs])
    n = len(lows)
    return _Leaves(lows, highs, np.full(n, -np.inf), np.full(n, np.inf), np.full(n, -1))


def _split(leaves: _Leaves, found: list[float], batch: int) -> bool:
    """Halve the boxes that stand out most; False where none does or none can be halved."""
    excess = np.maximum(leaves.upper - found[1], found[0] - leaves.lower)
    rows = np.arange(excess.size)
    middle = leaves.low[rows, leaves.axis] / 2 + leaves.high[rows, leaves.axis] / 2
    halvable = (leaves.low[rows, leaves.axis] < middle) & (middle < leaves.high[rows, leaves.axis])
    excess = np.where(halvable, excess, 0.0)
    chosen = np.argsort(-excess)[: batch // 2]
    chosen = chosen[excess[chosen] > 0]
    if chosen.size == 0:
        return False
    left, right = (np.array(x[chosen]) for x in (leaves.high, leaves.low))
    at = np.arange(chosen.size), leaves.axis[chosen]
    left[at], right[at] = middle[chosen], middle[chosen]
    kept = np.setdiff1d(rows, chosen, assume_unique=True)
    children = {
        "low": (leaves.low[chosen], right),
        "high": (left, leaves.high[chosen]),
        "lower": (leaves.lower[chosen],) * 2,
        "upper": (leaves.upper[chosen],) * 2,
        "axis": (np.full(chosen.size, -1),) * 2,
    }
    for name, pair in children.items():
        setattr(leaves, name, np.concatenate([getattr(leaves, name)[kept], *pair]))
    return True


def _evaluate(bound: Callable, low: np.ndarray, high: np.ndarray, batch: int) -> list[np.ndarray]:
    """Boxes in chunks of one size, so that one compiled program serves all."""
    n, parts = len(low), []
    pad = -n % batch
    low, high = (np.concatenate([x, np.repeat(x[-1:], pad, axis=0)]) for x in (low, high))
    for i in range(0, n + pad, batch):
        parts.append([np.asarray(y) for y in bound(low[i : i + batch], high[i : i + batch])])
    return [np.concatenate(column)[:n] for column in zip(*parts, strict=True)]


def _bound(fn: Function, m: int, derivative: tuple[int, int], low: Array, high: Array) -> tuple[Array, ...]:
    """Bounds from outside (lower, upper) and inside (least, largest value met), and the axis to split."""
    box = ball.from_bounds(low, high)
    d = box.shape[0]
    axis, times = derivative
    along = jnp.eye(d)[axis : axis + 1]

    def at(a: Array, b: Array) -> Ball:
        if times == 0:
            return coefficients(fn, a, b, 1)[0].reshape(())
        return ball.scale(directional(fn, a, b, [along], (times,)), float(math.factorial(times))).reshape(())

    points = bernstein.grid(box, m)
    around = jnp.maximum(ball.lower(points), low), jnp.minimum(ball.upper(points), high)
    values = jax.lax.map(lambda ends: at(*ends), around)  # one after the other: a batch of boxes then stays in cache
    plain = at(low, high)
    if times == 0:
        highest = coefficients(fn, low, high, m)[1][m - 1].reshape((d,))
    else:
        both = directional(fn, low, high, [jnp.repeat(along, d, axis=0), np.eye(d)], (times, m))
        highest = ball.scale(both, float(math.factorial(times))).reshape((d,))
    controls = bernstein.control_points(values, m, d)
    rest = bernstein.remainder(ball.magnitude(highest), box.rad, m)
    lower = jnp.maximum(_less(jnp.min(ball.lower(controls)), rest), ball.lower(plain))
    upper = jnp.minimum(-_less(-jnp.max(ball.upper(controls)), rest), ball.upper(plain))
    lower, upper = (jnp.where(jnp.isnan(x), y, x) for x, y in ((lower, -jnp.inf), (upper, jnp.inf)))
    tensor = controls.mid.reshape((m,) * d)
    spread = jnp.stack([jnp.max(jnp.abs(jnp.diff(tensor, axis=a))) for a in range(d)])
    score = 2 * (box.rad / 2) ** m * ball.magnitude(highest) + _VARIATION * spread
    split = jnp.argmax(jnp.where(jnp.isfinite(score), score, box.rad * 1e100))
    return lower, upper, jnp.min(ball.upper(values)), jnp.max(ball.lower(values)), split


def _less(x: Array, by: Array) -> Array:
    """Below x - by."""
    return x - by - 2.0**-50 * (jnp.abs(x) + by) - 8 * ball.TINY
