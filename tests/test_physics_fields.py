"""Physics training in a basis: fields of least residual are the truth as far as the basis goes, and no snapshot's."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay.solvers.box import Box
from assay.surrogates.training import badly_guessed, physics_fields
from assay.surrogates.training.physics_fields import LEAST, Plan, joined, least_residual
from assay.surrogates.training.pod import solve_few


def errors(problem, P, fields):
    truths = np.asarray(problem.solve_batch(P))
    return np.array([float(problem.relative_error(*row)) for row in zip(P, fields, truths, strict=True)])


def prescribed(problem, data):
    return [problem.prescribe(jnp.asarray(p), jnp.asarray(u)) for p, u in zip(data.inputs, data.fields, strict=True)]


@pytest.fixture(scope="module")
def bratu():
    return assay.problem("bratu", cells=8)


@pytest.fixture(scope="module")
def few(bratu):
    return solve_few(bratu, bratu.inputs, 8, 0)


def test_the_truth_at_inputs_where_nothing_was_solved(bratu, few):
    told = []
    found = least_residual(few, Plan(24), 1, 1e-6, 12, lambda *words: told.append(words))
    assert [done for done, _, _ in told] == list(range(1, found.plan.rounds + 1)) and "at 24 inputs" in told[0][2]
    assert found.lost == 0 and len(found.data.inputs) == 24
    assert found.residual < 1e-5
    assert errors(bratu, found.data.inputs, prescribed(bratu, found.data)).max() < 1e-6
    assert errors(bratu, few.inputs, prescribed(bratu, few)).max() < 1e-9  # what it began from is left alone


def test_a_wrong_first_guess_is_mended(bratu, few):
    """The snapshots give guesses, and nothing else: half as large ones lead to the same fields."""
    right = least_residual(few, Plan(24), 1, 1e-6, 12)
    wrong = least_residual(replace(few, fields=0.5 * few.fields), Plan(24), 1, 1e-6, 12)
    np.testing.assert_allclose(wrong.data.fields, right.data.fields, atol=1e-5 * np.abs(right.data.fields).max())


class Clock:
    """Seconds that pass with rows alone: a tenth each."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        corrections = physics_fields._corrections

        def timed(problem):
            step = corrections(problem)

            def slow(P, C, V):
                self.now += 0.1 * len(P)
                return step(P, C, V)

            return slow

        monkeypatch.setattr(physics_fields, "_corrections", timed)
        monkeypatch.setattr(physics_fields, "time", self)

    def perf_counter(self):
        return self.now


@pytest.mark.parametrize("seconds", [20.0, 40.0])
def test_a_clock_has_fewer_fields_found_and_says_which(few, monkeypatch, seconds):
    clock = Clock(monkeypatch)
    found = least_residual(few, Plan(192), 1, 1e-6, 12, until=clock.now + seconds)
    assert clock.now <= 100 + seconds + 1e-9
    count = len(found.data.inputs)
    assert seconds / 0.8 < count < seconds / 0.4 and found.plan.points == count  # what four rounds have time for
    again = least_residual(few, found.plan, 1, 1e-6, 12)
    np.testing.assert_array_equal(again.data.fields, found.data.fields)
    assert again.plan == found.plan


def test_a_clock_that_has_run_out_leaves_one_round_of_the_least(few, monkeypatch):
    clock = Clock(monkeypatch)
    assert least_residual(few, Plan(192), 1, 1e-6, 12, until=clock.now).plan == Plan(LEAST, 1)


def test_a_run_goes_on_with_the_fields_that_its_clock_let_it_find(bratu, tmp_path, monkeypatch):
    """Another clock's fields would make another run of it."""
    clock = Clock(monkeypatch)
    for module in ("networks.pod.pod_mlp", "training.optimise"):
        monkeypatch.setattr(f"assay.surrogates.{module}.time", clock)

    def trained(seconds, **more):
        return assay.train(bratu, "pod-mlp", None, seconds=seconds, steps=60, widths=(8,), physics_points=192, **more)

    def interrupt(done, total, words):
        if "loss" in words:
            raise KeyboardInterrupt

    whole = trained(60.0)
    assert 32 < whole.training["physics_points"] < 192
    with pytest.raises(KeyboardInterrupt):
        trained(60.0, checkpoint=tmp_path / "training", progress=interrupt)
    resumed = trained(1000.0, checkpoint=tmp_path / "training")
    assert resumed.training["steps"] == 60
    assert resumed.training["physics_points"] == whole.training["physics_points"]
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array)


def test_many_snapshots_add_inputs_where_they_suggest_the_worst_fields(few, monkeypatch):
    """Those beside are of a larger error of the guess, and their fields are solutions too; with a plan they are again
    the same to the bit, also those that a clock leaves."""
    monkeypatch.setattr(physics_fields, "POINTS", 16)
    found = least_residual(few, Plan(24), 1, 1e-6, 12)
    assert found.plan.points == 16 < 18 <= len(found.data.inputs) <= 24  # but for corners, which the even ones have
    assert errors(few.problem, found.data.inputs, prescribed(few.problem, found.data)).max() < physics_fields.ENOUGH
    even = least_residual(few, Plan(16), 1, 1e-6, 12)
    np.testing.assert_array_equal(even.data.fields, found.data.fields)
    monkeypatch.setattr(physics_fields, "POINTS", 64)
    clock = Clock(monkeypatch)
    late = least_residual(few, Plan(64), 1, 1e-6, 12, until=clock.now)
    assert len(late.data.inputs) == late.plan.points == LEAST  # 8 snapshots tell nothing of 64 inputs
    assert len(least_residual(few, late.plan, 1, 1e-6, 12).data.inputs) == LEAST


def test_inputs_are_distinct_so_that_one_without_a_field_is_guessed_anew(few, monkeypatch):
    """Corners are among the even inputs and among the worst; and one even input has one beside it."""
    monkeypatch.setattr(physics_fields, "POINTS", 16)
    corrections, rounds = physics_fields._corrections, []

    def broken(problem):
        def step(P, C, V):
            W, size = (np.array(part) for part in corrections(problem)(P, C, V))
            if not rounds and 16 <= len(P) <= 24:  # the first round, not the candidates
                W[10], size[10] = np.nan, np.nan
                rounds.append(1)
            return W, size

        return step

    monkeypatch.setattr(physics_fields, "_corrections", broken)
    found = least_residual(few, Plan(16), 1, 1e-6, 12)
    assert rounds and found.lost == 0 and len(np.unique(found.data.inputs, axis=0)) == len(found.data.inputs)
    assert len(least_residual(few, Plan(1), 1, 1e-6, 12).data.inputs) == 2


def test_inputs_are_added_where_guesses_are_worst():
    """The first is the worst of all candidates; what is no number is worst; a peak does not take all of them."""
    box, asked = Box(("a", "b"), np.zeros(2), np.ones(2)), []

    def error(P):
        asked.append(P)
        return np.where(P[:, 0] == 0, np.nan, 1e-3 + np.exp(-50 * ((P - 0.7) ** 2).sum(axis=1)))

    chosen = badly_guessed.badly_guessed(error, box, 60, 0)
    assert chosen.shape == (60, 2) and len(np.unique(chosen, axis=0)) == 60 and len(asked) == 1
    assert chosen[0, 0] == 0
    rest = chosen[chosen[:, 0] > 0]
    np.testing.assert_array_equal(rest[0], max(asked[0][asked[0][:, 0] > 0], key=lambda p: -((p - 0.7) ** 2).sum()))
    assert len(rest) > 10 and np.linalg.norm(rest - 0.7, axis=1).max() > 0.1


def test_boundary_values_that_are_not_zero():
    problem = assay.problem("advection-diffusion", cells=8, data="step")
    found = least_residual(solve_few(problem, problem.inputs, 4, 0), Plan(20), 1, 1e-6, 12)
    assert errors(problem, found.data.inputs, prescribed(problem, found.data)).max() < 1e-9


def test_physics_alone_and_beside_snapshots(bratu):
    P = bratu.inputs.sample(12, seed=9)
    options = {"steps": 50, "widths": (16,), "physics_points": 64}
    alone = assay.train(bratu, "pod-mlp", None, **options)
    assert alone.training["snapshots"] == 0 and alone.training["physics_points"] == 64
    assert errors(bratu, P, alone(P)).mean() < 0.06
    both = assay.train(bratu, "pod-mlp", assay.sample(bratu, 4, seed=3), physics_weight=0.5, **options)
    assert both.training["snapshots"] == 4 and both.training["physics_points"] == 64
    assert errors(bratu, P, both(P)).mean() < 0.06  # of which four fields say nothing


def test_rows_of_both(few):
    twice = joined(few, few)
    assert len(twice.inputs) == 16 and twice.hash == few.hash
    np.testing.assert_array_equal(twice.fields[8:], few.fields)


def own(residual):
    """u = p (1, 2) + p^2 (1, -1), known by its solver and a residual."""
    box = assay.Box(("a",), np.array([1.0]), np.array([2.0]))
    return assay.black_box(
        lambda p: np.array([p[0] + p[0] ** 2, 2 * p[0] - p[0] ** 2]), box, name="own", residual=residual
    )


def test_where_only_a_residual_is_known():
    problem = own(lambda p, u: jnp.stack([u[0] + u[1] - 3 * p[0], u[0] - p[0] - p[0] ** 2]) * jnp.array([10.0, 1.0]))
    found = least_residual(solve_few(problem, problem.inputs, 4, 0), Plan(10), 1, 1e-6, 2)
    p = found.data.inputs[:, 0]
    np.testing.assert_allclose(found.data.fields, np.stack([p + p**2, 2 * p - p**2], axis=1), atol=1e-12)


def test_a_residual_in_numpy_cannot_be_trained_on():
    problem = own(lambda p, u: np.asarray(u) - np.array([p[0] + p[0] ** 2, 2 * p[0] - p[0] ** 2]))
    with pytest.raises(ValueError, match=r"own is not written in JAX.*jax\.numpy"):
        assay.train(problem, "pod-mlp", None)
