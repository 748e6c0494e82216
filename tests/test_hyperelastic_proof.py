"""Bounds of hyperelastic fields against equilibria in ball arithmetic, each constant of the theorem against dense
arithmetic, and fields that have no bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from assay import output
from assay.solvers.discretisations import neo_hookean
from assay.solvers.discretisations.neo_hookean import ENDS, GAUSS, Moduli
from assay.solvers.problems.hyperelastic import Hyperelastic
from assay.verify.certify import certify
from assay.verify.proofs.hyperelastic import theorem
from assay.verify.proofs.hyperelastic.h1 import H1
from assay.verify.proofs.hyperelastic.theorem import HyperelasticProof
from assay.verify.proofs.prover import proof_of

PROBLEM = Hyperelastic(cells=4)
P = np.array([2.0, 7.0, 1.0, 4.0, 1.4])
N = PROBLEM.cells
PROOF = HyperelasticProof(PROBLEM)
FREE = PROBLEM.free
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def truth():
    return np.asarray(PROBLEM.attempt_batch(P[None], 1e-14).u)[0]


def exact(start):
    """The equilibrium near ``start`` in 150 bits, by chord steps with a float Jacobian: the norm of u - v as a ball."""
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 150
    arb, half = flint.arb, flint.arb(1) / 2
    inverse = np.linalg.inv(PROBLEM.jacobian(P, start).toarray())
    nu = arb(PROBLEM.poisson)
    g = 1 / arb(12).sqrt()
    places = [(a * g, b * g) for a in (-1, 1) for b in (-1, 1)]
    corners = neo_hookean.CORNERS

    def forces(u):
        total = [[[arb(0), arb(0)] for _ in range(N + 1)] for _ in range(N + 1)]
        for i, j in np.ndindex(N, N):
            young = arb(float(P[2 * (i >= N // 2) + (j >= N // 2)]))
            mu, lame = young / (2 * (1 + nu)), young * nu / ((1 + nu) * (1 - 2 * nu))
            for xi, eta in places:
                weights = [
                    (
                        N * (1 if a else -1) * (half + (1 if b else -1) * eta),
                        N * (1 if b else -1) * (half + (1 if a else -1) * xi),
                    )
                    for a, b in corners
                ]  # of u in u_x and in u_y
                f = [[arb(int(r == c)) for c in range(2)] for r in range(2)]
                for (a, b), w in zip(corners, weights, strict=True):
                    for r in range(2):
                        for c in range(2):
                            f[r][c] = f[r][c] + w[c] * u[i + a][j + b][r]
                det = f[0][0] * f[1][1] - f[0][1] * f[1][0]
                q = (lame * det.log() - mu) / det
                stress = [
                    [mu * f[0][0] + q * f[1][1], mu * f[0][1] - q * f[1][0]],
                    [mu * f[1][0] - q * f[0][1], mu * f[1][1] + q * f[0][0]],
                ]
                for (a, b), w in zip(corners, weights, strict=True):
                    for r in range(2):
                        total[i + a][j + b][r] += (stress[r][0] * w[0] + stress[r][1] * w[1]) / (4 * N * N)
        return [total[i][j][c] for i, j, c in np.ndindex(N + 1, N + 1, 2)]

    def grid(flat):
        return [[[flat[2 * (i * (N + 1) + j) + c] for c in range(2)] for j in range(N + 1)] for i in range(N + 1)]

    flat = [arb(float(x)) for x in start]
    where = np.flatnonzero(FREE)
    for _ in range(6):
        r = forces(grid(flat))
        step = inverse @ np.array([float((r[k] * 2**60).mid()) for k in where]) * 2.0**-60
        for k, s in zip(where, step, strict=True):
            flat[k] = (flat[k] - arb(float(s))).mid()
        if np.abs(step).max() < 1e-26:
            break
    else:
        raise AssertionError("no equilibrium")

    def norm(v):
        e = [x - arb(float(y)) for x, y in zip(flat, v, strict=True)]
        total, u = arb(0), grid(e)
        for i, j in np.ndindex(N, N):
            for c in range(2):
                a, b, d, f = (u[i + k][j + m][c] for k, m in corners)
                total += ((b - a + f - d) / 2) ** 2 + ((d - a + f - b) / 2) ** 2 + (f - b - d + a) ** 2 / 6
        return total.sqrt()

    return norm


def test_exact_errors_lie_inside(truth):
    noise = np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
    first = np.arange(PROBLEM.size) == np.flatnonzero(FREE)[3]
    other = np.asarray(PROBLEM.attempt_batch(P[None] * [1, 1, 2, 1, 1]).u)[0]
    fields = np.stack(
        [
            truth,
            np.where(first, np.nextafter(truth, 9), truth),
            truth + 1e-8 * noise,
            truth + 1e-4 * noise,
            truth + 2e-3 * noise,
        ]
        + [truth + 0.2 * (other - truth), other, truth + 0.05 * noise, truth + 10 * noise, np.where(FREE, 0, truth)]
    )
    norm = exact(truth)
    errors, whole = [norm(v) for v in fields], norm(np.zeros_like(truth))
    for steps in (0, 1, 2):
        found = certify(PROBLEM, fields, np.repeat(P[None], len(fields), axis=0), steps=steps)
        for i, error in enumerate(errors):
            low, high, relative = float(error.lower()), float(error.upper()), error / whole
            assert found.lower[i] <= high and low <= found.upper[i]
            assert (
                found.relative_lower[i] <= float(relative.upper())
                and float(relative.lower()) <= found.relative_upper[i]
            )
        assert (found.square_lower <= float((whole**2).upper())).all() and (
            found.square_upper >= float((whole**2).lower())
        ).all()
    assert (found.relative_upper[3:7] <= 1.001 * found.relative_lower[3:7]).all()
    assert np.isinf(found.upper[8]) and any("equilibrium" in note for note in found.notes)


def test_what_is_not_a_deformation_has_no_bound(truth):
    bad = np.repeat(truth[None], 4, axis=0)
    bad[0, 5] = np.nan
    middle = 2 * (2 * (N + 1) + 2)
    bad[1, middle] += 0.24  # a node moved nearly onto its neighbour, and beyond it
    bad[2, middle] += 2.0
    bad[3, ~FREE] += 0.5  # prescribed values are overwritten
    found = certify(PROBLEM, bad, np.repeat(P[None], 4, axis=0), steps=0)
    assert np.isinf(found.upper[:3]).all() and found.upper[3] < 1e-8
    assert np.isinf(found.relative_upper[:3]).all() and (found.lower[:3] == 0).all()


def matrix(tangent):
    dense = PROBLEM.cholesky.matrix(np.asarray(neo_hookean.stiffness(tangent, FREE)))
    return dense[FREE][:, FREE]


def at(v, p=P):
    """D at a field, and K_mu."""
    m = PROBLEM.moduli(jnp.asarray(p))
    t = neo_hookean.tangent(m, PROBLEM.to_grid(jnp.asarray(v)))
    return t, matrix(t._replace(bend=0 * t.bend, pressure=0 * t.pressure))


def test_beta_is_below_the_least_eigenvalue(truth, monkeypatch):
    t, weighted = at(truth)
    least = scipy.linalg.eigh(matrix(t), weighted, eigvals_only=True)[0]
    below = Hyperelastic(cells=4)
    assert float(PROOF._beta(jnp.asarray(P), jnp.asarray(truth))) == theorem.BETA <= least
    monkeypatch.setattr(theorem, "BETA", 0.999 * float(least))  # a proof of its own: nothing compiled is met again
    assert float(HyperelasticProof(below)._beta(jnp.asarray(P), jnp.asarray(truth))) == 0.999 * least
    monkeypatch.setattr(theorem, "BETA", 1.001 * float(least))
    assert float(HyperelasticProof(below)._beta(jnp.asarray(P), jnp.asarray(truth))) == theorem.LEAST_BETA
    near = truth + 1e-3 * np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
    claimed = float(PROOF._near(jnp.asarray(P), jnp.asarray(near), jnp.asarray(truth), jnp.asarray(0.9 * least)))
    t, weighted = at(near)
    assert 0 < claimed <= scipy.linalg.eigh(matrix(t), weighted, eigvals_only=True)[0]


def test_gradients_in_a_cell_are_at_most_the_constants_times_its_norm():
    """The largest singular value of grad in a point, in the norm of the cell."""
    corner = np.eye(4)
    energy = np.array([[4.0, -1, -1, -2], [-1, 4, -2, -1], [-1, -2, 4, -1], [-2, -1, -1, 4]]) / 6
    for points, constant in ((GAUSS, theorem.POINT), (ENDS, theorem.CORNER)):
        found = []
        for xi, eta in points:
            rows = []
            for v in corner:
                a, b, c, d = v
                x, y, h = (b - a + d - c) / 2, (c - a + d - b) / 2, d - b - c + a
                rows.append([x + eta * h, y + xi * h])
            g = np.array(rows).T
            found.append(np.sqrt(np.linalg.eigvalsh(g @ np.linalg.pinv(energy) @ g.T)[-1]))
        assert max(found) == pytest.approx(constant, rel=1e-12)


def test_the_third_derivative_is_bounded_within_a_factor_of_two():
    """Against sampled directions, sharpened by turns (the form is linear in each); any F + E in the ball."""

    def energy(f, mu, lame):
        j = jnp.log(f[0] * f[3] - f[1] * f[2])
        return mu / 2 * (jnp.sum(f**2) - 2 - 2 * j) + lame / 2 * j**2

    third = jax.jit(jax.jacfwd(jax.jacfwd(jax.jacfwd(energy))))
    mu, lame = 0.5, 0.8
    one = np.ones((1, 1))
    worst = np.inf
    for k in range(12):
        f = np.array([1.0, 0, 0, 1]) * (0.7 + 0.6 * RNG.random()) + 0.2 * RNG.standard_normal(4)
        if f[0] * f[3] - f[1] * f[2] < 0.1:
            continue
        det = f[0] * f[3] - f[1] * f[2]
        length = np.linalg.norm(np.linalg.inv(f.reshape(2, 2)), 2)
        s, size = 0.1 * (k % 3) / length, np.full((4, 1, 1), length)
        points = theorem.Points(size, size, np.full((4, 1, 1), abs(np.log(det))), 0 * size, 0 * one, jnp.asarray(True))
        bound, small = PROOF._third(Moduli(mu * one, lame * one), points, s * one)
        largest = 0.0
        for _ in range(8):
            e = RNG.standard_normal(4)
            tensor = np.asarray(third(jnp.asarray(f + s * e / np.linalg.norm(e)), mu, lame))
            a, b, c = (x / np.linalg.norm(x) for x in RNG.standard_normal((3, 4)))
            for _ in range(20):
                a = np.einsum("ijk,j,k", tensor, b, c)
                a /= np.linalg.norm(a)
                b = np.einsum("ijk,i,k", tensor, a, c)
                b /= np.linalg.norm(b)
                c = np.einsum("ijk,i,j", tensor, a, b)
                value = np.linalg.norm(c)
                c /= value
            largest = max(largest, float(value))
        assert bool(small) and largest <= float(bound[0, 0, 0])
        if s == 0:
            worst = min(worst, float(bound[0, 0, 0]) / largest)
    assert 1 <= worst <= 1.5, worst  # half of it would be too small


def test_points_hold_what_f_is(truth):
    """|F^-1|, 1/J and |ln J| from above, within 1e-7, in Gauss points and corners."""
    v = truth + 0.02 * np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
    u = PROBLEM.to_grid(jnp.asarray(v))
    for where in (GAUSS, ENDS):
        (ux, vx), (uy, vy) = (np.asarray(x) for x in neo_hookean.gradients(u, where))
        f = np.stack([np.stack([1 + ux, uy], -1), np.stack([vx, 1 + vy], -1)], -2)
        points, j = PROOF._points(u, where), np.linalg.det(f)
        expected = np.linalg.norm(np.linalg.inv(f), 2, axis=(-2, -1)), 1 / j, np.abs(np.log(j))
        for found, value in zip((points.size, points.inverse, points.logarithm), expected, strict=True):
            assert (value <= found * (1 + 1e-14) + 1e-15).all() and (found <= value * (1 + 1e-7) + 1e-12).all()
        assert bool(points.good) == (j > 0).all()


@pytest.mark.parametrize("loading", ["stretch", "shear"])
def test_dual_norms_are_those_of_dense_arithmetic(loading):
    problem = Hyperelastic(loading, cells=4)
    h1, free = HyperelasticProof(problem)._h1, problem.free
    dense = problem.norm_matrix(P).toarray()
    assert h1.least <= np.linalg.eigvalsh(dense)[0] <= 100 * h1.least
    for scale in (1.0, 1e-12):
        f = scale * RNG.standard_normal(problem.size)
        expected = np.sqrt(f[free] @ np.linalg.solve(dense, f[free]))
        found = float(h1.dual_norm(problem.to_grid(jnp.asarray(f)), jnp.zeros(())))
        assert expected * (1 - 1e-13) <= found <= expected * (1 + 1e-11)
        off = 1e-3 * scale
        wider = float(h1.dual_norm(problem.to_grid(jnp.asarray(f)), jnp.asarray(off)))
        assert wider >= found + off / np.sqrt(np.linalg.eigvalsh(dense)[0])
    v = np.where(free, RNG.standard_normal(problem.size), 0)
    value, rounding = h1.norm(problem.to_grid(jnp.asarray(v)))
    assert float(value) == pytest.approx(np.sqrt(v[free] @ dense @ v[free]), rel=1e-13) and rounding < 1e-12
    with pytest.raises(ValueError, match="one side must be held"):
        H1(4, np.ones((5, 5, 2), dtype=bool))


def test_the_radius_is_kantorovichs(truth):
    """Against the same formula in dense arithmetic: constants twice or half as large would show."""
    v = truth + 1e-9 * np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
    p, field = jnp.asarray(P), jnp.asarray(v)
    r = float(PROOF._radius(p, field, jnp.asarray(theorem.BETA)))
    _, weighted = at(v)
    forces = np.asarray(PROBLEM.residual(P, v))[FREE]
    dense = PROBLEM.norm_matrix(P).toarray()
    mu = np.asarray(PROBLEM.moduli(p).mu)
    eps = np.sqrt(forces @ np.linalg.solve(dense, forces) / mu.min())
    assert eps >= np.sqrt(forces @ np.linalg.solve(weighted, forces)) * (1 - 1e-12)
    simple = eps / theorem.BETA / np.sqrt(mu.min())
    assert simple <= r <= 1.2 * simple
    large = truth + 1e-2 * np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
    assert np.isinf(float(PROOF._radius(p, jnp.asarray(large), jnp.asarray(theorem.BETA))))  # tau >= 1
    least = scipy.linalg.eigh(matrix(at(truth)[0]), weighted, eigvals_only=True)[0]
    m, inside = PROBLEM.moduli(p), PROOF._points(PROBLEM.to_grid(field), GAUSS)
    third, _ = PROOF._third(m, inside, 0 * m.mu)
    L = theorem.POINT * N * float(jnp.max(third / m.mu**1.5))
    for _ in range(4):  # |J(v + d) - J(v)|_mu <= L |d|_mu, for d in the direction in which it changes most, too
        d = 1e-5 * np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
        change = matrix(at(v + d)[0]) - matrix(at(v)[0])
        largest = np.abs(scipy.linalg.eigh(change, weighted, eigvals_only=True)).max()
        assert largest <= 1.01 * L * np.sqrt(d[FREE] @ weighted @ d[FREE]) and least > theorem.BETA


def test_the_truth_of_another_input_is_no_truth_here(truth):
    other = np.asarray(PROBLEM.attempt_batch(P[None] * [1, 1, 3, 1, 1]).u)
    apart = float(PROBLEM.norm(P, other[0] - truth))
    for steps in (0, 2):
        assert certify(PROBLEM, other, P[None], steps=steps).upper[0] >= apart * (1 - 1e-9)


def test_what_the_theorem_is_not_about_says_so():
    auxetic = Hyperelastic(cells=4, poisson=-0.2)
    assert not proof_of(auxetic).proves
    found = certify(auxetic, np.zeros((1, auxetic.size)), auxetic.inputs.centre[None])
    assert np.isinf(found.upper).all() and "Poisson" in " ".join(found.notes)
    assert any("not proved" in line for line in proof_of(PROBLEM).assumptions)


@pytest.mark.parametrize("scale", [1.0, 1e-200])  # the squares of the second one underflow
def test_outputs_are_bounded_by_the_radius(truth, scale):
    """The displacement of a corner: the interval holds the truth's, and is narrow after two corrections."""
    where = np.flatnonzero(FREE)[-1]
    corner = output("corner", scale * (np.arange(PROBLEM.size) == where))
    field = truth + 1e-3 * np.where(FREE, RNG.standard_normal(PROBLEM.size), 0)
    found = certify(PROBLEM, field[None], P[None], output=corner)
    assert found.output_lower[0] <= scale * truth[where] <= found.output_upper[0]
    assert found.output_upper[0] - found.output_lower[0] <= 1e-6
