"""Peaks of signals without a gradient: narrow ones, flat ones, at faces."""

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.verify.search.peaks import find_peaks
from assay.verify.search.signal import Signal


def box(d):
    return Box(tuple(f"x{j}" for j in range(d)), np.full(d, 0.1), np.full(d, 10.0), log=(True,) * d)


@pytest.mark.parametrize("seed", range(3))
def test_a_peak_a_thousandth_wide_in_eight_inputs_is_climbed_to_its_top(seed):
    """Its tail is seen from everywhere; evolution alone ends some widths away from it."""
    place, inputs = 0.1 + 0.8 * np.random.default_rng(seed).random(8), box(8)

    def narrow(P):
        return 1 / (1 + ((inputs.to_unit(P) - place) ** 2).sum(axis=1) / 1e-6)

    peaks = find_peaks(Signal("residual", narrow), inputs, seed, starts=512)
    assert peaks.values[0] > 0.99 and np.abs(peaks.points[0] - place).max() < 1e-3


def test_a_peak_in_a_corner_stays_in_the_box_and_a_flat_signal_is_one_peak():
    inputs = box(3)
    tilted = find_peaks(Signal("residual", lambda P: np.exp(inputs.to_unit(P).sum(axis=1))), inputs, 0, starts=64)
    np.testing.assert_array_equal(tilted.points[0], 1)
    for level in (0.0, 1.0):
        flat = find_peaks(Signal("residual", lambda P, level=level: np.full(len(P), level)), inputs, 0, starts=64)
        assert len(flat.values) == 1 and flat.values[0] == level
