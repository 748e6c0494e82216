"""Advection-diffusion: exact solutions and orders, M-matrices and the maximum principle, refused inputs."""

import numpy as np
import pytest

from assay.solvers.problems.advection_diffusion import AdvectionDiffusion

P = np.array([0.6, 1.2, 0.15])
LAYER = np.array([0.6, 2.0, 0.002])  # cell Peclet number of 10 on 32 cells
THIN = {"diffusion": (1e-3, 1.0)}


def series(problem, p, modes=400):
    """The exact solution for f = 1 in the nodes, as exp(b . x/(2 diffusion)) times a sine series."""
    b = p[1] * np.array([np.cos(p[0]), np.sin(p[0])])
    m = np.arange(1, modes + 1)
    x = np.arange(problem.cells + 1) / problem.cells
    sines = np.sin(np.pi * np.outer(x, m))

    def coefficients(a):
        return 2 * np.pi * m * (1 - (-1.0) ** m * np.exp(-a)) / (a**2 + (np.pi * m) ** 2)

    halves = b / (2 * p[2])
    source = np.outer(*(coefficients(a) for a in halves))
    amplitude = source / (p[2] * (np.pi**2 * (m[:, None] ** 2 + m[None, :] ** 2) + halves @ halves))
    growth = np.exp(halves[0] * x)[:, None] * np.exp(halves[1] * x)[None, :]
    return (growth * (sines @ amplitude @ sines.T)).ravel()


@pytest.mark.parametrize(
    ("scheme", "cells", "order"),
    [("central", (16, 32, 64), 2), ("fitted", (16, 32, 64), 2), ("upwind", (32, 64, 128), 1)],
)
def test_order_against_the_series(scheme, cells, order):
    e = []
    for n in cells:
        problem = AdvectionDiffusion(cells=n, scheme=scheme)
        exact = series(problem, P)
        e.append(float(problem.norm(P, problem.solve(P) - exact) / problem.norm(P, exact)))
    np.testing.assert_allclose(np.log2(np.array(e[:-1]) / e[1:]), order, atol=0.05)
    assert problem.order == order


def test_the_fitted_scheme_is_exact_for_exponential_layers():
    """Constants, exp(b_x x/d), exp(b_y y/d) and their product solve the equation with f = 0, and the scheme."""
    problem = AdvectionDiffusion(cells=16, scheme="fitted", **THIN)
    p = np.array([0.6, 1.0, 0.02])
    theta = np.asarray(problem.theta(p))
    b = np.array([np.cos(p[0]), np.sin(p[0])])
    x = problem.coordinates - 1  # so that nothing overflows
    for u in (np.ones(problem.size), np.exp(b[0] * x[:, 0] / p[2]), np.exp(x @ b / p[2])):
        residual = np.asarray(problem.apply(theta, u))
        scale = np.asarray(problem.apply_absolute(theta, u))
        assert (abs(residual) <= 1e-14 * scale).all()


@pytest.mark.parametrize("scheme", ["upwind", "fitted"])
def test_monotone_schemes_keep_the_maximum_principle_where_central_differences_break_it(scheme):
    settings = {"cells": 32, "data": "step", **THIN}
    u = np.asarray(AdvectionDiffusion(scheme=scheme, **settings).solve(LAYER))
    assert u.min() >= -1e-14 and u.max() <= 1 + 1e-14
    central = np.asarray(AdvectionDiffusion(scheme="central", **settings).solve(LAYER))
    assert central.max() > 1.2 or central.min() < -0.2


@pytest.mark.parametrize("scheme", ["upwind", "fitted", "central"])
@pytest.mark.parametrize("p", [P, LAYER, np.array([0.0, 1.0, 0.01]), np.array([2.5, 1.0, 0.3])])
def test_is_monotone_says_what_the_matrix_is(scheme, p):
    problem = AdvectionDiffusion(cells=32, scheme=scheme, angle=(-3.0, 3.0), **THIN)
    matrix = problem.matrix(np.asarray(problem.theta(p))).tocoo()
    beside = matrix.data[matrix.row != matrix.col]
    assert problem.is_monotone(p) == bool((beside <= 1e-15).all())
    assert problem.is_monotone(p) or scheme == "central"


def test_an_interior_layer_stands_where_the_flow_carries_it():
    """With little diffusion u jumps from 1 to 0 across the line along b through the corner."""
    problem = AdvectionDiffusion(cells=64, data="step", **THIN)
    u = np.asarray(problem.solve([np.pi / 6, 2.0, 1e-3])).reshape(65, 65)
    i = 40
    crossing = np.interp(-0.5, -u[i], np.arange(65) / 64)
    assert crossing == pytest.approx(i / 64 * np.tan(np.pi / 6), abs=1 / 64)


def test_the_fitted_diffusion_is_smooth_through_zero_velocity():
    """At angle 0 the velocity along y is 0: z coth z there has second derivative 2/3."""
    import jax

    problem = AdvectionDiffusion(cells=8, scheme="fitted", angle=(-1.0, 1.0))

    def along_y(angle):
        return problem.theta(jax.numpy.array([angle, 1.0, 0.1]))[1]

    z_per_angle = 1 / (2 * 8 * 0.1)
    assert float(along_y(0.0)) == pytest.approx(0.1, rel=1e-15)
    assert float(jax.grad(jax.grad(along_y))(0.0)) == pytest.approx(0.1 * 2 / 3 * z_per_angle**2, rel=1e-12)
    either_side = [float(along_y(a)) for a in (0.16 - 1e-9, 0.16 + 1e-9)]  # |z| = 0.1: the series hands over
    assert either_side[0] == pytest.approx(either_side[1], rel=1e-8)


@pytest.mark.parametrize("scheme", ["central", "fitted"])
def test_the_estimated_discretisation_error_is_the_true_one(scheme):
    problem = AdvectionDiffusion(cells=32, scheme=scheme)
    exact = series(problem, P)
    true = float(problem.norm(P, problem.solve(P) - exact) / problem.norm(P, exact))
    assert problem.discretisation_error(P).relative == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cells": 3}, "cells must be a whole number of at least 4"),
        ({"scheme": "quick"}, "scheme must be one of central, upwind, fitted"),
        ({"data": "none"}, "data must be one of source, step"),
        ({"speed": (-1.0, 1.0)}, "speed must be at least 0"),
        ({"diffusion": (0.0, 1.0)}, "diffusion must be above 0"),
        ({"angle": (1.0, 1.0)}, "angle needs finite low < high"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        AdvectionDiffusion(**settings)


def test_inputs_outside_are_named_with_their_row():
    problem = AdvectionDiffusion(cells=8)
    with pytest.raises(ValueError, match="row 1, input 'diffusion': -0.1 is outside"):
        problem.solve_batch([P, [0.5, 1.0, -0.1]])
    assert AdvectionDiffusion(**problem.settings).settings == problem.settings
