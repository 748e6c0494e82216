"""Allen-Cahn against the travelling front, the logistic equation, the exact energy law and scipy's integrator."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from assay.solvers.problems.allen_cahn import AllenCahn

BOUNDARIES = ["neumann", "periodic"]
EPS = 0.1
SPEED = 3 * EPS / np.sqrt(2)


@cache
def front(n: int) -> AllenCahn:
    """A front at 3 on (0, 8): its tails at the ends, exp(-3/(sqrt2 eps)) = 6e-10, are felt by nobody."""
    return AllenCahn(front=3.0, length=8.0, cells=n, steps=n // 4, end_time=4.0, modes=1, eps_high=0.2)


def test_the_front_has_the_exact_profile_with_order_two() -> None:
    errors = []
    for n in (128, 256, 512):
        problem = front(n)
        p = np.array([EPS, 0.0])
        t, x = problem.coordinates.T
        exact = (1 - np.tanh((x - 3 - SPEED * t) / (2 * np.sqrt(2) * EPS))) / 2
        errors.append(float(jax.jit(problem.relative_error)(p, problem.solve_report(p).u, exact)))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.allclose(rates, 2, atol=0.01), (errors, rates)


def test_the_front_has_the_exact_speed() -> None:
    problem = front(512)
    states = problem.solve_report([EPS, 0.0]).u.reshape(129, -1)
    x = problem.points[:, 0]
    place = [np.interp(-0.5, -u, x) for u in (states[64], states[128])]
    assert (place[1] - place[0]) / 2 == pytest.approx(SPEED, rel=1e-3)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dimension", [1, 2])
def test_a_uniform_state_follows_the_logistic_equation(dimension: int, boundary: str) -> None:
    """u' = u - u^3: u(t) = u0/sqrt(u0^2 + (1 - u0^2) exp(-2t))."""
    errors = []
    for steps in (16, 32, 64):
        problem = AllenCahn(dimension=dimension, boundary=boundary, cells=4, modes=1, steps=steps, end_time=2.0)
        states = problem.solve_report([0.05, 0.3]).u.reshape(steps + 1, -1)
        assert np.ptp(states[-1]) <= 1e-13
        errors.append(abs(states[-1, 0] - 0.3 / np.sqrt(0.09 + 0.91 * np.exp(-4.0))))
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.1)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("dimension", "steps"), [(1, 64), (1, 3), (2, 8)])
def test_the_energy_falls_by_the_exact_amount(dimension: int, steps: int, boundary: str) -> None:
    """E(b) - E(a) = -|b - a|_M^2/dt, whatever the step."""
    problem = AllenCahn(dimension=dimension, boundary=boundary, cells=32 // dimension, steps=steps)
    p = jnp.asarray(problem.inputs.sample(2)[1])
    states = problem.states(problem.solve(p))
    energies = np.asarray(jax.vmap(lambda u: problem.energy(p, u))(states))
    dissipated = np.diff(states, axis=0) ** 2 @ problem.grid.mass / problem.times[1]
    assert np.abs(np.diff(energies) + dissipated).max() <= 1e-11 * energies[0]
    assert (np.diff(energies) < 0).all()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_state_constant_along_one_axis_is_the_one_dimensional_one(boundary: str) -> None:
    """Newton with tridiagonal solves against Newton with preconditioned conjugate gradients."""
    common = {"boundary": boundary, "cells": 24, "steps": 8, "modes": 3}
    one, two = AllenCahn(dimension=1, **common), AllenCahn(dimension=2, **common)
    c = np.array([0.2, -0.4, 0.3])
    line = one.solve_report([0.05, *c]).u.reshape(9, -1)
    for along in (0, 1):
        grid = np.zeros((3, 3))
        grid[(slice(None), 0) if along == 0 else (0, slice(None))] = c
        states = two.solve_report([0.05, *grid.ravel()]).u.reshape(9, *two.grid.sides)
        repeated = line[:, :, None] if along == 0 else line[:, None, :]
        assert np.abs(states - repeated).max() <= 1e-10


@pytest.mark.parametrize(("dimension", "boundary"), [(1, "neumann"), (1, "periodic"), (2, "neumann")])
def test_the_scheme_converges_to_scipys_integration_of_the_same_semidiscrete_system(
    dimension: int, boundary: str
) -> None:
    common = {"dimension": dimension, "boundary": boundary, "cells": 32 // dimension**2, "end_time": 1.0}
    problem = AllenCahn(**common, steps=1)
    p = problem.inputs.sample(4, seed=1)[3]
    start = np.asarray(problem.initial(jnp.asarray(p)))
    grid = problem.grid
    stiffness = np.asarray(jax.vmap(grid.stiffness)(jnp.eye(len(start)))).T / grid.mass[:, None]
    done = solve_ivp(lambda t, u: u - u**3 - p[0] ** 2 * (stiffness @ u), (0, 1), start, rtol=1e-9, atol=1e-10)
    errors = []
    for steps in (8, 16, 32):
        ours = AllenCahn(**common, steps=steps).solve_report(p).u.reshape(steps + 1, -1)[-1]
        errors.append(np.abs(ours - done.y[:, -1]).max())
    assert errors[-1] <= 1e-3 and np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.1)


def test_the_stiffness_is_second_order_and_knows_its_boundary() -> None:
    """-u'' of the eigenfunctions of either boundary is their eigenvalue with a relative error of (k h)^2/12."""
    for boundary in BOUNDARIES:
        problem = AllenCahn(boundary=boundary, cells=64, modes=3, length=2.0)
        grid = problem.grid
        wave = np.pi if boundary == "periodic" else np.pi / 2
        u = np.cos(wave * grid.axis)
        factor = (2 - 2 * np.cos(wave * 2 / 64)) / (2 / 64) ** 2
        assert np.abs(np.asarray(grid.stiffness(jnp.asarray(u))) - factor * grid.mass * u).max() <= 1e-13
        assert factor == pytest.approx(wave**2 * (1 - (wave * 2 / 64) ** 2 / 12), rel=1e-6)


def test_symmetry_and_phases() -> None:
    """-u of -u0; and long after, phases at -1 and 1."""
    problem = AllenCahn(cells=64, steps=100, end_time=10.0, modes=2)
    plus, minus = (problem.solve_report([0.05, 0.0, c]).u for c in (0.4, -0.4))
    assert np.abs(plus + minus).max() <= 1e-11
    last = plus.reshape(101, -1)[-1]
    assert last[0] == pytest.approx(1, abs=1e-3) and last[-1] == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"eps_low": -0.1}, "eps needs 0 < eps_low"),
        ({"steps": 2}, "at least 3 steps"),
        ({"dimension": 3}, "dimension must be 1 or 2"),
        ({"boundary": "dirichlet"}, "neumann, periodic"),
        ({"cells": 3}, "cells must be"),
        ({"modes": 100}, "modes must be"),
        ({"length": 0.0}, "length must be positive"),
        ({"front": np.inf}, "front must be"),
    ],
)
def test_settings_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AllenCahn(**wrong)
