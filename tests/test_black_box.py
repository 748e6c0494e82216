"""A foreign solver: it is called, its failures are rows of NaN, and nothing more is claimed about it."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from assay.solvers import Box, CoerciveProblem, SolveError, black_box
from assay.verify.search.signal import make_signal

BOX = Box(("a", "b"), np.array([0.0, 1.0]), np.array([1.0, 100.0]), log=(False, True))


def linear(p):
    return np.arange(4) * p[0] + p[1]


def test_the_solver_is_called_with_the_input():
    problem = black_box(linear, BOX)
    P = BOX.sample(40)
    np.testing.assert_array_equal(problem.solve_batch(P), [linear(p) for p in P])
    solution = problem.solve_report([0.5, 2.0])
    assert solution.method == "user" and np.isnan(solution.residual)
    assert problem.size == 4 and problem.name == "black-box" and not isinstance(problem, CoerciveProblem)


def test_the_first_call_is_at_the_centre_of_the_box():
    seen = []
    black_box(lambda p: seen.append(p.tolist()) or np.ones(3), BOX)
    np.testing.assert_allclose(seen, [[0.5, 10.0]])


def test_it_runs_under_jit_and_vmap():
    problem = black_box(linear, BOX)
    P = BOX.sample(3)
    np.testing.assert_array_equal(jax.jit(problem.solve)(P[0]), linear(P[0]))
    np.testing.assert_array_equal(jax.vmap(problem.solve)(P), [linear(p) for p in P])


def test_the_norm_is_the_root_mean_square():
    problem = black_box(linear, BOX)
    assert float(problem.norm(BOX.lower, [3.0, -4.0, 0.0, 0.0])) == 2.5
    assert float(problem.relative_error(BOX.lower, np.zeros(4), np.ones(4))) == 1.0


def test_answers_of_any_array_kind_are_flattened_to_float64():
    problem = black_box(lambda p: np.full((2, 3), p[0], dtype=np.float32), BOX, coordinates=np.zeros((6, 2)))
    u = problem.solve([0.25, 1.0])
    assert u.shape == (6,) and u.dtype == np.float64 and (u == 0.25).all()
    assert problem.coordinates.shape == (6, 2)


def test_a_solver_that_raises_at_the_centre_is_refused():
    def broken(p):
        raise OSError("no licence server")

    with pytest.raises(SolveError, match="raised at the centre of the box: OSError: no licence server"):
        black_box(broken, BOX)


MASK = np.array([False, True, False, False])
REFUSED = {  # what a solver may answer that is no field of 4 values
    "complex": (np.ones(4) + 0j, "complex values: write real and imaginary parts as two components"),
    "complex list": ([1.0, 2j, 3.0, 4.0], "complex values"),
    "masked": (
        np.ma.array(np.ones(4), mask=MASK),
        r"values that are masked: fill them, field.filled\(value\), or drop",
    ),
    "masked in a list": ([np.ma.array(np.ones(2), mask=MASK[:2]), np.ones(2)], "values that are masked"),
    "nan": (np.where(MASK, np.nan, 1.0), r"1 of 4 values NaN or infinite: .* drop them, field\[inside\]"),
    "infinite": (np.where(MASK, np.inf, 1.0), "1 of 4 values NaN or infinite"),
    "nothing": (None, "no numbers, but NoneType"),
    "words": (["1", "2", "3", "4"], "no numbers, but list"),
    "sparse": (sp.identity(2), r"the form of a sparse matrix: pass its .toarray\(\)"),
    "ragged": ([[1.0, 2.0], [3.0]], "no numbers in one array"),
    "structured": (np.zeros(4, dtype=[("u", float)]), "no numbers"),
}


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_is_no_field_is_refused_at_the_centre_and_fails_later(kind):
    """Cast without looking, an imaginary part or a mask would be dropped."""
    answer, message = REFUSED[kind]
    with pytest.raises(ValueError, match=f"at the centre of the box the solver answered with {message}"):
        black_box(lambda p: answer, BOX)
    problem = black_box(lambda p: answer if p[0] > 0.7 else linear(p), BOX)
    assert np.isnan(problem.solve_batch([[0.9, 2.0], [0.1, 2.0]])[0]).all()
    with pytest.raises(SolveError, match=f"black-box was not solved at a=0.9, b=2: the solver answered with {message}"):
        problem.solve([0.9, 2.0])
    assert len(problem.failures()) == 1


def test_an_unmasked_masked_array_is_a_field():
    assert float(black_box(lambda p: np.ma.array(linear(p)), BOX).solve([0.5, 2.0])[1]) == 2.5


def test_why_a_solve_failed_is_said():
    def flaky(p):
        if p[0] > 0.9:
            raise OSError("licence server:\n   no seats left")
        if p[0] > 0.8:
            raise IndexError
        return np.ones(14 if p[0] > 0.7 else 10)

    problem = black_box(flaky, BOX)
    for a, reason in (
        (0.95, "raised OSError: licence server: no seats left"),
        (0.85, "raised IndexError"),
        (0.75, "answered with 14 values, not 10"),
    ):
        with pytest.raises(SolveError, match=f"black-box was not solved at a={a}, b=2: the solver {reason}"):
            problem.solve([a, 2.0])
        assert problem.failures()[-1] == reason
    assert len(problem.failures()) == 3
    problem.solve_batch(np.column_stack([np.linspace(0.91, 1, 40), np.full(40, 2.0)]))
    assert problem.failures()[-1] == "raised OSError: licence server: no seats left" and len(problem.failures()) == 3


def test_only_the_last_reasons_are_kept_and_long_ones_are_cut():
    def failing(p):
        raise RuntimeError(f"at {p[0]} " + 1000 * "x")

    problem = black_box(failing, BOX, size=3)
    problem.solve_batch([[a, 2.0] for a in np.linspace(0, 1, 20)])
    assert len(problem.failures()) == 5 and all(len(reason) < 320 for reason in problem.failures())
    assert "at 1.0" in problem.failures()[-1]


def test_a_solver_may_write_to_its_input_and_to_what_it_answered():
    work = np.zeros(4)

    def rude(p):
        p[0] /= 1e9
        p[1] *= 2
        work[:] = np.arange(4) * p[1]
        return work

    problem = black_box(rude, BOX)
    P = np.array([[0.5, 2.0], [0.5, 3.0], [0.5, 4.0]])
    np.testing.assert_array_equal(problem.solve_batch(P), np.outer(2 * P[:, 1], np.arange(4)))
    first, second = problem.solve(P[0]), problem.solve(P[1])
    np.testing.assert_array_equal([first[1], second[1]], [4.0, 6.0])


def test_with_a_size_nothing_is_solved_to_make_the_problem():
    calls = []

    def counted(p):
        calls.append(1)
        return linear(p)

    problem = black_box(counted, BOX, size=4)
    assert problem.shape == (1, 4, 1) and not calls
    np.testing.assert_array_equal(problem.solve_report([0.5, 2.0]).u, linear([0.5, 2.0]))
    assert len(calls) == 1  # nor is the first solve done twice
    with pytest.raises(SolveError, match="the solver answered with 4 values, not 5"):
        black_box(linear, BOX, size=5).solve([0.5, 2.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size is the number of values"),
        ({"size": True}, "size is the number of values"),
        ({"size": 4.0}, "size is the number of values"),
        ({"size": 4, "components": 3}, "4 values are no multiple of 3 components"),
        ({"components": 0}, "components is a whole number"),
        ({"components": ("u", "u")}, "their distinct names"),
        ({"components": ()}, "components is a whole number"),
        ({"name": ""}, "name is a word"),
        ({"name": "a\nb"}, "name is a word"),
        ({"name": 3}, "name is a word"),
        ({"norm": "energy"}, "norm must be one of rms"),
        ({"offset": np.ones(3)}, r"offset is a finite number"),
        ({"offset": np.nan}, r"offset is a finite number"),
        ({"offset": 1j}, r"the offset has complex values"),
        ({"loosen": "rtol"}, "loosen='rtol' is no keyword of the solver, which has: p"),
        ({"loosen": 3}, "loosen is a function"),
        ({"residual": lambda p, u: u.missing}, "the residual raised AttributeError"),
        ({"coordinates": np.zeros((4, 1)) * np.nan}, "coordinates must be finite"),
        ({"coordinates": np.zeros((4, 1)) + 1j}, "the coordinates have complex values"),
        ({"coordinates": np.zeros((2, 1))}, r"not \[2, 1\]; or is it 2 values a node\? Pass components="),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        black_box(linear, BOX, **arguments)


def test_solver_and_box_must_be_what_they_are_called():
    with pytest.raises(ValueError, match="the solver is a function p -> u, not ndarray"):
        black_box(np.ones(4), BOX)
    with pytest.raises(ValueError, match="the inputs are a Box"):
        black_box(linear, [[0.0, 1.0]])


def test_its_name_and_a_short_account_of_it():
    problem = black_box(linear, BOX, np.zeros((4, 2)), name="flow v3")
    assert problem.name == "flow v3" and repr(problem) == "black_box('flow v3', a, b -> 4 values)"


# ---- components, norms, offsets --------------------------------------------------------------------------------------


def flow(p):
    """Velocity and pressure in three nodes."""
    x = np.arange(1.0, 4.0)
    return np.stack([1e-2 * p[0] * x, 101325 + p[1] * x], axis=-1)


def test_components_are_read_node_by_node():
    problem = black_box(flow, BOX, components=("velocity", "pressure"))
    assert problem.shape == (1, 3, 2) and problem.coordinates.shape == (3, 1)
    assert problem.component_names == ("velocity", "pressure")
    p = np.array([0.5, 2.0])
    u = problem.solve(p)
    np.testing.assert_array_equal(u.reshape(3, 2), flow(p))
    norms = problem.component_norms(p, u)
    np.testing.assert_allclose(norms, np.sqrt((flow(p) ** 2).sum(axis=0) / 6), rtol=1e-14)
    with pytest.raises(ValueError, match=r"shape \[2, 3\]: 2 components come last, \[nodes, 2\]"):
        black_box(lambda p: flow(p).T, BOX, components=2)
    assert black_box(lambda p: flow(p).ravel(), BOX, components=2).shape == (1, 3, 2)


def test_an_offset_is_no_part_of_what_is_approximated():
    """Of 101325 + O(1) the constant is right to 1e-5 and says nothing."""
    p = np.array([0.5, 2.0])
    ambient = np.array([0.0, 101325.0])
    constant = np.broadcast_to(ambient, (3, 2)).ravel()
    errors = {}
    for offset in (None, ambient, constant):
        problem = black_box(flow, BOX, components=2, offset=offset)
        errors[str(offset)] = float(problem.relative_error(p, constant, problem.solve(p)))
        assert ("offset" in problem.norm_name) == (offset is not None)
    plain, *others = errors.values()
    assert plain < 1e-4 and others == [1.0, 1.0]
    magnitudes = problem.component_magnitudes(p, problem.solve(p))
    np.testing.assert_allclose(magnitudes, problem.component_norms(p, flow(p).ravel() - constant))
    scalar = black_box(lambda p: 300 + p[1] * np.arange(4), BOX, offset=300.0)
    assert float(scalar.relative_error(p, np.full(4, 300.0), scalar.solve(p))) == 1.0


@pytest.mark.parametrize("norm", ["max", np.arange(1.0, 5.0), np.linalg.norm, sp.identity(4)])
def test_errors_are_measured_in_the_given_norm(norm):
    problem = black_box(linear, BOX, norm=norm)
    p, u = np.array([0.5, 2.0]), linear([0.5, 2.0])
    value = {"max": lambda v: np.abs(v).max()}.get(str(norm), np.linalg.norm)
    if isinstance(norm, np.ndarray):
        value = lambda v: np.sqrt(norm @ v**2)  # noqa: E731
    assert float(problem.norm(p, u)) == pytest.approx(value(u), rel=1e-14)
    error = jax.jit(problem.relative_error)(p, u + [0, 0, 0, 1], u)
    assert float(error) == pytest.approx(value(np.eye(4)[3]) / value(u), rel=1e-12)


# ---- a residual, and a solver that can be loosened -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jax", "numpy"])
def test_a_residual_is_the_signal_of_the_search(kind):
    def residual(p, u):
        return (jnp if kind == "jax" else np).stack([u[1] - u[0] - p[0], u[0] - p[1]])

    problem = black_box(linear, BOX, residual=residual)
    p = np.array([0.5, 2.0])
    np.testing.assert_array_equal(problem.residual(p, linear(p)), [0.0, 0.0])
    np.testing.assert_array_equal(jax.jit(problem.residual)(p, np.zeros(4)), [-0.5, -2.0])
    signal = make_signal(problem, lambda P: np.stack([linear(q) * (1.5 if q[0] > 0.5 else 1.0) for q in P]))
    assert signal.kind == "residual"
    low, high = signal.values(np.array([[0.4, 2.0], [0.6, 2.0]]))
    assert low < 1e-12 and high == pytest.approx(0.5, rel=0.01)  # relative to the zero field and a small share
    assert black_box(linear, BOX).residual is None


def test_a_loosened_solver_is_called_with_the_level():
    def by_keyword(p, rtol=0.0):
        return linear(p) * (1 + rtol)

    p = [0.5, 2.0]
    for problem in (
        black_box(by_keyword, BOX, loosen="rtol"),
        black_box(linear, BOX, loosen=lambda p, level: linear(p) * (1 + level)),
    ):
        np.testing.assert_array_equal(problem.solve(p), linear(p))
        np.testing.assert_allclose(problem.solve(p, 0.25), 1.25 * linear(p))
    np.testing.assert_array_equal(black_box(linear, BOX).solve(p, 0.25), linear(p))


def test_all_of_it_is_pickled():
    problem = black_box(
        linear, BOX, name="n", norm=sp.identity(4), components=2, offset=1.0, residual=a_residual, loosen=linear
    )
    problem.solve([0.5, 2.0])
    again = pickle.loads(pickle.dumps(problem))
    p = np.array([0.5, 2.0])
    np.testing.assert_array_equal(again.solve(p), problem.solve(p))
    assert float(again.magnitude(p, np.ones(4))) == 0.0
    np.testing.assert_array_equal(again.residual(p, np.ones(4)), [0.5])


def a_residual(p, u):
    return u[:1] - p[0]


def test_coordinates_must_fit():
    with pytest.raises(ValueError, match=r"coordinates must have shape \[4, axes\], not \[3, 2\]"):
        black_box(linear, BOX, coordinates=np.zeros((3, 2)))


def test_inputs_are_checked_before_the_solver_sees_them():
    calls = []
    problem = black_box(lambda p: calls.append(p) or np.ones(2), BOX)
    calls.clear()
    for bad in ([[0.5, 1000.0]], [[0.5, np.nan]], [[0.5]]):
        with pytest.raises(ValueError, match="row 0|shape"):
            problem.solve_batch(bad)
    assert not calls


def test_a_gradient_of_ones_own_differentiates_solutions():
    def pulled_back(p, w):
        return w @ np.array([[2 * p[0], 0.0], [p[1], p[0]], [0.0, 1.0]])

    def solve(p):
        return np.array([p[0] ** 2, p[0] * p[1], p[1]])

    problem = black_box(solve, BOX, gradient=pulled_back)
    p = np.array([0.3, 2.5])
    found = jax.grad(lambda p: jnp.sum(problem.solve(p) ** 2))(jnp.asarray(p))
    np.testing.assert_allclose(found, pulled_back(p, 2 * solve(p)), rtol=1e-14)
    for wrong, why in ((lambda p, w: w, "a gradient of shape"), (lambda p, w: 1 / 0, "ZeroDivisionError")):
        broken = black_box(solve, BOX, gradient=wrong)
        assert np.isnan(jax.grad(lambda p, b=broken: b.solve(p)[0])(jnp.asarray(p))).all()
        assert why in broken.failures()[-1]
    with pytest.raises(ValueError, match="gradient is a function"):
        black_box(solve, BOX, gradient=1.0)
