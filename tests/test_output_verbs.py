"""guard, falsify, replay and the command line on an output instead of a field."""

import json
import pickle

import numpy as np
import pytest
from against_truth import wrong

import assay
from assay import cli, falsify, guard, output, replay
from assay.solvers import ThermalBlock
from assay.solvers.outputs import values
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.helmholtz import Helmholtz
from assay.verify import certificate
from assay.verify.search.counterexample import Counterexample


@pytest.fixture(scope="module")
def block():
    return ThermalBlock((2, 2), 8, low=0.1, high=10.0)


def test_a_guard_answers_outputs_within_the_tolerance(block):
    P = block.inputs.sample(6, seed=7)
    exact_ = values(block, block.outputs["mean-quarter"], P, np.asarray(block.solve_batch(P)))

    def surrogate(X):
        """Good, off, awful, and none."""
        U = np.asarray(block.attempt_batch(X).u)
        share = np.array([1e-6, 1e-2, 1e-2, 30.0, 1.0, 1.0])[: len(X), None]
        U = U * (1 + share * np.sin(np.arange(block.size) / 3.0))
        U[4:] = np.nan
        return U

    guarded = guard(block, surrogate, 1e-4, output="mean-quarter")
    assert "output='mean-quarter'" in repr(guarded) and guarded.warm_up() > 0
    answer = guarded(P)
    assert list(answer.route) == ["accepted", "polished", "polished", answer.route[3], "solved", "solved"]
    assert answer.route[3] in ("polished", "solved")
    assert (np.abs(answer.output - exact_) <= 1e-4 * np.abs(exact_) * (1 + 1e-9)).all()
    assert (answer.error_upper <= 1e-4).all() and (np.abs(answer.output - exact_) <= answer.error_upper * exact_).all()
    c = answer.certificate
    assert ((c.output_lower <= exact_ * (1 + 1e-12)) & (exact_ <= c.output_upper * (1 + 1e-12))).all()
    solved = guard(block, surrogate, 1e-4, output="mean-quarter")
    again = pickle.loads(pickle.dumps(guard(block, wrong_at_random, 1e-4, output="mean-quarter")))
    assert again.output == solved.output


def wrong_at_random(P):
    return np.ones((len(P), 81))


def test_outputs_near_zero_need_an_absolute_tolerance():
    """At one corner of the box the quarter's mean of the real part changes its sign."""
    problem = Helmholtz(cells=16)
    odd = np.zeros((17, 17, 2))
    odd[8, 8, 0], odd[8, 8, 1] = 1.0, 0.0
    P = problem.inputs.sample(3, seed=0)
    truth = np.asarray(problem.solve_batch(P))
    odd[..., 0].flat[:] -= (truth[0] @ odd.ravel()) / (truth[0].reshape(17, 17, 2)[..., 0].sum())
    l = output("almost nothing", odd.ravel())
    strict = guard(problem, wrong(problem), 1e-3, output=l)(P[:1])
    assert list(strict.route) == ["solved"] and np.isinf(strict.error_upper[0])
    assert any("may be zero" in note and "absolute" in note for note in strict.notes)
    loose = guard(problem, wrong(problem), 1e-3, absolute=1e-6, output=l)(P[:1])
    assert list(loose.route) == ["polished"] and loose.error_upper[0] <= 1e-3


def test_a_map_is_about_fields(block):
    with pytest.raises(ValueError, match="leave out trust= or output="):
        guard(block, wrong(block), trust="map.json", output="mean")
    with pytest.raises(ValueError, match="absolute is an error of output 'mean'"):
        guard(block, wrong(block), absolute=-1.0, output="mean")


def test_falsify_searches_for_errors_of_an_output(block):
    """The surrogate is right but in one node: the field's error is small, the output's is not."""
    spot = np.zeros(block.size)
    spot[40] = 1.0

    def surrogate(P):
        U = np.asarray(block.attempt_batch(P).u)
        return U - np.where(P[:, :1] > 5, 0.05, 0.0) * U * spot

    found = falsify(block, surrogate, 0.03, budget=8, output="centre")
    assert found.verdict == "falsified" and found.output == "centre" and found.signal == "bound"
    worst = found.counterexamples[0]
    assert worst.error == pytest.approx(0.05, rel=1e-6) and worst.lower <= 0.05 * (1 + 1e-9) and worst.inputs[0] > 5
    assert worst.evidence == "proved" and worst.output == "centre"
    kept = Counterexample.from_json(json.loads(json.dumps(worst.to_json())))
    assert replay(block, kept).fails and replay(block, kept).error == pytest.approx(worst.error)
    with pytest.raises(ValueError, match="the record is of 'centre', not of output 'mean'"):
        replay(block, kept, output=output("mean", np.ones(81)))
    assert falsify(block, surrogate, 0.03, budget=4, output="mean").verdict == "not falsified"


PROBLEM = ThermalBlock((2, 2), 8, low=0.1, high=10.0)
SURROGATE = wrong(PROBLEM)
HEAT = Heat(cells=4, steps=2)


def NOTHING(P):
    return np.full((len(P), PROBLEM.size), np.nan)


def STILL(P):
    return np.zeros((len(P), HEAT.size))


def test_the_command_line_speaks_of_outputs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [f"{__name__}:SURROGATE", "--problem", f"{__name__}:PROBLEM", "--random", "3"]
    assert cli.run(["certify", *words, "--output", "mean", "--truth", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    interval = said["outputs"]["mean"]
    assert said["output"] == "mean"
    assert all(
        low <= t <= high
        for low, t, high in zip(interval["lower"], said["output_truth"], interval["upper"], strict=True)
    )
    assert cli.run(["certify", *words, "--output", "centre", "--tolerance", "1e-9"]) == 1
    assert "centre at least" in capsys.readouterr().out
    assert cli.run(["guard", *words, "--output", "centre", "--tolerance", "1e-4", "--out", "a.npz", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["output"] == "centre" and all(
        row["output_lower"] <= row["output"] <= row["output_upper"] for row in said["rows"]
    )
    with np.load("a.npz") as kept:
        assert str(kept["output_name"]) == "centre" and kept["output"].shape == (3,)
    assert cli.run(["certify", *words, "--output", "nothing"]) == 2
    assert "no output 'nothing'; it has: compliance" in capsys.readouterr().err
    falsified = ["falsify", *words[:3], "--output", "centre", "--tolerance", "1e-5", "--budget", "4", "--json"]
    assert cli.run(falsified) == 1
    assert json.loads(capsys.readouterr().out)["output"] == "centre"
    assert cli.run(["problems", "cavity"]) == 0
    assert "outputs: u-centre, v-centre" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["certify", "guard", "falsify"])
def test_an_unknown_output_is_told_before_anything_is_loaded(verb, capsys):
    """There is not even such a surrogate."""
    assert cli.run([verb, "nowhere:none", "--problem", f"{__name__}:PROBLEM", "--output", "drag"]) == 2
    assert "thermal-block has no output 'drag'; it has: compliance" in capsys.readouterr().err


def test_a_guard_tells_an_unknown_output_before_anything_is_asked_or_prepared(block):
    asked = []
    with pytest.raises(ValueError, match="no output 'drag'"):
        guard(block, asked.append, output="drag")
    assert not asked


def test_only_what_was_asked_for_has_a_value_and_only_bounds_assume(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--problem", f"{__name__}:PROBLEM", "--random", "2"]
    assert cli.run(["certify", f"{__name__}:SURROGATE", *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["outputs"]["compliance"]) == {"lower", "upper"} and said["assumptions"]
    for name, bounded in (("SURROGATE", True), ("NOTHING", False)):
        assert cli.run(["certify", f"{__name__}:{name}", *words]) == (0 if bounded else 3)
        assert ("assumes:" in capsys.readouterr().out) is bounded
    assert cli.run(["certify", f"{__name__}:NOTHING", *words, "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["evidence"] == "undecided" and said["assumptions"] == []


def test_that_there_is_no_proof_over_boxes_is_told_at_once(tmp_path, monkeypatch, capsys):
    """No solves for the truth's distance to the PDE, nothing is said to be compiled, no map is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(certificate, "distance", lambda problem: pytest.fail("solved on other grids"))
    words = ["certify", f"{__name__}:STILL", "--problem", f"{__name__}:HEAT", "--box", "all"]
    assert cli.run([*words, "--json"]) == 3
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["notes"] == ["no proof over boxes is known for heat: certify at points"] and said["map"] is None
    assert "compiled" not in err and "bounding boxes" not in err and not list(tmp_path.iterdir())


def test_a_record_of_ones_own_output_is_of_its_weights(block):
    weights = np.zeros(block.size)
    weights[40] = 1.0
    mine = output("mine", weights)
    worst = falsify(block, wrong(block, 0.1), 0.01, budget=2, output=mine).counterexamples[0]
    assert replay(block, worst, output=output("mine", weights)).error == pytest.approx(worst.error, rel=1e-9)
    with pytest.raises(ValueError, match="or of another output 'mine': the field in it had an error of"):
        replay(block, worst, output=output("mine", weights[::-1] + 0.3))


def test_public_names():
    assert {"output", "Output", "prepare", "Prepared"} <= set(assay.__all__)
