"""Networks that give fields outright: prescribed values, physics, early stopping, going on, projection, files."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.datasets.dataset import dataset, rows_of
from assay.solvers.problem import Attempt, Problem
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.problems.wave import Wave
from assay.solvers.snapshots.sample import sample
from assay.surrogates import load, save, train
from assay.surrogates.baselines.regression import Regression
from assay.surrogates.networks import field_loss
from assay.surrogates.networks.base_field import base_fields
from assay.surrogates.networks.field_loss import held_rows
from assay.surrogates.networks.field_network import field_normaliser, normalised
from assay.surrogates.networks.resnet import RESNET, change_per_layer
from assay.surrogates.networks.vanishing import VANISH
from assay.surrogates.surrogate import scaled_features
from assay.surrogates.training.dull import DULL, little_added, targets_of
from assay.surrogates.training.optimise import Outcome, clock_warning
from assay.surrogates.training.pod import prepare
from assay.verify.answers.evaluate import captured
from assay.verify.proofs.prover import prover

SMALL = {"widths": (8,)}


@dataclass(frozen=True)
class Halves(Problem):
    """(p, p, p^3, p^3), of which the first two are prescribed."""

    inputs = Box(("p",), [1.0], [2.0])
    shape = (1, 4, 1)
    coordinates = np.arange(4.0)[:, None]
    norm_name = "Euclidean norm"

    def solve_jax(self, p, tolerance=None):
        u = self.prescribe(p, jnp.full(4, p[0] ** 3))
        return Attempt(u, jnp.zeros(()), jnp.asarray(1), jnp.asarray(0))

    def prescribe(self, p, u):
        return jnp.where(jnp.arange(4) < 2, p[0], u)

    def norm(self, p, u):
        return jnp.sqrt(jnp.sum(u**2))


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(cells=8, low=0.5, high=2.0)


@pytest.fixture(scope="module")
def snapshots(problem):
    return sample(problem, 32)


@pytest.fixture(scope="module")
def trained(problem, snapshots):
    return train(problem, "mlp", snapshots, steps=120, **SMALL)


def same_arrays(one, other):
    return set(one.arrays) == set(other.arrays) and all(
        np.array_equal(one.arrays[k], other.arrays[k]) for k in one.arrays
    )


class Interrupting:
    def __init__(self, at):
        self.at = at

    def __call__(self, done, total, note):
        if done >= self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "options", [{}, {"optimiser": "lbfgs"}, {"optimiser": "muon", "power": 1}, {"physics_weight": 0.3}]
)
def test_an_interrupted_training_goes_on_to_the_same_bits(problem, snapshots, tmp_path, options):
    options = {"steps": 260, "batch": 8, "physics_points": 16, **SMALL, **options}
    whole = train(problem, "mlp", snapshots, **options)
    file = tmp_path / "checkpoint"
    for at in (60, 210):
        with pytest.raises(KeyboardInterrupt):
            train(problem, "mlp", snapshots, checkpoint=file, progress=Interrupting(at), **options)
    assert same_arrays(train(problem, "mlp", snapshots, checkpoint=file, **options), whole)
    with pytest.raises(ValueError, match="another training run"):
        train(problem, "mlp", snapshots, checkpoint=file, **{**options, "batch": 9})


def test_the_weights_that_were_best_at_held_out_rows_are_kept(trained):
    assert trained.training["held_out"] == 4
    curve = trained.training["curve"]
    assert len(curve) == 3 and curve == sorted(curve, reverse=True)  # after 0, 50 and 100 steps: the best yet
    assert trained.training["validation"]["network"] ** 2 <= curve[-1]


def test_a_dull_baseline_that_is_better_is_told(problem, snapshots):
    little = train(problem, "mlp", snapshots, steps=2, **SMALL)
    dull = little.training["validation"]["dull"]
    assert set(dull) == set(DULL) and dull["kernel-ridge"] < dull["mean"]
    assert little.training["base"] == min(("mean", "linear", "polynomial"), key=lambda name: dull[name])
    (warning,) = train(problem, "mlp", snapshots, steps=2, base="mean", **SMALL).training["warnings"]
    assert f"{min(dull, key=lambda name: dull[name])}, which costs nothing" in warning


def test_baselines_are_judged_in_the_norm_that_the_network_is(snapshots, problem):
    """Theirs are the errors of the same baselines trained on the rows that are not held out; the problem's own norm
    weighs every input otherwise than that of the basis.
    """
    r = Regression.of(problem, snapshots, None)
    held = held_rows(r.data, 0)
    dull = train(problem, "mlp", snapshots, steps=1, **SMALL).training["validation"]["dull"]
    kept, left = rows_of(snapshots, ~held), rows_of(snapshots, held)
    for name in ("linear", "kernel-ridge"):
        alone = train(problem, name, kept)
        known = jax.vmap(problem.relative_error)(left.inputs, alone(left.inputs), left.fields)
        assert dull[name] == pytest.approx(float(jnp.mean(known)), rel=0.02)  # scaled by all rows, not by those kept
    kept_rows, left_rows = np.flatnonzero(~held), np.flatnonzero(held)
    in_basis = r.mean_error(targets_of(DULL["linear"].fit(r.some(kept_rows)), r.x[held]), left_rows)
    assert in_basis < 0.95 * dull["linear"]  # .0560 and .0604: the other norm would not pass


def test_a_network_that_adds_nothing_to_what_it_corrects_says_so():
    """Fields that have nothing to do with their inputs."""
    drawn = np.random.default_rng(0)
    noise = dataset(drawn.random((40, 2)), 1 + 0.1 * drawn.standard_normal((40, 6)), np.linspace(0, 1, 6))
    s = train(noise.problem, "mlp", noise.snapshots, steps=1, **SMALL)
    (warning,) = s.training["warnings"]
    assert s.training["base"] == "mean" and warning.startswith("the network adds little to the mean that it corrects")
    assert little_added("polynomial", 0.02, 0.02, 0.0179) == [] and little_added("mean", np.inf, np.inf, 0.5) == []
    (told,) = little_added("polynomial", 0.02, 0.018, 0.0181)
    assert "a relative error of 0.018 after 0.02 at left-out snapshots: train polynomial instead" in told
    (told,) = little_added("polynomial", 0.02, 0.021, 0.0181)  # the baseline itself is worse
    assert "at left-out snapshots: train the network with more snapshots" in told


def told_at(problem, rows):
    """The mean error of a surrogate at rows, in the problem's own norm."""
    return lambda s: float(jnp.mean(jax.vmap(problem.relative_error)(rows.inputs, s(rows.inputs), rows.fields)))


@pytest.mark.parametrize("options", [{"project": 1}, {"norm": "l2"}, {"physics_weight": 1.0, "physics_points": 16}])
def test_the_network_is_judged_as_it_answers(problem, snapshots, options):
    """Also where its loss is in another norm, its field is projected afterwards, or it learns no field at all."""
    s = train(problem, "mlp", snapshots, steps=20, **SMALL, **options)
    error = told_at(problem, rows_of(snapshots, held_rows(Regression.of(problem, snapshots, None).data, 0)))
    found = s.training["validation"]
    assert found["network"] == pytest.approx(error(s), rel=1e-9)
    best = min(found["dull"], key=lambda name: found["dull"][name])
    assert found["network"] > 1.1 * found["dull"][best]
    assert s.training["warnings"][0].startswith(f"{best}, which costs nothing, has a relative error of")


def test_baselines_get_the_prescribed_values_that_they_would_have_alone():
    """Beside a network that has to learn them, too. Without, the half of the field that is known would be missing."""
    known = Halves()
    data = sample(known, 24)
    held = held_rows(Regression.of(known, data, None).data, 0)
    error, alone = told_at(known, rows_of(data, held)), train(known, "linear", rows_of(data, ~held))
    s = train(known, "mlp", data, steps=1, constraints="soft", **SMALL)
    assert s.training["validation"]["dull"]["linear"] == pytest.approx(error(alone), abs=1e-12)
    assert s.training["validation"]["network"] > 0.1 and "which costs nothing" in s.training["warnings"][0]


@pytest.mark.parametrize(
    ("rows", "said"), [(12, "12 snapshots are too few to leave any out"), (20, "none could be left out to judge")]
)
def test_a_network_that_no_row_can_judge_says_so(rows, said):
    drawn = np.random.default_rng(0).random((rows, 2))
    P = drawn if rows < 16 else 0.5 + 1e-4 * drawn
    data = dataset(P, 1 + drawn, np.arange(2.0), box=Box(("a", "b"), [0.0, 0.0], [1.0, 1.0]))
    s = train(data.problem, "mlp", data.snapshots, steps=1, **SMALL)
    assert "validation" not in s.training and said in s.training["warnings"][-1]


@pytest.mark.parametrize("zeros", [slice(None, None, 4), slice(None)])
def test_solutions_that_are_zero_are_learnt_like_others(zeros):
    """Their errors are divided by the size of the others, not by nothing; a norm without a slope there does no harm."""
    drawn = np.random.default_rng(0).random((24, 2))
    fields = np.repeat(1 + drawn[:, :1], 3, axis=1)
    fields[zeros] = 0.0
    data = dataset(drawn, fields, np.arange(3.0))
    s = train(data.problem, "mlp", data.snapshots, steps=60, **SMALL)
    assert s.training["stopped"] == "steps" and s.training["validation"]["network"] < 1
    assert max(s.training["validation"]["dull"].values()) < 2


@pytest.mark.parametrize(("base", "power"), [("linear", 1), ("polynomial", 3)])
def test_what_a_baseline_knows_is_not_learnt_again(base, power):
    """Fields that are a polynomial of the inputs: the network starts from them, in a file too."""
    exact = black_box(
        lambda p: np.array([1 + p[0] ** power, 2 - p[1], p[0] * (base != "linear") * p[1]]),
        Box(("a", "b"), [0.0, 0.0], [1.0, 1.0]),
        size=3,
    )
    model = train(exact, "mlp", sample(exact, 40), steps=1, **SMALL)
    assert model.training["base"] == base
    P = exact.inputs.sample(50, seed=3)
    U = np.asarray(exact.solve_batch(P))
    # what the polynomial leaves, 1e-13, times a network that has learnt nothing
    assert np.abs(model(P) - U).max() <= 1e-10
    assert model.parameters == train(exact, "mlp", sample(exact, 40), steps=1, base="mean", **SMALL).parameters + (
        model.arrays["base.values"].size
    )


def test_an_operator_network_of_functions_corrects_the_mean():
    """A linear map of their values is the best at left-out rows, and still no base; of numbers it would be one."""
    u = np.random.default_rng(3).standard_normal((40, 6, 1))
    data = dataset(u, np.einsum("ij,njc->nic", np.linspace(0, 1, 36).reshape(6, 6), u), np.arange(6.0))
    rows = data.snapshots
    made = {name: train(data.problem, name, rows, steps=2, batch=8) for name in ("transformer", "mlp")}
    assert made["transformer"].training["validation"]["dull"]["linear"] < 1e-6
    assert {name: m.training["base"] for name, m in made.items()} == {"transformer": "mean", "mlp": "linear"}
    asked = train(data.problem, "transformer", rows, steps=2, batch=8, base="linear")
    assert asked.training["base"] == "linear" and np.abs(asked(rows.inputs) - rows.fields).max() < 1e-6


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        ("mean", Heat(cells=4, steps=4)),
        ("polynomial", Heat(cells=4, steps=4)),
        ("mean", Burgers(cells=8, steps=3)),  # nothing there, for solutions vanish with inputs
    ],
    ids=["mean", "polynomial", "nothing"],
)
def test_a_network_that_steps_without_a_rate_keeps_to_its_base(base, problem):
    """Its correction stays what it is at the start: nothing of a polynomial, of a mean what its first state lacks."""
    data = sample(problem, 16)
    model = train(problem, "rollout", data, steps=1, width=4, base=base)
    assert model.training["base"] == base
    stopped = {key: 0 * a if "head" in key or "begin" in key else a for key, a in model.arrays.items()}
    P = jnp.asarray(data.inputs)
    found = np.asarray(replace(model, arrays=stopped)(P)).reshape(16, *problem.shape)
    x, s = scaled_features(problem, model.arrays, P)
    known = np.asarray(s)[:, None, None, None] * np.asarray(base_fields(model.arrays, x)).reshape(-1, *problem.shape)
    assert known.any() != (VANISH in model.arrays)
    truths = np.asarray(data.fields).reshape(found.shape)
    if base == "mean":
        known = known + truths[:, :1] - known[:, :1]
    np.testing.assert_array_equal(found[:, 0], truths[:, 0])
    np.testing.assert_allclose(found[:, 1:], known[:, 1:], rtol=0, atol=1e-13)


@pytest.mark.parametrize("base", ["mean", "polynomial"])
def test_nothing_of_rows_held_out_is_in_what_a_network_keeps(base, problem):
    """Its mean, its scale, what it corrects and what it is projected on, whatever stands in these rows."""
    data = sample(problem, 32)
    fields, held = np.asarray(data.fields), held_rows(prepare(problem, data), seed=0)
    spoilt = np.where(held[:, None], fields * np.random.default_rng(0).normal(size=fields.shape), fields)
    options = {"steps": 1, "base": base, "project": 3, **SMALL}
    first, second = (train(problem, "mlp", (data.inputs, U), **options).arrays for U in (fields, spoilt))
    kept = [key for key in first if key.startswith(("norm.", "base.")) or key in ("basis", "dual")]
    assert held.sum() == 4 and {"norm.mean", "norm.scale", "basis"} <= set(kept)
    for key in kept:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def test_networks_vanish_only_where_a_box_has_small_solutions():
    problem = Burgers(cells=8, steps=3)
    for low, there in ((-0.5, True), (0.25, False)):
        box = Box(problem.inputs.names, [0.01, *[low] * 3], problem.inputs.upper)
        P = box.sample(24, seed=0)
        s = train(problem, "mlp", (P, np.asarray(problem.solve_batch(P))), box=box, steps=1, **SMALL)
        assert (VANISH in s.arrays) == there


def test_prescribed_values_are_built_in_or_left_to_the_loss():
    problem = Heat(cells=4, steps=4)
    P, data = problem.inputs.sample(2, seed=1), sample(problem, 8)
    hard, soft = (train(problem, "mlp", data, steps=10, constraints=c, **SMALL)(P) for c in ("hard", "soft"))
    start = np.asarray(problem.initial(jnp.asarray(problem.inputs.centre)))
    for u in (hard, soft):
        exact = np.array_equal(u.reshape(2, 5, -1)[:, 0], np.stack([start, start]))
        assert exact == (u is hard)


def test_baselines_are_told_as_they_answer_alone():
    """Of waves without the energy, which a network keeps."""
    problem = Wave(cells=8)
    data = sample(problem, 16)
    held = held_rows(prepare(problem, data), 0)
    told = train(problem, "mlp", data, steps=1, **SMALL).training["validation"]["dull"]["mean"]
    left = rows_of(data, held)
    away = train(problem, "mean", rows_of(data, ~held))(left.inputs) - left.fields
    found = jax.vmap(problem.norm)(left.inputs, away) / jax.vmap(problem.magnitude)(left.inputs, left.fields)
    assert told == pytest.approx(float(np.mean(found)), rel=0.02)  # in the basis of all rows, not of those kept


def test_physics_alone_learns_without_a_field(problem):
    far, near = (
        train(problem, "mlp", None, steps=steps, physics_weight=1.0, physics_points=64, widths=(32,))
        for steps in (1, 500)
    )
    assert near.training["snapshots"] == 0 and near.training["solved_in_training"] == 32
    P = problem.inputs.sample(8, seed=5)
    U = np.asarray(problem.solve_batch(P))
    errors = [
        np.mean([problem.relative_error(p, v, u) for p, v, u in zip(P, s(P), U, strict=True)]) for s in (far, near)
    ]
    assert errors[1] < 0.5 * errors[0]
    with pytest.raises(ValueError, match="give snapshots, or physics_weight=1"):
        train(problem, "mlp", None, physics_weight=0.5)


@pytest.mark.parametrize("n", [4, 6, 7, 31])
def test_a_mean_in_chunks_is_the_mean(n, monkeypatch):
    """Of no more rows at once than fit, every row once; where all fit the very same computation."""
    a, b = np.random.default_rng(n).random((2, n, 5))
    seen = []

    def mean(a, b):
        seen.append(len(a))
        return jnp.mean(jnp.sum(a * b, axis=1))

    whole = mean(jnp.asarray(a), jnp.asarray(b))
    assert field_loss.in_chunks(5, mean, jnp.asarray(a), jnp.asarray(b)) == whole and seen == [n, n]
    monkeypatch.setattr(field_loss, "AT_ONCE", 15)
    monkeypatch.setattr(field_loss, "CHUNK", 15)
    seen.clear()
    found = field_loss.in_chunks(5, mean, jnp.asarray(a), jnp.asarray(b))
    assert found == pytest.approx(float(whole), rel=1e-14) and max(seen) == 3
    monkeypatch.setattr(field_loss, "CHUNK", 2)  # less than a row
    assert field_loss.in_chunks(5, mean, jnp.asarray(a), jnp.asarray(b)) == pytest.approx(float(whole), rel=1e-14)


@pytest.mark.parametrize("options", [{"physics_weight": 0.5, "physics_points": 5}, {}])
def test_weights_are_judged_in_chunks_where_fields_are_large(problem, snapshots, options, monkeypatch):
    """By data, penalty and physics, of rows that no chunks divide; or at the rows held out."""
    rows = snapshots.first(7) if options else snapshots
    options |= {"steps": 1, "width": 2, "levels": 1}
    at_once = train(problem, "autoencoder", rows, **options).training["curve"]
    monkeypatch.setattr(field_loss, "AT_ONCE", 0)
    monkeypatch.setattr(field_loss, "CHUNK", 3 * problem.size)
    sizes, judged = [], field_loss.FieldLoss.fields
    monkeypatch.setattr(field_loss.FieldLoss, "fields", lambda s, w, P: sizes.append(len(P)) or judged(s, w, P))
    assert train(problem, "autoencoder", rows, **options).training["curve"] == pytest.approx(at_once, rel=1e-12)
    assert {3, 1} <= set(sizes)


def test_a_projected_network_has_the_proofs_from_coefficients(problem, snapshots):
    s = train(problem, "mlp", snapshots, steps=60, project=6, **SMALL)
    P = problem.inputs.sample(4, seed=3)
    assert s.basis.shape == (problem.size, 6)
    np.testing.assert_allclose(np.asarray(s.coefficients(P)) @ s.basis.T, s(P), rtol=1e-10, atol=1e-12)
    assert prover(problem, captured(s)).reduced is not None


def test_single_precision_is_of_the_network_and_comes_back_as_it_was(problem, snapshots, tmp_path):
    s = train(problem, "mlp", snapshots, steps=20, precision="float32", **SMALL)
    weights = [a.dtype for key, a in s.arrays.items() if key.startswith("net.")]
    assert set(weights) == {np.dtype("float32")} and s(problem.inputs.sample(2, seed=1)).dtype == np.float64
    P = problem.inputs.sample(5, seed=8)
    np.testing.assert_array_equal(load(save(s, tmp_path / "m.safetensors"), problem)(P), s(P))


def test_a_clock_that_compiling_outlasts_is_named_with_what_to_do(problem, snapshots):
    """Before the sentence of the baseline that is better then, which alone would say nothing of the cause."""
    s = train(problem, "mlp", snapshots, seconds=1e-6, base="mean", **SMALL)
    clock, dull = s.training["warnings"]
    assert s.training["steps"] == 0 and clock.startswith("no step was made in seconds=1e-06: compiling")
    assert "which costs nothing" in dull and "which costs nothing" not in clock


@pytest.mark.parametrize(
    ("steps", "stopped", "prepared", "told"),
    [
        (0, "seconds", 0.1, "no step was made in seconds=8: compiling, and what else comes before the first step"),
        (1, "seconds", 9.5, "only one step was made"),
        (51, "seconds", 6.1, "only 51 steps were made in seconds=8"),
        (51, "seconds", 4.0, ""),  # slow steps: compiling is not to blame
        (100, "seconds", 6.1, ""),
        (51, "steps", 6.1, ""),
    ],
)
def test_few_steps_are_told_of_where_compiling_took_the_time(steps, stopped, prepared, told):
    said = clock_warning(Outcome(None, steps, 10.0, 1.0, stopped, prepared=prepared), 8.0)
    assert len(said) == bool(told) and all(line.startswith(told) for line in said)
    if prepared == 6.1 and told:
        assert "took 6.1 s" in said[0] and "take seconds=25 or more" in said[0]


def test_a_rate_that_diverges_keeps_the_last_good_state_and_says_so(problem, snapshots):
    with np.errstate(all="ignore"):
        s = train(problem, "resnet", snapshots, steps=300, rate=1e200, width=8, layers=2)
    assert s.training["stopped"] == "diverged" and any("diverged" in w for w in s.training["warnings"])
    assert np.isfinite(s(problem.inputs.sample(3, seed=1))).all()
    with np.errstate(all="ignore"):  # also where it ends before the first look at it
        s = train(problem, "resnet", snapshots, steps=5, rate=1e200, width=8, layers=2)
    assert s.training["stopped"] == "diverged" and any("diverged after 5 steps" in w for w in s.training["warnings"])


def test_functions_that_span_decades_are_seen_in_logarithms():
    rng = np.random.default_rng(0)
    fields = np.stack(
        [np.exp(3 * rng.standard_normal((6, 20))), rng.standard_normal((6, 20)), np.ones((6, 20))], axis=2
    )
    arrays = field_normaliser(fields)
    seen = np.asarray(normalised(jnp.asarray(fields), arrays))
    assert arrays["norm.log"].tolist() == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(seen.mean(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(seen.std(axis=(0, 1)), [1, 1, 0], atol=1e-12)


def test_change_per_layer_of_known_weights():
    W = np.eye(3)
    arrays = {f"net.step_{i}.kernel": (1 + 0.5 * i) * W for i in range(3)}
    assert change_per_layer(arrays) == pytest.approx([0.5 / 1, 0.5 / 1.5])
    told = RESNET.report(None, arrays, None)
    assert told == {"change_per_layer": change_per_layer(arrays), "mean_change_per_layer": pytest.approx(5 / 12)}
    told = RESNET.report(None, {"net.step_0.kernel": W}, None)
    assert told == {"change_per_layer": [], "mean_change_per_layer": None}


def test_words_that_are_not_known_are_refused(problem, snapshots):
    for option, value in (("optimiser", "sgd"), ("precision", "half"), ("constraints", "none"), ("batch", 0)):
        with pytest.raises(ValueError, match=option):
            train(problem, "mlp", snapshots, **{option: value})
    with pytest.raises(ValueError, match="widths"):
        train(problem, "mlp", snapshots, widths=())
    with pytest.raises(ValueError, match="no snapshots were held out to judge it by: leave base at 'auto'"):
        train(problem, "mlp", snapshots.first(8), base="linear", **SMALL)
    in_numpy = black_box(lambda p: p, problem.inputs, size=4, norm=lambda u: float(np.abs(np.asarray(u)).max()))
    with pytest.raises(ValueError, match='no network of fields can be trained in it: .* norm="l2"'):
        train(in_numpy, "mlp", (np.ones((2, 4)), np.ones((2, 4))), steps=1)


def test_a_plain_black_box_is_learnt():
    problem = black_box(
        lambda p: np.array([p[0], p[0] * p[1], 1.0]), Box(("a", "b"), np.zeros(2), np.ones(2)), name="m"
    )
    s = train(problem, "resnet", sample(problem, 24), steps=800, width=16, layers=2)
    P = problem.inputs.sample(16, seed=4)
    assert np.abs(s(P) - np.stack([P[:, 0], P[:, 0] * P[:, 1], np.ones(16)], axis=1)).max() < 0.1
