"""Norms of combinations of columns from a factor: beside exact rational arithmetic, where almost all of it cancels."""

from fractions import Fraction

import numpy as np
import pytest

from assay.verify.proofs.coefficients.column_factor import column_factor

RNG = np.random.default_rng(0)


def exact_square(H, s):
    rows = [[Fraction(float(x)) for x in row] for row in H]
    weights = [Fraction(float(x)) for x in s]
    return sum(sum((a * b for a, b in zip(row, weights, strict=True)), Fraction(0)) ** 2 for row in rows)


def cases():
    H = RNG.standard_normal((12, 5))
    yield "independent", H, RNG.standard_normal(5)
    for power in (6, 12, 17):
        near = H.copy()
        near[:, 4] = near[:, :4] @ [1.0, -2.0, 3.0, 0.5] + 10.0**-power * RNG.standard_normal(12)
        yield f"cancelling to 1e-{power}", near, np.array([1.0, -2.0, 3.0, 0.5, -1.0])
    yield "far apart in size", H * 10.0 ** np.array([0, 8, -8, 3, -3]), RNG.standard_normal(5)
    yield "a column of zeros", H * np.array([1.0, 0.0, 1.0, 1.0, 1.0]), RNG.standard_normal(5)
    yield "more columns than rows", RNG.standard_normal((4, 9)), RNG.standard_normal(9)
    yield "nothing", H, np.zeros(5)


@pytest.mark.parametrize(("name", "H", "s"), list(cases()), ids=lambda x: x if isinstance(x, str) else "")
def test_the_norm_lies_inside_and_the_interval_is_narrow(name, H, s):
    found = column_factor(H, np.zeros(H.shape[1]))
    low, high = (float(x) for x in found.interval(s))
    square = exact_square(H, s)
    assert Fraction(low) ** 2 <= square <= Fraction(high) ** 2
    assert high - low <= 1e-12 * (np.linalg.norm(H, axis=0) @ np.abs(s)) + 1e-300
    for loose, off in ((1e-3, 0.0), (0.0, 1e-2)):  # entries of s, and columns, that are known to this much
        moved = column_factor(H, np.full(H.shape[1], off)).interval(s, loose)
        for _ in range(20):
            t = s * (1 + loose * RNG.uniform(-1, 1, len(s)))
            stray = RNG.standard_normal(H.shape)
            K = H + off * stray / np.linalg.norm(stray, axis=0)
            assert float(moved[0]) <= np.linalg.norm(K @ t) <= float(moved[1]) + 1e-300


def test_spoilt_factors_show():
    H, s = RNG.standard_normal((12, 5)), RNG.standard_normal(5)
    found, square = column_factor(H, np.zeros(5)), exact_square(H, s)
    for factor in (0.5, 2.0):
        low, high = (float(x) for x in found._replace(factor=found.factor * factor).interval(s))
        assert not Fraction(low) ** 2 <= square <= Fraction(high) ** 2


def test_columns_that_are_no_numbers_have_none():
    with pytest.raises((ValueError, np.linalg.LinAlgError)):
        column_factor(np.full((3, 2), np.nan), np.zeros(2))
