"""Lognormal diffusion: the Karhunen-Loeve field, the truth, its derivatives and its data for proofs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skfem
from scipy.sparse.linalg import spsolve

from assay.solvers.discretisations import karhunen_loeve as kl
from assay.solvers.discretisations import q1
from assay.solvers.precision import gamma
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion

# Ghanem and Spanos (1991), section 2.3.3; recomputed.
EIGENVALUES = {
    0.1: [0.187082551861, 0.156045560172, 0.121154351530, 0.091324242808, 0.068735595200],
    1.0: [0.738810809416, 0.138003775354, 0.045088487290],
}


@pytest.fixture(scope="module")
def problem() -> LognormalDiffusion:
    return LognormalDiffusion(d=4, sigma=1.0, length=0.5, cells=8)


@pytest.fixture(scope="module")
def inputs(problem: LognormalDiffusion) -> np.ndarray:
    return problem.inputs.sample(4, seed=3)


@pytest.mark.parametrize("length", EIGENVALUES)
def test_one_dimensional_eigenvalues_are_those_of_the_literature(length: float) -> None:
    np.testing.assert_allclose(kl.eigenvalues(len(EIGENVALUES[length]), length), EIGENVALUES[length], atol=6e-13)


@pytest.mark.parametrize("length", [0.02, 0.1, 1.0, 10.0])
def test_eigenpairs_solve_the_integral_equation(length: float) -> None:
    """int exp(-|x-y|/l) phi(y) dy = lambda phi(x) at points x, by Gauss quadrature on both sides of x."""
    s, weights = np.polynomial.legendre.leggauss(80)
    values = kl.eigenvalues(8, length)
    for x in (0.0, 0.3, 0.77):
        total = np.zeros(8)
        for low, high in ((0.0, x), (x, 1.0)):
            y = low + (high - low) * (1 + s) / 2
            kernel = np.exp(-np.abs(x - y) / length) * weights * (high - low) / 2
            total += kernel @ kl.eigenfunctions(y, 8, length)
        np.testing.assert_allclose(total, values * kl.eigenfunctions(np.array([x]), 8, length)[0], atol=1e-12)


def test_eigenfunctions_are_orthonormal_and_the_trace_is_one() -> None:
    s, weights = np.polynomial.legendre.leggauss(60)
    table = kl.eigenfunctions((1 + s) / 2, 10, 0.3)
    np.testing.assert_allclose(table.T @ (weights[:, None] / 2 * table), np.eye(10), atol=1e-12)
    # The eigenvalues of a covariance of unit variance sum to 1; the tail beyond n is 2/(l pi^2 n) to leading order.
    assert 1 - kl.eigenvalues(4000, 0.3).sum() == pytest.approx(2 / (0.3 * np.pi**2 * 4000), rel=1e-3)


def test_slopes_are_the_derivatives_of_the_eigenfunctions() -> None:
    x, h = np.linspace(0.1, 0.9, 5), 1e-5
    difference = (kl.eigenfunctions(x + h, 6, 0.2) - kl.eigenfunctions(x - h, 6, 0.2)) / (2 * h)
    np.testing.assert_allclose(kl.eigenfunctions(x, 6, 0.2, slopes=True), difference, atol=1e-6)


def test_tensor_modes_are_the_largest_products() -> None:
    i, j, values = kl.tensor_modes(64, 0.1)
    every = np.sort(np.outer(kl.eigenvalues(64, 0.1), kl.eigenvalues(64, 0.1)).ravel())[::-1]
    np.testing.assert_allclose(values, every[:64], rtol=1e-13)
    assert len(set(zip(i.tolist(), j.tolist(), strict=True))) == 64


def test_field_has_the_covariance_of_its_modes() -> None:
    """d g / d xi_k = sigma sqrt(lambda_k) phi_k: summed squares tend to the variance, and g is linear."""
    problem = LognormalDiffusion(d=4, sigma=1.0, length=0.5, cells=16)
    columns = np.asarray(jax.jacobian(problem.log_field)(jnp.zeros(4)))
    assert (columns**2).sum(axis=-1).mean() == pytest.approx(problem.variance_share, rel=5e-3)
    p = problem.inputs.sample(1)[0]
    np.testing.assert_allclose(problem.log_field(jnp.asarray(p)), columns @ p, atol=1e-13)


def test_solution_solves_the_same_system_as_scipy(problem: LognormalDiffusion, inputs: np.ndarray) -> None:
    for p in inputs[:2]:
        solution = problem.solve_report(p)
        assert solution.method == "multigrid-cg" and solution.residual <= 1e-12
        matrix = problem.matrix(np.asarray(problem.theta(jnp.asarray(p))))
        load = np.asarray(problem.load(jnp.asarray(p)))[problem.free]
        np.testing.assert_allclose(solution.u[problem.free], spsolve(matrix.tocsc(), load), rtol=1e-10)
        r = np.asarray(problem.residual(p, solution.u))
        assert np.linalg.norm(r) <= 2e-12 * np.linalg.norm(load)


def test_jax_residual_equals_that_of_the_matrix(problem: LognormalDiffusion, inputs: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    u = np.where(problem.free, rng.standard_normal(problem.size), 0)
    theta = np.asarray(problem.theta(jnp.asarray(inputs[0])))
    expected = problem.matrix(theta) @ u[problem.free] - np.asarray(problem.load(inputs[0]))[problem.free]
    found = np.asarray(problem.residual(inputs[0], u))[problem.free]
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
    assert problem.norm(inputs[0], u) ** 2 == pytest.approx(
        u[problem.free] @ (expected + 1 / problem.cells**2), rel=1e-12
    )


def test_scikit_fem_agrees(problem: LognormalDiffusion, inputs: np.ndarray) -> None:
    n = problem.cells
    ticks = np.linspace(0, 1, n + 1)
    basis = skfem.Basis(skfem.MeshQuad.init_tensor(ticks, ticks), skfem.ElementQuad1())
    weights = np.asarray(problem.theta(jnp.asarray(inputs[1]))).reshape(n, n)
    cell = np.floor(basis.mesh.p[:, basis.mesh.t].mean(axis=1) * n).astype(int)

    @skfem.BilinearForm
    def stiffness(u, v, w):  # type: ignore[no-untyped-def]
        return w.k * (u.grad[0] * v.grad[0] + u.grad[1] * v.grad[1])

    @skfem.LinearForm
    def load(v, w):  # type: ignore[no-untyped-def]
        return v

    coefficient = np.repeat(weights[cell[0], cell[1]][:, None], basis.dx.shape[1], axis=1)
    a, b = stiffness.assemble(basis, k=coefficient), load.assemble(basis)
    u = skfem.solve(*skfem.condense(a, b, D=basis.get_dofs()))
    places = np.rint(basis.doflocs * n).astype(int)
    ours = np.asarray(problem.solve(inputs[1])).reshape(n + 1, n + 1)[places[0], places[1]]
    np.testing.assert_allclose(ours, u, atol=1e-12)


def test_one_dimensional_flux_is_exact() -> None:
    """-(k u')' = 0 with u = 0, 1 at the ends: flux 1/int(1/k) of the cells; order two to that of the field."""
    xi = np.random.default_rng(1).standard_normal(6) * np.sqrt(kl.eigenvalues(6, 0.3))
    s, weights = np.polynomial.legendre.leggauss(200)
    exact = 1 / (weights / 2 @ np.exp(-kl.eigenfunctions((1 + s) / 2, 6, 0.3) @ xi))
    errors = []
    for n in (32, 64, 128):
        k = np.exp(kl.eigenfunctions((np.arange(n) + 0.5) / n, 6, 0.3) @ xi)
        u = np.append(0, np.cumsum(1 / k)) / (1 / k).sum()
        strip = np.repeat(u[:, None], 4, axis=1)  # constant in y: the two-dimensional operator must find no residual
        assert (
            np.abs(q1.apply(jnp.asarray(np.repeat(k[:, None], 3, axis=1)), jnp.asarray(strip))).max() <= 1e-13 * k.max()
        )
        energy = (np.repeat(k[:, None], 3, axis=1) * np.asarray(q1.flux(jnp.asarray(strip))) ** 2).sum() / (3 / n)
        flux = 1 / (1 / k).mean()
        assert energy == pytest.approx(flux, rel=1e-12)
        errors.append(abs(flux - exact))
    assert np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 2).max() <= 0.05


def test_manufactured_solution_converges_with_orders_two_and_one() -> None:
    """u = sin(pi x) sin(pi y) e^x with k = exp(sin(2 pi x) cos(2 pi y)) at cell midpoints; L2 and energy norms."""
    pi = np.pi

    def exact(x, y):  # type: ignore[no-untyped-def]
        return jnp.sin(pi * x) * jnp.sin(pi * y) * jnp.exp(x)

    def coefficient(x, y):  # type: ignore[no-untyped-def]
        return jnp.exp(jnp.sin(2 * pi * x) * jnp.cos(2 * pi * y))

    def source(x, y):  # type: ignore[no-untyped-def]
        flow = lambda axis: lambda *at: coefficient(*at) * jax.grad(exact, axis)(*at)  # noqa: E731
        return -(jax.grad(flow(0), 0)(x, y) + jax.grad(flow(1), 1)(x, y))

    gauss = 0.5 + np.array([-1, 1]) / np.sqrt(12)
    spread, gradient = [jax.jit(jax.vmap(f)) for f in (source, jax.grad(exact, (0, 1)))]
    in_l2, in_energy = [], []
    for n in (8, 16, 32):
        x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")
        w = coefficient(x + 0.5 / n, y + 0.5 / n)
        load = np.zeros((n + 1, n + 1))
        points = [(a, b) for a in gauss for b in gauss]
        for a, b in points:
            f = np.asarray(spread((x + a / n).ravel(), (y + b / n).ravel())).reshape(n, n) / (4 * n * n)
            for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
                load[i : n + i, j : n + j] += f * (a if i else 1 - a) * (b if j else 1 - b)
        u = np.pad(spsolve(q1.CsrMap(n, n)(w).tocsc(), load[1:-1, 1:-1].ravel()).reshape(n - 1, n - 1), 1)
        l2 = energy = 0.0
        for a, b in points:
            px, py = x + a / n, y + b / n
            value = (1 - a) * (1 - b) * u[:-1, :-1] + a * (1 - b) * u[1:, :-1]
            value = value + (1 - a) * b * u[:-1, 1:] + a * b * u[1:, 1:]
            l2 += ((value - np.asarray(exact(px, py))) ** 2).sum() / (4 * n * n)
            ux, uy = (np.asarray(g).reshape(n, n) for g in gradient(px.ravel(), py.ravel()))
            ex = n * ((1 - b) * (u[1:, :-1] - u[:-1, :-1]) + b * (u[1:, 1:] - u[:-1, 1:])) - ux
            ey = n * ((1 - a) * (u[:-1, 1:] - u[:-1, :-1]) + a * (u[1:, 1:] - u[1:, :-1])) - uy
            energy += (np.asarray(coefficient(px, py)) * (ex**2 + ey**2)).sum() / (4 * n * n)
        in_l2.append(np.sqrt(l2))
        in_energy.append(np.sqrt(energy))
    assert np.abs(np.log2(np.array(in_l2[:-1]) / in_l2[1:]) - 2).max() <= 0.05
    assert np.abs(np.log2(np.array(in_energy[:-1]) / in_energy[1:]) - 1).max() <= 0.05


def test_derivatives_agree(problem: LognormalDiffusion, inputs: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    weights = rng.standard_normal(problem.size)
    p, v = jnp.asarray(inputs[0]), jnp.asarray(rng.standard_normal(4))

    def functional(p: jax.Array) -> jax.Array:
        return jnp.vdot(jnp.asarray(weights), problem.solve(p))

    @jax.jit
    def derivatives(p: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        gradient, product = jax.jvp(jax.grad(functional), (p,), (v,))
        return jax.jvp(functional, (p,), (v,))[1], gradient, product

    tangent, adjoint, product = derivatives(p)
    assert float(adjoint @ v) == pytest.approx(float(tangent), rel=1e-7)
    h = 1e-4
    centred = [(functional(p + h * e) - functional(p - h * e)) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(adjoint, centred, rtol=1e-5, atol=1e-7)
    expected = (derivatives(p + h * v)[1] - derivatives(p - h * v)[1]) / (2 * h)
    np.testing.assert_allclose(product, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.rounding
def test_batches_equal_single_solves(problem: LognormalDiffusion, inputs: np.ndarray) -> None:
    single = np.stack([np.asarray(problem.solve(p)) for p in inputs])
    np.testing.assert_array_equal(problem.solve_batch(inputs), single)
    np.testing.assert_allclose(jax.jit(jax.vmap(problem.solve))(jnp.asarray(inputs)), single, rtol=1e-10, atol=1e-13)


def test_data_of_the_proofs(problem: LognormalDiffusion, inputs: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    theta = problem.theta(jnp.asarray(inputs[2]))
    fields = jnp.asarray(np.where(problem.free, rng.standard_normal((2, problem.size)), 0))
    scales = jnp.stack([jnp.sqrt(theta), 1 / jnp.sqrt(theta)])
    energy, rounding = problem.flux_energy(scales, fields)
    matrix = problem.matrix(np.asarray(theta))
    reference = problem.matrix(problem.reference_theta)
    u, z = (np.asarray(f)[problem.free] for f in fields)
    inverse = problem.matrix(1 / np.asarray(theta))
    expected = u @ (matrix @ u) + 2 * u @ (reference @ z) + z @ (inverse @ z)
    assert abs(float(energy) - expected) <= 1e-12 * expected and 0 < rounding <= 1e-8 * expected
    smallest = np.linalg.eigvalsh(matrix.toarray())[0]
    assert 0 < problem.coercivity(theta) <= smallest
    r = problem.apply(jnp.asarray(problem.reference_theta), fields[0])
    np.testing.assert_allclose(problem.reference_solve(r), fields[0], atol=1e-12)
    absolute = problem.apply_absolute(theta, fields[0])
    assert (absolute >= jnp.abs(problem.apply(theta, fields[0]))).all()
    cycle = problem.preconditioner(theta)
    assert cycle is not None
    x, y = fields
    assert float(jnp.vdot(x, cycle(y))) == pytest.approx(float(jnp.vdot(y, cycle(x))), rel=1e-10)


def test_rounding_of_the_weights_is_covered(inputs: np.ndarray) -> None:
    """Against the same table in extended precision, at the corners of the box where g is largest."""
    problem = LognormalDiffusion(d=16, sigma=2.0, length=0.2, cells=16)
    along_x, along_y, values = problem._modes
    table = problem._table.astype(np.longdouble)
    amplitudes = (problem.sigma * np.sqrt(values)).astype(np.longdouble)
    rng = np.random.default_rng(5)
    for _ in range(20):
        p = rng.choice([-3.0, 3.0], 16)
        g = np.einsum("k,xk,yk->xy", amplitudes * p, table[:, along_x], table[:, along_y])
        error = np.abs(np.asarray(problem.theta(jnp.asarray(p))).reshape(16, 16) / np.exp(g) - 1).max()
        assert error <= gamma(problem.weight_roundings)


def test_a_failed_iteration_is_solved_directly() -> None:
    """Contrasts of 1e30 that no cycle of averages follows."""
    problem = LognormalDiffusion(d=64, sigma=20.0, length=0.1, cells=16)
    p = np.random.default_rng(0).standard_normal(64).clip(-3, 3)
    solution = problem.solve_report(p)
    assert solution.method == "direct"
    load = np.asarray(problem.load(p))[problem.free]
    matrix = problem.matrix(np.asarray(problem.theta(jnp.asarray(p))))
    u = solution.u[problem.free]
    backward = np.abs(load - matrix @ u) / (abs(matrix) @ np.abs(u) + load)  # entry by entry
    assert backward.max() <= 1e-13
    assert load @ u == pytest.approx(float(problem.norm(p, solution.u)) ** 2, rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d": 0}, "d must be a whole number"),
        ({"d": 2.5}, "d must be a whole number"),
        ({"cells": 1}, "cells must be a whole number"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"length": float("nan")}, "length must be positive"),
        ({"d": 64, "cells": 4, "length": 0.05}, "take at least .* cells"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LognormalDiffusion(**settings)


def test_bad_inputs_and_missing_structure_are_named(problem: LognormalDiffusion) -> None:
    with pytest.raises(ValueError, match="'xi2': 3.5 is outside"):
        problem.solve([0, 3.5, 0, 0])
    with pytest.raises(ValueError, match="one term per cell"):
        problem.operator_terms(jnp.zeros(problem.size))


def test_settings_build_the_same_problem(problem: LognormalDiffusion) -> None:
    again = LognormalDiffusion(**problem.settings)
    assert again.settings == problem.settings and again.inputs.laws == ("normal",) * 4
