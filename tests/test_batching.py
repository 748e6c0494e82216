"""Compiled batches: large arrays are handed to a program, not written into it."""

import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.batching import EMBEDDED, RowMap, compiled


def test_large_arrays_are_arguments_and_stay_as_they_were_when_traced():
    large, small = np.linspace(0, 1, 1 + EMBEDDED // 8), np.array([2.0, 3.0])
    traced = []

    def fn(x):
        traced.append(1)
        return {"a": jnp.vdot(large, large) * x, "b": small * x}

    program = compiled(fn)
    first = program(jnp.asarray(2.0))
    large_before = large.copy()
    large[:] = 0.0
    second = program(jnp.asarray(3.0))
    np.testing.assert_allclose(first["a"], 2 * large_before @ large_before, rtol=1e-12)
    np.testing.assert_allclose(second["a"], 3 * large_before @ large_before, rtol=1e-12)
    np.testing.assert_array_equal(second["b"], [6.0, 9.0])
    assert len(traced) == 1
    program(jnp.ones(2))  # another shape is another program
    assert len(traced) == 2


CALLED_BACK = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
import assay
from assay.solvers.batching import RowMap
from assay.solvers.linear_algebra.direct import callback_float64
A = np.ones((4, 117_000))
print(RowMap(lambda a: callback_float64(lambda a: 2 * a, a, a))(A).sum())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen")
def test_one_processor_copies_what_it_calls_back_with():
    """The large array was copied on the thread that waited for it, for ever."""
    done = subprocess.run([sys.executable, "-c", CALLED_BACK], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "936000.0\n", done.stderr


def test_rows_are_answered_by_it():
    large = np.linspace(0, 1, 1 + EMBEDDED // 8)
    rows = RowMap(lambda x: jnp.sum(large * x), chunk=2)
    np.testing.assert_allclose(rows(np.array([1.0, 2.0, 4.0])), large.sum() * np.array([1.0, 2.0, 4.0]), rtol=1e-12)
