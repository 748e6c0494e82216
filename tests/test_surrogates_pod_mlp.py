"""The network: its loss against what it says it is, its accuracy against the solver, interruption, physics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import load, save, train
from assay.surrogates.baselines.regression import Regression
from assay.surrogates.networks.pod.energy_loss import (
    RIDGE,
    assemble,
    best_head,
    field_rows,
    inverse,
    loss_of,
    physics_rows,
    with_constant,
)
from assay.surrogates.training.dull import UNJUDGED
from assay.surrogates.training.optimise import steps_done
from assay.surrogates.training.pod import pod, prepare, solve_few
from assay.surrogates.training.reduced_operator import ReducedOperator
from assay.verify.enclose import enclose

# One network and 160 rows of loss throughout: then L-BFGS is compiled once.
WIDTHS = (32, 24)
SMALL = {"widths": WIDTHS, "physics_points": 80}


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(cells=16, low=10**-0.5, high=10**0.5)


@pytest.fixture(scope="module")
def snapshots(problem):
    return sample(problem, 160)


@pytest.fixture(scope="module")
def half(snapshots):
    return snapshots.first(80)


@pytest.fixture(scope="module")
def parts(problem, snapshots):
    data = prepare(problem, snapshots)
    V = pod(data, 1e-5)
    return data, V, ReducedOperator.of(problem, V)


def relative_errors(problem, surrogate, P):
    U = np.asarray(surrogate(P))
    return np.array([float(problem.relative_error(p, u, problem.solve(p))) for p, u in zip(P, U, strict=True)])


def layer(data, width=9):
    rng = np.random.default_rng(1)
    x = jnp.asarray(data.features)
    return with_constant(jnp.tanh(x @ rng.standard_normal((x.shape[1], width)) + rng.standard_normal(width)))


def test_the_loss_is_the_mean_square_relative_energy_error(problem, parts):
    data, V, operator = parts
    rows, T = assemble([(1.0, field_rows(data, V, operator))], operator.terms)
    h = layer(data)
    W = np.asarray(best_head(h, rows))
    U = data.amplitudes[:, None] * ((np.asarray(h) @ W) @ T.T @ V.T)
    relative = jax.vmap(problem.relative_error)(jnp.asarray(data.inputs), jnp.asarray(U), jnp.asarray(data.fields))
    # const - 2 b.y + y'Ay cancels to 1e-15 of its terms, which are about one
    assert float(loss_of(h, rows)) == pytest.approx(float(jnp.mean(relative**2)) + RIDGE * np.sum(W**2), abs=1e-13)


def test_the_last_layer_is_the_minimiser(parts):
    data, V, operator = parts
    rows, _ = assemble([(1.0, field_rows(data, V, operator))], operator.terms)
    h = layer(data)
    W = np.asarray(best_head(h, rows))
    phi, G, H = np.asarray(rows.phi), np.asarray(rows.terms), np.asarray(h)
    dense = sum(np.kron((H * phi[:, q : q + 1]).T @ H, G[q]) for q in range(4)) + RIDGE * np.eye(W.size)
    exact = np.linalg.solve(dense, (H.T @ np.asarray(rows.b)).ravel()).reshape(W.shape)
    gap = (W - exact).ravel()
    assert gap @ dense @ gap < 1e-16 * (exact.ravel() @ dense @ exact.ravel())  # energy error below 1e-8


def test_the_gradient_needs_no_derivative_of_the_last_layer(parts):
    data, V, operator = parts
    rows, _ = assemble([(1.0, field_rows(data, V, operator))], operator.terms)
    kernel = np.random.default_rng(2).standard_normal((4, 6))
    bias = np.random.default_rng(3).standard_normal(6)

    def loss(kernel):
        return loss_of(with_constant(jnp.tanh(rows.x @ kernel + bias)), rows)

    direction = np.random.default_rng(4).standard_normal((4, 6))
    slope = float(jnp.vdot(jax.grad(loss)(kernel), direction))
    step = 1e-4
    difference = float(loss(kernel + step * direction) - loss(kernel - step * direction)) / (2 * step)
    assert slope == pytest.approx(difference, rel=1e-5)


def test_the_energy_functional_vanishes_at_the_galerkin_solution(problem, parts):
    """Physics rows know no field, yet their minimiser is the Galerkin solution, where they count no error."""
    data, V, operator = parts
    P = problem.inputs.sample(20, seed=5)
    x, s = (np.asarray(a) for a in jax.vmap(problem.features)(P))
    part = physics_rows(P, x, s, operator)
    A, g = operator.system(P)
    y = np.linalg.solve(A, g[:, :, None])[:, :, 0] / s[:, None]
    energy = np.einsum("nq,qij,ni,nj->", part.phi, operator.terms, y, y)
    assert abs(energy - 2 * np.sum(part.b * y) + part.constant) < 1e-13
    worse = 1.01 * y
    energy = np.einsum("nq,qij,ni,nj->", part.phi, operator.terms, worse, worse)
    assert energy - 2 * np.sum(part.b * worse) + part.constant == pytest.approx(1e-4, rel=1e-6)


def test_fields_and_physics_agree_where_both_are_known(problem, parts):
    """V'A(p)u = V'f: at a snapshot both losses are the same quadratic form, but for their row weights."""
    data, V, operator = parts
    fields = field_rows(data, V, operator)
    physics = physics_rows(data.inputs, data.features, data.amplitudes, operator)
    np.testing.assert_allclose(fields.b / fields.phi[:, :1], physics.b / physics.phi[:, :1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fields.phi, physics.phi, rtol=1e-6)


def test_gauss_jordan_inverts():
    A = np.random.default_rng(0).standard_normal((30, 12))
    A = A.T @ A
    np.testing.assert_allclose(np.asarray(inverse(jnp.asarray(A))) @ A, np.eye(12), atol=1e-10)


def test_the_network_is_accurate_and_physics_cuts_its_worst_error(problem, snapshots, half):
    """Against the solver, with fields alone, with both, and without any; the full size does better by far."""
    options = {"steps": 280, "widths": WIDTHS}
    units = np.array([[a, b, c, d] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)], dtype=float)
    corners, inner = problem.inputs.from_unit(units), problem.inputs.sample(32, seed=9)
    fields = train(problem, "pod-mlp", snapshots, physics_weight=0.0, **options)
    assert fields.training["snapshots"] == 160 and fields.training["physics_points"] == 0
    assert fields.training["loss"] < 1e-6
    assert relative_errors(problem, fields, inner).mean() < 1e-3
    mixed = train(problem, "pod-mlp", half, physics_points=80, **options)
    assert mixed.training["physics_weight"] == 0.5
    assert relative_errors(problem, mixed, corners).max() < relative_errors(problem, fields, corners).max() / 3
    alone = train(problem, "pod-mlp", None, physics_points=160, **options)
    assert alone.training["physics_weight"] == 1 and alone.training["snapshots"] == 0
    assert alone.training["solved_in_training"] == 32
    assert relative_errors(problem, alone, inner).mean() < 1e-2


def test_physics_alone_reads_the_basis_of_32_snapshots_and_nothing_else(problem, snapshots):
    """Fields three times too large span the same basis: a loss that fitted them would be three times off."""
    from types import SimpleNamespace

    about = {"problem_name": problem.name, "problem_settings": problem.settings, "hash": snapshots.hash}
    fields = 3 * snapshots.fields
    fields[32:] = np.random.default_rng(0).standard_normal(fields[32:].shape)
    wrong = SimpleNamespace(inputs=snapshots.inputs, fields=fields, **about)
    P = problem.inputs.sample(8, seed=9)
    s, t = (
        train(problem, "pod-mlp", data, steps=3, physics_weight=1, widths=WIDTHS, physics_points=160)
        for data in (snapshots, wrong)
    )
    np.testing.assert_allclose(s(P), t(P), rtol=1e-5, atol=1e-7 * np.abs(s(P)).max())


def test_physics_alone_is_judged_at_the_solves_of_its_basis(problem, monkeypatch):
    """None of their fields is learnt: what it says of them is an error at rows left out, and costs no trained bit."""
    options = {"steps": 3, "widths": WIDTHS, "physics_points": 160}
    s = train(problem, "pod-mlp", None, **options)
    r = Regression.in_basis(solve_few(problem, problem.inputs, 32, 0), s.arrays["basis"])
    said = np.asarray(s.coefficients(r.data.inputs)) / r.data.amplitudes[:, None]
    found = s.training["validation"]
    assert found["network"] == pytest.approx(r.mean_error(said), rel=1e-9)
    assert found["at"] == "snapshots whose fields it did not learn"
    (warning,) = s.training["warnings"]
    assert min(found["dull"].values()) < 0.5 * found["network"] and "which costs nothing" in warning
    assert warning.endswith("or the network with more steps or physics_points")
    monkeypatch.setattr("assay.surrogates.networks.pod.pod_mlp.find_teacher", lambda data, V, seed: None)
    alone = train(problem, "pod-mlp", None, **options)
    assert alone.training["warnings"] == [UNJUDGED]
    assert all(np.array_equal(a, alone.arrays[key]) for key, a in s.arrays.items())


def test_smoothness_makes_weights_smaller_and_skips_are_kept_in_the_file(problem, half, tmp_path):
    def squares(surrogate):
        return sum(np.sum(a**2) for key, a in surrogate.arrays.items() if key.startswith("hidden") and "kernel" in key)

    options = {"steps": 60, "widths": (12, 12), "physics_points": 80}
    rough = train(problem, "pod-mlp", half, **options)
    smooth = train(problem, "pod-mlp", half, smoothness=1e-3, skip=True, **options)
    assert squares(smooth) < 0.7 * squares(rough)
    P = problem.inputs.sample(4, seed=1)
    again = load(save(smooth, tmp_path / "smooth.assay"), problem)
    np.testing.assert_array_equal(again(P), smooth(P))
    assert again.architecture["skip"] and not rough.architecture["skip"]
    a = again.arrays  # x + tanh(..) in the second layer, whose width is the first's
    features = (np.stack([np.asarray(problem.features(p)[0]) for p in P]) - a["shift"]) * a["gain"]
    h = np.tanh(features @ a["hidden_0.kernel"] + a["hidden_0.bias"])
    h = h + np.tanh(h @ a["hidden_1.kernel"] + a["hidden_1.bias"])
    scale = np.array([float(problem.features(p)[1]) for p in P])
    wanted = scale[:, None] * (h @ a["head.kernel"] + a["head.bias"])
    np.testing.assert_allclose(np.asarray(again.coefficients(P)), wanted, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="smoothness is a finite number of at least 0, not -1.0"):
        train(problem, "pod-mlp", half, smoothness=-1.0, **options)


class Stop(Exception):
    """What interrupts the runs below."""


def weights_of(surrogate):
    return {key: a for key, a in surrogate.arrays.items() if key.startswith(("hidden", "head"))}


@pytest.fixture(scope="module")
def straight(problem, half):
    """A run that nothing interrupted."""
    return train(problem, "pod-mlp", half, steps=64, **SMALL)


@pytest.mark.parametrize("when", [7, 55])
def test_an_interrupted_run_goes_on_to_the_bit(problem, half, straight, tmp_path, monkeypatch, when):
    """Stopped in Adam or in L-BFGS; chunks of other lengths change nothing."""
    file = tmp_path / "state"
    monkeypatch.setattr("assay.surrogates.training.optimise.PAUSE", 0.0)  # chunks of one step

    def stop(done, total, note):
        if done >= when:
            raise Stop

    with pytest.raises(Stop):
        train(problem, "pod-mlp", half, steps=64, checkpoint=file, progress=stop, **SMALL)
    assert steps_done(file) == when and steps_done(tmp_path / "none") == 0
    seen = []
    resumed = train(
        problem, "pod-mlp", half, steps=64, checkpoint=file, progress=lambda d, t, n: seen.append((d, n)), **SMALL
    )
    assert seen[0] == (when, f"going on from step {when}")
    assert seen[1][0] == when + 1 and resumed.training["steps"] == 64
    assert all(np.array_equal(a, weights_of(resumed)[key]) for key, a in weights_of(straight).items())
    again = train(problem, "pod-mlp", half, steps=64, checkpoint=file, **SMALL)
    assert all(np.array_equal(a, weights_of(again)[key]) for key, a in weights_of(straight).items())


def test_the_clock_stops_a_run(problem, half):
    s = train(problem, "pod-mlp", half, seconds=1e-6, **SMALL)
    assert s.training["stopped"] == "seconds" and s.training["steps"] == 0
    assert s.training["warnings"][0].startswith("no step was made in seconds=1e-06: compiling")
    assert np.isfinite(s(problem.inputs.sample(4))).all()


def test_a_run_that_diverged_says_so(problem, half, monkeypatch):
    monkeypatch.setattr("assay.surrogates.training.optimisers.RATE", float("inf"))
    with np.errstate(all="ignore"):
        s = train(problem, "pod-mlp", half, steps=5, optimiser="adam", **SMALL)
    assert s.training["stopped"] == "diverged" and s.training["warnings"][0] == (
        "training diverged after 0 steps, and its last good state was kept: another optimiser (lbfgs, adam), "
        "smoothness=1e-8, or fewer modes (max_rank) are the likely remedies"
    )
    assert np.isfinite(s(problem.inputs.sample(4))).all()


@pytest.mark.parametrize(("name", "more"), [("pod-mlp", {"steps": 1, **SMALL}), ("reduced-basis", {})])
def test_more_modes_than_snapshots_are_told_of_where_they_were_asked_for(problem, half, name, more):
    few = half.first(10)
    s = train(problem, name, few, max_rank=11, **more)
    has = s.basis.shape[1]
    said = (
        "max_rank=11 asks for more modes than the 10 snapshots have that the basis is made of, which has "
        f"{has}: take more snapshots, or max_rank={has}"
    )
    assert said in s.training["warnings"]
    for options in ({}, {"max_rank": 10}):  # the default is more
        told = train(problem, name, few, **options, **more).training["warnings"]
        assert not any(line.startswith("max_rank") for line in told)


def test_seeds_matter_and_repeat(problem, half):
    options = {"steps": 3, **SMALL}
    one, same, other = (train(problem, "pod-mlp", half, seed=seed, **options) for seed in (1, 1, 2))
    assert all(np.array_equal(a, weights_of(same)[key]) for key, a in weights_of(one).items())
    assert not np.array_equal(weights_of(one)["hidden_0.kernel"], weights_of(other)["hidden_0.kernel"])


def test_a_foreign_training_checkpoint_is_refused(problem, half, tmp_path):
    file = tmp_path / "state"
    train(problem, "pod-mlp", half, steps=3, checkpoint=file, **SMALL)
    with pytest.raises(ValueError, match="belongs to another training run"):
        train(problem, "pod-mlp", half, steps=3, seed=5, checkpoint=file, **SMALL)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged, or no training checkpoint"):
        train(problem, "pod-mlp", half, steps=3, checkpoint=file, **SMALL)


def test_without_few_terms_the_reference_norm_is_learnt():
    problem = LognormalDiffusion(d=2, cells=8)
    snapshots = sample(problem, 48)
    s = train(problem, "pod-mlp", snapshots, steps=50, widths=(16,))
    assert s.training["physics_weight"] == 0
    assert relative_errors(problem, s, problem.inputs.sample(16, seed=3)).mean() < 0.02


def test_the_coefficients_can_be_enclosed_over_boxes(problem, half):
    s = train(problem, "pod-mlp", half, steps=3, **SMALL)
    p = np.array([0.8, 1.2, 1.0, 0.9])
    low, high = p * (1 - 1e-3), p * (1 + 1e-3)
    lower, upper = enclose(lambda p: s.coefficients(p[None])[0], low, high)
    inside = np.asarray(s.coefficients(low + np.random.default_rng(0).random((50, 4)) * (high - low)))
    assert (np.asarray(lower) <= inside).all() and (inside <= np.asarray(upper)).all()
    assert np.isfinite(upper - lower).all()


def test_settings_out_of_range_are_refused(problem, snapshots):
    for options, words in (
        ({"physics_weight": 1.5}, "share between 0"),
        ({"widths": ()}, "widths is one or more whole numbers of at least 1"),
        ({"widths": (0,)}, "widths is one or more whole numbers of at least 1"),
        ({"tolerance": 0.0}, "tolerance is a finite number above 0, not 0.0"),
    ):
        with pytest.raises(ValueError, match=words):
            train(problem, "pod-mlp", snapshots, **options)
    with pytest.raises(ValueError, match="only physics can be trained on"):
        train(problem, "pod-mlp", None, physics_weight=0.5)


def test_few_solves_are_the_problems_own(problem):
    data = solve_few(problem, problem.inputs, 4, seed=0)
    np.testing.assert_array_equal(data.fields, np.asarray(problem.solve_batch(problem.inputs.sample(4, seed=0))))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pod-mlp", {"widths": (8,)}),
        ("mlp", {"widths": (8,)}),
        ("autoencoder", {}),
        ("rollout", {"base": "polynomial"}),
    ],
)
def test_an_answer_vanishes_where_the_field_does(name, options, tmp_path):
    """Relative errors near zero were the worst of Burgers: 73 % found by a search, of networks of fields 2600 %."""
    problem = Burgers(cells=16, steps=6)
    snapshots = sample(problem, 48)
    s = train(problem, name, snapshots, steps=30, **options)
    p = problem.inputs.centre
    np.testing.assert_allclose(s(p[None]), 0.0, atol=1e-14)
    small = np.concatenate([p[:1], 1e-6 * np.array([1.0, -0.5, 0.7])])
    near, far = s(small[None])[0], s(np.concatenate([p[:1], 2 * small[1:]])[None])[0]
    np.testing.assert_allclose(far, 2 * near, rtol=1e-4, atol=1e-10)  # linear there
    again = load(save(s, tmp_path / "burgers.assay"), problem)
    np.testing.assert_array_equal(again(snapshots.inputs), s(snapshots.inputs))
