"""What every problem does the same way: checking, batching, tracing, reporting, refusing single precision, pickling."""

import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay.solvers import Box, SolveError, ThermalBlock, black_box, solve
from assay.solvers.batching import RowMap
from assay.solvers.precision import gamma, require_float64
from assay.solvers.problems.allen_cahn import AllenCahn
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.catalogue import PROBLEMS
from assay.solvers.problems.wave import Wave

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(blocks=(2, 1), cells=4, low=0.1, high=10.0)


def picklable(p):
    return np.cumsum(p)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([1.0], r"shape \[n, 2\] \(k00, k10\), not \[1, 1\]"),
        ([1.0, 1.0, 1.0], r"not \[1, 3\]"),
        ([[1.0, 1.0], [1.0, 1.0]], "one input of 2 numbers; use solve_batch for 2 rows"),
        (3.0, "shape"),
        ([np.nan, 1.0], "row 0, input 'k00': nan is not a finite number"),
        ([1.0, np.inf], "row 0, input 'k10': inf is not a finite number"),
        ([1.0, 10.1], r"row 0, input 'k10': 10.1 is outside \[0.1, 10\]"),
        ([0.0, 1.0], "row 0, input 'k00': 0 is outside"),
        (["warm", "cold"], "array of numbers"),
    ],
)
def test_bad_inputs_of_one_solve_are_named(problem, bad, message):
    for attempt in (problem.solve, problem.solve_report, lambda p: solve(problem, p)):
        with pytest.raises(ValueError, match=message):
            attempt(bad)


def test_bad_rows_of_a_batch_are_named_and_nothing_is_solved():
    calls = []
    counted = black_box(lambda p: calls.append(1) or np.ones(1), Box(("a",), [0.0], [1.0]))
    calls.clear()
    P = np.full((50, 1), 0.5)
    for i, value in ((49, np.nan), (33, 1.5), (0, -np.inf)):
        with pytest.raises(ValueError, match=f"row {i}, input 'a'"):
            counted.solve_batch(np.where(np.arange(50)[:, None] == i, value, P))
    assert not calls


def test_corners_are_inside(problem):
    corners = [[0.1, 0.1], [0.1, 10.0], [10.0, 0.1], [10.0, 10.0]]
    assert np.isfinite(problem.solve_batch(corners)).all()


def test_a_solution_accounts_for_itself(problem):
    solution = solve(problem, [1.0, 2.0])
    np.testing.assert_array_equal(solution.u, problem.solve([1.0, 2.0]))
    assert solution.method == "multigrid-cg" and solution.iterations >= 1 and 0 < solution.seconds < 10
    assert 0 <= solution.residual <= 1e-12
    batch = problem.attempt_batch([[1.0, 2.0], [3.0, 4.0]])
    assert batch.u.shape == (2, 25) and batch.residual[0] == solution.residual


def test_under_tracing_inputs_cannot_be_checked_and_failure_is_nan(problem):
    assert np.isfinite(jax.jit(problem.solve)(jnp.asarray([0.01, 99.0]))).all()  # outside the box, solvable
    assert np.isnan(jax.jit(problem.solve)(jnp.asarray([-1.0, 1.0]))).all()


def test_single_precision_is_refused():
    code = """
import assay, jax
from assay.solvers import ThermalBlock, sample
problem = ThermalBlock(cells=4)
jax.config.update("jax_enable_x64", False)
for act in (lambda: problem.solve([1.0] * 4), lambda: problem.solve_batch([[1.0] * 4]), lambda: sample(problem, 2),
            lambda: jax.jit(problem.solve)(jax.numpy.ones(4))):
    try:
        act()
    except RuntimeError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == 4 and all("assay needs float64, but JAX's 64-bit mode is off" in line for line in lines)


def test_single_precision_in_one_thread_is_refused_there():
    require_float64()
    with jax.enable_x64(False), pytest.raises(RuntimeError, match="64-bit mode is off"):
        require_float64()
    require_float64()


def test_gamma_bounds_chained_roundings():
    assert gamma(1) > 2.0**-53 and gamma(1000) > 1000 * 2.0**-53
    assert gamma(1000) < 1001 * 2.0**-53


def test_a_problem_is_pickled_without_what_it_compiled(problem):
    problem.solve([1.0, 2.0])
    again = pickle.loads(pickle.dumps(problem))
    assert again.settings == problem.settings
    np.testing.assert_array_equal(again.solve([1.0, 2.0]), problem.solve([1.0, 2.0]))
    foreign = black_box(picklable, Box(("a", "b"), [0.0, 0.0], [1.0, 1.0]))
    foreign.solve([0.5, 0.5])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(foreign)).solve([0.25, 0.5]), [0.25, 0.75])


def test_features_by_default_are_the_unit_coordinates():
    box = Box(("a", "b"), [0.01, -3.0], [100.0, 5.0], log=(True, False))
    x, s = black_box(picklable, box).features(jnp.asarray([1.0, 5.0]))
    np.testing.assert_allclose(x, [0.0, 1.0], atol=1e-15)
    assert float(s) == 1.0


@pytest.mark.parametrize("n", [1, 31, 32, 33, 70])
def test_a_row_map_is_the_function_row_by_row(n):
    rows = RowMap(lambda x, y: (x * y.sum(), jnp.sin(y)), chunk=32)
    x, y = np.arange(n, dtype=float), np.arange(2.0 * n).reshape(n, 2)
    first, second = rows(x, y)
    np.testing.assert_array_equal(first, x * y.sum(axis=1))
    np.testing.assert_allclose(second, np.sin(y), rtol=1e-15)


def test_a_solver_that_gives_no_numbers_says_where():
    flaky = black_box(lambda p: np.array([1.0 if p[0] < 0.9 else np.nan]), Box(("heat",), [0.0], [1.0]))
    with pytest.raises(
        SolveError, match=r"black-box was not solved at heat=0.95: the solver answered with 1 of 1 values NaN"
    ):
        flaky.solve_report([0.95])


@pytest.mark.parametrize("tolerance", [1, 1.0, np.inf, np.nan, -1e-6, True, "abc", [1e-6]])
def test_a_tolerance_that_asks_for_nothing_is_refused(problem, tolerance):
    """At 1 the zero field would do."""
    for solved in (problem.solve_report, problem.solve_batch):
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            solved([1.0, 1.0] if solved == problem.solve_report else [[1.0, 1.0]], tolerance)


def test_where_a_solve_failed_its_derivatives_are_not_numbers_either(problem):
    """Zeros there would look like a stationary point. Traced inputs cannot be checked: a negative weight gets in."""
    bad, good = jnp.array([1.0, -1.0]), jnp.array([1.0, 2.0])

    def total(p):
        return jnp.sum(problem.solve(p) ** 2)

    slope = jax.jit(jax.vmap(jax.grad(total)))(jnp.stack([bad, good]))
    assert np.isnan(slope[0]).all() and np.isfinite(slope[1]).all()
    tangent = jax.jit(lambda p: jax.jvp(problem.solve, (p,), (jnp.ones(2),))[1])(bad)
    assert np.isnan(tangent).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("burgers", {"modes": 2.5}),
        ("wave", {"modes": float("inf")}),
        ("heat", {"initial_amplitude": [8]}),
        ("heat", {"mode": (1.5, 2.7)}),
        ("lognormal-diffusion", {"d": float("inf")}),
        ("elasticity", {"cells": float("nan")}),
        ("helmholtz", {"cells": "abc"}),
        ("hyperelastic", {"poisson": "abc"}),
    ],
)
def test_settings_of_the_wrong_kind_are_the_users_mistake(name, settings):
    with pytest.raises(ValueError, match=r".") as caught:
        assay.problem(name, **settings)
    assert name in str(caught.value) or next(iter(settings)) in str(caught.value)


# ---- the zero solution, and what an error is relative to ------------------------------------------------------------

WITH_ZERO = [  # settings, and an input whose solution is zero
    ("burgers", {"cells": 16, "steps": 8}, [0.03, 0, 0, 0]),
    ("burgers", {"boundary": "periodic", "modes": 1, "cells": 16, "steps": 8}, [0.03, 0, 0, 0]),
    ("wave", {"blocks": (2,), "cells": 8, "steps": 16}, [1, 1, 0, 0]),
    ("allen-cahn", {"cells": 16, "steps": 16}, [0.05, 0, 0, 0, 0]),
    ("heat", {"blocks": (1, 1), "cells": 4, "steps": 4, "initial_amplitude": 0.0}, [0.5, 0]),
    ("hyperelastic", {"blocks": (1, 1), "cells": 4, "amount": (0.9, 1.3)}, [3, 1]),
    ("hyperelastic", {"blocks": (1, 1), "cells": 4, "loading": "shear", "amount": (0.0, 0.5)}, [3, 0]),
]


@pytest.mark.parametrize(("name", "settings", "at"), WITH_ZERO)
def test_a_box_with_the_zero_solution_has_a_scale_of_zero(name, settings, at):
    problem = assay.problem(name, **settings)
    at = np.asarray(at, dtype=float)
    assert float(problem.magnitude(at, problem.solve(at))) <= 1e-9 * problem.zero_scale
    P = problem.inputs.sample(8)
    typical = np.median([float(problem.magnitude(p, u)) for p, u in zip(P, problem.solve_batch(P), strict=True)])
    assert 3e-4 * typical <= problem.zero_scale <= 3e-3 * typical


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_only_boxes_with_the_zero_solution_have_one(name):
    problem = assay.problem(name)
    assert (problem.zero_scale > 0) == (name in ("burgers", "wave", "allen-cahn"))
    assert len(problem.component_names) == problem.shape[2] == len(set(problem.component_names))


def test_a_front_is_never_zero():
    assert assay.problem("allen-cahn", front=0.5).zero_scale == 0.0


@pytest.mark.parametrize(
    ("answer", "truth", "error"),
    [
        (1.5, 2.0, 0.25),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, np.inf),
        (np.nan, 2.0, np.nan),
        (1.0, np.nan, np.nan),
        (np.nan, 0.0, np.nan),
        (1.0, np.inf, np.nan),
        (np.inf, np.inf, np.nan),
    ],
)
def test_a_relative_error_is_never_small_by_accident(answer, truth, error):
    problem = black_box(picklable, Box(("a",), [0.0], [1.0]))
    found = float(problem.relative_error([0.5], np.array([answer]), np.array([truth])))
    np.testing.assert_equal(found, error)


def test_components_are_measured_apart():
    problem = assay.problem("elasticity", blocks=(1, 1), cells=4)
    p = np.ones(1)
    u = np.asarray(problem.solve(p)).reshape(-1, 2)
    norms = problem.component_norms(p, u.reshape(-1))
    for c in (0, 1):
        alone = np.where(np.arange(2) == c, u, 0.0).reshape(-1)
        assert float(norms[c]) == float(problem.norm(p, alone)) > 0


def test_why_solves_failed_is_remembered():
    def flaky(p):
        if p[0] > 0.9:
            raise OSError("licence server: no seats left")
        return np.ones(14 if p[0] > 0.8 else 10)

    problem = black_box(flaky, Box(("a",), [0.0], [1.0]))
    assert problem.failures() == ()
    problem.solve_batch([[0.95], [0.85], [0.2], [0.85]])
    assert problem.failures() == ("raised OSError: licence server: no seats left", "answered with 14 values, not 10")


@pytest.mark.parametrize(
    "problem", [Burgers(cells=8, steps=3), AllenCahn(cells=8, steps=3, modes=2), Wave(blocks=(2,), cells=4, steps=8)]
)
def test_solutions_vanish_with_the_inputs_that_are_said_to_make_them(problem):
    which = list(problem.vanishes_with)
    assert which and (problem.inputs.lower[which] < 0).all() and (problem.inputs.upper[which] > 0).all()
    p = problem.inputs.sample(1, seed=2)[0]
    assert np.abs(problem.solve(p)).max() > 1e-3
    p[which] = 0.0
    assert not np.asarray(problem.solve(p)).any()
