"""The statistical verbs on the command line: JSON fields, exit codes, files, one-line errors."""

import json
import shlex
import sys

import numpy as np
import pytest

from assay.cli import run

OWN = ["--problem", "mine_statistics:plane"]
MODULE = """
import numpy as np, assay
box = assay.Box(("a", "b"), np.array([0.0, 0.0]), np.array([1.0, 1.0]))
plane = assay.black_box(lambda p: np.array([1.0, 1.0 + p[1]]), box, name="plane", norm="max")
def corner(P): return good(P) * np.where(P[:, :1] > 0.5, 1.2, 1.0)
def good(P): return np.column_stack([np.ones(len(P)), 1 + P[:, 1]])
def scaled(P): return 1.5 * good(P)
"""


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with a module; its exit code, stdout as JSON, and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_statistics.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "mine_statistics", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def command(*words):
        code = run([*words, *OWN])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words and out else out, err

    return command


def test_conformal_beside_the_worst_found(said):
    code, found, _ = said("conformal", "mine_statistics:scaled", "--n", "19", "--json")
    assert code == 0 and found["evidence"] == "statistical" and found["rows"] == 19
    assert found["quantile"] == pytest.approx(0.5) == found["worst_found"] and found["level"] == pytest.approx(0.9)
    code, text, _ = said("conformal", "mine_statistics:scaled", "--n", "19")
    assert "the worst error found: 0.5" in text and "a bar says nothing about the worst case" in text
    code, found, _ = said("conformal", "mine_statistics:good", "--n", "5", "--json")
    assert code == 3 and found["quantile"] == "inf" and "it takes 9" in found["notes"][0]
    code, _, err = said("conformal", "mine_statistics:good", "--miscoverage", "0")
    assert code == 2 and "such as 0.1" in err


def test_calibrate_then_guard(said, tmp_path):
    code, made, _ = said("calibrate", "mine_statistics:good", "--n", "60", "--json")
    assert code == 0 and made["qualifies"] and made["threshold"] == "inf" and made["out"] == "calibration.npz"
    assert made["evidence"] == "statistical" and "statistical, not proved" in made["statement"] and made["n"] == 60
    words = ["guard", "mine_statistics:good", "--random", "3", "--calibration", "calibration.npz"]
    code, found, _ = said(*words, "--json", "--out", "answers.npz")
    assert code == 0 and found["evidence"] == "statistical" and found["totals"]["accepted"] == 3
    assert [row["statistical"] for row in found["rows"]] == [True] * 3 and found["rows"][0]["upper"] == "inf"
    assert found["calibration"]["says"] == made["statement"] == found["assumptions"][0]
    assert np.load("answers.npz")["statistical"].all()
    code, text, _ = said(*words)
    assert "evidence: statistical" in text and "proved at" not in text
    code, _, err = said("guard", "mine_statistics:scaled", *words[2:])
    assert code == 2 and "calibration.npz is of another surrogate" in err and err.count("\n") == 1
    code, _, err = said(*words, "--trust-map", "map.json")
    assert code == 2 and "goes without --trust-map and --output" in err
    beside = ["--beside", "mine_statistics:good", "--out", "two.npz"]
    code, made, _ = said("calibrate", "mine_statistics:good", "--n", "60", *beside, "--json")
    assert code == 0 and made["signal"] == "disagreement" and made["beside"] == "mine_statistics:good"
    words = ["guard", "mine_statistics:good", "--random", "3", "--calibration", "two.npz", "--beside"]
    code, found, _ = said(*words, "mine_statistics:good", "--json")
    assert code == 0 and found["totals"]["accepted"] == 3
    _, text, _ = said("calibrate", "mine_statistics:good", "--n", "60", *beside[:2])
    code, found, _ = said(*shlex.split(text[text.index("next: assay guard") :])[2:], "--json")
    assert code == 0 and found["totals"]["accepted"] == 10
    code, _, err = said(*words, "mine_statistics:scaled")
    assert code == 2 and "two.npz is beside another surrogate" in err and "Calibrate beside= (--beside) this one" in err
    code, _, err = said(*words[:-1])
    assert code == 2 and "give that one as beside= (--beside)" in err
    code, _, err = said("calibrate", "mine_statistics:good", "--n", "60", "--distance")
    assert code == 2 and "trained_at" in err
    code, made, _ = said("calibrate", "mine_statistics:scaled", "--n", "60", "--json")
    assert code == 3 and not made["qualifies"] and made["evidence"] == "undecided"
    code, _, err = said("calibrate", "mine_statistics:good", "--n", "20")
    assert code == 2 and "pass n=59 or more" in err


def test_probability(said):
    code, found, _ = said("probability", "mine_statistics:corner", "--calls", "40", "--json")
    assert code == 0 and found["evidence"] == "statistical" and found["method"] == "draws" and found["calls"] == 40
    assert found["lower"] <= 0.5 <= found["upper"] and found["estimate"] == found["failed"] / 40
    code, text, _ = said("probability", "mine_statistics:corner", "--calls", "40", "--method", "sequence")
    assert code == 0 and "95 % confidence, over the sampling law" in text and "by sequence" in text
    code, _, err = said("probability", "mine_statistics:corner", "--method", "two-phase")
    assert code == 2 and "need proved bounds" in err
