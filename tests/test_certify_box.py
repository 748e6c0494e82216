"""Proofs over whole boxes, end to end: every bound holds at sampled points, a planted failure is never certified."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.benchmarks.soundness.faulty import Quadratic
from assay.benchmarks.soundness.true_error import TrueError
from assay.solvers import ThermalBlock
from assay.solvers.problem import is_traced
from assay.verify.answers.frozen import Frozen
from assay.verify.boxes import batches, box_proof, branch_and_bound
from assay.verify.boxes.box_proof import reduced_bounds
from assay.verify.boxes.map_file import load_trust_map
from assay.verify.boxes.tree import BoxTree
from assay.verify.certify_box import certify_box
from assay.verify.guard import guard
from assay.verify.proofs.prover import proof_of

PROBLEM = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5)
CORNERS = PROBLEM.inputs.from_unit(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float))


def errors(surrogate, P):
    measured = TrueError(PROBLEM)
    U, norms = measured.truths(P)
    return measured(P, U, norms, surrogate(P)).low / norms.high


@pytest.fixture(scope="module")
def largest():
    P = np.concatenate([PROBLEM.inputs.sample(1000, seed=3), CORNERS])
    return float(errors(Quadratic(PROBLEM), P).max())


class Moody(Quadratic):
    """Nine times too large from the second time that it is traced."""

    traces = 0

    def coefficients(self, P):
        self.traces += is_traced(P)
        c = super().coefficients(P)
        return 9 * c if self.traces > 1 else c


@pytest.fixture(scope="module")
def trust(largest):
    return certify_box(PROBLEM, Moody(PROBLEM), tolerance=1.2 * largest, seconds=60, order=2)


def test_the_whole_box_is_certified_a_little_above_the_largest_error(trust, largest):
    assert trust.certified_volume == 1 and trust.falsified_volume == trust.undecided_volume == 0
    assert 0.99 * largest <= trust.relative_lower <= trust.relative_upper <= 1.2 * largest
    assert trust.boxes <= 1000


def test_one_program_is_bounded_and_hashed_though_the_surrogate_changes_meanwhile(trust):
    assert trust.model_hash == Frozen(Quadratic(PROBLEM), 2).hash


def test_every_leafs_bound_holds_at_sampled_points(trust):
    P = np.concatenate([PROBLEM.inputs.sample(2000, seed=4), CORNERS])
    found = errors(Quadratic(PROBLEM), P)
    assert (found <= trust.relative_upper_at(P)).all()
    assert found.max() > 0.5 * trust.relative_upper  # the bounds are of the size of the errors


def test_planted_failures_and_coefficients_that_are_no_numbers_are_not_certified(largest):
    """Twice the largest error in a bump of standard deviation 3 % of the box's width; NaN for k00 above 2.5."""

    def spoil(P, c):
        x = jnp.log(jnp.asarray(P)) / np.log(10) + 0.5
        bump = 1 + 2 * largest * jnp.exp(-jnp.sum((x - 0.37) ** 2, axis=1) / (2 * 0.03**2))
        return c * bump[:, None] + 0 * jnp.sqrt(2.5 - jnp.asarray(P)[:, :1])

    spoilt = Quadratic(PROBLEM, spoil)
    top = PROBLEM.inputs.from_unit([[0.37, 0.37]])
    assert errors(spoilt, top)[0] > 1.2 * largest
    trust = certify_box(PROBLEM, spoilt, tolerance=1.2 * largest, seconds=60, order=2, max_leaves=200)
    assert trust.verdict(top)[0] != "certified" and 0 < trust.certified_volume < 1
    assert trust.relative_upper_at(top)[0] >= errors(spoilt, top)[0]
    P = PROBLEM.inputs.sample(500, seed=5)
    upper, bad = trust.relative_upper_at(P), P[:, 0] > 2.5
    assert np.isinf(upper[bad]).all() and (trust.verdict(P[bad]) == "undecided").all()
    assert np.isfinite(upper[~bad]).any() and np.isinf(trust.relative_upper_at([[100.0, 1.0]])).all()


def test_part_of_the_box_interrupted_and_gone_on_with(largest, tmp_path, monkeypatch):
    surrogate = Quadratic(PROBLEM)
    part = PROBLEM.inputs.replace(lower=np.array([1.0, 1.0]))
    monkeypatch.setattr(branch_and_bound, "PAUSE", 0.0)
    told = []

    def stop(facts):
        told.append(facts)
        if facts["leaves"] >= 8:
            raise KeyboardInterrupt

    goal = 0.3 * largest
    first = certify_box(PROBLEM, surrogate, goal, seconds=60, box=part, order=2, progress=stop)
    assert "interrupted" in first.notes[0] and first.undecided_volume > 0
    assert all(abs(f["certified"] + f["falsified"] + f["undecided"] - 1) < 1e-12 for f in told)
    P = part.sample(200, seed=0)
    found = errors(surrogate, P)
    assert (found <= first.relative_upper_at(P)).all()
    assert first.certified_volume + first.falsified_volume + first.undecided_volume == 1
    path = tmp_path / "map.json"
    first.save(path)
    after = certify_box(PROBLEM, surrogate, goal, seconds=10, box=part, order=2, resume=path, checkpoint=path)
    assert after.undecided_volume < first.undecided_volume and after.relative_lower >= first.relative_lower
    assert (after.relative_upper_at(P) <= first.relative_upper_at(P)).all()
    assert (found <= after.relative_upper_at(P)).all()
    with pytest.raises(ValueError, match="about another problem, box or surrogate"):
        certify_box(PROBLEM, surrogate, goal, seconds=1, order=2, resume=path)


def test_an_interrupt_between_two_halves_leaves_a_tree():
    tree = BoxTree(2)
    tree.halve(0)
    for values in (tree.children, tree.bound):  # as if the next pair were begun
        values.append(values[0])
    tree.close()
    assert tree.leaf_numbers() == [1, 2] and {len(values) for values in vars(tree).values()} == {3}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda P, c: c * np.nan, "NaN or infinite at the centre"),
        (lambda P, c: jnp.sort(c), "sort"),
        (lambda P, c: jnp.asarray(np.asarray(c)), "not a JAX function"),
    ],
)
def test_what_cannot_be_enclosed_is_undecided_with_the_reason(spoil, reason):
    trust = certify_box(PROBLEM, Quadratic(PROBLEM, spoil), 0.1, seconds=1, order=2)
    assert trust.certified_volume == 0 and trust.relative_upper == np.inf
    assert reason in trust.notes[0]


def test_a_kept_bound_is_not_used_for_another_problem_with_the_same_settings():
    """A subclass with weights of its own: nothing in its settings tells."""

    class Doubled(ThermalBlock):
        def theta(self, p):
            return super().theta(p) * jnp.array([1.0, 2.0])

    def kept(problem):
        return reduced_bounds(problem, Frozen(surrogate, 2).architecture, problem.inputs.log, 2)

    surrogate = Quadratic(PROBLEM)
    other = Doubled(PROBLEM.blocks, PROBLEM.cells, low=PROBLEM.low, high=PROBLEM.high)
    assert kept(other) is not kept(PROBLEM)
    assert kept(PROBLEM) is kept(PROBLEM)


def test_a_problem_that_was_changed_in_place_is_refused():
    class Gained(ThermalBlock):
        def theta(self, p):
            return super().theta(p) * self.gain

    problem = Gained((2, 1), 4, low=0.5, high=2.0)
    vars(problem)["gain"] = np.ones(2)
    surrogate = Quadratic(problem)
    certify_box(problem, lambda P: surrogate(P))  # without a basis nothing is compiled, but the problem is known now
    problem.gain[:] = [1.0, 20.0]
    with pytest.raises(ValueError, match="changed in place"):
        certify_box(problem, surrogate)


def test_one_compiled_bound_serves_other_weights_and_no_other_program():

    class Scaled(Quadratic):
        def __init__(self, problem, share):
            super().__init__(problem)
            self.weights = share * self.weights

    class Shifted(Quadratic):
        def coefficients(self, P):
            return super().coefficients(P) + 1.0

    def kept(model):
        return reduced_bounds(PROBLEM, model.architecture, PROBLEM.inputs.log, 2)

    plain, scaled, shifted = (Frozen(s, 2) for s in (Quadratic(PROBLEM), Scaled(PROBLEM, 2.0), Shifted(PROBLEM)))
    assert plain.hash != scaled.hash and plain.architecture.key == scaled.architecture.key
    assert kept(plain) is kept(scaled) and kept(shifted) is not kept(plain)
    P = np.concatenate([PROBLEM.inputs.sample(500, seed=6), CORNERS])
    for share in (1.0, 2.0, 1.0):
        surrogate = Scaled(PROBLEM, share)
        trust = certify_box(PROBLEM, surrogate, tolerance=10.0, ratio=2.0, seconds=60, order=2)
        found = errors(surrogate, P)
        assert (found <= trust.relative_upper_at(P)).all() and trust.relative_upper <= 2.1 * found.max()


def test_a_surrogate_without_a_basis_and_a_box_outside_are_told():
    trust = certify_box(PROBLEM, lambda P: np.zeros((len(P), PROBLEM.size)), 0.1)
    assert trust.undecided_volume == 1 and "basis" in trust.notes[0] and trust.notes[0] in str(trust)
    with pytest.raises(ValueError, match="inside the box of thermal-block"):
        certify_box(PROBLEM, Quadratic(PROBLEM), 0.1, box=PROBLEM.inputs.replace(upper=np.array([100.0, 1.0])))


def test_a_bound_below_a_proved_error_ends_all_proofs(largest, monkeypatch):
    """A defect planted into the compiled bound: a hundredth of what it was."""
    whole = batches.BoxBounds.__call__

    def shrunk(self, low, high, ends):
        result = whole(self, low, high, ends)
        return result._replace(upper=result.upper / 100)

    monkeypatch.setattr(batches.BoxBounds, "__call__", shrunk)
    trust = certify_box(PROBLEM, Moody(PROBLEM), tolerance=1.2 * largest, seconds=60, order=2)
    assert trust.undecided_volume == 1 and trust.relative_upper == np.inf
    assert "defect" in trust.notes[-1]


def test_a_class_of_ones_own_that_inherits_name_and_settings_is_another_problem():
    class Other(ThermalBlock):
        def theta(self, p):
            return super().theta(p) * jnp.array([1.0, 2.0])

    hashes = {proof_of(kind((2, 1), 8)).problem_hash() for kind in (ThermalBlock, Other)}
    assert len(hashes) == 2


@pytest.fixture(scope="module")
def sizes():
    """Inputs, lower ends of the errors of ``Quadratic`` there, and upper ends of the norms."""
    P = np.concatenate([PROBLEM.inputs.sample(1000, seed=7), CORNERS])
    measured = TrueError(PROBLEM)
    U, norms = measured.truths(P)
    return P, measured(P, U, norms, Quadratic(PROBLEM)(P)).low, norms.high


def test_with_an_absolute_part_the_bound_is_of_that_error(trust, sizes, tmp_path):
    P, error, norm = sizes
    scale = float(np.median(norm))
    scaled = error / (scale + norm)
    tolerance = 1.1 * float(scaled.max())
    surrogate, path = Quadratic(PROBLEM), tmp_path / "map.json"
    mixed = certify_box(PROBLEM, surrogate, tolerance, seconds=30, order=2, checkpoint=path, absolute=scale * tolerance)
    assert mixed.scale == pytest.approx(scale) and mixed.certified_volume == 1
    assert (scaled <= mixed.relative_upper_at(P)).all()
    assert 0.9 * scaled.max() <= mixed.relative_lower <= mixed.relative_upper <= tolerance < trust.relative_lower
    loaded = load_trust_map(path)
    assert loaded.absolute == mixed.absolute and (loaded.bound == mixed.bound).all()
    with pytest.raises(ValueError, match="absolute"):
        guard(PROBLEM, surrogate, tolerance, path)
    with pytest.raises(ValueError, match="absolute / tolerance"):
        certify_box(PROBLEM, surrogate, tolerance, seconds=1, order=2, resume=path)
    guarded = guard(PROBLEM, surrogate, tolerance, path, absolute=mixed.absolute)
    answer = guarded(P)
    assert answer.counts["accepted"] == len(P) and (scaled <= answer.error_upper).all()
    assert (answer.error_upper <= tolerance).all() and np.isinf(answer.relative_upper).all()
    # a map of relative errors says more, and serves
    assert guard(PROBLEM, surrogate, trust.tolerance, trust, absolute=1.0)(P).counts["accepted"] == len(P)


def test_compiling_is_told_beforehand_and_not_begun_where_it_takes_too_long(monkeypatch):
    told = []
    monkeypatch.setattr(box_proof, "PER_OPERATION", 60.0)
    operations = Frozen(Quadratic(PROBLEM), 2).architecture.operations
    start = time.perf_counter()
    trust = certify_box(PROBLEM, Quadratic(PROBLEM), seconds=30, order=3, progress=told.append)
    assert trust.undecided_volume == 1 and time.perf_counter() - start < 20
    assert f"takes about {25 + 60 * operations} s, and may take 120 s" in trust.notes[0] and not told
    monkeypatch.setattr(box_proof, "PER_OPERATION", 2.0)

    def stop(facts):
        told.append(facts)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify_box(PROBLEM, Quadratic(PROBLEM), seconds=30, order=3, progress=stop)
    assert told[0]["preparing"] == 25 + 2 * operations and told[0]["undecided"] == 1


def test_a_loop_counts_as_often_as_it_runs():
    def loop(P, c):
        return jax.lax.fori_loop(0, 50, lambda i, c: 0.5 * c + jnp.sin(c), c)

    once, often = (Frozen(Quadratic(PROBLEM, spoil), 2).architecture.operations for spoil in (None, loop))
    assert often - once > 150


def test_an_interrupt_does_not_wait_for_the_compiler():
    """A compilation of many seconds, left alone after the first report."""
    done, told = threading.Event(), []

    class Slow:
        def compile(self):
            done.wait(30)
            return "compiled"

    def stop(left):
        told.append(left)
        raise KeyboardInterrupt

    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        batches._compiled_in_a_thread(Slow(), start, 10.0, 60.0, stop)
    assert time.perf_counter() - start < 10 and 5 < told[0] < 10
    with pytest.raises(batches.TooLong):
        batches._compiled_in_a_thread(Slow(), start - 1.0, 10.0, 0.1, told.append)
    done.set()
    assert batches._compiled_in_a_thread(Slow(), time.perf_counter(), 10.0, 60.0, told.append) == "compiled"


def test_an_array_changed_after_it_was_compiled_is_found_out():
    """JAX goes on with its bytes, and traces what it is now: the program is not what answers."""
    quadratic, gain = Quadratic(PROBLEM), np.array([3.0])

    class Gained:
        basis = quadratic.basis
        coefficients = staticmethod(jax.jit(lambda P: quadratic.coefficients(P) * gain))

        def __call__(self, P):
            return np.asarray(self.coefficients(P)) @ self.basis.T

    surrogate = Gained()
    for count in (1, 5):  # compiled for these numbers of rows
        surrogate(np.repeat(PROBLEM.inputs.centre[None], count, axis=0))
    gain[0] = 1.0
    trust = certify_box(PROBLEM, surrogate, 0.2, seconds=1, order=2)
    assert np.isinf(trust.relative_upper) and "changed after it was compiled" in trust.notes[0]
