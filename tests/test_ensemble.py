"""Several seeds as one surrogate, and their spread as what a search climbs where there is no residual."""

import pickle

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.snapshots.sample import sample
from assay.surrogates import Ensemble, ensemble, train
from assay.verify.falsify import falsify
from assay.verify.search.signal import make_signal

BOX = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def solver(p):
    return np.array([1 + p[0], np.cos(3 * p[1]), p[0] * p[1]])


@pytest.fixture(scope="module")
def problem():
    return black_box(solver, BOX)


@pytest.fixture(scope="module")
def rows(problem):
    return sample(problem, 12)


@pytest.fixture(scope="module")
def three(problem, rows):
    return ensemble(problem, "mlp", rows, seeds=3, seed=5, steps=5, widths=(6,))


def test_the_answer_is_the_mean_and_the_bar_the_spread(problem, rows, three):
    P = problem.inputs.sample(4, seed=1)
    alone = [train(problem, "mlp", rows, seed=5 + k, steps=5, widths=(6,)) for k in range(3)]
    U = np.stack([s(P) for s in alone])
    np.testing.assert_allclose(three(P), U.mean(axis=0), rtol=1e-13)
    spread = np.sqrt(((U - U.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)) / np.linalg.norm(U.mean(axis=0), axis=1)
    np.testing.assert_allclose(three.error_bar(P), spread, rtol=1e-10)
    assert np.ptp(spread) > 0
    again = pickle.loads(pickle.dumps(three))
    np.testing.assert_array_equal(again(P), three(P))


def test_a_search_climbs_the_spread_where_there_is_no_residual(problem, three):
    signal = make_signal(problem, three)
    P = problem.inputs.sample(5, seed=2)
    assert signal.kind == "error bar" and signal.proved is None
    np.testing.assert_allclose(signal.values(P), three.error_bar(P), rtol=1e-12)
    found = falsify(problem, three, 1e-3, budget=12)
    assert found.signal == "error bar" and found.counterexamples


@pytest.mark.parametrize(
    "bar", [None, lambda P: 1 / 0, lambda P: np.zeros((len(P), 2)), lambda P: np.full(len(P), np.nan)]
)
def test_an_error_bar_that_says_nothing_is_none(problem, bar):
    class Model:
        error_bar = staticmethod(bar) if bar else None

        def __call__(self, P):
            return np.ones((len(P), 3))

    assert make_signal(problem, Model()).kind == "none"


def test_members_are_two_or_more_of_one_problem(problem, rows, three):
    with pytest.raises(ValueError, match="two or more seeds, not 1"):
        ensemble(problem, "mlp", rows, seeds=1)
    with pytest.raises(ValueError, match="two or more members, not 1"):
        Ensemble(three.members[:1])
    other = black_box(lambda p: p[0] * np.ones(4), BOX)
    with pytest.raises(ValueError, match="surrogates of one problem"):
        Ensemble((three.members[0], train(other, "mean", sample(other, 3))))


def test_solvers_of_one_name_are_told_apart(rows, problem):
    other = black_box(lambda p: -solver(p), BOX)
    mine, theirs = train(problem, "linear", rows), train(other, "linear", sample(other, 12))
    with pytest.raises(ValueError, match="member 1 of the ensemble is of another black-box: the solution stored"):
        Ensemble((mine, theirs))
    again = black_box(solver, BOX)  # the same solver, made twice
    assert len(Ensemble([mine, train(again, "mean", sample(again, 12))]).members) == 2


def test_members_are_surrogates_that_differ(rows, problem, tmp_path):
    mine = train(problem, "linear", rows)
    for members in (mine, (solver, solver), 5):
        with pytest.raises(ValueError, match="members of an ensemble are surrogates|two or more members"):
            Ensemble(members)
    with pytest.raises(ValueError, match="linear comes out the same from every seed"):
        ensemble(problem, "linear", rows, seeds=2)
    kept = {"steps": 3, "widths": (4,), "checkpoint": tmp_path / "state"}
    ensemble(problem, "mlp", rows, seeds=2, **kept)
    assert {file.name for file in tmp_path.iterdir()} == {"state-0", "state-1"}
