"""Relations: exact at solutions, and below true errors of whatever breaks them, on every problem that declares some."""

from dataclasses import fields

import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay.solvers.box import Box
from assay.solvers.problems.advection_diffusion import AdvectionDiffusion
from assay.solvers.problems.allen_cahn import AllenCahn
from assay.solvers.problems.black_box import BlackBox
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.elasticity import Elasticity
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.helmholtz import Helmholtz
from assay.solvers.problems.hyperelastic import Hyperelastic
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.problems.wave import Wave
from assay.solvers.relations.balance import Balance
from assay.solvers.relations.comparison import Bounded
from assay.solvers.relations.composition import Composed
from assay.solvers.relations.limit import Known
from assay.solvers.relations.scaling import Homogeneous
from assay.solvers.relations.semigroup import Semigroup
from assay.solvers.relations.symmetry import Symmetric, permuted
from assay.verify.relations.held_relations import held_relations

PROBLEMS = {
    "thermal block": (ThermalBlock((2, 2), 4), 6),
    "oblong block": (ThermalBlock((2, 1), 4), 5),
    "lognormal": (LognormalDiffusion(d=6, cells=8), 5),
    "elasticity": (Elasticity(cells=4, blocks=(2, 2)), 1),
    "helmholtz": (Helmholtz(cells=8, width=0.2), 3),
    "source": (AdvectionDiffusion(cells=8), 5),
    "step": (AdvectionDiffusion(cells=8, data="step", scheme="upwind", angle=(0.5, 2.8)), 3),
    "bratu": (Bratu(cells=8), 5),
    "bratu line": (Bratu(dimension=1, cells=8, branch="upper"), 1),
    "heat": (Heat(cells=4, steps=6, scheme="implicit-euler", source=(-5.0, 10.0)), 8),
    "crank-nicolson": (Heat(cells=4, steps=6, scheme="crank-nicolson"), 6),
    "allen-cahn": (AllenCahn(cells=8, steps=8, modes=3), 4),
    "allen-cahn square": (AllenCahn(dimension=2, cells=8, steps=8), 5),
    "burgers": (Burgers(cells=16, steps=4), 3),
    "periodic burgers": (Burgers(cells=16, steps=4, boundary="periodic", modes=2, scheme="implicit-euler"), 6),
    "wave": (Wave(cells=8, steps=16), 6),
    "wave on a line": (Wave(blocks=(2,), cells=8, steps=16, modes=3), 5),
    "stretch": (Hyperelastic(cells=4, amount=(0.9, 1.3)), 2),
    "shear": (Hyperelastic(loading="shear", cells=4, amount=(0.1, 0.4)), 2),
}
ROWS = 4


@pytest.mark.parametrize("name", PROBLEMS)
def test_exact_and_below(name):
    """Kept by solutions, and below the true errors of whatever breaks them."""
    problem, count = PROBLEMS[name]
    assert len(problem.relations) == count
    rng = np.random.default_rng(5)
    P, N = problem.inputs.draw(ROWS, 3), problem.size
    noise, slope = rng.standard_normal(N), rng.standard_normal(problem.inputs.dimension)
    solved: dict[bytes, np.ndarray] = {}

    def truth(P):
        return np.stack([solved.setdefault(p.tobytes(), np.asarray(problem.solve_batch(p[None]))[0]) for p in P])

    def smooth(P):  # off by a few per cent of a fixed shape, more or less by input
        U = truth(P)
        size = np.abs(U).max() * (0.03 + 0.05 * np.sin(3 * problem.inputs.to_unit(P) @ slope))
        return U + size[:, None] * np.sin(np.arange(N))

    def rough(P):
        return truth(P) * (1 + 0.3 * rng.standard_normal((len(P), 1))) + 0.1 * noise

    def lost(P):  # unrelated to the truth, and of the other sign
        return -2 * np.abs(noise) * (1 + problem.inputs.to_unit(P).sum(axis=1))[:, None]

    for relation in problem.relations:
        own = relation.violation(problem, truth, P)
        applies = np.isfinite(own.lower)
        np.testing.assert_array_equal(own.lower[applies], 0, err_msg=relation.name)
        assert own.inputs.shape[0] == ROWS and problem.inputs.contains(own.inputs[applies]).all()
        for surrogate in (smooth, rough, lost):
            answers = dict[bytes, np.ndarray]()

            def once(P, surrogate=surrogate, answers=answers):  # what is compared is what was answered
                U = surrogate(P)
                for p, u in zip(P, U, strict=True):
                    answers.setdefault(p.tobytes(), []).append(u)
                return U

            found = relation.violation(problem, once, P)
            for i in np.flatnonzero(np.isfinite(found.lower)):
                errors, sizes = [], []
                for p in found.inputs[i]:
                    u = truth(p[None])[0]
                    for v in answers[p.tobytes()]:
                        errors.append(float(problem.norm(p, u - np.asarray(problem.prescribe(p, v)))))
                        sizes.append(problem.zero_scale + float(problem.magnitude(p, u)))
                if not np.isfinite(errors).all():  # the truth was not solved there
                    continue
                relative = max(e / s if s > 0 else np.inf for e, s in zip(errors, sizes, strict=True))
                assert found.absolute[i] <= max(errors) * (1 + 1e-9), relation.name
                assert found.lower[i] <= relative * (1 + 1e-9), relation.name
    total = [np.nan_to_num(r.violation(problem, lost, P).lower).max() for r in problem.relations]
    assert max(total) > 0.1  # something is told of nonsense


KNOWN = ("thermal block", "lognormal", "heat", "crank-nicolson", "allen-cahn", "allen-cahn square", "periodic burgers")


@pytest.mark.parametrize("name", KNOWN)
def test_where_the_solution_is_known_the_error_is(name):
    """All of it, but for the floor, and of the sizes only that of the answer."""
    problem, _ = PROBLEMS[name]
    relation = next(one for one in problem.relations if isinstance(one, Known))

    def surrogate(P):  # off by a tenth, and by more at the prescribed values, which are no error
        return 1.1 * np.asarray(problem.solve_batch(P))

    found = relation.violation(problem, surrogate, problem.inputs.draw(1, 8))
    q = found.inputs[0, 0]
    u = np.asarray(problem.solve_batch(q[None]))[0]
    v = np.asarray(problem.prescribe(q, 1.1 * u))
    error, size = float(problem.norm(q, v - u)), problem.zero_scale + float(problem.magnitude(q, v))
    assert error > 0.01 * float(problem.magnitude(q, u))
    assert found.absolute[0] == pytest.approx(error, rel=1e-6)
    assert found.lower[0] == pytest.approx(error / size / (1 + error / size), rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, True),
        ({"initial_amplitude": 1e90}, True),
        ({"initial_amplitude": 4e153}, False),  # squares of some values overflow and of others do not
        ({"initial_amplitude": 1e-153}, False),
        ({"end_time": 1e6, "low": 100.0, "high": 1e3}, False),  # answers themselves have no digits of 1 + r
        ({"end_time": 1e6, "low": 100.0, "high": 1e3, "scheme": "implicit-euler"}, False),
    ],
)
def test_nothing_is_said_of_the_truth_where_numbers_run_out(settings, says):
    problem = Heat(**{"cells": 4, "steps": 2, "scheme": "crank-nicolson", **settings})
    relation = next(one for one in problem.relations if isinstance(one, Known))
    P = problem.inputs.draw(4, 3)
    known = np.isfinite(np.asarray(relation.solution(relation.moved(P.copy())[0]))).all()
    assert known == says
    found = relation.violation(problem, lambda P: np.asarray(problem.solve_batch(P)), P)
    assert not (found.lower > 0).any()


def test_a_broken_symmetry_is_half_of_what_was_added():
    """|N(gp) - G N(p)| / 2, where only one of the two is off: exactly half of its error."""
    block = ThermalBlock((2, 1), 4)
    relation = next(r for r in block.relations if r.name == "reflection of x")
    p = np.array([[0.3, 5.0]])
    shape = np.zeros(block.size)
    shape[12] = 1.0

    def surrogate(P):
        return np.asarray(block.solve_batch(P)) + np.where(P[:, :1] < 1, shape, 0)

    found = relation.violation(block, surrogate, p)
    np.testing.assert_array_equal(found.inputs[0], [[0.3, 5.0], [5.0, 0.3]])
    assert found.absolute[0] == pytest.approx(float(block.norm(p[0], shape)) / 2, rel=1e-6)


SEMIGROUPS = ("heat", "crank-nicolson", "wave", "wave on a line")


@pytest.mark.parametrize("name", SEMIGROUPS)
def test_steps_that_are_not_all_alike_are_told(name):
    """Solutions keep the law to rounding; states that stand still, or lag behind, break it at every input."""
    problem, _ = PROBLEMS[name]
    law = next(one for one in problem.relations if isinstance(one, Semigroup))
    P = problem.inputs.draw(ROWS, 3)
    truth = np.asarray(problem.solve_batch(P)).reshape(ROWS, len(problem.times), -1)
    half = len(problem.times) // 2
    for p, states in zip(P, truth, strict=True):
        field = states.ravel()
        size = float(problem.magnitude(p, field))
        assert float(law.defect(problem, p[None], field[None])) <= 1e-12 * size  # some thousand roundings
        still, late = states.copy(), states.copy()
        still[half:] = still[half]
        late[2:] = late[1:-1]
        for wrong in (still.ravel(), late.ravel()):
            error = float(problem.norm(p, wrong - field))
            told = float(law.defect(problem, p[None], wrong[None]))
            assert 0.01 * error <= told <= error  # not sharp, but ten orders above what solutions show


def test_the_law_of_a_symmetric_map_by_hand():
    """y^n = r^n, but for the third: |y^0 y^2 - y^1 y^1| = x, C^2 = 2 (1 + 2 r^2 + z^2)."""
    law = Semigroup("law", "", lambda u: u[:, None], lambda p, Y: Y @ Y.T, 3, 1.0, True)
    r, z = 0.5, 0.4
    x, C = abs(z - r**2), np.sqrt(2 * (1 + 2 * r**2 + z**2))
    found = float(law.defect(None, np.zeros((1, 1)), np.array([[1.0, r, z]])))
    assert found == pytest.approx(2 * x / (C + np.sqrt(C**2 + 4 * x)), rel=1e-14) and found < z - r**2


def test_nothing_is_said_of_steps_that_float64_does_not_resolve():
    for end, says in ((10.0, True), (1e6, False)):
        problem = Heat(cells=4, steps=6, end_time=end, scheme="crank-nicolson")
        law = next(one for one in problem.relations if isinstance(one, Semigroup))
        assert np.isfinite(law.images(problem, problem.inputs.draw(2, 3), np.random.default_rng(0))).all() == says
    for problem in (Heat(cells=4, steps=3), Wave(cells=8, steps=16, modes=5)):  # one product alone; not resolved
        assert not any(isinstance(one, Semigroup) for one in problem.relations)


def decaying(growth=1.0):
    """S(t) x = x exp(-t (1, 2)): state and time are inputs."""
    box = Box(("x", "y", "t"), [-1.0, -1.0, 0.0], [1.0, 1.0, 2.0])
    halves = Composed("two halves", "S(t) = S(t/2) S(t/2)", np.arange(2), 2, growth)
    return assay.black_box(
        lambda p: p[:2] * np.exp(-p[2] * np.array([1.0, 2.0])), box, size=2, name="decay", norm="l2", relations=[halves]
    )


def test_two_half_steps_are_one():
    problem = decaying()
    law = problem.relations[0]
    P = problem.inputs.draw(32, 0)

    def truth(P):
        return P[:, :2] * np.exp(-P[:, 2:] * np.array([1.0, 2.0]))

    def linear(P):  # in time: right for short ones
        return P[:, :2] * (1 - 0.3 * P[:, 2:])

    assert assay.broken_relations(problem, truth) == []
    found = law.violation(problem, linear, P)
    second = found.inputs[:, 2]
    np.testing.assert_array_equal(second[:, :2], linear(found.inputs[:, 1]))
    errors = np.stack([np.linalg.norm(linear(Q) - truth(Q), axis=1) for Q in found.inputs])
    assert (found.absolute <= errors.max(axis=1)).all() and found.absolute.max() > 0.02
    compared = np.linalg.norm(linear(second) - linear(P), axis=1)
    np.testing.assert_allclose(found.absolute, compared / 3, rtol=1e-6, atol=3e-8)  # less the floor
    assert (decaying(4.0).relations[0].violation(problem, linear, P).absolute <= found.absolute).all()
    away = law.violation(problem, lambda P: 3.0 + truth(P), P)  # states that the box does not hold
    assert np.isnan(away.lower).all()
    for growth in (-1.0, np.nan, "2"):
        with pytest.raises(ValueError, match="how far states may grow apart"):
            Composed("", "", np.arange(2), 2, growth)
    for state, time in ([0, 0], 2), ([0, 2], 2), ([0, -1], 2):
        with pytest.raises(ValueError, match="each once"):
            Composed("", "", np.array(state), time)
    for state, time in ([0], 2), ([0, 1], 3):
        with pytest.raises(ValueError, match="the state is as many inputs as values"):
            assay.black_box(
                lambda p: p[:2], problem.inputs, size=2, norm="l2", relations=[Composed("", "", np.array(state), time)]
            )
    for weighted in (lambda p: (2.0 - p[2]) ** 2, lambda p: 1e-3 + p[0] ** 2):  # of the time, of the state
        with pytest.raises(ValueError, match="says nothing of errors in the"):
            assay.black_box(
                lambda p: p[:2], problem.inputs, size=2, norm=lambda p, u, w=weighted: jnp.linalg.norm(u) * w(p),
                relations=[law],
            )  # fmt: skip


class Held(BlackBox):
    """Its first value is prescribed."""

    def prescribe(self, p, u):
        return jnp.asarray(u).at[0].set(p[0])


def test_the_second_half_starts_at_the_prescribed_answer():
    made = decaying(1.2)
    problem = Held(**{field.name: getattr(made, field.name) for field in fields(made) if field.init})

    def wrong(P):  # where the problem prescribes: no error at all
        return np.stack([P[:, 0] + 0.9 * (P[:, 2] <= 0.5), P[:, 1] * np.exp(-2 * P[:, 2])], axis=1)

    found = problem.relations[0].violation(problem, wrong, problem.inputs.draw(64, 0))
    np.testing.assert_array_equal(found.inputs[:, 2, 0], found.inputs[:, 1, 0])
    assert (found.absolute == 0).all()


def test_homogeneity_goes_to_the_far_end_of_the_box_and_says_nothing_where_there_is_no_room():
    block = ThermalBlock((2, 1), 4)
    relation = next(r for r in block.relations if r.name == "homogeneity")
    Q = relation.images(block, np.array([[0.2, 0.4], [10.0, 0.1], [8.0, 2.0]]), np.random.default_rng(0))
    np.testing.assert_allclose(Q[0, 1], [5.0, 10.0], rtol=1e-12)
    assert np.isnan(Q[1, 1]).all()
    np.testing.assert_allclose(Q[2, 1], [0.4, 0.1], rtol=1e-12)


def test_answers_that_are_no_fields_say_nothing():
    block = ThermalBlock((2, 1), 4)
    for relation in block.relations:
        assert np.isnan(
            relation.violation(block, lambda P: np.full((len(P), block.size), np.nan), [[1.0, 2.0]]).lower
        ).all()


def declared(**more):
    """u = (a, b): a swap of the inputs swaps the values."""
    box = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])
    swap = Symmetric("swap", "u(b, a) = swapped u(a, b)", permuted(np.array([1, 0])), np.array([1, 0]))
    return assay.black_box(lambda p: p + 1.0, box, name="pair", relations=[swap], norm="l2", **more)


def lopsided(P):
    return np.stack([1.2 * (P[:, 0] + 1), P[:, 1] + 1], axis=1)


def test_relations_of_ones_own_solver():
    problem = declared()
    (broken,) = assay.broken_relations(problem, lopsided, 32)
    assert broken.name == "swap" and broken.broken == broken.compared == 32 and broken.evidence is assay.Evidence.PROVED
    errors = [float(problem.relative_error(p, lopsided(p[None])[0], p + 1.0)) for p in broken.inputs]
    assert 0.05 < broken.lower <= max(errors) and broken.absolute <= 0.2 * max(broken.inputs[:, 0] + 1)
    assert "an error of at least" in broken.words(problem)
    assert assay.broken_relations(problem, lambda P: P + 1.0) == []
    at = assay.broken_relations(problem, lopsided, P=[[0.25, 0.75]])[0]
    np.testing.assert_array_equal(at.inputs, [[0.25, 0.75], [0.75, 0.25]])
    with pytest.raises(ValueError, match="at least one"):
        assay.broken_relations(problem, lopsided, 0)
    with pytest.raises(ValueError, match="relations are objects"):
        assay.black_box(lambda p: p, problem.inputs, relations=["swap"])
    assert assay.black_box(lambda p: p, problem.inputs).relations == ()


def test_a_search_without_a_solver_tells_of_them():
    problem = declared()
    P = problem.inputs.draw(30)
    data = assay.dataset(P, lopsided(P), names=("a", "b"), box=problem.inputs, norm="l2", relations=problem.relations)
    found = assay.falsify(data.problem, lopsided, 1e-2, tests=data.snapshots, starts=8)
    assert any("swap, u(b, a) = swapped u(a, b), is broken at 64 of 64 inputs" in note for note in found.notes)


def test_a_broken_symmetry_is_climbed_where_nothing_else_is_known():
    """Wrong in a four-hundredth of the box alone."""
    problem = declared()

    def corner(P):
        return (P + 1.0) * np.where((P[:, :1] > 0.95) & (P[:, 1:] < 0.05), 1.2, 1.0)

    found = assay.falsify(problem, corner, 1e-2, 12, 0, starts=256, shrink=0)
    assert found.verdict == "falsified" and "relation" in found.counterexamples[0].found
    right = assay.falsify(problem, lambda P: P + 1.0, 1e-2, 12, 0, starts=64, shrink=0)
    assert right.verdict == "not falsified"


def test_an_answer_that_is_no_number_is_not_taken_for_one_that_keeps_all_relations():
    problem = declared()
    first, *_ = assay.broken_relations(problem, lambda P: np.where(P[:, :1] > 0.5, np.nan, 1.0) * (P + 1.0), 32)
    assert first.name == "answers" and first.lower == np.inf and 0 < first.broken < first.compared == 32
    assert first.inputs[0, 0] > 0.5


class Sink(ThermalBlock):
    """-div(k grad u) = -1: nothing of it is positive."""

    def load(self, p):
        return -super().load(p)


class Vouched(Sink):
    relations = property(lambda self: ThermalBlock.relations.func(self)[1:])


class Renamed(ThermalBlock):
    name = "renamed"


def test_a_class_that_defines_the_equations_anew_inherits_no_relation():
    problem = Sink((2, 1), 4)
    assert len(problem.relations) == 5 and held_relations(problem) == ()
    with pytest.raises(ValueError, match="Sink defines load anew, and whether the relations of ThermalBlock hold"):
        assay.broken_relations(problem, lambda P: np.asarray(problem.solve_batch(P)), 4)
    assert len(held_relations(Vouched((2, 1), 4))) == 4 and len(held_relations(Renamed((2, 1), 4))) == 5
    assert len(held_relations(declared())) == 1


def test_sizes_whose_squares_leave_float64():
    """c of rows of moduli near 1e-160 and lengths near 1e200: as those near one."""
    scaled = Homogeneous("homogeneity", "u(c k) = u(k)/c", np.arange(2), -1.0, 0.5)
    Q = np.array([[1.0, 3.0], [2.0, 6.0]])
    for size in (1e-161, 1.0, 1e161):
        assert float(scaled._factor(size * Q)) == pytest.approx(2.0, rel=1e-14)
    U = np.array([[-3.0, 4.0, -4.0]])
    below = Bounded("maximum principle", "u >= 0", lambda p: np.ones(3), low=0.0)
    kept = Balance("mass", "M(u^n) = M(u^0)", lambda p, u: u**2 / abs(u).max(), np.ones(3))
    for size in (1e-170, 1.0, 1e200):
        assert float(below.defect(None, Q[:1], size * U)) == pytest.approx(5 * size, rel=1e-14)
        assert float(kept.defect(None, Q[:1], size * U)) == pytest.approx(np.sqrt(2) * 1.75 * size, rel=1e-14)


def test_what_is_beyond_float64_says_nothing():
    pair = declared()
    found = pair.relations[0].violation(pair, lambda P: np.array([[1e308, -1e308], [-1e308, 1e308]]), [[0.2, 0.3]])
    assert np.isnan(found.lower[0]) or found.lower[0] == 0.0


def test_a_relation_that_does_not_fit_the_norm_is_refused():
    """u(b, a) is u(a, b) swapped; but of an error of 0.1 in one value the swapped one is ten times as large here."""
    box = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])
    swap = declared().relations[0]
    mass = Balance("mass", "M(u^n) = M(u^0)", lambda p, u: u, np.ones(2))  # black boxes prescribe no initial state
    positive = Bounded("positive", "u >= 0", lambda p: np.ones(2), low=0.0)
    for relation, norm in ((swap, [1.0, 100.0]), (mass, "l2"), (positive, "rms")):
        with pytest.raises(ValueError, match="says nothing of errors in the"):
            assay.black_box(lambda p: p + 1.0, box, size=2, relations=[relation], norm=norm)
    assert len(assay.black_box(lambda p: p + 1.0, box, size=2, relations=[swap, positive], norm="l2").relations) == 2
    P = box.draw(9, 0)
    with pytest.raises(ValueError, match="says nothing of errors in the"):
        assay.dataset(P, P + 1.0, names=("a", "b"), box=box, norm=[1.0, 100.0], relations=[swap])
    short = Symmetric("swap", "of three values", permuted(np.array([1, 0])), np.array([1, 0, 2]))
    with pytest.raises(ValueError, match="the relation 'swap' raised"):
        assay.black_box(lambda p: p + 1.0, box, size=2, relations=[short], norm="l2")


def test_an_input_outside_the_box_is_not_moved_into_it():
    """Half of 1e-6 is outside of [1e-6, 1e6], if by less than the box's slack: its answer is to another question."""
    box = Box(("a",), [1e-6], [1e6])
    half = Symmetric("half", "u(a/2) = u(a)", lambda P: P / 2, np.arange(1))
    problem = assay.black_box(lambda p: np.ones(1), box, size=1, norm="l2")
    images = half.images(problem, np.array([[1e-6], [4e-6]]), np.random.default_rng(0))
    assert np.isnan(images[0, 1, 0]) and images[1, 1, 0] == 2e-6
