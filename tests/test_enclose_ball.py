"""Ball arithmetic: what it encloses, where it is exact, and what XLA does to the naive alternatives."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.verify.enclose import ball
from assay.verify.enclose.ball import Ball

INF = float("inf")
TINY = 2.0**-1022


def ends(b: Ball) -> tuple[float, float]:
    return float(ball.lower(b)), float(ball.upper(b))


def holds(b: Ball, x: Fraction) -> bool:
    low, high = ends(b)
    return (low == -INF or Fraction(low) <= x) and (high == INF or x <= Fraction(high))


@pytest.mark.parametrize("x", [0.0, -0.0, 1.0, -3.3, 1e300, 2.3e-308, 1e-310, -5e-324])
def test_a_degenerate_box_is_exact_unless_it_is_subnormal(x):
    b = ball.from_bounds(x, x)
    assert holds(b, Fraction(x))
    low, high = ends(b)
    assert low == high == x if x == 0 or abs(x) >= TINY else high - low <= 16 * TINY


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-1.0, 1e-320), (1e-323, 2e-323), (-1.7e308, 1.7e308), (1.0, 1 + 2e-16)]
)
def test_a_box_is_held_by_its_ball(low, high):
    b = ball.from_bounds(low, high)
    assert holds(b, Fraction(low)) and holds(b, Fraction(high))


def test_a_box_that_starts_at_zero_is_held_exactly_there():
    assert ends(ball.from_bounds(0.0, 0.3))[0] == 0.0
    assert float(ball.lower(ball.add_from_zero(ball.from_bounds(0.0, 0.1), ball.from_bounds(0.0, 0.7)))) == 0.0
    assert float(ball.lower(ball.power(ball.from_bounds(-0.1, 0.2), 2))) == 0.0


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1.0), (0.0, np.nan), (-INF, INF), (0.0, INF), (2.0, 1.0)])
def test_what_is_no_box_is_everything(low, high):
    assert ends(ball.from_bounds(low, high)) == (-INF, INF)


UNARY = {
    "power 2": lambda a: ball.power(a, 2),
    "power 3": lambda a: ball.power(a, 3),
    "reciprocal": ball.reciprocal,
    "scale": lambda a: ball.scale(a, 0.1),
    "neg": ball.neg,
    "widen": lambda a: ball.widen(a, jnp.float64(1.0)),
}
BINARY = {"add": ball.add, "sub": ball.sub, "mul": ball.mul, "union": ball.union}


@pytest.mark.parametrize("op", [*UNARY, *BINARY])
@pytest.mark.parametrize("bad", [Ball(jnp.nan, 1.0), Ball(0.0, jnp.inf), Ball(jnp.inf, 0.0), Ball(1.0, jnp.nan)])
def test_everything_never_becomes_something(op, bad):
    bad = Ball(jnp.float64(bad.mid), jnp.float64(bad.rad))
    some = ball.from_bounds(0.0, 2.0)
    results = [UNARY[op](bad)] if op in UNARY else [BINARY[op](bad, some), BINARY[op](some, bad)]
    assert all(ends(b) == (-INF, INF) for b in results)


def test_overflow_is_everything():
    big = ball.from_bounds(1e300, 1.5e300)
    assert ends(ball.mul(big, big)) == (-INF, INF)
    assert ends(ball.power(big, 2)) == (-INF, INF)


def test_products_are_the_hull_of_all_products():
    rng = np.random.default_rng(0)
    a, b = (np.sort(rng.normal(size=(2, 500)), axis=0) for _ in range(2))
    corners = np.stack([x * y for x in a for y in b])
    out = ball.mul(ball.from_bounds(*a), ball.from_bounds(*b))
    low, high = ball.lower(out), ball.upper(out)
    assert np.all(low <= corners.min(0)) and np.all(high >= corners.max(0))
    # as tight as the corners, up to rounding of the centre-radius form
    scale = np.abs(corners).max(0)
    assert np.all(corners.min(0) - low <= 1e-13 * scale) and np.all(high - corners.max(0) <= 1e-13 * scale)


def test_intersections():
    a, b = ball.from_bounds(0.0, 2.0), ball.from_bounds(1.0, 5.0)
    both = ball.intersect(a, b)
    assert holds(both, Fraction(1)) and holds(both, Fraction(2)) and ends(both)[0] > 0.99
    assert ends(ball.intersect(Ball(jnp.float64(jnp.nan), jnp.float64(0.0)), b))[1] < 5.01
    assert ends(ball.intersect(a, ball.from_bounds(3.0, 4.0))) == (-INF, INF)  # impossible, so nothing is known


def test_a_matrix_product_in_any_order_of_summation():
    rng = np.random.default_rng(1)
    W, x = rng.normal(size=(3, 40)) * 10.0 ** rng.uniform(-8, 8, (3, 40)), rng.normal(size=40)
    A = ball.absolute_matrix(W)
    out = ball.linear(Ball(jnp.asarray(x), jnp.zeros(40)), lambda v: jnp.asarray(W) @ v, lambda v: A @ v, 40)
    for i in range(3):
        exact = sum(Fraction(float(w)) * Fraction(float(v)) for w, v in zip(W[i], x, strict=True))
        assert holds(out[i], exact)
        for _ in range(20):
            order = rng.permutation(40)
            shuffled = 0.0
            for k in order:
                shuffled += W[i, k] * x[k]
            assert holds(out[i], Fraction(float(shuffled)))


def test_subnormal_weights_are_not_lost():
    W = np.array([[1e-310]])
    A = ball.absolute_matrix(W)
    b = Ball(jnp.array([1e300]), jnp.zeros(1))
    exact = Fraction(1e-310) * Fraction(1e300)
    assert holds(ball.linear(b, lambda v: jnp.asarray(W) @ v, lambda v: A @ v, 1)[0], exact)
    assert holds(ball.scale(b, 1e-310)[0], exact)
    assert holds(ball.mul(b, ball.point(jnp.array([1e-310])))[0], exact)


# --- why constants are opaque -----------------------------------------------------------------------------------------


def test_what_the_compiler_makes_of_constants():
    """XLA's rewriting, on which hypothesis 4 of ``ball`` rests. A failure here says: look at it again."""
    assert float(jax.jit(lambda x: (x + 1.0) + 2.0**-60)(-1.0)) in (0.0, 2.0**-60)
    assert "multiply" in jax.jit(lambda x: x / 49.0).lower(1.0).compile().as_text()  # x / c became x * (1 / c)
    assert "multiply" not in jax.jit(lambda x: x / ball.no_simplify(jnp.float64(49.0))).lower(1.0).compile().as_text()


@pytest.mark.parametrize("compiled", [False, True])
def test_constants_that_the_compiler_would_fold(compiled):
    def sums(x: Ball) -> Ball:
        return ball.add(ball.add(x, ball.point(1.0)), ball.point(2.0**-60))

    def products(x: Ball) -> Ball:
        return ball.scale(ball.scale(x, 1e-300), 1e-300)

    def quotients(x: Ball) -> Ball:
        return ball.mul(x, ball.reciprocal(ball.point(1.7e308)))

    wrap = jax.jit if compiled else (lambda f: f)
    assert holds(wrap(sums)(ball.from_bounds(-1.0, -1.0)), Fraction(1, 2**60))
    assert holds(wrap(products)(ball.from_bounds(1e300, 1e300)), Fraction(1e300) * Fraction(1e-300) ** 2)
    assert holds(wrap(quotients)(ball.from_bounds(1e308, 1e308)), Fraction(1e308) / Fraction(1.7e308))
