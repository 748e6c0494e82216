"""The guard with a trust map: leaves' bounds are taken over, and nobody gets past who is not what the map is about."""

import contextlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.benchmarks.soundness import guard_map
from assay.benchmarks.soundness.faulty import Quadratic
from assay.benchmarks.soundness.true_error import TrueError
from assay.solvers import Box, ThermalBlock, affine
from assay.solvers.problem import is_traced
from assay.verify.answers import fingerprint
from assay.verify.answers.frozen import Frozen
from assay.verify.audit import audit
from assay.verify.boxes.trust_map import TrustMap
from assay.verify.certificate import against
from assay.verify.guard import guard
from assay.verify.proofs.proof import TRACED
from assay.verify.proofs.prover import proof_of

PROBLEM = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5)
P = PROBLEM.inputs.sample(60, seed=2)


@pytest.fixture(scope="module")
def true():
    measured = TrueError(PROBLEM)
    U, norms = measured.truths(P)
    return lambda fields: measured(P, U, norms, fields).low / norms.high


@pytest.fixture(scope="module")
def largest(true):
    return float(true(Quadratic(PROBLEM)(P)).max())


@pytest.fixture(scope="module")
def honest(largest):
    return guard(PROBLEM, Quadratic(PROBLEM), 2 * largest, make_map(largest))(P)


def make_map(largest, surrogate=None, **changes):
    """Halved along k00; the lower half is said to be certified, of the upper half's upper half nothing is known."""
    about = {
        "box": PROBLEM.inputs,
        "tolerance": 2 * largest,
        "axis": np.array([0, -1, 0, -1, -1]),
        "children": np.array([[1, 2], [-1, -1], [3, 4], [-1, -1], [-1, -1]]),
        "bound": np.array([np.inf, 1.5 * largest, np.inf, 3 * largest, np.inf]),
        "verdicts": np.array([2, 0, 2, 2, 2]),
        "witness": np.zeros((0, 2)),
        "witness_lower": np.zeros(0),
        "seconds": 1.0,
        "evaluated": 5,
        "problem_name": PROBLEM.name,
        "problem_settings": PROBLEM.settings,
        "against": against(PROBLEM),
        "assumptions": proof_of(PROBLEM).box_assumptions[0],
        "problem_hash": proof_of(PROBLEM).problem_hash(),
        "model_hash": Frozen(surrogate or Quadratic(PROBLEM), 2).hash,
    }
    return TrustMap(**{**about, **changes})


def test_leaves_within_the_tolerance_are_accepted_with_their_bound(largest, true, honest):
    surrogate, answer = Quadratic(PROBLEM), honest
    by_map = PROBLEM.inputs.to_unit(P)[:, 0] < 0.5
    assert 20 < by_map.sum() < 40 and (answer.route[by_map] == "accepted").all()
    certificate = answer.certificate
    np.testing.assert_array_equal(certificate.relative_upper[by_map], 1.5 * largest)
    assert (certificate.relative_lower[by_map] == 0).all() and (certificate.lower[by_map] == 0).all()
    assert np.isinf(certificate.upper[by_map]).all() and np.isfinite(certificate.upper[~by_map]).all()
    assert TRACED in certificate.assumptions and "trust map" in certificate.assumptions[-1]
    assert any(f"{by_map.sum()} answers have their bound from the trust map" in note for note in answer.notes)
    np.testing.assert_allclose(answer.u[by_map], surrogate(P[by_map]), rtol=1e-12, atol=1e-15)
    assert (true(answer.u) <= answer.relative_upper).all() and (answer.relative_upper <= 2 * largest).all()


@pytest.mark.parametrize(("tolerance", "leaves"), [(1.4, 0.0), (1.5, 0.5), (3.0, 0.75)])
def test_a_leaf_counts_by_its_bound_not_by_its_verdict(largest, tolerance, leaves):
    answer = guard(PROBLEM, Quadratic(PROBLEM), tolerance * largest, make_map(largest))(P)
    by_map = np.isinf(answer.certificate.upper)
    np.testing.assert_array_equal(by_map, PROBLEM.inputs.to_unit(P)[:, 0] < leaves)


LIES = [
    ({"bound": np.array([np.inf, -np.inf, np.inf, np.inf, np.inf])}, "must be at least 0, or infinite, not -inf"),
    ({"bound": np.array([np.inf, np.inf, np.inf, np.nan, np.inf]), "verdicts": np.full(5, 2)}, "not nan"),
    ({"bound": np.array([np.inf, 0.0, np.inf, -1e-300, np.inf])}, "not -1e-300"),
    ({"axis": np.array([0.0, -1.0, 0.0, -1.0, -1.0])}, "'axis' must be whole numbers"),
    ({"against": "against the PDE"}, "its bounds are 'against the discrete solution on this grid"),
    ({"assumptions": ("the weather holds",)}, "its assumptions"),
    ({"assumptions": proof_of(PROBLEM).box_assumptions[0][1:]}, "its assumptions"),
    ({"problem_name": "elasticity"}, "it is about elasticity"),
    ({"problem_settings": {**PROBLEM.settings, "cells": 64}}, "these settings differ: cells"),
    ({"box": PROBLEM.inputs.replace(units=("W/(m K)", ""))}, "units or laws"),
    ({"box": PROBLEM.inputs.replace(laws=("uniform", "normal"))}, "units or laws"),
    ({"box": PROBLEM.inputs.replace(upper=np.array([100.0, 1.0]))}, "not inside the box"),
    ({"tolerance": np.nan}, "the tolerance must be positive"),
]


class Turncoat:
    """A ``Quadratic`` until ``turn``."""

    KINDS = ("weights", "basis", "honest when traced", "by the batch", "moody", "replaced", "NaN")

    def __init__(self, kind):
        self.own = Quadratic(PROBLEM)
        self.kind, self.basis, self.turned, self.calls = kind, self.own.basis, False, 0

    def coefficients(self, P):
        self.calls += 1
        c = self.own.coefficients(P)
        if not self.turned:
            return c
        if self.kind == "honest when traced":
            return c if is_traced(P) else 9 * c
        if self.kind in ("by the batch", "moody"):
            return 9 * c if (len(P) > 1 if self.kind == "by the batch" else self.calls % 2) else c
        return c * np.nan if self.kind == "NaN" else 9 * c if self.kind == "replaced" else c

    def turn(self):
        self.turned = True
        if self.kind == "weights":
            self.own.weights *= 9
        elif self.kind == "basis":
            self.basis *= 9

    def __call__(self, P):
        return np.asarray(self.coefficients(P)) @ self.basis.T


@pytest.mark.parametrize("kind", Turncoat.KINDS)
def test_a_surrogate_that_turns_afterwards_is_not_heard(kind, largest, true, honest):
    turncoat = Turncoat(kind)
    guarded = guard(PROBLEM, turncoat, 2 * largest, make_map(largest))
    turncoat.turn()
    for rows in (slice(0, 60), slice(0, 1), slice(0, 17)):
        answer = guarded(P[rows])
        np.testing.assert_allclose(answer.u, honest.u[rows], rtol=1e-12, atol=1e-15)
        assert (true_at(true, answer.u, rows) <= answer.relative_upper).all()
        assert (answer.route == honest.route[rows]).all()


def true_at(true, fields, rows):
    full = np.zeros((len(P), PROBLEM.size))
    full[rows] = fields
    return true(full)[rows]


@pytest.mark.parametrize("kind", ["weights", "basis", "replaced"])
def test_one_that_turned_before_is_refused(kind, largest):
    turncoat = Turncoat(kind)
    turncoat.turn()
    with pytest.raises(ValueError, match="another surrogate: its weights, basis or program differ"):
        guard(PROBLEM, turncoat, 2 * largest, make_map(largest))


def test_a_map_changed_after_the_guard_was_made_changes_nothing(largest):
    trust = make_map(largest)
    guarded = guard(PROBLEM, Quadratic(PROBLEM), 2 * largest, trust)
    before = guarded(P).relative_upper
    trust.bound[:], trust.axis[0] = 0.0, 1
    np.testing.assert_array_equal(guarded(P).relative_upper, before)


def test_what_is_not_finite_is_solved_whatever_the_map_says(largest):
    spoilt = Quadratic(PROBLEM, lambda P, c: jnp.where(jnp.asarray(P)[:, :1] < 0.6, jnp.nan, c))
    answer = guard(PROBLEM, spoilt, 2 * largest, make_map(largest, spoilt))(P)
    assert (answer.route[P[:, 0] < 0.6] == "solved").all() and np.isfinite(answer.u).all()
    assert any("NaN" in note for note in answer.notes)


def test_a_part_of_the_box_says_nothing_about_the_rest(largest):
    part = PROBLEM.inputs.replace(lower=np.array([1.0, 1.0]))
    answer = guard(PROBLEM, Quadratic(PROBLEM), 2 * largest, make_map(largest, box=part))(P)
    by_map = np.isinf(answer.certificate.upper)
    assert by_map.any() and part.contains(P[by_map]).all()


def test_files_are_read_and_those_that_do_not_fit_are_refused(largest, honest, tmp_path):
    path, tolerance = tmp_path / "trust-map.json", 2 * largest
    trust = make_map(largest)
    trust.save(path)
    np.testing.assert_array_equal(guard(PROBLEM, Quadratic(PROBLEM), tolerance, path)(P).u, honest.u)
    other = Quadratic(PROBLEM)
    other.weights = other.weights.copy()
    other.weights[0, 0] = np.nextafter(other.weights[0, 0], 1)
    wider = ThermalBlock((2, 1), 8, low=0.3, high=10**0.5)
    refused = [
        (PROBLEM, other, path, "another surrogate"),
        (PROBLEM, lambda Q: Quadratic(PROBLEM)(Q), path, "with which this surrogate does not answer"),
        (wider, other, path, "trust-map.json is a proof about another problem .* settings differ: low"),
        (PROBLEM, other, tmp_path / "none.json", "could not be read"),
        (PROBLEM, other, 3.0, "not a trust map"),
        (PROBLEM, other, make_map(largest, bound=np.full(5, np.inf), verdicts=np.full(5, 2)), "proves nothing"),
        (PROBLEM, other, make_map(largest, bound=np.full(5, 9.0)), "above the tolerance"),
        *((PROBLEM, other, make_map(largest, **change), message) for change, message in LIES),
    ]
    for problem, surrogate, given, message in refused:
        with pytest.raises(ValueError, match=message):
            guard(problem, surrogate, tolerance, given)
    path.write_text(path.read_text().replace('"tolerance":', '"tolerance": ', 1))
    with pytest.raises(ValueError, match="changed after it was written"):
        guard(PROBLEM, Quadratic(PROBLEM), tolerance, path)


def digest(function):
    return fingerprint.of_program(fingerprint.trace(function, 2))


W = np.arange(1.0, 5.0).reshape(2, 2)


def test_programs_are_told_apart_by_all_that_changes_their_values():
    """Operations alone do not tell: powers, wiring, order of axes and constants inside calls do."""

    def inner(matrix):
        return jax.jit(lambda x: jnp.tanh(x @ matrix))

    programs = [
        lambda p: p**2,
        lambda p: p**3,
        lambda p: p[0] - p[1],
        lambda p: p[1] - p[0],
        lambda p: jnp.outer(p, p * p),
        lambda p: jnp.outer(p, p * p).T,
        inner(W),
        inner(2 * W),
        inner(W.reshape(4, 1)[:2]),
        lambda p: jax.lax.fori_loop(0, 2, lambda i, x: x * p[0], p),
        lambda p: jax.lax.fori_loop(0, 3, lambda i, x: x * p[0], p),
    ]
    assert len({digest(f) for f in programs}) == len(programs)
    assert digest(inner(W)) == digest(inner(W.copy()))


@pytest.mark.parametrize("kind", ["side effects", "calls back"])
def test_what_is_not_one_program_is_refused(kind):
    def function(p):
        if kind == "side effects":
            jax.debug.print("{}", p)
            return p
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((2,), np.float64), p)

    with pytest.raises(ValueError, match=f"{kind}.* not one program"):
        digest(function)


def test_weights_of_a_problem_are_compared_as_programs():
    """They agree at every input with k < 1.9."""

    def bar(beyond):
        box = Box(("a", "b"), np.ones(2), np.full(2, 2.0))
        return affine([2 * np.eye(3), np.eye(3)], lambda p: jnp.where(p > 1.9, beyond * p, p), np.ones(3), box)

    assert proof_of(bar(1.0)).problem_hash() == proof_of(bar(1.0)).problem_hash() != proof_of(bar(2.0)).problem_hash()


def test_an_audit_refuses_a_surrogate_of_another_basis(largest, tmp_path):
    path, other = tmp_path / "trust-map.json", Quadratic(PROBLEM)
    make_map(largest).save(path)
    other.basis = 1.5 * other.basis
    with pytest.raises(ValueError, match="another surrogate"):
        audit(path, PROBLEM, other)


@pytest.mark.parametrize("honest", [False, True])
def test_the_benchmark_counts_what_a_lying_map_lets_out(largest, honest):
    """A map is believed: one that says less than the error is seen by the count, an honest one lets nothing out."""
    claimed = largest * (2.0 if honest else 0.1)
    whole = {"axis": np.array([-1]), "children": np.array([[-1, -1]]), "verdicts": np.array([0])}
    trust = make_map(largest, **whole, bound=np.array([claimed]), tolerance=claimed)
    row = guard_map.counted(TrueError(PROBLEM), "all", guard(PROBLEM, Quadratic(PROBLEM), claimed, trust), P)
    assert row["by the map"] == row["queries"] == len(P)
    assert (row["escapes"] == 0) == (row["above own bound"] == 0) == honest


class Liar:
    """Its basis is another one at the n-th reading."""

    def __init__(self, n):
        self.own, self.n, self.read, self.asked = Quadratic(PROBLEM), n, 0, 0

    @property
    def basis(self):
        self.read += 1
        return self.own.basis * (9 if self.read == self.n else 1)

    @property
    def coefficients(self):
        self.asked += 1
        return self.own.coefficients

    def __call__(self, P):
        return self.own(P)


@pytest.mark.parametrize("n", range(1, 6))
def test_everything_is_read_once(n, largest, true, honest, tmp_path):
    liar, trust = Liar(n), make_map(largest)
    if n == 1:
        with pytest.raises(ValueError, match="another surrogate|with which this surrogate does not answer"):
            guard(PROBLEM, liar, 2 * largest, trust)
    else:
        answer = guard(PROBLEM, liar, 2 * largest, trust)(P)
        assert (true(answer.u) <= 2 * largest).all() and (answer.u == honest.u).all()
    assert liar.read == liar.asked == 1
    make_map(largest).save(tmp_path / "map.json")
    liar = Liar(n)
    if n == 1:
        with pytest.raises(ValueError, match="another surrogate"):
            audit(tmp_path / "map.json", PROBLEM, liar, sample=1)
    else:
        with contextlib.suppress(ValueError):  # what it says of the made-up bounds is its own matter
            audit(tmp_path / "map.json", PROBLEM, liar, sample=1, boxes=1)
    assert liar.read == liar.asked == 1


class Plain(Quadratic):
    """One that can be sent to another process."""

    def __init__(self, problem):
        super().__init__(problem)
        del self.spoil

    def coefficients(self, P):
        return self.terms(P) @ self.weights


def test_a_guard_with_a_map_comes_back_from_pickle_with_the_same_bits(largest):
    guarded = guard(PROBLEM, Plain(PROBLEM), 2 * largest, make_map(largest, Plain(PROBLEM)))
    after = pickle.loads(pickle.dumps(guarded))
    one, other = guarded(P), after(P)
    assert (one.u == other.u).all() and (one.route == other.route).all()
    assert (one.relative_upper == other.relative_upper).all() and one.counts["accepted"] > 0
    assert "trust='the trust map'" in repr(after)
