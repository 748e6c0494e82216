"""Affine problems: the thermal block's own terms must give the thermal block; proofs' data against dense arithmetic."""

import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from small_matrices import line, rational, unit

from assay.solvers import SolveError, ThermalBlock, affine
from assay.solvers.linear_algebra.direct import factorise
from assay.solvers.linear_algebra.semidefinite import smallest_eigenvalue
from assay.solvers.problems.affine_terms import constraint_rows
from assay.verify.certify import certify

BLOCK = ThermalBlock(blocks=(2, 2), cells=8)
TERMS = [BLOCK.matrix(e) for e in np.eye(4)]
LOAD = np.asarray(BLOCK.load(jnp.ones(4)))[BLOCK.free]


@pytest.fixture(scope="module")
def twin():
    return affine(TERMS, None, LOAD, BLOCK.inputs, BLOCK.coordinates[BLOCK.free])


def test_the_thermal_blocks_terms_give_the_thermal_block(twin):
    free = BLOCK.free
    for p in BLOCK.inputs.sample(4):
        u, v = np.asarray(BLOCK.solve(p)), twin.solve_report(p)
        assert v.method == "direct" and v.residual <= 1e-12
        np.testing.assert_allclose(v.u, u[free], rtol=0, atol=1e-11 * u.max())
        w = np.random.default_rng(0).standard_normal(BLOCK.size) * free
        np.testing.assert_allclose(twin.norm(p, w[free]), BLOCK.norm(p, w), rtol=1e-12)
        residual = BLOCK.residual(p, w)
        close = {"rtol": 0, "atol": 1e-13 * np.abs(residual).max()}
        np.testing.assert_allclose(twin.residual(p, w[free]), residual[free], **close)
        np.testing.assert_allclose(
            twin.operator_terms(jnp.asarray(w[free])), BLOCK.operator_terms(jnp.asarray(w))[:, free], **close
        )
        np.testing.assert_allclose(twin.matrix(p).toarray(), BLOCK.matrix(p).toarray(), rtol=1e-14, atol=1e-15)


def test_derivatives_agree_with_the_thermal_blocks(twin):
    p, weight = jnp.asarray([0.4, 2.0, 1.1, 0.7]), jnp.asarray(np.random.default_rng(0).standard_normal(49))
    ours = jax.jit(lambda p: jax.vjp(twin.solve, p)[1](weight)[0])(p)
    full = jnp.zeros(BLOCK.size).at[np.flatnonzero(BLOCK.free)].set(weight)
    np.testing.assert_allclose(ours, jax.jit(lambda p: jax.vjp(BLOCK.solve, p)[1](full)[0])(p), rtol=1e-8)
    dp = jnp.asarray([1.0, -1.0, 0.5, 0.0])
    du = jax.jvp(twin.solve, (p,), (dp,))[1]
    assert abs(weight @ du - ours @ dp) <= 1e-10 * float(jnp.linalg.norm(weight) * jnp.linalg.norm(du))


def test_rows_of_a_batch_are_solves(twin):
    P = BLOCK.inputs.sample(3)
    U = twin.solve_batch(P)
    np.testing.assert_array_equal(U, [twin.solve(p) for p in P])
    np.testing.assert_allclose(jax.vmap(twin.solve)(P), U, rtol=1e-13)


def test_weights_and_loads_may_be_functions_of_the_input():
    k, m = line()
    f = np.arange(1.0, 7.0)
    problem = affine([k, m], lambda p: jnp.stack([p[0] ** 2, jnp.exp(p[1])]), lambda p: p[0] * jnp.asarray(f), unit())
    p = np.array([0.7, 1.3])
    expected = np.linalg.solve((0.49 * k + np.exp(1.3) * m).toarray(), 0.7 * f)
    np.testing.assert_allclose(problem.solve(p), expected, rtol=1e-13)
    np.testing.assert_allclose(problem.norm(p, problem.solve(p)) ** 2, 0.7 * f @ expected, rtol=1e-13)
    h = 1e-6
    central = [(problem.solve(p + h * e) - problem.solve(p - h * e)) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(jax.jacfwd(problem.solve)(jnp.asarray(p)).T, central, rtol=1e-7, atol=1e-9)


def test_entries_stored_twice_add_up_and_stored_zeros_are_none():
    """Exports hold both: duplicates from assembly, zeros from eliminated boundary conditions."""
    k, m = (t.tocsr() for t in line())
    twice = sp.csr_matrix(
        (np.repeat(k.data / 2, 2), np.repeat(k.indices, 2), 2 * k.indptr), shape=k.shape
    )  # every entry in two halves
    full = np.nonzero(np.ones(m.shape))
    zeros = sp.csr_matrix((m.toarray()[full], full[1].astype(np.int32), np.arange(0, 37, 6)), shape=m.shape)
    assert twice.nnz == 2 * k.nnz and zeros.nnz == 36
    problem = affine([twice, zeros], None, np.ones(6), unit())
    plain = affine([k, m], None, np.ones(6), unit())
    np.testing.assert_allclose(problem.matrix([0.7, 1.3]).toarray(), (0.7 * k + 1.3 * m).toarray(), rtol=1e-15)
    np.testing.assert_array_equal(problem.solve([0.7, 1.3]), plain.solve([0.7, 1.3]))
    np.testing.assert_array_equal(
        problem.apply(jnp.ones(2), jnp.arange(6.0)), plain.apply(jnp.ones(2), jnp.arange(6.0))
    )


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_the_verified_eigenvalue_is_below_the_true_one_and_not_far(scale):
    rng = np.random.default_rng(0)
    matrices = [scale * BLOCK.matrix(p) for p in BLOCK.inputs.sample(3)]
    for n in (1, 2, 30):
        dense = rng.standard_normal((n, n))
        matrices.append(sp.csr_matrix(scale * (dense @ dense.T + 1e-3 * np.eye(n))))
    for a in (sp.csr_matrix((m + m.T) / 2) for m in matrices):
        true = np.linalg.eigvalsh(a.toarray())
        proved = smallest_eigenvalue(a, factorise(a))
        assert 0.5 * true[0] < proved <= true[0] + 1e-14 * true[-1]


def test_nothing_is_proved_where_nothing_is_positive():
    for a in (np.diag([1.0, -1e-3, 1.0]), np.array([[1.0, 2.0], [2.0, 1.0]])):
        assert smallest_eigenvalue(sp.csr_matrix(a), lambda b, a=a: np.linalg.solve(a, b)) == 0.0


def test_the_coercivity_is_a_lower_bound_over_the_whole_box(twin):
    for p in [*BLOCK.inputs.sample(4), BLOCK.inputs.lower, BLOCK.inputs.upper]:
        smallest = np.linalg.eigvalsh(BLOCK.matrix(p).toarray())[0]
        assert 0 < float(twin.coercivity(jnp.asarray(p))) <= smallest
    assert float(twin.coercivity(jnp.ones(4))) > 0.5 * np.linalg.eigvalsh(BLOCK.matrix(np.ones(4)).toarray())[0]


def test_reference_solves_invert_the_operator_at_the_centre(twin):
    np.testing.assert_allclose(twin.reference_theta, np.ones(4))
    r = jnp.asarray(np.random.default_rng(0).standard_normal((2, 49)))
    z = jax.vmap(twin.reference_solve)(r)
    np.testing.assert_allclose(z, np.linalg.solve(BLOCK.matrix(np.ones(4)).toarray(), r.T).T, rtol=1e-10)


def test_rounding_bounds_hold_in_rational_arithmetic():
    k, m = line(8)
    problem = affine([k, m, k + m], None, np.ones(8) / 3, unit(3))
    exact = [rational(t.toarray()) for t in problem.matrices]
    rng = np.random.default_rng(0)
    for count in (1, 2, 3):
        for _ in range(10):
            U = rng.standard_normal((count, 8)) * 10.0 ** rng.uniform(-3, 3, (count, 1))
            scales = rng.standard_normal((count, 3))
            if count == 2:  # nearly cancelling
                U[1], scales[1] = -U[0] * (1 + 1e-9), scales[0]
            total = rational(scales).T @ rational(U)
            energy, bound = problem.flux_energy(jnp.asarray(scales), jnp.asarray(U))
            true = sum(x @ a @ x for x, a in zip(total, exact, strict=True))
            assert abs(Fraction(float(energy)) - true) <= Fraction(float(bound))
            if count != 2:
                assert float(bound) <= 1e-12 * float(energy)
            p, u = 10.0 ** rng.uniform(-0.3, 0.3, 3), U[0]
            error = sum(w * a for w, a in zip(rational(p), exact, strict=True)) @ rational(u) - rational(np.ones(8) / 3)
            error = np.sqrt(float(((error - rational(problem.residual(p, u))) ** 2).sum()))
            limit = float(problem.residual_rounding(jnp.asarray(p), jnp.ones(8) / 3, jnp.asarray(u)))
            assert error <= limit <= 1e-12 * np.abs(u).max() + 1e-14


def test_inputs_whose_weights_are_not_positive_fail_alone():
    k, m = line()
    problem = affine([k, m], lambda p: jnp.stack([p[0] - 0.9, p[1]]), np.ones(6), unit())
    U = np.asarray(problem.solve_batch([[1.5, 1.0], [0.5, 1.0], [2.0, 1.0]]))
    assert np.isnan(U[1]).all() and np.isfinite(U[[0, 2]]).all()
    with pytest.raises(SolveError, match=r"affine was not solved at a=0.5, b=1"):
        problem.solve([0.5, 1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k, m: affine([], None, np.ones(6), unit()), "at least one matrix"),
        (lambda k, m: affine([k, m.tocsr()[:5, :5]], None, np.ones(6), unit()), r"matrix 1 has shape \(5, 5\)"),
        (lambda k, m: affine([k.tocsr()[:5], m], None, np.ones(6), unit()), "must be square"),
        (lambda k, m: affine([k, m * np.nan], None, np.ones(6), unit()), "matrix 1 has entries that are NaN"),
        (lambda k, m: affine([sp.triu(k), m], None, np.ones(6), unit()), "matrix 0 is not exactly symmetric"),
        (lambda k, m: affine([k, -m], None, np.ones(6), unit()), "matrix 1 is not positive semidefinite"),
        (lambda k, m: affine([k, m - 0.5 * k], None, np.ones(6), unit()), "matrix 1 is not positive semidefinite"),
        (lambda k, m: affine([k, m], None, np.ones(6), unit(3)), "theta must give 2 weights"),
        (lambda k, m: affine([k, m], lambda p: p - 1.25, np.ones(6), unit()), "theta must be positive; at the centre"),
        (lambda k, m: affine([k, m], None, np.ones(5), unit()), r"load must have shape \[6\], not \[5\]"),
        (lambda k, m: affine([k, m], None, np.ones(6), unit(), np.ones((5, 1))), "coordinates must have shape"),
        (lambda k, m: affine([np.diag([1.0, 0.0])], None, np.ones(2), unit(1)), "singular"),
        (lambda k, m: affine([np.array([[1.0, -1.0], [-1.0, 1.0]])], None, np.ones(2), unit(1)), "singular"),
    ],
)
def test_senseless_problems_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(*line())


# ---- what somebody else's matrices and arrays may do -----------------------------------------------------------------


def test_a_slightly_indefinite_matrix_is_refused():
    """1e-10 of its size below zero is no rounding: at large weights the sum is indefinite."""
    first, second = sp.diags([1.0, -0.9e-10]), sp.diags([0.0, 1e-9])
    with pytest.raises(ValueError, match="matrix 0 is not positive semidefinite"):
        affine([first, second], None, np.array([1.0, 1e-6]), unit())


def test_what_rounding_leaves_of_semidefiniteness_is_charged():
    """A singular matrix perturbed by 1e-13 of its size: accepted, and every bound holds by a margin that covers it."""
    k, m = line(8)
    neumann = sp.lil_matrix(k)
    neumann[0, 0] = neumann[7, 7] = 1.0  # a singular term
    slack = 2e-13
    problem = affine([sp.csr_matrix(neumann) - slack * sp.identity(8), m], None, np.ones(8), unit())
    assert problem.indefiniteness[0] >= slack and problem.indefiniteness[1] < 1e-12
    for p in problem.inputs.sample(4):
        A = problem.matrix(p).toarray()
        assert 0 < float(problem.coercivity(jnp.asarray(p))) <= np.linalg.eigvalsh(A)[0]
        u = np.linalg.solve(A, np.ones(8))
        for field in (np.zeros(8), u * 1.001, u + 1e-3 * np.random.default_rng(0).standard_normal(8)):
            bound = certify(problem, field[None], p[None])
            error = np.sqrt((u - field) @ A @ (u - field))
            assert bound.lower[0] <= error * (1 + 1e-12) and error <= bound.upper[0] * (1 + 1e-12)
            assert bound.upper[0] <= 1.01 * error
    assert "verified by factorisation" in bound.assumptions[0]


def test_arrays_changed_after_the_problem_was_made_change_nothing():
    k, m = line()
    load, places = np.ones(6), np.arange(6.0)[:, None]
    problem = affine([k, m], None, load, unit(), places)
    p = problem.inputs.sample(1)[0]
    before = np.asarray(problem.solve(p))
    load[:], places[:] = [0, 0, 7, 0, 0, 0], 9.0
    np.testing.assert_array_equal(affine([k, m], None, np.ones(6), unit()).solve(p), before)
    np.testing.assert_array_equal(problem.solve(p), before)
    assert problem.coordinates.max() == 5.0


@pytest.mark.parametrize(
    ("matrices", "theta", "load", "message"),
    [
        ([sp.csr_matrix((6, 6))], None, np.ones(6), "matrix 0 is zero"),
        ([line()[0] * 1e200], None, np.ones(6), "change the units"),
        (
            [line()[0] * (1 + 0j)],
            None,
            np.ones(6),
            "matrix 0 has complex values",
        ),
        (line(), None, np.ones(6) * 1j, "the load has complex values"),
        (line(), lambda p: np.exp(np.asarray(p)), np.ones(6), r"theta must be written with jax\.numpy"),
    ],
)
def test_mistakes_are_named(matrices, theta, load, message):
    with pytest.raises(ValueError, match=message):
        affine(matrices, theta, load, unit(len(matrices)))


# ---- reasons ---------------------------------------------------------------------------------------------------------


def with_constraint(diagonal):
    """A stiffness of size 1e13 whose first row and column were zeroed, and a number put on the diagonal."""
    k = 1e13 * line()[0].toarray()
    k[0] = k[:, 0] = 0
    k[0, 0] = diagonal
    return k


def test_rows_of_another_size_are_named_with_the_remedy():
    remedy = r"eliminate these rows and columns, or pass prescribed=\(nodes, values\)"
    said = constraint_rows(sp.csr_matrix(with_constraint(1.0)))
    assert re.fullmatch(rf"only a diagonal entry is in row 0, of size 1.0e\+00 beside 2.0e\+13: {remedy}.*", said)
    penalty = line()[0].toarray()
    penalty[0, 0] += 1e30
    as_of_penalties = f"diagonal entries of size .* are in row 0, as of penalties: {remedy}"
    assert re.match(as_of_penalties, constraint_rows(sp.csr_matrix(penalty)))
    with pytest.raises(ValueError, match=f"singular, or nearly: {as_of_penalties}"):
        affine([penalty], None, np.ones(6), unit(1))
    assert constraint_rows(sp.csr_matrix(line()[0])) == ""


def test_a_row_of_another_size_that_does_no_harm_is_not_remarked_on():
    problem = affine([with_constraint(1.0)], None, np.ones(6), unit(1))
    assert problem.proof_notes == ()
    error = float(problem.norm([1.0], problem.solve([1.0])))
    assert error <= certify(problem, np.zeros((1, 6)), [[1.0]]).upper[0] <= 3 * error


def test_why_bounds_are_infinite_is_noted():
    k, m = line()
    negative = affine([k, m], lambda p: jnp.stack([p[0], p[1] - 1.0]), np.ones(6), unit())
    (note,) = negative.proof_notes
    assert "theta is not positive in part of the box" in note and "b=0.5" in note
    (note,) = affine([k, m], None, 1e-40 * np.ones(6), unit()).proof_notes
    assert "loads of size 1.0e-40 to 1.0e-40 leave the range 2^-100 to 2^100" in note


def decides(p):
    return jnp.stack([p[0], p[1] if p[1] > 1 else 1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": decides}, r"theta decides by the value of its input \(if, .*use jnp.where"),
        ({"theta": lambda p: p[5:]}, "theta must give 2 weights"),
        ({"theta": lambda p: p.missing}, "theta cannot be used: AttributeError"),
        ({"theta": 3}, "theta must be a function of the input in jax.numpy, not int"),
        ({"theta": lambda p: p / 0}, "theta must be finite"),
        ({"theta": lambda p: p + 1j}, "theta cannot be used: ValueError: complex"),
        ({"load": np.full(6, np.nan)}, "the load has values that are NaN or infinite"),
        ({"load": np.ones((2, 6))}, r"2 load terms need load_weights=, a function p -> \[2\]"),
        ({"load": np.ones((2, 6)), "load_weights": lambda p: p[:1]}, "load_weights must give 2 numbers"),
        ({"load": np.ones((2, 6)), "load_weights": lambda p: np.asarray(p)}, "load_weights must be written with jax"),
        ({"load": lambda p: jnp.ones(6), "load_weights": lambda p: p}, "load_weights belong to load terms"),
        ({"load": lambda p: np.asarray(p)}, "the load must be written with jax"),
        ({"matrices": line()[0]}, r"for a single one write \[A\]"),
        ({"matrices": [spla.aslinearoperator(line()[0])] * 2}, "matrix 0 is a LinearOperator"),
        ({"matrices": [line()[0], sp.dok_matrix(line()[1]) * np.nan]}, "matrix 1 has entries that are NaN"),
        ({"box": [0, 1]}, "the inputs are a Box"),
        ({"coordinates": 1j * np.ones((6, 1))}, "coordinates has complex values"),
    ],
)
def test_mistakes_are_one_line(change, message):
    given = {"matrices": line(), "theta": None, "load": np.ones(6), "box": unit(), **change}
    with pytest.raises(ValueError, match=message) as caught:
        affine(**given)
    assert "\n" not in str(caught.value)


def test_any_sparse_format_will_do():
    plain = affine(line(), None, np.ones(6), unit()).solve([0.7, 1.3])
    for form in ("dok", "lil", "coo", "csc", "bsr", "dia"):
        terms = [sp.csr_matrix(m).asformat(form) for m in line()]
        np.testing.assert_array_equal(affine(terms, None, sp.csr_matrix(np.ones(6)), unit()).solve([0.7, 1.3]), plain)


def test_asymmetry_is_measured_and_located():
    k = line()[0].toarray()
    k[2, 3] *= 1 + 1e-14
    with pytest.raises(ValueError, match=r"entries \(\d, \d\) and its mirror .* of the largest: pass \(A \+ A.T\)/2"):
        affine([k], None, np.ones(6), unit(1))
    k[2, 3] = 0.25
    with pytest.raises(ValueError, match=r"entries \(2, 3\) .* 6.2e-01 of the largest: bounds are known for symmetric"):
        affine([k], None, np.ones(6), unit(1))
