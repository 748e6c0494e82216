"""Mass-plus-diffusion multigrid: right for every balance of the two, in few iterations, and honest where it is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.discretisations import q1, q1_mass_multigrid

SOLVE = jax.jit(lambda w, mass, b: q1_mass_multigrid.solve(q1_mass_multigrid.hierarchy(w, mass), b, 1e-12))


@pytest.mark.parametrize("cells", [(16, 16), (9, 12)])
@pytest.mark.parametrize("mass", [1e-6, 1e-2, 1.0, 1e4])
def test_solves_are_those_of_the_matrix(cells: tuple[int, int], mass: float) -> None:
    rng = np.random.default_rng(0)
    w = np.exp(rng.uniform(-2, 2, cells))
    b = rng.standard_normal((cells[0] - 1, cells[1] - 1))
    done = SOLVE(jnp.asarray(w), mass, jnp.asarray(b))
    matrix = q1.CsrMap(*cells)(w).toarray() + mass * np.eye(b.size)
    exact = np.linalg.solve(matrix, b.ravel())
    assert bool(done.converged) and int(done.iterations) <= 25
    assert np.linalg.norm(np.ravel(done.u) - exact) <= 1e-10 * np.linalg.norm(exact)
    assert np.linalg.norm(matrix @ np.ravel(done.u) - b.ravel()) <= 1e-11 * np.linalg.norm(b)


def test_the_cycle_is_symmetric_positive_definite_for_any_balance() -> None:
    """Which conjugate gradients need of a preconditioner: damped Jacobi must stay convergent for mass and stiffness."""
    w = jnp.exp(jnp.asarray(np.random.default_rng(1).uniform(-2, 2, (8, 8))))

    @jax.jit
    def cycle(mass: float) -> jax.Array:
        h = q1_mass_multigrid.hierarchy(w, mass)
        return jax.vmap(lambda e: q1_mass_multigrid.v_cycle(h, e))(jnp.eye(49).reshape(49, 7, 7)).reshape(49, 49)

    for mass in (0.0, 1.0, 1e4):
        inverse = np.asarray(cycle(mass))
        assert np.allclose(inverse, inverse.T, rtol=0, atol=1e-14 * np.abs(inverse).max())
        assert np.linalg.eigvalsh(inverse).min() > 0


def test_a_negative_weight_does_not_converge() -> None:
    w = jnp.ones((8, 8)).at[3, 3].set(-1.0)
    assert not bool(SOLVE(w, 1.0, jnp.ones((7, 7))).converged)
