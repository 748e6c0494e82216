"""Sizes whose squares leave float64: measured, and data of such sizes solved for to the last digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.linear_algebra.implicit import newton
from assay.solvers.linear_algebra.krylov import refined
from assay.solvers.problems.allen_cahn import AllenCahn
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.heat import Heat
from assay.solvers.size import length

TINY, SMALL = 2.0**-900, 2.0**-200  # the square of one underflows; beside either, products of two are nothing


@pytest.mark.parametrize("power", [-1000, -600, 0, 500])
def test_a_length_is_that_of_the_exact_number(power):
    assert float(length(np.ldexp([3.0, 4.0], power))) == np.ldexp(5.0, power)
    assert jnp.isnan(length(np.array([1.0, np.nan]))) and float(length(np.zeros(3))) == 0.0
    slope = jax.grad(length)(jnp.asarray(np.ldexp([3.0, 4.0], power)))
    np.testing.assert_allclose(slope, [0.6, 0.8], rtol=1e-15)


@pytest.mark.parametrize("size", [1.0, TINY])
def test_a_root_of_tiny_data_is_not_zero(size):
    c = size * np.array([1.0, -2.0])
    root = newton(lambda u: u - c, lambda u, r: r, jnp.zeros(2), jnp.asarray(1e-12 * size))
    assert (np.asarray(root.u) == c).all() and root.iterations == 1


def test_conjugate_gradients_solve_for_tiny_data_as_for_others():
    K = jnp.asarray(np.diag([2.0] * 6) - np.diag([1.0] * 5, 1) - np.diag([1.0] * 5, -1))

    def found(b):
        return refined(
            lambda u: K @ u, lambda u: jnp.abs(K) @ jnp.abs(u), lambda r: r, b, 1e-12, 1e-15, jnp.asarray(True)
        )

    one, tiny = found(jnp.ones(6)), found(jnp.full(6, TINY))
    assert one.converged and tiny.converged and one.iterations == tiny.iterations > 0
    assert (np.asarray(tiny.u) == np.asarray(one.u) * TINY).all() and tiny.residual == one.residual * TINY


@pytest.mark.parametrize(
    ("problem", "p"),
    [
        (Heat(cells=4, steps=2, initial_amplitude=0.0), lambda s: [0.1, 1.0, 0.4, 0.2, s]),
        (Burgers(cells=8, steps=2), lambda s: [0.05, s, -s / 2, s / 4]),
        (AllenCahn(cells=8, steps=4, end_time=1.0, modes=2), lambda s: [0.05, s, -s / 2]),
        (AllenCahn(dimension=2, cells=4, steps=4, end_time=1.0, modes=1), lambda s: [0.05, s]),
        (Bratu(dimension=1, cells=8, lam=(TINY / 2, 1.0)), lambda s: [s]),
        (Bratu(cells=8, lam=(TINY / 2, 1.0)), lambda s: [s, 1.3]),
    ],
    ids=["heat", "burgers", "allen-cahn", "allen-cahn-2d", "bratu-1d", "bratu"],
)
def test_truths_of_tiny_data_are_as_good_as_others(problem, p):
    """Zero was the solution of all of them: its residual's square underflows."""
    small, tiny = np.asarray(problem.solve_batch(np.array([p(SMALL), p(TINY)])))
    assert np.abs(small).max() > 1e-3 * SMALL
    np.testing.assert_allclose(tiny / TINY, small / SMALL, rtol=1e-9, atol=1e-11)
