"""The pytest plugin: what a user's test says of a surrogate that fails, and of one in which nothing was found."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import pytest_assay

ROOT = Path(__file__).resolve().parent.parent
THEIRS = """
import sys

def test_without_a_check_nothing_of_assay_is_imported():
    assert not {"jax", "assay"} & set(sys.modules)

def problem(lower=0.0):
    import numpy as np
    from assay import Box, black_box
    return black_box(lambda p: np.array([1 + p[0], p[1]]), Box(("heat", "load"), [lower, 0.0], [1.0, 1.0]), size=2)

def answer(P):
    import numpy as np
    return np.column_stack([1 + P[:, 0], P[:, 1]])

def bad(P):
    return answer(P) * (1 + 0.5 * (P[:, :1] > 0.8))

def test_bad(assay_check):
    assay_check(problem(), bad, tolerance=1e-2, budget=40)

def test_bad_again(assay_check):
    assay_check(problem(), bad, tolerance=1e-2, budget=2)

def test_bad_without_a_database(assay_check):
    assay_check(problem(), bad, tolerance=1e-2, budget=10, database=None)

def test_good(assay_check):
    assert assay_check(problem(), answer, budget=40).solver_calls == 40

def test_wrong_shape(assay_check):
    assay_check(problem(), lambda P: answer(P)[:, :1])
"""


def test_what_a_users_own_tests_say(tmp_path):
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nassay_database = failures\n")
    # under continuous integration pytest does not cut the lines of its summary, where a failure's message stands again
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "pytest_assay", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    said = done.stdout
    assert done.returncode == 1 and "4 failed, 2 passed" in said, said + done.stderr
    first = next(line for line in said.splitlines() if line.startswith("the simplest failing input:"))
    assert "heat=0.8" in first and "load=0.5" in first  # the other input is back at the middle of its range
    assert "note: 1 of 1 inputs of the database fail again" in said
    worth = "nothing found in 40 calls; with 95 % confidence at most 52.7 % of inputs fail"
    assert f"test_good: not falsified: {worth}" in said
    assert "with shape [3, 1]" in said
    kept = "no database folder: failures that were found are not kept"
    assert said.count(kept) == 3  # its message, the plugin's summary, pytest's own
    (file,) = (tmp_path / "failures").glob("*.jsonl")
    assert file.stat().st_size


@pytest.mark.parametrize(
    ("option", "setting", "folder"),
    [("there", "kept", "here/there"), (None, "kept", "root/kept"), (None, "", None)],
)
def test_the_database_is_what_the_command_line_says_or_the_settings(option, setting, folder):
    config = SimpleNamespace(
        getoption=lambda name: option,
        getini=lambda name: setting,
        invocation_params=SimpleNamespace(dir=Path("here")),
        rootpath=Path("root"),
    )
    assert pytest_assay._database(config) == folder
