"""Box proofs for Bratu's problem, lower branch: every bound holds at sampled points, nothing is certified beyond the
fold, and what approximates the solution is as near to it as is said.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_truth import compiled_boxes, true_errors

from assay.solvers.problems.bratu import Bratu
from assay.verify.audit import Refuted, audit
from assay.verify.boxes.box_bound import unit_to_inputs
from assay.verify.boxes.map_file import load_trust_map
from assay.verify.boxes.solutions.bratu_comparison import approximant
from assay.verify.boxes.solutions.bratu_place import Place
from assay.verify.certify_box import certify_box
from assay.verify.enclose import ball as balls
from assay.verify.guard import guard
from assay.verify.recheck.halving import PROVED, prove

PROBLEM = Bratu(cells=8, lam=(0.5, 9.0), anisotropy=(0.8, 1.25))  # the fold lies at 6.8
ORDER = 3


class Rational:
    """Three modes; coefficients are lambda times a polynomial, which fits them to a few percent for lambda < 6.

    ``bump`` [1]: by which share they are too large in the corner of small lambda and small anisotropy. A weight: what
    is compiled of one serves all.
    """

    def __init__(self, bump=0.0):
        self.bump = np.array([bump])
        box = PROBLEM.inputs.replace(upper=np.array([6.0, 1.25]))
        P = box.from_unit(np.random.default_rng(1).random((40, 2)))
        U = np.asarray(PROBLEM.solve_batch(P))
        self.basis = np.linalg.svd(U.T, full_matrices=False)[0][:, :3] * PROBLEM.free[:, None]
        self.weights = np.linalg.lstsq(np.asarray(self.terms(P)), U @ self.basis, rcond=None)[0]

    @staticmethod
    def terms(P):
        x, y = jnp.asarray(P)[:, 0] / 6, jnp.log(jnp.asarray(P)[:, 1])
        return jnp.stack([x, x**2, x**3, x**4, x * y, x * y**2], axis=1)

    def coefficients(self, P):
        far = ((jnp.asarray(P)[:, 0] - 0.5) / 0.4) ** 2 + (jnp.log(jnp.asarray(P)[:, 1] / 0.8) / 0.05) ** 2
        return (self.terms(P) @ self.weights) * (1 + self.bump * jnp.exp(-far)[:, None])

    def __call__(self, P):
        return np.asarray(self.coefficients(P)) @ self.basis.T


def errors(surrogate, P):
    return true_errors(PROBLEM, surrogate, P)


@pytest.fixture(scope="module")
def sampled():
    """Inputs below the fold, corners of that part among them."""
    box = PROBLEM.inputs.replace(upper=np.array([6.7, 1.25]))
    corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    return box.from_unit(np.concatenate([np.random.default_rng(3).random((800, 2)), corners]))


@pytest.fixture(scope="module")
def trust():
    return certify_box(PROBLEM, Rational(), 0.05, seconds=60, order=ORDER, max_leaves=600)


@pytest.fixture(scope="module")
def boxes():
    return compiled_boxes(PROBLEM, Rational(), PROBLEM.inputs, ORDER)


def test_every_leafs_bound_holds_and_nothing_is_certified_beyond_the_fold(trust, sampled):
    found, upper = errors(Rational(), sampled), trust.relative_upper_at(sampled)
    assert (found <= upper).all()
    assert trust.certified_volume > 0.3
    beyond = PROBLEM.inputs.from_unit(np.random.default_rng(4).random((400, 2)))
    beyond = beyond[beyond[:, 0] > max(PROBLEM.fold(a) for a in (0.8, 1.25))]
    assert len(beyond) > 40 and np.isinf(trust.relative_upper_at(beyond)).all()
    assert (trust.verdict(beyond) == "undecided").all()
    assert any("beyond the fold" in note for note in trust.notes)


def test_a_planted_failure_in_a_corner_is_found_and_not_certified(trust, sampled):
    wrong = Rational(bump=0.2)
    spoilt = certify_box(PROBLEM, wrong, 0.05, seconds=60, order=ORDER, max_leaves=600, width=1 / 32)
    found = errors(wrong, sampled)
    assert (found <= spoilt.relative_upper_at(sampled)).all()
    corner = PROBLEM.inputs.from_unit(np.array([[1e-3, 1e-3], [0.0, 0.0]]))
    assert (trust.verdict(corner) == "certified").all() or errors(Rational(), corner).max() > 0.05
    assert not (spoilt.verdict(corner) == "certified").any()
    assert spoilt.relative_lower > 0.12


@pytest.mark.parametrize("place", [(0.05, 0.1, 0.2, 0.9), (0.5, 0.3, 0.06, 0.2), (0.65, 0.6, 0.03, 0.05)])
def test_the_solution_lies_within_the_radius_of_the_approximant(boxes, place):
    """Dense: solutions at many inputs of a box against the polynomial through the nodes."""
    low, width = np.array(place[:2]), np.array(place[2:])
    given = jax.tree.map(jnp.asarray, boxes._given)
    box = balls.from_bounds(low, low + width)
    orders = (5, 5)

    @jax.jit
    def found():
        v = approximant(Place(PROBLEM, orders, unit_to_inputs((False, True), given.ends), box, given))
        return v.fields, v.radius, v.known

    fields, radius, known = found()
    assert known and radius < 1e-2
    t = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    nodes = np.cos((2 * np.arange(5) + 1) * np.pi / 10)
    lagrange = [np.linalg.solve(np.vander(nodes).T, np.vander(t[:, a], 5).T).T for a in (0, 1)]
    v = np.einsum("ni,nj,ijxy->nxy", *lagrange, np.asarray(fields).reshape(5, 5, 7, 7))
    P = PROBLEM.inputs.from_unit(low + width * (t + 1) / 2)
    U = np.asarray(PROBLEM.solve_batch(P, 1e-14))[:, PROBLEM.free]
    apart = [float(PROBLEM.norm(p, np.pad(u.reshape(7, 7) - x, 1).ravel())) for p, u, x in zip(P, U, v, strict=True)]
    assert max(apart) <= radius + 1e-12
    assert max(apart) > 1e-3 * radius  # and not far below it


def test_the_factors_are_norms(boxes):
    """||[Z V] y|| in the norm of any anisotropy; the rest of the data are lengths of the same fields."""
    data, p = boxes._given.data, np.array([3.0, 1.2])
    r = data.space.shape[1]
    fields = np.zeros((PROBLEM.size, r + 3))
    fields[PROBLEM.free, :r], fields[:, r:] = data.space, Rational().basis
    y = np.random.default_rng(0).standard_normal(r + 3)
    weighted = [w * np.sum((R @ y) ** 2) for w, R in zip((1.2, 1 / 1.2), data.factors, strict=True)]
    assert np.isclose(np.sqrt(sum(weighted)), float(PROBLEM.norm(p, fields @ y)), rtol=1e-12)
    assert np.allclose(data.lengths, np.linalg.norm(fields, axis=0), rtol=1e-12)
    assert (data.defects < 1e-11).all() and 0 < data.orthogonality < 1e-11


def test_any_space_gives_valid_bounds_and_halved_factors_are_caught(boxes, sampled):
    low, high = np.array([[0.1, 0.2], [0.5, 0.5]]), np.array([[0.13, 0.3], [0.52, 0.55]])
    inside = [low[i] + np.random.default_rng(i).random((100, 2)) * (high - low)[i] for i in (0, 1)]
    found = np.array([errors(Rational(), PROBLEM.inputs.from_unit(X)).max() for X in inside])
    right = boxes(low, high).upper
    assert (found <= right).all() and (right < 1.5 * found).all()
    data = boxes._given.data
    r = data.space.shape[1]
    rough = np.linalg.qr(np.random.default_rng(0).standard_normal(data.space.shape))[0]
    other = boxes._bounds(low, high, boxes._given._replace(data=data._replace(space=rough))).upper
    assert (found <= other).all()
    factors = data.factors.copy()
    factors[:, :, r:] *= 0.5
    spoilt = boxes._bounds(low, high, boxes._given._replace(data=data._replace(factors=factors))).upper
    assert (spoilt != right).all()
    halved = boxes._bounds(low, high, boxes._given._replace(data=data._replace(factors=data.factors * 0.5))).upper
    assert np.allclose(halved, right, rtol=1e-2)  # both norms halved: the quotient has no scale of its own


def test_factors_that_are_off_are_charged_in_full(boxes):
    """(1 + o) of the error over (1 - o) of the solution at least, and nothing where o leaves nothing of it."""
    low, high = np.array([[0.5, 0.5]]), np.array([[0.52, 0.55]])
    right = boxes(low, high).upper[0]

    def off(o):
        data = boxes._given.data._replace(orthogonality=np.float64(o))
        return boxes._bounds(low, high, boxes._given._replace(data=data)).upper[0]

    assert right * 1.2 / 0.8 <= off(0.2) < np.inf
    assert off(0.9) >= right * 1.9 / 0.1 and off(1.0) == np.inf


def test_a_map_is_saved_guarded_by_and_refused_for_another_problem(trust, tmp_path):
    path = tmp_path / "map.json"
    trust.save(path)
    assert load_trust_map(path).relative_upper_at(np.array([[1.0, 1.0]])) == trust.relative_upper_at(
        np.array([[1.0, 1.0]])
    )
    P = PROBLEM.inputs.from_unit(np.random.default_rng(0).random((60, 2)) * [0.6, 1])
    P = P[trust.verdict(P) == "certified"][:20]
    answer = guard(PROBLEM, Rational(), 0.05, trust=path)(P)
    assert (answer.route == "accepted").all()
    assert np.array_equal(answer.relative_upper, trust.relative_upper_at(P))
    with pytest.raises(ValueError, match="another problem"):
        guard(Bratu(cells=8, lam=(0.5, 9.0), anisotropy=(0.8, 1.2)), Rational(), 0.05, trust=path)


def test_every_leaf_is_proved_again_and_a_lie_is_refuted(trust, tmp_path):
    trust.save(tmp_path / "map.json")
    numbers, _, _ = trust.leaves()
    found = audit(tmp_path / "map.json", PROBLEM, Rational())
    assert found.proved == np.isfinite(trust.bound[numbers]).sum() > 50 and found.boxes < 20 * found.proved
    lie = np.where(np.isfinite(trust.bound), trust.bound / 10, trust.bound)
    unseen = {"witness": np.zeros((0, 2)), "witness_lower": np.zeros(0)}
    verdicts = np.where(lie <= trust.tolerance, 0, trust.verdicts)
    replace(trust, bound=lie, verdicts=verdicts, **unseen).save(tmp_path / "lie.json")
    with pytest.raises(Refuted, match="is proved, above its bound"):
        audit(tmp_path / "lie.json", PROBLEM, Rational())


def test_the_second_proof_proves_what_is_true_and_nothing_below_it(boxes):
    """Claims around the largest of many errors in a box; beyond the fold nothing can be claimed."""
    low, high = np.array([[0.3, 0.3], [0.6, 0.1]]), np.array([[0.4, 0.5], [0.65, 0.2]])
    inside = [low[i] + np.random.default_rng(i).random((200, 2)) * (high - low)[i] for i in (0, 1)]
    largest = np.array([errors(Rational(), PROBLEM.inputs.from_unit(X)).max() for X in inside])
    for share, holds in ((0.97, False), (1.05, True)):
        answers, _ = prove(*boxes.leaves(PROBLEM.inputs, low, high, share * largest), 100)
        assert [answer == PROVED for answer in answers] == [holds, holds]
    answers, _ = prove(*boxes.leaves(PROBLEM.inputs, np.array([[0.8, 0.4]]), np.array([[0.81, 0.45]]), np.ones(1)), 30)
    assert answers != [PROVED]


def test_the_line_is_bounded_too(tmp_path):
    line = Bratu(dimension=1, cells=16, lam=(0.5, 3.0))
    P = np.linspace(0.5, 3.0, 40)[:, None]
    U = np.asarray(line.solve_batch(P))
    basis = np.linalg.svd(U.T, full_matrices=False)[0][:, :2] * line.free[:, None]
    weights = np.linalg.lstsq(np.concatenate([P, P**2, P**3], axis=1), U @ basis, rcond=None)[0]

    class Cubic:
        def __init__(self):
            self.basis = basis

        def coefficients(self, P):
            return jnp.concatenate([P, P**2, P**3], axis=1) @ weights

        def __call__(self, P):
            return np.asarray(self.coefficients(P)) @ basis.T

    trust = certify_box(line, Cubic(), 10.0, seconds=30, order=4, ratio=1.05)
    assert (true_errors(line, Cubic(), P) <= trust.relative_upper_at(P)).all()
    assert trust.relative_upper <= 1.05 * trust.relative_lower
    trust.save(tmp_path / "map.json")
    assert audit(tmp_path / "map.json", line, Cubic()).proved == trust.boxes
