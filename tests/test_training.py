"""A run's test errors: of the whole, of each component, and where the answer is no field."""

import numpy as np
import pytest

from assay.run_folder import RunFolder
from assay.run_training import Plan, errors_at, run_training, summary
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.snapshots.sample import sample

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


PAIR = Box(("a", "b"), lower=[0.0, 0.0], upper=[1.0, 1.0])
X = np.linspace(0.0, 1.0, 5)


def notes(problem, folder):
    plan = Plan("mean", 8, 4, 0, None, None, None, None, {})
    return run_training(RunFolder(folder, {}), problem, plan)["notes"]


def test_why_solves_failed_and_what_small_errors_hide_are_said(tmp_path):
    def solver(p):
        if p[0] > 0.6:
            raise RuntimeError("licence server: no seats left")
        return 101325.0 + p[1] * X  # hardly varies, against its size

    said = notes(black_box(solver, PAIR), tmp_path)
    assert any("of 8 solves failed" in note and "licence server: no seats left" in note for note in said)
    assert any(note.startswith("at tolerance 0.01: the solutions at") for note in said)


def test_nothing_is_said_of_a_run_without_trouble(tmp_path):
    assert notes(black_box(lambda p: 1 + p[0] * X + p[1], PAIR), tmp_path) == []
