"""The physics loss of every problem: zero at the truth, an error's own size elsewhere, a usable gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import assay
from assay.solvers.problems.catalogue import PROBLEMS
from assay.surrogates.training.residual_loss import built_in, constraint_loss, error_field, residual_loss

SMALL = {
    "thermal-block": {"cells": 8},
    "lognormal-diffusion": {"cells": 8},
    "elasticity": {"cells": 4},
    "helmholtz": {"cells": 13},
    "advection-diffusion": {"cells": 8},
    "bratu": {"cells": 8},
    "heat": {"cells": 4, "steps": 4},
    "allen-cahn": {"cells": 16, "steps": 8},
    "burgers": {"cells": 16, "steps": 6},
    "wave": {"cells": 4, "steps": 8},
    "cavity": {"cells": 8},
    "hyperelastic": {"cells": 4},
}


def disturbed(problem, p, truth, size, seed=0):
    """The truth with a smooth disturbance of about this relative size."""
    rng = np.random.default_rng(seed)
    x = np.repeat(problem.coordinates, problem.size // len(problem.coordinates), axis=0)
    wave = sum(rng.normal() * np.sin(x @ rng.normal(size=x.shape[1]) * 3 + rng.uniform(0, 6)) for _ in range(3))
    wave = wave * (1 + np.arange(problem.size) % problem.shape[2])  # not the same in every component
    v = problem.prescribe(p, jnp.asarray(truth + wave)) - truth
    return truth + v * (size * problem.norm(p, jnp.asarray(truth)) / problem.norm(p, v))


@pytest.mark.parametrize("name", PROBLEMS)
def test_reads_as_the_squared_relative_error(name):
    problem = assay.problem(name, **SMALL[name])
    p = jnp.asarray(problem.inputs.sample(1, seed=5)[0])
    truth = np.asarray(problem.solve(p))
    value = jax.jit(jax.value_and_grad(residual_loss(problem), argnums=1))
    loss, gradient = value(p, jnp.asarray(truth))
    assert float(loss) < 1e-16  # a truth solved to 1e-10
    assert np.isfinite(gradient).all()
    for seed in (0, 1):
        u = disturbed(problem, p, truth, 1e-2, seed)
        loss, gradient = value(p, u)
        error = float(problem.relative_error(p, u, truth))
        assert 0.8 * error < float(loss) ** 0.5 < 1.1 * error
        # against the slope along the disturbance: the loss falls to zero at the truth, as a parabola
        slope = float(jnp.vdot(gradient, u - truth))
        assert 1.8 * float(loss) < slope < 2.2 * float(loss)


def test_many_fields_at_once():
    problem = assay.problem("heat", **SMALL["heat"])
    P = jnp.asarray(problem.inputs.sample(3))
    U = jnp.asarray(problem.solve_batch(P)) * 1.01
    loss = residual_loss(problem)
    each = [float(loss(p, u)) for p, u in zip(P, U, strict=True)]
    np.testing.assert_allclose(jax.vmap(loss)(P, U), each, rtol=1e-12)


def test_matrices_take_the_reference_scaled_to_the_middle_of_the_weights():
    tridiagonal = sp.diags([-np.ones(4), 2 * np.ones(5), -np.ones(4)], [-1, 0, 1], format="csr")
    identity = sp.identity(5, format="csr")
    box = assay.Box(("a", "b"), np.array([1.0, 1.0]), np.array([9.0, 9.0]))
    problem = assay.affine([tridiagonal, identity], lambda p: p, np.arange(1.0, 6.0), box)
    p, u = np.array([2.0, 8.0]), np.array([0.3, -0.1, 0.4, 0.2, 0.5])
    A = (2 * tridiagonal + 8 * identity).toarray()
    reference = 5 * (tridiagonal + identity).toarray()  # at the centre
    e = np.linalg.solve(reference, A @ u - np.arange(1.0, 6.0)) / np.sqrt(0.4 * 1.6)
    expected = e @ A @ e / ((u - e) @ A @ (u - e))
    assert float(residual_loss(problem)(jnp.asarray(p), jnp.asarray(u))) == pytest.approx(expected, rel=1e-12)


def test_one_cycle_is_the_error_in_the_energy_norm_to_a_few_percent():
    problem = assay.problem("thermal-block", **SMALL["thermal-block"])
    p = jnp.asarray(problem.inputs.sample(1, seed=1)[0])
    u = disturbed(problem, p, np.asarray(problem.solve(p)), 0.1)
    A = problem.matrix(np.asarray(problem.theta(p))).toarray()
    b = np.asarray(problem.load(p))[problem.free]
    exact = np.asarray(u)[problem.free] - np.linalg.solve(A, b)
    e = np.asarray(error_field(problem)(p, u))[problem.free]
    assert (e - exact) @ A @ (e - exact) < 0.2**2 * (exact @ A @ exact)


@pytest.mark.parametrize("name", ["helmholtz", "advection-diffusion", "wave"])
def test_the_error_itself_where_the_inverse_is_exact(name):
    problem = assay.problem(name, **SMALL[name])
    p = jnp.asarray(problem.inputs.sample(1, seed=2)[0])
    truth = np.asarray(problem.solve(p))
    u = disturbed(problem, p, truth, 2.0)  # far away: these problems are linear
    e = np.asarray(jax.jit(error_field(problem))(p, u))
    np.testing.assert_allclose(e, np.asarray(u) - truth, atol=1e-9 * np.abs(u).max())


def test_wrong_boundary_values_count():
    problem = assay.problem("thermal-block", **SMALL["thermal-block"])
    p = jnp.asarray(problem.inputs.centre)
    truth = jnp.asarray(problem.solve(p))
    off = jnp.where(jnp.asarray(problem.free), 0.0, 0.1)
    size = float(problem.norm(p, off) / problem.norm(p, truth)) ** 2
    assert float(constraint_loss(problem)(p, truth + off)) == pytest.approx(size, rel=1e-10)
    assert float(constraint_loss(problem)(p, truth * 3)) == 0
    assert float(residual_loss(problem)(p, truth + off)) == pytest.approx(size, rel=1e-10)


def test_what_the_norm_does_not_see_has_a_gradient():
    """The norm of heat leaves out the initial state, all that is wrong before a network has learnt."""
    problem = assay.problem("heat", **SMALL["heat"])
    p = jnp.asarray(problem.inputs.centre)
    known = np.asarray(problem.prescribe(p, jnp.zeros(problem.size)))
    later = np.arange(problem.size) >= problem.shape[1]
    loss = jax.value_and_grad(constraint_loss(problem), argnums=1)
    value, slope = loss(p, jnp.asarray(np.where(later, known, 0.0)))
    field = np.where(later, known, 0.0)
    whole = np.asarray(problem.prescribe(p, jnp.asarray(field)))
    missing = problem.shape[0] * ((whole - field) ** 2).sum() / (whole**2).sum()  # it is counted in plain numbers
    assert float(value) == pytest.approx(missing, rel=1e-12) and missing > 0
    assert np.isfinite(slope).all() and (slope[~later & (known > 0)] < 0).all() and (slope[later] == 0).all()
    assert np.isnan(loss(p, jnp.full(problem.size, np.nan))[0])


def test_a_field_that_is_inside_out_has_a_finite_loss_that_leads_back():
    problem = assay.problem("hyperelastic", **SMALL["hyperelastic"])
    p = jnp.asarray(problem.inputs.centre)
    u = problem.affine_field(p)
    u = jnp.where(jnp.asarray(problem.free), u.at[24].add(5.0), u)
    assert not np.isfinite(np.asarray(problem.residual(p, u))).all()
    loss, gradient = jax.value_and_grad(residual_loss(problem), argnums=1)(p, u)
    assert np.isfinite(float(loss)) and float(loss) > 1
    assert np.isfinite(gradient).all() and float(gradient[24]) > 0


def test_black_boxes():
    box = assay.Box(("a",), np.array([1.0]), np.array([2.0]))
    places = np.arange(3.0)[:, None]

    def solver(p):
        return np.array([p[0], 2 * p[0], 3 * p[0]])

    silent = assay.black_box(solver, box, places, name="silent")
    with pytest.raises(ValueError, match=r"silent has no residual.*physics_weight=0"):
        residual_loss(silent)
    told = assay.black_box(
        solver, box, places, name="told", residual=lambda p, u: u - p[0] * jnp.arange(1.0, 4.0), norm="l2"
    )
    loss = residual_loss(told)
    assert float(loss(jnp.array([2.0]), jnp.array([2.0, 4.0, 6.0]))) == 0
    assert float(loss(jnp.array([1.0]), jnp.array([1.0, 2.0, 4.0]))) == pytest.approx(1 / 14)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("wave", SMALL["wave"]), ("burgers", {"boundary": "periodic", "modes": 1, "cells": 16, "steps": 4})],
)
def test_what_the_scheme_conserves(name, settings):
    problem = assay.problem(name, **settings)
    p = jnp.asarray(problem.inputs.sample(1, seed=4)[0])
    truth = jnp.asarray(problem.solve(p))
    kept = problem.conserved(p, truth)
    np.testing.assert_allclose(kept, float(kept[0]), rtol=1e-10, atol=1e-12)
    assert float(constraint_loss(problem)(p, truth)) < 1e-20
    u = problem.prescribe(p, truth * 1.1 + 0.05)
    assert np.ptp(problem.conserved(p, u)) > 1e-2 * abs(float(kept[0]))
    mended = built_in(problem)(p, u)
    np.testing.assert_allclose(problem.conserved(p, mended), float(kept[0]), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(problem.prescribe(p, mended), mended)
    off = float(problem.norm(p, u - mended) / problem.norm(p, mended)) ** 2
    assert float(constraint_loss(problem)(p, u)) == pytest.approx(off, rel=1e-5)  # beside the scale of zero


def test_constraints_of_a_network_are_built_in_or_penalised():
    problem = assay.problem("wave", **SMALL["wave"])
    snapshots, P = assay.sample(problem, 3, seed=1), problem.inputs.sample(2, seed=7)
    options = {"physics_weight": 0.5, "physics_points": 3, "batch": 2, "steps": 2, "widths": (4,)}
    spread = {}
    for constraints in ("hard", "soft"):
        network = assay.train(problem, "mlp", snapshots, constraints=constraints, **options)
        rng = np.random.default_rng(0)  # after two steps its states may still be zero, which have no energy to scale
        weights = {k: a + 0.3 * rng.standard_normal(a.shape) for k, a in network.arrays.items() if k.startswith("net.")}
        network = dataclasses.replace(network, arrays=network.arrays | weights)
        p, u = jnp.asarray(P[0]), jnp.asarray(network(P)[0])
        energies = np.asarray(problem.conserved(p, u))
        spread[constraints] = np.ptp(energies) / energies[0]
        off = float(constraint_loss(problem)(p, u))
        assert off < 1e-20 if constraints == "hard" else off > 1e-4
    assert spread["hard"] < 1e-10 < 1e-3 < spread["soft"]
