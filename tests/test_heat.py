"""The heat equation against separable solutions, the scheme's closed form, scipy's integrator, its energy identity."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from assay.solvers.discretisations import q1
from assay.solvers.discretisations import q1_sine as sine
from assay.solvers.problem import SolveError
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock

K = 0.5  # diffusivity of the separable solutions
SCHEMES = ["implicit-euler", "crank-nicolson"]


def exact(problem: Heat) -> np.ndarray:
    m, n = problem.mode
    t, x, y = problem.coordinates.T
    return np.exp(-K * np.pi**2 * (m * m + n * n) * t) * np.sin(m * np.pi * x) * np.sin(n * np.pi * y)


def error(problem: Heat) -> float:
    p = np.array([K, 0.0])
    return float(jax.jit(problem.relative_error)(p, problem.solve_report(p).u, exact(problem)))


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        ("crank-nicolson", lambda n: n),
        ("implicit-euler", lambda n: n * n // 2),  # as many more as its order in time asks for
    ],
)
def test_observed_order_in_space_and_time(scheme: str, steps: Callable[[int], int]) -> None:
    errors = [
        error(Heat(blocks=(1, 1), cells=n, steps=steps(n), end_time=0.1, scheme=scheme, mode=(1, 2)))
        for n in (8, 16, 32)
    ]
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.allclose(rates, 2, atol=0.05), (errors, rates)


@pytest.mark.parametrize(("scheme", "mode"), [("implicit-euler", (3, 2)), ("crank-nicolson", (15, 15))])
def test_each_mode_decays_by_the_factor_of_the_scheme(scheme: str, mode: tuple[int, int]) -> None:
    problem = Heat(blocks=(1, 1), cells=16, steps=8, end_time=0.1, scheme=scheme, mode=mode)
    z = 0.1 / 8 * K * 16**2 * sine.eigenvalues(16, 16)[mode[0] - 1, mode[1] - 1]
    factor = 1 / (1 + z) if scheme == "implicit-euler" else (1 - z / 2) / (1 + z / 2)
    states = problem.solve_report([K, 0.0]).u.reshape(9, -1)
    expected = factor ** np.arange(9)[:, None] * states[0]
    assert np.abs(states - expected).max() <= 1e-11


def test_the_long_time_limit_is_the_thermal_block() -> None:
    """Two solvers of one operator: after many decay times u/s solves -div(k grad u) = 1."""
    k = np.array([0.1, 1.0, 0.4, 0.2])
    problem = Heat(cells=16, steps=8, end_time=800.0)
    u = problem.solve_report(np.append(k, 3.0)).u.reshape(9, -1)[-1]
    steady = ThermalBlock(cells=16).solve_report(k).u
    assert np.abs(u - 3 * steady).max() <= 1e-9 * np.abs(steady).max()


def test_crank_nicolson_converges_to_scipys_integration_of_the_same_semidiscrete_system() -> None:
    k, s = np.array([0.1, 1.0, 0.4, 0.2]), 5.0
    problem = Heat(cells=8, steps=1, end_time=0.3)
    matrix = q1.CsrMap(8, 8)(np.repeat(np.repeat(k.reshape(2, 2), 4, 0), 4, 1))
    start = np.asarray(problem.initial(np.append(k, s))).reshape(9, 9)[1:-1, 1:-1].ravel()
    done = solve_ivp(
        lambda t, v: s - 64 * (matrix @ v), (0, 0.3), start, method="Radau", rtol=1e-9, atol=1e-11, jac=-64 * matrix
    )
    errors = []
    for steps in (16, 32, 64):
        ours = Heat(cells=8, steps=steps, end_time=0.3, scheme="crank-nicolson").solve_report(np.append(k, s)).u
        errors.append(np.abs(ours.reshape(-1, 9, 9)[-1, 1:-1, 1:-1].ravel() - done.y[:, -1]).max())
    assert errors[-1] <= 5e-5 and np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_energy_identity_of_the_errors(scheme: str) -> None:
    """sum dt |r|^2_{A^-1} = sum dt |w|_A^2 + 1/dt sum |de|^2_{M A^-1 M} + |e^N|_M^2, for Euler + sum |de|_M^2.

    Here e^0 = 0, and w is the scheme's combination of new and old error: what certificates of this problem stand on.
    """
    problem = Heat(cells=8, steps=5, end_time=0.2, scheme=scheme)
    p = np.array([0.1, 1.0, 0.4, 0.2, 5.0])
    rng = np.random.default_rng(0)
    e = np.zeros((6, 9, 9))
    e[1:, 1:-1, 1:-1] = rng.standard_normal((5, 7, 7))
    r = np.asarray(jax.jit(problem.residual)(p, problem.solve_report(p).u + e.ravel())).reshape(6, 9, 9)
    dense = q1.CsrMap(8, 8)(np.repeat(np.repeat(p[:4].reshape(2, 2), 4, 0), 4, 1)).toarray()
    dual = lambda x: float(x @ np.linalg.solve(dense, x))  # noqa: E731
    dt, m = 0.2 / 5, 1 / 64
    inside = lambda x: x[1:-1, 1:-1].ravel()  # noqa: E731
    de = [inside(e[n + 1] - e[n]) for n in range(5)]
    left = sum(dt * dual(inside(r[n])) for n in range(1, 6))
    right = (
        float(jax.jit(problem.norm)(p, e.ravel())) ** 2
        + sum(dual(m * d) / dt for d in de)
        + m * float(np.sum(e[5] ** 2))
    )
    if scheme == "implicit-euler":
        right += sum(m * float(d @ d) for d in de)
    assert left == pytest.approx(right, rel=1e-10)


def test_implicit_euler_obeys_the_maximum_principle() -> None:
    """Lumped mass and Q1 stiffness make an M-matrix: no source, so maxima fall and nothing becomes negative."""
    problem = Heat(cells=16, steps=16, end_time=0.2, low=0.01, high=10.0, mode=(1, 1))
    states = problem.solve_report([0.01, 10.0, 10.0, 0.01, 0.0]).u.reshape(17, -1)
    assert states.min() >= -1e-15
    assert (np.diff(states.max(axis=1)) <= 1e-13).all()


def test_superposition() -> None:
    """Linear in source and initial state together."""
    k = [0.1, 1.0, 0.4, 0.2]
    problem = Heat(cells=8, steps=4)
    no, half, full = (problem.solve_report([*k, s]).u for s in (0.0, 2.5, 5.0))
    assert np.abs((no + full) / 2 - half).max() <= 1e-13


def test_nothing_to_do_is_done() -> None:
    problem = Heat(cells=8, steps=4, initial_amplitude=0.0)
    done = problem.solve_report([0.1, 1.0, 0.4, 0.2, 0.0])
    assert not done.u.any() and done.residual == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"low": -1.0}, "diffusivities need 0 < low"),
        ({"cells": 33}, "multiple of 2"),
        ({"blocks": (2,)}, "blocks are two"),
        ({"blocks": (0, 2)}, "at least one block"),
        ({"scheme": "leapfrog"}, "scheme must be one of implicit-euler, crank-nicolson"),
        ({"source": (1.0, 1.0)}, "source needs"),
        ({"mode": (0, 1)}, "mode needs"),
        ({"initial_amplitude": np.nan}, "initial_amplitude"),
    ],
)
def test_settings_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Heat(**wrong)


def test_a_contrast_beyond_float64_is_named() -> None:
    problem = Heat(blocks=(4, 4), cells=8, steps=4, low=1e-4, high=1e4)
    board = 1e4 ** ((-1.0) ** np.add.outer(np.arange(4), np.arange(4)).ravel())
    P = np.column_stack([board * (1 + 1e-3 * np.random.default_rng(0).standard_normal((6, 16))), np.ones(6)])
    P = np.clip(P, problem.inputs.lower, problem.inputs.upper)
    failed = np.isnan(np.asarray(problem.solve_batch(P))).any(axis=1)
    assert failed.any()
    with pytest.raises(SolveError, match=r"k00, .* differ by a factor of 1e\+08.*take less contrast"):
        problem.solve(P[failed][0])
