"""Every rule of the enclosures against ball arithmetic (Arb, by python-flint): how many checks, how many violations.

One check: an interval, a float64 point in it, and one enclosed quantity (the value or a Taylor coefficient), which is
evaluated at the point to more than 50 digits; a violation is a value that certainly lies outside. Intervals crowd where
such code tends to be wrong: inflection points and extrema of derivatives, zero, one ulp or no width at all, 1e300,
1e-300, subnormal numbers, the edge of the domain. A bound that is infinite cannot be violated; the share of such checks
is shown.

    python -m assay.benchmarks.soundness.enclosure_soundness [--checks 1000000] [--only tanh]
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flint import arb, arb_series, ctx, fmpq

from ...verify.enclose import ball, coefficients, elementary, piecewise, rounding_error, sigmoidal
from ...verify.enclose.ball import Ball

ctx.prec = 240
ORDER = 5  # derivatives 0 to 5 of every function
BATCH = 8192

Rule = Callable[..., list[Ball]]  # balls of one shape -> enclosures of that shape
Truth = Callable[..., list[arb]]  # points -> the exact values of the same quantities


@dataclass(frozen=True)
class Operation:
    """A rule of the enclosures and what it encloses."""

    name: str
    rule: Rule
    truth: Truth
    inputs: int = 1
    special: tuple[float, ...] = (0.0,)  # where intervals crowd
    domain: tuple[float, float] = (-math.inf, math.inf)


@dataclass
class Tally:
    """What the checks of one rule have found so far."""

    checks: int = 0
    violations: int = 0
    infinite: int = 0
    worst: list[str] = field(default_factory=list)  # the first few violations, spelled out


# --- intervals and points ---------------------------------------------------------------------------------------------


def intervals(op: Operation, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """lower, upper and a point of each of n intervals."""
    special = np.array(op.special)
    sign = rng.choice([-1.0, 1.0], n)
    centre = np.choose(
        rng.integers(0, 5, n),
        [
            rng.normal(size=n) * 3,
            special[rng.integers(0, special.size, n)],
            special[rng.integers(0, special.size, n)] + sign * 10 ** rng.uniform(-17, -1, n),
            sign * 10 ** rng.uniform(-323, 0, n),
            sign * 10 ** rng.uniform(0, 308, n),
        ],
    )
    width = np.choose(
        rng.integers(0, 5, n),
        [
            np.zeros(n),
            np.spacing(np.abs(centre)) * rng.integers(1, 4, n),
            np.abs(centre) / 4 * 10 ** rng.uniform(-16, 0.5, n),
            10 ** rng.uniform(-18, 1, n),
            10 ** rng.uniform(-320, 2, n),
        ],
    )
    one_sided = rng.choice([0.0, 0.5, 1.0], n, p=[0.15, 0.7, 0.15])
    largest = np.finfo(float).max
    with np.errstate(over="ignore"):
        low = np.clip(centre - one_sided * width, max(op.domain[0], -largest), largest)
        high = np.clip(centre + (1 - one_sided) * width, low, min(op.domain[1], largest))
    low = np.minimum(low, high)
    nearest = special[np.argmin(np.abs(special[:, None] - (low / 2 + high / 2)), axis=0)]
    inside = low / 2 + high / 2 + (high / 2 - low / 2) * rng.uniform(-1, 1, n)
    point = np.choose(rng.integers(0, 4, n), [low, high, inside, nearest])
    return low, high, np.clip(point, low, high)


# --- truth ------------------------------------------------------------------------------------------------------------


@cache
def tanh_polynomial(j: int) -> tuple[int, ...]:
    """tanh^(j) = (1 - T^2) P_j(T): P_1 = 1, P_(j+1) = (1 - T^2) P_j' - 2 T P_j."""
    if j == 1:
        return (1,)
    p = tanh_polynomial(j - 1)
    out = [0] * (len(p) + 1)
    for i, c in enumerate(p):
        if i:
            out[i - 1] += i * c
        out[i + 1] -= (i + 2) * c
    return tuple(out)


def _tanh(x: float, m: int = ORDER) -> list[arb]:
    T, s = arb(x).tanh(), arb(x).sech() ** 2
    out = [T]
    for j in range(1, m + 1):
        value = arb(0)
        for c in reversed(tanh_polynomial(j)):
            value = value * T + c
        out.append(s * value / math.factorial(j))
    return out


def _logistic(x: float, m: int = ORDER) -> list[arb]:
    """By power series of u / (1 + u), u = exp(-|t|), which is reflected: logistic(t) = 1 - logistic(-t).

    Near zero the even derivatives vanish, and tanh gives them to relative precision.
    """
    if abs(x) < 1:
        T = _tanh(x / 2, m)
        return [(1 + T[0]) / 2, *(T[j] / 2 ** (j + 1) for j in range(1, m + 1))]
    u = arb_series([-arb(abs(x)), -1], m + 1).exp()
    q = u / (1 + u)
    if x > 0:
        return [1 - q[0], *(-q[j] for j in range(1, m + 1))]
    return [q[j] * (-1) ** j for j in range(m + 1)]


def _softplus(x: float) -> list[arb]:
    S = _logistic(x, ORDER - 1)
    return [arb(max(x, 0.0)) + (-arb(abs(x))).exp().log1p(), *(S[j - 1] / j for j in range(1, ORDER + 1))]


def _erf(x: float) -> list[arb]:
    g = 2 / arb.pi().sqrt() * (-(arb(x) ** 2)).exp()
    return [
        arb(x).erf(),
        *((-1) ** (j - 1) * g * arb(x).hermite_h(j - 1) / math.factorial(j) for j in range(1, ORDER + 1)),
    ]


def _power(alpha: Fraction, x: float) -> list[arb]:
    out = []
    for j in range(ORDER + 1):
        c = elementary.binomial(alpha, j)
        exponent = alpha - j
        whole = exponent.denominator == 1
        value = arb(x) ** int(exponent) if whole else arb(x) ** arb(fmpq(exponent.numerator, exponent.denominator))
        value = arb(0) if x == 0 and exponent > 0 else value
        out.append(arb(fmpq(c.numerator, c.denominator)) * value if c else arb(0))
    return out


def _log(x: float, shift: int = 0) -> list[arb]:
    z = arb(x) + shift
    first = arb(x).log1p() if shift else z.log()
    return [first, *((-1) ** (j - 1) / (j * z**j) for j in range(1, ORDER + 1))]


def _cycle(x: float, start: int) -> list[arb]:
    S, C = arb(x).sin(), arb(x).cos()
    return [(S, C, -S, -C)[(j + start) % 4] / math.factorial(j) for j in range(ORDER + 1)]


def _exp(x: float, base: float = math.e) -> list[arb]:
    rate = arb(2).log() if base == 2 else arb(1)
    return [(rate * arb(x)).exp() * rate**j / math.factorial(j) for j in range(ORDER + 1)]


# --- the operations ---------------------------------------------------------------------------------------------------


def _unary(name: str, taylor: elementary.Taylor, truth: Truth, *special: float, positive: bool = False) -> Operation:
    domain = (0.0, math.inf) if positive else (-math.inf, math.inf)
    places = tuple(sorted({0.0, 1.0, *special, *([] if positive else [-s for s in special])}))
    return Operation(name, partial(_list, taylor), truth, special=places, domain=domain)


def _list(taylor: elementary.Taylor, X: Ball) -> list[Ball]:
    value, derivatives = taylor(X, ORDER)
    return [value, *(derivatives[j] for j in range(derivatives.shape[0]))]


def _binary(name: str, rule: Callable[[Ball, Ball], Ball], truth: Callable[[arb, arb], arb]) -> Operation:
    return Operation(name, lambda a, b: [rule(a, b)], lambda x, y: [truth(arb(x), arb(y))], 2, (0.0, 1.0, -1.0))


def _larger(a: Ball, b: Ball) -> Ball:
    return piecewise.larger(a, b)


def _dot(*balls: Ball) -> Ball:
    x, y = (Ball(jnp.stack([b.mid for b in part]), jnp.stack([b.rad for b in part])) for part in (balls[:4], balls[4:]))
    return ball.bilinear(x, y, lambda p, q: jnp.sum(p * q, axis=0), 4)


_MATRIX = np.array([[1.0, -1e-3, 3.0, 0.1], [1e-310, 7e200, -2.0, 1.0], [0.0, -0.0, 1e-200, 1e16]])


def _matrix(*balls: Ball) -> list[Ball]:
    x = Ball(jnp.stack([b.mid for b in balls]), jnp.stack([b.rad for b in balls]))
    A = ball.absolute_matrix(_MATRIX)
    out = ball.linear(
        x, lambda v: jnp.tensordot(jnp.asarray(_MATRIX), v, 1), lambda v: jnp.tensordot(A, v, 1), _MATRIX.shape[1]
    )
    return [out[i] for i in range(3)]


def _matrix_truth(*x: float) -> list[arb]:
    return [sum((arb(w) * arb(v) for w, v in zip(row, x, strict=True)), arb(0)) for row in _MATRIX.tolist()]


def _extrema(table: Callable[[int], tuple[sigmoidal.Extremum, ...]], to_x: Callable[[float], float]) -> set[float]:
    return {to_x((e[0] + e[1]) / 2) for j in range(1, ORDER + 1) for e in table(j)}


def operations() -> list[Operation]:
    bends = _extrema(sigmoidal.tanh_extrema, math.atanh)
    twice = {2 * x for x in bends}
    waves = {k * math.pi / 2 for k in (*range(9), 101, 10**6, 2**29)}
    edge = 2.2250738585072014e-308
    powers = [
        _unary(f"integer_pow {n}", elementary.integer_power(n), partial(_power, Fraction(n)), edge)
        for n in (-3, -2, -1, 2, 3, 4, 7)
    ]
    real = [
        _unary(f"pow {a}", elementary.real_power(a), partial(_power, Fraction(a)), edge, positive=True)
        for a in (2.5, -0.3, 1 / 3)
    ]
    return [
        _unary("tanh", sigmoidal.tanh, _tanh, *bends, 20.0, 372.0),
        _unary("logistic", sigmoidal.logistic, _logistic, *twice, 37.0, 708.4),
        _unary("softplus", sigmoidal.softplus, _softplus, *twice, 37.0, 708.4),
        _unary("erf", sigmoidal.erf, _erf, *_extrema(sigmoidal.hermite_extrema, float), 6.0, 26.6, 40.0),
        _unary("erfc", sigmoidal.erfc, lambda x: [arb(x).erfc(), *(-c for c in _erf(x)[1:])], 0.7, 6.0, 26.6),
        _unary("exp", elementary.exp, _exp, 708.4, 709.8, 745.0),
        _unary("exp2", elementary.exp2, partial(_exp, base=2), 1022.0, 1024.0),
        _unary("expm1", elementary.expm1, lambda x: [arb(x).expm1(), *_exp(x)[1:]], 37.0, 709.8),
        _unary("log", elementary.log, _log, edge, positive=True),
        _unary("log1p", elementary.log1p, partial(_log, shift=1), -0.414, positive=True),
        _unary("sin", elementary.sin, partial(_cycle, start=0), *waves),
        _unary("cos", elementary.cos, partial(_cycle, start=1), *waves),
        _unary("sqrt", elementary.sqrt, partial(_power, Fraction(1, 2)), edge, positive=True),
        _unary("rsqrt", elementary.rsqrt, partial(_power, Fraction(-1, 2)), edge, positive=True),
        *powers,
        *real,
        _unary("abs", lambda X, m: (elementary.absolute(X), ball.nothing(X)), lambda x: [abs(arb(x))], edge),
        _binary("add", ball.add, lambda x, y: x + y),
        _binary("sub", ball.sub, lambda x, y: x - y),
        _binary("mul", ball.mul, lambda x, y: x * y),
        _binary("div", lambda a, b: ball.mul(a, ball.reciprocal(b)), lambda x, y: x / y),
        _binary("max", _larger, lambda x, y: x.max(y)),
        _binary("union", ball.union, lambda x, y: x),
        _binary("scale", lambda a, b: ball.scale(a, 1e-309), lambda x, y: x * arb(1e-309)),
        Operation("dot", lambda *b: [_dot(*b)], lambda *p: [sum(arb(p[i]) * arb(p[i + 4]) for i in range(4))], 8),
        Operation("dense", _matrix, _matrix_truth, 4),
    ]


# --- checking ---------------------------------------------------------------------------------------------------------


def check(op: Operation, checks: int, seed: int = 0, batch: int = BATCH) -> Tally:
    """At least this many checks of one rule."""
    rng = np.random.default_rng(seed)
    tally = Tally()
    bounds = jax.jit(lambda low, high: _bounds(op, low, high))
    while tally.checks < checks:
        parts = [intervals(op, batch, rng) for _ in range(op.inputs)]
        low, high, points = (np.stack(column) for column in zip(*parts, strict=True))
        enclosures = [np.asarray(b) for b in bounds(low, high)]
        for i in range(batch):
            exact = op.truth(*points[:, i].tolist())
            _compare(tally, exact, enclosures[0][:, i], enclosures[1][:, i])
    return tally


def _bounds(op: Operation, low: jax.Array, high: jax.Array) -> tuple[jax.Array, jax.Array]:
    out = op.rule(*(ball.from_bounds(a, b) for a, b in zip(low, high, strict=True)))
    return jnp.stack([ball.lower(b) for b in out]), jnp.stack([ball.upper(b) for b in out])


def _compare(tally: Tally, exact: list[arb], lower: np.ndarray, upper: np.ndarray) -> None:
    for value, a, b in zip(exact, lower.tolist(), upper.tolist(), strict=True):
        tally.checks += 1
        if a == -math.inf and b == math.inf:
            tally.infinite += 1
        elif math.isnan(a) or math.isnan(b) or value.is_nan() or value < arb(a) or value > arb(b):
            tally.violations += 1
            if len(tally.worst) < 3:
                tally.worst.append(f"{value.str(20)} not in [{a!r}, {b!r}]")


# --- whole networks ---------------------------------------------------------------------------------------------------

Layers = list[tuple[np.ndarray, np.ndarray]]


def random_network(rng: np.random.Generator, sizes: tuple[int, ...]) -> Layers:
    pairs = itertools.pairwise(sizes)
    return [(rng.normal(size=(a, b)) * 1.5 / math.sqrt(a), 0.5 * rng.normal(size=b)) for a, b in pairs]


def evaluate(layers: Layers, x: jax.Array) -> jax.Array:
    """tanh network times exp of the first input: what the program says in float64."""
    scale = jnp.exp(0.3 * x[0])
    for W, b in layers[:-1]:
        x = jnp.tanh(x @ W + b)
    return (x @ layers[-1][0] + layers[-1][1]) * scale


def exact_series(layers: Layers, x: np.ndarray, axis: int, order: int) -> list[list[arb]]:
    """The Taylor coefficients of ``evaluate`` along one axis."""
    y = [arb_series([arb(v), 1] if i == axis else [arb(v)], order + 1) for i, v in enumerate(x.tolist())]
    scale = (arb(0.3) * y[0]).exp()
    for at, (W, b) in enumerate(layers):
        constants = [arb_series([arb(c)], order + 1) for c in b.tolist()]
        y = [
            sum((arb(w) * v for w, v in zip(column, y, strict=True)), c)
            for column, c in zip(W.T.tolist(), constants, strict=True)
        ]
        if at < len(layers) - 1:
            u = [(-2 * v).exp() for v in y]
            y = [(1 - e) / (1 + e) for e in u]
    return [[(v * scale)[k] for k in range(order + 1)] for v in y]


def networks(checks: int, seed: int = 0, order: int = 6) -> dict[str, Tally]:
    """Coefficients of random networks over random boxes, and how far their float64 values are from the exact ones."""
    rng = np.random.default_rng(seed)
    jets, rounding = Tally(), Tally()

    def over_box(layers: Layers, a: jax.Array, b: jax.Array) -> tuple[Ball, Ball, jax.Array]:
        fn = partial(evaluate, layers)
        return *coefficients(fn, a, b, order), rounding_error(fn, a, b)

    enclosed = jax.jit(jax.vmap(over_box, in_axes=(None, 0, 0)))
    evaluated = jax.jit(jax.vmap(jax.vmap(evaluate, in_axes=(None, 0)), in_axes=(None, 0)))
    while jets.checks < checks:
        layers = random_network(rng, (2, 6, 6, 2))
        centre = rng.uniform(-1, 1, (64, 2))
        width = 10 ** rng.uniform(-9, -0.3, (64, 2)) * (rng.uniform(size=(64, 2)) < 0.9)
        boxes = centre - width, centre + width
        value, terms, lost = enclosed(layers, *boxes)
        lost = np.asarray(lost)
        of_value, of_terms = ([np.asarray(end(y)) for end in (ball.lower, ball.upper)] for y in (value, terms))
        points = np.clip(rng.uniform(*boxes, size=(8, 64, 2)), *boxes)
        values = np.asarray(evaluated(layers, points))
        for n, i in np.ndindex(8, 64):
            axis = int(rng.integers(2))
            for k, exact in enumerate(exact_series(layers, points[n, i], axis, order)):
                lower, upper = (np.append(v[i, k], t[i, :, axis, k]) for v, t in zip(of_value, of_terms, strict=True))
                _compare(jets, exact, lower, upper)
                computed = values[n, i, k]
                _compare(rounding, [arb(computed) - exact[0]], -lost[i, k : k + 1], lost[i, k : k + 1])
    return {"jets of networks": jets, "rounding of networks": rounding}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checks", type=int, default=1_000_000, help="per operation")
    parser.add_argument("--only", default="", help="operations whose name contains this")
    options = parser.parse_args()
    print(f"{'operation':22}{'checks':>10}{'violations':>12}{'infinite':>10}{'seconds':>9}", flush=True)
    failed = 0
    chosen = [op for op in operations() if options.only in op.name]
    for op in chosen:
        start = time.perf_counter()
        failed += _report({op.name: check(op, options.checks)}, start)
    if options.only in "networks":
        start = time.perf_counter()
        failed += _report(networks(options.checks), start)
    return 1 if failed else 0


def _report(tallies: dict[str, Tally], start: float) -> int:
    seconds = time.perf_counter() - start
    for name, t in tallies.items():
        print(f"{name:22}{t.checks:10}{t.violations:12}{t.infinite / t.checks:10.1%}{seconds:9.1f}", flush=True)
        for line in t.worst:
            print(f"    {line}")
    return sum(t.violations for t in tallies.values())


if __name__ == "__main__":
    sys.exit(main())
