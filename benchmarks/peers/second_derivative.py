"""The second derivative of a tanh network, 2-128-128-1, bounded over boxes: ours, plain intervals, and CROWN.

    sup |d^2 u / dx_1^2|     first over single boxes, then over [-1, 1]^2 by branch and bound at equal times

The network is trained briefly (fixed seed) on exp(-2 x_2^2) sin(3 x_1) + x_1 x_2. Ours is ``enclose.range_bound``:
Taylor jets of the derivative. Plain intervals carry values, first and second derivatives through the layers, with the
exact ranges of tanh, tanh' and tanh''. CROWN gets the second derivative as a network of powers and products (the
package bound-propagation has no derivative of tanh): t (1 - t^2) as a product, or t - t^3 with its third power. For
branch and bound every method starts from 64 boxes and halves those with the largest bounds, peers across the longest
side.

    python -m assay.benchmarks.peers.second_derivative [--peer-python ENV/bin/python] [--quick] [--json [FILE]]

For orientation: order-1 bounds of a second derivative of a network of this size took 444 s to come within 1.001 of what
branch and bound gave (Eiras et al. 2024, partial-CROWN; on their network).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import Array
from rich.console import Console

from ...verify.enclose import Range, range_bound
from ...verify.enclose import range_search as search
from .. import command
from . import plain_intervals
from .box_methods import Bounds, by_width, check, in_jax, samples
from .crown_peer import INSTALL, Crown, PeerError, as_arrays, run
from .plain_intervals import Interval, Layers

AXIS = 0
TIMES = (1.0, 3.0, 10.0, 30.0)
WIDTHS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64)
BATCH = 64
ORDERS = (3, 5)  # interpolation points per axis, ours
LEVELS = (1.01, 1.001, 1.0001)  # of the largest value attained
ROUNDING = 1e-9  # relative: ours covers its own, which a peer that ignores it does not pay for


def trained(steps: int, seed: int = 0, width: int = 128) -> Layers:
    """The network of the module's docstring, by Adam on 2048 points."""
    keys = jax.random.split(jax.random.PRNGKey(seed), 4)
    sizes = (2, width, width, 1)
    weights = [
        (jax.random.normal(k, (m, n)) * (1.5 / n) ** 0.5, jax.random.normal(jax.random.fold_in(k, 1), (m,)) * 0.3)
        for k, n, m in zip(keys, sizes, sizes[1:], strict=False)
    ]
    X = jax.random.uniform(keys[3], (2048, 2), minval=-1.0, maxval=1.0)
    y = jnp.exp(-2 * X[:, 1] ** 2) * jnp.sin(3 * X[:, 0]) + X[:, 0] * X[:, 1]
    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def loss(weights: Any) -> Array:
        out = jax.vmap(in_jax(weights))(X)[:, 0]
        return jnp.mean((out - y) ** 2)

    @jax.jit
    def run(weights: Any) -> Any:
        def step(carry: Any, _: None) -> Any:
            weights, state = carry
            updates, state = optimiser.update(jax.grad(loss)(weights), state)
            return (optax.apply_updates(weights, updates), state), None

        return jax.lax.scan(step, (weights, optimiser.init(weights)), None, length=steps)[0][0]

    return [(np.asarray(W), np.asarray(b)) for W, b in run(weights)]


def values_of(layers: Layers) -> Callable[[np.ndarray], np.ndarray]:
    """The second derivative at points [*n, 2] -> [*n, 1]."""
    fn = in_jax(layers)
    direction = jnp.eye(2)[AXIS]

    def at(x: Array) -> Array:
        def slope(y: Array) -> Array:
            return jax.jvp(fn, (y,), (direction,))[1]

        return jax.jvp(slope, (x,), (direction,))[1]

    compiled = jax.jit(lambda X: jax.lax.map(at, X, batch_size=1024))
    return lambda X: np.asarray(compiled(X.reshape(-1, 2))).reshape(*X.shape[:-1], 1)


@dataclass
class Trace:
    """The upper bound of sup |.| while it sinks."""

    name: str
    points: list[tuple[float, float, int]] = field(default_factory=list)  # seconds, bound, boxes so far
    compile_seconds: float = 0.0
    verdict: str = "sound"
    counts: bool = True  # whether it is compared with: not where it is wrong by more than rounding

    def at(self, seconds: float) -> float:
        return min((bound for t, bound, _ in self.points if t <= seconds), default=np.inf)

    def reaches(self, level: float) -> float:
        """When the bound first was at most that."""
        return min((t for t, bound, _ in self.points if bound <= level), default=np.inf)

    def boxes(self, seconds: float) -> int:
        return max((n for t, _, n in self.points if t <= seconds), default=0)


# --- the methods ------------------------------------------------------------------------------------------------------


def by_intervals(layers: Layers) -> Bounds:
    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[Interval, float]:
        start = time.perf_counter()
        out = plain_intervals.second_derivative(layers, AXIS, low, high)
        return out, time.perf_counter() - start

    return bounds


def by_peer(peer: Crown, layers: Layers, method: str, cubes: bool) -> Bounds:
    more: dict[str, Any] = {"axis": AXIS} | ({"cubes": 1} if cubes else {})
    name = peer.model(f"second, {cubes}", as_arrays(layers, **more))
    return lambda low, high: peer.bounds(name, "second", method, low, high)


def by_assay(layers: Layers, order: int) -> Bounds:
    """What ``range_bound`` does to each box."""
    fn = in_jax(layers)
    compiled = jax.jit(jax.vmap(partial(search._bound, fn, order, (AXIS, 2))))
    compiled(np.zeros((BATCH, 2)), np.ones((BATCH, 2)))[0].block_until_ready()

    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[Interval, float]:
        start = time.perf_counter()
        lower, upper, *_ = (x.copy() for x in search._evaluate(compiled, low, high, BATCH))
        return Interval(lower[:, None], upper[:, None]), time.perf_counter() - start

    return bounds


# --- branch and bound -------------------------------------------------------------------------------------------------


def best_first(name: str, bounds: Bounds, seconds: float, low: np.ndarray, high: np.ndarray) -> tuple[Trace, Interval]:
    """Halve the boxes with the largest bounds. The trace, and the bounds over the whole domain that came out."""
    first = search._start(low, high, BATCH)
    lows, highs, lower, upper = first.low, first.high, first.lower, first.upper
    fresh, out, spent, count = np.arange(len(lows)), Trace(name), 0.0, 0
    while spent <= seconds:
        try:
            found, own = bounds(lows[fresh], highs[fresh])
        except PeerError as error:
            out.verdict = str(error)
            break
        start = time.perf_counter()
        count += len(fresh)
        lower[fresh] = np.fmax(lower[fresh], found.lower[:, 0])  # NaN bounds nothing: the parent's stays
        upper[fresh] = np.fmin(upper[fresh], found.upper[:, 0])
        size = np.maximum(upper, -lower)
        spent += own
        out.points.append((spent, float(size.max()), count))
        split = np.argsort(-size)[: BATCH // 2]
        axis = np.argmax((highs - lows)[split], axis=1)
        at = np.arange(len(split)), axis
        left, right = highs[split].copy(), lows[split].copy()
        left[at] = right[at] = (lows[split][at] + highs[split][at]) / 2
        n = len(lows)
        highs = np.concatenate([highs, highs[split]])  # the right halves; the left ones stay where their parents were
        lows = np.concatenate([lows, right])
        highs[split] = left
        lower, upper = np.concatenate([lower, lower[split]]), np.concatenate([upper, upper[split]])
        fresh = np.concatenate([split, np.arange(n, n + len(split))])
        spent += time.perf_counter() - start
    return out, Interval(np.array([[lower.min()]]), np.array([[upper.max()]]))


def by_range_bound(
    layers: Layers, order: int, seconds: float, low: np.ndarray, high: np.ndarray
) -> tuple[Trace, Range]:
    out = Trace(f"assay.range_bound, order {order}")

    def progress(r: Range) -> None:
        out.points.append((r.seconds, max(r.upper, -r.lower), r.boxes))

    start = time.perf_counter()
    found = range_bound(
        in_jax(layers), low, high, order=order, derivative=(AXIS, 2), gap=0.0, seconds=seconds, progress=progress
    )
    out.compile_seconds = time.perf_counter() - start - found.seconds
    return out, found


# --- the tables -------------------------------------------------------------------------------------------------------


def single_boxes(layers: Layers, methods: dict[str, Bounds], boxes: int, points: int) -> list[dict[str, Any]]:
    """Width of the bounds over the sampled range, no splitting."""
    rng, value = np.random.default_rng(0), values_of(layers)
    rows = []
    for width in WIDTHS:
        low = -1 + np.floor(rng.random((boxes, 2)) * 2 / width) * width
        X = samples(low, low + width, points, rng)
        values = value(X)
        sampled = np.max(values, axis=1) - np.min(values, axis=1)
        for name, bounds in methods.items():
            row: dict[str, Any] = {"method": name, "box width": width}
            try:
                bounds(low[:BATCH], low[:BATCH] + width)  # warm
                found, seconds = bounds(low, low + width)
            except PeerError as error:
                rows.append(row | {"median": "-", "max": "-", "boxes/s": "-", "verdict": str(error)})
                continue
            excess = (found.upper - found.lower) / sampled
            size = np.max(np.abs(values)) + 0 * sampled
            row |= {"median": float(np.median(excess)), "max": float(np.max(excess)), "boxes/s": round(boxes / seconds)}
            rows.append(row | {"verdict": check(found, X, values, size=size).verdict})
    return rows


def peers_methods(peer: Crown | None, layers: Layers) -> dict[str, Bounds]:
    methods: dict[str, Bounds] = {"plain intervals": by_intervals(layers)}
    if peer is not None:
        for label, cubes in (("products", False), ("cubes", True)):
            methods[f"CROWN, {label}"] = by_peer(peer, layers, "crown", cubes)
            methods[f"CROWN-IBP, {label}"] = by_peer(peer, layers, "crown-ibp", cubes)
        methods["alpha-CROWN, products"] = by_peer(peer, layers, "alpha-crown", False)
    return methods


def over_time(
    layers: Layers, methods: dict[str, Bounds], seconds: float, grid: np.ndarray
) -> tuple[list[Trace], float]:
    """Branch and bound over [-1, 1]^2 by everybody, ours last; and the largest value attained, proved in interval
    arithmetic at a point (``Range.attained_upper``). A bound below that is wrong, were it by the last digit.
    """
    low, high = -np.ones(2), np.ones(2)
    values = values_of(layers)(grid)
    traces, attained = [], 0.0
    for name, bounds in methods.items():
        with contextlib.suppress(PeerError):
            bounds(np.zeros((BATCH, 2)), np.ones((BATCH, 2)))  # warm
        trace, whole = best_first(name, bounds, seconds, low, high)
        if trace.verdict == "sound":
            trace.verdict = check(whole, grid, values).verdict
        traces.append(trace)
    for order in ORDERS:
        trace, found = by_range_bound(layers, order, seconds, low, high)
        trace.verdict = check(Interval(np.array([[found.lower]]), np.array([[found.upper]])), grid, values).verdict
        traces.append(trace)
        attained = max(attained, found.attained_upper, -found.attained_lower)
    for trace in traces:
        excess = attained - trace.at(seconds)
        trace.counts = "UNSOUND" not in trace.verdict and excess <= ROUNDING * attained
        if trace.verdict == "sound" and excess > 0:
            trace.verdict = f"UNSOUND {excess / attained:.0e}"
    return traces, attained


def measure(peer: Crown | None, quick: bool) -> dict[str, Any]:
    steps, boxes, points, side, times = (300, 64, 200, 401, TIMES[:2]) if quick else (2000, 64, 1000, 1001, TIMES)
    layers = trained(steps)
    methods = peers_methods(peer, layers)
    mine = {f"assay, order {m}": by_assay(layers, m) for m in ORDERS}
    single = single_boxes(layers, {**methods, **mine}, boxes, points)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 2), axis=-1).reshape(1, -1, 2)
    traces, largest = over_time(layers, methods, times[-1], grid)
    rows = [
        {
            "method": t.name,
            **{f"{s:g} s": t.at(s) for s in times},
            "at last, over attained - 1": t.at(times[-1]) / largest - 1,
            **{f"s to {level:g}": t.reaches(level * largest) for level in LEVELS},
            "boxes": t.boxes(times[-1]),
            "compile s": t.compile_seconds,
            "verdict": t.verdict,
        }
        for t in traces
    ]
    ours, others = traces[-len(ORDERS) :], [t for t in traces[: -len(ORDERS)] if t.counts]
    verdicts = [r["verdict"] for r in [*rows, *single] if r["method"].startswith("assay")]
    holds = {"no bound of ours is violated": not any("UNSOUND" in v for v in verdicts)}
    for s in times:
        best, other = (min(t.at(s) for t in group) for group in (ours, others))
        holds[f"ours is as tight as any at {s:g} s"] = best <= (1 + ROUNDING) * other
    for level in LEVELS:
        best, other = (min(t.reaches(level * largest) for t in group) for group in (ours, others))
        holds[f"ours is the first within {level:g} of the largest value"] = best <= other
    version = INSTALL if peer is None else peer.version
    return {"peer": version, "largest attained": largest, "single boxes": single, "over time": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"bound-propagation: {result['peer']}", highlight=False)
    title = "One box: width over the sampled range, median and (max) over boxes, at each box width"
    console.print(command.table(title, by_width(result["single boxes"], ("method",))))
    title = (
        f"Upper bounds of sup |u_xx| over [-1, 1]^2 at equal times; largest attained {result['largest attained']:.8g}"
    )
    rows = [
        {k: f"{v:.6g}" if k.endswith(" s") and k[0].isdigit() else v for k, v in r.items()} for r in result["over time"]
    ]
    console.print(command.table(title, rows))


def main(arguments: list[str] | None = None) -> int:
    return run(__doc__, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
