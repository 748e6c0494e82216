"""Plane stress: elements, the truth on three geometries, its derivatives and its data for proofs."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skfem
from scipy.sparse.linalg import spsolve
from skfem.helpers import ddot, sym_grad, trace

from assay.solvers.discretisations import membranes, plane_stress_multigrid
from assay.solvers.discretisations import plane_stress as ps
from assay.solvers.problems.elasticity import Elasticity

TIP = 1000 / (6 * 3e7 * 144) * ((4 + 5 * 0.3) * 12**2 * 48 / 4 + 2 * 48**3)  # Timoshenko's cantilever, 0.0089
COOK = 23.967741  # u_y at the middle of the loaded edge, Cook's membrane; recomputed by a p-version code


@pytest.fixture(scope="module")
def problem() -> Elasticity:
    return Elasticity(blocks=(2, 2), cells=8, body=(0.0, -0.5), angle=(0.0, 3.0))


@pytest.fixture(scope="module")
def inputs(problem: Elasticity) -> np.ndarray:
    return problem.inputs.sample(4, seed=3)


beam = cache(lambda cells: Elasticity("cantilever", blocks=(1, 1), cells=cells))  # compiled once for all tests


def directly(problem: Elasticity, p: list[float]) -> np.ndarray:
    """The truth by a sparse factorisation: large grids without compiling their cycle."""
    u = np.zeros(problem.size)
    matrix = problem.matrix(np.array(p)[: problem.blocks[0] * problem.blocks[1]])
    u[problem.free] = spsolve(matrix.tocsc(), np.asarray(problem.load(jnp.asarray(p)))[problem.free])
    return u


def distorted(nx: int, ny: int, seed: int = 0) -> np.ndarray:
    """Nodes of a grid of general quadrilaterals on (0, 2) x (0, 1), boundary nodes on the boundary."""
    nodes = np.stack(np.meshgrid(np.linspace(0, 2, nx + 1), np.linspace(0, 1, ny + 1), indexing="ij"), axis=-1)
    moves = np.random.default_rng(seed).uniform(-0.25, 0.25, nodes.shape) * [2 / nx, 1 / ny]
    return nodes + moves * ps.interior_free(nx, ny).transpose(1, 2, 0)


def flat(v: np.ndarray) -> np.ndarray:
    return np.asarray(v).transpose(1, 2, 0).reshape(-1)


@pytest.mark.parametrize("seed", range(3))
def test_patch_test_on_distorted_quadrilaterals(seed: int) -> None:
    """Linear displacements on the boundary are continued linearly, to 1e-12 (Irons)."""
    nx, ny = 6, 5
    nodes, free = distorted(nx, ny, seed), ps.interior_free(nx, ny)
    e = ps.elements(nodes, 0.3)
    gradient = np.random.default_rng(seed).standard_normal((2, 2))
    exact = np.einsum("ij,xyj->ixy", gradient, nodes) + 0.7
    a = ps.CsrMap(e, free)(np.ones((nx, ny)))
    held = jnp.asarray(np.where(free, 0, exact))
    load = -np.asarray(ps.apply(e, jnp.ones((nx, ny)), held))
    u = spsolve(a.tocsc(), flat(load)[flat(free)])
    assert not e.uniform
    assert np.abs(u - flat(exact)[flat(free)]).max() <= 1e-12
    assert np.abs(np.asarray(ps.apply(e, jnp.ones((nx, ny)), jnp.asarray(exact)))[free]).max() <= 1e-12


def test_rigid_motions_cost_nothing_and_a_uniform_strain_costs_its_energy() -> None:
    nodes = distorted(5, 4)
    e = ps.elements(nodes, 0.25)
    x, y = nodes[..., 0], nodes[..., 1]
    for u in (np.stack([1 + 0 * x, 0 * x]), np.stack([0 * x, 1 + 0 * x]), np.stack([-y, x])):
        assert np.abs(ps.flux(e, jnp.asarray(u))).max() <= 1e-14
    strain = np.array([0.3, -0.2, 0.5])
    u = np.stack([strain[0] * x + strain[2] * y, strain[1] * y])
    stress = ps.stress_factor(0.25).T @ ps.stress_factor(0.25) @ strain
    assert float((ps.flux(e, jnp.asarray(u)) ** 2).sum()) == pytest.approx(2 * strain @ stress, rel=1e-12)  # area 2


@pytest.mark.parametrize("mapped", [False, True])
def test_both_evaluations_equal_the_matrix(mapped: bool) -> None:
    nx, ny = 5, 3
    rng = np.random.default_rng(1)
    nodes = distorted(nx, ny) if mapped else np.stack(np.meshgrid(np.arange(6.0), np.arange(4.0), indexing="ij"), -1)
    e = ps.elements(nodes, 0.3)
    modulus, u = rng.uniform(0.1, 10, (nx, ny)), rng.standard_normal((2, nx + 1, ny + 1))
    a = ps.CsrMap(e, np.ones((2, nx + 1, ny + 1), dtype=bool))(modulus)
    found = flat(ps.apply(e, jnp.asarray(modulus), jnp.asarray(u)))
    assert e.uniform != mapped
    assert np.abs(found - a @ flat(u)).max() <= 1e-12 * np.abs(found).max()
    assert float((modulus * ps.flux(e, jnp.asarray(u)) ** 2).sum()) == pytest.approx(flat(u) @ found, rel=1e-12)
    grid = found.reshape(nx + 1, ny + 1, 2).transpose(2, 0, 1)
    assert (ps.apply_absolute(e, jnp.asarray(modulus), jnp.asarray(u)) >= np.abs(grid)).all()


def test_an_inverted_cell_is_named() -> None:
    nodes = distorted(4, 4)
    nodes[1, 1] = [1.9, 0.9]
    with pytest.raises(ValueError, match=r"cell \(0, 0\)|cell \(1, 0\)|cell \(0, 1\)|cell \(1, 1\)"):
        ps.elements(nodes, 0.3)


def test_cantilever_bends_by_timoshenkos_formula() -> None:
    tips, energies = [], []
    for n in (4, 8, 16):
        u = directly(beam(n), [3e7])
        tips.append(u.reshape(4 * n + 1, n + 1, 2)[-1, n // 2, 1])
        energies.append(u @ np.asarray(beam(n).load(jnp.asarray([3e7]))))
    np.testing.assert_allclose(beam(4).solve_report([3e7]).u, directly(beam(4), [3e7]), atol=1e-9 * TIP)
    assert tips[-1] == pytest.approx(TIP, rel=4e-3)
    limit = tips[2] + (tips[2] - tips[1]) ** 2 / ((tips[1] - tips[0]) - (tips[2] - tips[1]))
    assert limit == pytest.approx(TIP, rel=5e-4)
    exact = _cantilever_energy()
    orders = np.log2((exact - np.array(energies[:-1])) / (exact - np.array(energies[1:])))
    assert np.abs(orders - 2).max() <= 0.05  # ||u - u_h||^2, so the energy norm has order one


def _cantilever_energy() -> float:
    """int sigma : strain of the exact solution: bending moment and parabolic shear over the beam."""
    load, length, depth, e, nu = 1000.0, 48.0, 12.0, 3e7, 0.3
    inertia = depth**3 / 12
    bending = load**2 * length**3 / (3 * e * inertia)
    shear = 2 * (1 + nu) / e * (load / (2 * inertia)) ** 2 * length * depth**5 / 30
    return bending + shear


def test_cantilever_reactions_vanish() -> None:
    """The supports of the cantilever only hold rigid motions: its tractions are in equilibrium."""
    u = jnp.asarray(beam(4).solve_report([3e7]).u)
    nx, ny = beam(4).grid
    full = ps.apply(beam(4)._levels[0].elements, jnp.full((nx, ny), 3e7), beam(4).to_grid(u))
    nodes = beam(4).coordinates.reshape(nx + 1, ny + 1, 2)
    _, _, tractions = membranes.loads("cantilever", nodes, 1000.0, (0.0, 0.0))
    assert np.abs(np.asarray(full) - tractions).max() <= 1e-7 * np.abs(tractions).max()


def test_cooks_membrane_to_four_digits() -> None:
    """Extrapolated from three grids with the observed rate; the corner at the clamped edge lowers it below two."""
    middles = []
    for n in (16, 32, 64):
        membrane = Elasticity("cook", blocks=(1, 1), cells=n)
        middles.append(directly(membrane, [1.0]).reshape(n + 1, n + 1, 2)[-1, n // 2, 1])
    first, second = np.diff(middles)
    assert 1.5 < np.log2(first / second) < 2
    assert middles[2] + second**2 / (first - second) == pytest.approx(COOK, abs=4e-3)


def test_uniform_tension_is_exact() -> None:
    """nu = 0: u_x = traction x / E, u_y = 0 solves the clamped square as well."""
    bar = Elasticity(blocks=(1, 1), cells=4, poisson=0.0, angle=0.0, traction=2.0)
    u = bar.solve_report([4.0]).u.reshape(-1, 2)
    np.testing.assert_allclose(u, np.stack([bar.coordinates[:, 0] / 2, 0 * u[:, 0]], axis=1), atol=1e-12)


@pytest.mark.parametrize("geometry", ["square", "cook"])
def test_scikit_fem_agrees(geometry: str) -> None:
    n, nu = 6, 0.3
    problem = Elasticity(geometry, blocks=(2, 3), cells=n, poisson=nu, angle=(0.0, 2.0), body=(0.2, -0.3))
    p = problem.inputs.sample(1, seed=5)[0]
    number = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    cells = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]]).reshape(4, -1)
    mesh = skfem.MeshQuad(problem.coordinates.T.copy(), cells, sort_t=False)
    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementQuad1()), intorder=2)
    modulus = np.repeat(
        np.asarray(problem.moduli(problem.theta(jnp.asarray(p)))).reshape(-1, 1), basis.dx.shape[1], axis=1
    )

    @skfem.BilinearForm
    def stiffness(u, v, w):  # type: ignore[no-untyped-def]
        strain = sym_grad(u)
        return w.e / (1 - nu**2) * ((1 - nu) * ddot(strain, sym_grad(v)) + nu * trace(strain) * trace(sym_grad(v)))

    @skfem.LinearForm
    def gravity(v, w):  # type: ignore[no-untyped-def]
        return 0.2 * v[0] - 0.3 * v[1]

    @skfem.LinearForm
    def pull(v, w):  # type: ignore[no-untyped-def]
        return problem.settings["traction"] * (np.cos(p[-1]) * v[0] + np.sin(p[-1]) * v[1])

    right = mesh.p[0].max()
    edge = skfem.FacetBasis(mesh, basis.elem, facets=mesh.facets_satisfying(lambda x: np.isclose(x[0], right)))
    a, b = stiffness.assemble(basis, e=modulus), gravity.assemble(basis) + pull.assemble(edge)
    clamped = basis.get_dofs(mesh.facets_satisfying(lambda x: np.isclose(x[0], 0)))
    u = skfem.solve(*skfem.condense(a, b, D=clamped))
    theirs = np.stack([u[basis.nodal_dofs[0]], u[basis.nodal_dofs[1]]], axis=1)
    ours = np.asarray(problem.solve(p)).reshape(-1, 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-10 * np.abs(theirs).max())


def test_truth_has_the_residual_that_it_reports(problem: Elasticity, inputs: np.ndarray) -> None:
    for p in inputs[:2]:
        solution = problem.solve_report(p)
        load = np.asarray(problem.load(jnp.asarray(p)))
        r = np.asarray(problem.residual(p, solution.u))
        assert solution.method == "multigrid-cg" and solution.iterations <= 25
        assert np.linalg.norm(r) <= 1e-11 * np.linalg.norm(load)
        direct = spsolve(problem.matrix(p[:4]).tocsc(), load[problem.free])
        np.testing.assert_allclose(solution.u[problem.free], direct, atol=1e-10 * np.abs(direct).max())


def test_load_is_affine_in_its_terms(problem: Elasticity, inputs: np.ndarray) -> None:
    p = jnp.asarray(inputs[1])
    terms = problem.load_terms()
    np.testing.assert_allclose(problem.load(p), problem.load_weights(p) @ terms, atol=1e-16)
    total = terms.reshape(3, -1, 2).sum(axis=1)
    held = np.asarray(problem.coordinates[:, 0] == 0)
    assert np.abs(terms.reshape(3, -1, 2)[:, held]).max() == 0
    np.testing.assert_allclose(total[1:], np.eye(2), atol=1e-14)  # unit traction on an edge of length one
    assert total[0, 1] == pytest.approx(-0.5 * (1 - 1 / 16), rel=1e-12)  # half a column of cells rests on the support


def test_scaling_of_the_moduli(problem: Elasticity, inputs: np.ndarray) -> None:
    p = inputs[0].copy()
    p[:4] = [0.5, 1.0, 2.0, 0.7]
    q = p.copy()
    q[:4] *= 4
    np.testing.assert_allclose(problem.solve_report(p).u, 4 * problem.solve_report(q).u, rtol=1e-9, atol=1e-9)
    (x, s), (y, t) = problem.features(jnp.asarray(p)), problem.features(jnp.asarray(q))
    np.testing.assert_allclose(x, y, atol=1e-13)
    assert float(s / t) == pytest.approx(4, rel=1e-13)


def test_multigrid_needs_the_same_steps_on_every_grid() -> None:
    """Contrast 1000; an odd number of cells takes the coarsening that is not nested."""
    steps = []
    for n in (9, 27):
        problem = Elasticity(blocks=(3, 3), cells=n, low=0.03, high=30.0)
        p = np.where(np.arange(9) % 2, 30.0, 0.03)
        steps.append(problem.solve_report(p, 1e-10).iterations)
    assert max(steps) <= 30


def test_v_cycle_is_symmetric_and_positive() -> None:
    problem = Elasticity("cook", blocks=(1, 1), cells=6)
    cycle = problem.preconditioner(jnp.ones(1))
    assert cycle is not None
    unknowns = np.flatnonzero(problem.free)
    columns = jax.jit(jax.vmap(cycle))(jnp.asarray(np.eye(problem.size)[unknowns]))[:, unknowns]
    inverse = np.asarray(columns)
    assert np.abs(inverse - inverse.T).max() <= 1e-12 * np.abs(inverse).max()
    spectrum = np.linalg.eigvals(inverse @ problem.matrix(np.ones(1)).toarray()).real
    assert spectrum.min() > 0.1 and spectrum.max() <= 1.2  # one where coarse operators are exact Galerkin ones


def test_smoother_bound_holds_for_any_moduli() -> None:
    rng = np.random.default_rng(0)
    nodes = distorted(4, 4)
    free = np.ones((2, 5, 5), dtype=bool)
    e = ps.elements(nodes, 0.3)
    bound = plane_stress_multigrid._largest_eigenvalue(ps.element_matrix(e))
    for _ in range(3):
        a = ps.CsrMap(e, free)(10 ** rng.uniform(-2, 2, (4, 4))).toarray()
        nodal = np.kron(np.eye(25), np.ones((2, 2))) * a
        half = np.linalg.inv(np.linalg.cholesky(nodal))
        assert np.linalg.eigvalsh(half @ a @ half.T)[-1] <= bound


def test_derivatives_agree(problem: Elasticity, inputs: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    weights, v = jnp.asarray(rng.standard_normal(problem.size)), jnp.asarray(rng.standard_normal(5))
    p = jnp.asarray(inputs[0])

    def functional(p: jax.Array) -> jax.Array:
        return jnp.vdot(weights, problem.solve(p))

    @jax.jit
    def derivatives(p: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        gradient, product = jax.jvp(jax.grad(functional), (p,), (v,))
        return jax.jvp(functional, (p,), (v,))[1], gradient, product

    tangent, adjoint, product = derivatives(p)
    assert float(adjoint @ v) == pytest.approx(float(tangent), rel=1e-7)
    h = 1e-5 * np.asarray(p)
    centred = [(functional(p + h * e) - functional(p - h * e)) / (2 * h[k]) for k, e in enumerate(np.eye(5))]
    np.testing.assert_allclose(adjoint, centred, rtol=1e-5, atol=1e-5)
    step = 1e-6
    expected = (derivatives(p + step * v)[1] - derivatives(p - step * v)[1]) / (2 * step)
    np.testing.assert_allclose(product, expected, rtol=1e-4, atol=1e-4)


def test_batch_marks_nothing_and_equals_single_solves(problem: Elasticity, inputs: np.ndarray) -> None:
    single = np.stack([problem.solve_report(p).u for p in inputs])
    np.testing.assert_array_equal(problem.solve_batch(inputs), single)


@pytest.mark.parametrize("geometry", ["square", "cook"])
def test_data_of_the_proofs(geometry: str) -> None:
    problem = Elasticity(geometry, blocks=(2, 1), cells=4)
    rng = np.random.default_rng(4)
    theta = jnp.asarray([0.3, 5.0])
    fields = jnp.asarray(np.where(problem.free, rng.standard_normal((2, problem.size)), 0))
    scales = jnp.stack([jnp.sqrt(theta), 1 / jnp.sqrt(theta)])
    energy, rounding = problem.flux_energy(scales, fields)
    matrix = problem.matrix(np.asarray(theta))
    u, z = (np.asarray(f)[problem.free] for f in fields)
    expected = (
        u @ (matrix @ u) + 2 * u @ (problem.matrix(np.ones(2)) @ z) + z @ (problem.matrix(1 / np.asarray(theta)) @ z)
    )
    assert abs(float(energy) - expected) <= 1e-12 * expected and 0 < rounding <= 1e-9 * expected
    spectrum = np.linalg.eigvalsh(matrix.toarray())
    assert 0 < problem.coercivity(theta) <= spectrum[0]
    own = problem.coercivity(jnp.asarray(problem.reference_theta))
    assert float(own) >= 0.5 * np.linalg.eigvalsh(problem.matrix(problem.reference_theta).toarray())[0]
    r = problem.apply(jnp.asarray(problem.reference_theta), fields[0])
    np.testing.assert_allclose(problem.reference_solve(r), fields[0], atol=1e-10)
    np.testing.assert_allclose(theta @ problem.operator_terms(fields[0]), problem.apply(theta, fields[0]), atol=1e-12)
    assert (problem.apply_absolute(theta, fields[0]) >= jnp.abs(problem.apply(theta, fields[0]))).all()
    assert problem._flux_norm >= _norm_of_absolute_factor(problem)


def _norm_of_absolute_factor(problem: Elasticity) -> float:
    e, (nx, ny) = problem._levels[0].elements, problem.grid
    rows = []
    for k in np.eye(2 * (nx + 1) * (ny + 1)):
        v = k.reshape(2, nx + 1, ny + 1)
        rows.append(np.abs(np.asarray(ps.flux(e, jnp.asarray(v)))).ravel())
    return float(np.linalg.norm(np.array(rows), 2))


def test_discretisation_error_is_estimated() -> None:
    """Against the energy of a grid twice as fine, itself extrapolated: within a third of it."""
    p = [1.0, 3.0]
    problem = Elasticity(blocks=(2, 1), cells=8)
    estimate = problem.discretisation_error(p)
    fine = Elasticity(blocks=(2, 1), cells=64)
    energy = [float(q.load(jnp.asarray(p)) @ directly(q, p)) for q in (problem, fine)]
    assert estimate.evidence == "estimate"
    assert estimate.relative == pytest.approx(np.sqrt(1 - energy[0] / energy[1]), rel=0.35)


def test_settings_build_the_same_problem(problem: Elasticity) -> None:
    again = Elasticity(**problem.settings)
    assert again.settings == problem.settings and again.inputs.names == ("E00", "E01", "E10", "E11", "angle")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"geometry": "ring"}, "geometry must be one of square, cook, cantilever"),
        ({"blocks": (0, 1)}, "at least one block"),
        ({"blocks": 3}, "two whole numbers"),
        ({"blocks": (3, 1)}, "do not divide"),
        ({"cells": 1}, "cells must be a whole number"),
        ({"low": 2.0, "high": 1.0}, "0 < low < high"),
        ({"poisson": 0.5}, "Poisson's ratio"),
        ({"angle": (1.0, 0.0)}, "angle is a number"),
        ({"geometry": "cantilever", "cells": 7, "blocks": (1, 1)}, "even number of cells"),
        ({"geometry": "cantilever", "angle": 0.0}, "leave its angle"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Elasticity(**settings)


def test_bad_inputs_are_named(problem: Elasticity) -> None:
    with pytest.raises(ValueError, match="'E10': -1 is outside"):
        problem.solve([1, 1, -1, 1, 0])
