"""The statistical guard: what a calibration promises, whose it is, and that it is never called proved."""

import dataclasses
import json
import math
import pickle
import zipfile

import numpy as np
import pytest
from scipy.stats import binom

import assay
from assay.verify.evidence import Evidence
from assay.verify.statistics.committee import Committee
from assay.verify.statistics.thresholds import choose, least_draws, p_value, qualified, shares

BOX = assay.Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def solver(p):
    return np.array([1.0, 1.0 + p[1]])


@pytest.fixture(scope="module")
def problem():
    return assay.black_box(solver, BOX, name="plane", norm="max")


def good(P):
    """Exact."""
    return np.column_stack([np.ones(len(P)), 1 + P[:, 1]])


def corner(P):
    """Wrong by a fifth where a > 0.7."""
    return good(P) * np.where(P[:, :1] > 0.7, 1.2, 1.0)


@pytest.fixture(scope="module")
def calibrated(problem):
    return assay.calibrate(problem, corner, n=320, seed=2)


# ---- thresholds ------------------------------------------------------------------------------------------------------


def test_the_draws_that_it_takes():
    assert least_draws(0.05, 0.05) == 59 and least_draws(0.1, 0.05) == 29 and least_draws(0.01, 0.01) == 459
    assert p_value(59, 0, 0.05) <= 0.05 < p_value(58, 0, 0.05) == pytest.approx(0.95**58)
    assert p_value(0, 0, 0.05) == 1.0, "of no draw nothing is known"
    assert len(shares(59, 0.05, 0.95)) == 0 and (np.diff(shares(200, 0.05, 0.95)) > 0).all()


def test_the_largest_threshold_that_qualifies():
    signals = np.linspace(0, 1, 400)
    late = signals > 0.8
    placed = np.array([0.5, 0.7, 0.9])
    found = choose(signals, late, late, placed, 0.05, 0.95)
    assert found.threshold == 0.7 and found.failed == 0 and found.accepted == (signals <= 0.7).sum()
    none = np.zeros(400, dtype=bool)
    assert choose(signals, none, none, placed, 0.05, 0.95).threshold == math.inf
    early = signals < 0.2
    assert choose(signals, early, early, placed, 0.05, 0.95).threshold == -math.inf, "the sequence ends at once"
    seventh = np.arange(200) < 4  # all accepted at a level of 0.025: P(Binomial(200, 0.05) <= 4) = 0.026
    assert binom.cdf(4, 200, 0.05) > 0.025 > binom.cdf(3, 200, 0.05)
    assert choose(signals[:200], seventh, seventh, placed[:1] * 0, 0.05, 0.95).threshold == -math.inf
    assert choose(signals[:200], seventh, seventh, placed[:0], 0.05, 0.95).threshold == math.inf, "at all of 0.05"


def test_draws_that_trained_the_signal_test_nothing_but_all_together():
    signals, yes = np.linspace(0, 1, 400), np.ones(400, dtype=bool)
    trained = np.arange(400) < 200
    signals = np.concatenate([signals[::2], signals[::2]])
    found = qualified(signals, trained, yes, signals, 200, 0.05, 0.95)
    assert 0.5 < found.threshold < 1 and found.failed == 0 and found.accepted <= 200, "not all: half of them failed"
    assert qualified(signals, ~trained, yes, signals, 200, 0.05, 0.95).threshold == -math.inf
    silent = qualified(signals, ~yes, ~yes, signals, 0, 0.05, 0.95)
    assert silent.threshold == -math.inf, "of what was never answered nothing is known"


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.4])
def test_too_large_a_share_of_accepted_answers_fails_in_few_calibrations(slope):
    """Failures of probability a + slope (s - s_0) at the signal s: the share among accepted answers is known exactly,
    the miscoverage at every threshold for a slope of zero.
    """
    a, confidence, rng = 0.1, 0.9, np.random.default_rng(1)
    placed = shares(80, a, confidence)
    assert len(placed)
    wrong = 0
    for _ in range(1500):
        s = rng.random(80)
        failed = rng.random(80) < a + slope * (s - placed[0])
        found = choose(s, failed, failed, placed, a, confidence)
        among = a + slope * (np.clip(found.threshold, 0, 1) / 2 - placed[0])
        wrong += found.threshold > -np.inf and among >= a - 1e-12
    assert wrong / 1500 <= 0.1 + 3 * np.sqrt(0.09 / 1500)


# ---- calibrations ----------------------------------------------------------------------------------------------------


def test_a_right_surrogate_is_accepted_everywhere(problem):
    made = assay.calibrate(problem, good, n=59)
    assert made.threshold == math.inf and made.share == 1 and made.n == 59 and made.signal == "constant"
    assert "statistical, not proved" in made.words and "confidence 0.95" in made.words and "n = 59" in made.words


def test_the_number_of_draws_that_is_needed_is_named(problem):
    with pytest.raises(ValueError, match="n=58 draws are too few.*pass n=59 or more"):
        assay.calibrate(problem, good, n=58)
    with pytest.raises(ValueError, match="takes 459 solved draws"):
        assay.calibrate(problem, good, n=200, miscoverage=0.01, confidence=0.99)
    fails = assay.black_box(lambda p: solver(p) * (np.nan if p[0] > 0.6 else 1), BOX, name="holes", norm="max")
    with pytest.raises(ValueError, match="solved draws are too few: .* takes 59"):
        assay.calibrate(fails, good, n=60)
    made = assay.calibrate(fails, good, n=150)
    assert made.n < 110 and "had no solution" in made.notes[-1] and made.qualifies


def test_what_cannot_be_meant(problem):
    for given, message in (
        ({"tolerance": 0.0}, "the tolerance is a relative error"),
        ({"miscoverage": 0.0}, "the miscoverage is a probability between 0 and 1"),
        ({"confidence": 1.0}, "the confidence is a probability between 0 and 1"),
        ({"n": 2.5}, "n is how many draws"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.calibrate(problem, good, **given)
    with pytest.raises(ValueError, match="independent draws: a Sobol design"):
        assay.calibrate(problem, good, assay.sample(problem, 64))
    rng = np.random.default_rng()
    with pytest.raises(ValueError, match="answers the same inputs differently each time"):
        assay.calibrate(problem, lambda P: good(P) + rng.random((len(P), 2)), n=59)


def test_where_a_surrogate_is_wrong_it_is_not_accepted(problem, calibrated):
    """Thirty in a hundred inputs fail; an ensemble learns where."""
    c = calibrated
    assert c.signal == "committee" and c.trained == 160 and 0.5 < c.share <= 0.73 and c.qualifies
    P = BOX.draw(300, seed=11)
    guarded = assay.guard(problem, corner, calibration=c)
    answer = guarded(P)
    wrong = np.abs(answer.u - good(P)).max(axis=1) > 1e-2
    assert wrong[answer.statistical].mean() <= 0.05 and not wrong[~answer.statistical].any()
    assert (answer.route[~answer.statistical] == "solved").all() and answer.counts["accepted"] > 150
    assert answer.evidence is Evidence.STATISTICAL and answer.certificate.evidence is Evidence.STATISTICAL
    assert np.isinf(answer.error_upper).all() and np.isinf(answer.relative_upper).all(), "nothing is proved"
    assert c.words in answer.notes and answer.calibration == c.words == answer.certificate.assumptions[0]
    again = pickle.loads(pickle.dumps(guarded.calibration))
    np.testing.assert_array_equal(assay.guard(problem, corner, calibration=again)(P).u, answer.u)


def test_rows_that_come_in_order_are_halved_at_random(problem):
    """By a half where all answers are right nothing would be learnt about the other."""
    rows = assay.sample(problem, 320, seed=2, independent=True)
    order = np.argsort(rows.inputs[:, 0])
    given = dataclasses.replace(rows, inputs=rows.inputs[order], fields=rows.fields[order], reasons={})
    made = assay.calibrate(problem, corner, given)
    trained = made.inputs[: made.trained, 0]
    assert made.signal == "committee" and 0.1 < (trained > 0.7).mean() < 0.5 and made.qualifies


def test_without_a_threshold_all_is_solved(problem):
    def wrong(P):
        return 1.5 * good(P)

    made = assay.calibrate(problem, wrong, n=200)
    assert not made.qualifies and made.share == 0 and "no threshold qualified" in made.words
    answer = assay.guard(problem, wrong, calibration=made)(BOX.draw(3))
    assert (answer.route == "solved").all() and made.words in answer.notes and not answer.statistical.any()


def test_where_there_is_no_law_there_is_no_statement(problem):
    made = assay.calibrate(problem, good, n=59)
    guarded = assay.guard(problem, good, calibration=made)
    with pytest.raises(ValueError, match="row 0, input 'a': 2 is outside"):
        guarded(np.array([[2.0, 0.5]]))
    sweep = np.column_stack([np.linspace(0, 1, 60), np.full(60, 0.5)])
    swept = guarded(sweep)
    assert (swept.route == "solved").all() and any("do not look drawn" in note for note in swept.notes)
    normal = assay.black_box(solver, BOX.replace(laws=("normal", "normal")), name="plane", norm="max")
    other = assay.guard(normal, good, calibration=made)(normal.inputs.draw(4))
    assert (other.route == "solved").all() and any("laws are not those of the calibration" in n for n in other.notes)
    assert other.evidence is Evidence.NONE


def test_answers_that_are_no_fields_are_never_accepted(problem):
    def partly(P):
        return np.where(P[:, :1] > 0.8, np.nan, good(P))

    made = assay.calibrate(problem, partly, n=90)
    assert made.threshold == math.inf and made.accepted < 90 and made.failed == 0
    P, out = BOX.draw(12, seed=4), np.empty((20, 2))
    answer = assay.guard(problem, partly, calibration=made)(P, out)
    assert (answer.route == np.where(P[:, 0] > 0.8, "solved", "accepted")).all()
    np.testing.assert_allclose(answer.u, good(P))
    assert np.shares_memory(answer.u, out)


def test_a_surrogate_that_is_changed_later_is_not_accepted_any_more(problem):
    factor = [1.0]
    made = assay.calibrate(problem, lambda P: factor[0] * good(P), n=59)
    guarded = assay.guard(problem, lambda P: factor[0] * good(P), calibration=made)
    P = BOX.draw(3)
    assert (guarded(P).route == "accepted").all()
    factor[0] = 1.2
    later = guarded(P)
    assert (later.route == "solved").all() and any("no longer answers as it did" in note for note in later.notes)


# ---- whose it is -----------------------------------------------------------------------------------------------------


def test_a_calibration_of_something_else_is_refused(problem):
    made = assay.calibrate(problem, good, n=59)
    with pytest.raises(ValueError, match="is of another surrogate: at a="):
        assay.guard(problem, lambda P: 1.0001 * good(P), calibration=made)
    with pytest.raises(ValueError, match="is for the tolerance 0.01 .* not for 0.02"):
        assay.guard(problem, good, 2e-2, calibration=made)
    with pytest.raises(ValueError, match="is of another problem than this other: it is about plane"):
        assay.guard(assay.black_box(solver, BOX, name="other"), good, calibration=made)
    changed = assay.black_box(lambda p: 2 * solver(p), BOX, name="plane", norm="max")
    with pytest.raises(ValueError, match="is of another plane: the solution stored for"):
        assay.guard(changed, good, calibration=made)
    with pytest.raises(ValueError, match="leave out trust= and output="):
        assay.guard(problem, good, output="mean", calibration=made)


# ---- signals that somebody asks for ----------------------------------------------------------------------------------


def elsewhere(P):
    """Right where ``corner`` is wrong, off by a few thousandths elsewhere."""
    return good(P) * (1 + 0.003 * np.sin(9 * P[:, :1]))


class Learnt:
    """Exact within 0.2 of the left half, where it learnt; a fifth too large elsewhere."""

    trained_at = assay.Box(("a", "b"), [0.0, 0.0], [0.5, 1.0]).draw(200, 3)

    def __call__(self, P):
        near = np.linalg.norm(np.asarray(P)[:, None] - self.trained_at, axis=2).min(axis=1) < 0.2
        return good(P) * np.where(near, 1.0, 1.2)[:, None]


@pytest.fixture(scope="module")
def asked(problem):
    by_other = assay.calibrate(problem, corner, n=320, seed=2, beside=elsewhere)
    return {"beside": by_other, "distance": assay.calibrate(problem, Learnt(), n=320, seed=2, distance=True)}


@pytest.mark.parametrize(("kind", "surrogate"), [("beside", corner), ("distance", Learnt())])
def test_a_signal_that_is_asked_for_keeps_its_promise(problem, asked, kind, surrogate, tmp_path):
    """Thirty in a hundred inputs fail; the signal tells them apart, so that most others are accepted; from a file."""
    made = asked[kind]
    assert made.signal == {"beside": "disagreement", "distance": "distance"}[kind] and made.trained == 0
    path = made.save(tmp_path / "made.npz")
    assert assay.load_calibration(path).hash == made.hash
    more = {"beside": elsewhere} if kind == "beside" else {}
    guarded = pickle.loads(pickle.dumps(assay.guard(problem, surrogate, calibration=path, **more)))
    P = BOX.draw(300, seed=11)
    answer = guarded(P)
    wrong = np.abs(answer.u - good(P)).max(axis=1) > 1e-2
    assert 0.6 < made.share < 0.75 and abs(answer.statistical.mean() - made.share) < 0.1
    assert wrong[answer.statistical].mean() <= 0.05 and not wrong[~answer.statistical].any()
    assert (answer.route[~answer.statistical] == "solved").all()
    wider = assay.Box(("a", "b"), [0.0, 0.0], [2.0, 1.0])  # another law: nothing is accepted, out there or within
    there = assay.guard(assay.black_box(solver, wider, name="plane", norm="max"), surrogate, calibration=made, **more)
    out = there(wider.draw(40, seed=1))
    assert (out.route == "solved").all() and any("not those of the calibration" in note for note in out.notes)


@pytest.mark.parametrize("strip", [0.0, 0.1])
def test_what_both_get_wrong_alike_is_paid_for(problem, strip):
    """In a strip both are wrong and agree. More than the miscoverage of accepted answers fail in hardly any of many
    calibrations: of a tenth nothing can be told, of none most is accepted.
    """
    repeats, confidence, P = 20, 0.9, BOX.draw(2000, seed=99)

    def alike(P):
        return np.where(P[:, 1:] < strip, 1.2, 1.0)

    def one(P):
        return corner(P) * alike(P)

    def two(P):
        return good(P) * alike(P)

    fails, away = np.abs(one(P) - good(P)).max(axis=1) > 1e-2, np.abs(one(P) - two(P)).max(axis=1)
    over = accepted = 0
    for seed in range(repeats):
        made = assay.calibrate(problem, one, n=160, seed=seed, confidence=confidence, beside=two)
        taken = away <= made.threshold * np.abs(two(P)).max(axis=1)
        over += bool(taken.any()) and float(fails[taken].mean()) > 0.05
        accepted += made.qualifies
    assert over <= repeats * (1 - confidence) + 3 * np.sqrt(repeats * confidence * (1 - confidence))
    assert accepted == repeats if strip == 0.0 else accepted < repeats / 2


def test_the_other_surrogate_is_known_again(problem, asked):
    made = asked["beside"]
    for given, message in (
        ((corner, made, good), "is beside another surrogate: at a="),
        ((elsewhere, made, corner), "is of another surrogate: at a="),
        ((corner, made, None), "from another surrogate's answer: give that one as beside="),
        ((Learnt(), asked["distance"], good), "leave out beside="),
        ((corner, None, good), "give calibration= too"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.guard(problem, given[0], calibration=given[1], beside=given[2])
    factor = [1.0]
    made = assay.calibrate(problem, good, n=59, beside=lambda P: factor[0] * good(P))
    guarded = assay.guard(problem, good, calibration=made, beside=lambda P: factor[0] * good(P))
    assert (guarded(BOX.draw(3)).route == "accepted").all()
    factor[0] = 1.2
    later = guarded(BOX.draw(3))
    assert (later.route == "solved").all() and any("the one beside it, no longer" in note for note in later.notes)


def test_signals_that_cannot_be_had(problem):
    rng, rows = np.random.default_rng(0), assay.sample(problem, 60, independent=True)
    seen = type("Seen", (Learnt,), {"trained_at": rows.inputs})()
    for surrogate, given, message in (
        (Learnt(), {"beside": good, "distance": True}, "by one signal: leave out"),
        (corner, {"distance": True}, "an attribute trained_at"),
        (corner, {"beside": "good"}, "beside is another surrogate of plane"),
        (good, {"beside": seen, "snapshots": rows}, "learnt from 60 of these 60"),
        (good, {"beside": lambda P: good(P) + rng.random((len(P), 2))}, "answers the same inputs differently"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.calibrate(problem, surrogate, n=60, **given)


@pytest.mark.parametrize("changes", [{"beside": np.zeros((2, 9))}, {"trained_at": np.zeros((0, 0))}])
def test_a_file_whose_arrays_do_not_fit_its_signal_is_refused(asked, changes, tmp_path):
    made = dataclasses.replace(asked["beside" if "beside" in changes else "distance"], **changes)
    with pytest.raises(ValueError, match="its arrays do not fit its signal"):
        assay.load_calibration(made.save(tmp_path / "changed.npz"))


def test_files_come_back_and_are_read_with_care(problem, calibrated, tmp_path):
    path = calibrated.save(tmp_path / "made.npz")
    again = assay.load_calibration(path)
    assert again.hash == calibrated.hash and again.words == calibrated.words
    P = BOX.draw(40, seed=5)
    one, other = (assay.guard(problem, corner, calibration=c)(P) for c in (calibrated, path))
    np.testing.assert_array_equal(one.route, other.route)

    def tampered(**changes):
        with zipfile.ZipFile(path) as archive, archive.open("about.npy") as stream:
            about = json.loads(np.load(stream).tobytes()) | changes
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        np.savez(tmp_path / "changed.npz", **arrays)
        return tmp_path / "changed.npz"

    for changes, message in (
        ({"threshold": "inf"}, "is no calibration: how many draws failed is not what its errors say"),
        ({"share": 1.0}, "changed after it was written"),
        ({"confidence": 0.9999999}, "does not qualify by its own draws"),
        ({"threshold": float("nan")}, "NaN is not a number that JSON has"),
        ({"signal": "proof"}, "cannot be"),
        ({"format": 2}, "format 2 is not known"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.load_calibration(tampered(**changes))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("text.npz", "none.npz"):
        with pytest.raises(ValueError, match=name):
            assay.load_calibration(tmp_path / name)


def test_the_committee_finds_where_errors_are_large():
    P = BOX.draw(120, seed=1)
    errors = np.where(P[:, 0] > 0.6, 0.5, 0.001)
    errors[:3], errors[3] = np.inf, 0.0
    new = BOX.draw(200, seed=2)
    found = Committee(BOX, P, errors, 0)(new)
    np.testing.assert_array_equal(found, Committee(BOX, P, errors, 0)(new))
    assert np.median(found[new[:, 0] > 0.7]) > 10 * np.median(found[new[:, 0] < 0.5])
    assert (Committee(BOX, P, np.zeros(120), 0)(new) > 0).all(), "no error known to be larger than another"
