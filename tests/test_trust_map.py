"""Trust maps: exact volumes, lookups, files that were tampered with, and what box proofs refuse."""

import json

import numpy as np
import pytest

import assay
from assay.verify.boxes.trust_map import TrustMap, canonical


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
        failures=np.array([[np.nan] * 2] * 3 + [[0.75, 0.25]] + [[np.nan] * 2]),
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


def lies(d):
    """(entries of a map's file that say what cannot be, what is said of it)."""
    yield from (({"bound": [0.5, 0.05, x, 0.3, x]}, "at least 0|a number|numbers") for x in ("-inf", "nan", -1.0, True))
    yield {"bound": [0.5, 0.05, "inf", 0.3, "1e-3"]}, "numbers"
    yield {"bound": [0.5, 0.05, 0.25, 0.3, 0.2]}, "below that of one of its halves"
    yield {"verdicts": [2, 2, 2, 1, 2]}, "within the tolerance: leaf 1"
    yield {"verdicts": [2, 0, 2, True, 2]}, "'verdicts' must be whole numbers"
    yield {"axis": [0.0, -1, 1, -1, -1]}, "'axis' must be whole numbers"
    yield {"axis": [0, -2, 1, -1, -1]}, "an axis that does not exist"
    yield {"axis": [2**70, -1, 1, -1, -1]}, "OverflowError"
    yield {"children": [[1, 2], [3, 4], [3, 4], [-1, -1], [-1, -1]]}, "a leaf has halves"
    yield {"children": [[1, 2, 0], [-1, -1], [3, 4], [-1, -1], [-1, -1]]}, "2 columns"
    yield from (({"tolerance": x}, "'?tolerance") for x in (0.0, -1.0, True, "0.1", None))
    yield from (({"seconds": x}, "'seconds'") for x in (-1.0, "1", True, [1.0]))
    yield from (({"evaluated": x}, "'evaluated'") for x in (-1, 5.0, True))
    yield {"format": True}, "format"
    yield {"format": 99}, "format 99 is not known"
    yield {"surprise": 1}, "unknown entries: 'surprise'"
    yield {"settings": [1]}, "'settings'"
    yield {"notes": "text"}, "'notes'"
    yield {"against": 3}, "'against'"
    yield {"witness": [[0.75, 1.25]]}, "points of the unit box"
    yield {"witness_lower": [0.31]}, "a witness's error is above the bound"
    yield from (({"witness_lower": [x]}, "witness") for x in (-1.0, "inf", None))
    yield {"failures": {}}, "a falsified leaf has no failure"
    yield {"failures": {"3": [0.25, 0.25]}}, "lies outside of it"
    yield from (({"failures": {key: [0.75, 0.25]}}, "no node") for key in ("03", "5", "-1", "x", "\u0663"))
    yield {"box": {"names": ["a"]}}, "'box'"
    for key, x in (("log", [1, 1]), ("lower", [True, 1.0]), ("names", ["k00"]), ("laws", ["odd", "odd"])):
        yield {"box": {**d["box"], key: x}}, "box|law|log|lower"


def test_a_map_that_says_what_cannot_be_is_refused(trust, tmp_path):
    path, honest = tmp_path / "trust-map.json", json.loads(canonical(trust.to_json()))
    for change, message in lies(honest):
        path.write_text(canonical({**honest, **change}))
        with pytest.raises(ValueError, match=f"trust-map.json is not a trust map: .*({message})"):
            assay.load_trust_map(path)
    without = {key: x for key, x in honest.items() if key != "failures"}
    path.write_text(canonical(without))
    with pytest.raises(ValueError, match="missing entries: 'failures'"):
        assay.load_trust_map(path)


def chain(depth):
    """A tree that is halved at one end again and again."""
    axis = [0, -1] * depth + [-1]
    children = [x for i in range(depth) for x in ([2 * i + 1, 2 * i + 2], [-1, -1])] + [[-1, -1]]
    count = 2 * depth + 1
    return {"axis": axis, "children": children, "bound": ["inf"] * count, "verdicts": [2] * count, "failures": {}}


@pytest.mark.parametrize(("depth", "fine"), [(40, True), (60, False), (1100, False)])
def test_a_tree_is_no_deeper_than_halving_goes(trust, tmp_path, depth, fine):
    path, honest = tmp_path / "trust-map.json", json.loads(canonical(trust.to_json()))
    path.write_text(canonical({**honest, **chain(depth)}))
    if fine:
        assert assay.load_trust_map(path).undecided_volume == 1.0
        return
    with pytest.raises(ValueError, match="narrower than what halving can give"):
        assay.load_trust_map(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested too deeply"),
        ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
        ('{"format": 1, "bound": [NaN]}', "NaN is not a number that JSON has"),
        ('{"format": 1, "bound": [-Infinity]}', "-Infinity is not a number"),
        ('{"format": 1, "format": 1}', "changed after it was written"),
        ("1" * 10_000, "not a trust map"),
        ("[]", "no format"),
        ("", "not a trust map"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "trust-map.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        assay.load_trust_map(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_what_is_no_file_or_too_large_is_not_read(tmp_path):
    for name in (tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="could not be read"):
            assay.load_trust_map(name)
    path = tmp_path / "trust-map.json"
    with path.open("wb") as stream:
        stream.truncate(2**40)  # a hole: it takes no room
    with pytest.raises(ValueError, match="larger than"):
        assay.load_trust_map(path)
