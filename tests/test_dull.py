"""A network beside dull baselines at rows left out: closed forms of leaving out, intervals of ratios, what is told."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.catalogue import problem as named
from assay.solvers.snapshots.sample import sample
from assay.surrogates import train
from assay.surrogates.baselines.refitted import left_out_residuals
from assay.surrogates.baselines.regression import Regression
from assay.surrogates.training.dull import (
    DULL,
    Beside,
    close_warning,
    dull_warning,
    held_out,
    remedies,
    splits,
    targets_of,
)
from assay.surrogates.training.paired import LEAST, ratio_of_means
from assay.surrogates.training.pod import pod, prepare

BOX = Box(("a", "b"), [-1.0, 0.0], [1.0, 2.0])
X = np.linspace(0, 1, 6)


def rows_of(function, n):
    problem = black_box(function, BOX)
    data = prepare(problem, sample(problem, n))
    return Regression.in_basis(data, pod(data, 1e-9))


@pytest.fixture(scope="module")
def waves():
    return rows_of(lambda p: 2 + np.sin(3 * p[0] + 2 * p[1] * X), 40)


@pytest.mark.parametrize("name", DULL)
def test_what_is_left_out_in_closed_form_is_what_a_fit_without_it_misses(waves, name):
    """The settings of all rows are kept; where a baseline takes none, it is simply fitted again."""
    fitted = DULL[name].fit(waves, 0)
    kept = {key: fitted.architecture[key] for key in ("degree", "length", "nugget") if key in fitted.architecture}
    found = left_out_residuals(waves, fitted)
    w = waves.weights[:, None]
    if name == "random-features":  # the layer is drawn for a number of rows: the same one, solved without the row
        H = w * np.c_[np.tanh(waves.x @ fitted.arrays["kernel"] + fitted.arrays["bias"]), np.ones(40)]
        damping = fitted.architecture["ridge"] * np.linalg.norm(H, 2) ** 2 * np.eye(H.shape[1])
    for row in (0, 7, 23):
        others = np.flatnonzero(np.arange(40) != row)
        if name == "random-features":
            A, b = H[others], (w * waves.targets)[others]
            said = H[row] / w[row] @ np.linalg.solve(A.T @ A + damping, A.T @ b)
        else:
            said = targets_of(DULL[name].fit(waves.some(others), 0, **kept), waves.x[row : row + 1])[0]
        scale = np.linalg.norm(waves.targets[row] - said)
        rough = 1e-3 if name == "random-features" else 1e-5
        np.testing.assert_allclose(found[row], waves.targets[row] - said, atol=rough * scale)


def test_twins_are_left_out_together_and_what_passes_through_a_row_tells_nothing_of_it(waves):
    twins = Regression(**{**waves.__dict__, "groups": np.arange(40) // 2})
    found = left_out_residuals(twins, DULL["linear"].fit(twins, 0))
    said = targets_of(DULL["linear"].fit(waves.some(np.arange(2, 40)), 0), waves.x[:2])
    np.testing.assert_allclose(found[:2], waves.targets[:2] - said, atol=1e-10)
    exact = waves.some(np.arange(3))  # a plane through three points
    for name in ("linear", "pod-interpolation"):
        assert np.isnan(left_out_residuals(exact, DULL[name].fit(exact, 0))).all()


def test_a_kernel_without_all_rows_but_one_says_what_that_one_says(waves):
    """The mean that it is fitted around is not that of the rows left out, who are two thirds of all."""
    three = Regression(**{**waves.some(np.arange(3)).__dict__, "groups": np.array([0, 0, 1])})
    found = left_out_residuals(three, DULL["kernel-ridge"].fit(three, 0))
    np.testing.assert_allclose(found[:2], three.targets[:2] - three.targets[2], atol=1e-6)


def test_folds_hide_a_degree_that_all_rows_allow():
    """Of 92 rows a polynomial may have degree 7, of nine tenths of them 6: what it then misses is not there."""
    r = rows_of(lambda p: 3 + X * p[0] ** 7 + p[0] ** 3 * (p[1] - 1) ** 4, 92)
    some, rest = splits(r, 0)[0]
    fewer = targets_of(DULL["polynomial"].fit(r.some(some), 0), r.x[rest])
    fitted = DULL["polynomial"].fit(r, 0)
    assert fitted.architecture["degree"] == 7 and r.mean_error(fewer, rest) > 1e-3
    assert held_out(r, {"polynomial": fitted}, splits(r, 0), 0)["polynomial"].max() < 1e-9


def test_the_interval_of_a_ratio():
    """It holds the true one about as often as it says, knows a multiple exactly, and is all where nothing is known."""
    rng, inside = np.random.default_rng(0), 0
    groups = np.arange(60)
    for _ in range(200):
        hard = rng.lognormal(0, 0.7, 60)
        found = ratio_of_means(1.2 * hard * rng.lognormal(0, 0.5, 60), hard * rng.lognormal(0, 0.5, 60), groups)
        inside += found.low <= 1.2 <= found.high
        assert 0 < found.low <= found.value <= found.high
    assert inside >= 175  # of 190 in the mean; 175 or fewer of intervals of 92 % once in a hundred
    assert ratio_of_means(3 * hard, hard, groups) == pytest.approx((3, 3, 3))
    assert ratio_of_means(hard, hard, np.minimum(groups, LEAST - 2))[1:] == (0, np.inf)
    assert ratio_of_means(np.append(hard[1:], np.nan), hard, groups).high == np.inf
    assert ratio_of_means(np.zeros(60), np.zeros(60), groups) == (1, 1, 1)


def told(network, **dull):
    rows = Beside(network, dull, np.arange(len(network)), "left-out snapshots")
    return close_warning(rows, rows.ratios())


def test_a_baseline_that_looks_a_little_worse_by_chance_is_told_of():
    """Truly better by a fifth; at these 30 rows the network is ahead by 15 %, which alone would be silence."""
    rng = np.random.default_rng(1)
    dull, network = rng.lognormal(0, 1, 30), rng.lognormal(0, 1, 30)
    network *= 0.85 * dull.mean() / network.mean()
    (said,) = told(network, nearest=9 * dull, linear=dull)
    assert said.startswith("linear, which costs nothing, may be as good or better: a relative error of ")
    assert "at 30 left-out snapshots (" in said and "of linear 0.85 [" in said and "nearest" not in said
    assert told(np.append(network[1:], np.nan), linear=dull)  # no comparison with it says that all is well


def test_a_network_that_is_clearly_better_is_not_bothered():
    rng = np.random.default_rng(2)
    for _ in range(50):
        hard = rng.lognormal(0, 1, 14)
        assert told(hard * rng.lognormal(0, 0.5, 14), linear=5 * hard * rng.lognormal(0, 0.5, 14)) == []
    assert told(0.8 * hard, linear=hard) == [] and told(0.95 * hard, linear=hard)  # within a tenth
    assert told(np.full(9, 1e-15), linear=np.zeros(9)) == []  # right to rounding
    assert dull_warning({"linear": 0.0}, 1e-15) == [] and dull_warning({"linear": 0.0}, 1e-13)


def test_a_baseline_that_is_clearly_better_is_said_to_be():
    hard = np.random.default_rng(3).lognormal(0, 1, 14)
    assert (
        "train linear instead" in told(1.3 * hard, linear=hard)[0] and "may be" not in told(1.3 * hard, linear=hard)[0]
    )


def test_the_equation_is_advised_where_there_is_one_that_was_not_learnt():
    solver, data = named("bratu", cells=8), black_box(lambda p: p[0] * X, BOX)
    assert "physics_weight=0.5" in dull_warning({"mean": 0.5}, 0.9, more=remedies(solver, 0.0))[0]
    for problem, weight in ((solver, 0.5), (data, 0.0)):
        assert remedies(problem, weight) == "more snapshots or steps"


def test_a_network_corrects_what_all_rows_make_of_a_polynomial():
    """Folds see degree 6 and prefer anything else; all rows know the answer, and the network leaves it as it is."""
    problem = black_box(lambda p: 3 + X * p[0] ** 7 + p[0] ** 3 * (p[1] - 1) ** 4, BOX)
    s = train(problem, "pod-mlp", sample(problem, 92), widths=(8,), steps=20)
    P = BOX.sample(50, seed=4)
    assert s.training["teacher"] == "polynomial" and s.training["validation"]["corrects_polynomial"]
    assert np.abs(s(P) - problem.solve_batch(P)).max() < 1e-6 and s.training["warnings"] == []
