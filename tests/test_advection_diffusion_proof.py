"""Bounds of advection-diffusion against solves in ball arithmetic: all schemes and data, planted faults, the guard."""

import pickle

import jax
import numpy as np
import pytest

from assay.solvers.batching import VectorMap
from assay.solvers.problems.advection_diffusion import AdvectionDiffusion
from assay.verify.certify import certify
from assay.verify.falsify import falsify
from assay.verify.guard import guard
from assay.verify.measured_error import measured_error
from assay.verify.proofs.indefinite.advection_diffusion import AdvectionDiffusionProof
from assay.verify.proofs.indefinite.flow_bounds import FlowBounds
from assay.verify.proofs.prover import proof_of, prover

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


def sharpness(problem, p):
    """The theorem's two constants over the smallest that there are: 1 and more."""
    theta = np.asarray(problem.theta(p))
    matrix, n = problem.matrix(theta).toarray(), problem.cells
    inverse, root = np.linalg.inv(matrix), np.linalg.cholesky((matrix + matrix.T) / 2)
    by_energy, by_barrier = (float(x) for x in FlowBounds(n).inverse_bounds(theta))
    return n * by_energy / np.linalg.norm(inverse @ root, 2), n * by_barrier / np.linalg.norm(inverse, 2)


def wrong_constants(problem):
    """By name, what is not as the theorem has it; none where all is right."""
    n, found = problem.cells, set()
    for p in FLOWS:
        theta = np.asarray(problem.theta(p))
        by_energy, by_barrier = sharpness(problem, p)
        if not (1 - 1e-9 <= by_energy <= (1 + 1e-9 if p[1] == 0 else 3.0)):
            found.add("energy")
        if not (1 - 1e-9 <= by_barrier <= (1.75 if p[2] == 1e-6 and problem.scheme != "central" else np.inf)):
            found.add("barrier")
        excess = np.asarray(FlowBounds(n).monotone_excess(theta))
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
    problem = PROBLEMS[scheme]
    assert wrong_constants(problem) == set()
    barrier = [np.isfinite(sharpness(problem, p)[1]) for p in INPUTS]
    assert barrier == [True, scheme != "central", scheme != "central", True, scheme != "central", False]
    for part, name in (
        ("least_diffusions", "energy"), ("crossing_time", "barrier"), ("monotone_excess", "excess"),
    ):  # fmt: skip
        honest = getattr(FlowBounds, part)
        for factor in (0.5, 2.0):
            if scheme != {"barrier": "upwind", "excess": "central"}.get(name, scheme):
                continue  # the others' barrier is far from sharp, and their excess zero
            with monkeypatch.context() as patch:
                patch.setattr(FlowBounds, part, lambda self, x, h=honest, c=factor: h(self, x) * c)
                assert name in wrong_constants(problem), (part, factor)


@pytest.mark.parametrize(
    ("part", "factor", "scheme", "p"),
    [("least_diffusions", 2.0, "central", [1.0, 0.0, 0.3]), ("crossing_time", 0.5, "upwind", [0.0, 2.0, 1e-6])],
)
def test_a_spoilt_constant_misses_an_error(part, factor, scheme, p, monkeypatch):
    """The check against exact errors can fail: at the field whose residual the inverse makes the most of."""
    problem, p = PROBLEMS[scheme], np.array(p)
    field = np.array(problem.attempt_batch(p[None]).u)
    left = np.linalg.svd(np.linalg.inv(problem.matrix(np.asarray(problem.theta(p))).toarray()))[0]
    field[0, problem.free] += left[:, 0]
    errors, honest = [exact(problem, p)(field[0])], getattr(FlowBounds, part)
    assert not any(outside(AdvectionDiffusionProof(problem).bounds(p[None], field, 0)[1], errors))
    monkeypatch.setattr(FlowBounds, part, lambda self, theta: honest(self, theta) * factor)
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


class Modes:
    """Coefficients in modes of solutions: best ones, off by ``wrong(P)``."""

    def __init__(self, problem, k, wrong):
        self.problem, self.wrong = problem, wrong
        U = np.asarray(problem.attempt_batch(problem.inputs.sample(60, seed=5)).u)
        self.basis = np.linalg.svd(U, full_matrices=False)[2][:k].T * problem.free[:, None]

    def coefficients(self, P):
        return np.asarray(self.problem.attempt_batch(P).u) @ self.basis * (1 + self.wrong(P))[:, None]

    def __call__(self, P):
        return self.coefficients(P) @ self.basis.T


def wrong_at_large_diffusion(P):
    return 1e-4 + 0.1 * (P[:, 2] > 0.3)


@pytest.fixture(scope="module")
def modes():
    return Modes(AdvectionDiffusion(cells=8, diffusion=(0.1, 0.5)), 12, wrong_at_large_diffusion)


def test_bounds_from_coefficients_are_those_of_the_field(modes):
    """At each field the field's own radius, and no less than its error."""
    problem = modes.problem
    reduced = prover(problem, modes).reduced
    P = problem.inputs.sample(30, seed=2)
    rng = np.random.default_rng(1)
    for noise in (0.0, 1e-4, 1.0):
        c = modes.coefficients(P) * (1 + noise * rng.standard_normal((30, 12)))
        true = certify(problem, c @ modes.basis.T, P, steps=2)
        raw = certify(problem, c @ modes.basis.T, P, steps=0)
        bound, sharp = (VectorMap(stage)(P, c) for stage in reduced.stages)
        better = np.asarray(VectorMap(reduced.improve)(P))
        improved = VectorMap(reduced.accepting[-1])(P, better)
        theirs = certify(problem, better @ modes.basis.T, P, steps=2)
        for found, field in ((bound, true), (sharp, true), (improved, theirs)):
            assert (found.upper >= field.lower).all() and (found.lower <= field.upper).all()
            assert (found.relative_upper >= field.relative_lower).all()
            assert (found.relative_lower <= field.relative_upper).all()
            assert (found.square_lower <= field.square_upper).all() and (found.square_upper >= field.square_lower).all()
        # (a) compares with equal diffusions along both axes: theta_1/theta_2 < 1.5 here
        assert (bound.upper >= raw.upper * (1 - 1e-9)).all() and (bound.upper <= 1.25 * raw.upper).all()
        assert (sharp.upper <= bound.upper * (1 + 1e-12)).all()  # two compiled programs, which round apart
    assert (sharp.relative_upper < 1.1 * true.relative_lower).all()  # an awful field beside improved ones


def test_factors_are_those_of_the_residual(modes):
    """Beside dense matrices; a column with a wrong sign or of twice the size would show."""
    problem, reduced = modes.problem, prover(modes.problem, modes).reduced
    laplacian = problem.matrix(np.array([1.0, 1.0, 0.0, 0.0])).toarray()
    for p in problem.inputs.sample(5, seed=2):
        theta, c = np.asarray(problem.theta(p)), np.random.default_rng(0).standard_normal(12)
        s = np.concatenate([[1.0], -np.outer(theta, c).ravel()])
        r = np.asarray(problem.load(p))[problem.free] - problem.matrix(theta) @ (modes.basis @ c)[problem.free]
        for part, size in (
            (reduced.plain, np.linalg.norm(r)),
            (reduced.dual, np.sqrt(r @ np.linalg.solve(laplacian, r))),
        ):
            low, high = part.interval(s)
            assert low <= size <= high <= (1 + 1e-10) * low


def test_guards_with_a_basis_ask_the_coefficients(modes):
    problem = modes.problem
    guarded = guard(problem, modes, 1e-2)
    assert "from coefficients" in repr(guarded)
    P = problem.inputs.sample(60, seed=9)
    answer = pickle.loads(pickle.dumps(guarded))(P)
    truth = np.asarray(problem.attempt_batch(P).u)
    assert (np.linalg.norm(answer.u - truth, axis=1) <= 1e-2 * np.linalg.norm(truth, axis=1)).all()
    wrong = P[:, 2] > 0.3
    assert (answer.route[wrong] == "polished").all() and (answer.route[~wrong] == "accepted").sum() > 20
    broken = Modes(problem, 3, lambda P: np.where(P[:, 0] > 1, np.nan, 0.0))
    again = guard(problem, broken, 1e-3)(P)
    assert (again.relative_upper <= 1e-3).all() and again.counts["solved"] + again.counts["polished"] == 60
    assert any("NaN or infinite" in note for note in again.notes)


def test_values_prescribed_other_than_zero_have_no_reduced_path():
    problem = AdvectionDiffusion(cells=8, data="step")
    surrogate = Modes(AdvectionDiffusion(cells=8), 3, lambda P: 0 * P[:, 0])
    found = prover(problem, surrogate)
    assert found.reduced is None and "prescribes values" in found.why_not_reduced
