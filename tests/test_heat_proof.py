"""Bounds of the heat equation against solutions of the scheme in ball arithmetic, a planted fault, and the guard."""

from itertools import pairwise

import numpy as np
import pytest
from against_truth import guard_goes_by_the_proof

from assay.solvers.discretisations.q1 import ELEMENT
from assay.solvers.problems.heat import Heat
from assay.verify.certify import certify
from assay.verify.proofs.heat import HeatProof

SETTINGS = {"blocks": (2, 1), "cells": 4, "steps": 3, "low": 0.01, "high": 1.0}
PROBLEMS = {scheme: Heat(scheme=scheme, **SETTINGS) for scheme in ("implicit-euler", "crank-nicolson")}
RNG = np.random.default_rng(0)


def exact(problem, p):
    """All steps in 200 bits from the floats that the problem is given; the norm of u - v."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 200
    arb, n, side = flint.arb, problem.cells, problem.cells - 1
    weights = np.asarray(problem.cell_weights(np.asarray(p[:-1])))
    stiff = flint.arb_mat(side**2, side**2)
    for cx in range(n):
        for cy in range(n):
            corners = [(cx, cy), (cx + 1, cy), (cx, cy + 1), (cx + 1, cy + 1)]
            for a, (i, j) in enumerate(corners):
                for b, (k, m) in enumerate(corners):
                    if 0 < i < n and 0 < j < n and 0 < k < n and 0 < m < n:
                        entry = arb(round(6 * ELEMENT[a, b])) / 6 * arb(float(weights[cx, cy]))
                        row, column = (i - 1) * side + j - 1, (k - 1) * side + m - 1
                        stiff[row, column] = stiff[row, column] + entry
    theta = arb(1) if problem.scheme == "implicit-euler" else arb(1) / 2
    mass, dt = arb(1) / n**2, arb(float(problem.time_step))

    def inside(v):
        return [flint.arb_mat(side**2, 1, [arb(float(x)) for x in s.reshape(n + 1, n + 1)[1:-1, 1:-1].ravel()])
                for s in np.asarray(v).reshape(problem.steps + 1, -1)]  # fmt: skip

    unit = flint.arb_mat(side**2, side**2)
    for i in range(side**2):
        unit[i, i] = mass / dt
    left, right = unit + theta * stiff, unit - (arb(1) - theta) * stiff
    source = flint.arb_mat(side**2, 1, [arb(float(p[-1])) * mass] * side**2)
    u = [inside(np.asarray(problem.prescribe(np.asarray(p), np.zeros(problem.size))))[0]]
    for _ in range(problem.steps):
        u.append(left.solve(right * u[-1] + source))

    def norm(v):
        e = u if v is None else [x - y for x, y in zip(u, inside(v), strict=True)]
        total = arb(0)
        for before, after in pairwise(e):
            middle = theta * after + (arb(1) - theta) * before
            total += dt * (middle.transpose() * (stiff * middle))[0, 0]
        return abs(total).sqrt()

    return norm


def fields_of(problem, p):
    truth = np.asarray(problem.attempt_batch(np.asarray(p)[None]).u)[0]
    noise = RNG.standard_normal(len(truth))
    fields = [truth, truth * (1 + 1e-7), truth * 1.01, truth + 0.05 * truth.max() * noise, 0 * truth, 1e3 * noise]
    return np.stack([np.asarray(problem.prescribe(np.asarray(p), v)) for v in fields])


@pytest.mark.parametrize("scheme", PROBLEMS)
@pytest.mark.parametrize("p", [[0.1, 0.1, 3.0], [0.01, 1.0, 10.0], [1.0, 0.02, 0.0]], ids=str)
def test_exact_errors_lie_inside(scheme, p):
    problem = PROBLEMS[scheme]
    norm, fields = exact(problem, p), fields_of(problem, p)
    P, whole, errors = np.repeat(np.asarray(p)[None], len(fields), axis=0), norm(None), [norm(v) for v in fields]
    for steps in (0, 1, 3):
        found = certify(problem, fields, P, steps=steps)
        for i, error in enumerate(errors):
            assert found.lower[i] <= float(error.upper()) and float(error.lower()) <= found.upper[i]
            low, high = float((error / whole).lower()), float((error / whole).upper())
            assert found.relative_lower[i] <= high and low <= found.relative_upper[i]
        square = whole**2
        assert (found.square_lower <= float(square.upper())).all() and (
            found.square_upper >= float(square.lower())
        ).all()
    assert (found.relative_upper[2:4] <= 1.02 * found.relative_lower[2:4]).all()  # a thousandth of the residual is left


def test_a_dual_norm_that_is_too_small_shows(monkeypatch):
    """The check above can fail; the energy argument itself gives away a factor of 2.5 here."""
    problem, p = PROBLEMS["implicit-euler"], [0.1, 0.1, 3.0]
    fields, own = fields_of(problem, p)[2:4], HeatProof.measures
    errors = [float(exact(problem, p)(v)) for v in fields]

    def spoilt(self, p, states):
        found = own(self, p, states)
        return found._replace(energy=0.3 * found.energy)

    monkeypatch.setattr(HeatProof, "measures", spoilt)
    upper = np.asarray(HeatProof(problem).bounds(np.repeat([p], 2, axis=0), fields, 0)[1].upper)
    assert (upper < errors).any()


def test_a_wrong_initial_state_is_overwritten_and_diffusivities_must_be_positive():
    problem = PROBLEMS["crank-nicolson"]
    p = np.array([[0.1, 0.5, 1.0]])
    truth = np.asarray(problem.attempt_batch(p).u)
    off = truth.copy()
    off[:, : (problem.cells + 1) ** 2] += 1.0
    found = certify(problem, off, p)
    assert found.overwritten[0] >= 0.99 and found.relative_upper[0] < 1e-9
    outside = certify(problem, truth, np.array([[-0.1, 0.5, 1.0]]))
    assert np.isinf(outside.upper).all()


def test_guard_and_records_go_by_the_proof():
    problem = PROBLEMS["implicit-euler"]
    P = problem.inputs.sample(30, seed=3)
    guard_goes_by_the_proof(problem, lambda P: np.where(P[:, 0] > 0.3, 0.3, 1e-3), P, least=5)


def test_residuals_whose_squares_underflow_are_charged_before_they_are_divided():
    """With 1/k steps as long and s/k for the source, the solution is that of k = 1 times s/k, and so is its norm."""
    kind = {"blocks": (1, 1), "cells": 8, "steps": 2, "initial_amplitude": 0.0}
    one = Heat(end_time=1.0, low=1.0, high=2.0, source=(0.0, 1.0), **kind)
    size = float(one.norm([1.0, 1.0], one.attempt_batch(np.ones((1, 2))).u[0]))
    for s in (1e-153, 1e-156):
        tiny = Heat(end_time=1e30, low=1e-30, high=2e-30, source=(0.0, s), **kind)
        for steps in (0, 1):
            found = certify(tiny, np.zeros((1, tiny.size)), [[1e-30, s]], steps=steps)
            assert found.lower[0] * (1 - 1e-9) <= size * s / 1e-30 <= found.upper[0] * (1 + 1e-9)
