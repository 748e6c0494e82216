"""Enclosures of one tanh network over many boxes, by every method under the same interface, and the check of them all.

    method(low [n, d], high [n, d]) -> (bounds [n, k], seconds)

Seconds are those of the bounds alone, compiled and warm, handing boxes to another process apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ...solvers.problem import Problem
from ...verify.boxes.box_bound import unit_to_inputs
from ...verify.enclose import Ball, ball, bernstein, coefficients, rounding_error
from . import plain_intervals
from .crown_peer import Crown, as_arrays
from .plain_intervals import Interval, Layers

Bounds = Callable[[np.ndarray, np.ndarray], tuple[Interval, float]]
BATCH = 64
PRECISION = 240  # bits of the exact evaluation
DOUBT = 1e-11  # a float64 value this close to a bound, relative to its size, is evaluated exactly


@dataclass
class Method:
    """A way to enclose the network, under the interface that the module's docstring gives."""

    name: str
    bounds: Bounds
    compile_seconds: float = 0.0
    most: int = 10**9  # boxes it is given per width, where it is slow
    truth: Layers | None = None  # what its bounds are of, where that is not the network in float64


def layers_of(problem: Problem, arrays: dict[str, np.ndarray], hidden: int) -> Layers:
    """A pod-mlp in unit coordinates of a log-scaled box, without its amplitude: features are affine in the logarithms,
    so they and the normaliser go into the first layer. The folded network is what every method gets.
    """
    d = problem.inputs.dimension
    to_inputs = unit_to_inputs(problem.inputs.log, jnp.asarray(np.stack(problem.inputs.scaled_ends())))
    corners = np.concatenate([np.zeros((1, d)), np.eye(d)])
    at = np.stack([np.asarray(problem.features(to_inputs(jnp.asarray(x)))[0]) for x in corners])
    at = (at - arrays["shift"]) * arrays["gain"]
    names = [*(f"hidden_{i}" for i in range(hidden)), "head"]
    found = [(np.asarray(arrays[f"{n}.kernel"]).T, np.asarray(arrays[f"{n}.bias"])) for n in names]
    W, b = found[0]
    found[0] = (W @ (at[1:] - at[0]).T, b + W @ at[0])
    return found


def evaluate(layers: Layers, X: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n k"]:
    """The network in numpy: tanh layers, and a linear one."""
    for W, b in layers[:-1]:
        X = np.tanh(X @ W.T + b)
    return X @ layers[-1][0].T + layers[-1][1]


def in_jax(layers: Layers) -> Callable[[Array], Array]:
    """x [d] -> [k]."""

    def network(x: Array) -> Array:
        for W, b in layers[:-1]:
            x = jnp.tanh(jnp.asarray(W) @ x + b)
        return jnp.asarray(layers[-1][0]) @ x + layers[-1][1]

    return network


# --- the methods ------------------------------------------------------------------------------------------------------


def plain(layers: Layers) -> Method:
    """Textbook interval arithmetic (``plain_intervals.py``)."""

    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[Interval, float]:
        start = time.perf_counter()
        out = plain_intervals.network(layers, low, high)
        return out, time.perf_counter() - start

    return Method("plain intervals", bounds)


def crown(peer: Crown, layers: Layers, method: str, dtype: str = "float64") -> Method:
    """A method of the peer; in float32 its bounds are of the network whose weights are rounded to that."""
    name = peer.model("network", as_arrays(layers))
    label = method.replace("crown", "CROWN").replace("ibp", "IBP") + ("" if dtype == "float64" else f" {dtype}")

    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[Interval, float]:
        return peer.bounds(name, "network", method, low, high, dtype=dtype)

    truth = None if dtype == "float64" else [(_rounded(W), _rounded(b)) for W, b in layers]
    most = BATCH if method == "alpha-crown" else 10**9
    return Method(label, bounds, most=most, truth=truth)


def _rounded(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32).astype(np.float64)


def interpolated(
    fn: Callable[[Array], Array], low: Array, high: Array, m: int
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Bounds of fn [d] -> [k] by interpolation at m^d Chebyshev points (``bernstein``), or the plain enclosure where
    that is better.
    """
    box = ball.from_bounds(low, high)
    d = box.shape[0]
    points = bernstein.grid(box, m)
    plain_range, jets = coefficients(fn, low, high, m)
    slopes = jnp.sum(ball.magnitude(jets)[0], axis=0)
    at = jnp.clip(points.mid, low, high)
    spread = rounding_error(fn, low, high) + slopes * jnp.max(points.rad + jnp.abs(at - points.mid))
    centres = jax.vmap(fn)(at)
    values = Ball(centres, jnp.broadcast_to(spread, centres.shape))
    controls = bernstein.control_points(values, m, d)
    rest = bernstein.remainder(ball.magnitude(jets)[m - 1], box.rad, m)
    around = Ball(controls.mid, controls.rad + rest)
    lower, upper = jnp.min(ball.lower(around), axis=0), jnp.max(ball.upper(around), axis=0)
    lower, upper = (jnp.where(jnp.isnan(x), y, x) for x, y in ((lower, -jnp.inf), (upper, jnp.inf)))
    return jnp.maximum(lower, ball.lower(plain_range)), jnp.minimum(upper, ball.upper(plain_range))


def ours(layers: Layers, order: int) -> Method:
    """``enclose`` for order 0, else interpolation of that many points per axis."""
    fn, d = in_jax(layers), layers[0][0].shape[1]

    def one(low: Array, high: Array) -> tuple[Array, Array]:
        if order:
            return interpolated(fn, low, high, order)
        value, _ = coefficients(fn, low, high, 1)
        return ball.lower(value), ball.upper(value)

    compiled = jax.jit(jax.vmap(one))
    start = time.perf_counter()
    jax.block_until_ready(compiled(np.zeros((BATCH, d)), np.ones((BATCH, d))))
    spent = time.perf_counter() - start

    def bounds(low: np.ndarray, high: np.ndarray) -> tuple[Interval, float]:
        n = len(low)
        pad = -n % BATCH
        low, high = (np.concatenate([x, np.repeat(x[-1:], pad, axis=0)]) for x in (low, high))
        start = time.perf_counter()
        parts = [compiled(low[i : i + BATCH], high[i : i + BATCH]) for i in range(0, n + pad, BATCH)]
        lower, upper = (np.concatenate([np.asarray(p[j]) for p in parts])[:n] for j in (0, 1))
        return Interval(lower, upper), time.perf_counter() - start

    return Method(f"assay order {order}" if order else "assay.enclose", bounds, spent)


# --- the check --------------------------------------------------------------------------------------------------------


@dataclass
class Check:
    """The largest certain violation of a bound by a value, 0 where none was found; relative to the values' size."""

    violation: float = 0.0
    boxes: int = 0  # violated
    unknown: int = 0  # boxes with a bound that is NaN: neither right nor wrong

    @property
    def verdict(self) -> str:
        """In words: sound, or by how much and in how many boxes it is not."""
        words = f"UNSOUND {self.violation:.0e} in {self.boxes}" if self.boxes else "sound"
        return words + (f", NaN in {self.unknown}" if self.unknown else "")


def check(
    bounds: Interval,
    X: Float[np.ndarray, "n s d"],
    values: Float[np.ndarray, "n s k"],
    exact: Callable[[int, np.ndarray], list[Any]] | None = None,
    size: Float[np.ndarray, "n k"] | None = None,
    most: int = 4,
) -> Check:
    """Every bound against values at points of its box, relative to ``size`` (default: the largest value of the box).

    A value outside by more than DOUBT is a violation. For those closer than that to a bound ``exact`` (box, x) -> k
    numbers in ball arithmetic decides, for the ``most`` worst points of a box; without it they are left undecided.
    """
    size = np.max(np.abs(values), axis=1) if size is None else size
    size = np.where(size > 0, size, 1.0)
    out = Check()
    for i, (low, high) in enumerate(zip(bounds.lower, bounds.upper, strict=True)):
        with np.errstate(invalid="ignore", over="ignore"):
            each = np.fmax.reduce(np.fmax(low - values[i], values[i] - high) / size[i], axis=1)
        out.unknown += bool(np.isnan(low).any() or np.isnan(high).any())
        found = float(np.nanmax(each, initial=0.0))
        found = found if found > DOUBT else 0.0
        if found == 0 and exact is not None:
            for s in np.argsort(-each)[:most]:
                if not each[s] < -DOUBT:
                    beyond = np.array([_beyond(e, a, b) for e, a, b in zip(exact(i, X[i, s]), low, high, strict=True)])
                    found = max(found, float(np.max(beyond / size[i])))
        if found > 0:
            out.boxes, out.violation = out.boxes + 1, max(out.violation, found)
    return out


def _beyond(value: Any, lower: float, upper: float) -> float:
    """How far an exact value certainly lies outside of [lower, upper]; 0 where it may lie inside."""
    from flint import arb

    below = float((arb(float(lower)) - value).lower()) if np.isfinite(lower) else 0.0
    above = float((value - arb(float(upper))).lower()) if np.isfinite(upper) else 0.0
    return max(below, above, 0.0)


def exact_network(layers: Layers) -> Callable[[int, np.ndarray], list[Any]]:
    """The network at a float64 point, in ball arithmetic."""
    from flint import arb, arb_mat, ctx

    ctx.prec = PRECISION
    exact = [(arb_mat(W.tolist()), arb_mat(b[:, None].tolist())) for W, b in layers]

    def at(_: int, x: np.ndarray) -> list[Any]:
        z = arb_mat([[float(v)] for v in x])
        for i, (W, b) in enumerate(exact):
            z = W * z + b
            if i < len(exact) - 1:
                z = arb_mat([[arb(z[j, 0]).tanh()] for j in range(z.nrows())])
        return [z[j, 0] for j in range(z.nrows())]

    return at


def samples(low: np.ndarray, high: np.ndarray, count: int, rng: np.random.Generator) -> Float[np.ndarray, "n s d"]:
    """Corners, points of the surface and points inside of every box."""
    n, d = low.shape
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij"), axis=-1).reshape(-1, d)
    inside = rng.random((n, count, d))
    faces = np.where(rng.random((n, count, d)) < 1 / d, np.round(inside), inside)
    t = np.concatenate([np.broadcast_to(corners, (n, *corners.shape)), inside, faces], axis=1)
    return np.clip(low[:, None] + t * (high - low)[:, None], low[:, None], high[:, None])


def by_width(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """One line for the rows that share ``keys``: "median (max)" for every box width, and where a bound was wrong."""
    out: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        line = out.setdefault(tuple(row[k] for k in keys), {**{k: row[k] for k in keys}, "rates": [], "wrong": []})
        width = _width(row["box width"])
        if row["median"] != "-":
            line[width] = f"{row['median']:.4g} ({row['max']:.4g})"
            line["rates"].append(row["boxes/s"])
        line["compile s"] = row.get("compile s", 0.0)
        if row["verdict"] != "sound":
            line["wrong"].append(row["verdict"] if width == "-" else f"at {width}: {row['verdict']}")
    widths = list(dict.fromkeys(_width(row["box width"]) for row in rows if row["median"] != "-"))
    table = []
    for line in out.values():
        rates = line.pop("rates")
        table.append(
            {
                **{k: line[k] for k in keys},
                **{w: line.get(w, "-") for w in widths},
                "boxes/s": round(float(np.median(rates))) if rates else "-",
                "compile s": line["compile s"],
                "verdict": "; ".join(line["wrong"]) or "sound",
            }
        )
    return table


def _width(width: Any) -> str:
    if not isinstance(width, float) or width == 1:
        return "1" if width == 1 else str(width)
    if width == 0:
        return "points"
    return f"1/{round(1 / width)}" if width > 1e-3 else f"2^{round(np.log2(width))}"
