"""Loads in terms and prescribed values of affine problems, against solutions in closed form and dense arithmetic."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from small_matrices import line, rational, unit

from assay.solvers import Box, affine, sample
from assay.surrogates import train
from assay.verify.certify import certify
from assay.verify.proofs.prover import prover


def rod(n=9):
    """Stiffness of both halves of a rod of n nodes, ends included, and the load of a unit source."""
    halves = []
    for cells in (range(0, n // 2), range(n // 2, n - 1)):
        k = np.zeros((n, n))
        for i in cells:
            k[i : i + 2, i : i + 2] += (n - 1) * np.array([[1.0, -1.0], [-1.0, 1.0]])
        halves.append(k)
    return halves, np.r_[0.5, np.ones(n - 2), 0.5] / (n - 1)


def lifted_rod():
    """Temperatures 300 + a at the left end and 310 at the right."""
    halves, f = rod()
    ends = ([0, 8], [[300.0, 310.0], [1.0, 0.0]], lambda p: jnp.stack([1.0, p[1]]))
    return affine(
        [sp.dok_matrix(k) for k in halves],
        lambda p: jnp.stack([1.0, p[0]]),
        [f, np.eye(9)[3]],
        Box(("k", "a"), [0.5, -1.0], [2.0, 1.0]),
        np.linspace(0, 1, 9),
        load_weights=lambda p: jnp.stack([1.0, -p[1]]),
        prescribed=ends,
    )


def test_prescribed_values_are_eliminated_into_load_terms():
    problem, (halves, f) = lifted_rod(), rod()
    assert problem.size == 7 and len(problem.load_terms()) == 2 + 3  # the right end has no term in a
    assert problem.norm_name.endswith("of the lifted part, u less its prescribed values")
    for p in problem.inputs.sample(3):
        A, b = halves[0] + p[0] * halves[1], f - p[1] * np.eye(9)[3]
        u = np.zeros(9)
        u[[0, 8]] = 300 + p[1], 310
        u[1:8] = np.linalg.solve(A[1:8, 1:8], (b - A @ u)[1:8])
        np.testing.assert_allclose(problem.whole(p, problem.solve(p)), u, rtol=1e-12)
        np.testing.assert_allclose(problem.load(p), problem.load_weights(p) @ problem.load_terms(), rtol=1e-14)
    np.testing.assert_allclose(problem.coordinates[:, 0], np.linspace(0, 1, 9)[1:8])


def test_declared_loads_open_what_needs_few_terms():
    problem = lifted_rod()
    surrogate = train(problem, "reduced-basis", sample(problem, 8), max_rank=4)
    P = problem.inputs.sample(4, 1)
    fields = np.asarray(surrogate(P))
    bound = certify(problem, surrogate, P)
    assert prover(problem, surrogate).reduced is not None
    exact = np.asarray(problem.solve_batch(P))
    for p, u, v, low, high in zip(P, exact, fields, bound.lower, bound.upper, strict=True):
        error = float(problem.norm(p, u - v))
        assert low <= error * (1 + 1e-9) + 1e-12 and error <= high * (1 + 1e-9)
        assert high <= 2 * error + 1e-8
    perturbed = fields + 0.01
    bound = certify(problem, perturbed, P)
    for p, u, v, high in zip(P, exact, perturbed, bound.upper, strict=True):
        assert float(problem.norm(p, u - v)) <= high <= 1.1 * float(problem.norm(p, u - v))


def test_the_rounding_of_loads_that_cancel_is_charged():
    """f = 1e12 g - 1e12 g + h: what is left of the sum has few digits, and bounds know it."""
    k, _ = line()
    g, h = np.linspace(1, 2, 6) / 3, np.ones(6) / 7
    one = Box("a", 0.5, 2.0)
    problem = affine(
        [k], None, [g, g, h], one, load_weights=lambda p: jnp.stack([1e12 * p[0], -1e12 * p[0] + 0.1, 1.0])
    )
    p = np.array([1.3])
    assert (np.asarray(problem.load_absolute(p)) >= 0.9 * 2.6e12 * g).all()
    theta, weights = rational(p), rational(problem.load_weights(p))
    exact = weights @ rational(problem.load_terms())
    A = rational(problem.matrices[0].toarray()) * theta[0]
    u = np.linalg.solve(A.astype(float), exact.astype(float))
    bound = certify(problem, u[None], p[None])
    r = (exact - A @ rational(u)).astype(float)
    error = np.sqrt(r @ np.linalg.solve(A.astype(float), r))
    assert error <= bound.upper[0]


def test_prescribed_zeros_leave_the_norm_as_it_is():
    (first, second), f = rod()
    problem = affine([first, second], None, f, unit(), prescribed=(np.arange(9) % 8 == 0, 0.0))
    assert problem.norm_name == "energy norm ||v||_A(p)" and len(problem.load_terms()) == 1
    eliminated = affine([first[1:8, 1:8], second[1:8, 1:8]], None, f[1:8], unit())
    p = [0.7, 1.3]
    np.testing.assert_array_equal(problem.solve(p), eliminated.solve(p))


def test_rows_replaced_by_the_identity_need_no_repair_where_their_nodes_are_prescribed():
    (first, second), f = rod()
    replaced = first.copy()
    replaced[0] = np.eye(9)[0]
    with pytest.raises(ValueError, match=r"not exactly symmetric: .* only the diagonal is in row 0: were rows"):
        affine([replaced, second], None, f, unit())
    affine([replaced, second], None, f, unit(), prescribed=([0, 8], 1.0))


@pytest.mark.parametrize(
    ("prescribed", "message"),
    [
        (3, r"prescribed is \(nodes, values\)"),
        (([0, 0], 1.0), "distinct and between 0 and 8"),
        (([9], 1.0), "distinct and between 0 and 8"),
        (([0.5], 1.0), "whole numbers, or a mask of 9"),
        ((np.ones(9, dtype=bool), 1.0), "all nodes are prescribed"),
        (([0, 8], [1.0, 2.0, 3.0]), r"the prescribed values must have shape \[2\]"),
        (([0, 8], [1.0, np.nan]), "the prescribed values has values that are NaN"),
        (([0, 8], [[1.0, 2.0], [3.0, 4.0]]), "2 terms of prescribed values need their weights"),
        (([0, 8], [[1.0, 2.0]], lambda p: p), "the prescribed values' weights must give 1 numbers"),
    ],
)
def test_prescribed_values_that_make_no_sense_are_named(prescribed, message):
    halves, f = rod()
    with pytest.raises(ValueError, match=message):
        affine(halves, None, f, unit(), prescribed=prescribed)


def test_a_load_that_is_a_function_is_told_how_to_be_terms():
    problem = affine(line(), None, lambda p: p[0] * jnp.ones(6), unit())
    assert problem.load_terms() is None
    with pytest.raises(ValueError, match=r"its load is a function: give its terms, load=\[f_1, .., f_J\]"):
        train(problem, "reduced-basis", sample(problem, 4))
