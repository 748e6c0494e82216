"""Programs and servers by the words of a command line: boxes, runs, what no file may name."""

import json
from pathlib import Path

import numpy as np
import pytest
from umbridge_server import JACOBIAN, Model, serving

from assay.cli import run
from assay.connections import box_of, file_name, same_connection
from assay.own_code import find_problem, is_own
from assay.terminal.errors import UserError

SOLVER = '#!/bin/sh\nset -- $(cat $1) $2\necho "$1 $2 1" > $3\n'
WORD = "command:./solver {input} {output}"
BOX = ["--set", "box=a=1:2,b=1:4:log"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("solver").write_text(SOLVER)
    Path("solver").chmod(0o755)
    return tmp_path


@pytest.fixture
def said(here, capsys):
    """Run a command; its exit code, stdout as JSON, and stderr."""

    def call(*words):
        code = run([*words, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return call


@pytest.mark.parametrize(
    "given",
    ["a=1:2", ["a=1:2", "b=1:4:log"], {"a": [1, 2], "b": [1, 4, "log"]}],
)
def test_a_box_in_words_or_as_a_table(given):
    box = box_of(given)
    assert box.names == ("a", "b")[: box.dimension] and box.upper.tolist() == [2.0, 4.0][: box.dimension]
    assert box.log == (False, True)[: box.dimension]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a", "the box is --set box=NAME=LOW:HIGH"),
        (7, "the box is --set box=NAME=LOW:HIGH"),
        ("a=1", "input 'a' of the box goes from a number to a number"),
        ("a=1:x", "input 'a' of the box goes from a number to a number"),
        ({"a": 3}, "input 'a' of the box goes from a number to a number"),
        ({"a": [True, 3]}, "input 'a' of the box goes from a number to a number"),
        ("a=1:2:cubic", "input 'a': the scale is log, or left out, not 'cubic'"),
        ("a=2:1", "needs finite bounds with lower < upper"),
        ("a=1:nan", "needs finite bounds with lower < upper"),
    ],
)
def test_a_box_that_cannot_be_read(given, said):
    with pytest.raises((UserError, ValueError), match=said):
        box_of(given)


@pytest.mark.parametrize(
    ("word", "settings", "said"),
    [
        (WORD, {}, "say what the inputs are, with --set box=NAME=LOW:HIGH"),
        (WORD, {"box": "a=1:2", "patience": 3}, "there is no setting of command: called 'patience'"),
        (WORD, {"box": "a=1:2", "timelimit": 3}, "did you mean 'time_limit'"),
        ("command:./solver 'input", {"box": "a=1:2"}, "No closing quotation: it is split into words as a shell does"),
        ("command:", {"box": "a=1:2"}, "a command is a list of words"),
        ("command:solve.py {input}", {"box": "a=1:2"}, "there is no program 'solve.py' on the PATH"),
        (WORD, {"box": ["a=1:2", "b=1:4"], "coordinates": "x.npy"}, "--set coordinates=x.npy: a .npy file, or text"),
        ("umbridge:nowhere", {"box": "a=1:2"}, "the address of a server is http://HOST:PORT, not 'nowhere'"),
        ("umbridge:http://127.0.0.1:9", {"box": "a=1:2", "patience": 0}, "http://127.0.0.1:9 is away"),
        ("umbridge:http://127.0.0.1:9", {"box": "a=1:2", "size": 3}, "there is no setting of umbridge: called 'size'"),
    ],
)
def test_what_cannot_be_reached_is_told(here, word, settings, said):
    with pytest.raises((UserError, ValueError), match=said):
        find_problem(word, settings)


def test_a_program_is_no_module_and_files_have_plain_names():
    assert not is_own("command:solver") and is_own("commands:solver")
    assert file_name("mine:problem") == "mine-problem" and file_name("thermal-block") == "thermal-block"
    assert file_name("umbridge:http://127.0.0.1:4242#forward") == "umbridge-http-127.0.0.1-4242-forward"
    assert "/" not in file_name(WORD) and file_name(WORD) == "command-.-solver-input-output"
    assert same_connection("umbridge:http://a:1#forward", "umbridge:http://b:2#forward")
    assert not same_connection("umbridge:http://a:1#forward", "umbridge:http://a:1#other")
    assert not same_connection("command:a", "command:b")


def test_a_program_through_the_verbs(said, here):
    Path("nodes.csv").write_text("0\n1\n2\n")
    asked = [*BOX, "--set", "coordinates=nodes.csv", "--set", "time-limit=60"]
    code, found, _ = said("solve", WORD, *asked, "--at", "a=1.25,b=2")
    assert code == 0 and found["maximum"] == 2.0 and found["unknowns"] == 3
    small = ["--snapshots", "8", "--test", "4", "--surrogate", "mean", "--out", "r"]
    code, found, _ = said("train", WORD, *asked, *small)
    assert code == 0 and found["errors"]["max"] > 0.05
    code, _, err = said("falsify", "r", "--tolerance", "0.05")
    assert code == 2 and "if it is your own, name it again with --problem (and --set, if it was)" in err
    code, found, _ = said("falsify", "r", "--problem", WORD, *asked, "--tolerance", "0.05", "--budget", "8")
    assert code == 1 and found["counterexamples"]
    patient = ["--set", "box=b=1:4:log", "--set", "time-limit=9", "--set", "coordinates=nodes.csv"]
    code, _, err = said("guard", "r", "--problem", WORD, *patient, "--random", "1")
    assert code == 2 and "is a run of command:./solver {input} {output} with other settings: --set box" in err
    patient[1] = 'box={"a": [1, 2], "b": [1, 4, "log"]}'
    code, _, _ = said("guard", "r", "--problem", WORD, *patient, "--random", "1")
    assert code == 0  # neither the limit nor how the box is written makes another problem
    code, found, _ = said("replay", "r/counterexamples.jsonl", "--problem", WORD, *asked)
    assert code == 1
    code, found, _ = said("guard", "r", "--problem", WORD, *asked, "--random", "3")
    assert code == 0 and {row["route"] for row in found["rows"]} == {"solved"}
    Path("solver").write_text(SOLVER + "# newer\n")
    code, _, err = said("guard", "r", "--problem", WORD, *asked, "--random", "3")
    assert code == 2 and "(other matrices, weights, loads or programs)" in err


def test_a_run_of_a_model_follows_it_to_another_address(said, here):
    Path("box.toml").write_text("[set]\nconfig = {shift = 2.0}\nbox = {a = [0, 1], b = [0, 1], c = [1, 2]}\n")
    asked = ["--config", "box.toml"]
    small = ["--snapshots", "8", "--test", "4", "--surrogate", "mean", "--out", "r"]
    with serving(Model()) as url:
        code, found, _ = said("train", f"umbridge:{url}#forward", *asked, *small)
        assert code == 0
    with serving(Model()) as url:
        code, found, _ = said("guard", "r", "--problem", f"umbridge:{url}#forward", *asked, "--at", "0.5,0.5,1.5")
        assert code == 0 and found["rows"][0]["route"] == "solved"
        code, found, _ = said("solve", f"umbridge:{url}#forward", *asked, "--at", "0.5,0.5,1.5")
        assert found["maximum"] == np.max(JACOBIAN @ [0.5, 0.5, 1.5]) + 2
        code, _, err = said("guard", "r", "--problem", f"umbridge:{url}#other", *asked, "--random", "1")
        assert code == 2 and "is a run of 'umbridge:" in err


@pytest.mark.parametrize("word", ["command:touch touched", "umbridge:http://127.0.0.1:9#forward", "mine:problem"])
def test_a_configuration_file_names_nothing_that_is_run_or_asked(said, here, word):
    Path("evil.toml").write_text(f'problem = "{word}"\n')
    code, _, err = said("sample", "--config", "evil.toml", "--n", "1")
    assert code == 2 and "names what is run or asked, which no file may: say it on the command line" in err
    assert not Path("touched").exists()
