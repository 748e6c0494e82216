"""Trust maps: exact volumes, lookups, files that were tampered with, and what box proofs refuse."""

import json

import numpy as np
import pytest

import assay
from assay.verify.trust_map import TrustMap, canonical


@pytest.fixture(scope="module")
def problem():
    return assay.problem("thermal-block", blocks=(2, 1), cells=8, low=10**-0.5, high=10**0.5)


@pytest.fixture
def trust(problem):
    """Halved along the first input, the upper half along the second: leaves of volume 1/2, 1/4, 1/4."""
    return TrustMap(
        box=problem.inputs,
        tolerance=0.1,
        axis=np.array([0, -1, 1, -1, -1]),
        children=np.array([[1, 2], [-1, -1], [3, 4], [-1, -1], [-1, -1]]),
        bound=np.array([0.5, 0.05, 0.5, 0.3, 0.2]),
        verdicts=np.array([2, 0, 2, 1, 2]),
        witness=np.array([[0.75, 0.25]]),
        witness_lower=np.array([0.25]),
        seconds=1.0,
        evaluated=5,
        problem_name=problem.name,
        problem_settings=problem.settings,
        against="the discrete solution",
    )


def test_volumes_add_to_one(trust):
    assert (trust.certified_volume, trust.falsified_volume, trust.undecided_volume) == (0.5, 0.25, 0.25)
    _, low, high = trust.leaves()
    assert np.prod(high - low, axis=1).sum() == 1.0 and trust.boxes == 3
    assert (trust.relative_lower, trust.relative_upper) == (0.25, 0.3)


def test_points_find_their_leaf(trust):
    X = np.array([[0.1, 0.9], [0.6, 0.1], [0.9, 0.9], [0.0, 0.0], [1.0, 1.0]])
    P = trust.box.from_unit(X)
    assert list(trust.verdict(P)) == ["certified", "falsified", "undecided", "certified", "undecided"]
    np.testing.assert_array_equal(trust.relative_upper_at(P), [0.05, 0.3, 0.2, 0.05, 0.2])


def test_outside_the_box_nothing_is_said(trust):
    assert trust.verdict([[1e3, 1.0]])[0] == "undecided"
    assert np.isinf(trust.relative_upper_at([[1e3, 1.0]])[0])


def test_it_comes_back_from_disk_and_a_changed_tree_is_noticed(trust, tmp_path):
    path = tmp_path / "trust-map.json"
    trust.save(path)
    assert assay.load_trust_map(path).to_json() == trust.to_json()
    for key, entry, change in (("bound", 1, 1e3), ("verdicts", 3, 7), ("axis", 1, 5), ("children", 0, [1, 1])):
        bad = json.loads(json.dumps(trust.to_json()))
        bad[key][entry] = change
        path.write_text(canonical(bad))  # by somebody who knows how hashes are made
        with pytest.raises(ValueError, match="leaf|node"):
            assay.load_trust_map(path)
    trust.save(path)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ValueError, match="not a trust map"):
        assay.load_trust_map(path)


def test_what_cannot_be_enclosed_is_undecided_with_the_reason(problem):
    plain = assay.certify_box(problem, lambda P: np.zeros((len(P), problem.size)))
    assert plain.undecided_volume == 1.0 and "basis" in plain.notes[0] and np.isinf(plain.relative_upper)
    box = assay.Box(("x",), np.zeros(1), np.ones(1))
    unknown = assay.certify_box(assay.black_box(lambda p: np.ones(4), box), lambda P: np.ones((len(P), 4)))
    assert unknown.undecided_volume == 1.0 and "no proved bound" in unknown.notes[0]


@pytest.mark.parametrize(
    "wrong", [{"tolerance": 0.0}, {"tolerance": np.nan}, {"seconds": 0.0}, {"ratio": 1.0}, {"box": "larger"}]
)
def test_bad_input(problem, wrong):
    if wrong.get("box"):
        wrong = {"box": problem.inputs.replace(upper=problem.inputs.upper * 2)}
    with pytest.raises(ValueError, match="must"):
        assay.certify_box(problem, lambda P: P, **wrong)


def test_any_changed_byte_is_noticed(trust, tmp_path):
    path = tmp_path / "trust-map.json"
    trust.save(path)
    whole = path.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 60).astype(int):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="trust-map"):
            assay.load_trust_map(path)
    for changed in (whole[:-1], whole + b" ", whole[: len(whole) // 2], whole.replace(b",", b", ", 1)):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="trust-map"):
            assay.load_trust_map(path)
