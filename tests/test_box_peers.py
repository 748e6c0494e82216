"""The comparison of enclosures, without the peer: plain intervals hold, and a wrong bound is called UNSOUND."""

import numpy as np
import pytest

from assay.benchmarks.peers import box_methods, peer_residual, plain_intervals, second_derivative
from assay.benchmarks.peers.crown_peer import Crown
from assay.benchmarks.peers.plain_intervals import Interval
from assay.benchmarks.soundness import box_cases

RNG = np.random.default_rng(0)
LAYERS = [(RNG.normal(size=(m, n)) / n**0.5, RNG.normal(size=m)) for n, m in ((2, 5), (5, 4), (4, 3))]


def boxes(n=40, seed=1):
    rng = np.random.default_rng(seed)
    low = rng.normal(size=(n, 2))
    return low, low + 10 ** rng.uniform(-13, 0.5, (n, 1))


def test_intervals_of_a_network_hold_in_ball_arithmetic():
    pytest.importorskip("flint")
    low, high = boxes()
    X = box_methods.samples(low, high, 30, np.random.default_rng(2))
    values, exact = box_methods.evaluate(LAYERS, X), box_methods.exact_network(LAYERS)
    bounds = plain_intervals.network(LAYERS, low, high)
    assert box_methods.check(bounds, X, values, exact).verdict == "sound"
    wide = np.ptp(values, axis=1) > 1e-3
    assert (
        (bounds.upper - bounds.lower)[wide] < 30 * np.ptp(values, axis=1)[wide]
    ).all()  # and they are not everything


def test_a_planted_wrong_bound_is_unsound_with_its_size():
    low, high = boxes()
    X = box_methods.samples(low, high, 30, np.random.default_rng(2))
    values = box_methods.evaluate(LAYERS, X)
    bounds = plain_intervals.network(LAYERS, low, high)
    size = np.abs(values).max(axis=1)
    planted = bounds.upper.copy()
    planted[[3, 7], 1] = values[[3, 7], :, 1].max(axis=1) - 0.01 * size[[3, 7], 1]
    found = box_methods.check(Interval(bounds.lower, planted), X, values)
    assert found.boxes == 2 and found.violation == pytest.approx(0.01)
    assert found.verdict == "UNSOUND 1e-02 in 2"


def test_a_violation_by_one_rounding_is_found_and_one_ulp_of_room_is_not():
    """tanh(x) rounded to nearest bounds nothing: it lies above or below the exact value."""
    pytest.importorskip("flint")
    layers = [(np.eye(1), np.zeros(1)), (np.eye(1), np.zeros(1))]
    x = np.linspace(0.1, 0.9, 8)[:, None]
    t = np.tanh(x)
    exact = box_methods.exact_network(layers)
    found = box_methods.check(Interval(t, t), x[:, None], t[:, None], exact)
    assert found.boxes == 8 and 0 < found.violation < 1e-15
    room = Interval(t - 4 * np.spacing(t), t + 4 * np.spacing(t))
    assert box_methods.check(room, x[:, None], t[:, None], exact).verdict == "sound"


def test_a_bound_that_is_not_a_number_is_counted_apart():
    values = np.zeros((2, 1, 1))
    bounds = Interval(np.array([[np.nan], [-1.0]]), np.array([[1.0], [1.0]]))
    assert box_methods.check(bounds, values, values).verdict == "sound, NaN in 1"


def test_the_range_of_tanhs_second_derivative_includes_its_extrema():
    ends = np.sort(np.random.default_rng(3).uniform(-1, 1, (2, 500)), axis=0)
    t = ends[0] + np.linspace(0, 1, 400)[:, None] * (ends[1] - ends[0])
    for rule, fn in (
        (plain_intervals.slope, lambda t: 1 - t**2),
        (plain_intervals.curvature, lambda t: -2 * t + 2 * t**3),
    ):
        out, values = rule(Interval(*ends)), fn(t)
        assert (out.lower <= values.min(axis=0)).all() and (values.max(axis=0) <= out.upper).all()
        # exact ranges: no wider than what 400 samples miss of a curve with second derivative below 12
        assert (out.upper - out.lower - np.ptp(values, axis=0) < 12 * (1 / 400) ** 2 + 1e-12).all()


def test_intervals_of_a_second_derivative_hold():
    layers = [*LAYERS[:2], (LAYERS[2][0][:1], LAYERS[2][1][:1])]
    low, high = boxes(20)
    X = box_methods.samples(low, high, 30, np.random.default_rng(2))
    values = second_derivative.values_of(layers)(X)
    bounds = plain_intervals.second_derivative(layers, second_derivative.AXIS, low, high)
    step = 1e-4 * np.eye(2)[second_derivative.AXIS]
    around = [box_methods.evaluate(layers, X + k * step) for k in (-1, 0, 1)]
    np.testing.assert_allclose(values, (around[0] - 2 * around[1] + around[2]) / 1e-8, atol=1e-5)  # eps / step^2
    assert box_methods.check(bounds, X, values, size=np.ones((20, 1))).verdict == "sound"


def test_branch_and_bound_sinks_to_the_largest_value():
    """With exact bounds of x y over boxes it does; the trace never rises."""

    def bounds(low, high):
        out = plain_intervals.multiply(Interval(low[:, :1], high[:, :1]), Interval(low[:, 1:], high[:, 1:]))
        return out, 1e-3

    trace, whole = second_derivative.best_first("xy", bounds, 0.05, -np.ones(2), np.ones(2))
    found = [bound for _, bound, _ in trace.points]
    assert found == sorted(found, reverse=True) and 1 <= found[-1] < 1 + 1e-9
    assert whole.lower[0, 0] <= -1 and whole.upper[0, 0] >= 1


def residual(n=6):
    """v(x) = exp(A x + a) * network(x), with a matrix T that is the same for every box."""
    A, a = RNG.normal(size=(3, 2)) / 4, np.zeros(3)
    T = np.broadcast_to(RNG.normal(size=(n, 3)), (1000, n, 3))
    frame = lambda X: T[: len(X)]  # noqa: E731
    network = [*LAYERS[:-1], (LAYERS[-1][0][:1], np.ones(1))]
    return peer_residual.Residual(A, a, LAYERS, network, (A[:1], a[:1]), frame, np.ones(1), np.ones((1, 1, 1)))


def test_a_proof_by_intervals_adds_up_and_holds():
    made = residual()
    flux = peer_residual.by_intervals(made)
    X = np.random.default_rng(4).random((2000, 2))
    largest = np.linalg.norm(made.vector(X) @ made.frame(X[:1])[0].T, axis=1) / made.energy_below(X, X)
    proof = peer_residual.depth_first(made, flux, 3 * largest.max(), seconds=5)
    assert proof.volume == 1 and proof.leaves >= 1
    needed, never = peer_residual.boxes_needed(made, flux, 3 * largest.max())
    assert never == 0 and needed < 4 * proof.leaves + 1
    proof = peer_residual.depth_first(made, flux, 0.99 * largest.max(), seconds=0.3)
    assert proof.volume < 1  # what is false is not certified


def test_families_of_intervals_are_ordered_and_float32_holds_them():
    for low, high in box_cases.intervals(50, np.random.default_rng(0)).values():
        assert (low <= high).all()
        a, b = box_cases.float32_box(low, high)
        assert (a <= low).all() and (high <= b).all()


def test_a_missing_peer_says_how_to_install_it():
    with pytest.raises(FileNotFoundError, match=r"pip install bound-propagation==0.4.7 torch==2.13.0"):
        Crown("no-such-python")
