"""Guarded steps: no wrong state gets out of bad steppers, good ones are let through, and answers say which it was."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import assay
from assay.solvers.problems.allen_cahn import AllenCahn
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.verify.guard_steps import guard_steps
from assay.verify.proofs.heat import HeatProof
from assay.verify.proofs.prover import proof_of

PROBLEMS = {
    "burgers": Burgers(cells=16, steps=12),
    "heat": Heat(cells=4, steps=12),
    "heat, crank-nicolson": Heat(cells=4, steps=12, scheme="crank-nicolson"),
}
TOLERANCE = 1e-2
N = 8


class Case:
    """A problem, trajectories of its truth, and one step of it."""

    def __init__(self, problem):
        self.problem, self.proof = problem, proof_of(problem)
        self.P = problem.inputs.sample(N, seed=1)
        self.truth = np.asarray(problem.attempt_batch(self.P).u).reshape(N, problem.steps + 1, -1)
        self._step = jax.jit(jax.vmap(problem.step))
        self._sizes = jax.jit(jax.vmap(jax.vmap(self.proof.state_norm, (None, 0))))

    def step(self, P, states):
        """Rows are filled up to few sizes."""
        rows = np.resize(np.arange(len(P)), max(N, 2))
        return np.array(self._step(P[rows], states[rows]))[: len(P)]

    def sizes(self, states):
        return np.asarray(self._sizes(self.P, states)[0])


@pytest.fixture(scope="module", params=PROBLEMS)
def case(request):
    return Case(PROBLEMS[request.param])


def steppers(case):
    """By name; each knows the step from the state that it is given, by its distance to the truth's."""

    def when(states):
        gaps = np.abs(case.truth[:, None] - states[None, :, None]).max(axis=-1)  # [input, row, time]
        return gaps.min(axis=0).argmin(axis=-1)

    def drifting(P, states):
        return case.step(P, states) * (1 + 4e-3)

    def right_for_seven_steps(P, states):
        wrong = (when(states) >= 7)[:, None]
        return np.where(wrong, 1.5 * states, case.step(P, states))

    def one_bad_step(P, states):
        return case.step(P, states) + (when(states) == 5)[:, None] * 0.3 * np.abs(states).max()

    def some_nan(P, states):
        out = case.step(P, states)
        out[P[:, 0] > np.median(case.P[:, 0])] = np.nan
        return out

    def raising(P, states):
        if (P[:, 0] > np.median(case.P[:, 0])).any():
            raise RuntimeError("no answer today")
        return case.step(P, states)

    return {
        "drifting": drifting,
        "right for seven steps": right_for_seven_steps,
        "one bad step": one_bad_step,
        "NaN": lambda P, states: np.nan * states,
        "some NaN": some_nan,
        "raising": raising,
        "huge": lambda P, states: np.full_like(states, 1e300),
        "standing still": lambda P, states: states,
        "rough": lambda P, states: case.step(P, states) + 1e-3 * np.random.default_rng(0).standard_normal(states.shape),
        "zero": lambda P, states: 0 * states,
        "prescribed values off": lambda P, states: case.step(P, states) + ~case.proof.free_state * 0.3,
    }


def test_the_truth_is_accepted_with_bounds_of_rounding(case):
    calls = []

    def counting(P, states):
        calls.append(len(P))
        return case.step(P, states)

    guarded = guard_steps(case.problem, counting, TOLERANCE)
    calls.clear()
    answer = guarded(case.P)
    assert answer.counts == {"accepted": answer.route.size, "polished": 0, "solved": 0, "failed": 0}
    assert sum(calls) == answer.calls == N * case.problem.steps and answer.within.all() and not answer.notes
    assert (answer.state_upper <= 1e-9 * case.sizes(case.truth).max()).all()
    assert answer.windows[0] == 0 and answer.windows[-1] == case.problem.steps
    assert (answer.relative_upper < 1e-8).all()
    assert "48 accepted" not in repr(answer) or answer.route.size == 48


def test_no_wrong_state_gets_out(case):
    sizes = case.sizes(case.truth)
    for name, stepper in steppers(case).items():
        answer = guard_steps(case.problem, stepper, TOLERANCE)(case.P)
        states = answer.u.reshape(case.truth.shape)
        errors = case.sizes(states - case.truth)
        assert (errors <= answer.state_upper + 1e-11 * sizes).all(), name  # the truth itself is known to that
        assert answer.within.all() and (errors <= TOLERANCE * sizes).all(), name
        assert (answer.state_relative_upper <= TOLERANCE * (1 + 1e-9)).all() and answer.counts["failed"] == 0, name
        for p, u, v, most in zip(case.P, case.truth, states, answer.certificate.upper, strict=True):
            assert float(case.problem.norm(p, (u - v).ravel())) <= most + 1e-10 * sizes.max(), name
        if name in ("NaN", "huge"):
            assert answer.counts["solved"] == answer.route.size, name
        if name in ("some NaN", "raising"):
            assert answer.notes and (answer.route[case.P[:, 0] <= np.median(case.P[:, 0])] == "accepted").all(), name
        if name == "prescribed values off":
            assert answer.counts["accepted"] == answer.route.size
            assert (answer.certificate.overwritten >= 0.29).all() == (~case.proof.free_state).any()


def test_what_is_wrong_once_is_mended_once():
    case = Case(PROBLEMS["burgers"])
    answer = guard_steps(case.problem, steppers(case)["one bad step"], TOLERANCE)(case.P)
    mended = np.isin(answer.route, ("polished", "solved"))
    first = int(np.searchsorted(answer.windows, 5, side="right")) - 1
    assert mended.any(axis=1).all() and mended[:, first].all() and not mended[:, :first].any()


def test_a_running_bound_that_is_too_small_shows(case, monkeypatch):
    """The comparison above can fail: errors that add up in one direction come near the bound."""
    own = type(case.proof).advance
    monkeypatch.setattr(type(case.proof), "advance", lambda self, b, measure: b + 0.3 * (own(self, b, measure) - b))
    case = Case(replace(case.problem, end_time=0.9))  # that nothing else is compiled for
    answer = guard_steps(case.problem, lambda P, s: case.step(P, s) * (1 + 1e-4), TOLERANCE)(case.P)
    errors = case.sizes(answer.u.reshape(case.truth.shape) - case.truth)
    assert answer.counts["accepted"] == answer.route.size and (errors > answer.state_upper).any()


@pytest.mark.parametrize(
    ("stepper", "says"),
    [
        (lambda P, states: states[:, :-1], r"shape .* one state of 17 values"),
        (lambda P, states: states[:1], "for every row, one step later"),
        (lambda P, states: np.stack([states, states], axis=1), "for every row, one step later"),
        (lambda P, states: states.astype(complex), "complex"),
        (None, "must be callable"),
        (lambda states: states, r"raised TypeError: .*; it is called as stepper\(P, states\) with inputs \[n, "),
        (lambda P, states: states.numpy(), r"raised AttributeError: .*answer with the states one step later \[n, 17\]"),
    ],
)
def test_answers_in_another_shape_are_refused_at_once(stepper, says):
    with pytest.raises(ValueError, match=says):
        guard_steps(PROBLEMS["burgers"], stepper)


def test_a_stepper_that_is_away_is_solved_as_under_guard():
    def away(P, states):
        raise RuntimeError("no answer today")

    answer = guard_steps(PROBLEMS["burgers"], away)(PROBLEMS["burgers"].inputs.centre[None])
    assert answer.counts["solved"] == answer.route.size and any("no answer today" in note for note in answer.notes)


class Scaled(HeatProof):
    def statement(self):
        return (self.problem.weights(),)


class Own(Heat):
    """Of somebody's own, with an array that the theorem reads."""

    proof = Scaled

    def weights(self):
        if "_weights" not in vars(self):
            object.__setattr__(self, "_weights", np.ones(2))
        return self._weights


def test_a_problem_of_somebodys_own_that_changed_in_place_is_refused():
    problem = Own(cells=4, steps=2)
    guard_steps(problem, lambda P, s: s)
    guard_steps(problem, lambda P, s: s)
    problem.weights()[:] = 2.0
    with pytest.raises(ValueError, match="changed in place since its proof read it"):
        guard_steps(problem, lambda P, s: s)


def test_problems_without_steps_or_theorem_are_refused():
    with pytest.raises(ValueError, match="no time steps to guard"):
        guard_steps(ThermalBlock((1, 1), 4), lambda P, s: s)
    with pytest.raises(ValueError, match="no proof along time steps is known for allen-cahn"):
        assay.guard_steps(AllenCahn(cells=8, steps=4), lambda P, s: s)
    with pytest.raises(ValueError, match="window is a number of steps"):
        guard_steps(PROBLEMS["burgers"], lambda P, s: s, window=0)
    with pytest.raises(ValueError, match="must be positive"):
        guard_steps(PROBLEMS["burgers"], lambda P, s: s, 0.0)


def test_tolerances_below_rounding_are_undecided_and_failures_end_in_nan():
    problem = Burgers(cells=64, steps=2, end_time=50.0, nu_low=1e-5, amplitude=2.0)
    P = problem.inputs.sample(32)
    answer = guard_steps(problem, lambda P, s: np.nan * s)(P)
    failed = np.isnan(answer.u).any(axis=1)
    assert 0 < failed.sum() == answer.counts["failed"] < 32 and not answer.within[failed].any()
    assert np.isinf(answer.certificate.upper[failed]).all() and np.isinf(answer.state_upper[failed, -1]).all()
    assert any("could not be solved" in note for note in answer.notes)
    case = Case(PROBLEMS["burgers"])
    answer = guard_steps(case.problem, case.step, 1e-15)(case.P)
    assert not answer.within.any() and any("undecided" in note for note in answer.notes)
    assert np.isfinite(answer.certificate.upper).all()
    assert len(guard_steps(case.problem, case.step)(np.zeros((0, 4))).u) == 0
