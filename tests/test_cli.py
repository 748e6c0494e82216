"""The command line as users and programs meet it: exit codes, JSON fields, one-line errors, nothing lost."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import assay
from assay.cli import run

SMALL = ["--set", "cells=4", "--set", "blocks=2,1"]
OWN = ["--problem", "thermal-block", *SMALL]

ENVIRONMENT = {  # of subprocesses: this assay, and lines that are not broken
    **os.environ,
    "PYTHONPATH": str(Path(assay.__file__).parent.parent),
    "COLUMNS": "200",
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "d" / "jax"),
}

MODULE = """
import numpy as np, assay
problem = assay.problem("thermal-block", blocks=(2, 1), cells=4)
def exact(P): return np.asarray(problem.solve_batch(P))
def scaled(P): return 1.05 * exact(P)
def slightly(P): return (1.005 * exact(P)).astype(np.float32)
def nan(P): return np.full((len(P), problem.size), np.nan)
def infinite(P): u = exact(P); u[:, 0] = np.inf; return u
def shape(P): return np.zeros((len(P), 3))
def raises(P): raise RuntimeError("no answer")
number = 3
box = assay.Box(("a", "b"), np.array([1.0, 0.0]), np.array([2.0, 1.0]))
foreign = assay.black_box(lambda p: np.array([p[0], p[1] ** 2, 1.0]), box)
def half_wrong(P): return np.stack([[p[0] * (1.2 if p[0] > 1.5 else 1.0), p[1] ** 2, 1.0] for p in P])
def make(low=1.0): return foreign if low == 1.0 else 1 / 0
print("a user's module says hello")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of one's own with a module in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.delenv("ASSAY_DEBUG", raising=False)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.fixture
def said(here, capsys):
    """Run a command; its exit code, stdout as JSON, and stderr."""

    def command(*words, code=0):
        assert run([*words, "--json"]) == code
        out, err = capsys.readouterr()
        return json.loads(out) if out else None

    return command


@pytest.fixture
def mistake(here, capsys):
    """Run a command that is the user's mistake: exit code 2, one line, no traceback, nothing on stdout."""

    def command(*words, code=2):
        assert run(list(words)) == code
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("assay")]
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0]

    return command


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with a deliberately poor surrogate."""
    path = tmp_path_factory.mktemp("runs") / "mean"
    words = ["train", "thermal-block", "--surrogate", "mean", "--snapshots", "8", "--test", "4", *SMALL]
    assert run([*words, "--out", str(path)]) == 0
    return path


# --- what there is --------------------------------------------------------------------------------------------------


def test_problems_tells_inputs_ranges_unknowns_and_evidence(said):
    found = {about["name"]: about for about in said("problems")["problems"]}
    block = found["thermal-block"]
    assert block["unknowns"] == 65**2
    assert block["evidence"] == "proved"
    assert [entry["name"] for entry in block["inputs"]] == ["k00", "k01", "k10", "k11"]
    assert block["inputs"][0]["lower"] == 0.1
    assert found["burgers"]["evidence"] == "proved" and found["allen-cahn"]["evidence"] != "proved"


def test_solve_gives_the_published_temperature(said):
    # k = 1: u at the centre is 0.0736713532815; on 64 x 64 cells within 1e-4 of it, relative
    payload = said("solve", "thermal-block", "--at", "k00=1,k01=1,k10=1,k11=1", "--out", "u.npz", "--plot", "u.png")
    assert payload["maximum"] == pytest.approx(0.0736713532815, rel=3e-4)
    assert payload["residual"] <= 1e-12
    stored = np.load("u.npz")
    assert stored["u"].max() == payload["maximum"]
    assert Path("u.png").read_bytes()[:4] == b"\x89PNG"


def test_version_and_help(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == assay.__version__
    assert run(["falsify", "--help"]) == 0
    assert "--tolerance" in capsys.readouterr().out
    assert run([]) == 2


# --- a run, from training to replay -----------------------------------------------------------------------------------


def test_training_leaves_a_run_that_says_how_to_repeat_it(trained):
    facts = json.loads((trained / "run.json").read_text())
    assert facts["status"] == "complete"
    assert facts["settings"]["problem"]["settings"] == {"blocks": [2, 1], "cells": 4, "low": 0.1, "high": 10.0}
    assert facts["settings"]["training"]["snapshots"] == 8
    errors = facts["results"]["errors"]
    assert set(errors) == {"mean", "median", "p95", "max"}
    assert errors["median"] <= errors["p95"] <= errors["max"]
    assert facts["results"]["solver_calls"] == 12
    assert facts["command"].startswith("assay train thermal-block --surrogate mean")
    assert len(assay.load_snapshots(trained / "snapshots.h5")) == 8


@pytest.mark.smoke
def test_falsify_finds_it_and_replay_confirms_it(trained, said):
    found = said("falsify", str(trained), "--tolerance", "0.05", "--budget", "4", code=1)
    assert found["verdict"] == "falsified"
    assert found["solver_calls"] <= 4
    first = found["counterexamples"][0]
    assert {"inputs", "error", "lower", "upper", "evidence", "solver_calls"} <= set(first)
    assert 0.05 < first["lower"] <= first["error"] <= first["upper"]
    assert found["worst"] == max(c["error"] for c in found["counterexamples"])
    again = said("replay", first["record"], code=1)
    assert again["fails"]
    assert again["error"] == pytest.approx(first["error"], rel=1e-9)
    healed = said("replay", first["record"], "--surrogate", "mine:exact", code=0)
    assert not healed["fails"]
    assert healed["error"] < 1e-9


def test_an_existing_file_is_never_replaced_by_answers(trained, mistake):
    for name in ("model.safetensors", "run.json"):
        file = Path(trained) / name
        before = file.read_bytes()
        assert "exists: choose another --out" in mistake("guard", str(trained), "--random", "2", "--out", str(file))
        assert file.read_bytes() == before


def test_json_asked_for_in_a_file_is_alone_on_stdout_too(here, capsys):
    (here / "settings.toml").write_text("json = true\nrandom = 1\n")
    assert run(["certify", "mine:exact", *OWN, "--config", "settings.toml"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["evidence"] == "proved" and "hello" in err


def test_fields_of_another_grid_are_a_mistake_not_a_failure(mistake):
    for verb in ("falsify", "certify", "guard"):
        words = ["--random", "1"] if verb != "falsify" else []
        line = mistake(verb, "mine:shape", *OWN, *words)
        assert "with shape [2, 3]" in line and "give the problem the settings" in line


def test_a_wrong_option_is_told_before_anything_is_solved(mistake, here):
    line = mistake("train", "thermal-block", *SMALL, "--option", "widht=3", "--out", "run")
    assert "did you mean 'widths'" in line and not (here / "run").exists()


def test_certify_encloses_the_true_error(trained, said):
    payload = said("certify", str(trained), "--random", "5", "--truth", "--steps", "0", "--tolerance", "1e-3", code=1)
    assert payload["evidence"] == "proved"
    assert payload["against"].startswith("against the discrete solution on this grid")
    assert payload["assumptions"]
    lower, error, upper = (np.array(payload[key]) for key in ("lower", "error", "upper"))
    assert (lower <= error * (1 + 1e-9)).all()
    assert (error <= upper * (1 + 1e-9)).all()
    assert (
        1 - 1e-9 <= min(payload["effectivity"]) <= max(payload["effectivity"]) <= 10
    )  # sqrt(contrast) with no CG step
    assert max(payload["relative_lower"]) > 1e-3
    stored = json.loads((trained / "certify.json").read_text())
    assert stored["upper"] == payload["upper"]


def test_guard_answers_a_csv_within_the_tolerance(trained, said, here):
    (here / "queries.csv").write_text("k10,k00\n1.0,2.0\n0.1,10\n")
    payload = said("guard", str(trained), "--inputs", "queries.csv", "--tolerance", "1e-3", "--out", "answers.npz")
    assert [row["inputs"] for row in payload["rows"]] == [{"k00": 2.0, "k10": 1.0}, {"k00": 10.0, "k10": 0.1}]
    assert all(row["upper"] <= 1e-3 for row in payload["rows"])
    assert payload["totals"]["n"] == 2
    owner = assay.problem("thermal-block", blocks=(2, 1), cells=4)
    stored = np.load("answers.npz")
    for p, u in zip(stored["inputs"], stored["u"], strict=True):
        assert owner.relative_error(p, u, owner.solve(p)) <= 1e-3


def test_an_existing_run_is_never_overwritten(trained, mistake):
    words = ["train", "thermal-block", "--surrogate", "mean", "--snapshots", "8", "--test", "4", "--out", str(trained)]
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    assert "complete" in mistake(*words, *SMALL)
    assert "cells is 4 there and 16 here" in mistake(*words, "--set", "cells=16", "--set", "blocks=2,1")
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_sampling_goes_on_in_its_file_and_refuses_another(said, mistake):
    assert said("sample", "thermal-block", "--n", "3", *SMALL)["n"] == 3
    first = assay.load_snapshots("snapshots.h5")
    assert said("sample", "thermal-block", "--n", "5", *SMALL)["n"] == 5
    longer = assay.load_snapshots("snapshots.h5")
    assert np.array_equal(longer.fields[:3], first.fields)
    assert "seed is 0 there and 1 here" in mistake("sample", "thermal-block", "--n", "5", "--seed", "1", *SMALL)


# --- surrogates and problems of one's own -----------------------------------------------------------------------------


@pytest.mark.smoke
def test_ones_own_surrogate_of_a_known_problem(said):
    found = said("falsify", "mine:scaled", *OWN, "--budget", "4", code=1)
    assert found["worst"] == pytest.approx(0.05, rel=1e-9)
    assert Path("counterexamples.jsonl").exists()
    assert (
        said("certify", "mine:slightly", *OWN, "--random", "3", "--steps", "0", "--tolerance", "0.1")["evidence"]
        == "proved"
    )


def test_the_truth_is_not_falsified(said):
    found = said("falsify", "mine:exact", *OWN, "--budget", "4")
    assert found["verdict"] == "not falsified"
    assert found["counterexamples"] == []
    assert not Path("counterexamples.jsonl").exists()


def test_a_broken_surrogate_is_undecided_and_guarded_by_solving(said):
    bounds = said("certify", "mine:nan", *OWN, "--random", "2", "--steps", "0", code=3)
    assert bounds["upper"] == ["inf", "inf"]
    assert bounds["evidence"] == "undecided"
    answers = said("guard", "mine:raises", *OWN, "--random", "2")
    assert [row["route"] for row in answers["rows"]] == ["solved", "solved"]


def test_a_foreign_solver_is_searched_but_nothing_is_proved(said):
    found = said(
        "falsify", "mine:half_wrong", "--problem", "mine:foreign", "--tolerance", "0.05", "--budget", "12", code=1
    )
    assert found["counterexamples"][0]["evidence"] == "observed"
    assert all(c["inputs"]["a"] > 1.5 for c in found["counterexamples"])
    assert said("replay", "counterexamples.jsonl#0", "--problem", "mine:foreign", code=1)["fails"]
    assert (
        said("certify", "mine:half_wrong", "--problem", "mine:make", "--random", "1", code=3)["evidence"] == "undecided"
    )


def test_the_replay_that_is_printed_works(here, capsys):
    words = ["falsify", "mine:half_wrong", "--problem", "mine:make", "--set", "low=1.0", "--budget", "12"]
    assert run([*words, "--out", "my records.jsonl"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("solve one again: ")]
    command = shlex.split(line.removeprefix("solve one again: "))
    assert command[:2] == ["assay", "replay"] and "mine:make" in command
    assert run(command[1:]) == 1
    assert "the failure stands" in capsys.readouterr().out


def test_an_absolute_error_is_allowed_stored_and_said(said, here, capsys):
    words = ["falsify", "mine:half_wrong", "--problem", "mine:foreign", "--budget", "12", "--tolerance", "0.05"]
    lenient = said(*words, "--absolute", "1.0", "--draws", "3")
    assert lenient["verdict"] == "not falsified" and lenient["absolute"] == 1.0 and lenient["draws"] == 3
    found = said(*words, "--absolute", "1e-3", code=1)
    assert found["settings"]["absolute"] == found["absolute"] == 1e-3
    record = found["counterexamples"][0]["record"]
    assert said("replay", record, "--problem", "mine:foreign", code=1)["absolute"] == 1e-3
    assert not said("replay", record, "--problem", "mine:foreign", "--absolute", "1.0")["fails"]
    run([*words, "--absolute", "1e-3"])
    out = " ".join(capsys.readouterr().out.split())
    assert "relative to the solution's plus 0.02 (where the solution is zero, 0.001 is allowed)" in out


def test_a_solver_that_is_away_leaves_the_search_undecided(said, here):
    program = "import assay, numpy as np\n"
    program += "def solve(p): raise RuntimeError('no seats left')\n"
    program += "away = assay.black_box(solve, assay.Box(('a',), np.zeros(1), np.ones(1)), size=3)\n"
    program += "def guess(P): return np.ones((len(P), 3))\n"
    (here / "gone.py").write_text(program)
    found = said("falsify", "gone:guess", "--problem", "gone:away", "--budget", "3", code=3)
    assert found["verdict"] == "undecided" and found["worst"] is None
    assert any("no seats left" in note and "a=" in note for note in found["notes"])


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("solve thermal-blok", "did you mean 'thermal-block'?"),
        ("solve thermal-block --set cels=8", "did you mean 'cells'?"),
        ("solve thermal-block --set cells=9", "not a multiple"),
        ("solve thermal-block --set low=5 --set high=1", "0 < low < high"),
        ("solve thermal-block --set blocks=0,2", "at least one block"),
        ("solve thermal-block --set cells", "KEY=VALUE"),
        ("solve thermal-block --at k00=1,k01=1,k10=1", "k11 missing"),
        ("solve thermal-block --at 1,2,3", "needs 4 values"),
        ("solve thermal-block --at k00=1,k01=1,k10=1,k22=1", "no input called 'k22'"),
        ("solve thermal-block --at 1,2,3,x", "'x' is not a number"),
        ("solve thermal-block --at 1,2,3,nan", "row 0, input 'k11'"),
        ("solve thermal-block --at 1,2,3,99", "row 0, input 'k11': 99 is outside [0.1, 10]"),
        ("solve thermal-block --plot u.gif", ".png"),
        ("solve thermal-block --set cells=8 --out nowhere/u.npz", "nowhere"),
        ("solve thermal-block --colour", "--colour"),
        ("solve", "PROBLEM"),
        ("slove thermal-block", "slove"),
        ("train thermal-block --surrogate pod-mpl", "did you mean 'pod-mlp'?"),
        ("train thermal-block --snapshots -1", "--snapshots"),
        ("train thermal-block --box k00=1:99", "beyond the problem's own box"),
        ("falsify nowhere", "does not exist"),
        ("falsify mine:exact", "--problem"),
        ("falsify mine:nobody --problem thermal-block", "no 'nobody'"),
        ("falsify mine:number --problem thermal-block", "a surrogate is a function"),
        ("falsify absent:exact --problem thermal-block", "no module absent here"),
        ("falsify mine:exact --problem thermal-block --tolerance 0", "must be positive"),
        ("falsify mine:exact --problem thermal-block --budget 0", "at least one solver call"),
        ("certify mine:half_wrong --problem mine:foreign", "say where"),
        ("certify mine:exact --problem mine:number --random 1", "neither a Problem"),
        ("certify mine:exact --problem mine:make --set low=2 --random 1", "ZeroDivisionError"),
        ("guard mine:half_wrong --problem mine:foreign --inputs none.csv", "none.csv"),
        ("guard mine:half_wrong --problem mine:foreign --at 5,5", "row 0, input 'a'"),
        ("replay none.jsonl", "none.jsonl"),
        ("audit none.json", "no trust map at none.json"),
        ("replay mine.py", "line 1"),
        ("sample thermal-block --n 0", "--n"),
        ("solve thermal-block --config none.toml", "none.toml"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(mistake, words, part):
    assert part in mistake(*words.split())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "holds no inputs"),
        ("k00,k10\n", "no rows"),
        ("k00,k11\n1,2\n", "no input called 'k11'"),
        ("k00\n1\n", "name every input once"),
        ("1,2\n1\n", "line 2: 1 values instead of 2"),
        ("k00,k10\n1,2\n1,b\n", "line 3, input 'k10': 'b' is not a number"),
        ("1,nan\n", "row 0, input 'k10'"),
    ],
)
def test_bad_csv_names_line_and_input(mistake, here, text, part):
    (here / "q.csv").write_text(text)
    assert part in mistake("guard", "mine:exact", *OWN, "--inputs", "q.csv")


# --- settings files ---------------------------------------------------------------------------------------------------


def test_flags_win_over_the_settings_file(said, here):
    (here / "s.toml").write_text('n = 4\nseed = 7\nout = "a.h5"\n[set]\ncells = 8\nblocks = [2, 1]\n')
    payload = said("sample", "thermal-block", "--config", "s.toml", "--n", "2", "--set", "cells=4")
    assert (payload["n"], payload["seed"], payload["out"]) == (2, 7, "a.h5")
    assert payload["settings"]["cells"] == 4
    assert payload["settings"]["blocks"] == [2, 1]


@pytest.mark.parametrize(
    ("text", "part"), [("n = ", "not TOML"), ("sead = 1", "did you mean 'seed'?"), ("n = 'x'", "n")]
)
def test_a_wrong_settings_file_is_a_mistake(mistake, here, text, part):
    (here / "s.toml").write_text(text)
    assert part in mistake("sample", "thermal-block", "--config", "s.toml")


# --- the process ------------------------------------------------------------------------------------------------------


def test_an_internal_error_is_short_and_has_its_own_code(here, capsys, monkeypatch):
    def broken(*args, **kwargs):
        np.zeros(3).reshape(2)  # a ValueError from inside numpy is not the user's

    monkeypatch.setattr("assay.commands.explore.find_problem", broken)
    assert run(["solve", "thermal-block"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("assay: internal error: ValueError")
    assert "Traceback" not in err
    assert run(["--debug", "solve", "thermal-block"]) == 70
    assert "Traceback" in capsys.readouterr().err
    assert run(["solve", "thermal-block"]) == 70  # what one command asked for is not left to the next
    assert "Traceback" not in capsys.readouterr().err


def test_json_stands_alone_on_stdout_even_where_a_module_prints(here):
    words = ["certify", "mine:exact", *OWN, "--random", "1", "--steps", "0", "--json"]
    result = subprocess.run([sys.executable, "-m", "assay", *words], capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["evidence"] == "proved"
    assert "hello" in result.stderr


def test_ctrl_c_says_what_was_kept_and_the_same_command_goes_on(here):
    # a shell in the background hands an ignored SIGINT down; people at a terminal do not
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from assay.cli import main; sys.argv[0] = 'assay'; main()"
    )
    words = [sys.executable, "-c", program, "sample", "thermal-block", "--n", "100000", "--set", "cells=32"]
    journal = here / "snapshots.h5.journal"
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        try:
            deadline = time.monotonic() + 60
            while not (journal.exists() and journal.stat().st_size > 100_000) and time.monotonic() < deadline:
                time.sleep(0.05)
                assert process.poll() is None, process.stderr.read()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "of 100000 snapshots are kept" in err
    assert "Traceback" not in err
    kept = len(assay.load_snapshots(here / "snapshots.h5"))
    assert kept > 0
    assert run(["sample", "thermal-block", "--n", str(kept + 1), "--set", "cells=32"]) == 0
    assert len(assay.load_snapshots(here / "snapshots.h5")) >= kept + 1
