"""Lid-driven cavity: spectral extrema, Ghia's profile, order, exact invariants of the scheme, refused inputs."""

from functools import cache

import jax
import numpy as np
import pytest

from assay.solvers.classes.richardson import restrict
from assay.solvers.problem import SolveError
from assay.solvers.problems.cavity import Cavity

SPECTRAL = {  # Botella & Peyret 1998, Marchi et al. 2009: u on x = 1/2; v on y = 1/2
    100.0: {"u_min": -0.21404, "v_max": 0.17957, "v_min": -0.25380},
    1000.0: {"u_min": -0.3885698, "v_max": 0.3769447, "v_min": -0.5270771},
}
GHIA_Y = [0.9766, 0.9688, 0.9609, 0.9531, 0.8516, 0.7344, 0.6172, 0.5, 0.4531, 0.2813, 0.1719, 0.1016, 0.0703, 0.0547]
GHIA_U = [
    *(0.84123, 0.78871, 0.73722, 0.68717, 0.23151, 0.00332, -0.13641),
    *(-0.20581, -0.21090, -0.15662, -0.10150, -0.06434, -0.04775, -0.03717),
]


cavity = cache(Cavity)  # compiled once for all tests


@pytest.fixture(scope="module")
def default():
    return cavity(cells=96)


@pytest.fixture(scope="module")
def small():
    return Cavity(cells=12, reynolds=(1e-3, 1e6))


def centrelines(problem, p):
    u, v = np.asarray(problem.velocity(p, problem.solve(p))).T.reshape(2, problem.cells + 1, problem.cells + 1)
    middle = problem.cells // 2
    return u[middle], v[:, middle]


@pytest.mark.parametrize(("reynolds", "share"), [(100.0, 0.005), (1000.0, 0.01)])
def test_the_spectral_extrema(default, reynolds, share):
    u, v = centrelines(default, [reynolds, 0.0])
    found = {"u_min": u.min(), "v_max": v.max(), "v_min": v.min()}
    assert found == {name: pytest.approx(value, rel=share) for name, value in SPECTRAL[reynolds].items()}
    at = default.ticks[np.argmin(u)]
    assert reynolds < 1000 or at == pytest.approx(0.1717, abs=0.01)


def test_the_primary_vortex_at_1000(default):
    assert float(default.solve([1000.0, 0.0]).min()) == pytest.approx(-0.1189366, rel=0.005)


def test_ghias_profile_at_100(default):
    u, _ = centrelines(default, [100.0, 0.0])
    # 129^2 uniform cells of second order: their own error is of the size of ours, and five digits are printed.
    np.testing.assert_allclose(np.interp(GHIA_Y, default.ticks, u), GHIA_U, atol=0.006)


def test_second_order_with_the_regularised_lid():
    p = np.array([100.0, 1.0])
    problems = [cavity(cells=n) for n in (24, 48, 96, 192)]
    fields = [problem.solve_report(p).u for problem in problems]
    changes = [
        float(coarse.norm(p, restrict(fine, coarse, v) - u))
        for coarse, fine, u, v in zip(problems, problems[1:], fields, fields[1:], strict=False)
    ]
    orders = np.log2(np.array(changes[:-1]) / changes[1:])
    np.testing.assert_allclose(orders, 2, atol=0.1)
    assert [problem.order_at(p) for problem in problems] == [2] * 4
    assert problems[0].order_at([100.0, 0.5]) == 1


def test_advection_does_no_work(small):
    """sum psi J(psi, w) = 0 exactly, for any field: the part of psi . residual that is proportional to reynolds."""
    psi = np.random.default_rng(0).standard_normal(small.size) * small.free
    residual = jax.jit(small.residual)
    slow, fast = (np.asarray(residual(np.array([re, 0.3]), psi)) for re in (1.0, 1001.0))
    advection = fast - slow
    assert abs(psi @ advection) < 1e-13 * np.linalg.norm(psi) * np.linalg.norm(advection)
    assert np.linalg.norm(advection) > 1


def test_creeping_flow_is_symmetric_and_follows_from_the_energy(small):
    """At reynolds -> 0: psi(1 - x) = psi(x), and psi . K w = 0 balances dissipation with the lid's work."""
    p = [1e-3, 0.0]
    psi = np.asarray(small.solve(p)).reshape(13, 13)
    np.testing.assert_allclose(psi, psi[::-1], atol=1e-5 * abs(psi).max())
    w = np.asarray(small.vorticity(p, psi.ravel())).reshape(13, 13)
    _, dual = small.widths
    areas = np.outer(dual, dual)  # w is zero in the corners
    work = -np.sum(w[1:-1, -1] * dual[1:-1])  # of the lid, at speed one
    assert np.sum(areas * w**2) == pytest.approx(work, rel=1e-6)


def test_velocity_and_vorticity_of_a_known_streamfunction():
    """psi = 16 s(x) q(y), s(t) = t^2 (1 - t)^2, q(y) = y^3 - y^2, fits the regularised lid."""
    problem = Cavity(cells=64)
    t = problem.ticks
    s, ds, dds = t**2 * (1 - t) ** 2, 2 * t * (1 - t) * (1 - 2 * t), 2 - 12 * t + 12 * t**2
    q, dq, ddq = t**3 - t**2, 3 * t**2 - 2 * t, 6 * t - 2
    p, psi = [100.0, 1.0], 16 * np.outer(s, q).ravel()
    u, v = np.asarray(problem.velocity(p, psi)).T.reshape(2, 65, 65)
    np.testing.assert_allclose(u, 16 * np.outer(s, dq), atol=1e-4)
    np.testing.assert_allclose(v, -16 * np.outer(ds, q), atol=1e-4)
    w = np.asarray(problem.vorticity(p, psi)).reshape(65, 65)
    np.testing.assert_allclose(w[1:-1, 1:-1], -16 * (np.outer(dds, q) + np.outer(s, ddq))[1:-1, 1:-1], atol=0.02)


def test_matrices_are_those_of_the_residual_and_the_norm(small):
    rng = np.random.default_rng(0)
    p = np.array([200.0, 0.4])
    u, v = (rng.standard_normal(small.size) * small.free for _ in range(2))
    inner = v[small.free]
    pushed = np.asarray(jax.jit(lambda u, v: jax.jvp(lambda u: small.residual(p, u), (u,), (v,))[1])(u, v))[small.free]
    np.testing.assert_allclose(small.jacobian(p, u) @ inner, pushed, atol=1e-13 * abs(pushed).max())
    assert inner @ small.norm_matrix(p) @ inner == pytest.approx(float(small.norm(p, v)) ** 2, rel=1e-13)


def test_divergence_names_the_reynolds_number_and_other_rows_are_kept(small):
    with pytest.raises(SolveError, match=r"diverged at reynolds=1e\+06.*more than 12 cells or a lower Reynolds number"):
        small.solve([1e6, 0.0])
    batch = np.asarray(small.solve_batch([[50.0, 0.2], [1e6, 0.0], [80.0, 1.0]]))
    assert np.isfinite(batch).all(axis=1).tolist() == [True, False, True]


def test_the_estimated_discretisation_error_is_the_true_one():
    p = [100.0, 1.0]
    coarse, fine = cavity(cells=24), cavity(cells=96)
    u = np.asarray(coarse.solve(p))
    truth = restrict(fine, coarse, fine.solve_report(p).u)
    true = float(coarse.norm(p, u - truth) / coarse.norm(p, truth)) * 16 / 15  # the fine one has 1/16 of the error
    assert coarse.discretisation_error(p).relative == pytest.approx(true, rel=0.25)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cells": 6}, "cells must be a whole number of at least 8"),
        ({"stretch": 1.0}, "stretch must lie in"),
        ({"reynolds": (0.0, 10.0)}, "reynolds must be above 0"),
        ({"profile": (0.0, 2.0)}, "profile blends two lids"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Cavity(**settings)


def test_settings_build_the_same_problem(default):
    assert Cavity(**default.settings).settings == default.settings
    with pytest.raises(ValueError, match="even number"):
        _ = Cavity(cells=11).coarser
