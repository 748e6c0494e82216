"""Ranges, derivatives and rounding errors of JAX functions over boxes."""

import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.verify.enclose import (
    UnsupportedOperation,
    ball,
    coefficients,
    directional,
    enclose,
    gram_bound,
    norm_bound,
    rounding_error,
)
from assay.verify.enclose.ball import Ball

INF = float("inf")


def network(sizes, seed=0, activation=jnp.tanh):
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(a, b)) / math.sqrt(a), 0.3 * rng.normal(size=b)) for a, b in itertools.pairwise(sizes)]

    def fn(x):
        for W, b in layers[:-1]:
            x = activation(x @ W + b)
        return x @ layers[-1][0] + layers[-1][1]

    return fn


def check_range(fn, boxes, looseness=INF, n=1000):
    """Sampled values lie inside; over the first box the width is at most ``looseness`` times that of the sample."""
    low, high = (np.array([box[end] for box in boxes], float) for end in (0, 1))
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * low.shape[1]), -1).reshape(-1, low.shape[1])
    t = np.concatenate([rng.uniform(size=(n, low.shape[1])), corners])
    points = np.clip(low + t[:, None] * (high - low), low, high)
    values = np.asarray(jax.jit(jax.vmap(jax.vmap(fn)))(points))
    lower, upper = map(np.asarray, jax.jit(jax.vmap(lambda a, b: enclose(fn, a, b)))(low, high))
    slack = 1e-13 * (1 + np.abs(values).max(0))  # the sample itself is rounded
    assert lower.shape == values.shape[1:]
    assert np.all(lower <= values.min(0) + slack) and np.all(values.max(0) <= upper + slack)
    if looseness < INF:
        width = values[:, 0].max(0) - values[:, 0].min(0)
        assert np.max(upper[0] - lower[0]) <= looseness * np.max(width) + 1e-12


FUNCTIONS = {
    "tanh network": (network((2, 8, 8, 3)), 12.0),
    "sine network": (network((2, 8, 3), activation=jnp.sin), 8.0),
    "softplus network": (network((2, 8, 3), activation=jax.nn.softplus), 8.0),
    "sigmoid network": (network((2, 8, 3), activation=jax.nn.sigmoid), 8.0),
    "gelu network": (network((2, 8, 3), activation=jax.nn.gelu), 8.0),
    "exact gelu network": (network((2, 8, 3), activation=lambda x: jax.nn.gelu(x, approximate=False)), 8.0),
    "silu network": (network((2, 8, 3), activation=jax.nn.silu), 8.0),
    "relu network": (network((2, 8, 3), activation=jax.nn.relu), 8.0),
    "elu network": (network((2, 4, 3), activation=jax.nn.elu), 40.0),
    "leaky relu network": (network((2, 4, 3), activation=jax.nn.leaky_relu), 40.0),
    "residual network": (lambda x: x + jnp.tanh(x * 2) - 0.5 * jnp.tanh(x), 3.0),
    "identity": (lambda x: x, 1.01),
    "constant": (lambda x: jnp.ones(3) * 0.1, 1.0),
    "polynomial": (lambda x: x**3 - x[::-1] ** 2 + 0.5 * x.sum(), 4.0),
    "quotient": (lambda x: x / (2 + x[0]), 4.0),
    "powers": (lambda x: (2 + x) ** 1.5 * (3.0 + x) ** -0.5 + (2 + x[0]) ** x[1], 5.0),
    "exp of log": (lambda x: jnp.exp(-jnp.log(3 + x)), 2.0),
    "norm across zero": (lambda x: jnp.linalg.norm(x), 2.0),
    "norm away from zero": (lambda x: jnp.sqrt((x + 2) @ (x + 2)), 1.5),
    "absolute value": (lambda x: jnp.abs(x), 1.01),
    "clip": (lambda x: jnp.clip(x, -0.1, 0.2), 1.01),
    "where": (lambda x: jnp.where(x > 0, x, 0.1 * x), 4.0),
    "where, two conditions": (lambda x: jnp.where((x > -0.5) & ~(x >= 0.5), x * x, 1.0), 3.0),
    "max over entries": (lambda x: jnp.max(jnp.concatenate([x, x**2])), 1.5),
    "softmax": (jax.nn.softmax, 4.0),
    "log-sum-exp": (jax.nn.logsumexp, 4.0),
    "rearrangements": (lambda x: jnp.stack([x[1], x[0], *jnp.roll(x, 1)]).reshape(2, 2).T.at[0].set(1.0)[::-1], 1.01),
    "gather": (lambda x: x[jnp.array([1, 0, 1])] * jnp.pad(x, (0, 1)), 4.0),
    "einsum": (lambda x: jnp.einsum("i,j,ij->j", x, x, jnp.arange(4.0).reshape(2, 2)), 4.0),
    "loop": (lambda x: jax.lax.fori_loop(0, 3, lambda i, y: jnp.tanh(y + x), x), 4.0),
    "scan": (lambda x: jax.lax.scan(lambda c, w: (jnp.sin(c * w), c), x, jnp.arange(3.0))[1], 6.0),
    "checkpointed": (jax.checkpoint(lambda x: jnp.sin(x) * jnp.cos(x)), 3.0),
    "logarithm of two": (lambda x: jnp.log1p(x + 1) + jnp.expm1(x) + jnp.exp2(x) + jnp.square(x), 3.0),
    "mean and variance": (lambda x: jnp.stack([x.mean(), x.var(), jnp.cumsum(x)[1]]), 4.0),
    "gradient of softplus": (lambda x: jax.jvp(jax.nn.softplus, (x,), (x,))[1], 6.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sampled_values_lie_inside(name):
    fn, looseness = FUNCTIONS[name]
    boxes = [
        ([-0.3, 0.2], [0.1, 0.7]),
        ([-1.0, -0.9], [0.9, 0.9]),
        ([0.3, -0.2], [0.3, -0.2]),
        ([0.0, 0.0], [1e-9, 0.5]),
    ]
    check_range(fn, boxes, looseness)


def test_a_point_is_enclosed_to_rounding():
    fn = network((2, 16, 16, 2))
    lower, upper = enclose(fn, [0.1, 0.2], [0.1, 0.2])
    assert np.all(upper - lower < 1e-12)


def test_it_compiles_and_batches():
    fn = network((2, 4, 2))
    low = np.random.default_rng(0).uniform(-1, 0, (5, 2))
    lower, upper = jax.jit(jax.vmap(lambda a, b: enclose(fn, a, b)))(low, low + 0.1)
    for i in range(5):
        one = enclose(fn, low[i], low[i] + 0.1)
        np.testing.assert_allclose(lower[i], one[0], rtol=1e-12)
        np.testing.assert_allclose(upper[i], one[1], rtol=1e-12)


# --- what cannot be bounded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(np.nan, 0.0), (0.0, np.nan), (-INF, INF), (0.0, INF), (INF, INF)])
def test_no_finite_box_no_finite_bound(low, high):
    for fn in (jnp.tanh, jax.nn.relu, lambda x: jnp.where(x > 0, 1.0, x), jnp.sin, lambda x: x[:1] * 0.0):
        lower, upper = enclose(fn, [low, 0.0], [high, 1.0])
        assert (float(lower[0]), float(upper[0])) == (-INF, INF)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: 1 / x,
        jnp.log,
        lambda x: jnp.sqrt(x - 1e-9),
        lambda x: jnp.exp(1000 * (x + 1)),
        lambda x: x * jnp.nan,
        lambda x: x + jnp.inf,
        lambda x: (x - 0.5) ** -2,
        lambda x: x**0.5 * -1e-9 + jnp.log(x),
    ],
)
def test_outside_the_domain_the_bounds_are_infinite(fn):
    lower, upper = enclose(fn, [0.0], [1.0])
    assert (float(lower[0]), float(upper[0])) == (-INF, INF)


def test_nan_weights_give_infinite_bounds():
    W = np.ones((2, 3))
    W[0, 1] = np.nan
    lower, upper = enclose(lambda x: jnp.tanh(x @ W), [0.0, 0.0], [1.0, 1.0])
    assert np.isinf(lower[1]) and np.isinf(upper[1]) and np.all(np.isfinite(lower[::2]))


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (jnp.sort, "sort"),
        (jnp.floor, "floor"),
        (jnp.arctan, "atan"),
        (lambda x: jnp.fft.fft(x).real, "complex128"),
        (lambda x: x.astype(jnp.float32).astype(jnp.float64), "float32"),
        (lambda x: jax.lax.dot(x, jnp.eye(2), precision="F32_F32_F32"), "F32_F32_F32"),
        (lambda x: jnp.where((x > 0) == (x[::-1] > 0), x, 2 * x), "'eq' between results of comparisons"),
        (lambda x: jnp.where((x > 0) != jnp.array([True, False]), x, 2 * x), "'ne' between results of comparisons"),
        (lambda x: jnp.where((x > 0) < (x > 1), x, 2 * x), "'lt' between results of comparisons"),
    ],
)
def test_an_unsupported_operation_is_named(fn, name):
    with pytest.raises(UnsupportedOperation, match=name):
        enclose(fn, [0.0, 0.0], [1.0, 1.0])
    assert issubclass(UnsupportedOperation, ValueError)


def test_a_function_that_only_looks_like_logaddexp_is_enclosed_as_what_it_is():
    @jax.custom_jvp
    def logaddexp(a, b):
        return a * b

    logaddexp.defjvp(lambda primals, tangents: (logaddexp(*primals), tangents[0]))
    check_range(lambda x: logaddexp(x, 3.0), [([-1.0, 0.0], [1.0, 1.0])], 1.01)


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="float64"):
        enclose(lambda x: x.astype(jnp.float32) * 2, [0.0], [1.0])
    with pytest.raises(ValueError, match="lower exceeds upper"):
        enclose(jnp.sin, [0.0, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="two vectors"):
        enclose(jnp.sin, [0.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="one array"):
        enclose(lambda x: (x, x), [0.0], [1.0])
    with pytest.raises(ValueError, match=re.escape("jnp.where")):
        enclose(lambda x: (x > 0) * x, [-1.0], [1.0])


def test_weights_in_single_precision_are_converted_exactly():
    W = jnp.asarray([[0.1, 0.7]], jnp.float32)
    lower, upper = enclose(lambda x: x @ W.astype(jnp.float64), [1.0], [1.0])
    exact = np.asarray(W, np.float64)[0]
    assert np.all(lower <= exact) and np.all(exact <= upper)


# --- derivatives ------------------------------------------------------------------------------------------------------


def derivatives(fn, x, axis, order):
    """d_axis^m fn / m! at x, by nested forward differentiation."""
    direction = jnp.eye(x.size)[axis]
    g, out = (lambda t: fn(x + t * direction)), []
    for m in range(1, order + 1):
        g = jax.jacfwd(g)
        out.append(g(0.0) / math.factorial(m))
    return jnp.stack(out)


@pytest.mark.parametrize(
    "name",
    ["sine network", "softplus network", "exact gelu network", "powers", "quotient", "einsum", "loop"],
)
def test_taylor_coefficients_hold_the_derivatives(name):
    fn, order = FUNCTIONS[name][0], 3
    low, high = np.array([-0.3, 0.2]), np.array([0.1, 0.5])
    _, terms = coefficients(fn, low, high, order)
    lower, upper = np.asarray(ball.lower(terms)), np.asarray(ball.upper(terms))
    points = np.random.default_rng(0).uniform(low, high, (50, 2))
    for axis in range(2):
        values = np.asarray(jax.jit(jax.vmap(lambda x, axis=axis: derivatives(fn, x, axis, order)))(points))
        assert np.all(lower[:, axis] <= values.min(0) + 1e-11) and np.all(values.max(0) <= upper[:, axis] + 1e-11)
        size = np.maximum(np.abs(lower[:, axis]), np.abs(upper[:, axis]))
        assert np.all(size <= 30 * np.abs(values).max(0) + 1e-9)


def test_coefficients_of_a_ridge_function_are_sharp_at_every_order():
    """tanh(w.x) along an axis: the range of tanh^(m), at inflection points and extrema too."""
    w = np.array([0.8, -0.5])
    low, high = np.array([-0.6, -0.4]), np.array([0.9, 1.0])
    _, terms = coefficients(lambda x: jnp.tanh(w @ x), low, high, 6)
    t = np.linspace(0.8 * -0.6 - 0.5, 0.8 * 0.9 + 0.2, 4001)
    for m in range(1, 7):
        values = np.polynomial.Polynomial([float(c) for c in _tanh_polynomial(m)])(np.tanh(t)) * 0.8**m
        lower, upper = float(ball.lower(terms[m - 1, 0])), float(ball.upper(terms[m - 1, 0]))
        assert values.min() - 1e-6 <= lower <= values.min() + 1e-12
        assert values.max() - 1e-12 <= upper <= values.max() + 1e-6


def _tanh_polynomial(m):
    """tanh^(m) / m! as a polynomial of tanh."""
    p = np.polynomial.Polynomial([0.0, 1.0])
    for k in range(1, m + 1):
        p = p.deriv() * np.polynomial.Polynomial([1.0, 0.0, -1.0]) / k
    return p.coef


def test_mixed_derivatives():
    fn = network((2, 6, 2))
    low, high = np.array([-0.2, 0.1]), np.array([0.0, 0.3])
    mixed = directional(fn, low, high, [jnp.array([[1.0, 0.0]] * 2), np.eye(2)], (2, 1))
    hessian_x = jax.jacfwd(jax.jacfwd(jax.jacfwd(fn)))
    points = np.random.default_rng(0).uniform(low, high, (30, 2))
    values = np.asarray(jax.jit(jax.vmap(hessian_x))(points))[:, :, 0, 0, :] / 2  # [n, k, axis]
    for axis in range(2):
        assert np.all(np.asarray(ball.lower(mixed))[axis] <= values[:, :, axis].min(0))
        assert np.all(values[:, :, axis].max(0) <= np.asarray(ball.upper(mixed))[axis])


def test_across_a_kink_there_is_a_slope_but_no_curvature():
    _, terms = coefficients(lambda x: jax.nn.relu(x) + jnp.abs(x), [-1.0], [1.0], 2)
    assert (round(float(ball.lower(terms[0, 0, 0])), 9), round(float(ball.upper(terms[0, 0, 0])), 9)) == (-1.0, 2.0)
    assert np.isinf(float(ball.upper(terms[1, 0, 0])))
    _, terms = coefficients(lambda x: jax.nn.relu(x) + jnp.abs(x), [0.5], [1.0], 2)
    assert float(ball.upper(terms[1, 0, 0])) < 1e-12


def test_a_jump_has_no_slope():
    _, terms = coefficients(lambda x: jnp.where(x > 0, 1.0, 0.0) * x[0], [-1.0], [1.0], 1)
    assert np.isinf(float(ball.upper(terms[0, 0, 0])))


# --- rounding ---------------------------------------------------------------------------------------------------------


def in_extended_precision(layers, x):
    """The network in numpy's long double, 64 bits of mantissa or more."""
    y = np.asarray(x, np.longdouble)
    for W, b in layers[:-1]:
        y = np.tanh(y @ W.astype(np.longdouble) + b)
    return y @ layers[-1][0].astype(np.longdouble) + layers[-1][1]


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is double on this machine")
def test_the_rounding_of_a_network_is_covered():
    rng = np.random.default_rng(0)
    sizes = (3, 64, 64, 4)
    layers = [(rng.normal(size=(a, b)), rng.normal(size=b)) for a, b in itertools.pairwise(sizes)]

    def fn(x):
        for W, b in layers[:-1]:
            x = jnp.tanh(x @ W + b)
        return x @ layers[-1][0] + layers[-1][1]

    low, high = np.full(3, -0.5), np.full(3, 0.5)
    error = np.asarray(rounding_error(fn, low, high))
    assert np.all(error < 1e-9)
    points = rng.uniform(low, high, (500, 3))
    exact = in_extended_precision(layers, points)
    for computed in (jax.vmap(fn)(points), np.stack([fn(x) for x in points[:20]]), _by_hand(layers, points)):
        worst = np.abs(np.asarray(computed) - exact[: len(computed)]).max(0)
        assert np.all(worst > 0) and np.all(worst <= error)
    lower, upper = map(np.asarray, enclose(fn, low, high, computed=True))
    assert np.all(lower <= exact.min(0) - worst) and np.all(exact.max(0) + worst <= upper)


def _by_hand(layers, x):
    """float64, every sum from the last term to the first, starting with the bias."""
    for i, (W, b) in enumerate(layers):
        total = np.broadcast_to(b, (len(x), len(b)))
        for k in reversed(range(len(W))):
            total = total + x[:, k : k + 1] * W[k]
        x = np.tanh(total) if i < len(layers) - 1 else total
    return x


def test_the_rounding_error_of_many_operations_is_finite():
    for name in (
        "gelu network",
        "softplus network",
        "relu network",
        "leaky relu network",
        "powers",
        "quotient",
        "scan",
    ):
        error = np.asarray(rounding_error(FUNCTIONS[name][0], [-0.3, 0.2], [0.1, 0.7]))
        assert np.all((error >= 0) & np.isfinite(error)) and error.max() > 0, name
        assert name != "gelu network" or np.all(error < 1e-12)


def test_the_compilers_rewriting_is_within_the_rounding_error():
    for fn, x, exact in [
        (lambda x: (x + 1.0) + 2.0**-60, -1.0, 2.0**-60),
        (lambda x: jnp.exp(x) * jnp.exp(-x) * x, 600.0, 600.0),
        (lambda x: x / 49.0, 3.7, 3.7 / 49.0),
    ]:
        assert abs(float(jax.jit(fn)(x)) - exact) <= float(rounding_error(fn, [x], [x])[0])
    assert float(rounding_error(lambda x: x / 1.7e308, [1e308], [1e308])[0]) == INF


# --- norms ------------------------------------------------------------------------------------------------------------


def test_the_norm_bound_is_an_upper_bound_and_uses_cancellation():
    rng = np.random.default_rng(0)
    M = rng.normal(size=(40, 6))
    M[:, 3] = M[:, 2] + 1e-6 * M[:, 3]
    x = Ball(jnp.asarray(rng.normal(size=6)), jnp.asarray(np.abs(rng.normal(size=6)) * 0.1))
    bound = float(norm_bound(M, gram_bound(M), x))
    samples = np.asarray(x.mid) + np.asarray(x.rad) * rng.choice([-1.0, 0.0, 1.0], (5000, 6))
    found = np.linalg.norm(samples @ M.T, axis=1).max()
    componentwise = np.linalg.norm(np.abs(M @ np.asarray(x.mid)) + np.abs(M) @ np.asarray(x.rad))
    assert found <= bound <= 1.3 * found and bound < componentwise
    point = Ball(x.mid, jnp.zeros(6))
    assert float(norm_bound(M, gram_bound(M), point)) == pytest.approx(np.linalg.norm(M @ np.asarray(x.mid)), rel=1e-12)
    assert float(norm_bound(M, gram_bound(M), Ball(x.mid, x.rad.at[0].set(jnp.inf)))) == INF


def test_no_derivative_at_all_is_the_value_and_negative_orders_are_refused():
    low, high = [0.5, 1.0], [1.0, 2.0]
    for orders in ((0,), (0, 0)):
        out = directional(lambda x: x[0] * x[1], low, high, [np.eye(2)] * len(orders), orders)
        assert (np.asarray(ball.lower(out)) <= 0.5).all() and (np.asarray(ball.upper(out)) >= 2.0).all()
        assert (np.asarray(ball.upper(out)) <= 2.1).all()
    with pytest.raises(ValueError, match="negative"):
        directional(lambda x: x[0], low, high, [np.eye(2)], (-1,))


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: jnp.zeros(3).at[jnp.array([0, 1])].add(x), "scatter-add"),
        (lambda x: jax.lax.scan(lambda c, y: (c, y * c), x[0], jnp.zeros((0, 2)))[1].sum() + x[1], "no steps"),
    ],
)
def test_what_has_no_rule_is_named(fn, message):
    with pytest.raises(UnsupportedOperation, match=message):
        enclose(fn, [0.0, 0.0], [1.0, 1.0])


def test_a_box_without_inputs_is_refused():
    with pytest.raises(ValueError, match="two vectors"):
        enclose(lambda x: x, [], [])
