"""Every rule against ball arithmetic, and unsound rules, which the same check must catch."""

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("flint", reason="the oracle is python-flint: pip install 'assay-pde[audit]'")

from assay.benchmarks.soundness import enclosure_soundness as oracle
from assay.verify.enclose import ball, elementary, sigmoidal
from assay.verify.enclose.ball import Ball

OPERATIONS = {op.name: op for op in oracle.operations()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_violation(name):
    tally = oracle.check(OPERATIONS[name], 3000, seed=1, batch=1000)
    assert tally.violations == 0, tally.worst
    assert tally.infinite < 0.7 * tally.checks


def test_no_violation_in_networks_and_their_rounding():
    for tally in oracle.networks(2000, seed=1, order=3).values():
        assert tally.violations == 0, tally.worst
        assert tally.infinite == 0


# --- planted faults ---------------------------------------------------------------------------------------------------


def ends_only(X, m):
    """Derivatives of tanh at the ends alone: wrong across every extremum."""
    low, high = (sigmoidal.tanh(ball.point(end(X)), m) for end in (ball.lower, ball.upper))
    value, derivatives = (ball.union(a, b) for a, b in zip(low, high, strict=True))
    return [value, *(derivatives[j] for j in range(m))]


def square_of_ends(X, m):
    low, high = ball.lower(X), ball.upper(X)
    return [ball.hull(jnp.minimum(low * low, high * high), jnp.maximum(low * low, high * high))] * (m + 1)


def exp_without_library_error(X, m):
    low, high = jnp.exp(ball.lower(X)), jnp.exp(ball.upper(X))
    return [Ball((low + high) / 2, (high - low) / 2)] * (m + 1)


def sine_of_ends(X, m):
    low, high = jnp.sin(ball.lower(X)), jnp.sin(ball.upper(X))
    return [ball.hull(jnp.minimum(low, high) - 1e-15, jnp.maximum(low, high) + 1e-15)] * (m + 1)


def missing_factorial(X, m):
    return [elementary.exp(X, 0)[0]] * (m + 1)


def product_without_rounding(a, b):
    A, B = jnp.abs(a.mid), jnp.abs(b.mid)
    return [Ball(a.mid * b.mid, A * b.rad + a.rad * B + a.rad * b.rad)]


def sum_without_rounding(a, b):
    return [Ball(a.mid + b.mid, a.rad + b.rad)]


def zero_times_subnormal(a, b):
    k = 1e-309
    return [Ball(a.mid * k, a.rad * k)]


@pytest.mark.parametrize(
    ("name", "taylor"),
    [
        ("tanh", ends_only),
        ("integer_pow 2", square_of_ends),
        ("exp", exp_without_library_error),
        ("sin", sine_of_ends),
        ("exp", missing_factorial),
    ],
)
def test_an_unsound_function_is_caught(name, taylor):
    op = OPERATIONS[name]
    broken = oracle.Operation(name, lambda X: taylor(X, oracle.ORDER), op.truth, 1, op.special, op.domain)
    assert oracle.check(broken, 1000, batch=1000).violations > 0


@pytest.mark.parametrize(
    ("name", "rule"),
    [("mul", product_without_rounding), ("add", sum_without_rounding), ("scale", zero_times_subnormal)],
)
def test_unsound_arithmetic_is_caught(name, rule):
    op = OPERATIONS[name]
    broken = oracle.Operation(name, rule, op.truth, op.inputs, op.special, op.domain)
    assert oracle.check(broken, 1000, batch=1000).violations > 0


# --- the tables of extrema --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("j", range(1, 8))
def test_extrema_of_derivatives_are_complete(j):
    T = np.linspace(-1, 1, 20001)
    P = np.polynomial.Polynomial([1, 0, -1]) * np.polynomial.Polynomial(
        [float(c) for c in sigmoidal.tanh_polynomial(j)]
    )
    extrema = sigmoidal.tanh_extrema(j)
    assert len(extrema) == j
    assert max(abs(P(T))) <= max(max(abs(e[2]), abs(e[3])) for e in extrema) * (1 + 1e-9)
    x = np.linspace(-6, 6, 20001)
    H = np.polynomial.Polynomial([float(c) for c in sigmoidal.hermite_polynomial(j)])
    bumps = sigmoidal.hermite_extrema(j)
    assert len(bumps) == j
    assert max(abs(np.exp(-x * x) * H(x))) <= max(max(abs(e[2]), abs(e[3])) for e in bumps) * (1 + 1e-9)
    assert all(e[0] < e[1] and e[2] <= e[3] <= e[2] + 1e-6 * (1 + abs(e[2])) for e in (*extrema, *bumps))
