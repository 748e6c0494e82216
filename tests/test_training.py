"""A run's test errors: of the whole, of each component, and where the answer is no field."""

import numpy as np
import pytest

from assay.solvers.black_box import black_box
from assay.solvers.box import Box
from assay.solvers.snapshots import sample
from assay.training import errors_at, summary

UNIT = Box(("a",), np.zeros(1), np.ones(1))


pair = black_box(lambda p: p[0] * np.array([1.0, 100.0, 1.0, 100.0]), UNIT, components=("small", "large"))


def test_errors_are_scaled_and_told_by_component(monkeypatch):
    monkeypatch.setattr(type(pair), "zero_scale", 1.0)
    tests = sample(pair, 8, seed=1)
    assert tests.inputs.min() < 0.1

    def without_the_small(P):
        return P * np.array([0.0, 100.0, 0.0, 100.0])

    found = errors_at(pair, without_the_small, tests)
    p = tests.inputs[:, 0]
    np.testing.assert_allclose(found.errors, p * np.sqrt(0.5) / (1 + p * np.sqrt(5000.5)), rtol=1e-12)
    assert set(found.components) == {"small", "large"} and (found.components["large"] == 0).all()
    np.testing.assert_allclose(found.components["small"], p * np.sqrt(0.5) / (1 + p * np.sqrt(0.5)), rtol=1e-12)
    assert summary(found.components["small"])["max"] == found.components["small"].max()


def test_an_answer_that_is_no_field_is_infinitely_wrong_in_every_component():
    tests = sample(pair, 4, seed=1)

    def nan_below(P):
        fields = P * np.array([1.0, 100.0, 1.0, 100.0])
        fields[P[:, 0] < 0.5, 0] = np.nan
        return fields

    found = errors_at(pair, nan_below, tests)
    low = tests.inputs[:, 0] < 0.5
    assert np.isinf(found.errors[low]).all() and found.errors[~low] == pytest.approx(0)
    assert all(np.isinf(part[low]).all() and (part[~low] == 0).all() for part in found.components.values())
