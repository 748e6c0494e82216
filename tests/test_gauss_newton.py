"""Levenberg-Marquardt against least squares whose answers are known, and as an optimiser of a training."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.snapshots.sample import sample
from assay.surrogates import train
from assay.surrogates.networks.pod.energy_loss import Rows, as_squares
from assay.surrogates.training.gauss_newton import levenberg_marquardt, serves
from assay.surrogates.training.optimise import Budget, steps_done
from assay.surrogates.training.optimisers import minimise_by

BOX = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])
X = np.linspace(0, 1, 6)
OPTIONS = {"widths": (6,), "optimiser": "levenberg-marquardt", "teacher": False}


@pytest.fixture(scope="module")
def problem():
    return black_box(lambda p: 2 + np.sin(3 * X + p[0] + 0.7 * p[1]) * np.exp(-X * p[0]), BOX)


@pytest.fixture(scope="module")
def snapshots(problem):
    return sample(problem, 40)


def test_a_linear_least_squares_problem_is_solved_by_its_normal_equations():
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((70, 5)), rng.standard_normal(70)  # more rows than a chunk, and no multiple of it
    rows = {"a": jnp.asarray(A), "b": jnp.asarray(b)}
    begin, advance = levenberg_marquardt(lambda w, row: (row["a"] @ w["x"] - row["b"])[None])
    state, value = advance(begin({"x": jnp.zeros(5)}, rows), rows, 30)
    x, rest, _, _ = np.linalg.lstsq(A, b)
    np.testing.assert_allclose(state[0]["x"], x, rtol=1e-8)
    assert float(value) == pytest.approx(float(rest[0]), rel=1e-12)


def test_a_two_layer_linear_network_is_trained_where_gradient_descent_stalls():
    """W2 W1 x = A x with a condition number of 1e5 (Rahimi, 2017)."""
    rng = np.random.default_rng(1)
    A, x = rng.standard_normal((10, 6)) @ np.diag(np.logspace(0, -5, 6)), rng.standard_normal((100, 6))
    rows = (jnp.asarray(x), jnp.asarray(x @ A.T))
    weights = [jnp.asarray(rng.standard_normal(s)) / 3 for s in ((6, 6), (10, 6))]

    def residuals(w, row):
        return w[1] @ (w[0] @ row[0]) - row[1]

    begin, advance = levenberg_marquardt(residuals)
    _, value = advance(begin(weights, rows), rows, 60)
    assert float(value) < 1e-16
    w1, w2 = (np.array(w) for w in weights)
    for _ in range(2000):  # a rate a little below the largest that does not diverge
        r = (x @ w1.T @ w2.T - x @ A.T) / len(x)
        w1, w2 = w1 - 0.05 * w2.T @ r.T @ x, w2 - 0.05 * r.T @ (x @ w1.T)
    assert np.sum((x @ w1.T @ w2.T - x @ A.T) ** 2) > 1e-8


def test_a_step_that_would_raise_the_sum_is_not_taken():
    begin, advance = levenberg_marquardt(lambda w, row: jnp.log(w) * row)
    rows, state = jnp.ones((1, 1)), None
    state = begin(jnp.array([9.0]), rows)  # the undamped step is to 9 - 9 log 9 < 0, where the logarithm is NaN
    values = []
    for _ in range(20):
        state, value = advance(state, rows, 1)
        values.append(float(value))
    assert all(b <= a for a, b in itertools.pairwise(values)) and values[-1] < 1e-12
    assert float(state[0][0]) == pytest.approx(1.0)


def test_rows_as_squares_are_the_loss_but_for_a_constant():
    rng = np.random.default_rng(2)
    B = rng.standard_normal((2, 3, 3))
    terms, phi, b = B @ B.transpose(0, 2, 1) + np.eye(3), rng.random((5, 2)) + 0.1, rng.standard_normal((5, 3))
    rows = Rows(jnp.zeros((5, 1)), jnp.asarray(phi), jnp.asarray(b), jnp.asarray(0.0), jnp.asarray(terms))
    squares = as_squares(rows)

    def loss(y):
        return np.einsum("nq,qij,ni,nj->", phi, terms, y, y) - 2 * np.sum(b * y)

    def sum_of_squares(y):
        return np.sum(np.einsum("nij,nj->ni", squares.root, y - np.asarray(squares.best)) ** 2)

    y, z = rng.standard_normal((2, 5, 3))
    assert loss(y) - loss(z) == pytest.approx(sum_of_squares(y) - sum_of_squares(z), rel=1e-10)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_first_order_methods_go_downhill(name):
    """For comparison with it: a matrix is fitted, slowly."""
    goal = jnp.asarray(0.5 * np.random.default_rng(3).standard_normal((4, 3)))

    def loss(w, rows):
        return jnp.sum((w["a"] - rows) ** 2) + jnp.sum(w["b"] ** 2)

    weights = {"a": jnp.zeros((4, 3)), "b": jnp.ones(3)}
    outcome = minimise_by(name, loss, weights, goal, Budget(400))
    assert outcome.loss < 0.8 * float(loss(weights, goal)) and outcome.steps == 400
    short = minimise_by(name, loss, weights, goal, Budget(400, seconds=1e-9))
    assert short.stopped == "seconds" and short.steps == 0


def test_it_is_chosen_where_its_steps_are_cheap():
    assert serves([np.zeros((10, 10)), np.zeros(20)], 1000) and not serves([np.zeros((64, 64))], 20_000)


class Stop(Exception):
    """What interrupts the run below."""


def test_an_interrupted_run_goes_on_to_the_bit(problem, snapshots, tmp_path, monkeypatch):
    straight = train(problem, "pod-mlp", snapshots, steps=12, **OPTIONS)
    monkeypatch.setattr("assay.surrogates.training.optimise.PAUSE", 0.0)  # chunks of one step

    def stop(done, total, note):
        if done >= 5:
            raise Stop

    with pytest.raises(Stop):
        train(problem, "pod-mlp", snapshots, steps=12, checkpoint=tmp_path / "state", progress=stop, **OPTIONS)
    assert steps_done(tmp_path / "state") == 5
    resumed = train(problem, "pod-mlp", snapshots, steps=12, checkpoint=tmp_path / "state", **OPTIONS)
    assert all(np.array_equal(a, resumed.arrays[key]) for key, a in straight.arrays.items())


def test_optimisers_that_there_are_not_are_refused(problem, snapshots):
    with pytest.raises(ValueError, match="did you mean 'lbfgs'"):
        train(problem, "pod-mlp", snapshots, optimiser="l-bfgs")
    with pytest.raises(ValueError, match="smoothness is no sum of squares"):
        train(problem, "pod-mlp", snapshots, optimiser="levenberg-marquardt", smoothness=1e-8)
