"""Exact bounds of a probability from independent draws."""

import pytest
from scipy.stats import binom

from assay.verify.statistics.draws import Draws, clopper_pearson


@pytest.mark.parametrize(("draws", "failed"), [(1, 0), (10, 0), (10, 3), (500, 7), (2995, 0)])
def test_the_bound_solves_the_binomial_equation(draws, failed):
    upper = clopper_pearson(draws, failed)
    assert binom.cdf(failed, draws, upper) == pytest.approx(0.05, rel=1e-9)


def test_the_textbook_numbers():
    assert clopper_pearson(10, 0) == pytest.approx(1 - 0.05 ** (1 / 10))
    assert clopper_pearson(2995, 0) <= 1e-3 < clopper_pearson(2994, 0)
    assert clopper_pearson(0, 0) == clopper_pearson(5, 5) == 1.0


def test_what_was_not_solved_is_left_out_or_counted_as_failed():
    draws = Draws(decided=8, failed=1, proved=5, unsolved=2) + Draws(decided=2, failed=0)
    assert draws == Draws(decided=10, failed=1, proved=5, unsolved=2)
    assert draws.upper == clopper_pearson(10, 1)
    assert draws.upper_with_unsolved == clopper_pearson(12, 3)
