"""Burgers' equation against the Cole-Hopf solution, the published shock, conservation laws, scipy's integrator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from assay.solvers.problems.burgers import Burgers

BENCHMARK = 0.01 / np.pi


def cole_hopf(x: np.ndarray, t: float, nu: float) -> np.ndarray:
    """u for u0 = -sin(pi x), by Gauss-Hermite quadrature: accurate to 1e-10 for the nu t of these tests."""
    eta, weight = np.polynomial.hermite.hermgauss(100)
    y = x[:, None] - np.sqrt(4 * nu * t) * eta
    f = np.exp(-(np.cos(np.pi * y) - 1) / (2 * np.pi * nu)) * weight
    return -(np.sin(np.pi * y) * f).sum(axis=1) / f.sum(axis=1)


def shock(cells: int, steps: int, end_time: float) -> tuple[np.ndarray, np.ndarray]:
    problem = Burgers(
        modes=1, cells=cells, steps=steps, end_time=end_time, nu_low=BENCHMARK, amplitude=1.0, grading=5.0
    )
    return problem.points[:, 0], problem.solve_report([BENCHMARK, -1.0]).u.reshape(steps + 1, -1)[-1]


def test_the_slope_of_the_shock_is_the_published_one() -> None:
    """152.0051616 at t = 0.51046976, Basdevant et al. 1986; here the mean slope of the two cells about x = 0."""
    x, u = shock(256, 256, 0.51046976)
    middle = 128
    slope = (u[middle + 1] - u[middle - 1]) / (x[middle + 1] - x[middle - 1])
    assert slope == pytest.approx(-152.0051616, rel=0.005)


def test_the_shock_away_from_its_middle() -> None:
    published = np.array([-0.847354524451, -0.592769534402, -0.302842708347])
    assert np.allclose(cole_hopf(np.array([0.25, 0.5, 0.75]), 0.5, BENCHMARK), published, rtol=0, atol=1e-11)
    errors = []
    for n in (128, 256, 512):
        x, u = shock(n, n // 2, 0.5)
        assert np.abs(u + u[::-1]).max() <= 1e-12
        errors.append(np.abs(CubicSpline(x, u)([0.25, 0.5, 0.75]) - published).max())
    assert errors[-1] <= 5e-4 and errors[0] / errors[2] > 12, errors


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, lambda n: n // 2),
        ({"boundary": "periodic"}, lambda n: n // 2),
        ({"grading": 2.0}, lambda n: n // 2),
        ({"scheme": "implicit-euler"}, lambda n: n * n // 16),  # as many more as its order in time asks for
    ],
)
def test_observed_order_in_space_and_time(settings: dict, steps: Callable[[int], int]) -> None:
    errors = []
    for n in (32, 64, 128):
        problem = Burgers(modes=1, cells=n, steps=steps(n), end_time=1.0, amplitude=1.0, **settings)
        p = np.array([0.1, -1.0, *(0.0 for _ in problem.inputs.names[2:])])
        x = problem.points[:, 0]
        exact = [-np.sin(np.pi * x), *(cole_hopf(x, t, 0.1) for t in problem.times[1:])]
        errors.append(float(jax.jit(problem.relative_error)(p, problem.solve_report(p).u, np.concatenate(exact))))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.allclose(rates, 2, atol=0.1), (errors, rates)


def test_implicit_euler_has_order_one_in_time() -> None:
    """Against the same grid with many steps of the midpoint rule."""
    p = [0.05, 0.5, -0.3, 0.2]
    fine = Burgers(cells=32, steps=512).solve_report(p).u.reshape(513, -1)[-1]
    errors = []
    for steps in (64, 128, 256):
        u = Burgers(cells=32, steps=steps, scheme="implicit-euler").solve_report(p).u.reshape(steps + 1, -1)[-1]
        errors.append(np.abs(u - fine).max())
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 1, atol=0.1)


@pytest.mark.parametrize("scheme", ["implicit-euler", "crank-nicolson"])
def test_mass_is_conserved_and_energy_falls_by_the_work_of_viscosity(scheme: str) -> None:
    for settings in ({"boundary": "periodic"}, {"grading": 2.0}):
        problem = Burgers(cells=64, steps=10, scheme=scheme, nu_low=1e-3, modes=2, **settings)
        p = problem.inputs.sample(4, seed=2)[1]
        states = problem.solve_report(p).u.reshape(11, -1)
        v = np.asarray(jax.vmap(problem.unknowns)(jnp.asarray(states)))
        if problem.boundary == "periodic":
            total = v @ problem.mass
            assert np.ptp(total) <= 1e-12
        energy = v**2 @ problem.mass
        w = v[1:] if scheme == "implicit-euler" else (v[1:] + v[:-1]) / 2
        lengths = np.diff(problem.points[:, 0]) if problem.boundary != "periodic" else np.full(64, 2 / 64)
        padded = np.hstack([w, w[:, :1]]) if problem.boundary == "periodic" else np.pad(w, ((0, 0), (1, 1)))
        work = 2 * problem.times[1] * p[0] * (np.diff(padded, axis=1) ** 2 / lengths).sum(axis=1)
        lost = (np.diff(v, axis=0) ** 2) @ problem.mass if scheme == "implicit-euler" else 0.0
        assert np.abs(np.diff(energy) + work + lost).max() <= 1e-11


def test_convection_does_no_work_on_any_grid() -> None:
    """The skew form that energy bounds of the error need: v' forces(0, v) = 0 for every v."""
    v = np.random.default_rng(0).standard_normal(63)
    graded = Burgers(cells=64, grading=3.0)
    assert abs(v @ np.asarray(graded.forces(jnp.asarray(0.0), jnp.asarray(v)))) <= 1e-13
    periodic = Burgers(cells=63, boundary="periodic")
    assert abs(v @ np.asarray(periodic.forces(jnp.asarray(0.0), jnp.asarray(v)))) <= 1e-13


@pytest.mark.parametrize("settings", [{"boundary": "periodic", "modes": 1}, {"grading": 1.0}])
def test_the_midpoint_rule_converges_to_scipys_integration_of_the_same_semidiscrete_system(settings: dict) -> None:
    problem = Burgers(cells=32, steps=1, **settings)
    p = problem.inputs.sample(4, seed=1)[2]
    start = np.asarray(problem.unknowns(problem.initial(jnp.asarray(p))))
    forces = jax.jit(lambda v: problem.forces(p[0], v))
    done = solve_ivp(
        lambda t, v: -np.asarray(forces(v)) / problem.mass, (0, 1), start, method="LSODA", rtol=1e-9, atol=1e-11
    )
    errors = []
    for steps in (16, 32, 64):
        ours = Burgers(cells=32, steps=steps, **settings).solve_report(p).u.reshape(steps + 1, -1)[-1]
        errors.append(np.abs(np.asarray(problem.unknowns(jnp.asarray(ours))) - done.y[:, -1]).max())
    assert errors[-1] <= 1e-3 and np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.1)


def test_galilean_invariance() -> None:
    """On the periodic line a mean velocity only carries the solution along: a0 = 2 brings it back after t = 1."""
    errors = []
    for n in (64, 128):
        problem = Burgers(boundary="periodic", modes=1, cells=n, steps=n, amplitude=2.0, nu_low=0.05)
        still, carried = (problem.solve_report([0.1, 0.4, a0, 0.3]).u.reshape(n + 1, -1)[-1] for a0 in (0.0, 2.0))
        errors.append(np.abs(carried - 2 - still).max())
    assert errors[1] <= 5e-3 and errors[0] / errors[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nu_low": -1.0}, "viscosities need 0 < nu_low"),
        ({"boundary": "neumann"}, "dirichlet, periodic"),
        ({"scheme": "leapfrog"}, "scheme must be"),
        ({"cells": 3}, "cells must be"),
        ({"modes": 0}, "modes must be"),
        ({"amplitude": 0.0}, "amplitude must be"),
        ({"grading": 1.0, "boundary": "periodic"}, "grading must be"),
    ],
)
def test_settings_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Burgers(**wrong)
