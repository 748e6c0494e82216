"""A report says what lies in a run folder, whose it is and how far it is proved; the same folder, the same bytes."""

import json
import shutil
import sys

import numpy as np
import pytest

from assay.cli import run
from assay.report.content import DOWN, LEVELS, UP, Section, said, valued
from assay.report.html import page, text
from assay.report.report import report
from assay.report.table import write_table
from assay.results import keep_result
from assay.run_folder import RunFolder
from assay.verify.evidence import Evidence

MODULE = """
import numpy as np, assay
box = assay.Box(("a", "<b>"), np.array([1.0, 0.0]), np.array([2.0, 1.0]))
def solve(p):
    if p[0] > 1.6: raise ValueError("<script>alert('no mesh')</script>")
    return np.array([p[0], p[1] ** 2, 1.0, 0.5, 2.0])
owner = assay.black_box(solve, box)
"""
OWN = ["--problem", "report_model:owner"]
TRAIN = ["train", "report_model:owner", "--surrogate", "mean", "--snapshots", "8", "--test", "6"]
VERBS = (["falsify", "--budget", "6"], ["certify", "--random", "3"], ["guard", "--random", "3"], ["conformal"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of a solver of one's own, whose bounds are infinite, with what four verbs left in it."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "report_model.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    try:
        assert run([*TRAIN, "--out", str(folder / "run")]) == 0
        for verb, *options in VERBS:
            assert run([verb, str(folder / "run"), *OWN, *options]) in (0, 1, 3)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("report_model", None)
    return folder / "run"


@pytest.fixture
def folder(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made, tmp_path / "copy")


def read(folder):
    """The report as its JSON, by the command line; sections by key."""
    assert run(["report", str(folder)]) == 0
    found = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    return {section["key"]: section for section in found["sections"]}


def facts(section):
    return {fact["name"]: fact for fact in section["facts"]}


def change(folder, name, **values):
    found = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**found, **values}))


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(made, folder, tmp_path):
    """None of its own code runs: the module is nowhere to be found."""
    assert run(["report", str(made), "--out", str(tmp_path / "one.html")]) == 0
    read(folder)
    read(folder)  # with a report in the folder
    for one, other in (("one.html", "report.html"), ("one.json", "report.json")):
        assert (tmp_path / one).read_bytes() == (folder / other).read_bytes()
    assert "report_model" not in sys.modules


def test_every_number_has_its_evidence_and_what_is_missing_its_command(made, folder):
    sections = read(folder)
    levels = {str(level) for level in LEVELS}
    for section in sections.values():
        assert {fact["evidence"] for fact in section.get("facts", [])} <= levels
        assert {c["evidence"] for t in section.get("tables", []) for c in t["columns"]} <= levels | {""}
    missing = {key for key, section in sections.items() if "missing" in section}
    assert missing == {"box", "audit", "probability", "calibration", "shifts", "precision", "tangent", "table"}
    assert sections["box"]["command"] == "assay certify RUN --box all --problem report_model:owner"
    assert facts(sections["errors"])["relative error, largest"]["evidence"] == "observed"
    assert "foreign" not in sections


def test_what_the_verbs_found_is_what_is_reported(folder):
    sections = read(folder)
    stored = json.loads((folder / "falsify.json").read_text())
    worst = facts(sections["worst"])
    assert worst["largest error confirmed by the solver"]["value"] == stored["worst"] > 0
    assert worst["solver calls"]["value"] == stored["solver_calls"]
    assert worst["asked for by"]["value"] == stored["command"] and "assay falsify" in stored["command"]
    results = json.loads((folder / "run.json").read_text())["results"]
    assert facts(sections["errors"])["relative error, mean"]["value"] == results["errors"]["mean"]
    assert facts(sections["hashes"])["surrogate (SHA-256 of model.safetensors)"]["value"] == results["model_hash"]


def test_an_infinite_bound_says_why_and_is_not_proved(folder):
    bound = facts(read(folder)["points"])["largest relative error, at most"]
    notes = json.loads((folder / "certify.json").read_text())["notes"]
    assert bound["value"] == "infinite" and bound["evidence"] == "undecided" and bound["why"] == "; ".join(notes) != ""


def test_an_error_bar_that_is_none_is_not_statistical(folder):
    results = json.loads((folder / "run.json").read_text())["results"]
    for words, level in (("no error bar: 8 rows are too few", "undecided"), ("at most 0.1", "statistical")):
        change(folder, "run.json", results={**results, "conformal": words})
        assert facts(read(folder)["errors"])["of new inputs"]["evidence"] == level


def test_rounds_of_a_repair_are_a_table(folder):
    results = json.loads((folder / "run.json").read_text())["results"]
    judged = {"mean": 0.1, "worst": 0.2, "certified": None, "calls": 5}
    rounds = [
        {"number": 0, "rows": 8, "signal": "", "repaired": judged, "random": None},
        {"number": 1, "rows": 16, "signal": "bound", "repaired": judged, "random": {**judged, "worst": 0.3}},
    ]
    change(folder, "run.json", results={**results, "rounds": rounds})
    assert read(folder)["repair"]["tables"][0]["rows"] == [
        [0, 8, "", 0.1, 0.2, None, None, None],
        [1, 16, "bound", 0.1, 0.2, None, 0.1, 0.3],
    ]


def test_a_damaged_run_is_refused(folder, capsys):
    change(folder, "run.json", results={})
    assert run(["report", str(folder)]) == 2
    assert "run.json is damaged" in capsys.readouterr().err


def test_a_bound_that_is_no_number_is_not_proved():
    section = Section("s", "S")
    section.bound("error", "nan", Evidence.PROVED, ["overflow"])
    section.bound("bounded", 0.1, Evidence.PROVED, [])
    first, second = (fact.to_json() for fact in section.facts)
    assert first == {"name": "error", "value": "not a number", "evidence": "undecided", "why": "overflow"}
    assert second == {"name": "bounded", "value": 0.1, "evidence": "proved"}


@pytest.mark.parametrize("x", [0.00012345678, 1.0000001, 99999.5, 3.0, 1e-300])
def test_bounds_are_rounded_to_their_safe_side(x):
    assert float(said(x, UP)) >= x >= float(said(x, DOWN))
    assert float(said(x, UP)) <= 1.01 * x


def test_numbers_that_are_none_are_words():
    assert valued([np.inf, "-inf", "nan", "infra", 1.5]) == ["infinite", "minus infinity", "not a number", "infra", 1.5]


def test_texts_of_others_are_texts(folder):
    """Names, reasons and file names end up as what they are, in a page that nothing can be loaded into."""
    (folder / "<img src=x onerror=alert(1)>.txt").write_text("")
    change(folder, "falsify.json", notes=["\x1b]0;owned\x07 \ud800"])
    read(folder)
    shown = (folder / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(&#x27;no mesh&#x27;)&lt;/script&gt;" in shown  # the solver's own words
    assert "<script" not in shown and "<img src=x" not in shown and "\x1b" not in shown
    assert "http:" not in shown and "https:" not in shown and "url(" not in shown
    assert shown.count("<img") == shown.count('src="data:image/svg+xml;base64,') > 0
    assert text("<a>\x00&") == "&lt;a&gt;\\x00&amp;"


@pytest.mark.parametrize(
    ("damage", "name", "why"),
    [
        (lambda f: change(f, "falsify.json", of={"problem": "other", "model": ""}), "falsify.json", "another problem"),
        (lambda f: change(f, "falsify.json", of=None), "falsify.json", "does not say whose it is"),
        (lambda f: change(f, "falsify.json", counterexamples=[{}]), "falsify.json", "is damaged"),
        (lambda f: change(f, "falsify.json", worst=True), "falsify.json", "stands where a number should"),
        (lambda f: change(f, "certify.json", evidence="certain"), "certify.json", "not a valid Evidence"),
        (lambda f: (f / "falsify.json").write_text('{"a": ' * 99), "falsify.json", "cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"other"), "falsify.json", "another model"),
        (lambda f: (f / "model.safetensors").write_bytes(b"other"), "model.safetensors", "not the model"),
        (lambda f: shutil.copy(f / "snapshots.h5", f / "test.h5"), "test.h5", "is not what this run solved"),
        (lambda f: (f / "trust-map.json").write_text("{}"), "trust-map.json", "no proof on record"),
    ],
)
def test_what_is_foreign_or_damaged_is_named_and_not_used(folder, damage, name, why):
    damage(folder)
    sections = read(folder)
    strange = dict(row for table in sections["foreign"]["tables"] for row in table["rows"])
    assert why in strange[name]
    if name == "falsify.json":
        assert why in sections["worst"]["missing"] and "facts" not in sections["worst"]
        assert "assay falsify RUN" in sections["worst"]["command"]


def test_a_map_other_than_the_one_proved_is_not_shown(folder):
    made = RunFolder.open(folder)
    (folder / "trust-map.json").write_text("{}")
    volumes = {"certified_volume": 1.0, "falsified_volume": 0.0, "undecided_volume": 0.0}
    payload = {**volumes, "tolerance": 0.1, "absolute": 0.0, "relative_lower": 0.0, "relative_upper": 0.05, "boxes": 1}
    payload |= {"seconds": 1.0, "evidence": "proved", "assumptions": ["a theorem"], "measured": "m", "against": "g"}
    payload |= {"notes": [], "clusters": {"falsified": [], "undecided": []}, "map_hash": "of another file"}
    owner = json.loads((folder / "falsify.json").read_text())["of"]

    class Known:
        fingerprint = owner["problem"]

    keep_result(made, Known(), "certify-box", payload)
    keep_result(made, Known(), "audit", {"map_hash": "of another file", "answer": "holds", "holds": True})
    found = {section.key: section for section in report(made, None).sections}
    assert found["box"].pictures == [] and "100 % certified" in found["box"].summary
    assert "about another map" in found["audit"].missing
    assert [row[0] for row in found["foreign"].tables[0].rows] == ["audit.json", "trust-map.json"]


def test_a_table_is_shown_with_its_verdicts():
    errors = {"mean": {"discrete": 1e-3}, "worst": {"discrete": "inf"}, "components": {}}
    times = {"one": {"median": 1e-6}, "batch": {"median": 2e-6}, "errors": errors}
    matches = {"discrete": {"mean": {"n": {"speedup": 3.0}}, "worst": {"n": {"speedup": 2.0}}}}
    row = {**times, "name": "<net>", "kind": "network", "training": 5.0, "matches": matches, "note": ""}
    found = {"problem": "heat", "batch": 8, "norm": "L2", "rows": [{**row, "verdicts": {"discrete": "win"}}]}
    curve = [{**times, "method": "lu", "cells": 8}]
    found |= {"curve": curve, "verdicts": ["<net> wins"], "notes": [], "machine": {"cores": 2}, "seconds": 1.0}
    section = Section("table", "Table")
    write_table(section, found)
    cells = dict(zip((c.name for c in section.tables[0].columns), section.tables[0].rows[0], strict=True))
    assert cells["error, worst"] == "infinite" and cells["solver's time / its own"] == 2.0
    assert cells["verdict, discrete truth"] == "win" and cells["verdict, PDE"] is None
    assert "&lt;net&gt; wins" in page("t", "l", [section])


def test_mistakes_are_named(folder, tmp_path, capsys):
    (tmp_path / "there.html").write_text("")
    for words, said_ in (
        ([str(tmp_path / "none")], "does not exist"),
        ([str(folder), "--out", str(tmp_path / "r.pdf")], "FILE.html"),
        ([str(folder), "--out", str(tmp_path / "there.html")], "exists"),
        ([str(folder), "--out", str(tmp_path / "no" / "r.html")], "no folder"),
    ):
        assert run(["report", *words]) == 2
        assert said_ in capsys.readouterr().err
    (folder / "report.html").symlink_to(tmp_path / "there.html")
    assert run(["report", str(folder)]) == 2
    assert "link" in capsys.readouterr().err and (tmp_path / "there.html").read_text() == ""
