"""Bounds of Helmholtz problems against solves in ball arithmetic, planted faults, and the guard."""

import pickle

import numpy as np
import pytest

from assay.solvers.batching import VectorMap
from assay.solvers.problems.helmholtz import Helmholtz
from assay.verify.certify import certify
from assay.verify.falsify import falsify
from assay.verify.guard import guard
from assay.verify.measured_error import measured_error
from assay.verify.proofs.helmholtz import HelmholtzProof
from assay.verify.proofs.indefinite.helmholtz_reduced import Waves, enough
from assay.verify.proofs.prover import proof_of, prover

PROBLEM = Helmholtz(cells=8, k2=(5.0, 75.0), damping=(0.0, 0.1), width=0.15)
RNG = np.random.default_rng(0)
RESONANCE = 64 * 8 * np.sin(np.pi / 16) ** 2  # the grid's first
INPUTS = np.array(
    [
        [5.0, 0.1, 0.5, 0.5],
        [31.0, 0.01, 0.2, 0.8],
        [75.0, 0.05, 0.3, 0.3],
        [RESONANCE * (1 + 1e-3), 0.0, 0.4, 0.6],
        [RESONANCE * (1 - 1e-6), 0.0, 0.21, 0.37],
        [RESONANCE, 1e-7, 0.5, 0.5],
        [49.0, 0.0, 0.5, 0.5],  # symmetric: the modes near it are not excited
    ]
)


def exact(p):
    """The solution of the discrete equations as rational data give it, in 300 bits; and the norm of such a field."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 300
    n, free = PROBLEM.cells, PROBLEM.free
    k2, damping = float(p[0]), float(np.float64(p[0]) * np.float64(p[1]))
    area = flint.arb(1) / n**2
    inner, side = (n - 1) ** 2, n - 1
    matrix = flint.acb_mat(inner, inner)
    f = np.asarray(PROBLEM.load(p))[free][::2]
    load = flint.acb_mat(inner, 1, [flint.acb(float(x)) for x in f])
    for i in range(inner):
        matrix[i, i] = flint.acb(4 - flint.arb(k2) * area, -flint.arb(damping) * area)
        for j, inside in (
            (i - side, i >= side), (i + side, i + side < inner),
            (i - 1, i % side > 0), (i + 1, i % side < side - 1),
        ):  # fmt: skip
            if inside:
                matrix[i, j] = flint.acb(-1)
    u = matrix.solve(load)

    def norm(v):
        """Of a field [N] of floats subtracted from u; of u where there is none."""
        w = [u[i, 0] for i in range(inner)]
        if v is not None:
            v = v[free]
            w = [x - flint.acb(float(a), float(b)) for x, a, b in zip(w, v[::2], v[1::2], strict=True)]
        grid = {(i // side, i % side): x for i, x in enumerate(w)}
        total = flint.arb(0)
        for (i, j), x in grid.items():
            total += area * abs(x) ** 2
            for di, dj in ((1, 0), (0, 1)):
                total += abs(x - grid.get((i + di, j + dj), flint.acb(0))) ** 2
                if (i if di else j) == 0:
                    total += abs(x) ** 2
        return total.sqrt()

    return norm


def fields_of(p):
    truth = np.asarray(PROBLEM.attempt_batch(p[None]).u)[0]
    free = PROBLEM.free
    noise = RNG.standard_normal(len(truth)) * free
    smooth = np.roll(truth, 2) * free
    size = np.abs(truth).max()
    ulp = truth.copy()
    ulp[np.flatnonzero(free)[0]] = np.nextafter(ulp[np.flatnonzero(free)[0]], 1)
    return np.stack(
        [
            truth,
            ulp,
            truth * (1 + 1e-9),
            truth + 1e-3 * smooth,
            truth + 1e-2 * size * noise,
            0 * truth,
            1e6 * size * noise,
        ]
    )


@pytest.mark.parametrize("p", INPUTS, ids=lambda p: f"k2={p[0]:.8g}, damping={p[1]:g}")
def test_exact_errors_lie_inside_and_the_bounds_are_the_error(p):
    norm, fields = exact(p), fields_of(p)
    found = certify(PROBLEM, fields, np.repeat(p[None], len(fields), axis=0), steps=0)
    whole = norm(None)
    assert (found.square_lower <= float((whole**2).upper())).all() and (
        found.square_upper >= float((whole**2).lower())
    ).all()
    for i, v in enumerate(fields):
        error = norm(v)
        assert found.lower[i] <= float(error.upper()) and float(error.lower()) <= found.upper[i] < np.inf
        relative = error / whole
        assert found.relative_lower[i] <= float(relative.upper()) and float(relative.lower()) <= found.relative_upper[i]
    # the residual's rounding, 14 u |A| |v| < 1.3e-14 |v|, is divided by lambda (0.3 here) times the relative distance
    # to a resonance, on both sides
    near, _ = proof_of(PROBLEM)._distances(PROBLEM.theta(p))
    blur = 1e-13 / float((near / proof_of(PROBLEM)._eigenvalues).min())
    assert (found.relative_upper[3:5] <= 1.000001 * found.relative_lower[3:5] + blur).all() and blur < 1e-3


def test_a_wrong_eigenvalue_or_wave_number_shows(monkeypatch):
    """The check above can fail: every constant of the theorem is spoilt in turn."""
    p = INPUTS[1]
    norm, fields = exact(p), fields_of(p)[3:5]
    errors = [float(norm(v)) for v in fields]
    distances, eigenvalues = HelmholtzProof._distances, proof_of(PROBLEM)._eigenvalues
    spoilt = {
        "_distances": [lambda self, theta, c=c: distances(self, theta.at[1].multiply(c)) for c in (0.5, 2.0)],
        "_eigenvalues": [eigenvalues * c for c in (0.5, 2.0)],
    }
    for name, wrong in spoilt.items():
        for value in wrong:
            with monkeypatch.context() as patch:
                patch.setattr(HelmholtzProof, name, value)
                _, bounds, _ = HelmholtzProof(PROBLEM).bounds(np.repeat(p[None], 2, axis=0), fields, 0)
            outside = [not low <= e <= high for low, e, high in zip(bounds.lower, errors, bounds.upper, strict=True)]
            assert any(outside), name


def test_at_a_resonance_nothing_is_proved_and_the_reason_is_told():
    P = np.array([[RESONANCE, 0.0, 0.5, 0.5], [RESONANCE * (1 + 1e-16), 0.0, 0.3, 0.5]])
    found = certify(PROBLEM, np.zeros((2, PROBLEM.size)), P)
    assert np.isinf(found.upper).all() and (found.lower == 0).all()
    assert any("resonance" in note for note in found.notes)
    spoilt = certify(PROBLEM, np.full((1, PROBLEM.size), np.nan), INPUTS[:1])
    assert np.isinf(spoilt.upper).all() and spoilt.notes


def test_guard_search_and_records_go_by_the_proof():
    problem = Helmholtz(cells=8, k2=(5.0, 30.0), width=0.15)

    def nearly(P):
        """Right to 1e-4, but wrong by a tenth near one corner of the box."""
        off = 1e-4 + 0.1 * (P[:, 0] > 28)
        return np.asarray(problem.attempt_batch(P).u) * (1 + off)[:, None]

    P = np.concatenate([problem.inputs.sample(40, seed=1), problem.inputs.upper[None]])
    answer = guard(problem, nearly, 1e-3)(P)
    wrong = P[:, 0] > 28
    assert (answer.route[~wrong] == "accepted").all() and (answer.route[wrong] == "polished").all()
    truth = np.asarray(problem.attempt_batch(P).u)
    for p, v, u, most in zip(P, answer.u, truth, answer.relative_upper, strict=True):
        error, lower, upper, evidence = measured_error(problem, p, v, u)
        assert error <= 1e-3 and lower <= most and str(evidence) == "proved" and lower <= upper
    found = falsify(problem, nearly, 1e-3, budget=8)
    assert found.verdict == "falsified" and found.signal == "bound"
    assert str(found.counterexamples[0].evidence) == "proved" and found.counterexamples[0].lower > 0.09


class Modes:
    """Best coefficients in modes of solutions, off by ``share`` of them."""

    def __init__(self, problem, k, share):
        self.problem, self.share = problem, share
        U = np.asarray(problem.attempt_batch(problem.inputs.sample(40, seed=5)).u)
        self.basis = np.linalg.svd(U, full_matrices=False)[2][:k].T * problem.free[:, None]

    def coefficients(self, P):
        return np.asarray(self.problem.attempt_batch(P).u) @ self.basis * (1 + self.share)

    def __call__(self, P):
        return self.coefficients(P) @ self.basis.T


def test_bounds_from_coefficients_hold_the_exact_error_on_both_sides():
    reduced = prover(PROBLEM, Modes(PROBLEM, 6, 1e-3)).reduced
    every, few = VectorMap(reduced.stages[-1]), VectorMap(Waves(PROBLEM, reduced.basis, 4).bound)
    best = VectorMap(reduced.improve)
    for p in INPUTS:
        norm, C = exact(p), np.concatenate([best(p[None]), RNG.standard_normal((2, 6)), np.zeros((1, 6))])
        whole, errors = norm(None), [norm(c @ reduced.basis.T) for c in C]
        P = np.repeat(p[None], len(C), axis=0)
        for found in (every(P, C), few(P, C)):
            for i, error in enumerate(errors):
                assert found.lower[i] <= float(error.upper()) and float(error.lower()) <= found.upper[i] < np.inf
                assert found.relative_lower[i] <= float((error / whole).upper())
                assert float((error / whole).lower()) <= found.relative_upper[i]
            assert (found.square_lower <= float((whole**2).upper())).all()
            assert (found.square_upper >= float((whole**2).lower())).all()
        near, _ = proof_of(PROBLEM)._distances(PROBLEM.theta(p))
        blur = 1e-13 / float((near / proof_of(PROBLEM)._eigenvalues).min())
        assert (every(P, C).relative_upper <= (1 + 1e-9) * every(P, C).relative_lower + blur).all()
    atoms = VectorMap(reduced.stages[0])(np.array([[RESONANCE, 0.0, 0.5, 0.5], INPUTS[0]]), np.full((2, 6), np.nan))
    assert np.isinf(atoms.upper).all()


@pytest.mark.parametrize("part", ["eigenvalues", "modes"])
def test_spoilt_sines_and_modes_show(part):
    p, c = INPUTS[1], RNG.standard_normal(6)
    basis = prover(PROBLEM, Modes(PROBLEM, 6, 0.0)).reduced.basis
    error = exact(p)(c @ basis.T)
    for factor in (1.0, 0.5, 2.0):
        waves = Waves(PROBLEM, basis, PROBLEM.cells - 1)
        setattr(waves, part, getattr(waves, part) * factor)
        found = VectorMap(waves.bound)(p[None], c[None])
        inside = found.lower[0] <= float(error.upper()) and float(error.lower()) <= found.upper[0]
        assert inside == (factor == 1.0)


def test_few_waves_are_enough_where_the_source_is_smooth():
    problem = Helmholtz(cells=24, k2=(5.0, 30.0), place=(0.4, 0.6), width=0.1)
    assert enough(problem) < 20 and enough(Helmholtz(cells=24, width=1 / 24)) == 23
    surrogate = Modes(problem, 8, 1e-2)
    P = problem.inputs.sample(20, seed=3)
    first, every = (
        VectorMap(stage)(P, surrogate.coefficients(P)) for stage in prover(problem, surrogate).reduced.stages
    )
    true = certify(problem, surrogate, P)
    for found, sharp in ((first, 1.05), (every, 1 + 1e-6)):
        assert (found.lower <= true.upper).all() and (found.upper >= true.lower).all()
        assert (found.upper <= sharp * true.upper).all()
    guarded = pickle.loads(pickle.dumps(guard(problem, surrogate, 0.2)))
    assert "from coefficients" in repr(guarded) and (guarded(P).route != "failed").all()
    assert (guarded(P).relative_upper >= true.relative_lower)[guarded(P).route == "accepted"].all()
