"""The benchmark of trust maps against the truth: a lying map is counted, planted failures are as large as they say."""

import numpy as np
import pytest

from assay.benchmarks.soundness import box_soundness, planted
from assay.benchmarks.soundness.box_networks import ACTIVATIONS, Design, Network, designs
from assay.benchmarks.soundness.true_error import TrueError
from assay.verify.boxes.trust_map import TrustMap

PROBLEM = box_soundness.block()


@pytest.fixture(scope="module")
def true_error():
    return TrueError(PROBLEM)


def one_leaf(bound):
    return TrustMap(
        box=PROBLEM.inputs, tolerance=bound, axis=np.array([-1]), children=np.array([[-1, -1]]),
        bound=np.array([bound]), verdicts=np.array([0]), witness=np.zeros((0, 2)), witness_lower=np.zeros(0),
        seconds=0.0, evaluated=1, problem_name=PROBLEM.name, problem_settings={}, against="",
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_a_bound_below_the_error_is_counted(true_error, share):
    surrogate = planted.Polynomial(PROBLEM)
    P = PROBLEM.inputs.sample(64, seed=0)
    U, norms = true_error.truths(P)
    error = true_error(P, U, norms, surrogate(P))
    bound = share * float((error.value / norms.value).max())
    count = box_soundness.Count(true_error, surrogate, one_leaf(bound))
    ratio = count.add(P)
    assert (count.violations > 0) == (share < 1) and count.points == 64
    assert ratio.max() == count.closest == pytest.approx(1 / share, rel=1e-6)


def test_planted_failures_break_the_tolerance_by_their_factor_and_keep_apart():
    spoilt = planted.failures(2, 10, np.random.default_rng(0))
    _, low = planted.plant(PROBLEM, spoilt, 1e-2)
    np.testing.assert_allclose(low, [1e-2 * f.factor for f in spoilt], rtol=0.005)
    assert (low > 1e-2).all()
    for i, f in enumerate(spoilt):
        assert all(np.linalg.norm(f.x - g.x) > 5 * (f.width + g.width) for g in spoilt[:i])


def test_designs_cover_activations_skips_and_both_kinds():
    twenty = designs(20)
    assert {d.activation for d in twenty} == set(ACTIVATIONS)
    assert {(d.skip, d.trained) for d in twenty} == {(a, b) for a in (False, True) for b in (False, True)}
    assert all(d.layers > 1 for d in twenty if d.skip)


def test_a_trained_network_is_better_than_a_random_one(true_error):
    P = PROBLEM.inputs.sample(64, seed=1)
    U, norms = true_error.truths(P)
    worst = [
        (true_error(P, U, norms, Network(PROBLEM, Design("tanh", 2, True, trained, 1.0), 0)(P)).low / norms.high).max()
        for trained in (True, False)
    ]
    assert worst[0] < 0.05 * worst[1] and worst[0] < 0.05
