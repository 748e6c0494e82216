"""Helmholtz: the eigenfunction expansion, resonances, an independent sparse solve, refused inputs."""

import numpy as np
import pytest
import scipy.sparse.linalg as spla

from assay.solvers.problem import SolveError
from assay.solvers.problems.helmholtz import Helmholtz

P = np.array([30.0, 0.05, 0.45, 0.6])


def expansion(problem, p, modes=60):
    """The exact solution in the nodes: sum of g_m g_n sin(m pi x) sin(n pi y) / (lambda_mn - k2 (1 + i damping))."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t, weights = (nodes + 1) / 2, weights / 2
    m = np.arange(1, modes + 1)

    def coefficients(place):
        return 2 * np.sin(np.pi * np.outer(m, t)) @ (weights * np.exp(-((t - place) ** 2) / (2 * problem.width**2)))

    source = np.outer(coefficients(p[2]), coefficients(p[3])) / (2 * np.pi * problem.width**2)
    amplitude = source / (np.pi**2 * (m[:, None] ** 2 + m[None, :] ** 2) - p[0] * (1 + 1j * p[1]))
    sines = np.sin(np.pi * np.outer(np.arange(problem.cells + 1) / problem.cells, m))
    u = sines @ amplitude @ sines.T
    return np.stack([u.real, u.imag], axis=-1).ravel()


def errors(p, *cells):
    out = []
    for n in cells:
        problem = Helmholtz(cells=n)
        exact = expansion(problem, p)
        out.append(float(problem.norm(p, problem.solve(p) - exact) / problem.norm(p, exact)))
    return np.array(out)


@pytest.mark.parametrize("k2", [8.0, 30.0, 60.0])
def test_second_order_against_the_expansion(k2):
    e = errors(np.array([k2, 0.05, 0.45, 0.6]), 32, 64, 128)
    np.testing.assert_allclose(np.log2(e[:-1] / e[1:]), 2, atol=0.05)
    assert e[1] < 0.01


def test_near_a_resonance_the_error_is_that_of_the_shifted_eigenvalue():
    """At k2 = 2 pi^2 the (1, 1) amplitude is g/(shift - i k2 damping), the grid's shift being lambda_h - lambda_11."""
    n, damping = 64, 0.01
    p = np.array([2 * np.pi**2, damping, 0.45, 0.6])
    shift = 8 * n**2 * np.sin(np.pi / (2 * n)) ** 2 - p[0]
    loss = 1j * p[0] * damping
    predicted = abs(loss / (shift - loss) + 1)
    assert errors(p, n)[0] == pytest.approx(predicted, rel=0.1)


def test_the_phase_turns_across_a_resonance():
    """Of the (1, 1) amplitude, from 0 far below to pi far above, and pi/2 at the resonance of the grid."""
    problem = Helmholtz(damping=(0.0, 0.1))
    at = 8 * problem.cells**2 * np.sin(np.pi / (2 * problem.cells)) ** 2
    x = problem.coordinates
    mode = np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1])
    phases = []
    for k2 in (at * 0.99, at, at * 1.01):
        u = np.asarray(problem.solve([k2, 1e-5, 0.5, 0.5])).reshape(-1, 2)
        phases.append(np.angle(mode @ u[:, 0] + 1j * (mode @ u[:, 1])))
    np.testing.assert_allclose(phases, [0, np.pi / 2, np.pi], atol=2e-3)


def test_the_sine_transform_agrees_with_a_sparse_solve():
    problem = Helmholtz(cells=24)
    theta = np.asarray(problem.theta(P))
    load = np.asarray(problem.load(P))
    direct = spla.spsolve(problem.matrix(theta).tocsc(), load[problem.free])
    np.testing.assert_allclose(np.asarray(problem.solve(P))[problem.free], direct, rtol=0, atol=1e-12)


def test_resonances_hit_exactly_are_named_and_other_rows_kept():
    problem = Helmholtz(damping=(0.0, 0.1))
    hit = [5 * np.pi**2, 0.0, 0.4, 0.6]
    with pytest.raises(
        SolveError, match=r"k2 is the undamped resonance \((1, 2|2, 1)\) of the equation.*damping above 0"
    ):
        problem.solve(hit)
    n = problem.cells
    on_grid = [8 * n**2 * np.sin(np.pi / (2 * n)) ** 2, 0.0, 0.4, 0.6]
    with pytest.raises(SolveError, match=r"resonance \(1, 1\) of the grid of 64 cells"):
        problem.solve(on_grid)
    batch = np.asarray(problem.solve_batch([P, hit, [*hit[:1], 0.01, *hit[2:]], on_grid]))
    assert np.isfinite(batch).all(axis=1).tolist() == [True, False, True, False]
    np.testing.assert_allclose(batch[0], problem.solve(P), rtol=1e-12)


def test_the_estimated_discretisation_error_is_the_true_one():
    problem = Helmholtz()
    exact = expansion(problem, P)
    true = float(problem.norm(P, problem.solve(P) - exact) / problem.norm(P, exact))
    assert problem.discretisation_error(P).relative == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cells": 2}, "cells must be a whole number of at least 4"),
        ({"cells": 10.5}, "cells must be a whole number"),
        ({"k2": (0.0, 5.0)}, "k2 must be above 0"),
        ({"k2": 3.0}, "k2 is a pair"),
        ({"damping": (-0.1, 0.1)}, "damping must be at least 0"),
        ({"place": (0.5, 1.5)}, "unit square"),
        ({"width": 0.001}, "less than a cell"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Helmholtz(**settings)


def test_settings_build_the_same_problem():
    problem = Helmholtz(cells=20, k2=(1.0, 2.0), damping=(0.0, 0.5), place=(0.1, 0.2), width=0.1)
    assert Helmholtz(**problem.settings).settings == problem.settings
