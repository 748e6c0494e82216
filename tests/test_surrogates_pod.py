"""Proper orthogonal decomposition against data whose decomposition is known."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from assay.solvers.box import Box
from assay.solvers.problems.black_box import BlackBox, black_box
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.surrogates.training.pod import box_points, pod, prepare, project, solve_few


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(cells=8, low=0.5, high=2.0)


def planted(problem, sizes, n=40):
    """Snapshots whose relative fields are combinations of modes of these sizes, and the modes."""
    rng = np.random.default_rng(0)
    M = problem.matrix(problem.reference_theta)
    modes = rng.standard_normal((len(sizes), int(problem.free.sum())))
    modes = np.linalg.solve(np.linalg.cholesky(modes @ (M @ modes.T)), modes)
    fields = np.zeros((n, problem.size))
    fields[:, problem.free] = (rng.standard_normal((n, len(sizes))) * sizes) @ modes
    P = problem.inputs.sample(n)
    about = {"problem_name": problem.name, "problem_settings": problem.settings, "hash": "x"}
    return SimpleNamespace(inputs=P, fields=fields, **about), modes, M


@pytest.mark.parametrize("sizes", [(1.0, 0.1), (1.0, 1e-4, 1e-9), (1.0, 1e-3, 1e-6, 1e-9, 1e-11)])
def test_modes_far_below_half_precision_are_found(problem, sizes):
    """A Gram matrix alone resolves 1e-8 of the largest mode; what is projected off resolves the rest."""
    snapshots, modes, M = planted(problem, np.array(sizes))
    data = prepare(problem, snapshots)
    V = pod(data, tolerance=1e-13)[problem.free]
    np.testing.assert_allclose(V.T @ (M @ V), np.eye(V.shape[1]), atol=1e-12)
    missed = modes.T - V @ (V.T @ (M @ modes.T))
    # a mode of size s is known to the rounding of the snapshots over s
    assert (np.sqrt(np.einsum("ni,ni->i", missed, M @ missed)) < 1e-13 / np.array(sizes) + 1e-10).all()


def test_the_tail_left_out_is_the_tolerance(problem):
    data = solve_few(problem, problem.inputs, 64, seed=0)
    M = problem.matrix(problem.reference_theta)
    ranks = []
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-5):
        V = pod(data, tolerance)
        rest = ((data.fields - project(data, V) @ V.T) / data.norms[:, None])[:, problem.free]
        errors = np.einsum("ni,ni->n", rest, (M @ rest.T).T)
        assert np.sqrt(errors.mean()) <= tolerance
        less = V[:, :-1]
        rest = ((data.fields - project(data, less) @ less.T) / data.norms[:, None])[:, problem.free]
        assert np.sqrt(np.einsum("ni,ni->n", rest, (M @ rest.T).T).mean()) > tolerance  # no mode too many
        ranks.append(V.shape[1])
        assert not V[~problem.free].any()
    assert ranks == sorted(ranks)
    assert pod(data, 1e-5, max_rank=3).shape[1] == 3


class WeightedBlackBox(BlackBox):
    """Of no class that the room knows, with an inner product of its own."""

    @property
    def energy_matrix(self):
        return sp.diags([1.0, 4.0, 9.0]).tocsr()


@pytest.mark.parametrize(("kind", "diagonal"), [(WeightedBlackBox, [1, 4, 9]), (BlackBox, [1, 1, 1])])
def test_the_basis_is_orthonormal_in_the_product_that_the_problem_names(kind, diagonal):
    box = Box(("a",), [1.0], [2.0])
    plain = black_box(lambda p: np.array([1.0, p[0], p[0] ** 2]), box)
    problem = kind(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    V = pod(solve_few(problem, box, 8, seed=0), tolerance=1e-9)
    assert V.shape == (3, 3)
    np.testing.assert_allclose(V.T @ np.diag(diagonal) @ V, np.eye(3), atol=1e-12)


def test_features_fill_the_unit_box(problem):
    data = solve_few(problem, problem.inputs, 16, seed=0)
    assert np.abs(data.features).max() <= 1 + 1e-12
    x = (np.asarray(problem.features(np.array([2.0, 0.5, 0.5, 0.5]))[0]) - data.arrays["shift"]) * data.arrays["gain"]
    assert np.isclose(x[0], 1.0)  # the corner is the largest deviation there is


def test_physics_points_begin_with_the_corners(problem):
    P = box_points(problem.inputs, 64, seed=0)
    corners = {tuple(p) for p in P[:16]}
    assert corners == {(a, b, c, d) for a in (0.5, 2) for b in (0.5, 2) for c in (0.5, 2) for d in (0.5, 2)}
    assert len(P) == 64 and problem.inputs.contains(P).all()
    assert len(box_points(problem.inputs, 63, seed=0)) == 63 and box_points(problem.inputs, 63, 0)[0].min() > 0.5
