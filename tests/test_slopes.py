"""Gradient-enhanced training: derivatives are the solver's, and rows are those of the network."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay.solvers.problem import Attempt, Problem
from assay.surrogates.baselines.regression import Regression
from assay.surrogates.networks.field_loss import FieldLoss, sets_of, with_slopes
from assay.surrogates.networks.field_network import FieldNetwork, normalisers
from assay.surrogates.networks.mlp import MLP
from assay.surrogates.networks.pod.energy_loss import assemble, field_rows
from assay.surrogates.networks.pod.pod_network import Mlp, last_layer
from assay.surrogates.networks.pod.slopes import every_slope, slope_rows, slopes
from assay.surrogates.surrogate import scaled_features
from assay.surrogates.training.dull import DULL, UNJUDGED
from assay.surrogates.training.pod import pod, prepare
from assay.surrogates.training.reduced_operator import ReducedOperator

BOX = assay.Box(("a", "b"), np.array([0.5, 0.5]), np.array([1.5, 2.0]))


def cubic(p):
    return jnp.array([p[0] ** 2 * p[1], p[0] + p[1] ** 3, p[0] * p[1], p[0]])


def cubic_jacobian(p):
    a, b = p
    return np.array([[2 * a * b, a**2], [1.0, 3 * b**2], [b, a], [1.0, 0.0]])


@dataclass(frozen=True)
class Cubic(Problem):
    """Polynomials, of which the last is prescribed."""

    inputs = BOX
    shape = (1, 4, 1)
    coordinates = np.arange(4.0)[:, None]
    norm_name = "Euclidean norm"

    def solve_jax(self, p, tolerance=None):
        return Attempt(cubic(p), jnp.zeros(()), jnp.asarray(1), jnp.asarray(0))

    def prescribe(self, p, u):
        return jnp.where(jnp.arange(4) == 3, p[0], u)

    def norm(self, p, u):
        return jnp.sqrt(jnp.sum(jnp.array([1.0, 2.0, 3.0, 4.0]) * u**2))


@pytest.fixture(scope="module")
def heat():
    return assay.problem("heat", cells=4, steps=3, blocks=(1, 2))


@pytest.fixture(scope="module")
def data(heat):
    return prepare(heat, assay.sample(heat, 6, seed=2))


def test_derivatives_are_the_solvers(heat, data):
    found = slopes(data, 2, seed=0)
    assert found.fields.shape == (12, heat.size) and list(found.of) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    p, d = found.inputs[5], found.directions[5]
    step = 1e-5
    quotient = (np.asarray(heat.solve(p + step * d)) - np.asarray(heat.solve(p - step * d))) / (2 * step)
    np.testing.assert_allclose(found.fields[5], quotient, atol=1e-6 * np.abs(quotient).max())


def test_directions_are_orthogonal_in_unit_coordinates_and_as_long_as_snapshots_lie_apart(heat, data):
    found = slopes(data, 5, seed=0)  # of three inputs
    assert len(found.fields) == 18
    _, width = heat.inputs.scaled_ends()
    unit = found.directions / (np.where(np.array(heat.inputs.log), found.inputs, 1.0) * width)
    for frame in unit.reshape(6, 3, 3):
        np.testing.assert_allclose(frame @ frame.T, 6 ** (-2 / 3) * np.eye(3), atol=1e-12)


@pytest.mark.parametrize("reduced", [False, True])
def test_rows_are_the_mean_square_error_of_the_networks_derivatives(heat, data, reduced):
    """Against the derivative of the answer itself, by forward mode through amplitude, features and layers."""
    if reduced:
        problem = assay.problem("thermal-block", cells=4)
        data = prepare(problem, assay.sample(problem, 6, seed=2))
    problem = data.problem
    V = pod(data, 1e-12, 4)
    operator = ReducedOperator.of(problem, V) if reduced else None
    terms = np.eye(V.shape[1])[None] if operator is None else operator.terms
    found = slopes(data, 2, seed=0)
    rows, T = assemble([(1.0, field_rows(data, V, operator)), (1.0, slope_rows(found, data, V, operator))], terms)
    network = Mlp((5,), V.shape[1])
    weights = dict(network.init(jax.random.PRNGKey(1), jnp.asarray(data.features[:1]))["params"])
    W = np.random.default_rng(0).standard_normal((6, V.shape[1]))

    def answer(p):
        x, s = scaled_features(problem, data.arrays, p[None])
        return jnp.asarray(V) @ (s[0] * (last_layer(network, weights, x)[0] @ W))

    def square(p, u):
        return float(problem.norm(p, u)) ** 2 if reduced else float(u @ u)

    expected = np.mean([square(p, answer(p) - u) / square(p, u) for p, u in zip(data.inputs, data.fields, strict=True)])
    errors = []
    for p, d, i, du in zip(*found, strict=True):
        change = jax.jvp(answer, (jnp.asarray(p),), (jnp.asarray(d),))[1] - du
        errors.append(square(p, change) / square(data.inputs[i], data.fields[i]))
    expected += np.mean(errors)
    y = np.asarray(last_layer(network, weights, rows.x)) @ W @ np.linalg.inv(T).T
    A = np.einsum("nq,qij->nij", rows.phi, rows.terms)
    value = np.einsum("ni,nij,nj->", y, A, y) - 2 * np.sum(np.asarray(rows.b) * y) + float(rows.constant)
    assert value == pytest.approx(expected, rel=1e-9)


def test_a_network_learns_from_both(heat):
    snapshots = assay.sample(heat, 12, seed=2)
    s = assay.train(heat, "pod-mlp", snapshots, steps=40, widths=(8,), derivatives=2)
    assert s.training["derivatives"] == 2 and np.isfinite(s(heat.inputs.sample(3))).all()
    for name in ("pod-mlp", "mlp"):
        with pytest.raises(ValueError, match="leave them out with physics alone"):
            assay.train(heat, name, None, derivatives=1, physics_weight=1.0)


@pytest.mark.parametrize(("hard", "norm"), [(True, "problem"), (False, "problem"), (True, "l2")])
def test_rows_of_a_network_of_fields_are_what_central_differences_give(hard, norm):
    problem, h = Cubic(), 1e-5
    data = prepare(problem, assay.sample(problem, 6, seed=2))
    network = FieldNetwork(
        MLP, problem, MLP.build(problem, widths=(5,)), normalisers(MLP, problem, data, {}), "float64", "none"
    )
    fit = FieldLoss(network, hard, 0.0, norm, 2)
    sets, _ = sets_of(problem, data, np.zeros(6, bool), 0.0, 1, 0, norm)
    sets = with_slopes(sets, data, 2, seed=0)
    weights = fit.start(jax.random.PRNGKey(1), sets.P[:1])
    weights = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(jax.random.PRNGKey(2), a.shape), weights)
    fields, total = jax.jit(fit.fields), 0.0
    for p, u, D in zip(data.inputs, np.asarray(sets.U), np.asarray(sets.directions), strict=True):
        size = np.linalg.norm(u) if norm == "l2" else float(problem.norm(p, u))
        for d in D:
            ends = np.stack([p + h * d, p - h * d])
            said, true = np.asarray(fields(weights, ends)), np.stack([cubic(p) for p in ends])
            away = np.subtract(*(said - true)) / (2 * h)
            total += ((np.linalg.norm(away) if norm == "l2" else float(problem.norm(p, away))) / size) ** 2 / 12
    assert float(fit.slopes(weights, sets.P, sets.sizes, sets.directions, sets.slopes)) == pytest.approx(
        total, rel=1e-6
    )
    alone = float(fit.loss(weights, sets._replace(directions=None, slopes=None)))
    assert float(fit.loss(weights, sets)) == pytest.approx(alone + total, rel=1e-6)
    one = float(fit.at(weights, sets, jnp.array([2]), jnp.array([], int)))
    some = fit.loss(weights, jax.tree.map(lambda a: a[2:3] if len(a) == 6 else a, sets))
    assert one == pytest.approx(float(some), rel=1e-12)


def test_a_network_of_fields_that_learns_derivatives_has_better_ones():
    problem = Cubic()
    rows, P = assay.sample(problem, 6, seed=2), problem.inputs.sample(40, seed=5)
    options = {"steps": 1000, "rate": 1e-2, "widths": (12,), "base": "mean"}
    truths, missed = np.stack([cubic_jacobian(p) for p in P]), {}
    for derivatives in (0, 2):
        s = assay.train(problem, "mlp", rows, derivatives=derivatives, **options)
        found = jax.vmap(jax.jacfwd(lambda p, s=s: s(p[None])[0]))(jnp.asarray(P))
        missed[derivatives] = np.sqrt(np.mean((np.asarray(found) - truths) ** 2))
        assert s.training.get("derivatives", 0) == derivatives
    assert missed[2] < 0.5 * missed[0]


def own(gradient=None, size=4):
    return assay.black_box(lambda p: np.resize(np.asarray(cubic(p)), size), BOX, name="own", gradient=gradient)


def test_a_solver_of_somebodys_own_is_differentiated_by_its_gradient():
    problem = own(lambda p, w: cubic_jacobian(p).T @ w)
    data = prepare(problem, assay.sample(problem, 5))
    D, dU = every_slope(data, 2, seed=0)
    expected = np.stack([cubic_jacobian(p) @ d.T for p, d in zip(data.inputs, D, strict=True)]).swapaxes(1, 2)
    np.testing.assert_allclose(dU, expected, rtol=1e-12)
    assert assay.train(problem, "mlp", assay.sample(problem, 5), derivatives=1, steps=1).training["derivatives"] == 1


def test_derivatives_that_are_missing_are_not_learnt():
    """Where the gradient fails, a row counts as right; its field is learnt as any."""

    def gradient(p, w):
        if p[0] > 1:
            raise ArithmeticError("too large")
        return cubic_jacobian(p).T @ w

    problem = own(gradient)
    data = prepare(problem, assay.sample(problem, 8))
    sets, _ = sets_of(problem, data, np.zeros(8, bool), 0.0, 1, 0, "problem")
    sets = with_slopes(sets, data, 2, seed=0)
    failed = data.inputs[:, 0] > 1
    assert 0 < failed.sum() < 8
    assert not np.asarray(sets.slopes)[failed].any() and not np.asarray(sets.directions)[failed].any()
    assert np.asarray(sets.slopes)[~failed].any(axis=(1, 2)).all()
    found = slopes(data, 2, seed=0)
    np.testing.assert_array_equal(np.unique(found.of), np.flatnonzero(~failed))


def test_it_is_judged_where_it_saw_neither_fields_nor_derivatives(heat, monkeypatch):
    """By a trial on the others, which changes no trained bit; where no row can be left out, that is said."""
    snapshots, options = assay.sample(heat, 24, seed=2), {"steps": 60, "widths": (8,), "derivatives": 2}
    s = assay.train(heat, "pod-mlp", snapshots, teacher=True, **options)
    found, r = s.training["validation"], Regression.in_basis(prepare(heat, snapshots), s.arrays["basis"])
    said = np.asarray(s.coefficients(snapshots.inputs))[:, :-1]  # the last is the lift's
    own = r.mean_error(said / r.data.amplitudes[:, None])
    assert found["at"] == "left-out snapshots" and found["network"] > 1.2 * own and not found["taught"]
    assert set(found["dull"]) == set(DULL)
    told = s.training["warnings"]
    assert told[0] == "teacher=True is not heeded with derivatives or physics alone: leave these out, or teacher"
    assert "which costs nothing, has a relative error of" in told[1] and "at left-out snapshots" in told[1]
    monkeypatch.setattr("assay.surrogates.networks.pod.pod_mlp.find_teacher", lambda data, V, seed: None)
    alone = assay.train(heat, "pod-mlp", snapshots, **options)
    assert "validation" not in alone.training and alone.training["warnings"] == [UNJUDGED]
    assert all(np.array_equal(a, alone.arrays[key]) for key, a in s.arrays.items())


def test_more_directions_than_inputs_are_told_of(heat):
    (said, *_) = assay.train(
        heat, "pod-mlp", assay.sample(heat, 6, seed=2), steps=1, widths=(8,), derivatives=4
    ).training["warnings"]
    assert said == "derivatives=4 asks for more directions than 3 inputs have: take 3"


def test_a_solver_of_somebodys_own_has_no_derivatives():
    def failing(p, w):
        raise ArithmeticError("no adjoint")

    for problem, said in (
        (own(), "own is known by its solver alone, which has no derivatives"),
        (own(lambda p, w: w[:2], 65), "needs those of all 65 values at every snapshot"),
        (own(failing), "no derivative of own at a snapshot is a number .*no adjoint"),
    ):
        for name in ("pod-mlp", "mlp"):
            with pytest.raises(ValueError, match=said):
                assay.train(problem, name, assay.sample(problem, 4), derivatives=1)
