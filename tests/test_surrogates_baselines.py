"""The dull baselines against problems on which each of them is exact, and against what they are known to do."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import train
from assay.surrogates.baselines import polynomial
from assay.surrogates.baselines.polynomial import exponents, independent
from assay.surrogates.baselines.regression import Regression, least_squares
from assay.surrogates.training.reduced_operator import ReducedOperator

BOX = Box(("a", "b"), [-1.0, 0.0], [1.0, 2.0])
MODES = np.random.default_rng(0).standard_normal((3, 6))


def of_function(function, n=64):
    """A problem whose field has three coefficients that are functions of its two inputs."""
    problem = black_box(lambda p: np.array(function(p)) @ MODES, BOX)
    return problem, sample(problem, n), BOX.sample(40, seed=9)


def truth(function, P):
    return np.array([function(p) for p in P]) @ MODES


@pytest.fixture(scope="module")
def block():
    problem = ThermalBlock(cells=8, low=0.5, high=2.0)
    return problem, sample(problem, 128), problem.inputs.sample(40, seed=9)


def errors(problem, surrogate, P):
    U = surrogate(P)
    return np.array([float(problem.relative_error(p, u, problem.solve(p))) for p, u in zip(P, U, strict=True)])


def test_linear_is_exact_for_linear_problems():
    def linear(p):
        return 1 + p[0], p[1] - 2 * p[0], 3.0

    problem, snapshots, P = of_function(linear)
    np.testing.assert_allclose(train(problem, "linear", snapshots)(P), truth(linear, P), atol=1e-10)


def test_polynomial_is_exact_for_polynomials_and_not_below_their_degree():
    def cubic(p):
        return p[0] ** 3, p[0] * p[1] ** 2, 1 + p[1]

    problem, snapshots, P = of_function(cubic)
    np.testing.assert_allclose(train(problem, "polynomial", snapshots, degree=3)(P), truth(cubic, P), atol=1e-10)
    assert np.abs(train(problem, "polynomial", snapshots, degree=2)(P) - truth(cubic, P)).max() > 0.05
    chosen = train(problem, "polynomial", snapshots)
    assert chosen.architecture["degree"] >= 3
    np.testing.assert_allclose(chosen(P), truth(cubic, P), atol=1e-7)
    with pytest.raises(ValueError, match="degree 99 in 2 features"):
        train(problem, "polynomial", snapshots, degree=99)


def test_exponents_are_all_of_them_once():
    rows = exponents(3, 4)
    assert len(rows) == 35 == len({tuple(r) for r in rows}) and rows.sum(axis=1).max() == 4


def test_a_polynomial_has_no_terms_in_features_that_are_sums_of_others(block):
    """The logarithms of conductivities less their mean add up to zero: the polynomials are those of the others."""
    problem, snapshots, P = block
    s = train(problem, "polynomial", snapshots, degree=2)
    m = len(problem.inputs.names)
    assert s.arrays["powers"].shape == (m * (m + 1) // 2, m) and not s.arrays["powers"][:, -1].any()
    r = Regression.of(problem, snapshots, None)
    table = np.polynomial.chebyshev.chebvander(r.x, 2)
    all_of_them = np.stack([np.prod(table[:, range(m), e], axis=1) for e in exponents(m, 2)], axis=1)
    W = least_squares(all_of_them, r.targets, r.weights, cut=1e-10)
    at_rows = polynomial.values({}, s.arrays, r.x, np)
    np.testing.assert_allclose(at_rows, all_of_them @ W, atol=1e-8 * np.abs(r.targets).max())


def test_features_that_only_seem_to_depend_are_kept():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (40, 3))
    assert independent(x).tolist() == [0, 1, 2] == independent(x[:3]).tolist()
    assert independent(np.column_stack([x, x[:, 0] - 2 * x[:, 2], np.full(40, 0.5)])).tolist() == [0, 1, 2]


def test_a_polynomial_learns_from_the_equation_what_snapshots_do_not_tell(block):
    """Of 24 snapshots a polynomial has degree 2; solutions in their basis are as many as are asked for."""
    problem, snapshots, P = block
    few = (snapshots.inputs[:24], snapshots.fields[:24])
    alone, both = train(problem, "polynomial", few), train(problem, "polynomial", few, physics_weight=0.5)
    assert both.architecture["degree"] > 2 == alone.architecture["degree"]
    assert 10 * errors(problem, both, P).mean() < errors(problem, alone, P).mean()
    own = train(problem, "polynomial", None, physics_weight=1, physics_points=500)
    said = {key: own.training[key] for key in ("snapshots", "solved_in_training", "physics_points")}
    assert said == {"snapshots": 0, "solved_in_training": 32, "physics_points": 500}
    assert 10 * errors(problem, own, P).mean() < errors(problem, alone, P).mean()
    with pytest.raises(ValueError, match="not affine in few terms.*physics_weight=0"):
        train(Bratu(cells=4), "polynomial", sample(Bratu(cells=4), 4), physics_weight=0.5)


@pytest.mark.parametrize("weight", [0.2, 1.0])
def test_squared_errors_of_physics_have_their_share_of_the_mean(block, weight):
    problem, snapshots, P = block
    r = Regression.of(problem, snapshots, None)
    operator = ReducedOperator.of(problem, r.basis)
    both = r.with_physics(operator, P, weight)
    C, (_, s) = operator.solution(P), r.data.scaled(P)
    there = np.sum((0.3 * s[:, None] - C) ** 2, axis=1) / np.sum(C**2, axis=1)
    asked = (1 - weight) * r.error(0.3) ** 2 + weight * there.mean()
    assert both.error(0.3) ** 2 == pytest.approx(asked, rel=1e-12)


def test_physics_is_learnt_only_where_something_is_solved():
    """A weight below zero leaves this operator invertible, and its problem without solutions."""
    K = np.diag(np.full(6, 2.0)) - np.diag(np.ones(5), 1) - np.diag(np.ones(5), -1)
    box = Box(("a",), [-0.2], [1.0])
    problem = affine([K, np.eye(6)], lambda p: jnp.stack([p[0], 1.0]), np.arange(1.0, 7.0), box)
    r = Regression.of(problem, sample(problem, 40), None)
    operator = ReducedOperator.of(problem, r.basis)
    both = r.with_physics(operator, np.array([[-0.2], [0.5], [-0.1], [0.9]]), 0.5)
    assert len(both.x) == len(r.x) + 2 and (both.x >= r.x.min() - 0.1).all()
    with pytest.raises(ValueError, match="at none of the 1 inputs of the physics loss .* more physics_points"):
        r.with_physics(operator, np.array([[-0.2]]), 0.5)


def test_no_physics_is_learnt_where_an_amplitude_is_zero_or_no_number(block):
    """Zero times a target is zero, whatever the target."""
    _, snapshots, P = block
    r = Regression.of(block[0], snapshots, None)
    data = replace(r.data)
    x, s = data.scaled(P)
    s[3], s[5], x[7] = 0.0, np.nan, np.nan
    object.__setattr__(data, "scaled", lambda _: (x, s))
    both = replace(r, data=data).with_physics(ReducedOperator.of(block[0], r.basis), P, 1.0)
    assert len(both.x) == len(P) - 3 and np.isfinite(both.targets).all() and np.isfinite(both.x).all()


def test_mean_is_exact_for_constants_and_the_best_multiple():
    problem, snapshots, P = of_function(lambda p: (2.0, -1.0, 3.0))
    np.testing.assert_allclose(train(problem, "mean", snapshots)(P), truth(lambda p: (2.0, -1.0, 3.0), P), rtol=1e-10)


def test_nearest_returns_the_nearest_snapshot(block):
    problem, snapshots, P = block
    s = train(problem, "nearest", snapshots)
    np.testing.assert_allclose(s(snapshots.inputs), snapshots.fields, atol=1e-6 * snapshots.fields.max())
    ratio = np.log(P) - np.log(P).mean(axis=1)[:, None]
    known = np.log(snapshots.inputs) - np.log(snapshots.inputs).mean(axis=1)[:, None]
    closest = np.argmin(((ratio[:, None] - known[None]) ** 2).sum(axis=2), axis=1)
    scale = np.exp(np.log(snapshots.inputs[closest]).mean(axis=1) - np.log(P).mean(axis=1))
    expected = snapshots.fields[closest] * scale[:, None]
    np.testing.assert_allclose(s(P), expected, atol=1e-6 * expected.max())


@pytest.mark.parametrize("name", ["pod-interpolation", "kernel-ridge"])
def test_interpolation_passes_through_the_snapshots(block, name):
    problem, snapshots, _ = block
    options = {"nugget": 1e-11} if name == "kernel-ridge" else {}
    U = train(problem, name, snapshots, **options)(snapshots.inputs)
    np.testing.assert_allclose(U, snapshots.fields, atol=1e-5 * snapshots.fields.max())


@pytest.mark.parametrize("name", ["kernel-ridge", "pod-interpolation", "random-features", "polynomial"])
def test_more_snapshots_bring_less_error(block, name):
    """On a smooth map four times the snapshots must at least halve the error."""
    problem, snapshots, P = block
    few = errors(problem, train(problem, name, snapshots.first(32)), P)
    many = errors(problem, train(problem, name, snapshots), P)
    assert many.mean() < few.mean() / 2 and many.mean() < 0.02


def test_baselines_stand_in_the_order_that_they_should(block):
    problem, snapshots, P = block
    found = [errors(problem, train(problem, n, snapshots), P).mean() for n in ("mean", "nearest", "kernel-ridge")]
    assert found[0] > 2 * found[1] > 4 * found[2]


def test_kernel_ridge_settings(block):
    problem, snapshots, _ = block
    s = train(problem, "kernel-ridge", snapshots, length=1.5, nugget=1e-9)
    assert (s.architecture["length"], s.architecture["nugget"]) == (1.5, 1e-9)
    with pytest.raises(ValueError, match="length is a finite number above 0, not -1.0"):
        train(problem, "kernel-ridge", snapshots, length=-1.0)
    with pytest.raises(ValueError, match="width is a whole number of at least 1, not 0"):
        train(problem, "random-features", snapshots, width=0)


def test_reduced_basis_is_the_best_in_its_basis(block):
    """Cea: in the energy norm of p no other combination of the modes is closer to the truth."""
    problem, snapshots, P = block
    s = train(problem, "reduced-basis", snapshots, tolerance=1e-2)
    A, _ = ReducedOperator.of(problem, s.basis).system(P)
    U = np.asarray(problem.solve_batch(P))
    images = np.stack([problem.matrix(p) @ u[problem.free] for p, u in zip(P, U, strict=True)])
    best = np.linalg.solve(A, (images @ s.basis[problem.free])[:, :, None])[:, :, 0]
    np.testing.assert_allclose(np.asarray(s.coefficients(P)), best, rtol=1e-7, atol=1e-9 * np.abs(best).max())
    assert 1e-3 < errors(problem, s, P).mean() < 0.1
    fine = train(problem, "reduced-basis", snapshots)
    assert errors(problem, fine, P).max() < 1e-4
    assert np.isnan(s(np.array([[1.0, 1.0, -1.0, 1.0]]))[:, problem.free]).all()


def test_a_gaussian_process_knows_where_it_errs(block):
    """Its error bars are the size of its errors: rank correlation, and neither a tenth nor ten times of them."""
    problem, snapshots, P = block
    s = train(problem, "gaussian-process", snapshots.first(48))
    found, bars = errors(problem, s, P), s.error_bar(P)
    assert bars.shape == (40,) and (bars > 0).all() and found.mean() < 0.02
    assert spearmanr(bars, found).statistic > 0.4
    assert 0.1 < np.median(found / bars) < 10
    assert s.error_bar(snapshots.inputs[:48]).max() < 0.5 * np.median(bars)  # at snapshots it knows more
    assert np.isnan(s.error_bar(np.array([[np.nan, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))).tolist() == [True, False]
    with pytest.raises(AttributeError, match="linear surrogate has no error bar of its own: train a gaussian-process"):
        _ = train(problem, "linear", snapshots).error_bar


def test_a_gaussian_process_finds_inputs_that_do_not_matter():
    problem, snapshots, P = of_function(lambda p: (np.sin(2 * p[0]), np.cos(p[0]), 1.0), n=24)
    s = train(problem, "gaussian-process", snapshots)
    assert s.arrays["lengths"][1] > 5 * s.arrays["lengths"][0]
    truths = truth(lambda p: (np.sin(2 * p[0]), np.cos(p[0]), 1.0), P)
    np.testing.assert_allclose(s(P), truths, atol=2e-2)
    dull = train(problem, "kernel-ridge", snapshots)
    assert np.abs(s(P) - truths).max() < np.abs(dull(P) - truths).max()
