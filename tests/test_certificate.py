"""``certify``: what is done to a field before anything is proved, and what makes the bound infinite."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from assay.benchmarks.soundness.true_error import check
from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.verify.certify import certify
from assay.verify.evidence import Evidence


@pytest.fixture(scope="module")
def case(small, true_error):
    P = small.inputs.sample(5, seed=3)
    U, norms = true_error.truths(P)
    return P, U, norms


def test_a_certificate_says_what_it_is(small, case):
    P, U, _ = case
    c = certify(small, 1.01 * U, P)
    assert len(c) == 5 and c.evidence is Evidence.PROVED
    assert c.against.startswith("against the discrete solution on this grid")
    assert "energy" in c.norm and len(c.assumptions) == 6 and c.notes == ()
    np.testing.assert_allclose(c.relative_upper, 0.01 / np.sqrt(1.0), rtol=1e-2)
    assert (c.floor < 1e-6 * c.upper).all()
    assert c.cost["reference_solves"] == 5


def test_the_truth_is_certified_to_rounding(small, case):
    P, U, norms = case
    assert (certify(small, U, P).upper < 1e-9 * norms.value).all()


def test_boundary_values_are_overwritten_and_reported(small, case, true_error):
    P, U, norms = case
    fields = 1.01 * U
    clean = certify(small, fields, P)
    fields[1, 0] = -0.25  # a corner of the square, prescribed to be zero
    fields[3, 4] = 1e5
    c = certify(small, fields, P)
    np.testing.assert_array_equal(c.overwritten, [0, 0.25, 0, 1e5, 0])
    np.testing.assert_allclose(c.upper, clean.upper, rtol=1e-12)
    assert check(c, true_error(P, U, norms, 1.01 * U), norms).violations == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("node", [0, 40])  # a corner of the boundary, the centre
def test_one_value_that_is_not_finite_makes_the_bound_infinite(small, case, value, node):
    P, U, _ = case
    fields = U.copy()
    fields[2, node] = value
    for c in (certify(small, fields, P), certify(small, lambda P: fields[: len(P)], P)):
        assert np.isinf(c.upper[2]) and np.isinf(c.relative_upper[2]) and np.isinf(c.square_upper[2])
        assert c.lower[2] == 0 and c.relative_lower[2] == 0
        assert np.isfinite(np.delete(c.upper, 2)).all()
        assert any("NaN or infinite" in note for note in c.notes)


def test_outside_the_box_nothing_is_proved(small, case):
    P, U, _ = case
    P = P.copy()
    P[0, 1] = 10.5
    c = certify(small, U, P)
    assert np.isinf(c.upper[0]) and c.lower[0] == 0 and np.isfinite(c.upper[1:]).all()
    assert any("outside the problem's box" in note for note in c.notes)


def test_a_field_too_large_to_square_proves_nothing(small, case):
    P, U, _ = case
    c = certify(small, 1e200 * U, P)
    assert np.isinf(c.upper).all() and (c.lower == 0).all()


def _raises(P):
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("surrogate", "said"),
    [
        (_raises, "raised RuntimeError: no"),
        (lambda P: np.full((len(P), 81), np.nan), "NaN or infinite"),
    ],
)
def test_a_surrogate_that_fails_gets_an_infinite_bound_and_a_note(small, surrogate, said):
    c = certify(small, surrogate, small.inputs.sample(3))
    assert np.isinf(c.upper).all() and (c.lower == 0).all()
    assert any(part in " ".join(c.notes) for part in said.split("|"))


def test_other_arrays_are_converted(small, case):
    P, U, norms = case
    single = certify(small, lambda P: U[: len(P)].astype(np.float32), P)
    assert (single.upper < 1e-4 * norms.value).all() and (single.upper > 1e-8 * norms.value).all()
    as_list = certify(small, lambda P: U[: len(P)].tolist(), P)
    assert (as_list.upper < 1e-9 * norms.value).all()


def test_each_query_is_evaluated_once(small, case):
    P, U, _ = case
    seen = []

    def surrogate(P):
        seen.extend(map(tuple, P))
        return U[: len(P)]

    certify(small, surrogate, P)
    centre = tuple(small.inputs.from_unit(np.full(4, 0.5)))
    assert seen == [centre, centre, *map(tuple, P)]  # the first call is a trial


@pytest.mark.parametrize(
    ("P", "said"),
    [
        (np.ones(4), "shape"),
        (np.ones((2, 3)), "shape"),
        (np.array([[1.0, 1.0, np.nan, 1.0]]), "'k10'.*not a finite number"),
    ],
)
def test_wrong_inputs_are_refused(small, P, said):
    with pytest.raises(ValueError, match=said):
        certify(small, lambda P: np.zeros((len(P), 81)), P)


def test_fields_of_another_shape_are_refused(small, case):
    P, U, _ = case
    with pytest.raises(ValueError, match=r"\[5, 81\]"):
        certify(small, U[:3], P)


def test_without_float64_nothing_is_certified(small, case):
    P, U, _ = case
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RuntimeError, match="float64"):
            certify(small, U, P)
    finally:
        jax.config.update("jax_enable_x64", True)


def test_a_problem_without_a_theorem_gets_no_bound():
    problem = black_box(lambda p: p * np.ones(3), Box(("a",), np.array([1.0]), np.array([2.0])))
    c = certify(problem, lambda P: np.ones((len(P), 3)), np.array([[1.5]]))
    assert c.evidence is Evidence.NONE and np.isinf(c.upper).all() and (c.lower == 0).all()
    assert "no proved bound is known for black-box: search for the largest error with falsify" in c.notes[0]


def test_within_is_proved_with_an_absolute_part(small, case, true_error):
    P, U, norms = case
    fields = U * (1 + np.linspace(1e-3, 0.3, len(P)))[:, None]
    certificate, error = certify(small, fields, P), true_error(P, U, norms, fields)
    assert (certificate.within(1e-2) == (certificate.relative_upper <= 1e-2)).all()
    for tolerance, absolute in ((1e-2, 0.05 * float(np.median(norms.value))), (0.1, 1e-9), (1e-6, 0.02)):
        within = certificate.within(tolerance, absolute)
        allowed = absolute + tolerance * norms.high
        assert 0 < within.sum() < len(P) and (error.low <= allowed)[within].all()
        assert within[error.high <= 0.95 * (absolute + tolerance * norms.low)].all()  # and is not far from the best
    for wrong in ((0, 1.0), (1e-2, -1.0), (1e-2, np.nan), (np.nan, None), (np.inf, 1.0)):
        with pytest.raises(ValueError, match="must be positive"):
            certificate.within(*wrong)


def line(weights, load):
    """A chain of five springs, some of its data awry."""
    stiffness = sp.diags([-np.ones(4), 2 * np.ones(5), -np.ones(4)], [-1, 0, 1]).tocsr()
    return affine([stiffness, sp.identity(5).tocsr()], weights, load, Box(("a",), [-1.0], [3.0]))


@pytest.mark.parametrize(
    ("weights", "load", "p", "said"),
    [
        (lambda p: jnp.stack([p[0], 1 + 0 * p[0]]), np.ones(5), -0.5, "weight 0 is -0.5: the proof needs all"),
        (lambda p: jnp.stack([1 + p[0] * 1e40, 1 + 0 * p[0]]), np.ones(5), 2.0, "weights from 1 to 2e"),
        (lambda p: jnp.ones(2), lambda p: 1e-40 * (2 + p[0]) * jnp.ones(5), 2.0, "a load of size 4e-40 leaves"),
        (lambda p: jnp.ones(2), lambda p: p[0] * jnp.ones(5), 0.0, "the solution zero: no relative error is defined"),
    ],
)
def test_an_infinite_bound_has_its_reason(weights, load, p, said):
    problem = line(weights, load)
    certificate = certify(problem, np.ones((1, 5)), np.array([[p]]))
    assert np.isinf(certificate.relative_upper).all()
    assert any(said in note and f"a={p:.6g}" in note for note in certificate.notes)
    if "zero" in said:
        assert certificate.within(1e-2, 10.0).all() and not certificate.within(1e-2, 1e-3).any()


def test_the_distance_to_the_equation_is_worked_out_when_it_is_read_and_travels_as_words(small, monkeypatch):
    asked = []
    monkeypatch.setattr("assay.verify.certificate.against", lambda problem: asked.append(problem) or "words")
    found = certify(small, np.zeros((1, small.size)), small.inputs.centre[None])
    assert not asked
    assert pickle.loads(pickle.dumps(found)).against == found.against == "words" and len(asked) == 1
