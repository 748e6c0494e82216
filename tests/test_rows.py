"""Solves on any executor: what they give is what is solved here, and reasons come back with the rows."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from solvers_to_send import bumped, problem

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.processes.rows import attempt_rows
from assay.verify.falsify import falsify


@pytest.fixture(scope="module")
def spawned():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_a_search_finds_the_same_to_the_bit_on_any_executor(spawned):
    here = falsify(problem(), bumped, 1e-2, 24, 3)
    assert here.verdict == "falsified" and here.solver_calls == 24
    with ThreadPoolExecutor(2) as threads:
        for pool in (spawned, threads):
            there = falsify(problem(), bumped, 1e-2, 24, 3, executor=pool)
            assert (there.worst, there.solver_calls, there.draws_failed) == (here.worst, 24, here.draws_failed)
            for one, other in zip(here.counterexamples, there.counterexamples, strict=True):
                assert one.to_json() == other.to_json()


def test_every_reason_comes_back_with_its_row():
    def solve(p):
        raise RuntimeError(f"no seat at {p[0]:.3f}")

    failing = black_box(solve, Box(("a",), [0.0], [1.0]), size=2)
    P = np.linspace(0, 1, 150)[:, None]
    for pool in (None, ThreadPoolExecutor(1)):
        attempts, reasons = attempt_rows(failing, P, pool)
        assert np.isnan(np.asarray(attempts.u)).all()
        assert reasons == [f"raised RuntimeError: no seat at {a:.3f}" for a in P[:, 0]]


def test_forked_processes_and_unknown_methods_are_refused_before_any_solve():
    calls = []
    counted = black_box(lambda p: calls.append(1) or np.ones(2), Box(("a",), [0.0], [1.0]), size=2)
    forked = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.raises(ValueError, match="started by a fork"):
        falsify(counted, lambda P: np.ones((len(P), 2)), executor=forked)
    with pytest.raises(ValueError, match="no method 'standard' of falsification: method= is one of standard-v1"):
        falsify(counted, lambda P: np.ones((len(P), 2)), method="standard")
    assert not calls
