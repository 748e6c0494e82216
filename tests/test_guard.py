"""The guard: whatever the surrogate does, an answer is within the tolerance, solved, or marked as failed."""

import pickle

import jax
import jax.monitoring
import numpy as np
import pytest

from assay.benchmarks.soundness.faulty import PodGalerkin
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.verify.certify import certify
from assay.verify.evidence import Evidence
from assay.verify.guard import ROUTES, guard

TOLERANCE = 1e-2


@pytest.fixture(scope="module")
def case(small, true_error):
    P = small.inputs.sample(24, seed=6)
    U, norms = true_error.truths(P)
    return P, U, norms


def lookup(P, U):
    """A surrogate that knows the answers at P."""
    known = {row.tobytes(): u for row, u in zip(P, U, strict=True)}
    return lambda Q: np.stack([known[row.tobytes()] for row in np.asarray(Q)])


def relative(true_error, case, fields):
    P, U, norms = case
    return true_error(P, U, norms, fields).value / norms.value


def _raise(P):
    raise RuntimeError("no")


def _nan_rows(P):
    u = np.zeros((len(P), 81))
    u[::2, 40] = np.nan
    return u


FAULTS = {
    "raises": _raise,
    "NaN in half of the rows": _nan_rows,
    "infinite": lambda P: np.full((len(P), 81), np.inf),
    "wrong shape": lambda P: np.zeros((len(P), 80)),
    "one row too many": lambda P: np.zeros((len(P) + 1, 81)),
    "zero": lambda P: np.zeros((len(P), 81)),
    "huge": lambda P: np.full((len(P), 81), 1e200),
    "random at every call": lambda P: np.random.default_rng().standard_normal((len(P), 81)),
    "None": lambda P: None,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_answer_never_gets_out(small, case, true_error, fault):
    P, U, norms = case
    faulty = FAULTS[fault]  # as a service becomes later: at the first call it is healthy
    calls = []

    def surrogate(P):
        calls.append(len(P))
        return faulty(P) if len(calls) > 1 else np.zeros((len(P), 81))

    answer = guard(small, surrogate, TOLERANCE)(P)
    assert (relative(true_error, case, answer.u) <= TOLERANCE).all()
    assert (answer.relative_upper <= TOLERANCE).all()
    assert "accepted" not in answer.route
    assert sum(answer.counts.values()) == len(P) and set(answer.counts) == set(ROUTES)
    if fault in ("raises", "NaN in half of the rows", "infinite", "wrong shape", "one row too many", "None"):
        assert answer.counts["solved"] >= len(P) // 2 and answer.notes


def test_good_answers_are_returned_as_they_are(small, case):
    P, U, _ = case
    fields = 1.001 * U
    answer = guard(small, lookup(P, fields), TOLERANCE)(P)
    assert (answer.route == "accepted").all()
    np.testing.assert_array_equal(answer.u, fields)
    assert answer.certificate.evidence is Evidence.PROVED


def test_answers_that_are_nearly_good_are_polished(small, case, true_error):
    P, U, _ = case
    rough = U * (1 + 0.05 * np.random.default_rng(0).standard_normal(U.shape))
    answer = guard(small, lookup(P, rough), TOLERANCE)(P)
    assert (answer.route == "polished").sum() > len(P) // 2
    error = relative(true_error, case, answer.u)
    assert (error <= answer.relative_upper + 1e-12).all() and (error <= TOLERANCE).all()


def test_boundary_values_are_put_right_in_the_answer(small, case):
    P, U, _ = case
    fields = U.copy()
    fields[:, 0] = 3.0
    answer = guard(small, lookup(P, fields), TOLERANCE)(P)
    assert (answer.u[:, ~small.free] == 0).all()
    assert (answer.certificate.overwritten == 3.0).all()


def test_single_precision_is_converted(small, case):
    P, U, _ = case
    answer = guard(small, lookup(P, U.astype(np.float32)), TOLERANCE)(P)
    assert (answer.route == "accepted").all() and answer.u.dtype == np.float64


def test_the_field_certified_is_the_field_returned(small, case, true_error):
    """A surrogate that answers differently at every call is asked once per query."""
    P, U, _ = case
    rng, asked = np.random.default_rng(0), []
    good = lookup(P, U)

    def moody(Q):
        asked.extend(row.tobytes() for row in Q)
        return good(Q) * (1 + rng.choice([1e-4, 0.5], size=(len(Q), 1)))

    answer = guard(small, moody, TOLERANCE)(P)
    centre = small.inputs.from_unit(np.full(4, 0.5)).tobytes()
    assert asked == [centre, centre, *(row.tobytes() for row in P)]  # the first call is a trial
    assert (relative(true_error, case, answer.u) <= answer.relative_upper + 1e-12).all()
    assert 0 < (answer.route == "accepted").sum() < len(P)


@pytest.fixture(scope="module")
def pod(small, small_pool):
    return PodGalerkin(small, 16, pool=small_pool)


class Spoilt:
    """A surrogate with a basis whose coefficients go wrong after it was built."""

    def __init__(self, honest):
        self.honest, self.basis, self.spoil, self.calls = honest, honest.basis, None, 0

    def coefficients(self, P):
        self.calls += 1
        c = self.honest.coefficients(P)
        return c if self.spoil is None else self.spoil(c)

    def __call__(self, P):
        return self.honest(P)


@pytest.fixture(scope="module")
def spoilt_guard(small, pod):
    surrogate = Spoilt(pod)
    guarded = guard(small, surrogate, 0.05)
    assert guarded.reduced is not None
    return surrogate, guarded


def _raise_coefficients(c):
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("spoil", "routes"),
    [
        (None, {"accepted"}),
        (lambda c: c.astype(np.float32), {"accepted"}),
        (lambda c: 1.5 * c, {"polished"}),
        (lambda c: 0 * c, {"polished"}),
        (lambda c: np.random.default_rng().standard_normal(c.shape), {"polished"}),
        (lambda c: np.where(np.arange(len(c))[:, None] % 2, np.nan, c), {"accepted", "solved"}),
        (lambda c: np.full_like(c, np.inf), {"solved"}),
        (lambda c: c[:, :3], {"solved"}),
        (lambda c: None, {"solved"}),
        (_raise_coefficients, {"solved"}),
    ],
)
def test_the_reduced_path_lets_nothing_wrong_out_either(case, true_error, spoilt_guard, spoil, routes):
    surrogate, guarded = spoilt_guard
    P, U, norms = case
    surrogate.spoil, surrogate.calls = spoil, 0
    answer = guarded(P)
    assert surrogate.calls == 1
    error = true_error(P, U, norms, answer.u)
    assert (error.value / norms.value <= 0.05).all()
    assert (error.low / norms.high <= answer.relative_upper).all()
    assert set(answer.route) <= {*routes, "polished", "solved"} and set(answer.route) & routes
    assert (answer.u[:, ~guarded.problem.free] == 0).all()


def test_a_basis_that_is_too_small_is_still_polished_by_cg(small, case, true_error, small_pool):
    poor = guard(small, PodGalerkin(small, 2, pool=small_pool), TOLERANCE)
    assert poor.reduced is not None
    answer = poor(case[0])
    assert answer.counts["polished"] > 0 and answer.counts["polished"] + answer.counts["solved"] == len(case[0])
    assert (relative(true_error, case, answer.u) <= TOLERANCE).all()


def test_both_paths_agree_on_what_is_accepted(small, case, pod):
    P, *_ = case
    tight = guard(small, pod, 1e-3)(P)
    by_fields = guard(small, lambda Q: pod(Q), 1e-3)(P)
    assert (tight.relative_upper <= 1e-3).all() and (by_fields.relative_upper <= 1e-3).all()
    both = (tight.route == "accepted") & (by_fields.route == "accepted")
    np.testing.assert_allclose(tight.u[both], by_fields.u[both], atol=1e-12)


def test_the_buffer_is_used_and_checked(small, case, spoilt_guard):
    P, *_ = case
    surrogate, guarded = spoilt_guard
    surrogate.spoil = None
    buffer = np.full((30, small.size), np.nan)
    answer = guarded(P, out=buffer)
    assert np.shares_memory(answer.u, buffer) and answer.u.shape == (len(P), small.size)
    np.testing.assert_array_equal(answer.u, guarded(P).u)
    assert np.isnan(buffer[len(P) :]).all()
    for wrong in (np.empty((3, small.size)), np.empty((30, 7)), np.empty((30, small.size), dtype=np.float32)):
        with pytest.raises(ValueError, match="float64 array of at least"):
            guarded(P, out=wrong)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_a_tolerance_must_be_positive(small, tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        guard(small, FAULTS["zero"], tolerance)


def test_inputs_outside_the_box_are_refused_by_row_and_name(small):
    guarded = guard(small, FAULTS["zero"], TOLERANCE)
    P = np.ones((3, 4))
    P[2, 1] = 11.0
    with pytest.raises(ValueError, match=r"row 2, input 'k01': 11 is outside \[0.1, 10\]"):
        guarded(P)
    with pytest.raises(ValueError, match="shape"):
        guarded(np.ones((3, 5)))


def test_without_float64_the_guard_refuses(small):
    guarded = guard(small, FAULTS["zero"], TOLERANCE)
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(RuntimeError, match="float64"):
            guarded(np.ones((1, 4)))
    finally:
        jax.config.update("jax_enable_x64", True)


def test_where_nothing_can_be_proved_everything_is_solved_and_failures_are_marked():
    def solver(p):
        if p[0] > 1.8:
            raise RuntimeError("diverged")
        return p * np.ones(3)

    problem = black_box(solver, Box(("a",), np.array([1.0]), np.array([2.0])))
    answer = guard(problem, lambda P: np.zeros((len(P), 3)), TOLERANCE)(np.array([[1.25], [1.9]]))
    assert answer.route.tolist() == ["solved", "failed"]
    np.testing.assert_array_equal(answer.u[0], 1.25)
    assert np.isnan(answer.u[1]).all() and np.isinf(answer.relative_upper).all()
    assert answer.certificate.evidence is Evidence.NONE
    assert any("the solver failed at 1 inputs" in note and "a=1.9" in note for note in answer.notes)
    assert any("RuntimeError: diverged" in note for note in answer.notes)
    assert any(
        "nothing was accepted without a solve, for no proved bound is known for black-box: search" in note
        for note in answer.notes
    )
    zeros = guard(problem, lambda P: np.zeros((len(P), 3)), TOLERANCE)
    assert repr(zeros) == "guard(black-box, tolerance=0.01: bounds by solving alone)"


class Mutating:
    """Writes to the inputs that it is handed, and answers for what it wrote."""

    def __init__(self, problem, basis):
        self.problem, self.basis = problem, basis

    def coefficients(self, P):
        P[:, 0] = 1.0
        U = np.asarray(self.problem.solve_batch(P))
        return np.linalg.lstsq(self.basis, U.T, rcond=None)[0].T

    def __call__(self, P):
        return self.coefficients(P) @ self.basis.T


@pytest.mark.parametrize("reduced", [False, True])
def test_a_surrogate_that_changes_its_inputs_deceives_nobody(small, case, true_error, reduced):
    """Both paths: fields, and coefficients in a basis. The caller's array stays as it was."""
    P, U, norms = case
    fair = PodGalerkin(small, 12)
    surrogate = Mutating(small, fair.basis)
    mine = P.copy()
    answer = guard(small, surrogate if reduced else surrogate.__call__, TOLERANCE)(mine)
    np.testing.assert_array_equal(mine, P)
    assert relative(true_error, case, answer.u).max() <= TOLERANCE
    certificate = certify(small, surrogate.__call__, mine)
    error = true_error(P, U, norms, certificate_fields(surrogate, P))
    assert (certificate.upper >= error.low).all() and (mine == P).all()


def certificate_fields(surrogate, P):
    return surrogate(P.copy())


def test_a_basis_changed_after_the_guard_was_made_changes_nothing(small, case, true_error):
    P, U, norms = case
    surrogate = PodGalerkin(small, 8)
    surrogate.basis = np.asfortranarray(surrogate.basis)
    guarded = guard(small, surrogate, TOLERANCE)
    surrogate.basis *= 1.5
    assert relative(true_error, case, guarded(P).u).max() <= TOLERANCE


@pytest.mark.parametrize("answer", [lambda U: U * (1 + 5j), lambda U: np.ma.masked_array(U, mask=U > 0.01)])
def test_complex_and_masked_answers_are_no_fields(small, case, answer):
    P, U, _ = case
    guarded = guard(small, lambda Q: answer(lookup(P, U)(Q)), TOLERANCE)(P)
    assert (guarded.route == "solved").all()
    assert any("complex" in note or "masked" in note for note in guarded.notes)
    with pytest.raises(ValueError, match="complex|masked"):
        certify(small, answer(U), P)


@pytest.mark.parametrize("scale", [1e-300, 1e100, 1e290])
def test_coefficients_whose_squares_leave_float64_prove_nothing(scale):
    """At such scales energies underflow, and a bound that is relative in its rounding would read zero."""
    problem = ThermalBlock((2, 2), 8, low=scale, high=10 * scale)
    P = problem.inputs.sample(4, seed=0)
    fields = np.asarray(problem.solve_batch(P)) * 1.001
    assert np.isinf(certify(problem, fields, P).upper).all()
    assert (guard(problem, lambda Q: fields[: len(Q)], 1e-2)(P).route != "accepted").all()


def test_large_and_small_units_are_as_good_as_others():
    for scale in (1e-12, 1e12):
        problem = ThermalBlock((2, 2), 8, low=scale, high=10 * scale)
        P = problem.inputs.sample(4, seed=0)
        certificate = certify(problem, np.asarray(problem.solve_batch(P)) * 1.001, P)
        np.testing.assert_allclose(certificate.relative_upper, 1e-3, rtol=1e-3)


@pytest.mark.parametrize("reduced", [True, False])
def test_an_absolute_part_is_proved_as_such(small, case, true_error, pod, reduced):
    """Three per cent off: accepted where that is below the absolute error, whatever the tolerance."""
    P, U, norms = case
    off = Spoilt(pod)
    absolute = 0.031 * float(np.median(norms.value))
    guarded = guard(small, off if reduced else lambda Q: 1.03 * pod(Q), 1e-6, absolute=absolute)
    off.spoil = lambda c: 1.03 * c
    assert (guarded.reduced is not None) == reduced
    answer = guarded(P)
    error = true_error(P, U, norms, answer.u)
    accepted = answer.route == "accepted"
    assert 0 < accepted.sum() < len(P) and (error.low <= absolute + 1e-6 * norms.high).all()
    assert (error.high[accepted] > 1e-2 * norms.low[accepted]).all()  # relative errors alone would not do
    scale = absolute / 1e-6
    assert (error.low / (scale + norms.high) <= answer.error_upper).all() and (answer.error_upper <= 1e-6).all()
    assert (answer.certificate.within(1e-6, absolute) == (answer.error_upper <= 1e-6)).all()
    assert repr(guarded).startswith("guard(thermal-block, tolerance=1e-06, absolute=")


COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


@pytest.mark.parametrize("reduced", [True, False])
def test_after_a_warm_up_nothing_is_compiled(small, case, pod, reduced):
    surrogate = Spoilt(pod)
    guarded = guard(small, surrogate if reduced else lambda Q: surrogate.coefficients(Q) @ pod.basis.T, TOLERANCE)
    guarded.warm_up()
    del COMPILED[:]
    P = small.inputs.sample(300, seed=9)
    routes = set()
    for factor in (1.0, 1.5):  # good, and to be polished
        surrogate.spoil = lambda c, factor=factor: factor * c
        for n in (1, 17, 50, 300):
            routes |= set(guarded(P[:n]).route)
    surrogate.spoil = lambda c: np.nan * c
    assert routes >= {"accepted", "polished"} and set(guarded(P[:50]).route) == {"solved"}
    assert not COMPILED


def test_a_surrogate_that_depends_on_its_batch_is_flagged(small, pod):
    def centred(Q):
        return pod(Q) * (1 + 1e-3 * (Q - Q.mean(axis=0)).sum(axis=1, keepdims=True))

    P = small.inputs.sample(3, seed=0)
    for surrogate, flagged in ((centred, True), (lambda Q: pod(Q), False)):
        guarded = guard(small, surrogate, TOLERANCE)
        guarded.warm_up()
        assert any("when others are asked at once" in note for note in guarded(P).notes) == flagged


@pytest.mark.parametrize("modes", [16, 2])
def test_a_guard_comes_back_from_pickle_with_the_same_bits(small, small_pool, case, modes):
    guarded = guard(small, PodGalerkin(small, modes, pool=small_pool), TOLERANCE, absolute=1e-9)
    before = guarded(case[0])
    after = pickle.loads(pickle.dumps(guarded))
    again = after(case[0])
    assert (again.u == before.u).all() and (again.route == before.route).all() and repr(after) == repr(guarded)
    assert (again.error_upper == before.error_upper).all() and again.notes == before.notes
    assert len(repr(guarded)) < 100
