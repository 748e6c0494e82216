"""Factors that are dropped by another thread than the one that asked for them are freed all the same."""

import gc
import os
import sys
import threading
import time
import types

import numpy as np
import pytest
import scipy.sparse as sp

from assay.solvers.linear_algebra.superlu import Factors, symmetric_lu


def laplacian(n):
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))
    return (sp.kron(line, sp.eye(n)) + sp.kron(sp.eye(n), line)).tocsc()


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc, which only Linux has")
def test_factors_of_other_threads_leave_no_memory():
    A = laplacian(100)
    kept = {}

    def make(i):
        kept["latest"] = symmetric_lu(A)  # drops that of the thread before

    def many(count):
        for i in range(count):
            thread = threading.Thread(target=make, args=(i,))
            thread.start()
            thread.join()
        gc.collect()
        return resident()

    size = 12 * kept.setdefault("latest", symmetric_lu(A)).nnz  # bytes of one
    before = many(10)
    assert many(30) - before < 10 * size  # all 30 stayed where scipy's own were dropped by another thread


def test_whoever_hands_factors_over_is_slow_and_still_not_the_one_that_drops_them():
    """Dropped by another thread they stay booked with the one that made them, and SciPy's bookkeeping then fails as
    Python ends: what was printed last is lost, and the exit code is 120.
    """
    factors, droppers = symmetric_lu(laplacian(3)), []

    class Spy:
        def __del__(self):
            droppers.append(threading.current_thread().name)

    class Slow:
        def __init__(self, queue):
            self.queue = queue

        def put(self, item):
            self.queue.put(item)
            time.sleep(0.2)  # the worker is done with it before this returns

    factors._worker = types.SimpleNamespace(queue=Slow(factors._worker.queue))
    factors._factors = Spy()
    del factors
    assert len(droppers) == 1 and droppers[0].startswith("superlu")


def test_factors_solve_as_they_are_asked():
    A = laplacian(9) + sp.diags([0.5], [1], shape=(81, 81))
    b = np.random.default_rng(0).standard_normal((81, 2))
    factor = symmetric_lu(A)
    np.testing.assert_allclose(A @ factor.solve(b), b, atol=1e-12)
    np.testing.assert_allclose(A.T @ factor.solve(b, "T"), b, atol=1e-12)
    assert factor.L.shape == (81, 81) and sorted(factor.perm_c) == list(range(81))
    with pytest.raises(RuntimeError, match="singular"):
        Factors(sp.csc_matrix((3, 3)))
