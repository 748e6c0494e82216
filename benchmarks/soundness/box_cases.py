"""Where enclosures tend to be wrong: points, tiny and huge intervals, inflection points, float32, a second call.

For an elementary function f, bounds of f(x) - m x over an interval, with m = 0 and with m the slope of the chord, as
the layer behind f may well ask for: a linear relaxation that is too low shows there, and not in the range of f itself.
Violations are relative to max(1, |f(x)| + |m x|). Values near a bound are decided in ball arithmetic (python-flint).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ...verify.enclose import ball, coefficients
from ..peers import plain_intervals as plain
from ..peers.box_methods import Check, check
from ..peers.crown_peer import Crown, PeerError
from ..peers.plain_intervals import Interval

BITS = 1200  # sin(1e300) needs a thousand
POINTS = 24  # in every interval, besides its ends


def functions() -> dict[str, tuple[Callable, Callable, Callable, Callable | None]]:
    """In numpy, JAX, ball arithmetic and plain intervals."""
    with np.errstate(over="ignore"):
        return {
            "tanh": (np.tanh, jnp.tanh, lambda x: x.tanh(), plain.tanh),
            "sigmoid": (lambda x: 0.5 + 0.5 * np.tanh(x / 2), jax.nn.sigmoid, lambda x: (x / 2).tanh() / 2 + 0.5, None),
            "exp": (np.exp, jnp.exp, lambda x: x.exp(), plain.exp),
            "sin": (np.sin, jnp.sin, lambda x: x.sin(), None),
            "cos": (np.cos, jnp.cos, lambda x: x.cos(), None),
            "square": (np.square, jnp.square, lambda x: x * x, plain.square),
            "cube": (lambda x: x**3, lambda x: x**3, lambda x: x**3, lambda x: plain.multiply(x, plain.square(x))),
        }


def intervals(n: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Families of n intervals, [n, 1] each."""
    special = np.array([0.0, 0.6584789484624084, -0.6584789484624084, 1.3169578969248166, np.pi / 2, np.pi])
    centre = rng.choice(special, n)
    wide = np.sort(rng.normal(size=(n, 2)) * 3, axis=1)
    some = rng.normal(size=n) * 3
    sign = rng.choice([-1.0, 1.0], n)
    ends: dict[str, Any] = {
        "ordinary": wide.T,
        "points": (some, some),
        "width 1e-12 at inflections": (centre - 1e-12 * rng.random(n), centre + 1e-12 * rng.random(n)),
        "width 1e-8 to 1e-6": (some, some + 10 ** rng.uniform(-8.2, -6, n)),
        "about 1e3": np.sort(np.stack([sign * 1e3, sign * 1e3 + rng.normal(size=n)]), axis=0),
        "-1e3 to 1e3": (-1e3 * rng.random(n), 1e3 * rng.random(n)),
        "about 1e300": np.sort(np.stack([sign * 1e300, sign * 1e300 * (1 + 0.1 * rng.random(n))]), axis=0),
    }
    return {name: (low[:, None], high[:, None]) for name, (low, high) in ends.items()}


def float32_box(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest float32 interval around it, so that no violation is due to the interval's own rounding."""
    with np.errstate(over="ignore"):
        a, b = low.astype(np.float32), high.astype(np.float32)
    a = np.where(a > low, np.nextafter(a, np.float32(-np.inf)), a)
    b = np.where(b < high, np.nextafter(b, np.float32(np.inf)), b)
    return a.astype(np.float64), b.astype(np.float64)


def measure(peer: Crown | None, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row per function and family: the verdict on every method."""
    from flint import arb, ctx

    ctx.prec = BITS
    rng = np.random.default_rng(seed)
    rows = []
    for name, (value, in_jax, in_arb, in_intervals) in functions().items():
        if peer is not None:
            peer.model(name, {"function": np.array(name)})
        enclose = _enclosure(in_jax)
        for family, (low, high) in intervals(n, rng).items():
            t = np.concatenate([np.zeros((n, 1)), np.ones((n, 1)), rng.random((n, POINTS))], axis=1)
            X = np.clip(low + t * (high - low), low, high)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                chord = (value(high) - value(low)) / (high - low)
                m = np.where(np.isfinite(chord) & (rng.random((n, 1)) < 0.75), chord, 0.0)
                terms = value(X), m * X
                values = np.asarray(terms[0] - terms[1])
                size = np.maximum(np.max(np.abs(terms[0]) + np.abs(terms[1]), axis=1, keepdims=True), 1.0)

            def exact(i: int, x: np.ndarray, m: np.ndarray = m, f: Callable = in_arb) -> list[Any]:
                return [f(arb(float(x[0]))) - arb(float(m[i, 0])) * arb(float(x[0]))]

            def verdict(b: Interval, exact: Any = exact, X: Any = X, values: Any = values, size: Any = size) -> Check:
                finite = np.where(np.isfinite(size), size, 1.0)
                return check(b, X[:, :, None], values[:, :, None], exact, finite)

            row: dict[str, Any] = {"function": name, "intervals": family, "boxes": n}
            row |= _of_peer(peer, name, low, high, m, verdict)
            if in_intervals is not None:
                with np.errstate(over="ignore", invalid="ignore"):
                    image = in_intervals(Interval(low, high))
                    row["plain"] = verdict(plain.add(image, plain.scale(-m, Interval(low, high)))).verdict
            else:
                row["plain"] = "-"
            row["assay"] = verdict(Interval(*(np.asarray(x) for x in enclose(low, high, m)))).verdict
            rows.append(row)
    return rows


def _enclosure(fn: Callable[[Array], Array]) -> Callable[..., tuple[Array, Array]]:
    def one(low: Array, high: Array, m: Array) -> tuple[Array, Array]:
        value, _ = coefficients(lambda x: fn(x) - m * x, low, high, 1)
        return ball.lower(value), ball.upper(value)

    return jax.jit(jax.vmap(one))


def _of_peer(
    peer: Crown | None,
    name: str,
    low: np.ndarray,
    high: np.ndarray,
    m: np.ndarray,
    verdict: Callable[[Interval], Check],
) -> dict[str, str]:
    methods = {"IBP": ("ibp", "float64"), "CROWN": ("crown", "float64"), "CROWN, float32": ("crown", "float32")}
    out = {}
    for label, (method, dtype) in methods.items():
        if peer is None:
            out[label] = "not installed"
            continue
        a, b = (low, high) if dtype == "float64" else float32_box(low, high)
        with np.errstate(over="ignore"):
            slopes = m if dtype == "float64" else m.astype(np.float32).astype(np.float64)
        output = np.stack([-slopes, np.ones_like(m)], axis=-1)
        try:
            bounds, _ = peer.bounds(name, "scalar", method, a, b, dtype=dtype, output=output)
        except PeerError as error:
            out[label] = f"raises {str(error).split(':')[0]}"
            continue
        if dtype == "float32":  # what m has lost to float32 is granted
            with np.errstate(invalid="ignore", over="ignore"):
                loss = np.abs(m - slopes) * np.maximum(np.abs(low), np.abs(high))
                bounds = Interval(bounds.lower - loss, bounds.upper + loss)
        out[label] = verdict(bounds).verdict
    return out


def second_call(peer: Crown, seed: int = 0, n: int = 64) -> list[dict[str, Any]]:
    """x tanh(x), bounded on one set of intervals, then on another, with one bound module: as the package does by
    itself, and with the relaxations of the first call cleared by us.
    """
    rng = np.random.default_rng(seed)
    peer.model("product", {"unused": np.zeros(1)})
    rows = []
    for clear in (False, True):
        for turn, shift in (("first call", 0.0), ("second call", 1.0)):
            low = rng.random((n, 1)) + shift
            high = low + 0.5
            X = low + 0.5 * np.linspace(0, 1, 50)[None]
            values = (X * np.tanh(X))[:, :, None]
            fresh = clear or shift == 0.0
            bounds, _ = peer.bounds("product", "product", "crown", low, high, clear=fresh)
            found = check(bounds, X[:, :, None], values)
            cleared = "cleared by us" if clear else "as the package does"
            rows.append({"x tanh(x), CROWN": turn, "relaxations": cleared, "boxes": n, "verdict": found.verdict})
    return rows
