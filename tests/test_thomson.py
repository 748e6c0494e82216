"""The two-sided bound: equality where theory says so, validity for any directions, scaling, and what breaks it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from assay.benchmarks.soundness.true_error import TrueError
from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.verify.certify import certify
from assay.verify.proofs import thomson
from assay.verify.proofs.thomson import Directions


@pytest.fixture(scope="module")
def case(small, true_error):
    """Eight inputs with rough fields, about ten per cent wrong."""
    P = small.inputs.sample(8, seed=2)
    U, norms = true_error.truths(P)
    fields = U * (1 + 0.1 * np.random.default_rng(0).standard_normal(U.shape))
    return P, U, norms, fields, true_error(P, U, norms, fields)


def test_one_reference_is_exact_where_the_weights_are_the_reference(small, true_error):
    # theta = c theta_ref: the flux is the error's own, up to rounding
    P = np.outer([0.1, 0.7, 10.0], np.ones(4))
    U, norms = true_error.truths(P)
    fields = U * (1 + 0.1 * np.random.default_rng(1).standard_normal(U.shape))
    error = true_error(P, U, norms, fields)
    bound = certify(small, fields, P, steps=0)
    np.testing.assert_allclose(bound.upper, error.value, rtol=1e-9)
    np.testing.assert_allclose(bound.lower, error.value, rtol=1e-9)


@pytest.fixture(scope="module")
def bound_with(small):
    def both(p, field, d, z, t):
        theta, f = small.theta(p), small.load(p)
        r = f - small.apply(theta, field)
        upper, _ = thomson.upper_bound(small, theta, f, field, Directions(d, z, t))
        return upper, thomson.lower_bound(small, theta, f, field, r, t)

    return jax.jit(both)


def test_any_directions_give_a_valid_bound_and_the_error_itself_the_sharpest(small, case, bound_with):
    P, U, _, fields, error = case
    rng = np.random.default_rng(3)
    for i in range(len(P)):
        e = U[i] - fields[i]
        for scale in (0.0, 1e-3, 1.0, 1e6):
            d, z, t = scale * rng.standard_normal((3, small.size)) * small.free
            upper, lower = bound_with(P[i], fields[i], d + e * rng.integers(0, 2), z, t + e * rng.integers(0, 2))
            assert lower <= error.high[i] and upper >= error.low[i]
        upper, lower = bound_with(P[i], fields[i], e, 0 * e, e)
        np.testing.assert_allclose([upper, lower], error.value[i], rtol=1e-9)


def test_bounds_scale_as_the_problem_does(small, case):
    """A(c p) = c A(p): the field N/c at c p has the same relative error, and c^(-1/2) times the energy error."""
    P, _, _, fields, _ = case
    inside = small.inputs.contains(1.5 * P)
    P, fields = P[inside], fields[inside]
    assert len(P) >= 3
    here, there = certify(small, fields, P), certify(small, fields / 1.5, 1.5 * P)
    np.testing.assert_allclose(there.relative_upper, here.relative_upper, rtol=1e-9)
    np.testing.assert_allclose(there.relative_lower, here.relative_lower, rtol=1e-9)
    np.testing.assert_allclose(there.upper, here.upper / np.sqrt(1.5), rtol=1e-9)
    np.testing.assert_allclose(there.square_upper, here.square_upper / 1.5, rtol=1e-9)


def test_mirrored_inputs_and_fields_have_mirrored_bounds(small, case):
    P, _, _, fields, _ = case
    mirrored = fields.reshape(-1, 9, 9).transpose(0, 2, 1).reshape(len(fields), -1)
    here, there = certify(small, fields, P), certify(small, mirrored, P[:, [0, 2, 1, 3]])
    np.testing.assert_allclose(there.upper, here.upper, rtol=1e-10)
    np.testing.assert_allclose(there.lower, here.lower, rtol=1e-10)


def test_steps_sharpen_the_bound(small, case):
    P, _, _, fields, error = case
    none, two = certify(small, fields, P, steps=0), certify(small, fields, P, steps=2)
    assert (two.upper <= none.upper).all() and (two.lower >= none.lower).all()
    assert (two.upper / error.value <= 1.05).all()
    assert (two.lower / error.value >= 0.9).all()


def test_the_interval_of_the_compliance_contains_the_squared_norm(small, case):
    P, U, norms, fields, _ = case
    bound = certify(small, fields, P)
    compliance = np.array([float(small.load(p) @ u) for p, u in zip(P, U, strict=True)])
    np.testing.assert_allclose(compliance, norms.value**2, rtol=1e-10)
    assert (bound.square_lower <= compliance).all() and (compliance <= bound.square_upper).all()
    width = bound.square_upper - bound.square_lower
    np.testing.assert_allclose(width, bound.upper**2 - bound.lower**2, rtol=1e-6, atol=1e-12)


def test_polished_fields_are_better_and_their_bounds_hold(small, case, true_error):
    P, U, norms, fields, error = case
    polish = jax.jit(lambda p, u: thomson.bound_polished(small, p, u, 2))
    for i in range(4):
        clean = np.asarray(small.prescribe(P[i], fields[i]))
        polished, bound = polish(P[i], clean)
        now = true_error(P[i : i + 1], U[i : i + 1], norms, np.asarray(polished)[None])
        assert now.value < 0.1 * error.value[i]
        assert bound.lower <= now.high[0] and now.low[0] <= bound.upper


def test_weights_that_are_not_positive_prove_nothing(small):
    field = jnp.zeros(small.size)
    bound, _ = thomson.bound_field(small, jnp.array([1.0, 1.0, -1.0, 1.0]), field, 0)
    assert bound.upper == np.inf and bound.relative_upper == np.inf and bound.lower == 0 and bound.relative_lower == 0
    assert bound.square_lower == 0 and bound.square_upper == np.inf


@pytest.mark.parametrize("broken", [0, 1, 3, 4])  # 2 is the floor: an account of the bound, not a part of its proof
def test_anything_that_is_not_a_number_proves_nothing(broken):
    good = [0.5, 1.0, 1e-9, 4.0, 1e-9]
    fine = thomson.assemble(*map(jnp.asarray, good), jnp.asarray(True))
    assert fine.upper == 1.0 and fine.relative_upper == pytest.approx(1 / np.sqrt(5))
    bad = [np.nan if i == broken else x for i, x in enumerate(good)]
    nothing = thomson.assemble(*map(jnp.asarray, bad), jnp.asarray(True))
    assert nothing.upper == np.inf and nothing.relative_upper == np.inf and nothing.lower == 0


@pytest.mark.parametrize("upper", [1e160, 1e200])
def test_a_bound_whose_square_overflows_is_no_bound(upper):
    """Its quotient with the solution's norm would read zero."""
    bound = thomson.assemble(*map(jnp.asarray, (0.0, upper, 0.0, 1.0, 0.0)), jnp.asarray(True))
    assert bound.relative_upper == np.inf and bound.upper == np.inf


def test_a_negative_energy_difference_leaves_no_relative_bound():
    bound = thomson.assemble(*map(jnp.asarray, (0.5, 1.0, 0.0, -0.1, 0.0)), jnp.asarray(True))
    assert bound.upper == 1.0 and bound.relative_upper == np.inf
    assert 0 < bound.relative_lower <= 1 / thomson.SLACK  # ||e|| >= 0.5 and ||u||^2 = ||e||^2 - 0.1


def test_simplex_weights_minimise_the_quadratic_form():
    rng = np.random.default_rng(0)
    for k in (1, 2, 5):
        a = rng.standard_normal((k, k + 2))
        m = a @ a.T
        w = np.array([float(x) for x in thomson.simplex_weights(jnp.asarray(m))])
        expected = np.linalg.solve(m, np.ones(k))
        np.testing.assert_allclose(w, expected / expected.sum(), rtol=1e-6, atol=1e-9)
        assert w.sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("m", [np.full((3, 3), np.nan), np.zeros((3, 3)), np.diag([np.inf, 1.0, 1.0])])
def test_simplex_weights_fall_back_to_the_last_where_elimination_breaks_down(m):
    assert [float(x) for x in thomson.simplex_weights(jnp.asarray(m))] == [0.0, 0.0, 1.0]


def test_without_a_preconditioner_the_fluxes_are_combined():
    """1D conduction in three segments from matrices: no multigrid, so every CG step yields a reference flux."""
    n = 30
    difference = sp.diags([np.ones(n), -np.ones(n)], [0, -1], shape=(n + 1, n)).tocsr()
    pieces = [difference[i * 10 : i * 10 + 11 - (i < 2)] for i in range(3)]
    box = Box(("a", "b", "c"), np.full(3, 0.1), np.full(3, 10.0), log=(True,) * 3)
    problem = affine([(b.T @ b) * n for b in pieces], None, np.full(n, 1 / n), box)
    assert problem.preconditioner(jnp.ones(3)) is None
    errors = TrueError(problem)
    P = np.concatenate([box.sample(6, seed=0), [[0.1, 10, 0.1], [10.0, 0.1, 10.0]]])
    U, norms = errors.truths(P)
    fields = U * (1 + 0.1 * np.random.default_rng(0).standard_normal(U.shape))
    error = errors(P, U, norms, fields)
    previous = np.full(len(P), np.inf)
    for steps in (0, 2):
        bound = certify(problem, fields, P, steps=steps)
        assert (bound.lower <= error.high).all() and (error.low <= bound.upper).all()
        assert (bound.upper <= previous * (1 + 1e-9)).all()
        assert bound.cost["reference_solves"] == len(P) * (steps + 1)
        previous = bound.upper
    # three weights on three segments: CG is exact after three steps, the combined flux nearly so after two
    assert (bound.upper / error.value).max() < 1.2
