"""The cavity's bounds: each step of the theorem by dense algebra on small grids, truths, planted faults, the guard."""

from fractions import Fraction
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from cavity_dense import FORMS, FREE, PROBLEM, RNG, dense, fields_near, norms

from assay.solvers.outputs import values
from assay.solvers.problems.cavity import Cavity
from assay.verify.certify import certify
from assay.verify.guard import guard
from assay.verify.proofs.cavity import energy
from assay.verify.proofs.cavity.cells import Cells, bernstein, lobatto
from assay.verify.proofs.cavity.dual import DualNorm
from assay.verify.proofs.cavity.forms import ENTRY, combined, symmetric
from assay.verify.proofs.cavity.theorem import CavityProof
from assay.verify.proofs.prover import proof_of


@pytest.fixture(scope="module", autouse=True)
def _nothing_kept():
    """Constants are made anew, whatever this user has kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_NO_CACHE", "1")
        yield


@pytest.fixture(scope="module")
def proof():
    found = proof_of(PROBLEM)
    assert isinstance(found, CavityProof)
    return found


@pytest.fixture(scope="module")
def truths():
    """Inputs and solutions at their tightest."""
    P = np.concatenate([PROBLEM.inputs.sample(10, seed=1), [[60.0, 0.2], [150.0, 0.7], [150.0, 0.2]]])
    solve = jax.jit(lambda p: PROBLEM.solve_jax(p, 1e-13).u)
    return P, np.stack([np.asarray(solve(p)) for p in P])


# ---- the theorem, step by step -----------------------------------------------------------------------------------


def test_the_jacobian_is_v_and_a_form_linear_in_the_field_whatever_the_lid():
    u = RNG.standard_normal(PROBLEM.size) * FREE
    J = PROBLEM.jacobian([80.0, 0.4], u).toarray()
    np.testing.assert_allclose(FORMS.jacobian(80.0 * u[FREE]).toarray(), J, atol=1e-13 * abs(J).max())
    np.testing.assert_array_equal(dense(FORMS.X), PROBLEM.norm_matrix(None).toarray())
    carrying = dense(FORMS.carrying(u[FREE]))
    np.testing.assert_allclose(carrying, -carrying.T, atol=1e-15 * abs(carrying).max())


def test_entries_of_the_forms_are_right_to_what_is_charged():
    """In rational arithmetic, from the float64 nodes."""
    t = [Fraction(float(x)) for x in PROBLEM.ticks]
    n, m = PROBLEM.cells, PROBLEM.cells - 1
    h = [b - a for a, b in pairwise(t)]
    dual = [h[0] / 2, *((a + b) / 2 for a, b in pairwise(h)), h[-1] / 2]

    def laplacian(psi, i, j):
        def second(a, b, c, k):
            left = (b - a) / h[k - 1] if k > 0 else 0
            right = (c - b) / h[k] if k < n else 0
            return (left - right) / dual[k]

        get = lambda i, j: psi.get((i, j), Fraction(0))  # noqa: E731
        return second(get(i - 1, j), get(i, j), get(i + 1, j), i) + second(get(i, j - 1), get(i, j), get(i, j + 1), j)

    inner = [(i, j) for i in range(1, n) for j in range(1, n)]
    everywhere = [(i, j) for i in range(n + 1) for j in range(n + 1) if not (i in (0, n) and j in (0, n))]
    q = {x: Fraction(float(v)) for x, v in zip(inner, RNG.standard_normal(m * m), strict=True)}
    vector = np.array([float(q[x]) for x in inner])

    def cross(a, b, i, j):
        get = lambda f, *x: f.get(x, Fraction(0))  # noqa: E731
        return (
            (get(a, i + 1, j) - get(a, i - 1, j)) * (get(b, i, j + 1) - get(b, i, j - 1))
            - (get(a, i, j + 1) - get(a, i, j - 1)) * (get(b, i + 1, j) - get(b, i - 1, j))
        ) / 4

    V, carried, carrying = FORMS.V, FORMS.carried(vector), FORMS.carrying(vector)
    for k in (0, 1, m + 1, 3 * m + 4, m * m - 1):
        e = {inner[k]: Fraction(1)}
        w = {x: laplacian(e, *x) for x in everywhere}
        wq = {x: laplacian(q, *x) for x in inner}
        near = [r for r in range(m * m) if sum(abs(a - b) for a, b in zip(inner[r], inner[k], strict=True)) <= 2]
        for r in near:
            s = {inner[r]: Fraction(1)}
            ws = {x: laplacian(s, *x) for x in everywhere}
            exact = {
                "V": sum(dual[x[0]] * dual[x[1]] * w[x] * ws[x] for x in everywhere),
                "carried": sum(w[x] * cross(q, s, *x) for x in inner),
                "carrying": sum(wq[x] * cross(e, s, *x) for x in inner),
            }
            for name, form in (("V", V), ("carried", carried), ("carrying", carrying)):
                off = abs(Fraction(float(form.value[r, k])) - exact[name])
                assert off <= ENTRY * form.size[r, k], (name, r, k)


def test_dual_norms_are_upper_bounds_and_sharp():
    dual, V = DualNorm(PROBLEM, FORMS), dense(FORMS.V)
    m = PROBLEM.cells - 1
    ask = jax.jit(dual.__call__)
    for rough in (0.0, 6.0):
        for _ in range(5):
            f = RNG.standard_normal((m, m)) * 10 ** (-rough * RNG.random((m, m)))
            exact = np.sqrt(f.ravel() @ np.linalg.solve(V, f.ravel()))
            assert exact * (1 - 1e-12) <= float(ask(f, 0 * f)) <= exact * (1 + 1e-9)
            off = 1e-3 * abs(f).max() * RNG.random((m, m))
            signs = np.sign(RNG.standard_normal((m, m)))
            g = f + off * signs
            assert float(ask(f, off)) >= np.sqrt(g.ravel() @ np.linalg.solve(V, g.ravel()))
    assert not np.isfinite(float(ask(f * np.nan, off)))


def objections(constants):
    """What dense algebra has against constants: not proved, or needlessly far from the exact ones."""
    V, X = dense(FORMS.V), dense(FORMS.X)
    found = []
    mu = scipy.linalg.eigh(V, X, eigvals_only=True)[0]
    if not 0.98 * mu <= constants["mu"][0] <= mu:
        found.append("mu")
    for name in (name for name in constants if name.startswith("alpha")):
        for fields, alphas in zip(constants[name.replace("alpha", "fields")], constants[name], strict=True):
            for a, alpha in zip(fields, alphas, strict=True):
                C = dense(FORMS.carried(a))
                exact = scipy.linalg.eigh(V + (C + C.T) / 2, V, eigvals_only=True)[0]
                if not exact - 0.02 <= alpha <= exact:
                    found.append(name)
    return sorted(set(found))


def test_constants_hold_by_dense_algebra_and_wrong_ones_are_caught(proof):
    constants = dict(proof.constants)
    assert objections(constants) == []
    for name in ("mu", "alpha_0", "alpha_1"):
        for factor in (0.5, 2.0):
            assert objections({**constants, name: constants[name] * factor}) == [name]


def test_a_constant_that_is_too_large_is_not_taken_from_a_file():
    known = {"mu": np.array([2 * scipy.linalg.eigh(dense(FORMS.V), dense(FORMS.X), eigvals_only=True)[0]])}
    assert "does not hold" in energy._energy_objection(FORMS, {}, known)
    assert energy._energy_objection(FORMS, {}, {"mu": np.array([1.0])}) == ""


def test_stability_at_a_field_is_at_most_what_dense_algebra_finds(proof, truths):
    V = dense(FORMS.V)
    ask = jax.jit(lambda p, v: proof._stability(p, PROBLEM.grid(v))[0])
    proof.bounds(truths[0][:1], truths[1][:1], 0)
    gaps = []
    for p, u in zip(*truths, strict=True):
        for eps in (0.0, 1e-3, 1e-2):
            v = u + eps * abs(u).max() * RNG.standard_normal(u.shape) * FREE
            C = dense(symmetric(FORMS.carried(p[0] * v[FREE])))
            exact = scipy.linalg.eigh(V + C, V, eigvals_only=True)[0]
            alpha = float(ask(p, v))
            assert alpha <= exact
            gaps.append(exact - alpha if eps == 0 else 0)
    assert max(gaps) < 0.1


def test_control_fields_reproduce_the_solutions_at_their_nodes(proof):
    cells: Cells = proof._stable[0]
    p = cells.low[0] + (cells.high[0] - cells.low[0]) * [lobatto(3)[1], lobatto(3)[2]]
    base = cells.weights(0, p) @ cells.fields[0]
    u = np.asarray(PROBLEM.solve(p))[FREE]
    np.testing.assert_allclose(base / p[0], u, atol=1e-8 * abs(u).max())
    weights = bernstein(5, 0.3)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=1e-15)
    assert cells.find(np.array([59.0, 0.3])) == -1 and cells.find(np.array([np.nan, 0.3])) == -1


# ---- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", [0, 2])
def test_no_bound_is_violated(proof, truths, effort):
    P, U = truths
    own = proof.bounds(P, U, 0)[1]
    off = np.asarray(own.upper)  # how far computed truths may be from the exact ones
    assert (off < 1e-9 * norms(U)).all()
    bounded = []
    for N in fields_near(P, U):
        _, b, _ = proof.bounds(P, N, effort)
        true, size = norms(N - U), norms(U)
        lower, upper = np.asarray(b.lower), np.asarray(b.upper)
        assert (upper >= true - off).all() and (lower <= true + off).all()
        assert (np.asarray(b.relative_upper) >= (true - off) / (size + off)).all()
        assert (np.asarray(b.relative_lower) <= (true + off) / (size - off)).all()
        assert (np.asarray(b.square_lower) <= (size + off) ** 2).all()
        assert (np.asarray(b.square_upper) >= (size - off) ** 2).all()
        bounded.append(np.isfinite(upper))
        if effort:
            assert (upper[true > 1e-4 * size] <= 1.01 * true[true > 1e-4 * size]).all()
    assert np.all(bounded) or effort == 0


def test_polished_fields_are_better_and_carry_their_bound(proof, truths):
    P, U = truths
    v, b = proof.polish(P, U + 0.01 * abs(U).max() * RNG.standard_normal(U.shape) * FREE, 2)
    assert (norms(v - U) <= np.asarray(b.upper) + 1e-9).all() and (np.asarray(b.relative_upper) < 1e-4).all()


def test_a_doubled_mu_is_caught_by_true_errors(truths):
    """Not sharp by a factor of two in general, but for the error along which V is mu X."""
    V, X = dense(FORMS.V), dense(FORMS.X)
    _, modes = scipy.linalg.eigh(V, X)
    slow = Cavity(cells=10, stretch=0.6, reynolds=(1e-3, 2e-3), profile=(0.2, 0.7))
    p = np.array([[1.5e-3, 0.4]])
    u = np.asarray(slow.solve(p[0]))
    N = u.copy()
    N[FREE] += 1e-3 * modes[:, 0]
    true = float(norms((N - u)[None])[0])
    good = CavityProof(slow)
    assert true <= good.bounds(p, N[None], 0)[1].upper[0] <= 1.05 * true
    spoilt = CavityProof(slow)
    spoilt.prepare().arrays["mu"] *= 2
    assert spoilt.bounds(p, N[None], 0)[1].upper[0] < true


def test_intervals_of_outputs_contain_the_truths(proof, truths):
    """Linear ones by the dual solution, sharp after polishing; the energy by the norm."""
    P, U = truths
    N = U + 1e-3 * abs(U).max() * RNG.standard_normal(U.shape) * FREE
    for output in (PROBLEM.outputs["u-centre"], PROBLEM.outputs["kinetic-energy"]):
        _, bounds, _, interval = proof.output_bounds(P, N, 2, output)
        exact = values(PROBLEM, output, P, U)
        slack = 1e-9 * (abs(exact) + 1)
        assert (interval.lower <= exact + slack).all() and (exact <= interval.upper + slack).all()
        if not output.square:
            assert (interval.upper - interval.lower <= 1e-4 * abs(values(PROBLEM, output, P, abs(U))).max()).all()


# ---- what is not proved ------------------------------------------------------------------------------------------


def test_nothing_is_proved_beyond_energy_stability_and_the_notes_say_so():
    problem = Cavity(cells=8, stretch=0.6, reynolds=(480.0, 900.0), profile=(0.4, 0.6))
    p = np.array([[490.0, 0.5], [800.0, 0.5]])
    found = certify(problem, np.zeros((2, problem.size)), p)
    assert not np.isfinite(found.upper[1])
    assert any("reynolds=800" in note and "assay.prepare" in note and "reynolds 480 to" in note for note in found.notes)


def test_spoilt_fields_prove_nothing(truths):
    P, U = (x[:4].copy() for x in truths)
    U[0, 17], U[1, 0], U[2, 30], U[3, 0] = np.nan, np.inf, 1e100, 1.0  # the last on the boundary: overwritten
    found = certify(PROBLEM, U, P)
    assert np.isfinite(found.upper).tolist() == [False, False, True, True]
    assert found.overwritten[3] == 1.0
    assert not np.isfinite(certify(PROBLEM, U, P, steps=0).upper[:3]).any()


def test_the_guard_lets_nothing_beyond_the_tolerance_out(truths):
    P, U = truths
    broken = U * np.linspace(0.9, 1.1, len(U))[:, None]
    broken[0] = np.nan
    answer = guard(PROBLEM, lambda Q: broken[: len(Q)] if len(Q) < len(P) else broken, 1e-2)(P)
    assert (norms(answer.u - U) <= 1e-2 * norms(U)).all()
    assert answer.counts["polished"] > 0


def test_another_lid_has_no_theorem():
    class Other(Cavity):
        def lid(self, p):
            return 0 * jnp.asarray(self.ticks)

    assert not proof_of(Other(cells=8)).proves


def test_combined_forms_add_the_sizes_of_their_terms():
    both = combined((2.0, FORMS.V), (-3.0, FORMS.X))
    assert abs(both.value - (2 * FORMS.V.value - 3 * FORMS.X.value)).max() == 0
    assert abs(both.size - (2 * FORMS.V.size + 3 * FORMS.X.size)).max() == 0
