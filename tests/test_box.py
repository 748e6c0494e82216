"""The closed box of inputs: unit coordinates, corners, sampling laws, splitting, and what it refuses."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from assay.solvers import Box

BOX = Box(("k", "T", "q"), np.array([0.1, -20.0, -3.0]), np.array([10.0, 80.0, 3.0]), log=(True, False, False))


@pytest.mark.parametrize("log", [False, True])
def test_unit_coordinates_there_and_back(log):
    rng = np.random.default_rng(0)
    for _ in range(300):  # ends over twelve magnitudes, boxes from narrow to wide
        low = 10 ** rng.uniform(-6, 6)
        high = low * (1 + 10 ** rng.uniform(-6, 6))
        box = Box(("x",), [low], [high], log=(log,))
        X = np.concatenate([rng.random(20), [0.0, 1.0, 1e-17, 1 - 1e-16, 0.5]])[:, None]
        P = box.from_unit(X)
        assert low <= P.min() and P.max() <= high  # closed, whatever the rounding
        assert box.contains(P).all()
        # a few ulp of the ends, divided by the width
        ends, width = (abs(np.log(low)) + abs(np.log(high)) + 1, np.log(high / low)) if log else (high, high - low)
        np.testing.assert_allclose(box.to_unit(P), X, rtol=0, atol=1e-15 * (1 + ends / width))


def test_the_middle_of_a_log_input_is_the_geometric_mean():
    np.testing.assert_allclose(BOX.from_unit([0.5, 0.5, 0.5]), [1.0, 30.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(BOX.to_unit([[1.0, 30.0, 0.0]]), [[0.5, 0.5, 0.5]], atol=1e-15)


def test_corners_belong_to_the_box_and_one_ulp_more_is_slack():
    corners = np.stack(np.meshgrid(*zip(BOX.lower, BOX.upper, strict=True)), axis=-1).reshape(-1, 3)
    assert len(corners) == 8 and BOX.contains(corners).all()
    np.testing.assert_array_equal(BOX.from_unit(np.round(BOX.to_unit(corners))), corners)  # exactly
    assert BOX.contains(np.nextafter(corners, np.inf)).all() and BOX.contains(np.nextafter(corners, -np.inf)).all()
    out = np.concatenate([BOX.lower - 1e-9 * np.eye(3) * [0.1, 20, 3], BOX.upper + 1e-9 * np.eye(3) * [10, 80, 3]])
    assert not BOX.contains(out).any()


def test_no_number_is_in_the_box_that_is_not_one():
    P = np.tile([1.0, 0.0, 0.0], (5, 1))
    P[0, 0], P[1, 1], P[2, 2], P[3, 0] = np.nan, np.inf, -np.inf, -1.0  # the last: no logarithm
    assert BOX.contains(P).tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([[1.0, 0.0]], r"shape \[n, 3\] \(k, T, q\), not \[1, 2\]"),
        ([1.0, 0.0, 0.0], r"not \[3\]"),
        ([[1.0, 0.0, 0.0], [1.0, np.nan, 0.0]], "row 1, input 'T': nan is not a finite number"),
        ([[np.inf, 0.0, 0.0]], "row 0, input 'k': inf is not"),
        ([[1.0, 0.0, 0.0], [1.0, 0.0, 3.5]], r"row 1, input 'q': 3.5 is outside \[-3, 3\]"),
        ([[-1.0, 0.0, 0.0]], r"row 0, input 'k': -1 is outside \[0.1, 10\]"),
        ([["a", "b", "c"]], "array of numbers"),
        (None, "array of numbers|shape"),
        ([[1.0, 0.0, 0.0], [1.0]], "array of numbers"),
    ],
)
def test_bad_inputs_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        BOX.check(bad)


def test_check_gives_float64_rows():
    P = BOX.check(np.array([[1, 2, 3]], dtype=np.float32))
    assert P.dtype == np.float64 and P.tolist() == [[1.0, 2.0, 3.0]]
    assert BOX.rows([[99, 2, 3]]).tolist() == [[99.0, 2.0, 3.0]]  # `rows` lets the outside through


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box(("x",), [1.0], [1.0]), "lower < upper"),
        (lambda: Box(("x",), [2.0], [1.0]), "input 'x' needs finite bounds"),
        (lambda: Box(("x",), [np.nan], [1.0]), "finite"),
        (lambda: Box(("x",), [0.0], [np.inf]), "finite"),
        (lambda: Box(("x",), [0.0], [1.0], log=(True,)), "positive lower bound"),
        (lambda: Box(("x",), [0.0], [1.0], laws=("log-uniform",)), "positive lower bound"),
        (lambda: Box(("x",), [0.0], [1.0], laws=("gauss",)), "one of uniform, log-uniform, normal, not 'gauss'"),
        (lambda: Box(("x", "x"), [0.0, 0.0], [1.0, 1.0]), "distinct names"),
        (lambda: Box((), [], []), "distinct names"),
        (lambda: Box(("x", "y"), [0.0], [1.0, 1.0]), "2 entries in 'lower'"),
        (lambda: Box(("x",), [0.0], [1.0], units=("m", "s")), "1 entries in 'units'"),
    ],
)
def test_senseless_boxes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_a_longer_sample_begins_with_the_shorter(n):
    np.testing.assert_array_equal(BOX.sample(257, seed=5)[:n], BOX.sample(n, seed=5))
    assert not (BOX.sample(n, seed=5) == BOX.sample(n, seed=6)).any()


def test_samples_follow_their_laws():
    laws = ("uniform", "log-uniform", "normal")
    box = Box(("u", "l", "n"), [2.0, 0.01, -6.0], [5.0, 100.0, 6.0], laws=laws)
    P = box.sample(4096, seed=1)
    assert box.contains(P).all()
    exact = (
        lambda x: (x - 2) / 3,
        lambda x: np.log(x / 0.01) / np.log(1e4),
        lambda x: (norm.cdf(x / 2) - norm.cdf(-3)) / (norm.cdf(3) - norm.cdf(-3)),  # 6 is three standard deviations
    )
    for j, cdf in enumerate(exact):
        # a Sobol sequence is far closer to its law than 4096 random points, whose distance would be about 0.02
        assert kstest(P[:, j], cdf).statistic < 2e-3
    unit = box.from_law(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(unit, [box.lower, box.upper], rtol=1e-12)


def test_the_default_law_is_even_in_the_inputs_own_scale():
    X = BOX.to_unit(BOX.sample(1024))
    assert BOX.laws == ("log-uniform", "uniform", "uniform")
    np.testing.assert_allclose(X.mean(axis=0), 0.5, atol=2e-3)
    assert all(kstest(X[:, j], lambda x: x).statistic < 6e-3 for j in range(3))


def test_senseless_sample_sizes_are_refused():
    with pytest.raises(ValueError, match="at least one point, not 0"):
        BOX.sample(0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_halves_share_the_cut_and_nothing_else(axis):
    left, right = BOX.split(axis)
    assert left.upper[axis] == right.lower[axis]
    np.testing.assert_array_equal(left.lower, BOX.lower)
    np.testing.assert_array_equal(right.upper, BOX.upper)
    np.testing.assert_allclose(BOX.to_unit(left.upper)[axis], 0.5, atol=1e-15)
    P = BOX.sample(500)
    assert (left.contains(P) | right.contains(P)).all() and not (left.contains(P) & right.contains(P)).any()
    assert left.intersects(right) and not left.split(axis)[0].intersects(right)
    assert left.log == BOX.log and left.laws == BOX.laws


def test_a_box_survives_json():
    other = Box.from_json(BOX.to_json())
    assert other.to_json() == BOX.to_json()
    assert other.log == BOX.log and (other.lower == BOX.lower).all()


def test_bounds_cannot_be_changed():
    lower = np.array([0.0])
    box = Box(("x",), lower, [1.0])
    lower[0] = 0.5
    assert box.lower[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        box.lower[0] = 0.5


def test_independent_draws_follow_the_laws_and_begin_alike():
    box = Box(
        ("a", "b", "c"),
        [1.0, -1.0, -3.0],
        [100.0, 1.0, 3.0],
        (True, False, False),
        laws=("log-uniform", "uniform", "normal"),
    )
    P = box.draw(2000, seed=1)
    np.testing.assert_array_equal(box.draw(7, seed=1), P[:7])
    assert box.contains(P).all() and not np.array_equal(box.draw(7, seed=2), P[:7])
    assert kstest(np.log10(P[:, 0]) / 2, "uniform").pvalue > 1e-3
    assert kstest((P[:, 1] + 1) / 2, "uniform").pvalue > 1e-3
    assert kstest(P[:, 2], norm.cdf).pvalue > 1e-3
    assert len(np.unique(np.floor(16 * box.to_unit(P[:16])[:, 1]))) < 16  # Sobol points would fill every stratum


# ---- what a user may write -------------------------------------------------------------------------------------------


def test_one_name_unit_or_law_is_of_one_input_and_one_flag_of_all():
    one = Box("stiffness", 1.0, 2.0, log=True, units="Pa", laws="uniform")
    assert (one.names, one.log, one.units, one.laws) == (("stiffness",), (True,), ("Pa",), ("uniform",))
    three = Box(["a", "b", "c"], [1, 1, 1], [2, 2, 2], log=np.True_)
    assert three.log == (True,) * 3 and three.laws == ("log-uniform",) * 3
    assert Box(("a", "b"), [0, 0], [1, 1], log=False).log == (False, False)
    assert Box(("a", "b"), [1, 1], [2, 2], log=np.array([True, False])).log == (True, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": "ab"}, "a box of 1 inputs needs 1 entries in 'lower', not 2"),
        ({"names": (1, 2)}, "the names of inputs are words, such as 'k1', not 1"),
        ({"names": 3}, "the names of inputs are words"),
        ({"names": ("a", " ")}, "the names of inputs are words"),
        ({"units": "Pa"}, r"units='Pa' is one string for 2 inputs: give one each, \('Pa',\) \* 2"),
        ({"units": (1, 2)}, "units are words"),
        ({"units": 1}, "units are words"),
        ({"laws": "normal"}, "laws='normal' is one string for 2 inputs"),
        ({"laws": True}, "laws are words"),
        ({"laws": (True, False)}, "laws are words"),
        ({"log": "yes"}, "log says of each input"),
        ({"log": 1}, "log says of each input"),
        ({"log": ("a",)}, "log says of each input"),
        ({"lower": [1j, 0]}, "the box's lower bounds have complex values"),
        ({"upper": ["x", "y"]}, "the box's upper bounds have no numbers"),
        ({"upper": np.ma.array([1.0, 2.0], mask=[True, False])}, "the box's upper bounds have values that are masked"),
    ],
)
def test_boxes_that_make_no_sense_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        Box(**{"names": ("a", "b"), "lower": [0.0, 0.0], "upper": [1.0, 1.0], **arguments})
    assert "\n" not in str(caught.value)


def test_inputs_are_not_cast_without_looking():
    box = Box("a", 0.0, 1.0)
    for bad, word in (([[0.5 + 1j]], "complex"), (np.ma.array([[0.5]], mask=[[True]]), "masked"), ([["x"]], "numbers")):
        with pytest.raises(ValueError, match=word):
            box.check(bad)


# ---- seeds -----------------------------------------------------------------------------------------------------------

SEEDS = [None, 2**63, True, np.True_, -1, 1.5, 1.0, "1", [1]]


def _verbs():
    from assay.solvers import black_box, sample
    from assay.surrogates import train
    from assay.verify.audit import audit
    from assay.verify.falsify import falsify

    problem = black_box(lambda p: p, Box("a", 0.0, 1.0), size=1)
    data = sample(problem, 4)
    return {
        "Box.sample": lambda seed: problem.inputs.sample(2, seed),
        "Box.draw": lambda seed: problem.inputs.draw(2, seed),
        "sample": lambda seed: sample(problem, 2, seed),
        "train": lambda seed: train(problem, "mean", data, seed=seed),
        "falsify": lambda seed: falsify(problem, lambda P: P, 1e-2, 3, seed),
        "audit": lambda seed: audit("no-such-map.json", problem, lambda P: P, seed=seed),
    }


def test_seeds_are_read_alike_in_every_verb():
    for name, verb in _verbs().items():
        for seed in SEEDS:
            with pytest.raises(ValueError, match=r"the seed must be a whole number from 0 to 2\*\*62, not"):
                verb(seed)
        if name != "audit":
            for seed in (0, np.int32(3), np.uint64(7), 2**62):
                verb(seed)
