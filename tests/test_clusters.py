"""Random trust maps: lookups agree with a search through all leaves, clusters are exact unions of leaves."""

from fractions import Fraction

import numpy as np
import pytest

from assay.solvers import Box
from assay.verify.boxes.lookup import FEW
from assay.verify.boxes.trust_map import VERDICTS, TrustMap

DIMENSIONS = (1, 2, 3, 4)


def random_map(d, leaves, seed=0, log=False, verdicts=(0, 1, 2)):
    """Leaves halved at random; verdicts run in streaks, so that clusters have something to merge."""
    rng = np.random.default_rng([d, seed])
    axis, children, ends = [-1], [(-1, -1)], [0]
    while len(ends) < leaves:
        node = ends.pop(int(rng.integers(len(ends))))
        axis[node], children[node] = int(rng.integers(d)), (len(axis), len(axis) + 1)
        ends += [len(axis), len(axis) + 1]
        axis += [-1, -1]
        children += [(-1, -1), (-1, -1)]
    chosen = np.array(verdicts)[rng.integers(len(verdicts), size=len(axis)) * (rng.random(len(axis)) < 0.5)]
    low, high = (np.full(d, 0.1), np.full(d, 10.0)) if log else (np.zeros(d), np.ones(d))
    return TrustMap(
        box=Box(tuple("abcd"[:d]), low, high, (log,) * d),
        tolerance=0.1,
        axis=np.array(axis),
        children=np.array(children),
        bound=np.where(chosen == 0, 0.1, 0.2) * rng.random(len(axis)),
        verdicts=chosen,
        witness=rng.random((20, d)),
        witness_lower=rng.random(20),
        seconds=1.0,
        evaluated=1,
        problem_name="random",
        problem_settings={},
        against="the discrete solution",
    )


def holding(trust, X):
    """[n, leaves]: which closed leaves hold which points."""
    _, low, high = trust.leaves()
    return ((X[:, None] >= low) & (X[:, None] <= high)).all(axis=2)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("n", [FEW, 2000])
def test_a_lookup_finds_what_a_search_finds(d, n):
    trust = random_map(d, 150)
    rng = np.random.default_rng(n)
    X = rng.random((n, d))
    on_faces = np.round(X * 16) / 16
    numbers = trust.leaves()[0]
    for points in (X, on_faces, np.where(rng.random(X.shape) < 0.5, X, on_faces), np.round(X)):
        leaf = trust.lookup(points)
        held = holding(trust, points)
        assert held[np.arange(n), np.searchsorted(numbers, leaf)].all()
        np.testing.assert_array_equal(trust.relative_upper_at(points), trust.bound[leaf])
    assert (holding(trust, X).sum(axis=1) == 1).all() and (holding(trust, on_faces).sum(axis=1) > 1).any()


def test_logarithmic_inputs_are_found_within_the_inflation_of_the_leaves():
    trust = random_map(3, 200, log=True)
    X = np.random.default_rng(0).random((3000, 3))
    X[::2] = np.round(X[::2] * 32) / 32
    leaf = trust.lookup(trust.box.from_unit(X))
    assert (leaf >= 0).all()
    outside = np.maximum(trust.lookup.low[leaf] - X, X - trust.lookup.high[leaf])
    assert outside.max() <= 1e-12


def test_nothing_is_found_outside():
    trust = random_map(2, 50, log=True)
    assert (trust.lookup(np.array([[0.05, 1.0], [1.0, 11.0], [-1.0, 1.0]])) == -1).all()


def test_where_rounding_exceeds_the_inflation_faces_belong_to_no_leaf():
    """log p of 1e10 is known to 4e-15, which is 4e-7 of a box of relative width 1e-8."""
    trust = random_map(1, 2)
    narrow = TrustMap(**{**vars(trust), "box": Box(("a",), np.array([1e10]), np.array([1e10 + 100.0]), (True,))})
    assert narrow.lookup.unsure
    X = np.array([[0.25], [0.5], [0.5 + 1e-7], [0.9]])
    assert (narrow.lookup(narrow.box.from_unit(X)) == [1, -1, -1, 2]).all()


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clusters_are_disjoint_unions_of_leaves(d, seed):
    trust = random_map(d, 120, seed)
    numbers, low, high = trust.leaves()
    for i, verdict in enumerate(VERDICTS):
        found = trust.clusters(verdict)
        assert sum(Fraction(c.volume) for c in found) == Fraction(getattr(trust, f"{verdict}_volume"))
        assert sum(c.leaves for c in found) == (trust.verdicts[numbers] == i).sum()
        assert [c.volume for c in found] == sorted((c.volume for c in found), reverse=True)
        a, b = np.array([c.unit_lower for c in found]), np.array([c.unit_upper for c in found])
        for c in found:
            inside = ((low >= c.unit_lower) & (high <= c.unit_upper)).all(axis=1)
            touched = ((low < c.unit_upper) & (high > c.unit_lower)).all(axis=1)
            assert (inside == touched).all() and inside.sum() == c.leaves  # a union of leaves
            assert (trust.verdicts[numbers[inside]] == i).all() and (
                trust.bound[numbers[inside]] <= c.relative_upper
            ).all()
            assert ((a < c.unit_upper) & (b > c.unit_lower)).all(axis=1).sum() == 1  # only itself
            same_ends = (a == c.unit_lower) & (b == c.unit_upper)
            neighbours = same_ends.sum(axis=1) == d - 1
            assert not (neighbours & ((a == c.unit_upper) & ~same_ends).any(axis=1)).any()  # none is left to merge


def test_a_verdict_of_the_whole_box_is_one_cluster_in_the_inputs_units():
    trust = random_map(3, 100, log=True, verdicts=(1,))
    (whole,) = trust.clusters("falsified")
    assert whole.volume == 1.0 and whole.leaves == trust.boxes
    np.testing.assert_array_equal([whole.lower, whole.upper], [trust.box.lower, trust.box.upper])
    assert whole.worst_lower == trust.relative_lower
    np.testing.assert_array_equal(whole.worst, trust.box.from_unit(trust.witness[np.argmax(trust.witness_lower)]))
    assert trust.clusters("certified") == ()
    assert whole.to_json()["inputs"]["b"] == [0.1, 10.0]


def test_a_witness_belongs_to_the_cluster_that_holds_it():
    trust = random_map(2, 60)
    for c in trust.clusters("falsified"):
        inside = ((trust.witness >= c.unit_lower) & (trust.witness <= c.unit_upper)).all(axis=1)
        assert c.worst_lower == trust.witness_lower[inside].max(initial=0.0)
        assert (c.worst is not None) == inside.any() and c.failure is None


def test_a_map_is_described_in_a_line_and_knows_its_verdicts():
    trust = random_map(2, 500)
    text = repr(trust)
    assert len(text) < 200 and f"{100 * trust.certified_volume:.4g} % certified" in text and "500 boxes" in text
    with pytest.raises(ValueError, match="certified, falsified, undecided, not 'wrong'"):
        trust.clusters("wrong")
