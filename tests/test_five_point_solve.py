"""Constant coefficients on a square by Fourier transforms with walls, beside dense solves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.discretisations import five_point, five_point_solve

WEIGHTS = {
    "diffusion alone": [0.1, 0.3, 0.0, 0.0],
    "one axis stiff": [1.0, 1e-4, 0.0, 0.0],
    "oblique": [0.02, 0.03, 1.2, -0.7],
    "upwind, thin": [0.11 + 1e-8, 0.04 + 1e-8, 1.1, -0.4],
    "central, beyond the cell Peclet number": [1e-3, 1e-3, -2.0, 1.5],
    "flow along a wall": [0.2, 1e-7, 2.0, 0.0],
    "flow along the other": [1e-7, 0.2, 1e-12, -2.0],
    "tiny": [1e-150, 2e-150, 1e-149, 0.0],
    "huge": [1e150, 2e150, 0.0, 1e151],
}


@pytest.mark.parametrize("n", [4, 5, 10])
def test_solves_are_those_of_the_matrix_for_any_weights(n):
    second = [five_point.second_matrix(n, axis).toarray() for axis in (0, 1)]
    central = [five_point.central_matrix(n, axis).toarray() / (2 * n) for axis in (0, 1)]
    b = np.random.default_rng(n).standard_normal((n - 1, n - 1))

    @jax.jit
    def once(theta, b):
        return five_point_solve.solve(five_point_solve.factors(theta, n), b)

    for name, theta in WEIGHTS.items():
        theta = np.array(theta)
        matrix = np.tensordot(theta, np.stack(second + central), 1)
        for weights, dense in ((theta, matrix), (five_point_solve.transposed(theta), matrix.T)):
            rest, size = b.ravel(), []
            u = np.zeros(b.size)
            for _ in range(2):
                u = u + np.asarray(once(weights, rest.reshape(b.shape))).ravel()
                rest = b.ravel() - dense @ u
                size.append(np.linalg.norm(rest) / np.linalg.norm(b))
            exact = np.linalg.solve(dense, b.ravel())
            assert np.linalg.norm(u - exact) <= 1e-12 * np.linalg.norm(exact), name
            # flow along a wall goes round the torus and gathers: a refinement mends it
            assert size[0] <= (1e-7 if "flow along" in name else 1e-11), name


def test_solves_of_many_are_those_of_one():
    theta = jnp.asarray(np.array([WEIGHTS["oblique"], WEIGHTS["diffusion alone"]]))
    b = np.ones((7, 7))

    @jax.jit
    def one(theta):
        return five_point_solve.solve(five_point_solve.factors(theta, 8), b)

    np.testing.assert_allclose(jax.vmap(one)(theta), [one(x) for x in theta], rtol=1e-12)
