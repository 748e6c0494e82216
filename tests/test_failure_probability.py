"""Estimators of a probability of failure against exact ones, their intervals, and when they say not to be trusted."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import beta, binom, chi2

import assay
from assay.benchmarks.soundness.faulty import PodGalerkin
from assay.verify.evidence import Evidence
from assay.verify.statistics.independent import at_any_time, independent_draws, two_sided
from assay.verify.statistics.subset_simulation import subset_simulation
from assay.verify.statistics.two_phase import poisson_sum, two_phase

BOX = assay.Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def share(p):
    """Errors of which a share p is beyond one: in the first coordinate, as far as the second does not enter."""
    return lambda u: np.exp(0.5 * (ndtri(u[:, 0]) + ndtri(p)))


def above(u, p=1e-3):
    """Their bounds: twice as large, and by a factor that varies with the second coordinate."""
    return share(p)(u) * np.exp(np.abs(0.7 + 0.15 * ndtri(u[:, 1])))


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_exact_intervals_solve_the_binomial_equations():
    lower, upper = two_sided(50, 3, 0.95)
    assert binom.sf(2, 50, lower) == pytest.approx(0.025) == binom.cdf(3, 50, upper)
    assert two_sided(0, 0, 0.95) == (0.0, 1.0) and two_sided(9, 9, 0.9)[1] == 1.0


def test_intervals_at_any_time_solve_the_martingales_equation():
    n, k = 40, 4
    for x in at_any_time(n, k, 0.9):
        M = beta(k + 0.5, n - k + 0.5)  # the mixture is beta's normalisation
        x0 = 0.37
        mixed = x0 ** (k - 0.5) * (1 - x0) ** (n - k - 0.5) / M.pdf(x0) / math.pi
        assert mixed / (x**k * (1 - x) ** (n - k)) == pytest.approx(10, rel=1e-6)
    assert at_any_time(0, 0, 0.95) == (0.0, 1.0) and at_any_time(3, 3, 0.95)[1] == 1.0


def test_who_looks_after_every_draw_is_misled_by_the_exact_interval_and_not_by_the_sequence():
    rng, p, misled = np.random.default_rng(0), 0.2, [0, 0]
    looks = np.unique(np.geomspace(5, 400, 25).astype(int))
    for _ in range(80):
        k = np.cumsum(rng.random(400) < p)
        for i, interval in enumerate((two_sided, at_any_time)):
            ends = [interval(int(n), int(k[n - 1]), 0.9) for n in looks]
            misled[i] += not all(low <= p <= high for low, high in ends)
    assert misled[1] <= 8 + 3 * math.sqrt(80 * 0.09) and misled[0] > 16 + 3


def test_equal_weights_have_the_exact_interval_of_a_poisson_number():
    lower, upper = poisson_sum(np.full(5, 0.1), 0.1, 0.95)
    assert lower == pytest.approx(0.1 * chi2.ppf(0.025, 10) / 2) and upper == pytest.approx(
        0.1 * chi2.ppf(0.975, 12) / 2
    )
    assert poisson_sum(np.zeros(0), 0.1, 0.95) == (0.0, pytest.approx(0.1 * chi2.ppf(0.975, 2) / 2))


# ---- estimators ------------------------------------------------------------------------------------------------------


def test_independent_draws_and_what_is_not_known():
    def error_of(u):
        return np.where(u[:, 0] < 0.1, 2.0, np.where(u[:, 0] > 0.95, np.nan, 0.5))

    found = independent_draws(error_of, 1, 1.0, 400, np.random.default_rng(0))
    u = np.random.default_rng(0).random(400)
    k, unknown = int((u < 0.1).sum()), int((u > 0.95).sum())
    assert found.failed == k and found.estimate == k / (400 - unknown) and found.reliable
    assert found.lower == two_sided(400, k, 0.95)[0] and found.upper == two_sided(400, k + unknown, 0.95)[1]
    assert f"failed at {unknown} of 400 inputs" in found.notes[0] and found.evidence is Evidence.STATISTICAL
    infinite = independent_draws(lambda u: np.full(len(u), np.inf), 1, 1.0, 5, np.random.default_rng(0))
    assert infinite.estimate == infinite.upper == 1.0


def test_two_phases_are_unbiased_and_spend_what_they_may():
    p, population = 1e-3, 60000
    found = [two_phase(share(p), above, 2, 1.0, 300, seed, population) for seed in range(25)]
    estimates = np.array([f.estimate for f in found])
    assert abs(estimates.mean() - p) < 4 * estimates.std() / 5 and estimates.std() < 0.35 * p
    assert sum(f.lower <= p <= f.upper for f in found) >= 23 and max(f.calls for f in found) <= 301
    crude = math.sqrt(p / 300)  # of 300 independent draws
    assert estimates.std() < crude / 4


def test_two_phases_do_not_overlook_failures_with_small_bounds():
    """Where bounds are sharp is where they do not look large: the upper end allows for what was not met."""

    def error_of(u):
        return np.where((u[:, 0] > 0.8) & (u[:, 1] < 0.01), 1.05, 0.2)  # a share of 0.002

    def bound_of(u):
        return np.where(u[:, 0] > 0.8, 1.1 + u[:, 1], 0.3)

    found = [two_phase(error_of, bound_of, 2, 1.0, 100, seed, 4000) for seed in range(12)]
    assert sum(f.lower <= 0.002 <= f.upper for f in found) >= 11
    assert abs(np.mean([f.estimate for f in found]) - 0.002) < 0.0015


def test_where_every_draw_is_decided_the_interval_is_exact():
    found = two_phase(share(0.01), lambda u: 1.01 * share(0.01)(u), 2, 1.0, 400, 0, 10000)
    assert found.calls < 130 and (found.lower, found.upper) == two_sided(10000, found.failed, 0.95)
    none = two_phase(share(0.01), lambda u: np.full(len(u), 0.5), 2, 1.0, 10, 0, 1000)
    assert none.calls == 0 and (none.lower, none.upper) == two_sided(1000, 0, 0.95)


def test_subset_simulation_holds_or_says_that_it_does_not():
    exact = float(ndtr(-3.0))

    def linear(u):
        return np.exp(ndtri(np.clip(u, 1e-300, 1 - 1e-16)).sum(axis=1) / math.sqrt(6) - 3)

    found = [subset_simulation(linear, 6, 1.0, 9000, np.random.default_rng(seed)) for seed in range(8)]
    assert all(f.lower <= exact <= f.upper for f in found) and sum(f.reliable for f in found) >= 6
    assert np.mean([f.estimate for f in found]) == pytest.approx(exact, rel=0.3)
    hidden = subset_simulation(
        lambda u: np.where(u[:, 0] > 1 - 1e-6, 2.0, u[:, 1]), 2, 1.5, 3000, np.random.default_rng(0)
    )
    assert not hidden.reliable and hidden.lower == 0 and hidden.upper >= 1e-6 and "not reliable" in hidden.notes[0]
    with pytest.raises(ValueError, match="takes 3000 calls or more, not 100"):
        subset_simulation(linear, 6, 1.0, 100, np.random.default_rng(0))


# ---- the verb --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane():
    return assay.black_box(lambda p: np.array([1.0, 1.0 + p[1]]), BOX, name="plane", norm="max")


def corner(P):
    """Wrong where a > 0.9."""
    return np.column_stack([np.ones(len(P)), 1 + P[:, 1]]) * np.where(P[:, :1] > 0.9, 1.2, 1.0)


def test_of_a_black_box_by_draws(plane):
    found = assay.failure_probability(plane, corner, 1e-2, 120, 3)
    assert found.method == "draws" and found.calls == 120 and found.lower <= 0.1 <= found.upper
    assert (found.lower, found.upper) == two_sided(120, found.failed, 0.95) and found.evidence == "statistical"
    again = assay.failure_probability(plane, corner, 1e-2, 40, 3, method="sequence")
    assert again.failed <= found.failed and again.upper > two_sided(40, again.failed, 0.95)[1]
    never = assay.failure_probability(plane, lambda P: np.full((len(P), 2), np.nan), 1e-2, 5)
    assert never.estimate == 1.0, "an answer that is no field is a failure"


def test_what_cannot_be_meant(plane):
    for given, message in (
        ({"tolerance": 0.0}, "the tolerance is a relative error"),
        ({"calls": 0}, "calls is how many solves to spend, a whole number of at least 1"),
        ({"method": "magic"}, "the method is one of draws, sequence"),
        ({"confidence": 1.0}, "the confidence is a probability"),
        ({"method": "two-phase"}, "two phases need proved bounds"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.failure_probability(plane, corner, **given)


def test_proofs_decide_draws_without_a_solve(small, small_pool):
    surrogate = PodGalerkin(small, 12, pool=small_pool)
    found = assay.failure_probability(small, surrogate, 3e-2, 20, population=400)
    assert found.method == "two-phase" and found.calls <= 20 and "decided by a proof" in found.notes[0]
    assert found.lower <= found.estimate <= found.upper < 0.5


def test_two_phases_without_a_single_solution_say_nothing():
    found = two_phase(lambda u: np.full(len(u), np.nan), lambda u: np.full(len(u), np.inf), 2, 1.0, 10, 0, 10)
    assert np.isnan(found.estimate) and (found.lower, found.upper) == (0.0, 1.0)
