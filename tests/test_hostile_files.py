"""Files made by somebody who means harm: none runs code, leaves its folder or takes the machine; one line, exit 2."""

import json
import sys

import numpy as np
import pytest

from assay import problem, surrogates
from assay.cli import run
from assay.run_folder import RunFolder
from assay.solvers import sample
from assay.terminal.errors import UserError
from assay.verify.evidence import Evidence
from assay.verify.search.counterexample import Counterexample
from assay.verify.search.records import write_records

TRAP = "open('sprung', 'w').close()\ndef make(*_, **__): raise SystemExit('run')\n"
SETTINGS = {"blocks": [2, 1], "cells": 4, "low": 0.1, "high": 10.0}


@pytest.fixture(scope="module")
def block():
    return problem("thermal-block", **SETTINGS)


@pytest.fixture(scope="module")
def honest(block, tmp_path_factory):
    """A run folder with everything that this library writes."""
    folder = tmp_path_factory.mktemp("honest") / "run"
    words = ["train", "thermal-block", "--surrogate", "mean", "--snapshots", "4", "--test", "2"]
    assert run([*words, "--set", "cells=4", "--set", "blocks=2,1", "--out", str(folder)]) == 0
    write_records(folder / "counterexamples.jsonl", [a_record(block)])
    return folder


def a_record(block, **changes):
    p = block.inputs.from_unit([0.5, 0.5])
    about = {"problem_name": "thermal-block", "problem_settings": block.settings, "seed": 0}
    numbers = {"error": 1.0, "lower": 1.0, "upper": 1.0, "tolerance": 0.01, "solver_calls": 1}
    made = {"inputs": p, "evidence": Evidence.OBSERVED, "found": "draw", "field": np.zeros(block.size)}
    return Counterexample(**{**made, **numbers, **about, **changes})


@pytest.fixture
def evil(honest, tmp_path, monkeypatch):
    """A copy of the run folder to be spoilt, beside a module that tells when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("ASSAY_DEBUG", raising=False)
    (tmp_path / "trap.py").write_text(TRAP)
    folder = tmp_path / "evil"
    folder.mkdir()
    for file in honest.iterdir():
        if not file.name.startswith("."):
            (folder / file.name).write_bytes(file.read_bytes())
    yield folder
    assert not (tmp_path / "sprung").exists() and "trap" not in sys.modules


@pytest.fixture
def refused(capsys):
    """Run a command that must end as the user's mistake: exit code 2 and one line."""

    def command(*words, code=2):
        assert run([str(word) for word in words]) == code
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("assay")]
        assert len(lines) == 1 and "Traceback" not in err and out == "", err
        return lines[0]

    return command


def edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data) + "\n")


# --- nothing that a file names is run ---------------------------------------------------------------------------------


WORDS = [
    "trap:make",
    "subprocess:check_output",
    "trap",
    "os.path:join",
    "../trap:make",
    "black-box",
    "affine",
    "",
    "x" * 9999,
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "words",
    [
        "certify evil --random 1",
        "falsify evil --budget 1",
        "guard evil --random 1",
        "audit evil/trust-map.json",
        "replay evil/counterexamples.jsonl",
    ],
)
def test_a_problem_named_by_a_file_is_looked_up_and_never_run(evil, refused, word, words):
    (evil / "trust-map.json").write_text("{}")
    edit(evil / "run.json", lambda d: d["settings"]["problem"].update(name=word, asked={"args": ["touch", "sprung"]}))
    edit(evil / "counterexamples.jsonl", lambda d: d.update(problem=word, settings={"args": ["touch", "sprung"]}))
    assert len(refused(*words.split())) <= 1200


@pytest.mark.parametrize("word", WORDS)
def test_a_problem_named_by_a_model_is_looked_up_and_never_run(evil, word):
    path = evil / "model.safetensors"
    spoil_header(path, lambda header: header.update(problem=word, settings={"path": "sprung"}))
    with pytest.raises(ValueError, match="model.safetensors") as caught:
        surrogates.load(path)
    assert "\n" not in str(caught.value)


def spoil_header(path, change):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(path, framework="numpy") as stored:
        header = json.loads(stored.metadata()["assay"])
        arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    change(header)
    save_file(arrays, path, metadata={"assay": json.dumps(header)})


@pytest.mark.parametrize(
    "text",
    ['problem = "trap:make"', 'run = "trap:make"', 'PROBLEM = "trap:make"', "problem = [" * 20_000, "a = \x00", "\xff"],
)
def test_a_configuration_file_holds_settings_alone(evil, refused, text):
    (evil / "c.toml").write_text(text)
    refused("certify", evil, "--random", "1", "--config", evil / "c.toml")
    (evil / "d.toml").write_text('problems = ["trap:make"]')
    assert "names what is run" in refused("bench", "--config", evil / "d.toml")


def test_a_run_of_ones_own_problem_is_used_by_naming_it_again(tmp_path, monkeypatch, refused, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_problem.py").write_text(
        "import numpy as np, assay\n"
        "def make(slope=1.0):\n"
        "    return assay.black_box(lambda p: slope * p[0] * np.ones(3), assay.Box(('a',), [1.0], [2.0]))\n"
        "def other(slope=1.0): return make(slope)\n"
    )
    words = ["train", "own_problem:make", "--set", "slope=2", "--surrogate", "mean", "--snapshots", "4", "--test", "1"]
    assert run([*words, "--out", "r"]) == 0
    own = ["--problem", "own_problem:make", "--set", "slope=2"]
    assert run(["falsify", "r", *own, "--budget", "4", "--tolerance", "0.01"]) == 1
    assert run(["replay", "r/counterexamples.jsonl", *own, "--surrogate", "r"]) == 1
    capsys.readouterr()
    assert "name it again with --problem" in refused("falsify", "r", "--budget", "4")
    assert "--problem" in refused("replay", "r/counterexamples.jsonl")
    assert "not of own_problem:other" in refused("falsify", "r", "--problem", "own_problem:other", "--set", "slope=2")
    assert "slope is 2 there and null here" in refused("falsify", "r", "--problem", "own_problem:make")


def test_settings_from_a_file_do_not_take_the_machine(evil):
    for key, value in (("cells", 10**9), ("blocks", [10**4, 10**4]), ("cells", 10**30), ("cells", "x"), ("low", [])):
        edit(evil / "run.json", lambda d, k=key, v=value: d["settings"]["problem"]["asked"].update({**SETTINGS, k: v}))
        with pytest.raises((UserError, ValueError)):
            RunFolder.open(evil).problem()


@pytest.mark.smoke
def test_links_in_a_run_folder_lead_nowhere(evil, refused, tmp_path):
    outside = tmp_path / "outside"
    for name, words in (
        ("run.json", "certify evil --random 1"),
        ("model.safetensors", "certify evil --random 1"),
        ("certify.json", "certify evil --random 1"),
        ("database", "falsify evil --budget 1"),  # before any search has made it
        ("falsify.json", "falsify evil --budget 1"),
        ("counterexamples.jsonl", "falsify evil --budget 1"),
        (".counterexamples.jsonl.lock", "falsify evil --budget 1"),
        ("guard.json", "guard evil --random 1"),
        ("trust-map.json", "certify evil --box all --seconds 1"),
    ):
        kept = (evil / name).read_bytes() if (evil / name).exists() else None
        (evil / name).unlink(missing_ok=True)
        for target in (outside, tmp_path / "trap.py"):
            (evil / name).symlink_to(target)
            assert "link" in refused(*words.split())
            (evil / name).unlink()
        if kept is not None:
            (evil / name).write_bytes(kept)
    assert not outside.exists() and (tmp_path / "trap.py").read_text() == TRAP


@pytest.mark.parametrize("name", ["s.h5", "s.h5.journal"])
def test_links_where_snapshots_are_kept_lead_nowhere(block, tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "outside")
    with pytest.raises((OSError, ValueError), match=name) as caught:
        sample(block, 1, path=tmp_path / "s.h5")
    assert "\n" not in str(caught.value) and not (tmp_path / "outside").exists()


def test_a_terminal_does_not_obey_a_file(evil, refused):
    edit(evil / "run.json", lambda d: d.update(status="started", command="\x1b]0;owned\x07\n\x1b[2J"))
    line = refused("certify", evil, "--random", "1")
    assert line.isprintable() and r"\x1b]0;owned\x07" in line
