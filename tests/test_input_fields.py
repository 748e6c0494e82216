"""What the inputs of every problem look like as functions on its nodes, and which nodes are neighbours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from assay.solvers.box import Box
from assay.solvers.meshes.graph import edges_between, matrix_edges
from assay.solvers.meshes.tensor_grid import grid_edges, grid_of
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.catalogue import PROBLEMS, problem

SMALL = {
    "bratu": {"cells": 8}, "cavity": {"cells": 8}, "helmholtz": {"cells": 16}, "advection-diffusion": {"cells": 8},
    "burgers": {"cells": 16, "steps": 4}, "allen-cahn": {"cells": 16, "steps": 8}, "wave": {"cells": 4, "steps": 8},
    "heat": {"cells": 4, "steps": 4},
}  # fmt: skip
VARIANTS = [
    *((name, SMALL.get(name, {"cells": 4})) for name in PROBLEMS),
    ("elasticity", {"cells": 4, "geometry": "cook", "angle": (0.1, 1.5)}),
    ("hyperelastic", {"cells": 4, "loading": "shear"}),
    ("burgers", {"cells": 16, "steps": 4, "boundary": "periodic"}),
    ("allen-cahn", {"cells": 8, "steps": 8, "dimension": 2, "boundary": "periodic"}),
    ("wave", {"cells": 4, "steps": 8, "blocks": (2,)}),
    ("bratu", {"cells": 8, "dimension": 1}),
]


def laplacian(n):
    return sp.diags([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], [-1, 0, 1], format="csr")


def two_springs(coordinates=None, **load):
    n = 6
    left = sp.diags(np.where(np.arange(n) < 3, 1.0, 0.0), format="csr")
    box = Box(("a", "b"), [1.0, 1.0], [2.0, 2.0])
    return affine([laplacian(n), left], None, load.pop("f", np.ones(n)), box, coordinates, **load)


def foreign(coordinates=None, nodes=6):
    box = Box(("a", "b"), [0.1, -1.0], [10.0, 1.0], log=(True, False))
    return black_box(lambda p: p[0] * np.ones(nodes), box, coordinates)


ALL = [pytest.param(lambda n=n, s=s: problem(n, **s), id=f"{n}-{k}") for k, (n, s) in enumerate(VARIANTS)]
ALL += [pytest.param(two_springs, id="affine"), pytest.param(foreign, id="black-box")]


@pytest.mark.parametrize("made", ALL)
def test_the_fields_tell_the_inputs(made):
    """As many channels as names, on the nodes; their derivative has full rank, so that no input is hidden."""
    case = made()
    P = case.inputs.from_unit(np.random.default_rng(0).uniform(0.2, 0.8, (2, case.inputs.dimension)))
    fields = np.asarray(case.input_fields(P))
    assert fields.shape == (2, case.shape[1], len(case.input_field_names))
    assert len(set(case.input_field_names)) == len(case.input_field_names)
    traced = jax.jit(lambda P: case.input_fields(P))(P)
    np.testing.assert_allclose(fields, traced, rtol=1e-13, atol=1e-13)
    slopes = jax.jacfwd(case.input_field)(jnp.asarray(P[0])).reshape(-1, case.inputs.dimension)
    assert np.linalg.matrix_rank(np.asarray(slopes)) == case.inputs.dimension
    with pytest.raises(ValueError, match="row 1"):
        case.input_fields([P[0], 2 * case.inputs.upper])


@pytest.mark.parametrize("made", ALL)
def test_the_grid_is_that_of_the_coordinates(made):
    """Neighbours on it are nearest in space (a periodic one reaches around the end, once)."""
    case = made()
    if case.grid_shape is None:
        return
    assert np.prod(case.grid_shape) == case.shape[1]
    points = case.coordinates[: case.shape[1], -len(case.grid_shape) :]
    if case.name == "elasticity" and case.settings["geometry"] == "cook":
        return
    assert grid_of(points) == case.grid_shape
    apart = points[case.edges[:, 1]] - points[case.edges[:, 0]]
    assert ((apart != 0).sum(axis=1) == 1).all()  # along one axis
    sides = case.grid_shape
    assert len(case.edges) == sum(len(points) // n * (n - (not case.periodic)) for n in sides)


@pytest.mark.parametrize("name", ["thermal-block", "heat", "wave", "elasticity", "hyperelastic"])
def test_a_coefficient_has_the_integral_of_the_truths_own_cell_weights(name):
    case = problem(name, **SMALL.get(name, {"cells": 4}))
    p = jnp.asarray(case.inputs.sample(1, seed=1)[0])
    weights = {
        "thermal-block": lambda: case.cell_weights(p),
        "heat": lambda: case.cell_weights(p[:-1]),
        "wave": lambda: case.cell_weights(p),
        "elasticity": lambda: case.moduli(p),
        "hyperelastic": lambda: p[:-1].reshape(2, 2).repeat(2, 0).repeat(2, 1),
    }[name]()
    field = case.input_fields(p[None])[0, :, 0].reshape(case.grid_shape)
    ends = np.r_[0.5, np.ones(3), 0.5]
    assert np.isclose(ends @ field @ ends, weights.sum(), rtol=1e-14)
    assert field[0, 0] == weights[0, 0] and field[-1, 0] == weights[-1, 0]  # a corner belongs to one cell
    np.testing.assert_allclose(field[2, 2], np.mean(weights[1:3, 1:3]), rtol=1e-14)


def test_a_lognormal_coefficient_is_that_of_the_expansion_in_the_nodes():
    """Between the midpoints of the cells: on twice finer cells every other midpoint lies halfway."""
    case = problem("lognormal-diffusion", cells=8)
    p = case.inputs.sample(1, seed=0)[0]
    field = np.log(case.input_fields(p[None])[0, :, 0]).reshape(9, 9)
    fine = np.asarray(problem("lognormal-diffusion", cells=512).log_field(jnp.asarray(p)))
    near = (fine[63:-1:64, 63:-1:64] + fine[64::64, 64::64]) / 2  # the two cells across an inner node
    np.testing.assert_allclose(field[1:-1, 1:-1], near, atol=1e-4)


@pytest.mark.parametrize("name", ["burgers", "allen-cahn", "wave"])
def test_an_initial_field_is_the_solution_at_time_0(name):
    case = problem(name, **SMALL[name])
    P = case.inputs.sample(2, seed=2)
    U = case.solve_batch(P).reshape(2, *case.shape)
    np.testing.assert_allclose(case.input_fields(P)[:, :, 1], U[:, 0, :, 0], atol=1e-14)


def test_boundary_values_stand_where_they_are_prescribed():
    cavity = problem("cavity", cells=8)
    p = np.array([100.0, 0.5])
    lid = np.asarray(cavity.input_fields(p[None])[0, :, 1]).reshape(9, 9)
    np.testing.assert_allclose(lid[:, -1], cavity.lid(p), rtol=1e-15)
    assert not lid[:, :-1].any()
    block = problem("hyperelastic", cells=4)
    p = block.inputs.centre
    moved = np.asarray(block.input_fields(p[None])[0, :, 1])
    prescribed = block.prescribe(jnp.asarray(p), jnp.zeros(block.size))[1::2]
    there = ~block.free[1::2]
    np.testing.assert_allclose(moved[there], prescribed[there], rtol=1e-15)
    beam = problem("elasticity", cells=4, angle=(0.0, 1.0))
    edge = np.asarray(beam.input_fields(np.r_[np.ones(4), 0.7][None])[0, :, 1:]).reshape(5, 5, 2)
    np.testing.assert_allclose(edge[-1], np.tile([np.cos(0.7), np.sin(0.7)], (5, 1)), rtol=1e-14)
    assert not edge[:-1].any()


def test_a_source_is_the_load_without_the_area_of_a_node():
    case = problem("helmholtz", cells=16)
    p = case.inputs.sample(1, seed=3)[0]
    source = np.asarray(case.input_fields(p[None])[0, :, 2])
    load = np.asarray(case.load(jnp.asarray(p)))[::2] * 16**2
    inside = case.free[::2]
    np.testing.assert_allclose(source[inside], load[inside], rtol=1e-12)


def test_affine_shows_where_its_terms_and_loads_act():
    p = np.array([1.5, 1.25])
    fields = np.asarray(two_springs().input_fields(p[None]))[0]
    assert two_springs().input_field_names == ("a", "b", "diagonal of A")
    np.testing.assert_allclose(fields[:, :2], [[0.0, -0.5]] * 6, atol=1e-15)
    np.testing.assert_allclose(fields[:, 2], [4.25] * 3 + [3.0] * 3)
    loaded = two_springs(f=[np.ones(6), np.eye(6)[1]], load_weights=lambda p: jnp.stack([1.0, p[1]]))
    assert loaded.input_field_names[-1] == "load"
    np.testing.assert_allclose(loaded.input_fields(p[None])[0, :, -1], 1 + 1.25 * np.eye(6)[1])
    np.testing.assert_array_equal(loaded.edges, [[i, i + 1] for i in range(5)])


def test_a_grid_is_found_in_any_order_of_its_axes_and_nowhere_else():
    x, y = np.linspace(0, 1, 3), np.array([0.0, 0.1, 0.5, 2.0])
    by_row = np.stack([g.ravel() for g in np.meshgrid(x, y, indexing="ij")], axis=1)
    by_column = np.stack([g.ravel() for g in np.meshgrid(x, y, indexing="xy")], axis=1)
    assert grid_of(by_row) == (3, 4) and grid_of(by_column) == (4, 3)
    assert grid_of(by_row * [1, -1]) == (3, 4)
    assert grid_of(np.c_[by_row, np.ones(12)]) == (3, 4)  # flat in space
    assert grid_of(by_row + 1e-14 * np.random.default_rng(0).uniform(size=(12, 2))) == (3, 4)  # rounding
    assert grid_of(by_row[[1, 0, *range(2, 12)]]) is None and grid_of(by_row[:-1]) is None
    assert grid_of(np.arange(5.0)[:, None]) is None and grid_of(np.arange(5.0)[:, None] / 4) == (5,)
    assert two_springs(np.linspace(0, 1, 6)).grid_shape == (6,) and two_springs().grid_shape is None
    assert foreign(by_row, 12).grid_shape == (3, 4) and foreign().grid_shape is None


def test_edges():
    np.testing.assert_array_equal(grid_edges((2, 2)), [[0, 2], [1, 3], [0, 1], [2, 3]])
    np.testing.assert_array_equal(grid_edges((3,), periodic=True), [[0, 1], [1, 2], [0, 2]])
    np.testing.assert_array_equal(grid_edges((2,), periodic=True), [[0, 1]])
    matrix = sp.csr_matrix(np.array([[1.0, 0, 2], [0, 0, 3], [2, 0, 0]]))
    np.testing.assert_array_equal(matrix_edges(matrix), [[0, 2], [1, 2]])
    np.testing.assert_array_equal(edges_between(np.array([[3.0], [1.0], [2.0]])), [[1, 2], [0, 2]])
    square = np.array([[0.0, 0], [1, 0], [0, 1.1], [1, 1.0]])
    assert len(edges_between(square)) == 5 and edges_between(np.eye(4)) is None
    assert foreign().edges is None and len(foreign(np.random.default_rng(0).uniform(size=(6, 2))).edges) >= 6
