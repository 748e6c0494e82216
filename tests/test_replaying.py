"""What a search found, on the command line: failures, and inputs at which the truth fails; shrunk, drawn, replayed."""

import json
import sys
from pathlib import Path

import pytest

from assay.cli import run

MODULE = """
import numpy as np, assay

box = assay.Box(("a", "b", "c"), np.zeros(3), np.ones(3))
cured = []

def solve(p):
    if p[2] > 0.9 and not cured:
        raise RuntimeError("no seats left")
    return np.array([1 + p[0], p[1]])

flaky = assay.black_box(solve, box, size=2, name="flaky")

def wrong(P):
    return np.stack([solve(p * [1, 1, 0]) for p in P]) * (1 + 0.2 * (P[:, :1] > 0.7))
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lent.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "lent", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def command(*words, code=0):
        assert run(list(words)) == code
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in words else out

    return command


SEARCH = ("falsify", "lent:wrong", "--problem", "lent:flaky", "--budget", "60", "--tolerance", "0.05")


def test_findings_are_told_kept_drawn_and_solved_again(said):
    found = said(*SEARCH, "--database", "known", "--plot", "regions.png", "--json", code=1)
    assert found["unsolved"] and all("no seats left" in one["reason"] for one in found["unsolved"])
    assert all(one["inputs"]["c"] > 0.9 for one in found["unsolved"])
    first = found["counterexamples"][0]
    assert first["shrunk"]["b"] == first["shrunk"]["c"] == 0.5 and 0.7 < first["shrunk"]["a"] <= 0.75
    assert found["regions"][0]["lower"]["a"] > 0.7 and found["regions"][0]["share_of"] == "hull"
    assert Path("regions.png").read_bytes()[:4] == b"\x89PNG"
    place = found["unsolved"][0]["record"]
    assert said("replay", place, "--problem", "lent:flaky", "--json", code=1)["fails"]
    sys.modules["lent"].cured.append(True)
    assert "it is solved now" in said("replay", place, "--problem", "lent:flaky")
    again = said("replay", "known#0", "--problem", "lent:flaky", code=1)
    assert "the failure stands" in again and "shrunk to" in again


def test_people_are_told_what_is_simple_and_where_the_truth_fails(said):
    told = said(*SEARCH, "--nominal", "a=0.1,b=0.2,c=0.3", code=1)
    assert "the simplest failing input found" in told and "b=0.2, c=0.3" in told
    assert "the truth fails: flaky was not solved at" in told
    assert "Region(" in told or "failing inputs, worst error" in told
    told = said("sample", "lent:flaky", "--n", "32", code=3)
    assert "the truth fails at a=" in told and "raised RuntimeError: no seats left" in told
    listed = said("guard", "lent:wrong", "--problem", "lent:flaky", "--random", "40", "--json", code=3)["unsolved"]
    assert len(listed) > 1 and all(one["inputs"]["c"] > 0.9 for one in listed)


def test_a_database_of_several_problems_is_not_guessed_at(said, capsys):
    Path("known").mkdir()
    assert run(["replay", "known#0"]) == 2 and "holds no records" in capsys.readouterr().err
    for name in ("a.jsonl", "b.jsonl"):
        (Path("known") / name).write_text("{}\n")
    assert run(["replay", "known"]) == 2 and "records of 2 problems: name one of its files" in capsys.readouterr().err
    assert run([*SEARCH, "--method", "standard"]) == 2 and "method= is one of standard-v1" in capsys.readouterr().err
