"""Equal problems share what is compiled, and no problem is taken for another."""

import gc
import pickle
import weakref
from dataclasses import dataclass, replace

import jax.monitoring
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.catalogue import PROBLEMS, problem_class
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.lognormal_diffusion import LognormalDiffusion
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.representative import KEPT, kept_by_problem, representative
from assay.verify.certify import certify

COMPILING = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")


@pytest.fixture
def compiled():
    """A list that grows by one at every tracing, lowering and compiling."""
    events = []

    def listen(event, duration, **about):
        if event.endswith(COMPILING):
            events.append((event, about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def fields(certificate):
    names = ("lower", "upper", "relative_lower", "relative_upper", "floor", "overwritten")
    return [np.asarray(getattr(certificate, name)).tobytes() for name in names]


def test_a_second_problem_with_the_same_settings_compiles_nothing(compiled):
    first, second = (ThermalBlock((2, 1), 4, low=0.5, high=2.0) for _ in range(2))
    P = first.inputs.sample(3, seed=0)
    U = np.asarray(first.solve_batch(P))
    proved, one = certify(first, 1.01 * U, P), first.solve_report(P[0])
    assert compiled
    compiled.clear()
    assert np.array_equal(np.asarray(second.attempt_batch(P).u), U)
    assert np.array_equal(second.solve_report(P[0]).u, one.u)
    again = certify(second, 1.01 * U, P)
    assert fields(again) == fields(proved) and again.against == proved.against
    assert not compiled


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_of_the_library_has_one(name):
    kind = problem_class(name)
    problem = kind()
    found = representative(problem)
    assert found is not problem and type(found) is kind and found.settings == problem.settings
    assert representative(kind()) is representative(found) is found
    assert representative(pickle.loads(pickle.dumps(problem))) is found
    assert representative(replace(problem)) is found


def test_what_was_changed_in_place_is_another_problem():
    """And the former self stays what it was, for those who still equal it."""
    first, second, fresh = (LognormalDiffusion(d=1, sigma=s, cells=4) for s in (0.5, 0.5, 1.0))
    p = np.array([1.0])
    before, other = (problem.solve_report(p).u for problem in (first, fresh))
    assert np.abs(before - other).max() > 1e-3
    object.__setattr__(first, "sigma", 1.0)
    assert np.array_equal(first.solve_report(p).u, other) and np.array_equal(second.solve_report(p).u, before)
    bounds = [certify(problem, other[None], p[None]).relative_upper[0] for problem in (first, second, fresh)]
    assert bounds[0] == bounds[2] < 1e-9 and bounds[1] > 1e-2
    object.__setattr__(first, "sigma", 0.5)
    assert representative(first) is representative(second)


def test_equal_is_to_the_bit_and_the_type():
    def heat(end):
        made = Heat(cells=4, steps=2)
        object.__setattr__(made, "mode", end)
        return representative(made)

    assert len({id(x) for x in [heat(v) for v in (1, 1.0, True, np.float64(1.0), np.int64(1), 0.0, -0.0, "1")]}) == 8
    assert heat(float("nan")) is heat(float("nan")) and heat((1, (2.0,))) is heat((1, (2.0,)))


class Own(ThermalBlock):
    """A class of one's own: what its methods look up may change."""


@dataclass(frozen=True, eq=False)
class Twice(ThermalBlock):
    share: float = 2.0


def test_what_may_change_behind_its_fields_stands_for_itself():
    box = Box(("a",), np.array([1.0]), np.array([2.0]))
    odd = ThermalBlock((2, 1), 4)
    object.__setattr__(odd, "theta", lambda p: 2 * p)  # a method of this one object
    changing = Heat(cells=4, steps=2)
    object.__setattr__(changing, "mode", np.ones(3))  # nothing of the library: an array may be written to
    for problem in (black_box(lambda p: p * np.ones(3), box), Own((2, 1), 4), Twice((2, 1), 4), odd, changing):
        assert representative(problem) is problem


def test_a_result_is_one_for_equal_problems():
    asked = []

    @kept_by_problem(4)
    def number(problem, more=0):
        asked.append(problem)
        return len(asked)

    first, second = (ThermalBlock((1, 1), 2, low=0.1, high=1.0) for _ in range(2))
    assert number(first) == number(second) == 1 and number(first, 1) == number(second, 1) == 2
    assert asked == [representative(first)] * 2


def test_it_lives_as_long_as_a_problem_and_the_last_few_beyond():
    def block(k):
        return ThermalBlock((1, 1), 2, low=0.1, high=2.0 + k)

    problem = block(0)
    found = weakref.ref(representative(problem))
    others = [weakref.ref(representative(block(k))) for k in range(1, KEPT + 2)]
    gc.collect()
    assert found() is representative(problem)
    assert others[0]() is None and others[-1]() is representative(block(KEPT + 1))
    del problem
    for k in range(1, KEPT + 2):
        representative(block(k))
    gc.collect()
    assert found() is None


def test_a_representative_that_somebody_changed_stands_for_nobody():
    one = representative(ThermalBlock((1, 1), 4))
    object.__setattr__(one, "low", 0.07)
    other = representative(ThermalBlock((1, 1), 4))
    assert other is not one and other.low == ThermalBlock((1, 1), 4).low
