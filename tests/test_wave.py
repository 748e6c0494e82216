"""The wave equation against separable solutions, leapfrog's exact dispersion, its energy, and scipy's integrator."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from assay.solvers.discretisations import q1_sine as sine
from assay.solvers.problems.wave import Wave

C = 1.3


def modes(problem: Wave, p: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray, tuple[int, ...]]]:
    """For a uniform speed: amplitude, exact frequency, shape and wave numbers of each mode."""
    dim = problem.points.shape[1]
    out = []
    for a, ks in zip(p[1:], product(range(1, problem.modes + 1), repeat=dim), strict=True):
        omega = p[0] * np.pi * np.sqrt(sum(k * k for k in ks))
        out.append((a, omega, np.prod(np.sin(np.pi * np.array(ks) * problem.points), axis=1), ks))
    return out


def exact(problem: Wave, p: np.ndarray) -> np.ndarray:
    t = problem.times[:, None]
    parts = modes(problem, p)
    u = sum(a * np.cos(w * t) * s for a, w, s, _ in parts)
    v = sum(-a * w * np.sin(w * t) * s for a, w, s, _ in parts)
    return np.stack([u, v], axis=-1).ravel()


@pytest.mark.parametrize(
    ("blocks", "p", "grids"), [((1,), [C, 0.4, 1.0], (8, 16, 32)), ((1, 1), [C, 0.4, 1.0, -0.3, 0.6], (16, 32, 64))]
)
def test_observed_order(blocks: tuple[int, ...], p: list[float], grids: tuple[int, ...]) -> None:
    errors = []
    for n in grids:
        problem = Wave(blocks=blocks, cells=n, steps=2 * n)
        q = np.array(p)
        errors.append(float(jax.jit(problem.relative_error)(q, problem.solve_report(p).u, exact(problem, q))))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.allclose(rates, 2, atol=0.05), (errors, rates)


@pytest.mark.parametrize("blocks", [(1,), (1, 1)])
def test_the_dispersion_of_leapfrog_is_exact(blocks: tuple[int, ...]) -> None:
    """sin^2(omega dt/2) = dt^2 lambda/4 with lambda known; also for the shortest waves of the grid."""
    n, steps = 8, 20
    dim = len(blocks)
    problem = Wave(blocks=blocks, cells=n, steps=steps, modes=n - 1)
    p = np.array([C, *np.random.default_rng(0).uniform(-1, 1, (n - 1) ** dim)])
    dt = 1 / steps
    along = 4 * n**2 * np.sin(np.arange(1, n) * np.pi / (2 * n)) ** 2
    lam = C**2 * (along if dim == 1 else n**2 * sine.eigenvalues(n, n))
    omega = 2 / dt * np.arcsin(dt / 2 * np.sqrt(lam))
    t = problem.times[:, None]
    parts = modes(problem, p)
    u = sum(a * np.cos(omega[tuple(k - 1 for k in ks)] * t) * s for a, _, s, ks in parts)
    fields = problem.solve_report(p).u.reshape(problem.shape)
    assert np.abs(fields[:, :, 0] - u).max() <= 1e-11
    velocity = (fields[2:, :, 0] - fields[:-2, :, 0]) / (2 * dt)
    assert np.abs(fields[1:-1, :, 1] - velocity).max() <= 1e-11


def test_at_courant_number_one_the_interval_is_solved_exactly() -> None:
    problem = Wave(blocks=(1,), cells=16, steps=32, high=2.0, modes=5)
    p = np.array([2.0, 0.3, 0.5, -1.0, 0.1, 0.7])
    u = problem.solve_report(p).u.reshape(problem.shape)[:, :, 0]
    assert np.abs(u - exact(problem, p).reshape(problem.shape)[:, :, 0]).max() <= 1e-12
    # After half a period, here t = 1/2, the initial state comes back upside down and from the other end.
    assert np.abs(u[16] + u[0, ::-1]).max() <= 1e-12


@pytest.mark.parametrize("problem", [Wave(blocks=(4,), cells=64, steps=200), Wave(cells=16, steps=40)])
def test_energy_is_conserved_exactly_and_a_step_is_an_isometry(problem: Wave) -> None:
    p = jnp.asarray(problem.inputs.sample(4, seed=1)[3])
    energy, step = jax.jit(problem.energy), jax.jit(problem.step)
    energies = np.array([energy(p, s) for s in problem.states(problem.solve(p))])
    assert np.ptp(energies) <= 1e-12 * energies[0]
    state = problem.constrain(p, jnp.asarray(np.random.default_rng(0).standard_normal(problem.initial(p).shape)))
    assert float(energy(p, step(p, state))) == pytest.approx(float(energy(p, state)), rel=1e-12)


def test_leapfrog_runs_backwards() -> None:
    """With the velocity turned round the scheme retraces its steps, through interfaces as well."""
    problem = Wave(cells=16, steps=40)
    p = jnp.asarray(problem.inputs.sample(4, seed=1)[3])
    fields = problem.solve_report(p).u.reshape(problem.shape)
    step = jax.jit(problem.step)
    state = jnp.asarray(fields[20] * [1, -1]).ravel()
    for n in range(19, 9, -1):
        state = step(p, state)
        assert np.abs(np.asarray(state).reshape(-1, 2) - fields[n] * [1, -1]).max() <= 1e-11


def test_leapfrog_converges_to_scipys_integration_of_the_same_semidiscrete_system() -> None:
    problem = Wave(blocks=(2,), cells=16, steps=32)
    p = np.array([0.5, 2.0, 0.7, -0.4])
    w = problem.cell_weights(jnp.asarray(p))
    matrix = np.asarray(jax.vmap(lambda e: problem.stiffness(w, e))(jnp.eye(15))).T / problem.mass
    start = np.asarray(problem.initial(jnp.asarray(p))).reshape(-1, 2)[1:-1]
    done = solve_ivp(
        lambda t, y: np.concatenate([y[15:], -matrix @ y[:15]]), (0, 1), start.T.ravel(), method="DOP853", rtol=1e-10
    )
    errors = []
    for steps in (128, 256, 512):
        ours = Wave(blocks=(2,), cells=16, steps=steps).solve_report(p).u.reshape(steps + 1, -1, 2)[-1, 1:-1]
        errors.append(np.abs(ours - done.y[:, -1].reshape(2, 15).T).max())
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.05), errors


def test_square_and_interval_agree_where_only_one_axis_matters() -> None:
    """The speeds' blocks sit where they should: transposing them transposes the solution."""
    problem = Wave(blocks=(2, 1), cells=8, steps=16, modes=1)
    other = Wave(blocks=(1, 2), cells=8, steps=16, modes=1)
    u, v = (q.solve_report([0.5, 2.0, 1.0]).u.reshape(-1, 9, 9, 2) for q in (problem, other))
    assert np.abs(u - v.transpose(0, 2, 1, 3)).max() <= 1e-13
    assert np.abs(u[8, 2, 4, 0] - u[8, 6, 4, 0]) > 0.1  # the slow half lags behind
    assert u[8, 2, 4, 0] > u[8, 6, 4, 0]


def test_too_long_steps_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"CFL condition.*steps >= 64"):
        Wave(cells=32, steps=63, high=2.0)
    Wave(cells=32, steps=64, high=2.0)
    fast = Wave(cells=8, steps=16, high=2.0)  # traced inputs cannot be checked: unstable ones are marked
    assert np.isnan(np.asarray(jax.jit(fast.solve)(jnp.array([1.0, 1.0, 1.0, 3.0, 1.0, 0, 0, 0])))).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"low": -1.0}, "speeds need 0 < low"),
        ({"cells": 33}, "multiple of 2"),
        ({"blocks": (2, 2, 2)}, "one or two whole numbers"),
        ({"blocks": 2}, "one or two whole numbers"),
        ({"modes": 0}, "modes must be"),
        ({"amplitude": -1.0}, "amplitude must be"),
    ],
)
def test_settings_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wave(**wrong)
