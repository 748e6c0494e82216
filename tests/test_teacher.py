"""Dull baselines as judges and teachers of a network: splits, who teaches, what is taught, what is only corrected."""

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import Snapshots, sample
from assay.surrogates import load, save, train
from assay.surrogates.baselines.refitted import left_out_residuals
from assay.surrogates.baselines.regression import Regression
from assay.surrogates.networks.pod.energy_loss import LossRows
from assay.surrogates.networks.pod.teacher import find_teacher, less, taught_rows, without
from assay.surrogates.training.dull import DULL, held_out, splits, targets_of
from assay.surrogates.training.pod import pod, prepare

BOX = Box(("a", "b"), [-1.0, 0.0], [1.0, 2.0])
X = np.linspace(0, 1, 6)


@pytest.fixture(scope="module")
def smooth():
    problem = black_box(lambda p: 2 + np.sin(2 * p[0] + p[1] * X), BOX)
    data = prepare(problem, sample(problem, 40))
    return problem, data, pod(data, 1e-6)


def test_few_rows_are_all_left_out_once_and_twins_together(smooth):
    _, data, V = smooth
    r = Regression.in_basis(data, V)
    found = splits(r, 0)
    assert sorted(np.concatenate([s.held for s in found]).tolist()) == list(range(40))
    assert all(not set(s.fit) & set(s.held) for s in found)
    twins = Regression(**{**r.__dict__, "groups": np.repeat(np.arange(20), 2)})
    for s in splits(twins, 0):
        assert not set(twins.groups[s.fit]) & set(twins.groups[s.held])
    assert splits(Regression(**{**r.__dict__, "groups": np.zeros(40, dtype=int)}), 0) == []


def test_the_baseline_of_the_least_mean_teaches(smooth):
    _, data, V = smooth
    teacher = find_teacher(data, V, 0)
    means = [errors.mean() for errors in teacher.judged.values()]
    assert means == sorted(means) and teacher.mean == means[0] and means[0] < teacher.error
    np.testing.assert_array_equal(teacher(data.features), targets_of(teacher.fitted[teacher.name], data.features))
    cubic = black_box(lambda p: 3 + X * p[0] ** 3 + p[1], BOX)
    data = prepare(cubic, sample(cubic, 40))
    teacher = find_teacher(data, pod(data, 1e-6), 1)
    assert teacher.name == "polynomial" and teacher.polynomial(1e-3) is teacher.fitted["polynomial"]


def test_what_one_row_less_does_not_tell_folds_tell(smooth):
    """A polynomial with a term for every row passes through each of them, whatever it is."""
    _, data, V = smooth
    r = Regression.in_basis(data.some(slice(10)), V)
    fitted = {"polynomial": DULL["polynomial"].fit(r, degree=3), "mean": DULL["mean"].fit(r, 0)}
    assert np.isnan(left_out_residuals(r, fitted["polynomial"])).all()
    judged = held_out(r, fitted, splits(r, 0), 0)
    assert list(judged) == ["polynomial", "mean"] and all(np.isfinite(e).all() for e in judged.values())


@pytest.mark.parametrize(("function", "name", "degree"), [(lambda p: p[0] * X, "linear", 1), (lambda p: X, "mean", 0)])
def test_of_those_that_are_right_to_rounding_the_simplest_teaches_and_is_corrected(function, name, degree):
    """Interpolation is right to rounding too, of whose digits none makes it the better one."""
    problem = black_box(function, BOX)
    data = prepare(problem, sample(problem, 20))
    teacher = find_teacher(data, pod(data, 1e-6), 0)
    assert teacher.name == name and teacher.judged["pod-interpolation"].mean() < 1e-14
    found = teacher.polynomial(1e-3)
    assert found.architecture["degree"] == degree
    np.testing.assert_allclose(targets_of(found, data.features), teacher(data.features), atol=1e-13)


def test_a_baseline_that_answers_no_number_is_not_known(smooth, monkeypatch):
    """Not even at the other rows, where it would be judged by fewer than the rest."""
    _, data, V = smooth
    r = Regression.in_basis(data.some(slice(10)), V)
    fitted = {"polynomial": DULL["polynomial"].fit(r, degree=3)}  # nothing is known of it but by folds
    values = DULL["polynomial"].values

    def answer(about, arrays, x, xp):
        found = values(about, arrays, x, xp)
        return np.where(x[:, :1] == r.x[3, :1], np.nan, found)

    monkeypatch.setattr(DULL["polynomial"], "values", answer)
    assert held_out(r, fitted, splits(r, 0), 0) == {}


def test_taught_rows_are_least_at_what_the_teacher_says(smooth):
    """Their loss is the mean square relative difference from it, and its minimum zero."""
    _, data, V = smooth
    teacher = find_teacher(data, V, 0)
    part = taught_rows(data, teacher, None, 0, count=30)
    Y = teacher(part.x)

    def loss(Y, part=part):
        return np.sum(part.phi * Y**2) - 2 * np.sum(part.b * Y) + part.constant

    assert abs(loss(Y)) < 1e-12
    assert loss(1.1 * Y) == pytest.approx(0.01, rel=1e-6)


def test_a_loss_for_what_is_added_is_the_loss_of_the_sum():
    rng = np.random.default_rng(0)
    B = rng.standard_normal((2, 3, 3))
    terms, part = (
        B @ B.transpose(0, 2, 1),
        LossRows(np.zeros((5, 1)), rng.random((5, 2)), rng.standard_normal((5, 3)), 1.5),
    )

    def loss(part, Y):
        return np.einsum("nq,qij,ni,nj->", part.phi, terms, Y, Y) - 2 * np.sum(part.b * Y) + part.constant

    base, added = rng.standard_normal((2, 5, 3))
    assert loss(less(part, terms, base), added) == pytest.approx(loss(part, base + added), rel=1e-12)
    some = without(part, np.array([1, 3]))
    kept = LossRows(part.x[[0, 2, 4]], part.phi[[0, 2, 4]], part.b[[0, 2, 4]], 0.0)
    mean = (loss(some, added) - 1.5) / 5
    assert mean == pytest.approx(loss(kept, added[[0, 2, 4]]) / 3, rel=1e-12)


def test_what_is_a_polynomial_is_corrected_and_not_learnt(tmp_path):
    problem = black_box(lambda p: 1 + (p[0] ** 2 - p[1]) * X + p[0] * p[1], BOX)
    s = train(problem, "pod-mlp", sample(problem, 60), widths=(8,), steps=50)
    P = BOX.sample(20, seed=5)
    truth = np.array([1 + (p[0] ** 2 - p[1]) * X + p[0] * p[1] for p in P])
    assert s.training["validation"]["corrects_polynomial"]
    np.testing.assert_allclose(s(P), truth, atol=1e-5)
    again = load(save(s, tmp_path / "corrected.assay"), problem)
    np.testing.assert_array_equal(again(P), s(P))


def test_with_physics_too_what_is_a_polynomial_is_corrected():
    """-u'' = f(p) with loads of degree one in what the network sees: nothing is left to be learnt."""
    A = np.diag(np.full(6, 2.0)) - np.diag(np.ones(5), 1) - np.diag(np.ones(5), -1)
    box = Box(("a", "b"), [-1.0, 1.0], [1.0, 2.0])
    problem = affine(
        [A], lambda p: jnp.ones(1), [X, X**2], box, load_weights=lambda p: jnp.stack([2 + p[0] * p[1], p[1]])
    )
    s = train(problem, "pod-mlp", sample(problem, 30), widths=(8,), steps=5, physics_points=64)
    P = box.sample(20, seed=5)
    assert s.training["validation"]["corrects_polynomial"] and not s.training["validation"]["taught"]
    np.testing.assert_allclose(s(P), problem.solve_batch(P), rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"base": "polynomial"}])
@pytest.mark.parametrize("load", [lambda p: p[:1], lambda p: jnp.sin(jnp.pi * p[:1])])
def test_where_nothing_loads_a_problem_physics_is_learnt_all_the_same(options, load):
    """Its solution is zero, to rounding, at corners of the box, which are among the inputs of the physics loss."""
    A = np.diag(np.full(6, 2.0)) - np.diag(np.ones(5), 1) - np.diag(np.ones(5), -1)
    box = Box(("a", "b"), [0.0, 1.0], [1.0, 2.0])
    problem = affine([A], lambda p: p[1:], [X], box, load_weights=load)
    s = train(problem, "pod-mlp", sample(problem, 30), widths=(8,), steps=100, physics_points=64, **options)
    P = box.sample(20, seed=5)
    np.testing.assert_allclose(s(P), problem.solve_batch(P), atol=1e-3)


def test_a_network_may_correct_a_polynomial_of_all_that_it_learns(tmp_path):
    """Of 24 snapshots alone a polynomial would have degree 2."""
    problem = ThermalBlock(cells=8, low=0.5, high=2.0)
    rows, P = sample(problem, 24), problem.inputs.sample(20, seed=5)
    options = {"widths": (8,), "steps": 5, "physics_points": 500}
    U = problem.solve_batch(P)

    def error(s):
        return np.mean([float(problem.relative_error(p, u, v)) for p, u, v in zip(P, s(P), U, strict=True)])

    alone = train(problem, "pod-mlp", rows, **options)
    s = train(problem, "pod-mlp", rows, **options, base="polynomial")
    assert s.training["validation"]["corrects_polynomial"] and not alone.training["validation"]["corrects_polynomial"]
    assert 10 * error(s) < error(alone)
    assert error(s) <= 1.01 * error(train(problem, "polynomial", rows, physics_weight=0.5, physics_points=500))
    told = s.training["warnings"][-1]
    assert "adds little to the polynomial that it corrects" in told and "at further inputs: train " in told
    again = load(save(s, tmp_path / "corrected.assay"), problem)
    np.testing.assert_array_equal(again(P), s(P))
    with pytest.raises(ValueError, match="base is 'polynomial', or left out, not 'mean'"):
        train(problem, "pod-mlp", rows, base="mean")
    with pytest.raises(ValueError, match="derivatives are fitted without a base"):
        train(problem, "pod-mlp", rows, base="polynomial", derivatives=1)


def test_a_base_where_fields_vanish_is_refused_before_anything_is_solved(monkeypatch):
    problem = Burgers(cells=8, steps=4)
    monkeypatch.setattr(Burgers, "solve_batch", lambda *_: pytest.fail("something was solved"))
    with pytest.raises(ValueError, match="vanish with inputs, and a polynomial would not: leave base out"):
        train(problem, "pod-mlp", None, base="polynomial")


def test_a_network_with_a_base_is_not_judged_by_one_without(smooth):
    """Alone it is tried on a part of the rows, and is worse there than with the polynomial."""
    problem, _, _ = smooth
    s = train(problem, "pod-mlp", sample(problem, 40), widths=(8,), steps=5, base="polynomial", teacher=False)
    assert s.training["validation"]["at"] == "its own snapshots"


@pytest.mark.parametrize("name", ["pod-mlp", "mlp"])
def test_one_field_times_a_known_factor_is_no_matter_for_a_network(name):
    problem = affine([np.eye(4)], None, np.ones(4), Box(("a",), [1.0], [2.0]))
    with pytest.raises(ValueError, match="one field times a factor that is known.*train mean, which is exact"):
        train(problem, name, None, physics_weight=1)
    s = train(problem, "mean", sample(problem, 2))
    np.testing.assert_allclose(s([[1.5]]), np.full((1, 4), 1 / 1.5), rtol=1e-14)


def test_fields_that_do_not_vary_are_no_matter_for_a_network():
    problem = black_box(lambda p: np.full(3, 7.0), BOX)
    s = train(problem, "pod-mlp", sample(problem, 6), widths=(8,), steps=5)
    np.testing.assert_allclose(s(BOX.sample(5, seed=1)), 7.0, rtol=1e-6)


def test_a_network_that_no_row_could_judge_says_so():
    problem = black_box(lambda p: 2 + X * p[0], BOX)
    P = np.array([0.3, 0.5]) + 1e-4 * np.random.default_rng(0).random((6, 2))
    about = (0, problem.name, problem.settings, problem.inputs)
    rows = Snapshots(P, problem.solve_batch(P), np.zeros(6), *about)
    s = train(problem, "pod-mlp", rows, widths=(4,), steps=5)
    assert "validation" not in s.training and "none could be left out to judge" in s.training["warnings"][-1]
