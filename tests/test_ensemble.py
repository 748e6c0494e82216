"""Several seeds as one surrogate, and their spread as what a search climbs where there is no residual."""

import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import assay
from assay import cli
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.snapshots.sample import sample
from assay.surrogates import Ensemble, ensemble, load, save, train
from assay.surrogates.checkpoint import DIGEST
from assay.surrogates.networks.field_loss import held_rows
from assay.surrogates.training.pod import prepare
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


TOGETHER = {"seeds": 3, "seed": 5, "together": True, "widths": (6,)}


@pytest.fixture(scope="module")
def many(problem):
    return sample(problem, 24)


@pytest.fixture(scope="module")
def judged(problem, many):
    return ensemble(problem, "mlp", many, steps=60, batch=8, **TOGETHER)


def test_networks_trained_together_are_those_of_their_seeds(problem, rows, judged, many):
    """To rounding: all where no row is held out, the first where rows are, which its seed chose."""
    P = problem.inputs.sample(4, seed=1)
    every = ensemble(problem, "mlp", rows, steps=5, **TOGETHER)
    for k, member in enumerate(every.members):
        alone = train(problem, "mlp", rows, seed=5 + k, steps=5, widths=(6,))
        np.testing.assert_allclose(member(P), alone(P), rtol=1e-10)
        assert member.seed == alone.seed == 5 + k and member.training["together"] == 3
    first = train(problem, "mlp", many, seed=5, steps=60, batch=8, widths=(6,))  # batches in an order, and looks
    np.testing.assert_allclose(judged.members[0](P), first(P), rtol=1e-8)
    assert judged.members[0].training["loss"] == pytest.approx(first.training["loss"], rel=1e-6)


def test_the_mean_is_judged_by_rows_that_no_member_learnt_from(problem, many, judged):
    held = held_rows(prepare(problem, many), 5)
    P, U = np.asarray(many.inputs)[held], np.asarray(many.fields)[held]
    error = np.mean([problem.relative_error(p, v, u) for p, v, u in zip(P, judged(P), U, strict=True)])
    told = judged.training
    assert told["validation"]["network"] == pytest.approx(error, rel=1e-9)
    own = [member.training["validation"] for member in judged.members]
    assert all(found["dull"] == told["validation"]["dull"] for found in own)
    assert len({found["network"] for found in own}) > 1
    for member in judged.members:
        assert set(member.training["warnings"]) <= set(told["warnings"])


def test_a_mean_worse_than_a_baseline_is_told(problem):
    """Far from trained: a field that is linear, of which polynomials know all. One after the other nobody can say."""
    linear = black_box(lambda p: np.array([1 + p[0], p[1] - p[0], 2.0]), BOX)
    rows = sample(linear, 24)
    options = {"seeds": 2, "steps": 1, "widths": (6,), "base": "mean"}
    told = ensemble(linear, "mlp", rows, together=True, **options).training["warnings"]
    assert any(line.startswith("of the members' mean: ") and "which costs nothing" in line for line in told)
    found = ensemble(linear, "mlp", rows, **options)
    told = found.training
    errors = [member.training["validation"]["network"] for member in found.members]
    assert told["validation"]["network"] == pytest.approx(np.mean(errors)) and "held out" in told["validation"]["at"]
    assert "whether the members' mean is better than" in told["warnings"][-1]


def test_of_a_mean_whose_members_held_nothing_out_nothing_is_known(three):
    told = three.training
    assert told["members"] == 3 and "validation" not in told
    assert "too few to leave any out" in told["warnings"][0] and len(told["warnings"]) == 2  # of three members alike
    assert "nothing is known of the members' mean" in told["warnings"][1]


def test_a_stopped_run_of_all_goes_on_to_the_same_bits(problem, many, judged, tmp_path):
    state = tmp_path / "state"
    ensemble(problem, "mlp", many, steps=31, batch=8, checkpoint=state, **TOGETHER)
    again = ensemble(problem, "mlp", many, steps=60, batch=8, checkpoint=state, **TOGETHER)
    P = problem.inputs.sample(4, seed=1)
    np.testing.assert_array_equal(again(P), judged(P))
    with pytest.raises(ValueError, match="belongs to another training run"):
        ensemble(problem, "mlp", many, steps=60, batch=8, checkpoint=state, **{**TOGETHER, "seeds": 2})


def test_what_cannot_be_trained_together_says_so(problem, rows):
    with pytest.raises(ValueError, match="pod-mlp is trained one seed after the other: leave together out; mlp, "):
        ensemble(problem, "pod-mlp", rows, together=True)
    with pytest.raises(ValueError, match="lbfgs searches along a line of its own"):
        ensemble(problem, "mlp", rows, together=True, optimiser="lbfgs")
    with pytest.raises(ValueError, match="together is True or False"):
        ensemble(problem, "mlp", rows, together=2)
    with pytest.raises(ValueError, match="the seed must be a whole number"):
        ensemble(problem, "mlp", rows, seed="x")


def test_one_file_holds_all_members(problem, judged, tmp_path):
    file = save(judged, tmp_path / "all.safetensors")
    back = load(file, problem)
    P = problem.inputs.sample(4, seed=1)
    assert isinstance(back, Ensemble) and back.training == judged.training
    np.testing.assert_array_equal(back(P), judged(P))
    np.testing.assert_array_equal(back.error_bar(P), judged.error_bar(P))
    np.testing.assert_array_equal(back.trained_at, judged.trained_at)
    for one, other in zip(back.members, judged.members, strict=True):
        assert (one.seed, one.data_hash, one.training) == (other.seed, other.data_hash, other.training)
        assert one.box.to_json() == other.box.to_json() and one.versions == other.versions
    told = assay.check_file(file)
    assert told.whole and told.sealed and told.said.startswith("ensemble of 3, ")
    with pytest.raises(ValueError, match="of another black-box: the solution stored"):
        load(file, black_box(lambda p: -solver(p), BOX))


def test_a_file_whose_members_were_changed_is_refused(problem, judged, tmp_path):
    file, spoilt = save(judged, tmp_path / "all"), tmp_path / "spoilt"
    with safe_open(file, framework="numpy") as stored:
        header = json.loads(stored.metadata()["assay"])
        arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    members = header["architecture"]["members"]
    less = {key: a for key, a in arrays.items() if not key.startswith("1.")}
    unsealed = {key: value for key, value in header.items() if key != DIGEST}
    save_file(arrays, spoilt, {"assay": json.dumps(unsealed)})
    with pytest.raises(ValueError, match="does not have the hash written in it"):
        load(spoilt, problem)
    for own, numbers, said in (
        (members, {**arrays, "1.gain": 2 * arrays["1.gain"]}, "does not have the hash written in it"),
        (members[:2], arrays, "does not have the hash written in it"),
        (members[:1], arrays, "what the members of its ensemble are"),
        ("abc", arrays, "what the members of its ensemble are"),
        (members, less, "what it says of member 1"),
        ([members[0], {**members[1], "box": 3}], arrays, "what it says of member 1"),
        *(
            ([members[0], {**members[1], "training": {**members[1]["training"], **told}}], arrays, "what it says of m")
            for told in (
                {"warnings": 3},
                {"warnings": [3]},
                {"warnings": "none"},
                {"seconds": "long"},
                {"validation": [1]},
                {"validation": {"network": "good", "dull": {}}},
                {"validation": {"network": 1.0}},
                {"validation": {"network": 1.0, "dull": {"mean": None}}},
            )
        ),
        ([{**members[0], "architecture": {"name": "ensemble"}}, members[1]], arrays, "this version does not know"),
    ):
        changed = {**header, "architecture": {**header["architecture"], "members": own}}
        save_file(numbers, spoilt, {"assay": json.dumps(changed)})
        with pytest.raises(ValueError, match=said):
            load(spoilt, problem)


def test_verbs_take_a_run_of_an_ensemble(tmp_path, capsys):
    folder = tmp_path / "run"
    words = ["train", "thermal-block", "--surrogate", "mean", "--snapshots", "4", "--test", "2"]
    assert cli.run([*words, "--set", "cells=4", "--set", "blocks=2,1", "--out", str(folder)]) == 0
    block = assay.problem("thermal-block", cells=4, blocks=(2, 1))
    save(ensemble(block, "mlp", sample(block, 4), seeds=2, steps=1, widths=(4,)), folder / "model.safetensors")
    assert cli.run(["certify", str(folder), "--random", "2"]) == 0
    assert cli.run(["check", str(folder / "model.safetensors")]) == 0
    capsys.readouterr()
    assert cli.run(["train", str(folder), "--repair"]) == 2
    assert "holds an ensemble, and --repair trains one network" in capsys.readouterr().err


def test_the_documents_lines_run(tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "network.md").read_text()
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "assay.ensemble" in code]
    known = assay.problem("burgers", cells=8, steps=4)
    names = {"assay": assay, "problem": known, "P": known.inputs.sample(2, seed=1)}
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        exec(block.replace("steps=2000", "steps=5").replace("1e-2)", "1e-2, budget=10)"), names)
    finally:
        os.chdir(here)
    assert isinstance(names["networks"], Ensemble) and names["found"].worst > 0
