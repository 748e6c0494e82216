"""Bounds of Burgers' equation against solutions of the scheme in 200 bits, planted faults, growth, and the guard."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from against_truth import guard_goes_by_the_proof

from assay.solvers.classes.evolution import trapezoidal
from assay.solvers.problems.burgers import Burgers
from assay.verify.certify import certify
from assay.verify.proofs.burgers import BurgersProof
from assay.verify.proofs.prover import proof_of

SETTINGS = {"cells": 8, "steps": 4, "modes": 2}
PROBLEMS = {
    "crank-nicolson": Burgers(**SETTINGS),
    "implicit-euler, graded": Burgers(**SETTINGS, scheme="implicit-euler", grading=2.0),
    "periodic": Burgers(**SETTINGS, boundary="periodic"),
    "periodic, implicit-euler": Burgers(**SETTINGS, boundary="periodic", scheme="implicit-euler"),
}
RNG = np.random.default_rng(0)


def exact(problem, p):
    """All steps by Newton's method in 200 bits from the floats that the problem is given; the norm of u - v."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 200
    arb, n = flint.arb, len(problem.mass)
    theta = arb(1) if problem.scheme == "implicit-euler" else arb(1) / 2
    hl, hr = ([arb(float(x)) for x in side] for side in problem._gaps)
    mass, dt, nu = [arb(float(x)) for x in problem.mass], arb(float(problem.time_step)), arb(float(p[0]))
    around = problem.boundary == "periodic"

    def at(v, i):
        return v[i % n] if around else (v[i] if 0 <= i < n else arb(0))

    def equation(before, after):
        w = [theta * a + (1 - theta) * b for a, b in zip(after, before, strict=True)]
        r, jacobian = [], flint.arb_mat(n, n)
        for i in range(n):
            left, v, right = at(w, i - 1), w[i], at(w, i + 1)
            c = (right * right + v * right - v * left - left * left) / 6
            d = nu * ((v - left) / hl[i] - (right - v) / hr[i])
            r.append(mass[i] * (after[i] - before[i]) / dt + c + d)
            jacobian[i, i] = mass[i] / dt + theta * ((right - left) / 6 + nu * (1 / hl[i] + 1 / hr[i]))
            for j, entry in ((i - 1, -(v + 2 * left) / 6 - nu / hl[i]), (i + 1, (v + 2 * right) / 6 - nu / hr[i])):
                if around or 0 <= j < n:
                    jacobian[i, j % n] = jacobian[i, j % n] + theta * entry
        return r, jacobian

    def inside(v):
        states = np.asarray(v).reshape(problem.steps + 1, -1)
        return [[arb(float(x)) for x in (s if around else s[1:-1])] for s in states]

    u = inside(problem.prescribe(jnp.asarray(p), jnp.zeros(problem.size)))[:1]
    for _ in range(problem.steps):
        after = list(u[-1])
        for _ in range(12):
            r, jacobian = equation(u[-1], after)
            step = jacobian.solve(flint.arb_mat(n, 1, r))
            after = [(a - step[i, 0]).mid() for i, a in enumerate(after)]
        assert max(float(abs(x)) for x in equation(u[-1], after)[0]) < 1e-40
        u.append(after)
    tau = [arb(float(x)) for x in trapezoidal(problem.times)]

    def norm(v):
        e = u if v is None else [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(u, inside(v), strict=True)]
        square = arb(0)
        for t, state in zip(tau, e, strict=True):
            square += t * sum((m * x * x for m, x in zip(mass, state, strict=True)), arb(0))
        return abs(square).sqrt()

    return norm


def fields_of(problem, p):
    p = np.asarray(p)
    truth = np.asarray(problem.attempt_batch(p[None]).u)[0]
    noise = RNG.standard_normal(len(truth))
    size = np.abs(truth).max()
    fields = [truth, np.nextafter(truth, 9), truth * (1 + 1e-7), truth * 1.01, truth + 0.05 * size * noise, 0 * truth]
    return np.stack([np.asarray(problem.prescribe(p, v)) for v in [*fields, -truth, 1e3 * noise]])


def input_of(problem, nu, b):
    d = problem.inputs.dimension - 1
    return np.array([nu, *np.resize(b, d)])


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize(("nu", "b"), [(0.1, [0.3, -0.2]), (0.02, [-0.5, -0.5]), (0.011, [0.5, 0.1])])
def test_exact_errors_lie_inside(kind, nu, b):
    problem = PROBLEMS[kind]
    p = input_of(problem, nu, b)
    norm, fields = exact(problem, p), fields_of(problem, p)
    P, whole, errors = np.repeat(p[None], len(fields), axis=0), norm(None), [norm(v) for v in fields]
    for steps in (0, 2):
        found = certify(problem, fields, P, steps=steps)
        for i, error in enumerate(errors):
            assert found.lower[i] <= float(error.upper()) and float(error.lower()) <= found.upper[i]
            low, high = float((error / whole).lower()), float((error / whole).upper())
            assert found.relative_lower[i] <= high and low <= found.relative_upper[i]
        square = whole**2
        assert (found.square_lower <= float(square.upper())).all()
        assert (found.square_upper >= float(square.lower())).all()
    assert (found.relative_upper[2:5] <= 1.1 * found.relative_lower[2:5] + 1e-13).all()  # two marches


def own_eigenvalues(problem, p, states):
    """Of the symmetric part in every step by dense linear algebra, and the proved bounds."""
    proof = BurgersProof(problem)
    inside = proof._unknowns(jnp.asarray(states))
    smallest = []
    for w in np.asarray(proof._middles(inside)):
        n, J = len(w), np.zeros((len(w), len(w)))
        bands = [np.asarray(x)[0] for x in proof._bands(p[0], proof._padded(jnp.asarray(w)[None]))]
        for offset, band in zip((-1, 0, 1), bands, strict=True):
            for i in range(n):
                if problem.boundary == "periodic" or 0 <= i + offset < n:
                    J[i, (i + offset) % n] += band[i]
        root = np.sqrt(problem.mass)
        smallest.append(np.linalg.eigvalsh((J + J.T) / 2 / np.outer(root, root))[0])
    return np.array(smallest), np.asarray(proof.measures(jnp.asarray(p), jnp.asarray(states)).sigma)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_growth_is_never_less_than_the_smallest_eigenvalue_says(kind):
    problem = PROBLEMS[kind]
    for size in (1e-3, 0.1, 1.0, 30.0, 1e4):
        for nu in (0.01, 0.1):
            p = input_of(problem, nu, [0.1])
            states = np.stack([np.asarray(problem.constrain(p, size * RNG.standard_normal(s))) for s in
                               [len(problem.points)] * 5])  # fmt: skip
            true, bound = own_eigenvalues(problem, p, states)
            scale = np.abs(true).max()
            assert (bound <= true + 1e-12 * scale).all()
            if problem.boundary == "dirichlet":
                assert (bound >= true - 0.6 * scale - 0.1).all()  # a step between candidates


def growing(problem, p, eps=1e-6):
    """A trajectory that leaves the truth in its first step along what grows fastest, and is right from there on."""
    u = np.asarray(problem.attempt_batch(p[None]).u)[0].reshape(problem.steps + 1, -1)

    def run(first):
        states = [first]
        for _ in range(problem.steps - 1):
            states.append(np.asarray(problem.step(p, states[-1])))
        return np.array(states)

    n = u.shape[1]
    ends = np.stack([(run(u[1] + eps * e)[-1] - u[-1]) / eps for e in np.eye(n)[1:-1]], axis=1)[1:-1]
    direction = np.pad(np.linalg.svd(ends)[2][0], 1)
    return u, np.concatenate([u[:1], run(u[1] + eps * direction)])


@pytest.fixture(scope="module")
def steep():
    """A front in the making: the error doubles and more, most of it along one direction."""
    problem = Burgers(cells=8, steps=8, modes=1, end_time=0.25, amplitude=4.0)
    p = np.array([0.02, -4.0])
    return problem, p, *growing(problem, p)


@pytest.mark.parametrize(("factor_sigma", "factor_rho", "caught"), [(1, 1, False), (0.5, 1, True), (1, 0.5, True)])
def test_growth_and_residuals_that_are_halved_show(steep, monkeypatch, factor_sigma, factor_rho, caught):
    problem, p, u, v = steep
    proof, own = BurgersProof(problem), BurgersProof.measures

    def spoilt(self, p, states):
        growth = own(self, p, states)
        return growth._replace(sigma=factor_sigma * growth.sigma, rho=factor_rho * growth.rho)

    monkeypatch.setattr(BurgersProof, "measures", spoilt)
    b = np.asarray(proof.carried(proof.start(jnp.asarray(p)), proof.measures(jnp.asarray(p), jnp.asarray(v))))
    errors = np.array([float(proof.state_norm(p, jnp.asarray(e))[0]) for e in v - u])
    assert errors[-1] > 1.3 * errors[1]
    assert (b < errors - 1e-12).any() == caught


def test_steps_too_long_for_the_growth_prove_nothing_and_say_why():
    problem = Burgers(cells=8, steps=4, modes=2, amplitude=40.0)
    p = np.array([[0.01, -40.0, -40.0]])
    states = np.tile(np.asarray(problem.initial(p[0])), (problem.steps + 1, 1))
    assert problem.time_step * -own_eigenvalues(problem, p[0], states)[0].min() > 2
    v = states.reshape(1, -1)
    found = certify(problem, v, p)
    assert np.isinf(found.upper[0]) and any("steps" in note for note in found.notes)


def test_nan_and_wrong_prescribed_values():
    problem = PROBLEMS["crank-nicolson"]
    p = np.array([[0.05, 0.3, -0.2]])
    truth = np.asarray(problem.attempt_batch(p).u)
    off = truth.copy().reshape(problem.steps + 1, -1)
    off[0] += 1.0
    off[:, 0] += 0.5
    found = certify(problem, off.reshape(1, -1), p)
    assert found.overwritten[0] >= 1.4 and found.relative_upper[0] < 1e-10
    broken = truth.copy()
    broken[0, -3] = np.nan
    assert np.isinf(certify(problem, broken, p).upper).all()
    assert np.isinf(certify(problem, truth, np.array([[-0.05, 0.3, -0.2]])).upper).all()


def test_another_convection_has_no_theorem():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Steeper(Burgers):
        def forces(self, nu, v):
            return 2 * super().forces(nu, v)

    assert not proof_of(Steeper(**SETTINGS)).proves


def test_guard_and_records_go_by_the_proof():
    problem = PROBLEMS["crank-nicolson"]
    P = problem.inputs.sample(20, seed=3)
    guard_goes_by_the_proof(problem, lambda P: np.where(P[:, 0] > 0.03, 0.2, 1e-4), P, least=3)


def test_bounds_of_states_whose_squares_underflow_are_no_zeros():
    problem = Burgers(modes=1, cells=8, steps=2, end_time=1e-10)
    states = np.zeros((3, 9))
    states[1:, 1:-1] = 1e-156
    found = certify(problem, states.reshape(1, -1), [[0.1, 0.0]], steps=0)  # of zero
    error = 1e-156 * np.sqrt(trapezoidal(problem.times)[1:].sum() * problem.mass.sum())
    assert 0 < error <= found.upper[0]
