"""Bratu: published folds and values on both branches, orders, and what lies beyond the fold."""

from functools import cache
from itertools import pairwise

import jax
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from scipy.optimize import brentq

from assay.solvers.classes.richardson import restrict
from assay.solvers.problem import SolveError
from assay.solvers.problems import bratu_lower
from assay.solvers.problems.bratu import Bratu

bratu = cache(Bratu)  # compiled once for all tests
WIDE = {"lam": (0.1, 8.0)}
FOLDS = {1: 3.51383071912516, 2: 6.80812442258}
MIDDLE = {  # u(1/2) in 1D by lambda
    "lower": {1.0: 0.1405392144004718, 2.0: 0.3289524213411},
    "upper": {1.0: 4.09146724618926, 2.0: 2.8955312654928},
}


def exact(lam, x, branch):
    """u = -2 log(cosh((x - 1/2) a/2)/cosh(a/4)), a = sqrt(2 lambda) cosh(a/4)."""
    turning = 4 * 1.19967864025773  # a at the fold: a/4 tanh(a/4) = 1
    ends = (1e-8, turning) if branch == "lower" else (turning, 30.0)
    a = brentq(lambda a: a - np.sqrt(2 * lam) * np.cosh(a / 4), *ends, xtol=1e-14)
    return -2 * np.log(np.cosh((x - 0.5) * a / 2) / np.cosh(a / 4))


def extrapolated(values):
    """The limit of a sequence with error c h^2 + d h^4 on three grids, each of half the spacing."""
    once = [(4 * b - a) / 3 for a, b in pairwise(values)]
    return (16 * once[1] - once[0]) / 15


@pytest.mark.parametrize("branch", ["lower", "upper"])
@pytest.mark.parametrize("lam", [1.0, 2.0])
def test_published_values_in_one_dimension(branch, lam):
    middle = [np.asarray(bratu(dimension=1, cells=n, branch=branch).solve([lam]))[n // 2] for n in (64, 128, 256)]
    published = MIDDLE[branch][lam]
    assert middle[-1] == pytest.approx(published, rel=1e-5)
    assert extrapolated(middle) == pytest.approx(published, rel=1e-9)


@pytest.mark.parametrize(("branch", "lam"), [("lower", 1.0), ("lower", 3.3), ("upper", 2.0)])
def test_second_order_against_the_closed_form(branch, lam):
    e = []
    for n in (32, 64, 128):
        problem = bratu(dimension=1, cells=n, branch=branch)
        error = np.asarray(problem.solve([lam])) - exact(lam, problem.coordinates[:, 0], branch)
        e.append(float(problem.norm([lam], error)))
    np.testing.assert_allclose(np.log2(np.array(e[:-1]) / e[1:]), 2, atol=0.05)


def test_second_order_on_the_square():
    """In L2. In the energy norm a factor log(1/h)^(1/2) remains: where lambda e^0 meets a corner, u is r^2 log r."""
    p = np.array([5.0, 1.3])
    problems = [Bratu(cells=n) for n in (8, 16, 32, 64)]
    fields = [problem.solve_report(p).u for problem in problems]
    changes = np.array(
        [
            np.linalg.norm(restrict(fine, coarse, v) - u) / coarse.n
            for coarse, fine, u, v in zip(problems, problems[1:], fields, fields[1:], strict=False)
        ]
    )
    np.testing.assert_allclose(np.log2(changes[:-1] / changes[1:]), 2, atol=0.1)


@pytest.mark.parametrize(("dimension", "cells", "digits"), [(1, (32, 64, 128), 1e-9), (2, (12, 24, 48), 1e-7)])
def test_published_folds(dimension, cells, digits):
    folds = [Bratu(dimension=dimension, cells=n).fold() for n in cells]
    assert extrapolated(folds) == pytest.approx(FOLDS[dimension], rel=digits)
    gaps = FOLDS[dimension] - np.array(folds)
    np.testing.assert_allclose(np.log2(gaps[:-1] / gaps[1:]), 2, atol=0.05)


def test_the_fold_is_lowest_without_anisotropy():
    problem = Bratu(cells=16)
    folds = [problem.fold(a) for a in (0.5, 0.8, 1.0, 1.25, 2.0)]
    assert np.argmin(folds) == 2
    assert folds[0] == pytest.approx(folds[4], rel=1e-9) and folds[1] == pytest.approx(folds[3], rel=1e-9)


@pytest.mark.parametrize(("dimension", "p"), [(1, []), (2, [1.2])])
def test_newton_reaches_the_fold_and_not_beyond(dimension, p):
    """The grid's own fold, from the extended system, parts what Newton's method solves from what it refuses."""
    problem = bratu(dimension=dimension, cells=16, branch="lower", **WIDE)
    fold = problem.fold(*p)
    u = np.asarray(problem.solve([fold * (1 - 1e-9), *p]))
    jacobian = problem.jacobian([fold, *p], u)
    smallest = spla.eigsh(jacobian, 1, sigma=0, return_eigenvectors=False)[0]
    assert abs(smallest) < 1e-3 * spla.norm(jacobian, 1)
    with pytest.raises(SolveError, match=r"no solution on this branch.*lambda=.* beyond the fold.* take lambda below"):
        problem.solve([fold * (1 + 1e-6), *p])
    batch = np.asarray(problem.solve_batch([[1.0, *p], [7.9, *p], [2.0, *p]]))
    assert np.isfinite(batch).all(axis=1).tolist() == [True, False, True]
    np.testing.assert_allclose(batch[2], problem.solve([2.0, *p]), rtol=1e-12)


def test_the_upper_branch_refuses_beyond_the_fold_and_meets_the_lower_one_there():
    lower, upper = (bratu(dimension=2, cells=16, branch=branch, **WIDE) for branch in ("lower", "upper"))
    near = [lower.fold(1.2) * (1 - 1e-6), 1.2]
    u, v = np.asarray(lower.solve(near)), np.asarray(upper.solve(near))
    gap = (v - u)[lower.free]
    assert (gap > 0).all() and gap.max() < 0.01
    with pytest.raises(SolveError, match="no solution on this branch"):
        upper.solve([7.9, 1.2])


def test_the_lower_branch_is_stable_and_the_upper_one_is_not():
    p = [2.0, 0.8]
    for branch, signs in (("lower", 0), ("upper", 1)):
        problem = bratu(dimension=2, cells=16, branch=branch, **WIDE)
        jacobian = problem.jacobian(p, problem.solve(p)).toarray()
        assert (np.linalg.eigvalsh((jacobian + jacobian.T) / 2) < 0).sum() == signs
        np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-13)


@pytest.mark.parametrize(("dimension", "p"), [(1, [3.4]), (2, [6.5, 1.0]), (2, [4.0, 2.0])])
def test_the_lower_branch_is_that_of_newtons_method_with_exact_steps(dimension, p):
    problem = bratu(dimension=dimension, cells=16, branch="lower", **WIDE)
    v, stiffness = np.zeros(int(problem.free.sum())), problem.norm_matrix(p)
    for _ in range(12):
        source = p[0] * problem.mass * np.exp(v)
        v = v - spla.spsolve((stiffness - sp.diags(source)).tocsc(), stiffness @ v - source)
    found = np.asarray(problem.solve(p))[problem.free]
    assert np.abs(found - v).max() <= 1e-10 * v.max()


@pytest.mark.parametrize(("shift", "definite"), [(0.99, True), (1.01, False)])
def test_conjugate_gradients_say_where_the_jacobian_is_not_positive_definite(shift, definite):
    """K less a share of its lowest eigenvalue; the source moves by 20 % about that, but not in its weighted mean."""
    problem, p = bratu(dimension=2, cells=16, branch="lower", **WIDE), np.array([1.0, 1.3])
    eigenvalues, weight = np.asarray(problem.sines.eigenvalues(problem.difference_weights(p))), problem.sines.lowest**2
    wave = np.random.default_rng(0).uniform(-0.2, 0.2, weight.shape)
    source = shift * eigenvalues.min() * (1 + wave - np.vdot(weight, wave))
    matrix = problem.norm_matrix(p).toarray() - np.diag(source.ravel())
    assert (np.linalg.eigvalsh(matrix)[0] > 0) == definite
    right = np.ones_like(source)
    step = bratu_lower.conjugate_gradients(problem, p, source, right, 1e-12, 60)
    assert bool(step.definite) == definite
    if definite:
        np.testing.assert_allclose(matrix @ np.ravel(step.x), 1.0, atol=1e-9)


def test_exchanging_the_axes_inverts_the_anisotropy():
    problem = bratu(dimension=2, cells=16, branch="lower", **WIDE)
    u, v = (np.asarray(problem.solve([5.0, a])).reshape(17, 17) for a in (1.6, 1 / 1.6))
    np.testing.assert_allclose(u, v.T, atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2])
def test_matrices_are_those_of_the_residual_and_the_norm(dimension):
    problem = Bratu(dimension=dimension, cells=10)
    rng = np.random.default_rng(0)
    p = np.array([2.0, 1.4])[:dimension]
    u, v = (rng.standard_normal(problem.size) * problem.free for _ in range(2))
    inner = v[problem.free]
    pushed = jax.jvp(lambda u: problem.residual(p, u), (u,), (v,))[1]
    np.testing.assert_allclose(problem.jacobian(p, u) @ inner, np.asarray(pushed)[problem.free], atol=1e-13)
    assert inner @ problem.norm_matrix(p) @ inner == pytest.approx(float(problem.norm(p, v)) ** 2, rel=1e-13)
    growth = p[0] * problem.mass * np.exp(u[problem.free])
    by_hand = problem.norm_matrix(p) @ u[problem.free] - growth
    np.testing.assert_allclose(np.asarray(problem.residual(p, u))[problem.free], by_hand, atol=1e-13)


def test_the_estimated_discretisation_error_is_the_true_one():
    problem = bratu(dimension=1, cells=64, branch="lower")
    u = np.asarray(problem.solve([3.0]))
    truth = exact(3.0, problem.coordinates[:, 0], "lower")
    true = float(problem.norm([3.0], u - truth) / problem.norm([3.0], truth))
    assert problem.discretisation_error([3.0]).relative == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dimension": 3}, "dimension must be 1 or 2"),
        ({"cells": 1}, "cells must be a whole number of at least 4"),
        ({"lam": (-1.0, 2.0)}, "lam must be above 0"),
        ({"anisotropy": (2.0, 1.0)}, "anisotropy needs finite low < high"),
        ({"branch": "middle"}, "branch must be one of lower, upper"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Bratu(**settings)


def test_settings_build_the_same_problem():
    for problem in (Bratu(), Bratu(dimension=1, branch="upper")):
        assert Bratu(**problem.settings).settings == problem.settings
