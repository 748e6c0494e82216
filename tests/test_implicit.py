"""Newton's method and the derivatives of its roots, on equations whose roots are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np

from assay.solvers.linear_algebra.implicit import MAX_ITERATIONS, LinearSolves, chord, differentiable_root, newton


def test_derivatives_of_a_root_to_third_order() -> None:
    """u^3 = a: u = a^(1/3), with du, d2u and d3u by the power rule."""

    def equation(a: jax.Array, u: jax.Array) -> jax.Array:
        return u**3 - a

    def find(a: jax.Array) -> object:
        return newton(lambda u: equation(a, u), lambda u, r: r / (3 * u**2), jnp.ones(1), jnp.asarray(1e-13))

    def solves(a: jax.Array, u: jax.Array) -> LinearSolves:
        return LinearSolves(lambda b: b / (3 * u**2), lambda b: b / (3 * u**2))

    root = differentiable_root(equation, find, solves)
    f = lambda a: root(a[None]).u[0]  # noqa: E731
    first = jax.grad(f)
    second = jax.jacfwd(first)

    @jax.jit
    def all_of(a: jax.Array) -> jax.Array:
        return jnp.stack([f(a), first(a), second(a), jax.jacfwd(second)(a)])

    a = 2.7
    exact = [a ** (1 / 3), a ** (-2 / 3) / 3, -2 / 9 * a ** (-5 / 3), 10 / 27 * a ** (-8 / 3)]
    assert np.allclose(all_of(jnp.asarray(a)), exact, rtol=1e-12, atol=0)
    many = jax.jit(jax.vmap(first))(jnp.array([1.0, 8.0]))
    assert np.allclose(many, [1 / 3, 1 / 12], rtol=1e-12, atol=0)


def test_halving_saves_a_step_that_overshoots() -> None:
    """arctan(u) = 0 from 3: the full step diverges."""
    done = newton(jnp.arctan, lambda u, r: r * (1 + u**2), jnp.full(1, 3.0), jnp.asarray(1e-12))
    assert abs(float(done.u[0])) <= 1e-12 and 0 < int(done.iterations) < 10


def test_no_root_ends_without_success() -> None:
    """u^2 + 1 = 0 has none; the residual returned is the true one and larger than the target."""
    done = newton(lambda u: u**2 + 1, lambda u, r: r / (2 * u), jnp.full(1, 2.0), jnp.asarray(1e-12))
    assert float(done.residual) >= 1 and int(done.iterations) <= MAX_ITERATIONS
    lost = newton(lambda u: u * jnp.nan, lambda u, r: r, jnp.ones(1), jnp.asarray(1e-12))
    assert np.isnan(lost.residual) and int(lost.iterations) == 0


def test_a_jacobian_is_kept_while_steps_with_it_are_good_and_renewed_where_they_are_not() -> None:
    """u^3 = 8: near the root one derivative serves to the end; from far away it is renewed, and where full steps
    overshoot, from a small slope, the root is reached all the same."""
    taken: list[float] = []

    def linearise(u: jax.Array) -> jax.Array:
        jax.debug.callback(lambda x: taken.append(float(x[0])), u)
        return 3 * u**2

    def run(start: float, keep: float) -> float:
        taken.clear()
        equation = lambda u: u**3 - 8  # noqa: E731
        solve = lambda slope, r: r / slope  # noqa: E731
        done = chord(equation, linearise, solve, jnp.full(1, start), jnp.asarray(1e-12), keep)
        jax.effects_barrier()
        assert float(done.residual) <= 1e-12
        return float(done.u[0])

    assert abs(run(2.05, 0.5) - 2) < 1e-13 and taken == [2.05]
    assert abs(run(40.0, 0.1) - 2) < 1e-13 and 1 < len(taken) < 20
    kept = chord(
        lambda u: u**3 - 8, lambda u: 3 * u**2, lambda slope, r: r / slope, jnp.full(1, 0.5), jnp.asarray(1e-12), 0.9
    )
    assert abs(float(kept.u[0]) - 2) < 1e-13
