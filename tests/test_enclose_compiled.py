"""Enclosures of many boxes at once, and of functions enclosed before: compiled once, never for another function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.verify.enclose import bounds, enclose, range_bound

INF = float("inf")
WEIGHTS = np.random.default_rng(5).normal(size=(2, 2, 4))


def network(x):
    return jax.nn.gelu(x @ WEIGHTS[0] + 0.1) @ WEIGHTS[1].T


@pytest.fixture
def walks(monkeypatch):
    """Counts how often a program is walked through, that is, compiled."""
    count = []
    walked = bounds.propagate
    monkeypatch.setattr(bounds, "propagate", lambda *args: (count.append(1), walked(*args))[1])
    return count


def test_many_boxes_equal_one_after_the_other_to_the_last_bit(walks):
    fn = network
    low = np.random.default_rng(0).uniform(-1, 0, (70, 2))
    high = low + np.random.default_rng(1).uniform(0, 0.3, (70, 2))
    low[3, 1], high[4, 0] = np.nan, INF
    for computed in (False, True):
        lower, upper = map(np.asarray, enclose(fn, low, high, computed=computed))
        assert lower.shape == upper.shape == (70, 2)
        compiled = len(walks)
        for i in range(70):
            one = enclose(fn, low[i], high[i], computed=computed)
            assert (lower[i] == one[0]).all() and (upper[i] == one[1]).all()
        assert 0 < len(walks) <= 2 * compiled  # one box and many: two programs
        assert np.isinf(lower[3:5]).all() and np.isfinite(np.delete(upper, (3, 4), axis=0)).all()
    assert enclose(fn, low[:0], high[:0])[0].shape == (0, 2)


def test_one_box_is_enclosed_as_within_a_program_of_ones_own():
    low, high = np.array([-0.3, 0.2]), np.array([0.1, 0.7])
    for fn in (network, lambda x: (2 + x) ** 1.5 / (2 + x[0]) ** x[1], jax.nn.softmax):
        own = jax.jit(lambda a, b, fn=fn: enclose(fn, a, b))(low, high)
        np.testing.assert_array_equal(enclose(fn, low, high), own)


def test_equal_programs_are_compiled_once_and_changed_ones_anew(walks):
    W = np.array([[0.5, -1.0]])

    def enclosed(W):
        lower, upper = enclose(lambda x: jnp.tanh(x @ W), [0.0], [1.0])
        return float(lower[0]), float(upper[0])

    first, compiled = enclosed(W), len(walks)
    assert compiled > 0 and enclosed(W.copy()) == first and len(walks) == compiled
    W[0, 0] = 2.0  # in place: the function object and the array are what they were
    lower, upper = enclosed(W)
    assert len(walks) > compiled and lower <= 0 and upper >= np.tanh(2.0) > first[1]
    W[0, 0] = 0.5
    assert enclosed(W) == first


SLOPE = 1.0


def by_global_slope(x):
    return SLOPE * x


def test_a_changed_global_is_seen(monkeypatch):
    assert float(enclose(by_global_slope, [0.0], [1.0])[1][0]) < 1.1
    monkeypatch.setitem(by_global_slope.__globals__, "SLOPE", 3.0)
    assert 3.0 <= float(enclose(by_global_slope, [0.0], [1.0])[1][0]) < 3.1


def test_what_is_not_all_in_the_program_is_not_kept(walks):
    for fn in (lambda x: (jax.debug.callback(lambda: None), 2 * x)[1],):
        for _ in range(2):
            before = len(walks)
            assert 2.0 <= float(enclose(fn, [0.0], [1.0])[1][0]) < 2.1
            assert len(walks) > before
    upper = jax.jit(lambda w: enclose(lambda x: w * x, [0.0], [1.0])[1])(2.0)  # w has no value yet
    assert 2.0 <= float(upper[0]) < 2.1


def test_wrong_corners_among_many_are_named_in_one_line():
    low = np.zeros((20, 2))
    high = np.ones((20, 2))
    high[3, 1] = high[17, 0] = -1.0
    with pytest.raises(ValueError, match=r"lower exceeds upper in entries \[\(3, 1\), \(17, 0\)\]: exchange them"):
        enclose(jnp.sin, low, high)
    with pytest.raises(ValueError, match=r"and 30 more: exchange") as error:
        enclose(jnp.sin, high * 0, low - 1)
    assert "\n" not in str(error.value)
    for wrong in (low[0], low[None], low[:, :1], low[:3]):
        with pytest.raises(ValueError, match="many boxes two arrays"):
            enclose(jnp.sin, low, wrong)


def test_a_range_search_is_compiled_once(walks):
    ranges = [range_bound(lambda x: jnp.sin(x[0]) * x[0], [0.0], [2.0], order=2, boxes=64) for _ in range(2)]
    compiled = len(walks)
    again = range_bound(lambda x: jnp.sin(x[0]) * x[0], [0.0], [2.0], order=2, boxes=64)
    assert len(walks) == compiled > 0
    assert {(r.lower, r.upper) for r in ranges} == {(again.lower, again.upper)}
