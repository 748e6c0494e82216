"""Exponentials as factors, linear maps merged: the coefficients still hold at every point, and nothing is lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.verify.enclose import ball, coefficients, enclose

RNG = np.random.default_rng(5)
M = RNG.standard_normal((3, 2))
W, V, B = RNG.standard_normal((3, 6)), RNG.standard_normal((6, 2)), RNG.standard_normal(6)
LOW, HIGH = np.array([-0.3, 0.2]), np.array([0.4, 0.7])


def features(x):
    """What surrogates of problems with logarithmic inputs see, and their amplitude."""
    p = jnp.exp(x)
    logs = jnp.log(p)
    mean = jnp.mean(logs)
    return p, logs - mean, jnp.exp(-mean)


def answer(x):
    p, z, amplitude = features(x)
    h = jnp.tanh(jnp.concatenate([z, p[:1] / p[1]]) @ W + B)
    return amplitude, amplitude * (h @ V + 0.3)


PROGRAMS = {
    "amplitude taken out again": lambda x: answer(x)[1] / features(x)[2],
    "a linear map of an answer": lambda x: jnp.asarray(M) @ answer(x)[1],
    "scaled, negated, halved": lambda x: -(answer(x)[1] * 3.0) / jnp.array([2.0, -4.0]),
    "roots and powers": lambda x: jnp.sqrt(jnp.exp(x) * jnp.exp(2 * x)) / jnp.exp(x[0]) ** 3,
    "a root of a product with a cofactor": lambda x: jnp.sqrt(jnp.exp(x) * (2 + jnp.sin(x))) ** 2,
    "a logarithm of a product": lambda x: jnp.log(jnp.exp(3 * x) * (2 + jnp.cos(x)) / jnp.exp(x[1])),
    "a negative cofactor": lambda x: (jnp.exp(x) * -2.0) * jnp.exp(-x) * jnp.sin(x),
    "a square of a product": lambda x: jnp.square(jnp.exp(x) * jnp.sin(3 * x)) * jnp.exp(x) * jnp.exp(x),
    "moved about": lambda x: jnp.concatenate([jnp.exp(x)[::-1], jnp.exp(2 * x)])[1:3] * jnp.exp(x)[None][0],
    "a sum with a common factor": lambda x: jnp.sum(jnp.exp(x[0]) * jnp.sin(x)) / jnp.exp(x[0]) * x,
    "two products with different factors": lambda x: jnp.exp(x[0]) * jnp.sin(x) + jnp.exp(x[1]) * jnp.cos(x),
    "dot of jets": lambda x: jnp.dot(jnp.exp(x[0]) * x, jnp.exp(x[1]) * x) * x / jnp.exp(x[0]),
    "reciprocal": lambda x: 1.0 / (jnp.exp(x) * (3 + x)),
}


def taylor(fn, x):
    """fn(x) and its coefficients 1 to 3 along both axes, by nested derivatives."""
    rows = []
    for m in range(1, 4):
        row = []
        for axis in range(2):
            g = lambda t, axis=axis: fn(x + t * jnp.eye(2)[axis])  # noqa: E731
            for _ in range(m):
                g = jax.jacfwd(g)
            row.append(g(0.0) / float(np.prod(np.arange(1, m + 1))))
        rows.append(jnp.stack(row))
    return fn(x), jnp.stack(rows)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_coefficients_hold_at_sampled_points(name):
    fn = PROGRAMS[name]
    value, terms = coefficients(fn, LOW, HIGH, 3)
    points = [*RNG.uniform(LOW, HIGH, (12, 2)), LOW, HIGH, np.array([LOW[0], HIGH[1]])]
    exact = jax.jit(lambda x: taylor(fn, x))
    for x in points:
        values, derivatives = (np.asarray(a) for a in exact(x))
        slack = 1e-12 * (1 + np.abs(derivatives))
        assert (values >= ball.lower(value) - 1e-12).all() and (values <= ball.upper(value) + 1e-12).all()
        assert (derivatives >= ball.lower(terms) - slack).all() and (derivatives <= ball.upper(terms) + slack).all()


def test_a_logarithm_of_an_exponential_is_linear():
    _, terms = coefficients(lambda x: jnp.log(jnp.exp(x) * jnp.exp(2 * x[::-1])), LOW, HIGH, 5)
    size = np.asarray(ball.magnitude(terms))
    assert (size[1:] == 0).all() and np.allclose(size[0], [[1, 2], [2, 1]], rtol=1e-12)


def test_an_amplitude_drops_out_exactly():
    def bare(x):
        return jnp.tanh(jnp.concatenate([x - jnp.mean(x), jnp.exp(x[:1] - x[1])]) @ W + B) @ V + 0.3

    programs = (PROGRAMS["amplitude taken out again"], bare)
    found, wanted = (np.asarray(ball.magnitude(coefficients(fn, LOW, HIGH, 3)[1])) for fn in programs)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_two_linear_maps_are_one():
    """C (A h) spreads by |C| |A|, (C A) h by |C A|, which is zero where C cancels A."""
    A = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, -1.0]])
    C = np.array([[1.0, -1.0, 0.0]])  # C A = 0
    low, high = enclose(lambda x: jnp.asarray(C) @ (jnp.asarray(A) @ jnp.tanh(x) + 0.5), LOW, HIGH)
    assert -1e-12 < low[0] <= 0 <= high[0] < 1e-12


FILLED = {
    "the root of a fill": lambda x, fill: jnp.sqrt(jnp.exp(x).at[jnp.array([0, 5])].get(mode="fill", fill_value=fill)),
    "a common factor": lambda x, fill: jnp.sqrt(
        jnp.broadcast_to(jnp.exp(x[0]), (2,)).at[jnp.array([0, 5])].get(mode="fill", fill_value=fill)
    ),
}


@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize("fill", [0.0, 0.25])
def test_a_gather_fills_with_a_number_that_is_no_exponential(name, fill):
    low, high = enclose(lambda x: FILLED[name](x, fill), LOW, HIGH)
    assert low[1] <= np.sqrt(fill) <= high[1] and high[1] - low[1] < 1e-12
    assert low[0] <= np.exp(LOW[0] / 2) and high[0] >= np.exp(HIGH[0] / 2)


def test_a_negative_fill_is_a_number_and_has_no_slope():
    value, jets = coefficients(lambda x: x.at[jnp.array([5, 1])].get(mode="fill", fill_value=-3.0), LOW, HIGH, 1)
    assert float(value.mid[0]) == -3 and float(value.rad[0]) == 0
    assert not np.asarray(jets.mid[0, :, 0]).any() and not np.asarray(jets.rad[0, :, 0]).any()


def test_what_has_no_value_does_not_cancel():
    """log x / log x with x < 0: a NaN, not 1."""

    def f(x):
        e = jnp.exp(jnp.log(x))
        return e / e

    low, high = enclose(f, LOW, HIGH)
    assert low[0] == -np.inf and high[0] == np.inf
    assert abs(low[1] - 1) < 1e-12 and abs(high[1] - 1) < 1e-12


def test_sums_negatives_and_tiles_of_constants():
    c = jnp.array([1.0, 2.0])

    def f(x):
        return jnp.tile(x * jnp.sum(c) + jnp.negative(c), 2)

    low, high = enclose(f, LOW, HIGH)
    ends = np.tile([3 * LOW - c, 3 * HIGH - c], 2)
    np.testing.assert_allclose([low, high], ends, rtol=1e-12, atol=0)
    assert (low <= ends[0]).all() and (high >= ends[1]).all()
