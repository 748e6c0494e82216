"""Solves on any executor: what they give is what is solved here, and reasons come back with the rows."""

import multiprocessing
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from solvers_to_send import bumped, problem

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.processes.rows import attempt_rows, solved_rows
from assay.solvers.processes.sending import Lost, check_executor
from assay.solvers.processes.worker_processes import WorkerProcesses
from assay.solvers.snapshots.sample import load_snapshots, sample
from assay.verify.falsify import falsify


@pytest.fixture(scope="module")
def spawned():
    with WorkerProcesses(1) as pool:
        yield pool


class Recording(Executor):
    """Runs a task as it comes, and keeps how many rows each had; the tasks whose numbers are in ``lost`` lose their
    worker.
    """

    _max_workers = 2

    def __init__(self, lost=(), loses=lambda P: False):
        self.sizes, self.lost, self.loses = [], lost, loses

    def submit(self, fn, P, *args):
        self.sizes.append(len(P))
        future = Future()
        if len(self.sizes) - 1 in self.lost or self.loses(P):
            future.set_exception(Lost("ended its process by SIGKILL"))
        else:
            future.set_result(fn(P, *args))
        return future


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


def test_the_rows_of_a_compiled_solver_are_those_of_one_process_to_the_bit(spawned):
    """Also where it answers with many rows at once, which compile another program than one row does."""
    block = ThermalBlock(blocks=(2, 1), cells=8)
    here, there = sample(block, 12, seed=3), sample(block, 12, seed=3, executor=spawned)
    assert here.hash == there.hash
    P = block.inputs.sample(40, 1)
    for one, other in zip(attempt_rows(block, P)[0], attempt_rows(block, P, spawned)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def numbered(n=400, seconds=0.0):
    def solve(p):
        time.sleep(seconds)
        return np.array([p[0], np.sin(p[0])])

    return black_box(solve, Box(("a",), [0.0], [1.0]), size=2), np.linspace(0, 1, n)[:, None]


def test_small_solves_are_sent_together_and_slow_ones_by_themselves():
    problem, P = numbered()
    quick = Recording()
    found = {i: attempt.u for i, attempt, _ in solved_rows(problem, P, range(400), quick)}
    np.testing.assert_array_equal([found[i] for i in range(400)], [[p[0], np.sin(p[0])] for p in P])
    assert sum(quick.sizes) == 400 and quick.sizes[0] == 1 and max(quick.sizes) > 30 and len(quick.sizes) < 60
    assert max(quick.sizes) <= 100 and quick.sizes[-1] == 1  # a share of what is left, so that nobody waits for another
    slow, (problem, P) = Recording(), numbered(6, 0.15)
    assert len(list(solved_rows(problem, P, range(6), slow))) == 6 and slow.sizes == [1] * 6


def test_the_rows_of_a_lost_worker_are_solved_again_each_by_itself():
    problem, P = numbered()
    lossy = Recording(lost=(0, 9, 10))
    found = {i: (attempt.u, why) for i, attempt, why in solved_rows(problem, P, range(400), lossy)}
    np.testing.assert_array_equal([found[i][0] for i in range(400)], [[p[0], np.sin(p[0])] for p in P])
    assert not any(why for _, why in found.values()) and sum(lossy.sizes) > 401


def test_a_row_that_takes_its_workers_along_has_failed_with_the_reason_and_takes_no_other_row_along():
    problem, P = numbered()
    deadly = Recording(loses=lambda rows: (rows[:, 0] == P[123, 0]).any())
    made = {i: (attempt, why) for i, attempt, why in solved_rows(problem, P, range(400), deadly)}
    failed = [i for i, (attempt, _) in made.items() if not np.isfinite(attempt.u).all()]
    assert failed == [123] and made[123][1] == "ended its process by SIGKILL, 3 times" and len(made) == 400
    assert sum(why == "" for _, why in made.values()) == 399


def test_what_was_done_before_an_interruption_is_kept(tmp_path):
    problem, _ = numbered()

    class Interrupted(Recording):
        def submit(self, fn, P, *args):
            if len(self.sizes) == 3:
                raise KeyboardInterrupt
            return super().submit(fn, P, *args)

    with pytest.raises(KeyboardInterrupt):
        sample(problem, 100, path=tmp_path / "s.h5", executor=Interrupted())
    assert len(load_snapshots(tmp_path / "s.h5")) == 3


def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(spawned, tmp_path):
    alone = sample(problem(), 60, seed=2)

    def kill_one(done, n):
        if done == 20:
            spawned._all[0].kill()

    there = sample(problem(), 60, seed=2, path=tmp_path / "s.h5", executor=spawned, progress=kill_one)
    assert there.hash == alone.hash and there.valid.all() and not (tmp_path / "s.h5.journal").exists()


def test_what_is_no_executor_is_refused():
    with pytest.raises(ValueError, match=r"such as WorkerProcesses\(2\), not 2"):
        sample(problem(), 2, executor=2)

    class Client:
        def submit(self, fn, *args):
            return None

        def get_executor(self, **kwargs):
            return None

    with pytest.raises(ValueError, match=r"client\.get_executor\(pure=False\)"):
        check_executor(Client())
    with pytest.raises(ValueError, match="whole number of at least 1, not 0"):
        WorkerProcesses(0)


def test_forked_processes_and_unknown_methods_are_refused_before_any_solve():
    calls = []
    counted = black_box(lambda p: calls.append(1) or np.ones(2), Box(("a",), [0.0], [1.0]), size=2)
    forked = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.raises(ValueError, match="started by a fork"):
        falsify(counted, lambda P: np.ones((len(P), 2)), executor=forked)
    with pytest.raises(ValueError, match="no method 'standard' of falsification: method= is one of standard-v1"):
        falsify(counted, lambda P: np.ones((len(P), 2)), method="standard")
    assert not calls
