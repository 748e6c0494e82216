"""Heat from coefficients alone: bounds against true errors, the initial mode, planted faults, the guard."""

import jax.numpy as jnp
import numpy as np
import pytest

from assay.benchmarks.soundness.true_error import TrueError, check
from assay.solvers.batching import VectorMap
from assay.solvers.problems.heat import Heat
from assay.verify.guard import guard
from assay.verify.proofs.heat_reduced import HeatReduced
from assay.verify.proofs.prover import prover

SETTINGS = {"blocks": (2, 1), "cells": 4, "steps": 3, "low": 0.1, "high": 1.0}
PROBLEMS = {
    "implicit-euler": Heat(**SETTINGS),
    "crank-nicolson": Heat(**SETTINGS, scheme="crank-nicolson"),
    "nothing at first": Heat(**SETTINGS, initial_amplitude=0.0),
}


class Case:
    """A problem, a few solutions, and the basis of their leading modes; the initial state is the last one."""

    def __init__(self, problem, modes=4):
        self.problem, self.P = problem, problem.inputs.sample(24, seed=1)
        self.lift = np.asarray(problem.prescribe(self.P[0], np.zeros(problem.size)))
        self.true_error = TrueError(problem)
        self.U, self.norms = self.true_error.truths(self.P)
        S = np.asarray(problem.solve_batch(problem.inputs.sample(40, seed=2))) - self.lift
        V = S.T @ np.linalg.svd(S.T, full_matrices=False)[2][:modes].T  # zero where all solutions agree
        V /= np.linalg.norm(V, axis=0)
        self.basis = np.column_stack([V, self.lift]) if self.lift.any() else V
        self.best = np.linalg.lstsq(self.basis, self.U.T, rcond=None)[0].T
        if self.lift.any():
            self.best[:, -1] = 1.0
        self.proof = HeatReduced(problem, self.basis)

    def bounds(self, stage, c):
        return VectorMap(stage, (24,))(self.P, c)

    def errors(self, c):
        return self.true_error(self.P, self.U, self.norms, c @ self.basis.T)


@pytest.fixture(scope="module", params=PROBLEMS)
def case(request):
    return Case(PROBLEMS[request.param])


def coefficients_of(case):
    rng, c = np.random.default_rng(0), case.best
    noise, size = rng.standard_normal(c.shape), np.abs(c).max(axis=0)
    off = c.copy()
    off[:, -1] += 0.1  # the initial state where there is one
    free = np.ones(c.shape[1])
    free[-1] = 0.0 if case.lift.any() else 1.0
    return {
        "best": c, "by 1e-6": c * (1 + 1e-6 * free * noise), "by 0.1": c * (1 + 0.1 * free * noise), "rough": c + size *
        noise, "initial state off": off, "zero": 0 * c, "huge": 1e6 * noise,
    }  # fmt: skip


def test_true_errors_lie_inside(case):
    for name, c in coefficients_of(case).items():
        error = case.errors(c)
        for stage in case.proof.stages:
            tally = check(case.bounds(stage, c), error, case.norms, name)
            assert tally.violations == 0 and tally.infinite == 0, tally.worst
        if name == "by 0.1":
            sharp = case.bounds(case.proof.sharp_bound, c)
            assert (sharp.upper <= 1.1 * error.value).all() and (sharp.lower >= 0.9 * error.value).all()
    improved = VectorMap(case.proof.improve, (24,))(case.P)
    assert np.median(case.errors(improved).value / case.errors(case.best).value) <= 1.2


def test_what_is_too_small_shows(case, monkeypatch):
    """Residual, initial state, energy and rounding, each made smaller than it is."""
    own, c = case.proof.own, coefficients_of(case)
    monkeypatch.setattr(own, "dual", own.dual._replace(factor=0.25 * own.dual.factor))
    assert check(case.bounds(case.proof.bound, c["rough"]), case.errors(c["rough"]), case.norms).violations
    monkeypatch.undo()
    if case.lift.any():
        monkeypatch.setattr(own, "_start", 0.0)
        monkeypatch.setattr(own, "dual", own.dual._replace(factor=0.3 * own.dual.factor))
        assert check(case.bounds(case.proof.bound, c["zero"]), case.errors(c["zero"]), case.norms).violations
    monkeypatch.undo()
    wide = case.proof.wide
    halved = tuple(factor._replace(factor=0.5 * factor.factor) for factor in wide.energies)
    monkeypatch.setattr(wide, "energies", halved)
    found = check(case.bounds(case.proof.sharp_bound, c["by 0.1"]), case.errors(c["by 0.1"]), case.norms)
    assert found.violations


def test_coefficients_that_are_no_numbers_prove_nothing(case):
    c = np.where(np.arange(24)[:, None] == 3, np.nan, case.best)
    for stage in case.proof.stages:
        found = case.bounds(stage, c)
        assert np.isinf(found.upper[3]) and np.isfinite(found.upper[4]) and found.lower[3] == 0


def test_what_no_basis_is_has_no_bound_from_coefficients():
    case = Case(PROBLEMS["implicit-euler"])
    V = case.basis.copy()
    V[0, 0] = 1e-30
    with pytest.raises(ValueError, match="zero on the boundary"):
        HeatReduced(case.problem, V)
    states = (case.problem.cells + 1) ** 2
    V = case.basis.copy()
    V[:states, 0] = 0.5 * V[:states, -1]
    with pytest.raises(ValueError, match="one mode must be the initial state"):
        HeatReduced(case.problem, V)
    with pytest.raises(ValueError, match="one mode must be the initial state"):
        HeatReduced(case.problem, case.basis[:, :-1])


def test_guard_goes_by_coefficients(case):
    class Model:
        basis = case.basis

        def coefficients(self, P):
            c = np.asarray(VectorMap(case.proof.improve, (24,))(P))
            moved = np.where(P[:, :1] > 0.4, 0.3, 1e-3) * (np.arange(c.shape[1]) < 2)
            return c * (1 + moved)

        def __call__(self, P):
            return self.coefficients(P) @ self.basis.T

    model = Model()
    found = prover(case.problem, model)
    assert found.reduced is not None and not found.why_not_reduced
    answer = guard(case.problem, model, 5e-2)(case.P)
    errors = np.array([float(case.problem.norm(p, u - v)) for p, u, v in zip(case.P, case.U, answer.u, strict=True)])
    assert (errors <= answer.certificate.upper + 1e-9).all() and (answer.error_upper <= 5e-2).all()
    assert answer.counts["accepted"] >= 2 and answer.counts["polished"] >= 2
    start = jnp.asarray(case.lift).reshape(case.problem.steps + 1, -1)[0]
    assert (answer.u.reshape(24, case.problem.steps + 1, -1)[:, 0] == start).all()
