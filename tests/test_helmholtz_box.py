"""Box proofs for Helmholtz's equation: every bound holds at sampled points, across damped resonances and beside
undamped ones, and a box that holds an undamped one is never certified.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from against_truth import compiled_boxes, true_errors

from assay.solvers.problems.helmholtz import Helmholtz
from assay.verify.audit import Refuted, audit
from assay.verify.boxes.solutions.helmholtz_box import helmholtz_data
from assay.verify.certify_box import certify_box
from assay.verify.guard import guard
from assay.verify.recheck.halving import PROVED, prove

PROBLEM = Helmholtz(cells=8, width=0.15, k2=(15.0, 25.0), damping=(0.0, 0.2))
RESONANCE = 2 * 64 * 4 * np.sin(np.pi / 16) ** 2  # of the grid: 19.49
SOURCE = np.array([0.4, 0.45])
BOX = PROBLEM.inputs.replace(  # the source stands still
    lower=np.array([15.0, 0.0, *SOURCE]), upper=np.array([25.0, 0.2, *(SOURCE + 1e-9)])
)
ORDER = 3


class Resonant:
    """Three modes times what is left of the resonance, to a few percent: a / ((k2 - resonance)^2 + (k2 damping)^2).

    ``bump`` [1]: by which share coefficients are too large in the corner of large k2 and damping. A weight: what is
    compiled of one serves all.
    """

    def __init__(self, bump=0.0):
        self.bump = np.array([bump])
        P = BOX.from_unit(np.random.default_rng(1).random((60, 4)))
        U = np.asarray(PROBLEM.solve_batch(P))
        self.basis = np.linalg.svd(U.T, full_matrices=False)[0][:, :3] * PROBLEM.free[:, None]
        self.weights = np.linalg.lstsq(np.asarray(self.terms(P)), U @ self.basis, rcond=None)[0]

    @staticmethod
    def terms(P):
        x, damping = jnp.asarray(P)[:, 0] - RESONANCE, jnp.asarray(P)[:, 1]
        loss = jnp.asarray(P)[:, 0] * damping
        near = 1 / (x**2 + loss**2 + 0.01)
        return jnp.stack([near * x, near * loss, jnp.ones_like(x), x, damping], axis=1)

    def coefficients(self, P):
        far = ((jnp.asarray(P)[:, 0] - 25) / 0.5) ** 2 + ((jnp.asarray(P)[:, 1] - 0.2) / 0.02) ** 2
        return (self.terms(P) @ self.weights) * (1 + self.bump * jnp.exp(-far)[:, None])

    def __call__(self, P):
        return np.asarray(self.coefficients(P)) @ self.basis.T


def errors(surrogate, P):
    return true_errors(PROBLEM, surrogate, P)


@pytest.fixture(scope="module")
def sampled():
    """Inputs all over the box, corners among them, and near the undamped resonance."""
    rng = np.random.default_rng(3)
    near = np.tile(BOX.centre, (60, 1))
    near[:, 0] = RESONANCE * (1 + rng.choice([-1, 1], 60) * 10 ** rng.uniform(-6, -1, 60))
    near[:, 1] = 10 ** rng.uniform(-8, -2, 60)
    corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    X = np.concatenate([rng.random((1500, 2)), corners])
    return np.concatenate([BOX.from_unit(np.concatenate([X, rng.random((len(X), 2))], axis=1)), near])


@pytest.fixture(scope="module")
def trust():
    return certify_box(PROBLEM, Resonant(), 0.1, seconds=60, box=BOX, order=ORDER, max_leaves=1500)


@pytest.fixture(scope="module")
def boxes():
    return compiled_boxes(PROBLEM, Resonant(), BOX, ORDER)


def test_every_leafs_bound_holds_and_the_undamped_resonance_is_never_certified(trust, sampled):
    found, upper = errors(Resonant(), sampled), trust.relative_upper_at(sampled)
    assert (found <= upper).all()
    assert trust.certified_volume > 0.3
    there = np.array([[RESONANCE, 0.0, *SOURCE]])
    assert trust.verdict(there) != "certified" and np.isinf(trust.relative_upper_at(there))
    assert any("undamped resonance" in note for note in trust.notes)


def test_a_leaf_with_fixed_inputs_may_be_falsified(trust, sampled):
    """They are as wide as ever in unit coordinates: only the inputs that vary count."""
    failing = errors(Resonant(), sampled) > trust.tolerance
    assert failing.any() and (trust.verdict(sampled[failing]) != "certified").all()
    assert trust.falsified_volume > 0


def test_a_planted_failure_in_a_corner_is_found_and_not_certified(trust, sampled):
    wrong = Resonant(bump=0.5)
    spoilt = certify_box(PROBLEM, wrong, 0.1, seconds=60, box=BOX, order=ORDER, max_leaves=1500)
    assert (errors(wrong, sampled) <= spoilt.relative_upper_at(sampled)).all()
    corner = BOX.from_unit(np.array([[1.0, 1.0, 0.5, 0.5], [0.999, 0.999, 0.5, 0.5]]))
    assert (trust.verdict(corner) == "certified").all()
    assert not (spoilt.verdict(corner) == "certified").any()


def test_bounds_near_resonances_and_of_moving_sources(boxes):
    """Boxes from wide to tiny, on and beside the resonance, against many points of each; sharp where they are small."""
    rng = np.random.default_rng(0)
    places = [(RESONANCE + x - 15) / 10 for x in (-1.0, -1e-2, -1e-5, 0.0, 1e-4, 0.3)]
    for width in (0.05, 1e-3, 1e-6):
        low = np.array([[x, y, 0.2, 0.3] for x in places for y in (0.0, 1e-4, 0.1, 0.7)])
        high = low + np.array([width, width, 0.1, 0.1])
        upper = boxes(low, high).upper
        holds = (low[:, 0] * 10 + 15 <= RESONANCE) & (high[:, 0] * 10 + 15 >= RESONANCE) & (low[:, 1] == 0)
        assert np.isinf(upper[holds]).all()
        for a, b, bound in zip(low, high, upper, strict=True):
            if np.isfinite(bound):
                found = errors(Resonant(), BOX.from_unit(a + rng.random((20, 4)) * (b - a))).max()
                assert found <= bound
                assert width > 1e-6 or bound < 1.05 * found + 1e-6


def test_a_source_that_moves_is_enclosed(sampled):
    """All four inputs vary: two nodes along each."""
    box = PROBLEM.inputs.replace(lower=np.array([15.0, 0.05, 0.3, 0.4]), upper=np.array([16.0, 0.2, 0.35, 0.45]))
    upper = compiled_boxes(PROBLEM, Resonant(), box, 2)(np.zeros((1, 4)), np.full((1, 4), 0.2)).upper[0]
    P = box.from_unit(0.2 * np.random.default_rng(0).random((300, 4)))
    worst = errors(Resonant(), P).max()
    assert worst <= upper < 2 * worst


def test_the_data_are_norms_and_a_halved_one_is_caught(boxes):
    data = helmholtz_data(PROBLEM, Resonant().basis)
    c = np.random.default_rng(0).standard_normal(3)
    field = Resonant().basis @ c
    assert np.isclose(np.linalg.norm(data.pairs @ np.r_[c, 0 * c]), float(PROBLEM.norm(BOX.centre, field)), rtol=1e-13)
    low, high = np.array([[0.8, 0.8, 0, 0]]), np.array([[0.81, 0.81, 1, 1]])
    inside = BOX.from_unit(low + np.random.default_rng(1).random((100, 4)) * (high - low))
    found = errors(Resonant(), inside).max()
    right = boxes(low, high).upper
    assert found <= right < 1.3 * found
    for factor in (0.5, 2.0):  # of the surrogate's field: another error, which is not the true one
        other = boxes._given._replace(data=boxes._given.data._replace(pairs=factor * data.pairs))
        assert abs(boxes._bounds(low, high, other).upper[0] - right[0]) > 0.3


def test_a_map_is_guarded_by_and_every_leaf_proved_again(trust, sampled, tmp_path):
    path = tmp_path / "map.json"
    trust.save(path)
    P = sampled[trust.verdict(sampled) == "certified"][:20]
    answer = guard(PROBLEM, Resonant(), 0.1, trust=path)(P)
    assert (answer.route == "accepted").all()
    found = audit(path, PROBLEM, Resonant())
    numbers, _, _ = trust.leaves()
    assert found.proved == np.isfinite(trust.bound[numbers]).sum() > 100 and found.boxes < 20 * found.proved
    lie = np.where(np.isfinite(trust.bound), trust.bound / 10, trust.bound)
    unseen = {"witness": np.zeros((0, 4)), "witness_lower": np.zeros(0)}
    replace(trust, bound=lie, verdicts=np.where(lie <= trust.tolerance, 0, trust.verdicts), **unseen).save(path)
    with pytest.raises(Refuted, match="is proved, above its bound"):
        audit(path, PROBLEM, Resonant())
    with pytest.raises(ValueError, match="another problem"):
        guard(replace(PROBLEM, damping=(0.0, 0.3)), Resonant(), 0.1, trust=path)


def test_the_second_proof_proves_what_is_true_and_nothing_below_it(boxes):
    """Claims around the largest of many errors in a box; across an undamped resonance nothing can be claimed."""
    low, high = np.array([[0.1, 0.1, 0, 0], [0.44, 0.0, 0, 0]]), np.array([[0.3, 0.4, 1, 1], [0.447, 0.1, 1, 1]])
    inside = [low[i] + np.random.default_rng(i).random((200, 4)) * (high - low)[i] for i in (0, 1)]
    largest = np.array([errors(Resonant(), BOX.from_unit(X)).max() for X in inside])
    for share, holds in ((0.9, False), (1.1, True)):
        answers, _ = prove(*boxes.leaves(BOX, low, high, share * largest), 200)
        assert [answer == PROVED for answer in answers] == [holds, holds]
    across = np.array([[0.448, 0.0, 0, 0]]), np.array([[0.449, 0.1, 1, 1]])
    assert across[0][0, 0] * 10 + 15 < RESONANCE < across[1][0, 0] * 10 + 15
    assert prove(*boxes.leaves(BOX, *across, np.full(1, 100.0)), 100)[0] != [PROVED]


def test_logarithmic_inputs_are_refused():
    class Logarithmic(Helmholtz):
        @property
        def inputs(self):
            return super().inputs.replace(log=(True, False, False, False))

    other = Logarithmic(cells=8, width=0.15, k2=(15.0, 25.0))
    trust = certify_box(other, Resonant(), 0.1)
    assert np.isinf(trust.relative_upper) and "none logarithmic" in trust.notes[0]
