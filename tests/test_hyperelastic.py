"""Neo-Hookean blocks: closed forms, linear elasticity at rest, order, and failures that are reported."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg as spla
from scipy.optimize import brentq

import assay
from assay.solvers.classes.richardson import restrict
from assay.solvers.discretisations import neo_hookean, plane_stress
from assay.solvers.problem import SolveError
from assay.solvers.problems.hyperelastic import Hyperelastic

POISSON = 0.3
GAUSS = [(s, t) for s in 0.5 + np.array([-1, 1]) / np.sqrt(12) for t in 0.5 + np.array([-1, 1]) / np.sqrt(12)]


@pytest.fixture(scope="module")
def fine() -> Hyperelastic:
    """Its coarser grids, down to ``problem``, are compiled once for all tests."""
    return Hyperelastic(cells=64, high=1000.0, amount=(0.05, 2.5))


@pytest.fixture(scope="module")
def problem(fine: Hyperelastic) -> Hyperelastic:
    return fine.coarser.coarser.coarser.coarser


@pytest.fixture(scope="module")
def sheared() -> Hyperelastic:
    return Hyperelastic("shear", cells=4, amount=(0.0, 2.0))


def lame(e: float) -> tuple[float, float]:
    return e / (2 * (1 + POISSON)), e * POISSON / ((1 + POISSON) * (1 - 2 * POISSON))


def somewhere(problem: Hyperelastic, p: np.ndarray, seed: int) -> np.ndarray:
    """A rough field that turns no cell inside out."""
    v = np.asarray(problem.affine_field(jnp.asarray(p)))
    return np.where(problem.free, v + 0.02 * np.random.default_rng(seed).standard_normal(problem.size), v)


class Newton:
    """Newton's method on the host, for equations with a body force and for starts that ``solve`` does not take."""

    def __init__(self, problem: Hyperelastic) -> None:
        def step(p: jax.Array, v: jax.Array, force: jax.Array) -> tuple[jax.Array, jax.Array]:
            r = problem.equation(p, v) - force
            return v - problem.correction(p, v, r), jnp.linalg.norm(r)

        self.problem, self.step = problem, jax.jit(step)

    def __call__(self, p: np.ndarray, u: np.ndarray, force: np.ndarray | None = None) -> np.ndarray:
        v = u[self.problem.free]
        for _ in range(12):
            v, size = self.step(p, v, np.zeros_like(u[self.problem.free]) if force is None else force)
            if size < 1e-13:
                break
        assert size < 1e-13
        return np.asarray(self.problem.field(p, v))


@pytest.fixture(scope="module")
def newton(sheared: Hyperelastic) -> Newton:
    return Newton(sheared)


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.5, 2.2])
@pytest.mark.parametrize("columns", [(3.0, 3.0), (2.0, 70.0)])
def test_uniaxial_stretch_is_the_closed_form(problem: Hyperelastic, stretch: float, columns: tuple) -> None:
    """F = diag(a, s) with no traction across: mu (a^2 - 1) + lame ln(a s) = 0, in which the modulus cancels: columns of
    different materials share one deformation.
    """
    mu, lam = lame(1.0)
    a = brentq(lambda a: mu * (a * a - 1) + lam * np.log(a * stretch), 0.1, 3, xtol=1e-14)
    p = [columns[0], columns[0], columns[1], columns[1], stretch]
    solution = problem.solve_report(p)
    x, y = problem.coordinates.T
    np.testing.assert_allclose(solution.u.reshape(-1, 2), np.stack([(a - 1) * x, (stretch - 1) * y], 1), atol=1e-9)
    stress = (mu * (stretch - 1 / stretch) + lam * np.log(a * stretch) / stretch) * np.mean(columns)
    np.testing.assert_allclose(problem.nominal_stress(p, solution.u), [0, stress], atol=1e-8)
    np.testing.assert_allclose(problem.smallest_jacobian(solution.u), a * stretch, atol=1e-9)


@pytest.mark.parametrize("shear", [0.1, 1.0])
def test_simple_shear_is_the_closed_form(sheared: Hyperelastic, newton: Newton, shear: float) -> None:
    """u = (shear y, 0): J = 1, P_12 = mu shear, P_22 = 0; found again from a rough start."""
    p = np.array([2.0, 2.0, 2.0, 2.0, shear])
    y = sheared.coordinates[:, 1]
    exact = np.stack([shear * y, 0 * y], axis=1).reshape(-1)
    np.testing.assert_allclose(newton(p, somewhere(sheared, p, 0)), exact, atol=1e-12)
    np.testing.assert_allclose(sheared.nominal_stress(p, exact), [lame(2.0)[0] * shear, 0], atol=1e-12)


def test_a_sheared_block_turned_by_half_is_the_block_of_turned_moduli(sheared: Hyperelastic) -> None:
    """x -> (1, 1) - x keeps the problem: u_turned(x) = (shear, 0) - u((1, 1) - x)."""
    e, shear = [1.0, 9.0, 4.0, 2.0], 0.7
    u, turned = (np.asarray(sheared.solve([*moduli, shear])).reshape(5, 5, 2) for moduli in (e, e[::-1]))
    np.testing.assert_allclose(turned, np.array([shear, 0]) - u[::-1, ::-1], atol=1e-10)
    assert np.abs(u - np.asarray(sheared.affine_field(jnp.array([*e, shear]))).reshape(5, 5, 2)).max() > 0.01


def test_forces_are_the_gradient_of_the_energy(problem: Hyperelastic) -> None:
    """An energy written here, from F in the Gauss points, differentiated by JAX."""
    n, p = problem.cells, jnp.asarray([2.0, 5.0, 8.0, 3.0, 1.3])
    mu, lam = (np.kron(np.reshape(c, (2, 2)), np.ones((2, 2))) for c in lame(np.asarray(p[:4])))

    def energy(v: jax.Array) -> jax.Array:
        u = v.reshape(n + 1, n + 1, 2)
        total = jnp.zeros(())
        for s, t in GAUSS:
            ux = n * ((1 - t) * (u[1:, :-1] - u[:-1, :-1]) + t * (u[1:, 1:] - u[:-1, 1:]))
            uy = n * ((1 - s) * (u[:-1, 1:] - u[:-1, :-1]) + s * (u[1:, 1:] - u[1:, :-1]))
            f = jnp.stack([ux, uy], axis=-1) + jnp.eye(2)
            log = jnp.log(f[..., 0, 0] * f[..., 1, 1] - f[..., 0, 1] * f[..., 1, 0])
            density = mu / 2 * ((f**2).sum((-1, -2)) - 2 - 2 * log) + lam / 2 * log**2
            total = total + density.sum() / (4 * n * n)
        return total

    u = jnp.asarray(somewhere(problem, np.asarray(p), 1))
    expected = np.asarray(jax.jit(jax.grad(energy))(u))[problem.free]
    found = np.asarray(problem.residual(p, u))[problem.free]
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


def test_the_matrices_are_those_of_the_residual_and_the_norm(problem: Hyperelastic) -> None:
    p = np.array([2.0, 5.0, 8.0, 3.0, 1.3])
    u = somewhere(problem, p, 2)
    v = np.where(problem.free, np.random.default_rng(3).standard_normal(problem.size), 0)
    inner, a = v[problem.free], problem.jacobian(p, u)
    assert abs(a - a.T).max() <= 1e-12 * abs(a).max()
    pushed = jax.jit(lambda u: jax.jvp(lambda w: problem.residual(p, w), (u,), (v,))[1])(u)
    np.testing.assert_allclose(a @ inner, np.asarray(pushed)[problem.free], atol=1e-12 * abs(a).max())
    tangent = neo_hookean.tangent(problem.moduli(jnp.asarray(p)), problem.to_grid(jnp.asarray(u)))
    formed = problem.cholesky.matrix(neo_hookean.stiffness(tangent, problem.free))
    np.testing.assert_allclose(formed[problem.free][:, problem.free], a.toarray(), atol=1e-13 * abs(a).max())
    np.testing.assert_array_equal(formed[~problem.free], np.eye(problem.size)[~problem.free])
    assert inner @ problem.norm_matrix(p) @ inner == pytest.approx(float(problem.norm(p, v)) ** 2, rel=1e-12)


@pytest.mark.parametrize("cells", [2, 4, 6, 12])
def test_every_entry_of_the_jacobian_is_a_neighbour(cells: int) -> None:
    """No stored zeros (a block format would add some on small grids), so that the colours can tell entries apart."""
    block = Hyperelastic(cells=cells)
    lu = block.probing.lu
    where = block.coordinates[np.flatnonzero(block.free) // 2]
    distance = np.abs(where[:, None] - where[None]).max(axis=2) * cells
    assert len(lu.rows) == np.count_nonzero(distance < 1.5)
    assert (distance[lu.rows, lu.columns] < 1.5).all()


def test_small_loads_are_linear_elasticity(problem: Hyperelastic) -> None:
    """Plane strain of (E, nu) is plane stress of E/(1 - nu^2), nu/(1 - nu): the Jacobian at rest is that stiffness, and
    u/load tends to its solution in proportion to the load.
    """
    n, e = problem.cells, np.array([2.0, 5.0, 8.0, 3.0])
    nodes = problem.coordinates.reshape(n + 1, n + 1, 2)
    elements = plane_stress.elements(nodes, POISSON / (1 - POISSON))
    young = np.kron(e.reshape(2, 2), np.ones((2, 2))) / (1 - POISSON**2)
    free = problem.free.reshape(n + 1, n + 1, 2).transpose(2, 0, 1)
    stiffness = plane_stress.CsrMap(elements, free)(young)
    at_rest = problem.jacobian([*e, 1.0], np.zeros(problem.size))
    assert abs(at_rest - stiffness).max() <= 1e-13 * abs(stiffness).max()

    affine = np.stack([0 * nodes[..., 1], nodes[..., 1]], axis=-1)
    forces = plane_stress.apply(elements, young, jnp.asarray(affine.transpose(2, 0, 1)))
    linear = affine.reshape(-1).copy()
    linear[problem.free] -= spla.spsolve(
        stiffness.tocsc(), np.asarray(forces).transpose(1, 2, 0).reshape(-1)[problem.free]
    )
    far, near = (np.abs(problem.solve_report([*e, 1 + h]).u / h - linear).max() for h in (2e-3, 1e-3))
    assert near < 2e-3 and far / near == pytest.approx(2, abs=0.02)


def test_manufactured_solution_converges_with_order_two(sheared: Hyperelastic, newton: Newton) -> None:
    """u = affine shear + bumps, with the body force -div P(F) that it needs; nodal errors in the problem's norm and in
    L2 with the weight h^2 of a node (a mean over the unknowns would add log2(1 - 1/n) to the order, 0.1 at 16 cells).
    """
    mu, lam = lame(2.0)

    def exact(x: jax.Array) -> jax.Array:
        bump = jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1])
        return jnp.stack([0.3 * x[1] + 0.1 * bump * jnp.exp(x[0]), 0.12 * bump * x[1]])

    def stress(x: jax.Array) -> jax.Array:
        f = jnp.eye(2) + jax.jacfwd(exact)(x)
        j = f[0, 0] * f[1, 1] - f[0, 1] * f[1, 0]
        inverse = jnp.array([[f[1, 1], -f[1, 0]], [-f[0, 1], f[0, 0]]]) / j  # F^-T
        return mu * (f - inverse) + lam * jnp.log(j) * inverse

    spread = jax.jit(jax.vmap(lambda x: -jnp.trace(jax.jacfwd(stress)(x), axis1=1, axis2=2)))
    field = jax.jit(jax.vmap(exact))
    p = np.array([2.0, 2.0, 2.0, 2.0, 0.3])
    in_h1, in_l2 = [], []
    for n in (4, 8, 16, 32):
        block = sheared if n == 4 else Hyperelastic("shear", cells=n)
        corner = np.stack(np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij"), axis=-1)
        places = np.stack([corner + np.array(point) / n for point in GAUSS])
        values = np.asarray(spread(jnp.asarray(places.reshape(-1, 2)))).reshape(4, n, n, 2)
        load = np.zeros((n + 1, n + 1, 2))
        for (s, t), value in zip(GAUSS, values, strict=True):
            for i, j in plane_stress.CORNERS:
                load[i : n + i, j : n + j] += (s if i else 1 - s) * (t if j else 1 - t) * value / (4 * n * n)
        truth = np.asarray(field(jnp.asarray(block.coordinates))).reshape(-1)
        error = (newton if n == 4 else Newton(block))(p, truth, load.reshape(-1)[block.free]) - truth
        in_h1.append(float(block.norm(p, error)))
        in_l2.append(np.linalg.norm(error) / n)
    orders = np.log2(np.array([in_h1, in_l2])[:, :-1] / np.array([in_h1, in_l2])[:, 1:])
    np.testing.assert_allclose(orders[0], 2, atol=0.05)
    np.testing.assert_allclose(orders[1, 1:], 2, atol=0.05)  # 2.13 from 4 to 8 cells, not asymptotic yet


def test_the_estimated_discretisation_error_is_near_the_true_one(fine: Hyperelastic) -> None:
    coarse = fine.coarser.coarser.coarser
    for p, order in (([1.0, 10.0, 1.0, 10.0, 1.4], (0.8, 1.2)), ([1.0, 10.0, 10.0, 1.0, 1.4], (0.25, 0.6))):
        truth = restrict(fine, coarse, fine.solve_report(p).u)
        estimate = coarse.discretisation_error(p)
        assert order[0] <= estimate.order <= order[1]  # layers, and a checkerboard's singular corner
        true = float(coarse.norm(p, coarse.solve_report(p).u - truth) / coarse.norm(p, truth))
        assert estimate.relative == pytest.approx(true / (1 - 8**-estimate.order), rel=0.35)  # fine's own error
    smooth = coarse.discretisation_error([3.0, 3.0, 3.0, 3.0, 1.4])
    assert smooth.relative < 1e-9 and smooth.order == 2
    with pytest.raises(ValueError, match="3 cells cannot be halved with 3 x 1 blocks.*two halvings, of cells=12 k"):
        Hyperelastic(blocks=(3, 1), cells=6).discretisation_error([1.0, 2.0, 3.0, 1.4])


def test_truth_is_a_root_and_only_ratios_of_moduli_matter(problem: Hyperelastic) -> None:
    p = np.array([1.5, 4.0, 9.0, 2.0, 1.4])
    solution = problem.solve_report(p)
    size = float(problem.load_size(jnp.asarray(p)))
    residual = np.linalg.norm(problem.residual(p, solution.u)) / size
    assert solution.method == "newton" and solution.residual <= 1e-11
    assert residual == pytest.approx(solution.residual, rel=1e-3, abs=1e-14)
    np.testing.assert_allclose(problem.solve_report([*(3 * p[:4]), p[4]]).u, solution.u, atol=1e-9)
    assert (problem.smallest_jacobian(solution.u) > 0).all()
    x, amplitude = problem.features(jnp.asarray(p))
    np.testing.assert_allclose(problem.features(jnp.asarray([*(3 * p[:4]), p[4]]))[0], x, atol=1e-14)
    assert amplitude == 1  # the state at rest lies in this box; it does not in the default's
    assert Hyperelastic().features(jnp.asarray(p))[1] == pytest.approx(0.4)


def test_a_failure_is_reported_and_marks_its_row_alone(problem: Hyperelastic) -> None:
    """A stiff and a soft material pushed far beyond what the soft one stands."""
    bad, good = [1.0, 1000.0, 500.0, 1.0, 0.05], [2.0, 3.0, 4.0, 2.0, 1.2]
    with pytest.raises(SolveError, match=r"E01=1000.*turn.* inside out .*take a stretch nearer to 1 or less contrast"):
        problem.solve_report(bad)
    P = np.array([good, bad, good])
    rows = np.asarray(problem.solve_batch(P))
    assert np.isnan(rows[1]).all()
    np.testing.assert_allclose(rows[[0, 2]], np.stack([problem.solve_report(good).u] * 2), atol=1e-11)
    mapped = np.asarray(jax.jit(jax.vmap(problem.solve))(P))
    np.testing.assert_allclose(mapped, rows, atol=1e-10)


def test_residual_is_not_a_number_where_a_cell_is_inverted(problem: Hyperelastic) -> None:
    u = np.zeros(problem.size)
    u[2 * (5 * 2 + 2)] = 10.0  # an inner node moved across its neighbours
    assert np.isnan(np.asarray(problem.residual([1.0, 1.0, 1.0, 1.0, 1.0], u))).any()
    assert float(problem.smallest_jacobian(u).min()) < 0


def test_rounding_of_the_residual_is_covered(problem: Hyperelastic) -> None:
    """Against the same formulas in 40 decimal digits."""
    rng = np.random.default_rng(5)
    for k in range(3):
        p = np.array([*rng.uniform(1, 10, 4), rng.uniform(0.8, 1.5)])
        u = somewhere(problem, p, k)
        found = np.asarray(problem.residual(p, u))
        with localcontext() as context:
            context.prec = 40
            exact = _exact_forces(problem.cells, p, u)
            error = np.array([float(Decimal(float(x)) - y) for x, y in zip(found, exact, strict=True)])
        bound = float(problem.residual_rounding(jnp.asarray(p), jnp.asarray(u)))
        assert 0 < np.linalg.norm(error[problem.free]) <= bound < 1e-11


def _exact_forces(n: int, p: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Internal forces in decimals."""
    exact = np.vectorize(lambda x: Decimal(float(x)), otypes=[object])
    v = exact(u).reshape(n + 1, n + 1, 2)
    e, nu, one = exact(np.kron(p[:4].reshape(2, 2), np.ones((2, 2)))), Decimal(POISSON), Decimal(1)
    mu, lam = e / (2 * (1 + nu)), e * nu / ((1 + nu) * (1 - 2 * nu))
    forces = exact(np.zeros((n + 1, n + 1, 2)))
    low, high = one / 2 - 1 / Decimal(12).sqrt(), one / 2 + 1 / Decimal(12).sqrt()
    for s, t in ((low, low), (low, high), (high, low), (high, high)):
        ux = n * ((1 - t) * (v[1:, :-1] - v[:-1, :-1]) + t * (v[1:, 1:] - v[:-1, 1:]))
        uy = n * ((1 - s) * (v[:-1, 1:] - v[:-1, :-1]) + s * (v[1:, 1:] - v[1:, :-1]))
        f11, f12, f21, f22 = 1 + ux[..., 0], uy[..., 0], ux[..., 1], 1 + uy[..., 1]
        j = f11 * f22 - f12 * f21
        q = (lam * np.vectorize(Decimal.ln, otypes=[object])(j) - mu) / j
        along_x = np.stack([mu * f11 + q * f22, mu * f21 - q * f12], axis=-1) / (4 * n)
        along_y = np.stack([mu * f12 - q * f21, mu * f22 + q * f11], axis=-1) / (4 * n)
        forces[:-1, :-1] += -(1 - t) * along_x - (1 - s) * along_y
        forces[1:, :-1] += (1 - t) * along_x - s * along_y
        forces[:-1, 1:] += -t * along_x + (1 - s) * along_y
        forces[1:, 1:] += t * along_x + s * along_y
    return forces.reshape(-1)


def test_the_name_finds_it_and_settings_build_it_again() -> None:
    default = assay.problem("hyperelastic")
    assert Hyperelastic(**default.settings).settings == default.settings
    assert default.inputs.names == ("E00", "E01", "E10", "E11", "stretch")
    assert not default.inputs.contains([1.0, 1.0, 1.0, 1.0, 1.0])  # at rest, where no relative error is defined


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loading": "twist"}, "loading must be one of stretch, shear"),
        ({"blocks": (0, 2)}, "at least one block"),
        ({"blocks": (1.5, 2)}, "two whole numbers"),
        ({"cells": 9}, "cells=9 is not a multiple of the blocks 2 x 2"),
        ({"low": 0.0}, "0 < low < high"),
        ({"poisson": 0.7}, "Poisson's ratio"),
        ({"amount": (0.0, 1.0)}, "turns the block inside out"),
        ({"amount": (2.0, 1.0)}, "amount needs finite low < high"),
        ({"amount": 1.0}, "amount is a pair"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Hyperelastic(**settings)


def test_an_unstable_branch_is_never_the_answer():
    """A soft block with one stiffer column buckles on the way: the whole load at once lands on an unstable state."""
    problem = Hyperelastic(blocks=(4, 4), cells=8, low=1.0, high=10.0, amount=(0.7, 1.5))
    for column in ((10.0, 9.0, 8.0, 10.0), (10.0, 5.0, 10.0, 10.0)):
        p = np.array([1.0] * 12 + [*column, 0.8])
        u = problem.solve_report(p).u
        assert np.linalg.eigvalsh(problem.jacobian(p, u).toarray())[0] > 0.03  # 0.039 along the path from rest
    p[-1] = 0.8
    soft = Hyperelastic(blocks=(2, 2), cells=8, low=0.5, high=2.0, amount=(0.25, 1.0))
    for stretch in (0.45, 0.3):
        P = np.array([[1.0, 1.1, 1.0, 1.0, stretch]])
        u = np.asarray(soft.solve_batch(P))[0]
        assert np.isnan(u).all() or np.linalg.eigvalsh(soft.jacobian(P[0], u).toarray())[0] > 0
