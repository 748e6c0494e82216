"""Ctrl-C inside a solver comes out as KeyboardInterrupt, whatever called the solver; and an exit waits for XLA."""

import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay import starting
from assay.cli import run
from assay.solvers import interrupts
from assay.solvers.interrupts import finished
from assay.solvers.linear_algebra.direct import callback_float64

BOX = assay.Box(("a", "b"), lower=[0.0, 0.0], upper=[1.0, 1.0])
X = np.linspace(0.0, 1.0, 5)


class Solver:
    """p -> 5 values; Ctrl-C comes during the call of a given number."""

    def __init__(self):
        self.calls, self.stop_at, self.stop = 0, None, lambda: os.kill(os.getpid(), signal.SIGINT)

    def __call__(self, p):
        self.calls += 1
        if self.calls == self.stop_at:
            self.stop()
        return 1 + p[0] * X + p[1] ** 2


@pytest.fixture(scope="module")
def solver():
    return Solver()


@pytest.fixture(scope="module")
def problem(solver):
    return assay.black_box(solver, BOX)


@pytest.fixture(scope="module")
def surrogate(problem):
    return assay.train(problem, "linear", assay.sample(problem, 8))


VERBS = {
    "solve": lambda problem, surrogate: problem.solve_report([0.3, 0.4]),
    "sample": lambda problem, surrogate: assay.sample(problem, 6, seed=3),
    "falsify": lambda problem, surrogate: assay.falsify(problem, surrogate, 1e-9, budget=8),
    "guard": lambda problem, surrogate: assay.guard(problem, surrogate, 1e-9)(BOX.sample(6)),
    "batch": lambda problem, surrogate: problem.solve_batch(BOX.sample(6)),
    "in compiled code": lambda problem, surrogate: finished(jax.jit(problem.solve_batch), BOX.sample(6)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_inside_a_users_solver_ends_the_verb(verb, stop, solver, problem, surrogate, monkeypatch):
    def end():
        if stop is KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
        raise stop

    monkeypatch.setattr(solver, "stop", end)
    monkeypatch.setattr(solver, "stop_at", solver.calls + (1 if verb == "solve" else 2))
    with pytest.raises(stop):
        VERBS[verb](problem, surrogate)
    assert solver.calls == solver.stop_at  # nobody asked it again
    assert np.isfinite(problem.solve_batch(BOX.sample(2))).all()  # and the next call is not told of it


def test_an_interruption_between_xla_and_the_function_it_calls_is_one(monkeypatch):
    def fault(*args):
        raise jax.errors.JaxRuntimeError("INTERNAL: CpuCallback error calling callback: KeyboardInterrupt: ")

    with pytest.raises(KeyboardInterrupt):
        finished(fault)
    monkeypatch.setattr(interrupts, "_kept", [])
    with pytest.raises(jax.errors.JaxRuntimeError, match="out of memory"):
        finished(lambda: (_ for _ in ()).throw(jax.errors.JaxRuntimeError("out of memory")))


def test_an_interruption_where_nothing_can_be_raised_comes_again(monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", starting.comes_again)
    lost = []

    class Careless:
        def __del__(self):
            lost.append(1)
            raise KeyboardInterrupt

    def interrupted():
        Careless()
        assert lost
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_an_exception_of_a_host_function_stays_an_error():
    def bad(x):
        raise ZeroDivisionError("by zero")

    with pytest.raises(jax.errors.JaxRuntimeError, match="by zero"):
        finished(jax.jit(lambda x: callback_float64(bad, x, x)), jnp.ones(3))


SCRIPT = """
import os, signal, threading
import jax, jax.numpy as jnp, jax.monitoring
import assay
from assay.cli import run
from assay.solvers import interrupts

def slow(x):
    for i in range(60):
        x = jnp.sort(jnp.sin(x * i)) @ jnp.ones((7, 7)) + x
    return x

def begun(event, value, fun_name="", **about):
    if event == interrupts.COMPILED and "slow" in fun_name:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

signal.signal(signal.SIGINT, signal.default_int_handler)
x = jnp.ones(7)
jax.monitoring.register_scalar_listener(begun)
try:
    jax.jit(slow)(x)
except KeyboardInterrupt:
    print("interrupted", len(interrupts._abandoned))
"""


def test_an_exit_while_xla_compiles_is_clean():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "interrupted 1\n"


INTERRUPTED = """
import os, signal
import numpy as np, assay

calls = [0]

def solver(p):
    calls[0] += 1
    if calls[0] > 1:  # the first learns the size
        os.kill(os.getpid(), signal.SIGINT)
    return np.array([p[0], p[1] ** 2, 1.0])

problem = assay.black_box(solver, assay.Box(("a", "b"), np.array([1.0, 0.0]), np.array([2.0, 1.0])))
def surrogate(P): return np.stack([P[:, 0], P[:, 1], P[:, 0]], axis=1)
"""
MINE = ["stops:surrogate", "--problem", "stops:problem"]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["sample", "stops:problem", "--n", "8"], "0 of 8 snapshots are kept beside snapshots.h5"),
        (["train", "stops:problem", "--out", "r"], "what was done is kept in r; the same command goes on"),
        (["falsify", *MINE], "nothing of this search was kept"),
        (["guard", *MINE, "--random", "4"], "nothing was written"),
        (["certify", *MINE, "--random", "4", "--truth"], "nothing was written"),
        (["solve", "stops:problem"], "nothing was written"),
        (
            ["bench", "stops:problem", "--surrogate", "mean", "--snapshots", "4", "--draws", "2"],
            "tables done so far: none",
        ),
    ],
)
def test_the_command_line_ends_every_verb_alike(tmp_path, capsys, monkeypatch, words, kept):
    (tmp_path / "stops.py").write_text(INTERRUPTED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "stops", raising=False)
    assert run(words) == 130
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("assay")]
    assert len(lines) == 1 and lines[0].startswith(f"assay: interrupted; {kept}")
    assert "Traceback" not in err


@pytest.mark.parametrize("code", [0, 1, "no licence"])
def test_a_solver_that_ends_the_program_has_no_say_in_the_exit_code(tmp_path, capsys, monkeypatch, code):
    stop = f"raise SystemExit({code!r})"
    (tmp_path / "leaves.py").write_text(INTERRUPTED.replace("os.kill(os.getpid(), signal.SIGINT)", stop))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "leaves", raising=False)
    assert run(["sample", "leaves:problem", "--n", "8"]) == 2
    err = capsys.readouterr().err
    assert f"assay: a module, solver or surrogate of your own called sys.exit({code}); 0 of 8 snapshots are kept" in err
    assert "Traceback" not in err
