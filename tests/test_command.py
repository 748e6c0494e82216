"""Executables as problems: files in and out, exit codes, time limits, nothing left over."""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import assay
from assay.solvers.external.command import command
from assay.solvers.problem import SolveError
from assay.solvers.snapshots.sample import sample

BOX = assay.Box(("a", "b"), [0.0, 1.0], [1.0, 2.0])
TEXT = f"""#!{sys.executable} -S
import sys, time
a, b = (float(x) for x in open(sys.argv[1]))
if 0.10 < a < 0.15:
    print("computing", file=sys.stderr); print("licence server:  no seats left", file=sys.stderr); sys.exit(7)
if 0.20 < a < 0.25: sys.exit(0)
if 0.30 < a < 0.35: print("nan 1 2", file=open(sys.argv[2], "w")); sys.exit(0)
if 0.40 < a < 0.45: print("1 2 ***", file=open(sys.argv[2], "w")); sys.exit(0)
if 0.50 < a < 0.55: print("slow", file=sys.stderr, flush=True); time.sleep(60)
if 0.60 < a < 0.65:
    import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
if 0.70 < a < 0.75: print("1 2 3 4", file=open(sys.argv[2], "w")); sys.exit(0)
print(f"# u\\n{{a!r}}, {{a * b!r}}\\n{{b:.17E}}".replace("E+", "D+"), file=open(sys.argv[2], "w"))
"""
REASONS = {
    0.12: "ended with exit code 7: computing / licence server: no seats left",
    0.22: "ended with exit code 0 but wrote no output file",
    0.32: "answered with 1 of 3 values NaN or infinite",
    0.42: r"answered with '\*\*\*' in line 1 of its output file: not a number",
    0.52: "did not answer within 1.5 s: slow",
    0.62: "was ended by SIGSEGV",
    0.72: "answered with 4 values, not 3",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a solver in it, which sees the scratch folders as well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    program("solver", TEXT)
    return tmp_path


def program(name, text):
    Path(name).write_text(text)
    Path(name).chmod(0o755)


def truth(p):
    return np.array([p[0], p[0] * p[1], p[1]])


def made(**options):
    return command(["./solver", "{input}", "{output}.txt"], BOX, size=3, **options)


def test_a_program_is_a_problem_and_leaves_nothing_behind(here):
    problem = command(["./solver", "{input}", "{output}.txt"], BOX.replace(lower=[0.8, 1.0]))
    P = BOX.replace(lower=[0.8, 1.0]).sample(4)
    np.testing.assert_array_equal(problem.solve_batch(P), [truth(p) for p in P])
    assert problem.name == "solver" and problem.size == 3 and list((here / "scratch").iterdir()) == []
    sent = pickle.loads(pickle.dumps(problem))
    assert sent.fingerprint == problem.fingerprint
    np.testing.assert_array_equal(sent.solve(P[0]), truth(P[0]))


def test_why_a_solve_failed_is_kept_with_its_row(here):
    problem = made(time_limit=1.5)
    for a, why in REASONS.items():
        with pytest.raises(SolveError, match=f"solver was not solved at a={a}, b=2: the solver {why}"):
            problem.solve([a, 2.0])
    np.testing.assert_array_equal(problem.solve([0.9, 2.0]), truth([0.9, 2.0]))
    assert list((here / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", 'printf "%s\\n1\\n" {a}'],
        ["sh", "-c", "cat; echo"],
        ["sh", "-c", "cat {input}.dat; echo {{a}} {b} {{echo}} > /dev/null"],
        ["sh", "-c", "cd {folder} && cat {input} > result && mv result {output}"],
    ],
)
def test_numbers_come_as_words_on_stdin_or_in_files(here, words):
    p = [1 / 3, 1.0]
    np.testing.assert_array_equal(command(words, BOX, size=2).solve(p), p)


def test_files_of_numpy(here):
    program("double.py", "import sys, numpy as np\nnp.save(sys.argv[2], 2 * np.load(sys.argv[1]).reshape(1, 2))")
    problem = command([sys.executable, "double.py", "{input}.npy", "{output}.npy"], BOX, size=2)
    np.testing.assert_array_equal(problem.solve([1 / 3, 1.5]), [2 / 3, 3.0])
    Path("double.py").write_text("import sys\nopen(sys.argv[2], 'w').write('hello')")
    with pytest.raises(SolveError, match=r"is another program now: double.py was changed since this problem was made"):
        problem.solve([1 / 3, 1.5])
    damaged = command([sys.executable, "-S", "double.py", "{input}.npy", "{output}.npy"], BOX, size=2)
    with pytest.raises(SolveError, match="a file that numpy cannot read, its output file: ValueError"):
        damaged.solve([1 / 3, 1.5])


def test_files_of_another_version_of_the_program_are_refused(here):
    sample(made(), 2, path="s.h5")
    assert len(sample(made(), 2, path="s.h5")) == 2
    program("solver", TEXT + "# recompiled\n")
    with pytest.raises(
        ValueError, match=r"another run of solver: fingerprint \(class, matrices, weights, loads, program\) is"
    ):
        sample(made(), 2, path="s.h5")
    other = command(["./solver", "{input}", "{output}"], BOX, size=3)
    assert other.fingerprint != made().fingerprint == made(time_limit=9.0).fingerprint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["./absent", "{input}"], "there is no program ./absent in"),
        (["solver"], "there is no program 'solver' on the PATH: did you mean ./solver?"),
        (["no-such-program"], "there is no program 'no-such-program' on the PATH$"),
        (["./plain"], r"./plain may not be executed: chmod \+x ./plain, or say with what it is run"),
        ("./solver {input}", r"a command is a list of words, \[\"./solver\", \"{input}\", \"{output}\"\], not"),
        ([], "a command is a list of words"),
        (["./solver", "{ouput}"], "nothing fills {ouput} in '{ouput}': did you mean {output}"),
        (["./solver", "{zzz}"], "there are: input, output, folder, a, b; {{zzz}} stands for the braces themselves"),
    ],
)
def test_what_cannot_be_run_is_told_at_once(here, words, said):
    Path("plain").write_text("data")
    with pytest.raises(ValueError, match=said):
        command(words, BOX)


def test_an_input_may_not_be_called_like_a_place(here):
    with pytest.raises(ValueError, match="an input of the box is called 'input', which {input} would mean as well"):
        command(["./solver", "{input}"], assay.Box(("input",), [0.0], [1.0]))
    with pytest.raises(ValueError, match="{k-1} is not filled in, for 'k-1' is no plain word"):
        command(["./solver", "{k-1}"], assay.Box(("k-1",), [0.0], [1.0]))
    with pytest.raises(ValueError, match="time_limit is a positive number"):
        made(time_limit=-1)


def test_failing_at_the_centre_is_told_with_the_programs_words(here):
    program("solver", "#!/bin/sh\nprintf 'no \\033[31mmesh\\n' >&2\nexit 3\n")
    with pytest.raises(SolveError, match=r"at the centre of the box the solver ended with exit code 3: no \?\[31mmesh"):
        command(["./solver", "{input}", "{output}"], BOX)


def pids(word):
    """Processes whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            pass
    return found


def wait_until(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked up in /proc")
def test_a_time_limit_ends_all_that_the_program_started(here):
    program("tree", "#!/bin/sh\nsleep 61.25 &\nsleep 61.25\n")
    with pytest.raises(SolveError, match=r"did not answer within 0.3 s"):
        command(["./tree", "{input}", "{output}"], BOX, size=1, time_limit=0.3).solve([0.5, 1.0])
    assert wait_until(lambda: not pids("61.25")) and list((here / "scratch").iterdir()) == []


KILLED = """
import sys; sys.path.insert(0, {root!r})
import tempfile; tempfile.tempdir = "scratch"
from pathlib import Path
from assay.solvers.external.process_group import run_program
scratch = Path(tempfile.mkdtemp())
with open("out", "wb") as out:
    run_program(["sh", "-c", "sleep 62.5 & sleep 62.5"], ".", scratch.resolve(), None, 0, out, out)
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("signal", ["KILL", "INT"])
def test_nothing_is_left_where_our_process_is_killed_or_interrupted(here, signal):
    code = KILLED.format(root=str(Path(assay.__file__).parent.parent))
    ours = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert wait_until(lambda: len(pids("62.5")) >= 3, 60)
        subprocess.run(["kill", f"-{signal}", str(ours.pid)], check=True)
        said = ours.communicate(timeout=30)[1].decode()
        assert ours.returncode < 0 or "KeyboardInterrupt" in said
        assert wait_until(lambda: not pids("62.5"))
        if signal == "KILL":
            assert wait_until(lambda: not list((here / "scratch").iterdir()))
    finally:
        for pid in pids("62.5"):
            os.kill(pid, 9)


def test_it_runs_in_the_folder_where_it_was_made(here, tmp_path_factory, monkeypatch):
    problem = made()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    np.testing.assert_array_equal(problem.solve([0.9, 2.0]), truth([0.9, 2.0]))


def test_words_are_not_read_by_a_shell(here):
    problem = command(["printf", "%s", "$(echo 5)", "{a}"], BOX, size=1)
    with pytest.raises(SolveError, match=r"answered with '\$\(echo' in line 1 of what it printed"):
        problem.solve([0.5, 1.0])
