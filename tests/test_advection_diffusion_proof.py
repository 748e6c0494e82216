"""Bounds of advection-diffusion against solves in ball arithmetic: all schemes and data, planted faults, the guard."""

import jax
import numpy as np
import pytest

from assay.solvers.problems.advection_diffusion import AdvectionDiffusion
from assay.verify.certify import certify
from assay.verify.falsify import falsify
from assay.verify.guard import guard
from assay.verify.measured_error import measured_error
from assay.verify.proofs.advection_diffusion import AdvectionDiffusionProof
from assay.verify.proofs.prover import proof_of

BOX = {"cells": 6, "angle": (-3.2, 3.2), "speed": (0.0, 2.0), "diffusion": (1e-6, 1.0)}
SCHEMES = {"central": "step", "upwind": "source", "fitted": "step"}
PROBLEMS = {scheme: AdvectionDiffusion(scheme=scheme, data=data, **BOX) for scheme, data in SCHEMES.items()}
INPUTS = np.array(
    [
        [0.6, 1.2, 0.15],
        [-2.5, 2.0, 0.02],  # thin layers, against both axes
        [0.0, 2.0, 1e-6],  # along a wall: no diffusion to speak of across
        [np.pi / 2, 1.0, 1.0],
        [2.2, 0.7, 1e-4],
        [1.0, 0.0, 0.3],  # no flow
    ]
)


def exact(problem, p):
    """The error's norm at a field of floats, or that of the solution: of float64 weights, in 300 bits."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 300
    n, m = problem.cells, problem.cells - 1
    theta = [flint.arb(float(x)) for x in np.asarray(jax.jit(problem.theta)(p))]
    flow = [x / (2 * n) for x in theta[2:]]
    matrix, load = flint.arb_mat(m * m, m * m), flint.arb_mat(m * m, 1)
    f = np.asarray(problem.load(p)).reshape(n + 1, n + 1)
    side = np.asarray(problem.prescribe(p, np.zeros(problem.size))).reshape(n + 1, n + 1)
    for i in range(m):
        for j in range(m):
            row = i * m + j
            matrix[row, row] = 2 * theta[0] + 2 * theta[1]
            load[row, 0] = flint.arb(float(f[i + 1, j + 1]))
            for axis, step in ((0, -1), (0, 1), (1, -1), (1, 1)):
                x, y = (i + step, j) if axis == 0 else (i, j + step)
                entry = -theta[axis] + step * flow[axis]
                if 0 <= x < m and 0 <= y < m:
                    matrix[row, x * m + y] = entry
                else:
                    load[row, 0] -= entry * flint.arb(float(side[x + 1, y + 1]))
    u = matrix.solve(load)

    def norm(v):
        inside = None if v is None else v.reshape(n + 1, n + 1)[1:-1, 1:-1].ravel()
        total = flint.arb(0)
        for k in range(m * m):
            total += (u[k, 0] - (flint.arb(0) if inside is None else flint.arb(float(inside[k])))) ** 2
        if v is None:
            total += flint.arb(float((side**2).sum()))  # ones and zeros
        return total.sqrt() / n

    return norm


def fields_of(problem, p):
    truth = np.asarray(problem.attempt_batch(p[None]).u)[0]
    rng, free, size = np.random.default_rng(0), problem.free, np.abs(truth).max()
    ulp = truth.copy()
    first = np.flatnonzero(free)[0]
    ulp[first] = np.nextafter(ulp[first], 9.0)
    bump = np.outer(*[np.sin(np.pi * np.arange(problem.cells + 1) / problem.cells)] * 2).ravel() * free
    rough = free * rng.standard_normal(len(truth))
    made = [truth, ulp, truth * (1 + 1e-9 * free), truth + 1e-3 * bump, truth + 1e-2 * size * rough, 0 * truth]
    made += [-truth, truth + 1e6 * rough, truth[::-1]]
    return np.stack([np.asarray(problem.prescribe(p, v)) for v in made])


def outside(bounds, errors):
    """Which errors the bounds miss, from above or from below."""
    return [
        not (low <= float(e.upper()) and float(e.lower()) <= high)
        for low, high, e in zip(bounds.lower, bounds.upper, errors, strict=True)
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_exact_errors_lie_inside(scheme):
    problem = PROBLEMS[scheme]
    for p in INPUTS:
        norm, fields = exact(problem, p), fields_of(problem, p)
        whole, errors = norm(None), [norm(v) for v in fields]
        for steps in (0, 2):
            found = certify(problem, fields, np.repeat(p[None], len(fields), axis=0), steps=steps)
            assert not any(outside(found, errors)) and np.isfinite(found.upper).all()
            for i, error in enumerate(errors):
                relative = error / whole
                assert found.relative_lower[i] <= float(relative.upper())
                assert float(relative.lower()) <= found.relative_upper[i]
            assert (found.square_lower <= float((whole**2).upper())).all()
            assert (found.square_upper >= float((whole**2).lower())).all()
        # two steps: the error itself on both sides, up to rounding
        blur = 3 * (found.floor / np.sqrt(found.square_lower))[3:5]
        assert (found.relative_upper[3:5] <= (1 + 1e-6) * found.relative_lower[3:5] + blur).all() and (
            blur < 1e-7
        ).all()


FLOWS = np.concatenate(
    [INPUTS, [[0.0, 1.0, 0.08], [-0.8, 2.0, 0.11]]]
)  # and central ones just beyond a cell Peclet of 1


def sharpness(proof, p):
    """The proof's two constants over the smallest that there are: 1 and more."""
    problem = proof.problem
    theta = np.asarray(problem.theta(p))
    matrix, n = problem.matrix(theta).toarray(), problem.cells
    inverse, root = np.linalg.inv(matrix), np.linalg.cholesky((matrix + matrix.T) / 2)
    by_energy, by_barrier = (float(x) for x in proof.inverse_bounds(theta))
    return n * by_energy / np.linalg.norm(inverse @ root, 2), n * by_barrier / np.linalg.norm(inverse, 2)


def wrong_constants(proof):
    """By name, what is not as the theorem has it; none where all is right."""
    problem, n, found = proof.problem, proof.problem.cells, set()
    for p in FLOWS:
        theta = np.asarray(problem.theta(p))
        by_energy, by_barrier = sharpness(proof, p)
        if not (1 - 1e-9 <= by_energy <= (1 + 1e-9 if p[1] == 0 else 3.0)):
            found.add("energy")
        if not (1 - 1e-9 <= by_barrier <= (1.75 if p[2] == 1e-6 and problem.scheme != "central" else np.inf)):
            found.add("barrier")
        excess = np.asarray(proof._monotone_excess(theta))
        monotone = problem.matrix(theta + np.append(excess, [0.0, 0.0])).tocoo()
        beside = monotone.data[monotone.row != monotone.col]
        lacking = np.abs(theta[2:]) / (2 * n) - theta[:2]
        if (beside > 0).any() or (excess > np.maximum(lacking, 0) + 1e-13 * np.abs(theta[2:])).any():
            found.add("excess")
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_constants_are_the_theorems_and_spoilt_ones_show(scheme, monkeypatch):
    """Upwind and fitted matrices are M-matrices by theorem, of floats up to a rounding: (b) holds wherever there is
    flow.
    """
    proof = AdvectionDiffusionProof(PROBLEMS[scheme])
    assert wrong_constants(proof) == set()
    barrier = [np.isfinite(sharpness(proof, p)[1]) for p in INPUTS]
    assert barrier == [True, scheme != "central", scheme != "central", True, scheme != "central", False]
    for part, name in (
        ("_least_diffusions", "energy"), ("_crossing_time", "barrier"), ("_monotone_excess", "excess"),
    ):  # fmt: skip
        honest = getattr(AdvectionDiffusionProof, part)
        for factor in (0.5, 2.0):
            if scheme != {"barrier": "upwind", "excess": "central"}.get(name, scheme):
                continue  # the others' barrier is far from sharp, and their excess zero
            with monkeypatch.context() as patch:
                patch.setattr(AdvectionDiffusionProof, part, lambda self, x, h=honest, c=factor: h(self, x) * c)
                assert name in wrong_constants(AdvectionDiffusionProof(PROBLEMS[scheme])), (part, factor)


@pytest.mark.parametrize(
    ("part", "factor", "scheme", "p"),
    [("_least_diffusions", 2.0, "central", [1.0, 0.0, 0.3]), ("_crossing_time", 0.5, "upwind", [0.0, 2.0, 1e-6])],
)
def test_a_spoilt_constant_misses_an_error(part, factor, scheme, p, monkeypatch):
    """The check against exact errors can fail: at the field whose residual the inverse makes the most of."""
    problem, p = PROBLEMS[scheme], np.array(p)
    field = np.array(problem.attempt_batch(p[None]).u)
    left = np.linalg.svd(np.linalg.inv(problem.matrix(np.asarray(problem.theta(p))).toarray()))[0]
    field[0, problem.free] += left[:, 0]
    errors, honest = [exact(problem, p)(field[0])], getattr(AdvectionDiffusionProof, part)
    assert not any(outside(AdvectionDiffusionProof(problem).bounds(p[None], field, 0)[1], errors))
    monkeypatch.setattr(AdvectionDiffusionProof, part, lambda self, theta: honest(self, theta) * factor)
    assert any(outside(AdvectionDiffusionProof(problem).bounds(p[None], field, 0)[1], errors))


def test_what_is_not_finite_or_not_in_place():
    problem, p = PROBLEMS["fitted"], INPUTS[0]
    truth = np.asarray(problem.attempt_batch(p[None]).u)[0]
    corner, inner = np.flatnonzero(~problem.free)[0], np.flatnonzero(problem.free)[3]
    fields = np.repeat(truth[None], 5, axis=0)
    fields[1, inner], fields[2, corner], fields[3, corner], fields[4, inner] = np.nan, np.inf, 0.7, 1e200
    found = certify(problem, fields, np.repeat(p[None], 5, axis=0))
    assert np.isfinite(found.upper).tolist() == [True, False, False, True, False]
    assert found.overwritten[3] == pytest.approx(0.3) and found.upper[3] == found.upper[0]
    assert any("NaN or infinite" in note for note in found.notes)
    assert any("range of float64" in note for note in found.notes)
    outside_box = certify(problem, truth[None], np.array([[0.6, 1.2, 3.0]]))
    assert np.isinf(outside_box.upper).all() and any("outside the problem's box" in note for note in outside_box.notes)


def test_guard_search_and_records_go_by_the_proof():
    problem = AdvectionDiffusion(cells=8)

    def nearly(P):
        """Right to 1e-5, but wrong by a tenth where diffusion is large."""
        off = 1e-5 + 0.1 * (P[:, 2] > 0.3)
        return np.asarray(problem.attempt_batch(P).u) * (1 + off)[:, None]

    P = problem.inputs.sample(40, seed=1)
    answer = guard(problem, nearly, 1e-3)(P)
    wrong = P[:, 2] > 0.3
    assert (answer.route[~wrong] == "accepted").all() and (answer.route[wrong] == "polished").all() and wrong.any()
    truth = np.asarray(problem.attempt_batch(P).u)
    for p, v, u, most in zip(P[:5], answer.u, truth, answer.relative_upper, strict=False):
        error, lower, upper, evidence = measured_error(problem, p, v, u)
        assert error <= 1e-3 and lower <= most and str(evidence) == "proved" and lower <= upper
    found = falsify(problem, nearly, 1e-3, budget=8)
    assert found.verdict == "falsified" and found.signal == "bound"
    assert str(found.counterexamples[0].evidence) == "proved" and found.counterexamples[0].lower > 0.09
    assert proof_of(problem).proves
