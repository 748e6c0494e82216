"""The search: it finds planted faults within its budget, stays silent on the truth, and says what it is worth."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import beta

from assay.benchmarks.soundness.bump import bumped
from assay.benchmarks.soundness.faulty import PodGalerkin
from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.burgers import Burgers
from assay.solvers.snapshots.sample import sample
from assay.verify.evidence import Evidence
from assay.verify.falsify import falsify
from assay.verify.search.counterexample import replay
from assay.verify.search.peaks import find_peaks
from assay.verify.search.signal import BROKEN, Signal, make_signal


def truth(problem):
    return lambda P: np.asarray(problem.solve_batch(P))


def test_a_bump_is_found_within_twenty_solves(small):
    centre = np.array([0.31, 0.62, 0.55, 0.18])
    result = falsify(small, bumped(small, centre), 1e-2, budget=20, seed=0)
    assert result.verdict == "falsified" and result.solver_calls <= 20
    best = result.counterexamples[0]
    assert best.error == result.worst == pytest.approx(0.3, abs=0.02)
    assert np.linalg.norm(small.inputs.to_unit(best.inputs) - centre) < 0.02
    assert best.evidence is Evidence.PROVED and best.lower <= best.error <= best.upper
    assert replay(small, best).fails


def test_it_is_silent_on_the_truth(small):
    result = falsify(small, truth(small), 1e-2, budget=20, seed=0, starts=256)
    assert result.verdict == "not falsified" and result.counterexamples == []
    assert result.worst < 1e-9 and result.solver_calls <= 20
    assert result.failure_probability_upper == pytest.approx(beta.ppf(0.95, 1, result.draws))


def test_all_of_a_bad_surrogate_fails_and_the_draws_say_so(small):
    result = falsify(small, lambda P: 1.2 * truth(small)(P), 1e-2, budget=20, seed=1, starts=256)
    assert result.draws == result.draws_failed == 2
    assert result.failure_probability_upper == 1.0
    assert result.worst == pytest.approx(0.2, rel=1e-6)


def test_the_same_seed_finds_the_same(small, small_pool):
    surrogate = PodGalerkin(small, 4, pool=small_pool)
    one, two = (falsify(small, lambda P: surrogate(P), 1e-3, budget=8, seed=5, starts=64) for _ in range(2))
    assert one.worst == two.worst
    np.testing.assert_array_equal(one.worst_inputs, two.worst_inputs)
    assert len(one.counterexamples) == len(two.counterexamples) > 0


@pytest.fixture(scope="module")
def reduced_search(small, small_pool):
    surrogate = PodGalerkin(small, 3, pool=small_pool)
    return surrogate, falsify(small, surrogate, 1e-3, budget=12, seed=0, starts=256)


def test_counterexamples_are_distinct_sorted_and_within_budget(small, reduced_search):
    _, result = reduced_search
    errors = [c.error for c in result.counterexamples]
    assert errors == sorted(errors, reverse=True) and result.solver_calls <= 12
    X = small.inputs.to_unit(np.stack([c.inputs for c in result.counterexamples]))
    gaps = np.abs(X[:, None] - X[None]).max(-1) + np.eye(len(X))
    assert gaps.min() > 1e-2
    assert all(c.lower > 1e-3 for c in result.counterexamples)
    assert all(c.solver_calls <= 12 for c in result.counterexamples)


def test_the_climb_reaches_more_than_sampling_does(small, reduced_search, true_error):
    surrogate, result = reduced_search
    P = small.inputs.sample(256, seed=1)
    U, norms = true_error.truths(P)
    sampled = (true_error(P, U, norms, surrogate(P)).value / norms.value).max()
    assert result.worst >= sampled


@pytest.mark.parametrize("fault", ["NaN", "raises", "shape"])
def test_a_region_where_the_surrogate_breaks_down_is_found(small, small_pool, fault):
    pod = PodGalerkin(small, 16, pool=small_pool)

    def surrogate(P):
        """Accurate, and in numpy alone, for it is asked row by row: the weights are the inputs."""
        u = np.linalg.solve(np.tensordot(P, pod._stiffness, 1), pod._load.T)[:, :, 0] @ pod.basis.T
        bad = small.inputs.to_unit(P)[:, 0] > 0.95
        if fault == "NaN":
            u[bad, 40] = np.nan
        elif bad.any() and fault == "raises":
            raise RuntimeError("no")
        elif bad.any():
            return u[:, :5]
        return u

    result = falsify(small, surrogate, 1e-2, budget=10, seed=0, starts=128)
    assert result.verdict == "falsified" and result.worst == np.inf


def test_a_black_box_is_searched_by_its_true_error(small):
    box = Box(("a", "b"), np.zeros(2), np.ones(2))
    problem = black_box(lambda p: np.array([1.0, p[0], p[1]]), box)
    hit = falsify(problem, lambda P: np.column_stack([1 + (P[:, 0] > 0.7), P]), 1e-2, budget=20, seed=0)
    assert hit.signal == "none" and hit.verdict == "falsified" and hit.solver_calls <= 20
    assert hit.counterexamples[0].evidence is Evidence.OBSERVED
    assert any("the true error itself was climbed" in note for note in hit.notes)
    silent = falsify(problem, lambda P: np.column_stack([np.ones(len(P)), P]), 1e-2, budget=20, seed=0)
    assert silent.verdict == "not falsified" and silent.solver_calls == 20


def test_where_every_bound_is_infinite_the_true_error_is_climbed():
    """A load below 2^-100 is outside what is proved: nothing can be climbed but the true error."""
    A = sp.diags([np.full(4, 2.0), np.full(3, -1.0), np.full(3, -1.0)], [0, 1, -1])
    box = Box(("a",), np.array([1.0]), np.array([2.0]))
    problem = affine([A], None, np.full(4, 1e-40), box)

    at_one = np.linalg.solve(A.toarray(), np.full(4, 1e-40))

    def surrogate(P):
        return at_one / P * np.where(P > 1.9, 1.5, 1.0)

    result = falsify(problem, surrogate, 1e-2, budget=40, seed=0, starts=32)
    assert result.verdict == "falsified" and result.worst == pytest.approx(0.5)
    assert {c.evidence for c in result.counterexamples} == {Evidence.OBSERVED}
    assert any("no finite bound to climb" in note for note in result.notes)
    assert result.solver_calls == 40


UNIT = Box(("a",), np.zeros(1), np.ones(1))
SQUARE = Box(("a", "b"), np.zeros(2), np.ones(2))


def ones(P):
    return np.ones((len(P), 2))


def solver_that_fails_above(limit):
    def solver(p):
        if p[0] > limit:
            raise RuntimeError("licence server: no seats left")
        return np.ones(2)

    return black_box(solver, UNIT)


def residual(p, u):
    return np.array(u) * (2 + p[0]) - p[1]  # numpy alone: it is called on the host, and has no gradient


def test_a_residual_of_ones_own_is_climbed_without_solves():
    """The failure is a bump of a hundredth of the box's width: five solves find it by the residual alone."""
    problem = black_box(lambda p: p[1] / (2 + p[0]) * np.ones(3), SQUARE, residual=residual)

    def surrogate(P):
        bump = 0.5 * np.exp(-(((P - [0.3, 0.7]) / 0.05) ** 2).sum(axis=1))
        return (P[:, 1] / (2 + P[:, 0]) * (1 + bump))[:, None] * np.ones((1, 3))

    result = falsify(problem, surrogate, 1e-1, budget=5, seed=0, starts=256, draws=0)
    assert result.signal == "residual" and result.verdict == "falsified" and result.solver_calls <= 5
    np.testing.assert_allclose(result.counterexamples[0].inputs, [0.3, 0.7], atol=0.05)
    # data that vanish (p1 = 0) make no signal infinite
    signal = make_signal(problem, lambda P: np.zeros((len(P), 3)))
    assert (signal.values(np.array([[0.5, 0.0], [0.5, 1e-9]])) < 1e-3).all()


def test_failed_solves_are_counted_explained_and_no_counterexamples():
    result = falsify(solver_that_fails_above(0.6), ones, 1e-2, budget=20, seed=0, draws=40)
    assert result.verdict == "not falsified"
    (note,) = [note for note in result.notes if "the solver failed at" in note]
    assert "licence server: no seats left" in note and "a=0." in note
    assert result.draws_unsolved > 0 and result.draws + result.draws_unsolved == 40 and result.draws_failed == 0
    assert result.failure_probability_upper == pytest.approx(beta.ppf(0.95, 1, result.draws))
    unsolved = result.draws_unsolved
    assert result.failure_or_unsolved_upper == pytest.approx(beta.ppf(0.95, unsolved + 1, 40 - unsolved))


def test_finding_nothing_is_said_to_be_worth_what_it_is():
    problem = black_box(lambda p: np.ones(2), UNIT)
    result = falsify(problem, ones, 1e-2, budget=100, seed=0)
    worth = "nothing found in 100 calls; with 95 % confidence at most 25.9 % of inputs fail (10 independent draws)"
    assert result.words == worth and result.regions == () and result.unsolved == ()
    assert "at most 100 % of inputs fail (0 independent draws)" in falsify(problem, ones, 1e-2, budget=1).words


def test_every_input_at_which_the_truth_fails_is_listed_once_with_its_reason():
    problem = solver_that_fails_above(0.6)
    tests = sample(problem, 8, seed=4, independent=True)
    result = falsify(problem, ones, 1e-2, budget=20, seed=0, tests=tests)
    asked = result.asked[np.isnan(result.errors)]
    assert {u.inputs.tobytes() for u in result.unsolved} == {p.tobytes() for p in asked}
    assert len(result.unsolved) == len(asked) > 2 and all(u.inputs[0] > 0.6 for u in result.unsolved)
    assert all("the solver raised RuntimeError: licence server" in u.reason for u in result.unsolved)
    found = {u.found for u in result.unsolved}
    assert "test input" in found and any("Gaussian process" in how or "evolution" in how for how in found)


def test_where_no_solve_succeeds_nothing_is_decided():
    result = falsify(solver_that_fails_above(0.5), ones, 1e-2, budget=8, seed=0)
    assert result.verdict == "not falsified"  # half of the box is solved
    problem = solver_that_fails_above(0.5)
    object.__setattr__(problem, "function", lambda p: np.ones(3))
    result = falsify(problem, ones, 1e-2, budget=4, seed=0)
    assert result.verdict == "undecided" and np.isnan(result.worst) and result.solver_calls == 4
    assert result.draws == 0 and result.failure_probability_upper == 1.0
    assert any("answered with 3 values, not 2" in note for note in result.notes)


def test_an_error_that_is_no_number_decides_nothing(monkeypatch):
    problem = black_box(lambda p: np.ones(2), UNIT)
    monkeypatch.setattr(type(problem), "norm", lambda self, p, u: np.nan)
    result = falsify(problem, ones, 1e-2, budget=10, seed=0, draws=10)
    assert result.verdict == "undecided" and np.isnan(result.worst)
    assert result.draws_failed == 10 and result.failure_probability_upper == 1.0  # no success without a comparison
    assert any("not a number" in note for note in result.notes)


def test_a_solution_that_squares_to_zero_is_still_compared():
    problem = black_box(lambda p: 1e-170 * (1 + p[0]) * np.arange(3.0), UNIT)
    result = falsify(problem, lambda P: np.zeros((len(P), 3)), 1e-2, budget=4, seed=0)
    assert result.verdict == "falsified" and result.worst == 1.0


def test_with_an_absolute_part_a_zero_solution_is_no_counterexample():
    problem = black_box(lambda p: p[0] * np.ones(2), UNIT.replace(lower=np.array([-1.0])))

    def surrogate(P):
        return P + np.full((len(P), 2), 1e-3)

    bare = falsify(problem, surrogate, 1e-2, budget=30, seed=0)
    assert bare.verdict == "falsified" and bare.absolute == 0.0
    mended = falsify(problem, surrogate, 1e-2, budget=30, seed=0, absolute=2e-3)
    assert mended.verdict == "not falsified" and mended.worst <= 1e-3 / 0.2
    harsh = falsify(problem, surrogate, 1e-2, budget=30, seed=0, absolute=5e-4)
    assert harsh.verdict == "falsified"
    worst = harsh.counterexamples[0]
    assert worst.absolute == 5e-4
    assert worst.error == pytest.approx(1e-3 / (0.05 + abs(worst.inputs[0])), rel=1e-9)
    assert not replay(problem, worst, absolute=2e-3).fails and replay(problem, worst).fails


def test_the_zero_solution_in_the_box_of_burgers_is_no_infinite_counterexample():
    problem = Burgers(cells=16, steps=4)

    def nearly(P):
        return np.asarray(problem.solve_batch(P)) + 1e-7

    result = falsify(problem, nearly, 1e-2, budget=12, seed=0, starts=64)
    assert result.verdict == "not falsified" and result.worst < 1e-2
    assert result.absolute == 1e-2 * problem.zero_scale > 0


def test_a_constant_answer_beside_a_large_offset_is_remarked_on():
    x = np.linspace(0, 1, 5)
    problem = black_box(lambda p: 101325.0 + np.sin(3 * p[0] * x), UNIT)
    result = falsify(problem, lambda P: np.full((len(P), 5), 101325.5), 1e-2, budget=10, seed=0)
    assert result.verdict == "not falsified"
    assert any("answered at all inputs, would pass" in note and "offset=" in note for note in result.notes)


@pytest.mark.parametrize("answer", [np.nan, 2.0])
def test_the_probability_of_failure_is_covered(answer):
    """Half of the inputs fail, by a wrong answer or by none: one bound in twenty may be below a half."""
    problem = black_box(lambda p: np.ones(2), UNIT)

    def surrogate(P):
        return np.where(P < 0.5, answer, np.ones((len(P), 2)))

    results = [falsify(problem, surrogate, 1e-2, budget=1, seed=seed, draws=16) for seed in range(20)]
    assert sum(r.failure_probability_upper < 0.5 for r in results) <= 1
    assert all(r.draws == 16 and 0 < r.draws_failed < 16 and r.draws_unsolved == 0 for r in results)


def test_draws_that_are_proved_cost_no_solve(small, small_pool):
    surrogate = PodGalerkin(small, 12, pool=small_pool)
    result = falsify(small, surrogate, 1e-2, budget=5, seed=0, starts=64, draws=500)
    assert result.draws == 500 and result.draws_proved > 400
    assert result.solver_calls <= 5 + 500 - result.draws_proved
    assert result.failure_probability_upper == pytest.approx(
        beta.ppf(0.95, result.draws_failed + 1, 500 - result.draws_failed)
    )


def test_test_solves_count_as_draws_where_they_are_independent():
    calls = []

    def solve(p):
        calls.append(p)
        if p[0] > 0.9:
            raise RuntimeError("no")
        return np.ones(2)

    problem = black_box(solve, UNIT)
    tests = sample(problem, 40, seed=9, independent=True)
    unsolved = int((tests.inputs[:, 0] > 0.9).sum())
    calls.clear()

    def surrogate(P):
        return np.where(P < 0.2, 2.0, np.ones((len(P), 2)))

    result = falsify(problem, surrogate, 1e-2, budget=1, seed=0, tests=tests, shrink=0)
    assert result.solver_calls == len(calls) == 1
    assert (result.draws, result.draws_unsolved) == (40 - unsolved, unsolved) and unsolved > 0
    assert result.draws_failed == int((tests.inputs[:, 0] < 0.2).sum()) > 0
    assert result.verdict == "falsified" and "test input" in {c.found for c in result.counterexamples}
    even = falsify(problem, surrogate, 1e-2, budget=1, seed=0, tests=sample(problem, 40, seed=9))
    assert even.draws == 0 and any("no independent draws" in note for note in even.notes)
    other = black_box(lambda p: np.ones(3), UNIT)
    with pytest.raises(ValueError, match="the tests are of black-box"):
        falsify(problem, surrogate, 1e-2, budget=1, tests=sample(other, 4, independent=True))
    namesake = black_box(lambda p: 3 * np.ones(2), UNIT)  # of the same name, size and box
    with pytest.raises(ValueError, match="the set of tests is of another black-box: the solution stored"):
        falsify(problem, surrogate, 1e-2, budget=1, tests=sample(namesake, 4, independent=True))
    with pytest.raises(ValueError, match="tests are snapshots .*, not a tuple: assay.dataset"):
        falsify(problem, surrogate, 1e-2, budget=1, tests=(tests.inputs, tests.fields))


def test_a_proof_about_a_basis_decides_no_draw_that_is_answered_otherwise(small, small_pool):
    """The bound is of V c; this surrogate answers something else away from the centre."""
    honest = PodGalerkin(small, 12, pool=small_pool)
    centre = small.inputs.from_unit(np.full(4, 0.5))

    class Liar:
        basis = honest.basis
        coefficients = staticmethod(honest.coefficients)

        def __call__(self, P):
            return np.where((centre == P).all(axis=1)[:, None], 1.0, 1.5) * honest(P)

    result = falsify(small, Liar(), 1e-2, budget=5, seed=0, starts=64, draws=6)
    assert result.draws == result.draws_failed == 6 and result.draws_proved == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"tolerance": 0.0},
        {"tolerance": np.nan},
        {"budget": 0},
        {"absolute": -1.0},
        {"draws": -1},
        {"budget": 2.5},
        {"draws": True},
    ],
)
def test_settings_that_make_no_sense_are_refused(small, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        falsify(small, truth(small), **{"tolerance": 1e-2, "budget": 5, **settings})


def test_a_budget_of_one_is_spent_on_the_highest_peak(small):
    result = falsify(small, lambda P: 1.2 * truth(small)(P), 1e-2, budget=1, seed=0, starts=64)
    assert result.solver_calls == 1 and result.verdict == "falsified" and result.draws == 0


def test_the_sharpest_signal_is_chosen_and_bounds_the_error(small, small_pool, true_error):
    surrogate = PodGalerkin(small, 4, pool=small_pool)
    P = small.inputs.sample(16, seed=2)
    U, norms = true_error.truths(P)
    relative = true_error(P, U, norms, surrogate(P)).value / norms.value
    for used in (surrogate, lambda P: surrogate(P)):
        signal = make_signal(small, used)
        assert signal.kind == "bound"
        values = signal.values(P)
        assert (relative <= values * (1 + 1e-9)).all() and (values <= 1.5 * relative).all()
    broken = make_signal(small, lambda P: np.full((len(P), 81), np.nan))
    assert (broken.values(P) == BROKEN).all()


def test_two_peaks_in_two_basins_are_two_and_one_ridge_is_one():
    box = Box(("a", "b"), np.zeros(2), np.ones(2))

    def hills(P):
        one = np.exp(-40 * ((P - [0.2, 0.3]) ** 2).sum(1))
        return one + 0.8 * np.exp(-40 * ((P - [0.8, 0.7]) ** 2).sum(1))

    peaks = find_peaks(Signal("bound", hills), box, seed=0, starts=128)
    strong = peaks.values > 0.5
    assert strong.sum() == 2
    np.testing.assert_allclose(peaks.points[strong], [[0.2, 0.3], [0.8, 0.7]], atol=0.02)
    ridge = find_peaks(Signal("bound", lambda P: np.exp(-((P[:, 0] - 0.5) ** 2))), box, seed=0, starts=128)
    assert len(ridge.values) == 1
