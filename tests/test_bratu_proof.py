"""Bounds of Bratu's lower branch against solutions in ball arithmetic, other branches, planted faults, and the
guard."""

import numpy as np
import pytest

from assay.solvers.problems.bratu import Bratu
from assay.verify.certify import certify
from assay.verify.guard import guard
from assay.verify.proofs import bratu as theorem
from assay.verify.proofs.bratu import BratuProof
from assay.verify.proofs.prover import proof_of

PLANE, LINE = Bratu(cells=8, lam=(0.5, 6.7)), Bratu(dimension=1, cells=16, lam=(0.5, 3.5))
CASES = [
    (PLANE, [1.0, 1.0]),
    (PLANE, [6.0, 0.5]),
    (PLANE, [6.7, 1.1]),  # the grid's fold is near 6.78
    (LINE, [2.0]),
    (LINE, [3.45]),
]
RNG = np.random.default_rng(0)


def exact(problem, p):
    """Newton's method from zero in 200 bits, which rises to the minimal solution; the energy norm of u - v."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 200
    K = problem.norm_matrix(np.asarray(p)).tocoo()
    weights = [flint.arb(float(w)) for w in problem.difference_weights(np.asarray(p))]
    n = K.shape[0]
    stiff = flint.arb_mat(n, n)
    double = flint.arb(2)
    for i, j in zip(K.row, K.col, strict=True):
        if i == j:
            stiff[int(i), int(j)] = sum((double * w for w in weights), flint.arb(0))
        else:
            along_x = problem.dimension == 1 or abs(int(i) - int(j)) > 1
            stiff[int(i), int(j)] = -(weights[0] if along_x else weights[1])
    strength = flint.arb(float(p[0])) * flint.arb(problem.mass)
    u = flint.arb_mat(n, 1)
    for _ in range(40):
        source = [strength * u[i, 0].exp() for i in range(n)]
        jacobian, residual = flint.arb_mat(stiff), stiff * u
        for i in range(n):
            jacobian[i, i] = jacobian[i, i] - source[i]
            residual[i, 0] = residual[i, 0] - source[i]
        step = jacobian.solve(residual)
        u = flint.arb_mat(n, 1, [(u[i, 0] - step[i, 0]).mid() for i in range(n)])
        if max(abs(float(step[i, 0])) for i in range(n)) < 1e-40:
            break
    else:
        raise AssertionError("no solution")

    def norm(v):
        d = u if v is None else u - flint.arb_mat(n, 1, [flint.arb(float(x)) for x in v[problem.free]])
        return (d.transpose() * (stiff * d))[0, 0].sqrt()

    return norm


def fields_of(problem, p):
    truth = np.asarray(problem.attempt_batch(np.asarray(p)[None]).u)[0]
    free, noise = problem.free, RNG.standard_normal(problem.size)
    ulp = np.where(np.arange(len(truth)) == np.flatnonzero(free)[2], np.nextafter(truth, 9), truth)
    near = [truth, ulp, truth * (1 + 1e-8), truth * 0.99, truth * 1.05, truth + 1e-3 * truth.max() * noise * free]
    return np.stack([*near, 0 * truth, 3 * truth, 30 * noise * free])


@pytest.mark.parametrize(("problem", "p"), CASES, ids=str)
def test_exact_errors_lie_inside(problem, p):
    norm, fields = exact(problem, p), fields_of(problem, p)
    whole = norm(None)
    square, errors = whole**2, [norm(v) for v in fields]
    P = np.repeat(np.asarray(p)[None], len(fields), axis=0)
    for steps in (0, 1, 3):
        found = certify(problem, fields, P, steps=steps)
        assert (found.square_lower <= float(square.upper())).all() and (
            found.square_upper >= float(square.lower())
        ).all()
        for i, error in enumerate(errors):
            low, high = float(error.lower()), float(error.upper())
            assert found.lower[i] <= high and low <= found.upper[i]
            relative = error / whole
            low, high = float(relative.lower()), float(relative.upper())
            assert found.relative_lower[i] <= high and low <= found.relative_upper[i]
    assert (found.relative_upper[3:6] <= 1.01 * found.relative_lower[3:6]).all()  # after three corrections


def test_constants_that_are_wrong_show(monkeypatch):
    """The check above can fail: a comparison function that is too small, and a dual norm of another operator."""
    problem, p = PLANE, [6.0, 0.5]
    field = fields_of(problem, p)[[3]]
    error = float(exact(problem, p)(field[0]))
    supersolution, dual = theorem.supersolution, theorem.Sines.dual_norm

    def upper():
        return float(BratuProof(problem).bounds(np.asarray(p)[None], field, 0)[1].upper[0])

    honest = upper()
    assert honest >= error
    with monkeypatch.context() as patch:
        patch.setattr(theorem.Sines, "dual_norm", lambda self, g, values, off: dual(self, g, 2 * values, off))
        assert upper() < error
    with monkeypatch.context() as patch:
        patch.setattr(theorem, "supersolution", lambda *a: (0 * supersolution(*a)[0], supersolution(*a)[1]))
        assert upper() < error


def test_beyond_the_fold_and_on_the_other_branch_nothing_is_small():
    beyond = Bratu(cells=8, lam=(6.0, 9.0))
    fold = beyond.fold(1.0)
    P = np.array([[fold * 1.0001, 1.0], [8.0, 1.0], [8.0, 1.7]])
    below = np.asarray(beyond.attempt_batch(np.array([[fold * 0.999, 1.0]])).u)
    for steps in (0, 2, 6):
        found = certify(beyond, np.repeat(below, 3, axis=0), P, steps=steps)
        assert np.isinf(found.upper).all() and any("fold" in note for note in found.notes)
    p = np.array([[3.0, 1.0]])
    upper = np.asarray(Bratu(cells=8, lam=(1.0, 6.0), branch="upper").attempt_batch(p).u)
    lower = np.asarray(PLANE.attempt_batch(p).u)
    size = np.sqrt(np.vdot(lower, lower))
    apart = float(PLANE.norm(p[0], upper[0] - lower[0]))
    assert np.linalg.norm(upper - lower) > size
    for steps in (0, 2, 6):
        assert certify(PLANE, upper, p, steps=steps).upper[0] >= apart


def test_the_upper_branch_is_not_proved_and_says_so():
    problem = Bratu(cells=8, lam=(1.0, 6.0), branch="upper")
    assert not proof_of(problem).proves
    found = certify(problem, np.zeros((1, problem.size)), problem.inputs.centre[None])
    assert np.isinf(found.upper).all() and "lower branch only" in " ".join(found.notes)


def test_the_guard_accepts_polishes_and_lets_nothing_wrong_out():
    def surrogate(P):
        off = np.where(P[:, 1] > 1.5, 0.2, 1e-4)
        return np.asarray(PLANE.attempt_batch(P).u) * (1 + off[:, None])

    P = PLANE.inputs.sample(40, seed=2)
    answer = guard(PLANE, surrogate, 1e-3)(P)
    truth = np.asarray(PLANE.attempt_batch(P).u)
    errors = [PLANE.norm(p, u - v) / PLANE.norm(p, u) for p, u, v in zip(P, truth, answer.u, strict=True)]
    assert max(errors) <= 1e-3 and (np.array(errors) <= answer.relative_upper + 1e-9).all()
    assert answer.counts["accepted"] > 20 and answer.counts["polished"] > 5 and answer.counts["failed"] == 0
