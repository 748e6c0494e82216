"""Training on what falsification points at: what a round adds, what is judged, and that a killed repair goes on."""

import json
import sys

import numpy as np
import pytest

import assay
from assay.cli import run
from assay.repairs import repair as module
from assay.repairs.choose import choose_inputs, commonness
from assay.repairs.record import Record
from assay.repairs.rows import together
from assay.verify.search.signal import Signal

BOX = assay.Box(("a", "b"), np.array([1.0, 0.0]), np.array([2.0, 1.0]))


def answer(p):
    return np.array([p[0] * p[1], np.sin(3 * p[0]), 1.0])


@pytest.fixture(scope="module")
def curve():
    return assay.black_box(answer, BOX, name="curve")


@pytest.fixture(scope="module")
def rows(curve):
    return assay.sample(curve, 12)


@pytest.fixture(scope="module")
def tests(curve):
    return assay.sample(curve, 40, 9, independent=True)


@pytest.fixture(scope="module")
def repaired(curve, rows, tests):
    return assay.repair(curve, "polynomial", rows, rounds=2, budget=6, search=8, tests=tests)


def test_a_round_is_where_the_signal_is_high_and_goes_on_with_the_design(curve, rows, repaired):
    P = repaired.snapshots.inputs
    assert len(P) == 24 == repaired.solver_calls and (P[:12] == rows.inputs).all()
    assert [row.rows for row in repaired.rounds] == [12, 18, 24]
    design = assay.sample(curve, 16).inputs[12:]
    assert np.array_equal(P[16:18], design[:2]) and np.array_equal(P[22:24], design[2:])
    assert len(np.unique(P, axis=0)) == 24
    np.testing.assert_allclose(repaired.snapshots.fields, np.stack([answer(p) for p in P]), rtol=1e-12)
    assert [row.signal for row in repaired.rounds] == ["", "disagreement", "disagreement"]


def test_the_same_number_of_random_samples_is_the_sample_of_that_size(curve, tests, repaired):
    beside = assay.train(curve, "polynomial", assay.sample(curve, 24))
    errors = [
        curve.relative_error(p, u, t) for p, u, t in zip(tests.inputs, beside(tests.inputs), tests.fields, strict=True)
    ]
    assert repaired.rounds[-1].random.mean == pytest.approx(np.mean(errors), rel=1e-9)
    assert repaired.rounds[-1].random.worst >= max(errors) * (1 - 1e-9)
    assert repaired.rounds[0].random == repaired.rounds[0].repaired  # before the first round they are one
    assert repaired.rounds[-1].repaired.worst < repaired.rounds[0].repaired.worst
    assert repaired.rounds[0].repaired.certified is None  # nothing is proved of a black box


def test_what_judges_is_never_learnt_from(tests, repaired):
    learnt = {p.tobytes() for p in repaired.snapshots.inputs}
    assert not learnt & {p.tobytes() for p in tests.inputs}
    assert repaired.surrogate.data_hash == repaired.snapshots.hash


def test_chosen_inputs_are_the_peaks_and_apart_from_each_other():
    peaks = np.array([[0.0, 0.0], [1.0, 1.0]])

    def values(P):
        X = BOX.to_unit(P)
        return sum(h * np.exp(-((X - c) ** 2).sum(axis=1) / 0.01) for h, c in zip((1.0, 0.5), peaks, strict=True))

    found = BOX.to_unit(choose_inputs(Signal("planted", values), BOX, 4, 0))
    assert np.array_equal(found[:2], peaks)  # the lower peak before a neighbour of the higher one
    assert len(np.unique(found, axis=0)) == 4
    flat = choose_inputs(Signal("planted", lambda P: np.zeros(len(P))), BOX, 5, 0)
    assert len(np.unique(flat, axis=0)) == 5 and BOX.contains(flat).all()


def test_what_is_as_high_everywhere_is_asked_for_where_the_law_is_dense():
    flat = Signal("planted", lambda P: np.ones(len(P)))
    normal = BOX.replace(laws=("normal", "uniform"))
    P = normal.draw(50, 3)
    dense = commonness(normal, P)
    by_hand = np.exp(-(((P[:, 0] - 1.5) * 6) ** 2) / 2)
    np.testing.assert_allclose(dense, by_hand / by_hand.max(), rtol=1e-8)
    assert (np.abs(choose_inputs(flat, normal, 8, 0)[:, 0] - 1.5) < 0.25).all()
    logarithmic = assay.Box(("a", "b"), np.array([1.0, 0.1]), np.array([2.0, 9.0]), log=(False, True))
    assert (commonness(logarithmic, logarithmic.draw(50, 3)) == 1).all()


def test_a_certified_share_where_there_are_proofs(tests):
    problem = assay.problem("thermal-block", blocks=(2, 1), cells=4)
    draws = assay.sample(problem, 16, 5, independent=True)
    found = assay.repair(
        problem, "kernel-ridge", assay.sample(problem, 6), rounds=1, budget=8, search=0, tests=draws, compare=False
    )
    first, last = (row.repaired for row in found.rounds)
    assert found.rounds[1].random is None and found.rounds[1].signal == "bound"
    share = assay.certify(problem, found.surrogate, draws.inputs).within(1e-2).mean()
    assert last.certified == share > first.certified and last.worst < first.worst


class Killed(Exception):
    pass


@pytest.mark.parametrize("stage", ["round-1: solving", "round-2: training", "random-2: training", "round 2: judging"])
def test_a_killed_repair_goes_on_to_the_same_result(curve, rows, tests, repaired, stage, tmp_path, monkeypatch):
    plain = module.train

    def train(problem, name, snapshots, *, progress, **options):
        progress(0, 1)  # a baseline says nothing of itself
        return plain(problem, name, snapshots, **options)

    monkeypatch.setattr(module, "train", train)
    asked = {"rounds": 2, "budget": 6, "search": 8, "tests": tests, "folder": tmp_path}

    def kill(said, done, total, note):
        if said == stage:
            raise Killed

    with pytest.raises(Killed):
        assay.repair(curve, "polynomial", rows, **asked, progress=kill)
    again = assay.repair(curve, "polynomial", rows, **asked)
    assert again.snapshots.hash == repaired.snapshots.hash and again.rounds == repaired.rounds
    assert np.array_equal(again.surrogate(tests.inputs), repaired.surrogate(tests.inputs))
    solved = []
    assay.repair(curve, "polynomial", rows, **asked, progress=lambda said, *_: solved.append(said))
    assert solved == []  # all of it is there
    with pytest.raises(ValueError, match="of another repair .* choose another folder"):
        assay.repair(curve, "polynomial", rows, **{**asked, "budget": 4})


def test_solves_that_fail_are_counted_and_said(tests):
    def fails(p):
        if p[0] > 1.9:
            raise RuntimeError("no convergence")
        return answer(p)

    failing = assay.black_box(fails, BOX, name="failing")
    found = assay.repair(
        failing, "polynomial", assay.sample(failing, 12), rounds=1, budget=6, search=0,
        tests=assay.sample(failing, 10, 9, independent=True), compare=False,
    )  # fmt: skip
    assert found.solver_calls == 18 and (~found.snapshots.valid).sum() > 0
    assert "of 18 solves failed" in found.notes[0] and "no convergence" in found.notes[0]


def test_what_cannot_be_repaired_is_said(curve, rows):
    with pytest.raises(ValueError, match="a function has no training snapshots"):
        assay.repair(curve, lambda P: P, rows)
    model = assay.train(curve, "mean", rows)
    with pytest.raises(ValueError, match="learnt from other snapshots"):
        assay.repair(curve, model, assay.sample(curve, 13))
    with pytest.raises(ValueError, match="learnt from physics alone has none"):
        assay.repair(curve, model, None)
    with pytest.raises(ValueError, match="the budget of a round: a whole number from 2"):
        assay.repair(curve, model, rows, budget=1)
    with pytest.raises(ValueError, match="rounds: a whole number from 1"):
        assay.repair(curve, model, rows, rounds=0)
    with pytest.raises(ValueError, match="tolerance .* must be positive"):
        assay.repair(curve, model, rows, tolerance=0)
    half = assay.train(curve, "mean", rows, box=BOX.replace(upper=np.array([1.5, 1.0])))
    with pytest.raises(ValueError, match="on a part of the problem's box"):
        assay.repair(curve, half, rows)


def test_rows_put_together_keep_their_reasons(rows):
    broken = np.full((2, 3), np.nan)
    two = assay.Snapshots(
        rows.inputs[:2], broken, broken[:, 0], 0, rows.problem_name, rows.problem_settings, rows.box, rows.fingerprint,
        {1: "why"},
    )  # fmt: skip
    assert together(rows, two, two).reasons == {13: "why", 15: "why"}


def test_the_verb_makes_a_run_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_repair.py").write_text(
        "import numpy as np, assay\nbox = assay.Box(('a', 'b'), np.array([1.0, 0.0]), np.array([2.0, 1.0]))\n"
        "curve = assay.black_box(lambda p: np.array([p[0] * p[1], np.sin(3 * p[0]), 1.0]), box, name='curve')\n"
    )
    monkeypatch.delitem(sys.modules, "mine_repair", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def said(*words):
        code = run(list(words))
        out, err = capsys.readouterr()
        return code, json.loads(out) if code == 0 and "--json" in words else out, err

    mine = ["--problem", "mine_repair:curve"]
    made = ["--surrogate", "polynomial", "--snapshots", "12", "--test", "20", "--out", "a"]
    assert said("train", "mine_repair:curve", *made)[0] == 0
    words = ["train", "a", "--repair", *mine, "--rounds", "1", "--budget", "4", "--search", "5"]
    code, found, _ = said(*words, "--json")
    assert code == 0 and found["out"] == "a-repaired" and len(found["rounds"]) == 2
    assert found["solver_calls"] == 16 + 20 and found["judging_calls"] == 5 + 5 + 5 + 4
    assert said("falsify", "a-repaired", *mine, "--budget", "5", "--tolerance", "9")[0] == 0
    for wrong, message in (
        (words, "holds this very run, complete"),
        ([*words, "--surrogate", "mean"], "--surrogate is as in the run: leave it out with --repair"),
        (["train", "mine_repair:curve", "--rounds", "2"], "--rounds is about --repair"),
        (["train", "--repair"], "say which run is repaired"),
        (["train", "a", "--repair", *mine, "--tolerance", "0", "--out", "b"], "must be positive"),
        (["train", "a", "--repair", *mine, "--budget", "1"], "--budget"),
        (["train", "a", "--repair"], "name it again with --problem"),
    ):
        code, _, err = said(*wrong)
        assert code == 2 and message in err and err.count("\n") == 1, err
    code, out, _ = said(*words, "--no-compare", "--out", "c")
    assert code == 0 and "worst found" in out and "next: assay falsify c" in out


def test_a_test_of_the_design_or_a_corner_is_not_learnt_from(curve, rows):
    """The rows go on with their design, and the signal is high in corners: what judges is left out of both."""
    design = assay.sample(curve, 20)
    corners = np.array([[a, b] for a in (1.0, 2.0) for b in (0.0, 1.0)])
    judging = together(design, module.solved_at(curve, corners, 0))
    found = assay.repair(curve, "polynomial", rows, rounds=1, budget=8, search=0, tests=judging, compare=False)
    learnt = found.snapshots.inputs[12:]
    assert len(np.unique(learnt, axis=0)) == 8
    away = np.abs(learnt[:, None] - judging.inputs).max(axis=2)
    assert away.min() > 1e-9


def test_a_folder_begun_with_another_surrogate_is_refused(curve, rows, tests, tmp_path):
    one, other = (assay.train(curve, "polynomial", rows, degree=k) for k in (1, 2))
    asked = {"rounds": 1, "budget": 4, "search": 0, "tests": tests, "compare": False, "folder": tmp_path}
    assay.repair(curve, one, rows, **asked)
    with pytest.raises(ValueError, match="of another repair"):
        assay.repair(curve, other, rows, **asked)


def test_a_file_of_a_round_knows_whose_it_is(tmp_path):
    folders = [tmp_path / "one", tmp_path / "other"]
    one, other = (Record(folder, {"seed": i}) for i, folder in enumerate(folders))
    P = np.array([[0.1], [1 / 3]])
    assert one.chosen(1, 1, lambda: ("bound", P))[0] == "bound"
    signal, same = Record(folders[0], {"seed": 0}).chosen(1, 1, lambda: ("never asked", P[:0]))
    assert signal == "bound" and np.array_equal(same, P)
    (folders[1] / "round-1.json").write_text((folders[0] / "round-1.json").read_text())
    with pytest.raises(ValueError, match="round-1.json is of another repair: delete it"):
        other.chosen(1, 1, lambda: ("bound", P))
