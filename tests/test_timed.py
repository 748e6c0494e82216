"""Solvers that hang, raise or crash: a time limit holds everywhere, and nothing is lost."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from solvers_to_send import answer as answer_of
from solvers_to_send import problem, smooth, unreliable

from assay.solvers.problem import SolveError
from assay.solvers.processes.timed import CannotStart
from assay.solvers.snapshots.sample import sample
from assay.verify.falsify import falsify
from assay.verify.guard import guard

LIMIT = 3.0
REASONS = {
    0.12: "raised RuntimeError: licence server: no seats left",
    0.305: "did not answer within 3 s",
    0.51: "answered with 3 of 3 values NaN or infinite",
    0.705: "ended its process by SIGSEGV",
}


@pytest.fixture(scope="module")
def limited():
    return problem(unreliable, time_limit=LIMIT, size=3)


def test_what_hangs_crashes_or_raises_has_failed_with_its_reason(limited):
    P = np.array([[a, 0.4] for a in (0.9, *REASONS, 0.8)])
    limited.solve(P[0])
    start = time.perf_counter()
    U = np.asarray(limited.solve_batch(P))
    assert time.perf_counter() - start < LIMIT + 240  # two processes were made anew
    np.testing.assert_array_equal(np.isfinite(U).all(axis=1), [True, False, False, False, False, True])
    np.testing.assert_array_equal(U[[0, 5]], answer_of(P[[0, 5]]))
    for a, why in REASONS.items():
        if a not in (0.305, 0.705):  # once is enough
            with pytest.raises(SolveError, match=why):
                limited.solve([a, 0.4])
    assert any("did not answer within 3 s" in why for why in limited.failures())
    assert any("ended its process by SIGSEGV" in why for why in limited.failures())


def test_it_answers_with_the_same_bits_as_without(limited):
    assert limited.fingerprint == problem(unreliable, size=3).fingerprint
    P = np.array([[0.2, 0.1], [0.6, 0.7]])
    np.testing.assert_array_equal(limited.solve_batch(P), problem(unreliable).solve_batch(P))


def test_its_process_ends_with_the_problem():
    made = problem(time_limit=60.0, size=3)
    assert made.solve([0.5, 0.5])[0] == 1.5
    (process,) = made.timed._idle
    pid = process.pid
    os.kill(pid, 0)
    del made, process
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_problem_at_the_top_of_its_own_module_starts_one_process_and_not_one_in_each():
    from limited_at_import import PROBLEM

    assert PROBLEM.shape == (1, 3, 1) and len(PROBLEM.timed._idle) == 1
    np.testing.assert_array_equal(PROBLEM.solve([0.2, 0.1]), smooth([0.2, 0.1]))


def test_what_cannot_be_sent_is_told_at_construction():
    with pytest.raises(ValueError, match=r"cannot be sent \(.*\): define it at the top level of a module"):
        problem(lambda p: smooth(p), time_limit=1.0)
    with pytest.raises(ValueError, match="cannot be sent"):
        problem(time_limit=1.0, size=3, loosen=lambda p, level: smooth(p))
    for wrong in (0, -1.0, np.nan, np.inf, True, "2"):
        with pytest.raises(ValueError, match="time_limit is a positive number of seconds"):
            problem(time_limit=wrong, size=3)


def test_what_cannot_be_opened_there_is_a_mistake_and_no_failed_solve(monkeypatch):
    import solvers_to_send

    def here_alone(p):
        return smooth(p)

    here_alone.__qualname__, here_alone.__module__ = "here_alone", "solvers_to_send"
    monkeypatch.setattr(solvers_to_send, "here_alone", here_alone, raising=False)
    made = problem(here_alone, time_limit=1.0, size=3)
    with pytest.raises(CannotStart, match="cannot be opened in a process of its own .*here_alone"):
        sample(made, 3)


def test_search_and_guard_on_two_workers_list_every_input_at_which_the_truth_fails(limited):
    P = np.array([[a, 0.4] for a in (0.9, 0.12, 0.305, 0.51, 0.8)])
    with ThreadPoolExecutor(2) as threads:
        answer = guard(limited, answer_of, 1e-2)(P, executor=threads)
        result = falsify(limited, answer_of, 1e-2, 24, 1, executor=threads, draws=0, method="random")
    assert answer.route.tolist() == ["solved", "failed", "failed", "failed", "solved"]
    assert [u.inputs[0] for u in answer.unsolved] == [0.12, 0.305, 0.51]
    for u in answer.unsolved:
        assert REASONS[u.inputs[0]] in u.reason
    np.testing.assert_array_equal(answer.u[[0, 4]], answer_of(P[[0, 4]]))
    assert result.solver_calls == 24 == len(result.asked) and result.verdict == "not falsified"
    failed = {p.tobytes() for p, error in zip(result.asked, result.errors, strict=True) if np.isnan(error)}
    assert failed == {u.inputs.tobytes() for u in result.unsolved} and failed
