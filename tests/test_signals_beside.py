"""Signals that are asked for: where two surrogates disagree, and how far inputs are from what was learnt from."""

import sys

import numpy as np
import pytest

import assay
from assay.cli import run
from assay.verify.answers.evaluate import captured
from assay.verify.search.disagreement import disagreement
from assay.verify.search.distance import distance

BOX = assay.Box(("a", "b"), np.array([1.0, 0.0]), np.array([2.0, 1.0]))
BUMP = np.array([1.37, 0.81])


def answer(p):
    return np.array([p[0] * p[1], np.sin(3 * p[0]), 1.0])


def right(P):
    return np.stack([answer(p) for p in np.asarray(P)])


def bumped(P):
    """Wrong by one half in a bump a two-hundredth of the box wide, and nowhere else."""
    away = ((np.asarray(P) - BUMP) ** 2).sum(axis=1) / 0.005**2
    return right(P) + 0.5 * np.exp(-away / 2)[:, None]


def smooth(P):
    return 1.001 * right(P)


@pytest.fixture(scope="module")
def curve():
    return assay.black_box(answer, BOX, name="curve")


@pytest.fixture(scope="module")
def learnt(curve):
    """From the left half of the box alone."""
    half = BOX.replace(upper=np.array([1.5, 1.0]))
    P = half.sample(24)
    return assay.train(curve, "kernel-ridge", (P, right(P))), P


def test_a_failure_that_draws_miss_is_found_beside_another_surrogate(curve):
    blind = assay.falsify(curve, bumped, 1e-2, 12, 0, shrink=0)
    found = assay.falsify(curve, bumped, 1e-2, 12, 0, shrink=0, beside=smooth)
    assert blind.verdict == "not falsified" and found.verdict == "falsified"
    assert found.counterexamples[0].found == "climbed the disagreement"
    np.testing.assert_allclose(found.worst_inputs, BUMP, atol=0.01)


def test_one_of_two_that_disagree_is_wrong_by_half_of_it(curve):
    P = np.concatenate([BUMP[None], BOX.draw(20, 1)])
    values = disagreement(curve, captured(bumped), captured(smooth), 0.0).values(P)
    apart = np.linalg.norm(bumped(P) - smooth(P), axis=1)
    np.testing.assert_allclose(values, apart / np.linalg.norm(smooth(P), axis=1), rtol=1e-12)
    errors = [np.linalg.norm(model(P) - right(P), axis=1) for model in (bumped, smooth)]
    assert (np.maximum(*errors) >= apart / 2).all()
    of_output = assay.output("sum", np.ones(3))
    values = disagreement(curve, captured(bumped), captured(smooth), 0.0, of_output).values(P)
    sums = bumped(P).sum(axis=1), smooth(P).sum(axis=1)
    np.testing.assert_allclose(values, np.abs(sums[0] - sums[1]) / np.abs(sums[1]), rtol=1e-9)


def test_the_distance_is_that_to_the_nearest_input_learnt_from(curve, learnt, tmp_path):
    model, P = learnt
    Q = BOX.draw(30, 2)
    nearest = np.linalg.norm(BOX.to_unit(Q)[:, None] - BOX.to_unit(P), axis=2).min(axis=1)
    np.testing.assert_allclose(distance(curve, model).values(Q), nearest, rtol=1e-12)
    assay.save(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(assay.load(tmp_path / "model.safetensors", curve).trained_at, P)
    both = assay.Ensemble((model, model))
    np.testing.assert_array_equal(both.trained_at, np.unique(P, axis=0))


def test_the_half_that_was_not_learnt_from_is_looked_at_first(curve, learnt):
    found = assay.falsify(curve, learnt[0], 1e-2, 6, 0, shrink=0, distance=True)
    first = [p for p, how in ((c.inputs, c.found) for c in found.counterexamples) if how == "climbed the distance"]
    assert found.verdict == "falsified" and len(first) and (np.array(first)[:, 0] == 2.0).any()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"beside": 3}, "beside is another surrogate of curve"),
        ({"beside": lambda P: np.zeros((len(P), 7))}, "shape"),
        ({"distance": True}, "trained_at"),
    ],
)
def test_what_is_no_signal_is_refused(curve, asked, said):
    with pytest.raises(ValueError, match=said):
        assay.falsify(curve, smooth, 1e-2, 6, **asked)


def test_the_verb_takes_another_surrogate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    word = __name__
    monkeypatch.setattr(sys.modules[__name__], "problem_of_test", assay.black_box(answer, BOX, name="curve"), False)
    code = run(
        ["falsify", f"{word}:bumped", "--problem", f"{word}:problem_of_test", "--beside", f"{word}:smooth", "--budget",
         "12", "--shrink", "0", "--json"]
    )  # fmt: skip
    assert code == 1 and "climbed the disagreement" in capsys.readouterr().out
