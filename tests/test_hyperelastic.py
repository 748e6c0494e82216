"""Neo-Hookean blocks: closed forms, order, derivatives, and failures that are reported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from assay.solvers.hyperelastic import Hyperelastic
from assay.solvers.implicit import newton
from assay.solvers.problem import SolveError


@pytest.fixture(scope="module")
def problem() -> Hyperelastic:
    return Hyperelastic(blocks=(2, 1), cells=4)


@pytest.fixture(scope="module")
def block() -> Hyperelastic:
    return Hyperelastic(blocks=(1, 1), cells=4, amount=(0.4, 2.5))


def lame(e: float, nu: float = 0.3) -> tuple[float, float]:
    return e / (2 * (1 + nu)), e * nu / ((1 + nu) * (1 - 2 * nu))


@pytest.mark.parametrize("stretch", [0.6, 1.0, 1.5, 2.2])
def test_uniaxial_stretch_is_the_closed_form(block: Hyperelastic, stretch: float) -> None:
    """F = diag(a, s) with no traction across: mu (a^2 - 1) + lame ln(a s) = 0."""
    mu, lam = lame(3.0)
    a = brentq(lambda a: mu * (a * a - 1) + lam * np.log(a * stretch), 0.1, 3, xtol=1e-14)
    solution = block.solution([3.0, stretch])
    x, y = block.coordinates.T
    np.testing.assert_allclose(solution.u.reshape(-1, 2), np.stack([(a - 1) * x, (stretch - 1) * y], 1), atol=1e-9)
    stress = mu * (stretch - 1 / stretch) + lam * np.log(a * stretch) / stretch
    np.testing.assert_allclose(block.nominal_stress([3.0, stretch], solution.u), [0, stress], atol=1e-9)
    np.testing.assert_allclose(block.smallest_jacobian(solution.u), a * stretch, atol=1e-9)


@pytest.mark.parametrize("shear", [0.1, 1.0])
def test_simple_shear_is_the_closed_form(shear: float) -> None:
    """u = (shear y, 0): J = 1, P_12 = mu shear, P_22 = 0, from any start inside."""
    block = Hyperelastic("shear", blocks=(1, 1), cells=4, amount=(0.0, 2.0))
    p = jnp.asarray([2.0, shear])
    exact = np.asarray(block.affine_field(p))
    np.testing.assert_allclose(block.solution(p).u, exact, atol=1e-12)
    np.testing.assert_allclose(block.nominal_stress(p, exact), [lame(2.0)[0] * shear, 0], atol=1e-12)
    unknowns = np.flatnonzero(block.free)
    start = jnp.asarray(exact[unknowns] + 0.02 * np.random.default_rng(0).standard_normal(len(unknowns)))
    root = jax.jit(
        lambda v: newton(lambda v: block.equation(p, v), lambda v, r: block.correction(p, v, r), v, jnp.asarray(1e-12))
    )(start)
    np.testing.assert_allclose(root.u, exact[unknowns], atol=1e-11)


def test_forces_are_the_gradient_of_the_energy(problem: Hyperelastic) -> None:
    """An energy written here, from F in the Gauss points, differentiated by JAX."""
    n, p = problem.cells, jnp.asarray([2.0, 5.0, 1.3])
    mu, lam = problem.moduli(p)

    def energy(v: jax.Array) -> jax.Array:
        u = v.reshape(n + 1, n + 1, 2)
        total = jnp.zeros(())
        for s in 0.5 + np.array([-1, 1]) / np.sqrt(12):
            for t in 0.5 + np.array([-1, 1]) / np.sqrt(12):
                ux = n * ((1 - t) * (u[1:, :-1] - u[:-1, :-1]) + t * (u[1:, 1:] - u[:-1, 1:]))
                uy = n * ((1 - s) * (u[:-1, 1:] - u[:-1, :-1]) + s * (u[1:, 1:] - u[1:, :-1]))
                f = jnp.stack([ux, uy], axis=-1) + jnp.eye(2)
                log = jnp.log(jnp.linalg.det(f))
                density = mu / 2 * ((f**2).sum((-1, -2)) - 2 - 2 * log) + lam / 2 * log**2
                total = total + density.sum() / (4 * n * n)
        return total

    u = problem.prescribe(p, jnp.asarray(0.02 * np.random.default_rng(1).standard_normal(problem.size)))
    expected = np.asarray(jax.grad(energy)(u))[problem.free]
    found = np.asarray(problem.residual(p, u))[problem.free]
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


def test_jacobian_is_symmetric_and_the_derivative_of_the_residual(problem: Hyperelastic) -> None:
    p = jnp.asarray([2.0, 5.0, 1.3])
    rng = np.random.default_rng(2)
    u = problem.prescribe(p, jnp.asarray(0.02 * rng.standard_normal(problem.size)))
    a = problem.jacobian(p, u)
    assert abs(a - a.T).max() <= 1e-12 * abs(a).max()
    v = np.where(problem.free, rng.standard_normal(problem.size), 0)
    h = 1e-6
    centred = (problem.residual(p, u + h * v) - problem.residual(p, u - h * v)) / (2 * h)
    np.testing.assert_allclose(a @ v[problem.free], np.asarray(centred)[problem.free], atol=1e-7 * abs(a).max())


def test_norm_is_that_of_its_matrix(problem: Hyperelastic) -> None:
    v = np.where(problem.free, np.random.default_rng(3).standard_normal(problem.size), 0)
    x = v[problem.free] @ (problem.norm_matrix(None) @ v[problem.free])
    assert float(problem.norm(None, v)) ** 2 == pytest.approx(x, rel=1e-12)


def test_manufactured_solution_converges_with_order_two() -> None:
    """u = affine shear + bumps, with the body force -div P(F) that it needs; nodal errors, in root mean square."""
    mu, lam = lame(2.0)
    pi = np.pi

    def exact(x: jax.Array) -> jax.Array:
        bump = jnp.sin(pi * x[0]) * jnp.sin(pi * x[1])
        return jnp.stack([0.3 * x[1] + 0.1 * bump * jnp.exp(x[0]), 0.12 * bump * x[1]])

    def stress(x: jax.Array) -> jax.Array:
        f = jnp.eye(2) + jax.jacfwd(exact)(x)
        j = f[0, 0] * f[1, 1] - f[0, 1] * f[1, 0]
        inverse = jnp.array([[f[1, 1], -f[1, 0]], [-f[0, 1], f[0, 0]]]) / j  # F^-T
        return mu * (f - inverse) + lam * jnp.log(j) * inverse

    def force(x: jax.Array) -> jax.Array:
        return -jnp.trace(jax.jacfwd(stress)(x), axis1=1, axis2=2)

    spread = jax.jit(jax.vmap(force))
    errors = []
    for n in (4, 8, 16):
        block = Hyperelastic("shear", blocks=(1, 1), cells=n)
        p = jnp.asarray([2.0, 0.3])
        load = np.zeros((n + 1, n + 1, 2))
        corner = np.stack(np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij"), axis=-1)
        for s in 0.5 + np.array([-1, 1]) / np.sqrt(12):
            for t in 0.5 + np.array([-1, 1]) / np.sqrt(12):
                values = np.asarray(spread(jnp.asarray((corner + np.array([s, t]) / n).reshape(-1, 2)))).reshape(
                    n, n, 2
                )
                for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
                    shape = (s if i else 1 - s) * (t if j else 1 - t)
                    load[i : n + i, j : n + j] += shape * values / (4 * n * n)
        free = np.flatnonzero(block.free)
        b = jnp.asarray(load.reshape(-1)[free])
        root = newton(
            jax.jit(lambda v, block=block, p=p, b=b: block.equation(p, v) - b),
            lambda v, r, block=block, p=p: block.correction(p, v, r),
            block.affine_field(p)[free],
            jnp.asarray(1e-12),
        )
        truth = np.asarray(jax.vmap(exact)(jnp.asarray(block.coordinates))).reshape(-1)[free]
        errors.append(np.sqrt(np.mean((np.asarray(root.u) - truth) ** 2)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(2, abs=0.1)


def test_truth_is_a_root_and_scales(problem: Hyperelastic) -> None:
    """Only ratios of the moduli matter; the reported residual is the true one."""
    p = problem.inputs.sample(2, seed=1)[1]
    p[:2] = [1.5, 4.0]
    solution = problem.solution(p)
    size = float(problem.load_size(jnp.asarray(p)))
    r = np.asarray(problem.residual(p, solution.u))
    assert solution.method == "newton"
    assert (
        np.linalg.norm(r) / size == pytest.approx(solution.residual, rel=1e-6, abs=1e-12) and solution.residual <= 1e-10
    )
    np.testing.assert_allclose(problem.solution([3.0, 8.0, p[2]]).u, solution.u, atol=1e-8)
    assert (problem.smallest_jacobian(solution.u) > 0).all()


def test_derivatives_agree(problem: Hyperelastic) -> None:
    rng = np.random.default_rng(2)
    weights, v = jnp.asarray(rng.standard_normal(problem.size)), jnp.asarray(rng.standard_normal(3))
    p = jnp.asarray([2.0, 6.0, 1.3])

    @jax.jit
    def functional(p: jax.Array) -> jax.Array:
        return jnp.vdot(weights, problem.solve(p))

    gradient = jax.jit(jax.grad(functional))
    adjoint = gradient(p)
    tangent = jax.jit(lambda p: jax.jvp(functional, (p,), (v,))[1])(p)
    assert float(adjoint @ v) == pytest.approx(float(tangent), rel=1e-7)
    h = 1e-5
    centred = [(functional(p + h * e) - functional(p - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(adjoint, centred, rtol=1e-5, atol=1e-6)
    product = jax.jit(lambda p: jax.jvp(gradient, (p,), (v,))[1])(p)
    np.testing.assert_allclose(product, (gradient(p + h * v) - gradient(p - h * v)) / (2 * h), rtol=1e-4, atol=1e-5)


def test_element_inversion_is_reported_and_marks_its_row_alone() -> None:
    """A stiff and a soft material pushed far beyond what the soft one stands."""
    wide = Hyperelastic(blocks=(2, 2), cells=4, high=1000.0, amount=(0.02, 2.0))
    bad, good = [1, 1000, 500, 1, 0.05], [2, 3, 4, 2, 1.2]
    with pytest.raises(SolveError, match=r"inside out.*take a stretch nearer to rest"):
        wide.solution(bad)
    rows = np.asarray(wide.solve_batch([good, bad, good]))
    assert np.isnan(rows[1]).all()
    np.testing.assert_allclose(rows[[0, 2]], np.stack([wide.solution(good).u] * 2), atol=1e-12)


def test_residual_is_not_a_number_where_a_cell_is_inverted(problem: Hyperelastic) -> None:
    u = np.zeros(problem.size)
    u[2 * (5 * 2 + 2)] = 10.0  # an inner node moved across its neighbours
    assert np.isnan(np.asarray(problem.residual([1.0, 1.0, 1.0], u))).any()
    assert float(problem.smallest_jacobian(jnp.asarray(u)).min()) < 0


def test_rounding_of_the_residual_is_covered(problem: Hyperelastic) -> None:
    """Against the same formulas in extended precision."""
    rng = np.random.default_rng(5)
    for _ in range(5):
        p = np.array([*rng.uniform(1, 10, 2), rng.uniform(0.8, 1.5)])
        u = np.asarray(problem.prescribe(jnp.asarray(p), jnp.asarray(0.03 * rng.standard_normal(problem.size))))
        found = np.asarray(problem.residual(p, u))[problem.free]
        error = np.linalg.norm(found - _extended(problem, p, u)[problem.free])
        assert 0 < error <= problem.residual_rounding(jnp.asarray(p), jnp.asarray(u))


def _extended(problem: Hyperelastic, p: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Internal forces in long double."""
    n, wide = problem.cells, np.longdouble
    v = u.astype(wide).reshape(n + 1, n + 1, 2)
    e = np.repeat(p[:2].astype(wide), n // 2)[:, None]
    nu = wide(problem.poisson)
    mu, lam = e / (2 * (1 + nu)), e * nu / ((1 + nu) * (1 - 2 * nu))
    forces = np.zeros_like(v)
    root = np.sqrt(wide(12))
    for s in (wide(0.5) - 1 / root, wide(0.5) + 1 / root):
        for t in (wide(0.5) - 1 / root, wide(0.5) + 1 / root):
            ux = n * ((1 - t) * (v[1:, :-1] - v[:-1, :-1]) + t * (v[1:, 1:] - v[:-1, 1:]))
            uy = n * ((1 - s) * (v[:-1, 1:] - v[:-1, :-1]) + s * (v[1:, 1:] - v[1:, :-1]))
            f11, f12, f21, f22 = 1 + ux[..., 0], uy[..., 0], ux[..., 1], 1 + uy[..., 1]
            j = f11 * f22 - f12 * f21
            q = (lam * np.log(j) - mu) / j
            along_x = np.stack([mu * f11 + q * f22, mu * f21 - q * f12], axis=-1) / (4 * n)
            along_y = np.stack([mu * f12 - q * f21, mu * f22 + q * f11], axis=-1) / (4 * n)
            forces[:-1, :-1] += -(1 - t) * along_x - (1 - s) * along_y
            forces[1:, :-1] += (1 - t) * along_x - s * along_y
            forces[:-1, 1:] += -t * along_x + (1 - s) * along_y
            forces[1:, 1:] += t * along_x + s * along_y
    return forces.reshape(-1)


def test_settings_build_the_same_problem(problem: Hyperelastic) -> None:
    again = Hyperelastic(**problem.settings)
    assert again.settings == problem.settings and again.inputs.names == ("E00", "E10", "stretch")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loading": "twist"}, "loading must be one of stretch, shear"),
        ({"blocks": (0, 2)}, "at least one block"),
        ({"blocks": None}, "two whole numbers"),
        ({"cells": 9}, "that 2 and 2 divide"),
        ({"low": 0.0}, "0 < low < high"),
        ({"poisson": 0.7}, "Poisson's ratio"),
        ({"amount": (0.0, 1.0)}, "turn the block inside out"),
        ({"amount": (2.0, 1.0)}, "increasing and finite"),
        ({"amount": 1.0}, "amount is a pair"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Hyperelastic(**settings)
