"""Every method of falsification: it reaches a worst point that is known, within its budget, each solve counted once."""

from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.burgers import Burgers
from assay.solvers.tolerance import Tolerance
from assay.verify.falsify import falsify
from assay.verify.search import confirmation as confirming
from assay.verify.search.confirmation import Confirmation
from assay.verify.search.estimate import corrected, estimated_error
from assay.verify.search.independent import IndependentDraws
from assay.verify.search.methods.catalogue import BY_SIGNAL, METHODS, STANDARD
from assay.verify.search.methods.search import Search
from assay.verify.search.methods.standard_v1 import confirm_peaks, sharp
from assay.verify.search.methods.true_error import REPEATS, Spent, TrueError
from assay.verify.search.signal import BROKEN, Signal

BOX = Box(("a", "b"), np.array([0.0, 1.0]), np.array([1.0, 100.0]), log=(False, True))
PLACE = np.array([0.62, 0.31])  # of the worst error, in unit coordinates
WORST = 0.5
ALL = [name for name in METHODS if name not in BY_SIGNAL]


class Hill:
    """u = 1 + h with a hill h of height one, which a surrogate that answers one does not see: its error is h / u."""

    def __init__(self, limit=2.0):
        self.asked, self.adjoints, self.limit = [], 0, limit

    def height(self, p):
        return np.exp(-6 * ((BOX.to_unit(p) - PLACE) ** 2).sum(axis=-1))

    def solve(self, p):
        self.asked.append(p.tobytes())
        if BOX.to_unit(p)[0] > self.limit:
            raise RuntimeError("no")
        return (1 + self.height(p)) * np.ones(3)

    def pulled_back(self, p, w):
        self.adjoints += 1
        width = BOX.scaled_ends()[1] * np.where(BOX.log, p, 1.0)
        return w.sum() * self.height(p) * -12 * (BOX.to_unit(p) - PLACE) / width

    def problem(self, gradient=True, **options):
        return black_box(self.solve, BOX, size=3, gradient=self.pulled_back if gradient else None, **options)


def ones(P):
    return np.ones((len(P), 3))


def run(hill, method, budget, seed=0, surrogate=ones, **options):
    problem = hill.problem()
    hill.asked.clear()
    return falsify(problem, surrogate, 1e-2, budget, seed, method=method, shrink=0, starts=64, **options)


@pytest.mark.parametrize("method", ALL)
def test_the_worst_point_is_reached_and_every_solve_is_counted_once(method):
    hill = Hill()
    result = run(hill, method, 80)
    assert result.worst > (0.45 if method in ("random", "direct") else 0.49) and result.worst <= WORST
    assert np.abs(BOX.to_unit(result.worst_inputs) - PLACE).max() < 0.3
    assert len(hill.asked) + hill.adjoints == result.solver_calls <= 80
    again = len(hill.asked) - len(set(hill.asked))
    assert again == 0 or (method == STANDARD and again <= hill.adjoints)  # the adjoint at a point that was solved
    assert len(result.asked) == len(result.errors) == len(result.spent) == len(hill.asked)
    assert (np.diff(result.spent) >= 1).all() and result.spent[-1] == result.solver_calls
    assert result.draws == 8  # a tenth, whatever the method


@pytest.mark.parametrize("method", [STANDARD, "gaussian-process"])
def test_several_are_asked_at_a_time_whoever_solves_them(method, monkeypatch):
    """So that workers are of use; what is chosen together differs, and is the same with and without them."""
    batches, solved = [], confirming.attempt_rows

    def noted(problem, P, executor):
        batches.append(len(P))
        assert len({p.tobytes() for p in P}) == len(P)
        return solved(problem, P, executor)

    monkeypatch.setattr(confirming, "attempt_rows", noted)
    wrong = lambda P: np.where(P[:, :1] > 0.5, 2.0, 1.0) * np.ones((1, 3))  # noqa: E731
    options = {"method": method, "shrink": 30, "starts": 64}
    alone = falsify(Hill().problem(gradient=False), wrong, 1e-2, 100, 0, **options)
    here, batches[:] = list(batches), []
    assert sum(here) == alone.solver_calls + alone.shrink_calls and len(here) < 0.4 * sum(here)
    with ThreadPoolExecutor(4) as executor:
        shared = falsify(Hill().problem(gradient=False), wrong, 1e-2, 100, 0, executor=executor, **options)
    assert batches == here and shared.errors.tobytes() == alone.errors.tobytes()
    assert [c.to_json() for c in shared.counterexamples] == [c.to_json() for c in alone.counterexamples] != []


@pytest.mark.parametrize("method", ALL)
def test_the_same_seed_asks_the_same_and_leaves_the_random_numbers_of_others_alone(method):
    np.random.seed(3)  # noqa: NPY002  (a method may not touch it)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, two = (run(Hill(), method, 25, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.asked, two.asked)
    np.testing.assert_array_equal(one.errors, two.errors)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("method", "budget"), [*[(STANDARD, n) for n in (1, 2, 20)], *[(name, n) for name in ALL for n in (1, 5)][2:]]
)
def test_small_budgets_are_kept_and_spent(method, budget):
    hill = Hill()
    result = run(hill, method, budget)
    assert len(hill.asked) + hill.adjoints == result.solver_calls == budget
    assert result.draws == {1: 0, 2: 1, 5: 1, 20: 2}[budget]


@pytest.mark.parametrize("method", ALL)
def test_where_the_truth_fails_nothing_wins(method):
    """The half of the box with the summit cannot be solved: what is found is on the other side, and all is listed."""
    hill = Hill(limit=0.5)
    result = run(hill, method, 60)
    assert 0.3 < result.worst < WORST and BOX.to_unit(result.worst_inputs)[0] <= 0.5
    assert result.solver_calls <= 60 and np.isfinite(result.errors[result.asked[:, 0] <= 0.5]).all()
    assert len(result.unsolved) == np.isnan(result.errors).sum() > 0


@pytest.mark.parametrize("method", [STANDARD, "l-bfgs", "cma-es", "gaussian-process", "direct"])
def test_where_every_solve_fails_the_search_ends_undecided(method):
    hill = Hill(limit=-1.0)
    result = run(hill, method, 20)
    assert result.verdict == "undecided" and np.isnan(result.worst) and len(result.unsolved) == len(hill.asked)


@pytest.mark.parametrize("method", [STANDARD, "l-bfgs", "cma-es", "gaussian-process", "cobyqa"])
def test_where_no_error_is_there_the_search_ends_and_claims_nothing_more(method):
    hill = Hill()
    result = run(hill, method, 20, surrogate=lambda P: 1 + hill.height(P)[:, None] * np.ones((1, 3)))
    assert result.verdict == "not falsified" and result.worst <= 1e-15
    assert result.failure_probability_upper == pytest.approx(1 - 0.05 ** (1 / 2))  # two draws, and nothing else


@pytest.mark.parametrize("method", ALL)
def test_an_answer_that_is_no_field_is_the_worst_there_is(method):
    """In a quarter of the box, where the hill is lower than elsewhere."""

    def surrogate(P):
        return np.where((BOX.to_unit(P) < 0.5).all(axis=1)[:, None], np.nan, ones(P))

    assert run(Hill(), method, 60, surrogate=surrogate).worst == np.inf


def test_a_tenth_of_the_calls_are_draws_and_only_these_are_counted():
    """Rounded up; they are the same whatever the method does, and none of its points is among them."""
    for budget, count in ((10, 1), (11, 2), (19, 2), (30, 3)):
        found = [run(Hill(), method, budget, seed=7) for method in (STANDARD, "random")]
        assert [r.draws for r in found] == [count, count]
        assert found[0].draws_failed == found[1].draws_failed
    law = BOX.from_law(np.random.default_rng([7, 1]).random((3, 2)))
    for result in found:
        asked = {p.tobytes() for p in result.asked}
        assert all(p.tobytes() in asked for p in law)


def test_without_derivatives_their_method_is_refused_before_any_solve():
    hill = Hill()
    problem = hill.problem(gradient=False)
    hill.asked.clear()
    with pytest.raises(ValueError, match="'l-bfgs' needs derivatives .* gradient="):
        falsify(problem, ones, 1e-2, 20, method="l-bfgs")
    assert hill.asked == []


def test_the_signal_alone_finds_its_peaks_and_leaves_the_rest():
    """A residual that is zero at the solutions sees the hill from everywhere; without one the method is refused."""

    def residual(p, u):
        x = jnp.stack([p[0], jnp.log(p[1]) / np.log(100)])
        return u - 1 - jnp.exp(-6 * ((x - PLACE) ** 2).sum())

    hill = Hill()
    problem = hill.problem(gradient=False, residual=residual)
    hill.asked.clear()
    result = falsify(problem, ones, 1e-2, 20, 0, method="signal", shrink=0, starts=64)
    assert result.worst == pytest.approx(WORST, abs=1e-3) and len(hill.asked) == result.solver_calls < 20
    assert any("there is no other peak" in note for note in result.notes)
    with pytest.raises(ValueError, match="'signal' climbs what costs no solve, .* residual="):
        falsify(hill.problem(), ones, 1e-2, 20, method="signal")


def test_a_wrong_gradient_does_not_keep_the_standard_from_the_summit():
    """It points away from the summit: what climbs without slopes gets there."""
    hill = Hill()
    problem = black_box(hill.solve, BOX, size=3, gradient=lambda p, w: -hill.pulled_back(p, w))
    assert falsify(problem, ones, 1e-2, 120, 0, shrink=0).worst > 0.49
    broken = black_box(hill.solve, BOX, size=3, gradient=lambda p, w: np.full(2, np.nan))
    assert falsify(broken, ones, 1e-2, 120, 0, shrink=0).worst > 0.49


def confirmation(problem, surrogate, budget):
    allowed = Tolerance.of(problem, 1e-2)
    return Confirmation(problem, surrogate, allowed, budget, 0, lambda stage, done, total: None)


def search_of(confirm):
    none = Signal("none", lambda P: np.zeros(len(P)))
    return Search(confirm, none, 0, 64, np.random.default_rng(0), confirm.report)


def test_a_slope_of_the_true_error_is_right_and_costs_two_calls():
    """Beside central differences of the error, for a solver in JAX and a surrogate in numpy."""
    problem = Burgers(cells=16, steps=4)

    def surrogate(P):
        return np.sin(P @ np.arange(1.0, P.shape[1] + 1))[:, None] * np.linspace(0, 1, problem.size)

    confirm = confirmation(problem, surrogate, 1000)
    box, x = problem.inputs, np.full(problem.inputs.dimension, 0.4)
    error, slope = confirm.check_slope(box.from_unit(x), "here")
    assert confirm.calls == 2 and confirm.adjoints == 1 and confirm.errors == [error]
    step = 1e-5 * np.eye(len(x))
    high, low = (np.log(confirm.check(box.from_unit(x + s), "beside")) for s in (step, -step))
    np.testing.assert_allclose(slope, (high - low) / 2e-5, rtol=1e-4, atol=1e-5)


def test_the_estimate_is_near_the_error_and_its_slope_is_its_own():
    """Of the scheme of Burgers, linearised at an answer that is off by a thousandth."""
    problem = Burgers(cells=16, steps=4)
    model = confirmation(problem, lambda P: 1.001 * np.asarray(problem.solve_batch(P)), 1).model
    signal = estimated_error(problem, model, problem.zero_scale, None)
    P = problem.inputs.from_unit(np.random.default_rng(0).random((6, problem.inputs.dimension)))
    truth = np.asarray(problem.solve_batch(P))
    sizes = np.array([float(problem.norm(p, u)) for p, u in zip(P, truth, strict=True)])
    np.testing.assert_allclose(signal.values(P), 1e-3 * sizes / (sizes + problem.zero_scale), rtol=0.5)
    height, slope = signal.gradient(P[0])
    assert float(height) == pytest.approx(np.log(signal.values(P[:1])[0]), rel=1e-9)
    width = problem.inputs.scaled_ends()[1]
    for j in range(len(width)):
        step = 1e-4 * width[j] * np.eye(len(width))[j]
        high, low = np.log(signal.values(np.stack([P[0] + step, P[0] - step])))
        assert float(slope[j]) == pytest.approx((high - low) / (2e-4 * width[j]), rel=1e-2, abs=1e-2)


def test_corrections_by_a_rough_inverse_end_in_as_many_steps_as_there_are_unknowns():
    """The Krylov space of three unknowns is spent after three combinations, whatever the inverse (Walker and Ni 2011),
    also where the plain iteration runs away; and where nothing is left to correct nothing is done."""
    rng = np.random.default_rng(0)
    A, b = jnp.asarray(rng.standard_normal((3, 3)) + 2 * np.eye(3)), jnp.asarray(rng.standard_normal(3))
    u = jnp.linalg.solve(A, b)

    def correction(w):
        return 3 * (A @ w - b)

    away = [float(jnp.linalg.norm(corrected(correction, u + 1, k) - u)) for k in (1, 2, 3, 4)]
    assert away[0] > jnp.linalg.norm(jnp.ones(3)) and away[3] < 1e-10 < away[2]
    np.testing.assert_allclose(corrected(correction, u, 3), u, atol=1e-12)


def test_a_bound_far_above_the_estimate_does_not_choose_where_to_look():
    """The bound has its peak where the error is smaller, the estimate its own where the error is largest: with a bound
    of ten times the error the first solve is at the estimate's, with one and a half times at the bound's."""
    for times, first in ((10.0, PLACE), (1.5, 1 - PLACE)):
        hill = Hill()
        confirm = confirmation(hill.problem(gradient=False), ones, 4)

        def estimate(P, hill=hill):
            h = hill.height(P)
            return h / (1 + h)

        def bound(P, times=times, estimate=estimate):
            there = estimate(BOX.from_unit((1 - PLACE)[None]))[0]
            return times * there * np.exp(-((BOX.to_unit(P) - (1 - PLACE)) ** 2).sum(axis=1))

        others = (Signal("estimate", estimate),)
        search = Search(confirm, Signal("bound", bound), 0, 64, np.random.default_rng(0), confirm.report, others=others)
        confirm_peaks(search, 1)
        np.testing.assert_allclose(BOX.to_unit(confirm.asked[0]), first, atol=1e-2)


def test_the_highest_peak_of_every_signal_is_looked_at():
    """A loose bound's, too, where four others point elsewhere; and an estimate that is no number tells nothing."""
    hill = Hill()
    confirm = confirmation(hill.problem(gradient=False), ones, 8)

    def peak(x, size):
        return lambda P: size * np.exp(-((BOX.to_unit(P) - x) ** 2).sum(axis=1))

    others = tuple(Signal("estimate", peak(np.array(x), 0.1)) for x in ((0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9)))
    search = Search(
        confirm, Signal("bound", peak(PLACE, 9.0)), 0, 64, np.random.default_rng(0), confirm.report, others=others
    )
    confirm_peaks(search, 1)
    assert confirm.worst == pytest.approx(WORST, rel=1e-3)
    broken = Signal("estimate", lambda P: np.full(len(P), BROKEN))
    search = Search(confirm, search.signal, 0, 64, search.rng, confirm.report, others=(broken,))
    assert not sharp(search, PLACE[None], np.array([9.0]))


def test_minimisers_are_told_that_nothing_is_left():
    confirm = confirmation(Hill(limit=0.8).problem(), ones, 4)
    truth = TrueError(search_of(confirm), "asked")
    x = np.array([[0.5, 0.5], [0.6, 0.5], [0.9, 0.5]])
    heights = truth.heights(x)
    assert heights[2] == heights[:2].min()  # where nothing is known nobody climbs to
    np.testing.assert_array_equal(truth.heights(x), heights)  # at no cost
    assert confirm.calls == 3
    with pytest.raises(Spent):
        truth.heights(np.array([[0.1, 0.1], [0.2, 0.2]]))
    assert confirm.calls == 4 and len(confirm.known) == 4  # the last one was spent
    with pytest.raises(Spent):
        truth.with_slope(np.array([0.3, 0.3]))
    for _ in range(REPEATS - 3):
        truth(x[0])
    with pytest.raises(Spent):  # a minimiser that never asks for anything new would never end
        truth.heights(np.repeat(x[:1], 4, axis=0))


def test_draws_are_solved_once_and_come_on_top():
    hill = Hill(limit=0.8)
    confirm, P = confirmation(hill.problem(), ones, 5), BOX.from_unit(np.array([[0.6, 0.3], [0.9, 0.1], [0.0, 1.0]]))
    draws = IndependentDraws(confirm, Signal("none", lambda P: np.zeros(len(P))), P, confirm.report)
    assert draws.solves == 3 and confirm.left == 5
    first = draws.solve(2)
    assert (first.decided, first.failed, first.unsolved, confirm.calls, confirm.left) == (1, 1, 1, 2, 5)
    rest = draws.solve()
    assert (rest.decided, rest.failed, rest.unsolved, confirm.calls, confirm.left) == (2, 1, 1, 3, 5)
    assert draws.solve() == rest and confirm.calls == 3


@pytest.mark.parametrize("method", [name for name in ALL if name != "random"])
def test_a_box_of_two_numbers_ends_the_search(method, monkeypatch):
    """Both are known soon, and there is nothing else to ask."""
    monkeypatch.setattr("assay.verify.search.methods.true_error.REPEATS", 8)
    asked = []

    def solve(p):
        asked.append(p.tobytes())
        return p * np.ones(3)

    narrow = Box(("a",), np.array([1.0]), np.array([np.nextafter(1.0, 2.0)]))
    problem = black_box(solve, narrow, size=3, gradient=lambda p, w: np.array([w.sum()]))
    found = falsify(problem, ones, 1e-2, 20, method=method, draws=0, shrink=0, starts=8)
    assert found.verdict == "not falsified" and len(set(asked)) <= 2 and found.solver_calls <= 8  # of 20
