"""Ctrl-C while JAX is being imported, which here is a stand-in that interrupts its own import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import assay

ROOT = Path(assay.__file__).resolve().parent.parent
INTERRUPTED = "assay: interrupted; nothing was written\n"


@pytest.fixture
def start(tmp_path):
    (tmp_path / "jax.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    (tmp_path / "assay").write_text("from assay.cli import main\nmain()\n")  # as the installed script begins
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def run(*words: str, ignored: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", *words]  # -P: the script's folder, which holds `assay`, is not on the path
        shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] if ignored else []
        return subprocess.run([*shell, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("words", [("-m", "assay", "problems"), ("assay", "problems")])
def test_the_command_line_says_it_in_one_line(start, words):
    done = start(*words)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)


def test_a_program_that_asks_assay_for_a_name_gets_its_exception(start):
    caught = "import assay\ntry:\n    assay.falsify\nexcept KeyboardInterrupt:\n    print('caught')"
    assert start("-c", caught).stdout == "caught\n"


def test_an_interruption_that_was_ignored_stays_ignored(start):
    done = start("-m", "assay", "problems", ignored=True)
    assert INTERRUPTED not in done.stderr and "jax" in done.stderr  # the stand-in is no JAX: that is what ends it
