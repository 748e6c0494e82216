"""The cavity beyond stability in energy: inf-sup constants and the branch, by dense algebra on small grids."""

import jax
import numpy as np
import pytest
import scipy.linalg
from cavity_dense import FORMS, FREE, RNG, dense, fields_near, norms

from assay.solvers.problems.cavity import Cavity
from assay.verify.proofs.cavity import branch, inf_sup, theorem
from assay.verify.proofs.cavity.cells import Cells, bernstein, control_fields
from assay.verify.proofs.cavity.forms import combined
from assay.verify.proofs.cavity.theorem import CavityProof


@pytest.fixture(scope="module", autouse=True)
def _nothing_kept():
    """Constants are made anew, whatever this user has kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_NO_CACHE", "1")
        yield


# ---- beyond stability in energy ----------------------------------------------------------------------------------

BEYOND = Cavity(cells=10, stretch=0.6, reynolds=(520.0, 600.0), profile=(0.4, 0.6))


@pytest.fixture(scope="module")
def beyond(tmp_path_factory):
    found, folder = CavityProof(BEYOND), tmp_path_factory.mktemp("constants")
    assert "peak" not in found.prepare(folder).arrays  # verbs do not make them by themselves
    found.prepare(folder, everything=True)
    return found


@pytest.fixture(scope="module")
def beyond_truths():
    P = np.concatenate([BEYOND.inputs.sample(6, seed=2), [[520.0, 0.4], [600.0, 0.6]]])
    solve = jax.jit(lambda p: BEYOND.solve_jax(p, 1e-13).u)
    return P, np.stack([np.asarray(solve(p)) for p in P])


def scaled(matrix):
    """V^-1/2 matrix V^-1/2."""
    half = np.linalg.inv(np.linalg.cholesky(dense(FORMS.V)))
    return half @ matrix @ half.T


def transport(q):
    return dense(FORMS.carried(q)) + dense(FORMS.carrying(q))


def speeds():
    """Of unit vectors, in all nodes: east minus west and north minus south over both widths."""
    dual = BEYOND.widths[1][1:-1]
    m = BEYOND.cells - 1
    central = np.diag(np.ones(m - 1), 1) - np.diag(np.ones(m - 1), -1)
    return np.kron(np.diag(0.5 / dual) @ central, np.eye(m)), np.kron(np.eye(m), np.diag(0.5 / dual) @ central)


def objections_beyond(constants):
    V, found = dense(FORMS.V), []
    inverse = np.linalg.inv(V)
    trace = sum(np.einsum("ij,jk,ik->i", L, inverse, L) for L in speeds())
    exact = {"peak": np.sqrt(trace.max()), "scale": scipy.linalg.eigh(V, np.diag(np.diag(V)), eigvals_only=True)[0]}
    if not exact["peak"] <= constants["peak"][0] <= 1.01 * exact["peak"]:
        found.append("peak")
    if not 0.98 * exact["scale"] <= constants["scale"][0] <= exact["scale"]:
        found.append("scale")
    cells = zip(*(constants[f"beyond_{name}_0"] for name in ("fields", "centre", "beta", "theta")), strict=True)
    for fields, centre, beta, theta in cells:
        J = np.eye(len(V)) + scaled(transport(centre))
        least = np.linalg.svd(J, compute_uv=False)[-1]
        if not 0.9 * least <= beta <= least:
            found.append("beyond_beta_0")
        norms = [np.linalg.norm(np.linalg.solve(J, scaled(transport(a - centre))), 2) for a in fields]
        if not max(norms) <= theta <= 1.1 * max(norms) + 0.05:
            found.append("beyond_theta_0")
    return sorted(set(found))


def test_constants_beyond_hold_by_dense_algebra_and_wrong_ones_are_caught(beyond):
    constants = dict(beyond.constants)
    assert len(constants["beyond_beta_0"]) == 1 and objections_beyond(constants) == []
    for name in ("peak", "scale", "beyond_beta_0", "beyond_theta_0"):
        for factor in (0.5, 2.0):
            assert objections_beyond({**constants, name: constants[name] * factor}) == [name]


def test_what_is_not_so_is_not_verified(beyond):
    """sigma_min and the norm of J^-1 C are found to within two per cent, and nothing beyond is shown."""
    constants = beyond.constants
    verifier = inf_sup.Verifier(FORMS, float(constants["scale"][0]))
    centre, a = constants["beyond_centre_0"][0], constants["beyond_fields_0"][0, 0]
    J, C = combined((1.0, FORMS.V), (1.0, verifier.transport(centre))), verifier.transport(a - centre)
    exact = np.eye(len(centre)) + scaled(transport(centre))
    least = np.linalg.svd(exact, compute_uv=False)[-1]
    norm = np.linalg.norm(np.linalg.solve(exact, scaled(transport(a - centre))), 2)
    assert verifier.smallest(J, 0.98 * least) and not verifier.smallest(J, 1.0001 * least)
    assert verifier.within(J, C, 1.1 * norm) and not verifier.within(J, C, 0.9999 * norm)
    wrong = {"scale": 2 * constants["scale"], "peak": constants["peak"]}
    assert "does not hold" in inf_sup._objection(FORMS, {}, wrong)


def test_inf_sup_constants_at_fields_are_at_most_what_dense_algebra_finds(beyond, beyond_truths):
    ask = jax.jit(lambda p, v: beyond._stability(p, BEYOND.grid(v)))
    beyond.bounds(beyond_truths[0][:1], beyond_truths[1][:1], 0)
    for p, u in zip(*beyond_truths, strict=True):
        for eps in (0.0, 1e-4, 1e-3):
            v = u + eps * abs(u).max() * RNG.standard_normal(u.shape) * FREE
            J = np.eye(FREE.sum()) + scaled(transport(p[0] * v[FREE]))
            alpha, beta, _ = ask(p, v)
            assert float(alpha) < 0 and float(beta) <= np.linalg.svd(J, compute_uv=False)[-1]
            assert float(beta) > 0.1 or eps > 1e-4


@pytest.mark.parametrize("effort", [0, 2])
def test_no_bound_beyond_is_violated(beyond, beyond_truths, effort):
    P, U = beyond_truths
    off = np.asarray(beyond.bounds(P, U, 0)[1].upper)
    assert (off < 1e-8 * norms(U)).all()
    for N in fields_near(P, U):
        b = beyond.bounds(P, N, effort)[1]
        true, size = norms(N - U), norms(U)
        lower, upper = np.asarray(b.lower), np.asarray(b.upper)
        assert (upper >= true - off).all() and (lower <= true + off).all()
        assert (np.asarray(b.relative_upper) >= (true - off) / (size + off)).all()
        if effort:
            assert (upper[true > 1e-4 * size] <= 1.02 * true[true > 1e-4 * size]).all()


# ---- which solution ----------------------------------------------------------------------------------------------

FOLLOWED = Cavity(cells=10, stretch=0.6, reynolds=(270.0, 400.0), profile=(0.4, 0.6))


@pytest.fixture(scope="module")
def followed():
    found = CavityProof(FOLLOWED)
    found.prepare(everything=True)
    return found


def test_the_branch_is_followed_from_stable_flows_through_two_cells(followed, beyond):
    cells, found = followed._beyond
    assert len(cells.low) == 2 and (found["reach"] > 0).all() and "followed from there" in followed.assumptions[3]
    assert (beyond._beyond[1]["reach"] == -1).all() and "not excluded" in beyond.assumptions[3]
    V = dense(FORMS.V)
    for k in range(2):
        for p in cells.low[k] + (cells.high[k] - cells.low[k]) * RNG.random((6, 2)):
            off = p[0] * np.asarray(FOLLOWED.solve(p))[FREE] - cells.weights(k, p) @ cells.fields[k]
            assert np.sqrt(off @ V @ off) <= found["reach"][k]


def test_it_is_said_for_which_reynolds_something_is_proved(followed, monkeypatch):
    assert followed.reach() == "reynolds 270 to 400 for profile 0.4 to 0.6"
    low, high = np.array([[10.0, 0.0], [10.0, 0.5], [60.0, 0.0]]), np.array([[60.0, 0.5], [50.0, 1.0], [90.0, 0.5]])
    stable = Cells(low, high, np.zeros((3, 0)), (0, 0))
    beyond = Cells(
        np.array([[90.0, 0.0], [70.0, 0.5]]), np.array([[99.0, 0.25], [80.0, 1.0]]), np.zeros((2, 0)), (0, 0)
    )
    made = CavityProof(FOLLOWED)
    monkeypatch.setattr(made, "_prepared", followed.prepare())
    monkeypatch.setitem(vars(made), "_stable", (stable, {}))
    monkeypatch.setitem(vars(made), "_beyond", (beyond, {}))
    assert made.reach() == (
        "reynolds 10 to 99 for profile 0 to 0.25; reynolds 10 to 90 for profile 0.25 to 0.5; "
        "reynolds 10 to 50 and 70 to 80 for profile 0.5 to 1"
    )


def test_residuals_of_polynomials_are_bounded_over_the_cell(followed):
    cells = followed._beyond[0]
    low, high = cells.low[1], cells.high[1]
    fine = control_fields(FOLLOWED, low, high, branch.FINE, {})
    bound = branch.Branch(FOLLOWED, followed._dual).residual(fine, low, high)
    rough = branch.Branch(FOLLOWED, followed._dual).residual(1.01 * fine, low, high)
    V, whole = dense(FORMS.V), Cells(low[None], high[None], fine[None], branch.FINE)
    largest = 0.0
    for p in [*(low + (high - low) * RNG.random((8, 2))), low, high]:
        psi = np.zeros(FOLLOWED.size)
        psi[FREE] = 1.01 * (whole.weights(0, p) @ fine) / p[0]
        G = p[0] * np.asarray(FOLLOWED.residual(p, psi))[FREE]
        largest = max(largest, float(np.sqrt(G @ np.linalg.solve(V, G))))
    assert largest <= rough <= 1.5 * largest and bound < 1e-3 * rough


def test_elevated_polynomials_are_the_same():
    fields = RNG.standard_normal((8, 3))
    for s, t in RNG.random((4, 2)):
        low = np.outer(bernstein(1, s), bernstein(3, t)).ravel() @ fields
        high = np.outer(bernstein(4, s), bernstein(5, t)).ravel() @ branch.elevated(fields, (1, 3), (4, 5))
        np.testing.assert_allclose(high, low, atol=1e-14)


def test_a_solution_that_may_be_another_one_bounds_nothing(followed, monkeypatch):
    """Where the branch is said to be farther from the base than uniqueness reaches, the radius is infinite."""
    monkeypatch.setattr(theorem, "USEFUL", np.inf)  # as if the flow were not stable in energy
    p = np.array([[380.0, 0.5]])
    u = np.asarray(FOLLOWED.solve(p[0]))[None]
    assert np.isfinite(followed.bounds(p, u, 0)[1].upper).all()
    doubtful = CavityProof(FOLLOWED)
    arrays = doubtful.prepare(everything=True).arrays
    for name in ("beyond_reach_0", "beyond_reach_1"):
        arrays[name] = 0 * arrays[name] + 1e3
    assert not np.isfinite(doubtful.bounds(p, u, 0)[1].upper).any()
