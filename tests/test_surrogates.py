"""``train`` and the surrogate it returns: what is refused, what is left out, how it may be called."""

import pickle
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import ARCHITECTURES, Surrogate, train

QUICK = {"pod-mlp": {"steps": 2, "widths": (8,)}, "mlp": {"steps": 20, "widths": (8,)}}
QUICK["resnet"] = {"steps": 20, "width": 8, "layers": 2}
NAMES = [name for name, kind in ARCHITECTURES.items() if name in QUICK or kind.kind == "baseline"]
SMOOTH = [name for name in NAMES if name != "nearest"]
WITH_BASIS = [name for name in NAMES if ARCHITECTURES[name].basis]


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(cells=8, low=0.5, high=2.0)


@pytest.fixture(scope="module")
def snapshots(problem):
    return sample(problem, 64)


@pytest.fixture(scope="module")
def trained(problem, snapshots):
    return {name: train(problem, name, snapshots, **QUICK.get(name, {})) for name in NAMES}


def altered(snapshots, **changes):
    kept = {k: getattr(snapshots, k) for k in ("inputs", "fields", "hash", "problem_name", "problem_settings")}
    return SimpleNamespace(**{**kept, **changes})


def test_every_row_of_the_fairness_table_is_there():
    wanted = {"pod-mlp", "mean", "nearest", "linear", "polynomial", "kernel-ridge", "random-features"}
    baselines = {name for name, kind in ARCHITECTURES.items() if kind.kind == "baseline"}
    assert baselines | {"pod-mlp"} >= wanted | {"pod-interpolation", "reduced-basis"}


@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_says_where_it_comes_from(trained, problem, snapshots, name):
    s = trained[name]
    assert isinstance(s, Surrogate) and s.name == name and s.architecture["name"] == name
    assert (s.problem_name, s.problem_settings) == ("thermal-block", problem.settings)
    assert s.box is problem.inputs and s.seed == 0 and s.data_hash == snapshots.hash
    assert s.training["dropped"] == {"failed": 0, "outside": 0, "repeated": 0} and s.training["seconds"] > 0
    assert s.versions["jax"] == jax.__version__ and s.parameters > 0


@pytest.mark.parametrize("name", WITH_BASIS)
def test_fields_are_the_basis_times_the_coefficients(trained, problem, name):
    s, P = trained[name], problem.inputs.sample(4, seed=3)
    U = s(P)
    assert isinstance(U, np.ndarray) and U.dtype == np.float64 and U.shape == (4, problem.size)
    assert s.basis.shape[0] == problem.size and not s.basis[~problem.free].any() and not U[:, ~problem.free].any()
    for c in (s.coefficients(P), jax.jit(s.coefficients)(P)):
        np.testing.assert_allclose(np.asarray(c) @ s.basis.T, U, rtol=1e-9, atol=1e-11 * np.abs(U).max())
    np.testing.assert_allclose(jax.jit(s)(P), U, rtol=1e-9, atol=1e-11 * np.abs(U).max())


@pytest.mark.parametrize("name", SMOOTH)
def test_answers_are_differentiable(trained, problem, name):
    s, p = trained[name], problem.inputs.sample(1, seed=4)[0]
    direction = np.array([0.3, -0.2, 0.5, 0.1])
    values = s.coefficients if s.has_basis else s
    _, slope = jax.jvp(lambda p: values(p[None])[0], (jnp.asarray(p),), (jnp.asarray(direction),))
    step = 1e-5
    c = np.asarray(values(np.stack([p + step * direction, p - step * direction])))
    # central differences: step^2 of truncation and about 1e-12/step of rounding
    np.testing.assert_allclose(slope, (c[0] - c[1]) / (2 * step), rtol=1e-4, atol=1e-5 * np.abs(c).max())


@pytest.mark.parametrize("name", NAMES)
def test_the_scaling_of_the_problem_is_built_in(trained, problem, name):
    """u(c p) = u(p) / c, exactly but for rounding, wherever it was trained."""
    s, p = trained[name], np.array([[0.6, 0.9, 0.7, 0.8]])
    np.testing.assert_allclose(2 * s(2 * p), s(p), rtol=1e-9, atol=1e-12 * np.abs(s(p)).max())


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_their_batch(trained, problem, name):
    s, P = trained[name], problem.inputs.sample(8, seed=5)  # padded to 1, 4, 4 and 8 rows
    np.testing.assert_allclose(np.concatenate([s(P[:1]), s(P[1:4]), s(P[4:])]), s(P), rtol=1e-10, atol=1e-13)
    assert s(P[:0]).shape == (0, problem.size)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_input_spoils_its_own_row_only(trained, problem, name):
    s, P = trained[name], problem.inputs.sample(4, seed=6)
    good = s(P)
    P[1, 2], P[3, 0] = np.nan, -1.0  # no logarithm
    U = s(P)
    assert np.isnan(U[[1, 3]][:, problem.free]).all()
    np.testing.assert_allclose(U[[0, 2]], good[[0, 2]], rtol=1e-10)
    with pytest.raises(ValueError, match=r"shape \[n, 4\]"):
        s(P[:, :3])


@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_that_has_answered_is_pickled_to_the_bit(trained, problem, name):
    s, P = trained[name], problem.inputs.sample(4, seed=7)
    U = s(P)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(s))(P), U)


@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_is_shown_in_one_line(trained, snapshots, name):
    shown = repr(trained[name])
    kind = "rank " if ARCHITECTURES[name].basis else "fields outright, "
    assert shown.startswith(f"<{name} surrogate of thermal-block: k00, k01, k10, k11 -> 81 values, {kind}")
    assert shown.endswith(f" parameters, data {snapshots.hash[:8]}>") and len(shown) < 150 and "\n" not in shown


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_repeat_others_change_nothing(problem, snapshots, name):
    """Settings chosen by rows whose twins stay in would be any: kernel ridge lost a factor of 60."""
    P, U, Q = snapshots.inputs[:40], snapshots.fields[:40], problem.inputs.sample(8, seed=8)
    once = train(problem, name, (P, U), **QUICK.get(name, {}))(Q)
    twice = train(problem, name, (np.concatenate([P, P]), np.concatenate([U, U])), **QUICK.get(name, {}))
    assert twice.training["dropped"] == {"failed": 0, "outside": 0, "repeated": 40}
    np.testing.assert_array_equal(twice(Q), once)
    near = (np.concatenate([P, P * (1 + 1e-12)]), np.concatenate([U, U]))
    np.testing.assert_allclose(train(problem, name, near, **QUICK.get(name, {}))(Q), once, rtol=1e-6, atol=1e-9)


def test_twins_that_disagree_are_averaged(problem, snapshots):
    P, U = np.repeat(snapshots.inputs[:3], 2, axis=0), np.repeat(snapshots.fields[:3], 2, axis=0)
    U = U * np.array([0.9, 1.1, 1.0, 1.0, 1.0, 1.0])[:, None]
    np.testing.assert_allclose(train(problem, "nearest", (P, U))(P), np.repeat(snapshots.fields[:3], 2, axis=0))


def test_plain_arrays_are_snapshots(problem, snapshots):
    P, U, Q = snapshots.inputs, snapshots.fields.copy(), problem.inputs.sample(3, seed=9)
    U[5] = np.nan
    s = train(problem, "linear", (P, U))
    assert s.training["dropped"] == {"failed": 1, "outside": 0, "repeated": 0}
    np.testing.assert_array_equal(train(problem, "linear", altered(snapshots, fields=U))(Q), s(Q))
    np.testing.assert_array_equal(train(problem, "linear", [P.tolist(), U.reshape(64, 81, 1)])(Q), s(Q))


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (lambda P, U: P, r"a pair \(P, U\) of inputs .* not a ndarray"),
        (lambda P, U: (P, U, U), "not a tuple"),
        (lambda P, U: (P.T, U), "transpose the inputs"),
        (lambda P, U: (P, U.T), "transpose the fields"),
        (lambda P, U: (P[:-1], U), "as many inputs as fields"),
        (lambda P, U: (P, U + 1j), "the fields have complex values: .* two components"),
        (lambda P, U: (P, np.ma.masked_greater(U, 0.0)), "the fields have values that are masked: .* NaN stands where"),
        (lambda P, U: ([{}] * 64, U), "the inputs have no numbers, but list"),
        (lambda P, U: (P[:0], U[:0]), "at least 1 snapshots; of 0, 0 failed"),
        (lambda P, U: (P, np.full_like(U, np.inf)), "of 64, 64 failed"),
    ],
)
def test_arrays_that_are_no_snapshots_are_refused(problem, snapshots, given, part):
    with pytest.raises(ValueError, match=part):
        train(problem, "mean", given(snapshots.inputs, snapshots.fields))


@pytest.mark.parametrize("name", NAMES)
def test_no_snapshots_are_too_few(problem, snapshots, name):
    with pytest.raises(ValueError, match=r"training needs at least [12] snapshots; of 0, 0 failed"):
        train(problem, name, snapshots.first(0), **QUICK.get(name, {}))
    same = (np.repeat(snapshots.inputs[:1], 5, axis=0), np.repeat(snapshots.fields[:1], 5, axis=0))
    if name in ("mean", "nearest", "reduced-basis"):
        np.testing.assert_allclose(train(problem, name, same)(same[0][:1]), same[1][:1], rtol=1e-6)
    else:
        with pytest.raises(ValueError, match="4 repeat the inputs of others, which leaves 1"):
            train(problem, name, same, **QUICK.get(name, {}))


@pytest.mark.parametrize("value", [1.0, 0.0])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "reduced-basis"])
def test_fields_that_do_not_vary_are_learnt(name, value):
    problem = black_box(lambda p: np.full(3, value), Box(("a",), [0.0], [1.0]))
    if name == "pod-mlp" and value == 0:
        with pytest.raises(ValueError, match="all 6 snapshots are zero"):
            train(problem, name, sample(problem, 6), **QUICK[name])
        return
    s = train(problem, name, sample(problem, 6), **QUICK.get(name, {}))
    np.testing.assert_allclose(s(problem.inputs.sample(3, seed=1)), value, atol=0.05 if name == "pod-mlp" else 1e-6)


def test_why_solves_failed_is_said(problem):
    def solver(p):
        if p[0] != 0.5:  # the centre of the box
            raise RuntimeError("licence server: no seats left")
        return np.ones(3)

    away = black_box(solver, Box(("a",), [0.0], [1.0]))
    with pytest.raises(ValueError, match="licence server: no seats left"):
        train(away, "mean", sample(away, 5, seed=1))


def test_a_sub_box_is_trained_on_alone(problem, snapshots):
    half = problem.inputs.split(0)[0]
    s = train(problem, "linear", snapshots, box=half)
    inside = half.contains(snapshots.inputs)
    assert s.box is half and s.training["dropped"]["outside"] == int((~inside).sum()) > 0
    alone = altered(snapshots, inputs=snapshots.inputs[inside], fields=snapshots.fields[inside])
    np.testing.assert_array_equal(train(problem, "linear", alone, box=half)(half.sample(3)), s(half.sample(3)))


def test_failed_rows_are_left_out_and_counted(problem, snapshots):
    fields = snapshots.fields.copy()
    fields[[3, 10]] = np.nan
    s = train(problem, "linear", altered(snapshots, fields=fields))
    assert s.training["dropped"] == {"failed": 2, "outside": 0, "repeated": 0}
    kept = np.delete(np.arange(64), [3, 10])
    clean = altered(snapshots, inputs=snapshots.inputs[kept], fields=snapshots.fields[kept])
    np.testing.assert_array_equal(
        s(problem.inputs.sample(3)), train(problem, "linear", clean)(problem.inputs.sample(3))
    )


def test_users_mistakes_are_named(problem, snapshots):
    with pytest.raises(ValueError, match="no surrogate called 'pod-mpl'; did you mean 'pod-mlp'"):
        train(problem, "pod-mpl", snapshots)
    with pytest.raises(ValueError, match="no option of pod-mlp called 'width'; did you mean 'widths'"):
        train(problem, "pod-mlp", snapshots, width=3)
    with pytest.raises(ValueError, match="there is no option of mean called 'degree'"):
        train(problem, "mean", snapshots, degree=3)
    with pytest.raises(ValueError, match="mean has no physics loss"):
        train(problem, "mean", snapshots, physics_weight=0.5)
    with pytest.raises(ValueError, match="linear is learnt from snapshots"):
        train(problem, "linear", None)
    with pytest.raises(ValueError, match="the seed must be a whole number"):
        train(problem, "linear", snapshots, seed=-1)
    with pytest.raises(ValueError, match="seconds is a finite number above 0, not 0"):
        train(problem, "pod-mlp", snapshots, seconds=0)


def test_unusable_snapshots_are_refused(problem, snapshots):
    with pytest.raises(ValueError, match=r"at least 2 snapshots; of 1, 0 failed"):
        train(problem, "linear", altered(snapshots, inputs=snapshots.inputs[:1], fields=snapshots.fields[:1]))
    with pytest.raises(ValueError, match=r"of 64, 64 failed"):
        train(problem, "linear", altered(snapshots, fields=np.full_like(snapshots.fields, np.nan)))
    with pytest.raises(ValueError, match="cells is 16 there and 8 here"):
        train(problem, "linear", altered(snapshots, problem_settings={**problem.settings, "cells": 16}))
    with pytest.raises(ValueError, match="snapshots of heat, not of thermal-block"):
        train(problem, "linear", altered(snapshots, problem_name="heat"))
    for size in (1e-200, 1e200):
        with pytest.raises(ValueError, match="whose square float64 does not hold: give the fields in other units"):
            train(problem, "linear", (snapshots.inputs, size * snapshots.fields))
    with pytest.raises(ValueError, match=r"fields \[n, 81\]"):
        train(problem, "linear", altered(snapshots, fields=snapshots.fields[:, :-1]))


def test_a_box_that_is_not_inside_is_refused(problem, snapshots):
    wide = problem.inputs.replace(upper=np.array([2.0, 2.0, 3.0, 2.0]))
    with pytest.raises(ValueError, match=r"inside the problem's: k10 is \[0.5, 3\]"):
        train(problem, "linear", snapshots, box=wide)
    with pytest.raises(ValueError, match="has inputs a; the problem has k00"):
        train(problem, "linear", snapshots, box=Box(("a",), [0.0], [1.0]))


def test_prescribed_values_are_the_problems_own():
    """One initial state for all inputs is one more mode; values that go with the inputs leave no basis."""
    problem = Heat(cells=4, steps=3)
    snapshots = sample(problem, 16)
    s, P = train(problem, "linear", snapshots), problem.inputs.sample(3, seed=8)
    U = s(P)
    zero, one = (np.stack([np.asarray(problem.prescribe(p, np.full(problem.size, v))) for p in P]) for v in (0.0, 1.0))
    held = zero == one
    assert held.any() and zero[held].any()
    np.testing.assert_array_equal(U[held], zero[held])
    assert s.has_lift
    np.testing.assert_allclose(s.coefficients(P) @ s.basis.T, U, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal((s.coefficients(P) @ s.basis.T)[held], zero[held])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(s.coefficients))(P), s.coefficients(P))
    other = Burgers(cells=8, steps=2)
    varying = train(other, "linear", sample(other, 16))
    assert varying.has_lift and not hasattr(varying, "basis") and not hasattr(varying, "coefficients")
    np.testing.assert_allclose(jax.jit(s)(P), U, rtol=1e-10, atol=1e-13)


def test_physics_alone_needs_physics():
    problem = black_box(lambda p: np.ones(3), Box(("a",), [0.0], [1.0]))
    with pytest.raises(ValueError, match="black-box has no residual, so that no physics can be trained on"):
        train(problem, "pod-mlp", None)


def test_a_problem_known_by_its_solver_alone_is_learnt():
    """Linear in its inputs, so the linear baseline is exact; there is no physics to train on."""
    A = np.random.default_rng(0).standard_normal((7, 2))
    problem = black_box(lambda p: 1 + A @ p, Box(("a", "b"), [0.0, 0.0], [1.0, 2.0]))
    snapshots, P = sample(problem, 40), problem.inputs.sample(5, seed=1)
    for name in ("linear", "polynomial", "pod-interpolation"):
        np.testing.assert_allclose(train(problem, name, snapshots)(P), 1 + P @ A.T, atol=1e-7)
    s = train(problem, "pod-mlp", snapshots, steps=50, widths=(8,))
    assert s.training["physics_weight"] == 0
    assert np.linalg.norm(s(P) - 1 - P @ A.T) < 0.05 * np.linalg.norm(1 + P @ A.T)
    with pytest.raises(ValueError, match="black-box has no residual"):
        train(problem, "pod-mlp", snapshots, physics_weight=0.5)
    with pytest.raises(ValueError, match="black-box is not affine in few terms"):
        train(problem, "reduced-basis", snapshots)


def test_progress_is_told(problem, snapshots):
    told = []
    train(problem, "pod-mlp", snapshots, progress=lambda *args: told.append(args), **QUICK["pod-mlp"])
    assert [done for done, _, _ in told] == [1, 2] and all(total == 2 for _, total, _ in told)
    assert all(word in told[-1][2] for word in ("loss", "steps/s", "s left"))
