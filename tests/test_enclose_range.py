"""Interpolation with a proved remainder, and branch and bound on ranges of functions and of their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.verify.enclose import ball, bernstein, coefficients, range_bound


@pytest.mark.parametrize("m", range(1, 8))
def test_control_points_reproduce_polynomials(m):
    """The interpolant of a polynomial of degree < m is that polynomial, and its control points hold its range."""
    coefficient = np.random.default_rng(m).normal(size=m)
    t = bernstein.nodes(m)
    control = bernstein.control_matrix(m) @ np.polynomial.polynomial.polyval(t, coefficient)
    s = np.linspace(0, 1, 101)
    basis = np.stack([_binomial(m - 1, j) * s**j * (1 - s) ** (m - 1 - j) for j in range(m)])
    np.testing.assert_allclose(control @ basis, np.polynomial.polynomial.polyval(2 * s - 1, coefficient), atol=1e-12)


def _binomial(n, j):
    return float(np.prod([(n - i) / (i + 1) for i in range(j)]))


@pytest.mark.parametrize("m", [2, 5])
def test_the_lebesgue_constant_is_an_upper_bound(m):
    t, x = bernstein.nodes(m), np.linspace(-1, 1, 2001)
    lagrange = [np.prod([(x - t[k]) / (t[i] - t[k]) for k in range(m) if k != i], axis=0) for i in range(m)]
    assert np.abs(lagrange).sum(0).max() <= bernstein.lebesgue(m) <= 1.6 * np.abs(lagrange).sum(0).max()


def test_the_interpolant_is_within_the_remainder():
    def fn(x):
        return jnp.sin(2 * x[0]) * jnp.exp(x[1]) + x[2] ** 5

    m = 4
    box = ball.from_bounds(np.array([0.1, -0.4, 0.2]), np.array([0.6, 0.3, 0.8]))
    points = bernstein.grid(box, m)
    values = jax.jit(jax.vmap(lambda a, b: coefficients(fn, a, b, 1)[0]))(ball.lower(points), ball.upper(points))
    control = np.asarray(bernstein.control_points(values, m, 3).mid).reshape(m, m, m)
    highest = ball.magnitude(
        jax.jit(lambda a, b: coefficients(fn, a, b, m)[1][m - 1])(ball.lower(box), ball.upper(box))
    )
    rest = float(bernstein.remainder(highest, box.rad, m))
    s = np.random.default_rng(0).uniform(size=(2000, 3))
    basis = [[_binomial(m - 1, j) * s[:, a] ** j * (1 - s[:, a]) ** (m - 1 - j) for j in range(m)] for a in range(3)]
    interpolant = np.einsum("ijk,in,jn,kn->n", control, *map(np.stack, basis))
    exact = np.asarray(jax.vmap(fn)(np.asarray(box.mid) + np.asarray(box.rad) * (2 * s - 1)))
    error = np.abs(interpolant - exact).max()
    assert 0.05 * rest < error <= rest


def wave(x):
    return jnp.tanh(3 * x[0] - x[1]) * jnp.cos(x[1])


def test_the_range_of_a_function_is_closed_from_both_sides():
    result = range_bound(wave, [-1.0, -1.0], [1.0, 1.5], order=2, gap=1e-4)
    x = np.stack(np.meshgrid(np.linspace(-1, 1, 301), np.linspace(-1, 1.5, 301)), -1).reshape(-1, 2)
    values = np.asarray(jax.vmap(wave)(x))
    assert result.gap <= 1e-4
    assert result.lower <= values.min() and values.max() <= result.upper
    assert result.lower <= result.attained_lower <= values.min() + 1e-3 and result.attained_upper >= values.max() - 1e-3


def bend(x):
    return jnp.tanh(3 * x[0] - x[1])


def test_the_range_of_a_second_derivative():
    result = range_bound(bend, [-1.0, -1.0], [1.0, 1.5], order=3, derivative=(0, 2), gap=1e-2)
    x = np.stack(np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1.5, 201)), -1).reshape(-1, 2)
    values = np.asarray(jax.vmap(lambda p: jax.hessian(bend)(p)[0, 0])(x))
    assert result.gap <= 1e-2
    assert result.lower <= values.min() and values.max() <= result.upper


def test_a_range_that_cannot_be_bounded_is_infinite():
    result = range_bound(lambda x: 1 / x[0], [-1.0], [2.0], order=2, boxes=50)
    assert (result.lower, result.upper) == (-np.inf, np.inf)


def test_a_box_without_width():
    result = range_bound(wave, [0.3, -0.2], [0.3, -0.2], order=2, boxes=50)
    assert result.lower <= float(wave(jnp.array([0.3, -0.2]))) <= result.upper
    assert result.upper - result.lower < 1e-13
