"""The tangent map against Jacobians that are known: angles, ranks, dimensions, and what has no derivative."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay.cli import run
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.verify.tangent.differences import differences, stencil
from assay.verify.tangent.intrinsic_dimension import levina_bickel, local_dimension
from assay.verify.tangent.jacobians import DIFFERENCES, JAX, TruthJacobians
from assay.verify.tangent.spaces import Metric

PLANE = Box(("a", "b"), [0.0, 1.0], [2.0, 10.0], log=(False, True))
SIZE = 5


def moved(P):
    """Three directions of the fields are moved in: a, log b, and nothing else."""
    X = np.stack([P[:, 0] / 2, np.log(P[:, 1]) / np.log(10)], axis=1)
    return np.concatenate([1 + X, np.ones((len(P), SIZE - 2))], axis=1)


def linear(norm=None, **more):
    return black_box(lambda p: moved(p[None])[0], PLANE, name="linear", norm=norm, **more)


@pytest.fixture(scope="module")
def problem():
    return linear()


def turned(by):
    """``moved``, its second direction turned by an angle out of the plane."""

    def surrogate(P):
        U = moved(P)
        x = U[:, 1] - 1
        U[:, 1], U[:, 2] = 1 + np.cos(by) * x, 1 + np.sin(by) * x
        return U

    return surrogate


def test_the_solver_as_its_own_surrogate_matches_exactly(problem):
    found = assay.tangent_map(problem, moved, PLANE.sample(8))
    assert found.truth_by == found.surrogate_by == DIFFERENCES and found.compared == 8
    np.testing.assert_array_equal(found.jacobian_errors, 0)
    np.testing.assert_array_equal(found.errors, 0)
    np.testing.assert_allclose(found.angles, 0, atol=1e-10)
    np.testing.assert_array_equal([found.truth_rank, found.surrogate_rank], 2)
    assert found.regions == () and found.solver_calls == 8 * (1 + 2 * 2)


def test_a_turned_jacobian_has_the_angle_that_it_was_turned_by(problem):
    for by in (1e-6, 0.3, 1.2):
        found = assay.tangent_map(problem, turned(by), PLANE.sample(4))
        np.testing.assert_allclose(found.angles[:, 0], 0, atol=1e-9)
        np.testing.assert_allclose(found.largest_angles, by, rtol=1e-4)
        # the two directions are of one length: |E|^2 = (2 sin(by/2))^2 of |J|^2 = 2
        np.testing.assert_allclose(found.jacobian_errors, 2 * np.sin(by / 2) / np.sqrt(2), rtol=1e-4)


def test_a_quarter_turn_and_a_direction_that_is_missing(problem):
    quarter = assay.tangent_map(problem, turned(np.pi / 2), PLANE.sample(2))
    np.testing.assert_allclose(quarter.largest_angles, np.pi / 2, rtol=1e-6)

    def without_b(P):
        return moved(np.stack([P[:, 0], np.full(len(P), 3.0)], axis=1))

    found = assay.tangent_map(problem, without_b, PLANE.sample(4))
    np.testing.assert_array_equal(found.surrogate_rank, 1)
    np.testing.assert_array_equal(found.truth_rank, 2)
    np.testing.assert_allclose(found.largest_angles, 0, atol=1e-9)  # the one that is there is right
    np.testing.assert_allclose(found.jacobian_errors, np.sqrt(0.5), rtol=1e-6)
    constant = assay.tangent_map(problem, lambda P: np.ones((len(P), SIZE)), PLANE.sample(2))
    assert (constant.surrogate_rank == 0).all() and np.isnan(constant.largest_angles).all()
    np.testing.assert_allclose(constant.jacobian_errors, 1, rtol=1e-12)


def test_weights_of_the_norm_weigh_angles_and_errors():
    """Turned out of the plane into a value that weighs 9, a vector of weight 1 becomes (cos, 3 sin)."""
    weights = np.array([1.0, 1.0, 9.0, 1.0, 1.0])
    for norm in (weights, np.diag(weights), lambda u: jnp.sqrt(jnp.sum(weights * u**2))):
        found = assay.tangent_map(linear(norm), turned(0.4), PLANE.sample(2))
        np.testing.assert_allclose(found.largest_angles, np.arctan(3 * np.tan(0.4)), rtol=1e-6)
        np.testing.assert_allclose(found.truth_values, 1, rtol=1e-6)


def test_a_norm_without_inner_product_says_so():
    found = assay.tangent_map(linear("max"), turned(0.4), PLANE.sample(2))
    np.testing.assert_allclose(found.largest_angles, 0.4, rtol=1e-6)
    assert any("no inner product" in note for note in found.notes)
    np.testing.assert_allclose(found.jacobian_errors, max(1 - np.cos(0.4), np.sin(0.4)) / np.sqrt(2), rtol=1e-6)


def test_directions_of_very_different_size_keep_their_angles(problem):
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0].T * np.sqrt(SIZE)  # of length one in the rms
    metric, p = Metric(problem), PLANE.centre
    one = metric.directions(p, np.array([frame[0], 0.05 * frame[1]]))
    other = metric.directions(p, np.array([frame[0], 1e-4 * frame[1]]))
    np.testing.assert_allclose(one.values, [1, 0.05], rtol=1e-9)
    assert (one.rank, other.rank) == (2, 1)
    np.testing.assert_allclose(metric.angles(p, one, other), 0, atol=1e-9)
    tilted = metric.directions(p, np.array([frame[0], 0.05 * (np.cos(0.7) * frame[1] + np.sin(0.7) * frame[2])]))
    np.testing.assert_allclose(metric.angles(p, one, tilted), [0, 0.7], atol=1e-9)


def test_differences_are_exact_for_quadratics_also_at_faces():
    X = np.array([[0.0, 0.5], [1.0, 0.0], [0.3, 1.0]])

    def f(x):
        return np.stack([x[..., 0] ** 2 + x[..., 1], x[..., 0] * x[..., 1]], axis=-1)

    points, side = stencil(X)
    assert points.min() >= 0 and points.max() <= 1
    J = differences(f(X), f(points), side)
    np.testing.assert_allclose(J[:, 0], np.stack([2 * X[:, 0], X[:, 1]], axis=1), atol=1e-10)
    np.testing.assert_allclose(J[:, 1], np.stack([np.ones(3), X[:, 0]], axis=1), atol=1e-10)


def test_the_solvers_own_derivatives_agree_with_differences_of_it():
    block = ThermalBlock((2, 1), 4)
    P = block.inputs.sample(2)
    by_jax = TruthJacobians(block)
    numeric = black_box(lambda p: np.asarray(block.solve_report(p).u), block.inputs, name="the same", size=block.size)
    by_differences = TruthJacobians(numeric)
    assert by_jax.by == JAX and by_differences.by == DIFFERENCES
    one, other = by_jax(P), by_differences(P)
    np.testing.assert_allclose(one.derivatives, other.derivatives, atol=1e-5 * np.abs(one.derivatives).max())
    assert by_jax.calls == 2 and by_differences.calls == 2 * (1 + 2 * 2)
    # u(c p) = u(p) / c: along the diagonal of logarithms the derivative is -u
    along = one.derivatives.sum(axis=1) / np.log(block.high / block.low)
    np.testing.assert_allclose(along, -one.fields, atol=1e-10)


def test_a_surrogate_in_jax_is_differentiated_unless_its_answers_say_otherwise(problem):
    P = PLANE.sample(3)

    def in_jax(P):
        X = jnp.stack([P[:, 0] / 2, jnp.log(P[:, 1]) / np.log(10)], axis=1)
        return jnp.concatenate([1 + X, jnp.ones((len(P), SIZE - 2))], axis=1)

    found = assay.tangent_map(problem, in_jax, P)
    assert (found.truth_by, found.surrogate_by) == (DIFFERENCES, JAX) and found.solver_calls == 3 * 5
    np.testing.assert_allclose(found.jacobian_errors, 0, atol=1e-9)
    np.testing.assert_allclose(found.largest_angles, 0, atol=1e-9)

    def hidden(P):  # JAX sees no way from the inputs to the answer
        return jax.lax.stop_gradient(1.1 * in_jax(P))

    found = assay.tangent_map(problem, hidden, P)
    assert found.surrogate_by == DIFFERENCES and any("not what its answers do" in note for note in found.notes)
    np.testing.assert_allclose(found.jacobian_errors, 0.1, rtol=1e-3)


def test_failures_are_rows_without_numbers_and_with_a_reason():
    def solve(p):
        if p[0] > 1.0:
            raise RuntimeError("no convergence")
        return moved(p[None])[0]

    problem = black_box(solve, PLANE, name="half", size=SIZE)
    P = np.array([[0.5, 2.0], [1.5, 2.0], [1.0, 2.0], [0.2, 4.0]])

    def surrogate(P):
        U = 1.5 * moved(P)
        U[P[:, 1] > 3.0] = np.nan
        return U

    found = assay.tangent_map(problem, surrogate, P)
    np.testing.assert_array_equal(np.isnan(found.jacobian_errors), [False, True, True, True])
    assert found.reasons[0] == "" and "no convergence" in found.reasons[1]
    assert "no convergence" in found.reasons[2] and np.isfinite(found.errors[2])  # there is a solution, no difference
    assert "NaN or infinite" in found.reasons[3]
    assert found.compared == 1 and any("3 of 4 points" in note for note in found.notes)


def test_low_matches_are_gathered_into_regions(problem):
    def wrong_corner(P):
        U, X = moved(P), PLANE.to_unit(P)
        U[:, 3] += np.maximum(X.min(axis=1) - 0.6, 0) * 3
        return U

    P = PLANE.from_unit(np.stack(np.meshgrid(*[np.linspace(0.05, 0.95, 7)] * 2), axis=-1).reshape(-1, 2))
    found = assay.tangent_map(problem, wrong_corner, P, low=0.2)
    X = PLANE.to_unit(P)
    np.testing.assert_array_equal(found.jacobian_errors > 0.2, X.min(axis=1) > 0.6)
    (region,) = found.regions
    assert PLANE.to_unit(region.lower).min() > 0.6 and len(region) == 9 and region.share == pytest.approx(0.09)
    assert found.correlation > 0.9


def test_the_dimension_of_data_on_a_plane_and_on_a_line():
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
    problem = linear()
    for m in (1, 2):
        fields = rng.random((500, m)) @ frame[:m]
        P = np.repeat(PLANE.centre[None], 40, axis=0)
        found = local_dimension(problem, P, fields[:40], fields)
        assert np.median(found) == pytest.approx(m, rel=0.2)
    even = np.arange(1.0, 11.0) ** (1 / 3)  # distances as they are in three dimensions
    assert levina_bickel(even[None])[0] == pytest.approx(3, rel=0.2)
    assert np.isnan(levina_bickel(np.zeros((1, 10)))[0])
    few = local_dimension(problem, P[:5], fields[:5], fields[:5])
    assert np.isnan(few).all()


def test_mistakes_are_told(problem):
    with pytest.raises(ValueError, match="at least one point"):
        assay.tangent_map(problem, moved, np.zeros((0, 2)))
    with pytest.raises(ValueError, match="row 0, input 'a'"):
        assay.tangent_map(problem, moved, [[3.0, 2.0]])
    for low in (0, -1.0, np.nan, True, "x"):
        with pytest.raises(ValueError, match="low is a relative Jacobian error"):
            assay.tangent_map(problem, moved, PLANE.sample(1), low=low)
    data = assay.dataset(np.random.default_rng(0).random((6, 2)), np.ones((6, SIZE)))
    with pytest.raises(ValueError, match="no solver"):
        assay.tangent_map(data.problem, moved, data.problem.inputs.sample(1))


MODULE = """
import numpy as np, assay
box = assay.Box(("a", "b"), np.array([0.0, 0.0]), np.array([1.0, 1.0]))
def solve(p): return np.array([1.0, 1.0 + p[0], 1.0 + p[1]])
plane = assay.black_box(solve, box, name="plane")
def corner(P):
    U = np.column_stack([np.ones(len(P)), 1 + P[:, 0], 1 + P[:, 1]])
    U[:, 0] += np.maximum(P[:, 0] - 0.5, 0) ** 2
    return U
"""


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_tangent.py").write_text(MODULE)
    words = ["tangent", "mine_tangent:corner", "--problem", "mine_tangent:plane", "--n", "32"]
    assert run([*words, "--json", "--out", "map.npz", "--plot", "map.png"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["points"] == found["compared"] == 32 and found["solver_calls"] == 32 * 5
    assert found["truth_rank"] == {"median": 2, "largest": 2} and found["evidence"] == "observed"
    assert 0 < found["low_share"] < 0.6 and found["regions"][0]["lower"]["a"] > 0.5 and len(found["map"]) == 32
    assert np.load("map.npz")["angles"].shape == (32, 2) and (tmp_path / "map.png").stat().st_size > 10_000
    assert run(words) == 0
    text = capsys.readouterr().out
    assert "observed at 32 of 32 points" in text and "low match, above 0.1" in text
    assert run([*words, "--out", "map.npz"]) == 2 and "map.npz exists" in capsys.readouterr().err


def test_the_units_of_fields_do_not_matter(problem):
    metric, p = Metric(problem), PLANE.centre
    J = np.random.default_rng(0).standard_normal((2, SIZE))
    plain = metric.directions(p, J)
    for size in (1e-170, 1e170):
        found = metric.directions(p, size * J)
        np.testing.assert_allclose(found.values / size, plain.values, rtol=1e-12)
        assert found.rank == plain.rank
        np.testing.assert_allclose(metric.angles(p, found, plain), 0, atol=1e-9)
