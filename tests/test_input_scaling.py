"""What a network sees of an input: known scalings are identities, others are chosen by rows left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import load, save, train
from assay.surrogates.training.input_scaling import homogeneous_scaling, unscaled
from assay.surrogates.training.pod import prepare
from assay.verify.enclose import enclose

NAMES = ("a", "b", "c", "d")


def posed(theta=None, box=None, **load):
    """The 2 x 2 thermal block as somebody poses it who has its matrices."""
    parts = ThermalBlock(cells=8).affine_decomposition
    matrices = [parts.matrix(e) for e in np.eye(4)]
    given = {"load": parts.load_terms[0][parts.free], **load}
    return affine(matrices, theta, given.pop("load"), box or Box(NAMES, np.full(4, 0.1), np.ones(4)), **given)


@pytest.fixture(scope="module")
def block():
    problem = posed()
    return problem, sample(problem, 64), sample(problem, 64, seed=77)


def mean_error(problem, surrogate, tests):
    errors = jax.vmap(problem.relative_error)(tests.inputs, surrogate(tests.inputs), tests.fields)
    return float(jnp.mean(errors)), float(jnp.max(errors))


def test_the_default_network_without_physics_is_no_worse_than_dull_baselines(block):
    """It was worse than the mean of the snapshots: .18 at 64 snapshots of these matrices, kernel ridge .07."""
    problem, snapshots, tests = block
    s = train(problem, "pod-mlp", snapshots, physics_weight=0)
    mean, worst = mean_error(problem, s, tests)
    assert mean < 0.01 and worst < 0.1
    assert mean < 1.1 * mean_error(problem, train(problem, "kernel-ridge", snapshots), tests)[0]
    found = s.training["validation"]
    assert found["taught"] and found["network"] < 1.05 * min(found["dull"].values()) and s.training["warnings"] == []


def test_a_network_that_is_worse_than_a_dull_baseline_says_so(block):
    problem, snapshots, tests = block
    s = train(problem, "pod-mlp", snapshots.first(32), physics_weight=0, teacher=False, widths=(16,), steps=20)
    dull = train(problem, "kernel-ridge", snapshots.first(32))
    assert mean_error(problem, s, tests)[0] > 2 * mean_error(problem, dull, tests)[0]
    (said,) = s.training["warnings"]
    assert (
        said.startswith("kernel-ridge, which costs nothing, has a relative error of ") and "train kernel-ridge" in said
    )


def test_the_scaling_of_an_affine_problem_is_an_identity(block, tmp_path):
    """u(c p) = u(p) / c, exactly but for rounding; a file keeps it, and boxes are enclosed."""
    problem, snapshots, _ = block
    s, p = train(problem, "linear", snapshots), np.array([[0.15, 0.3, 0.2, 0.4]])
    np.testing.assert_allclose(2 * s(2 * p), s(p), rtol=1e-12)
    again = load(save(s, tmp_path / "linear.assay"), problem)
    np.testing.assert_array_equal(again(snapshots.inputs), s(snapshots.inputs))
    lower, upper = enclose(lambda p: s.coefficients(p[None])[0], p[0] * 0.999, p[0] * 1.001)
    inside = np.asarray(s.coefficients(p * np.linspace(0.999, 1.001, 9)[:, None]))
    assert (np.asarray(lower) <= inside).all() and (inside <= np.asarray(upper)).all()
    assert np.isfinite(upper - lower).all()


def test_load_weights_are_features_and_scale_the_answer():
    parts = ThermalBlock(cells=8).affine_decomposition
    f = parts.load_terms[0][parts.free]
    problem = posed(
        theta=lambda p: jnp.stack([p[0], p[0], p[1], p[1]]),
        box=Box(("k", "l", "source"), [1.0, 1.0, -1.0], [3.0, 3.0, 1.0]),
        load=[f, np.linspace(0, 1, len(f))],
        load_weights=lambda p: jnp.stack([jnp.ones(()), p[2]]),
    )
    kept = homogeneous_scaling(problem, problem.inputs)
    assert kept.tolist() == [0, 5]  # log k - log l, but for a factor, and the source
    x, s = unscaled(problem, {"homogeneous": kept}, jnp.array([[2.0, 2.0, 0.5], [4.0, 4.0, 0.5]]))
    np.testing.assert_allclose(x[0], x[1], atol=1e-15)
    np.testing.assert_allclose(s, [0.5, 0.25], rtol=1e-14)


def test_weights_that_are_not_positive_everywhere_are_no_logarithms():
    problem = posed(theta=lambda p: jnp.stack([p[0], p[1], p[2], p[3] - 0.2]))
    assert homogeneous_scaling(problem, problem.inputs) is None
    snapshots = sample(problem, 32)
    data = prepare(problem, snapshots)
    assert data.dropped["failed"] > 0 and np.isfinite(data.features).all()
    many = posed(theta=lambda p: jnp.stack([p[0], p[0] ** 2, 1 + p[0], jnp.exp(p[0])]), box=Box(("a",), [0.1], [1.0]))
    assert homogeneous_scaling(many, many.inputs) is None  # four weights of one input


def test_logarithms_are_chosen_where_they_help_and_only_there():
    box = Box(("k", "x"), [1e-3, 1.0], [1.0, 2.0])
    grid = np.linspace(0, 1, 5)
    curved = black_box(lambda p: np.log(p[0]) ** 2 * grid + p[1], box)
    s = train(curved, "polynomial", sample(curved, 48))
    assert bool(s.arrays["log"][0])
    P = box.sample(16, seed=3)
    np.testing.assert_allclose(s(P), np.log(P[:, :1]) ** 2 * grid + P[:, 1:], atol=1e-8)
    assert (
        "log"
        not in prepare(
            black_box(lambda p: 1 + p[0] * grid + p[1], box),
            sample(black_box(lambda p: 1 + p[0] * grid + p[1], box), 48),
        ).arrays
    )
    assert s.parameters == s.arrays["values"].size + s.arrays["powers"].size
