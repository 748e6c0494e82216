"""The checker of files: what this library writes fits its schemas, what was spoilt is told, what is hostile is data."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save as safetensors

import assay
from assay.cli import run
from assay.formats.file_check import TITLES, check_file
from assay.formats.schema import misfit, names, schema
from assay.verify.evidence import Evidence
from assay.verify.search.counterexample import Counterexample
from assay.verify.search.records import write_records
from assay.verify.search.unsolved_input import UnsolvedInput

SETTINGS = {"blocks": [2, 1], "cells": 4}


@pytest.fixture(scope="module")
def block():
    return assay.problem("thermal-block", **SETTINGS)


@pytest.fixture(scope="module")
def written(block, tmp_path_factory):
    """A run folder with a file of every kind but a training checkpoint."""
    folder = tmp_path_factory.mktemp("written") / "run"
    words = ["train", "thermal-block", "--surrogate", "mean", "--snapshots", "4", "--test", "2"]
    assert run([*words, "--set", "cells=4", "--set", "blocks=2,1", "--out", str(folder)]) == 0
    assert run(["certify", str(folder), "--random", "2"]) == 0
    p = block.inputs.centre
    about = {
        "problem_name": block.name,
        "problem_settings": block.settings,
        "seed": 0,
        "fingerprint": block.fingerprint,
    }
    numbers = {"error": np.inf, "lower": 1.0, "upper": np.nan, "tolerance": 0.01, "solver_calls": 1}
    failure = Counterexample(
        inputs=p, evidence=Evidence.OBSERVED, found="draw", field=np.zeros(block.size), **numbers, **about
    )
    unsolved = UnsolvedInput(p, "no", "draw", block.name, block.settings, block.fingerprint, 0)
    write_records(folder / "counterexamples.jsonl", [failure, unsolved])
    model = assay.load(folder / "model.safetensors")
    assay.certify_box(block, model, 0.9, max_leaves=4, width=0.5).save(folder / "trust-map.json")
    assay.calibrate(block, model, n=60, tolerance=2.0, seed=1).save(folder / "calibration.npz")
    rows = np.linspace(0, 1, 8)[:, None]
    assay.save_dataset(assay.dataset(rows, np.hstack([rows, rows**2]), name="data"), folder / "data.h5")
    return folder


@pytest.fixture
def spoilt(written, tmp_path):
    for file in written.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


WRITTEN = {
    "snapshots.h5": ("snapshots", True),
    "test.h5": ("snapshots", True),
    "data.h5": ("dataset", True),
    "model.safetensors": ("surrogate", True),
    "counterexamples.jsonl": ("records", False),
    "trust-map.json": ("trust-map", True),
    "calibration.npz": ("calibration", True),
    "run.json": ("run", False),
    "certify.json": ("result", False),
}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_what_is_written_fits_its_schema_and_is_told(written, block, name):
    kind, sealed = WRITTEN[name]
    found = check_file(written / name)
    assert (found.schema, found.kind, found.whole, found.sealed) == (kind, TITLES[kind], True, sealed)
    assert found.problem == ("data" if kind == "dataset" else "thermal-block")
    if kind not in ("dataset", "trust-map", "calibration"):  # of these it is another hash
        assert found.whose == block.fingerprint
    assert "\n" not in str(found) and name in str(found) and "whole" in str(found)


def test_every_schema_is_of_a_kind_of_file():
    assert set(names()) == set(TITLES) == {kind for kind, _ in WRITTEN.values()} | {"training-checkpoint"}
    for name in names():
        assert schema(name)["$schema"].startswith("https://json-schema.org/") and schema(name)["title"] == TITLES[name]
    with pytest.raises(ValueError, match="there is no schema 'x': there are calibration, "):
        schema("x")


def test_what_is_said_beside_the_hash_is_held_against_what_it_is_of(spoilt):
    with h5py.File(spoilt / "snapshots.h5", "r+") as file:
        file["valid"][0] = False
    with pytest.raises(ValueError, match="what it says of failed rows is not what its fields are"):
        check_file(spoilt / "snapshots.h5")
    run = json.loads((spoilt / "run.json").read_text())
    (spoilt / "run.json").write_text(json.dumps({key: value for key, value in run.items() if key != "results"}))
    with pytest.raises(ValueError, match="says that its run is complete, and has no results"):
        check_file(spoilt / "run.json")


@pytest.mark.parametrize("name", sorted(set(WRITTEN) - {"run.json", "certify.json"}))
def test_a_changed_or_shortened_file_is_told(spoilt, name):
    data = (spoilt / name).read_bytes()
    for less in (data[: len(data) // 2], data[:-9]):
        (spoilt / name).write_bytes(less)
        with pytest.raises(ValueError, match=name) as caught:
            check_file(spoilt / name)
        assert "\n" not in str(caught.value)
    if WRITTEN[name][1] and name != "trust-map.json":
        where = data.rfind(np.float64(assay.problem("thermal-block", **SETTINGS).inputs.centre[0]).tobytes())
        place = where if where > 0 else len(data) * 3 // 4
        (spoilt / name).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=name):
            check_file(spoilt / name)


CHANGES = {
    "run.json": (
        (lambda d: d.pop("versions"), "the whole lacks versions"),
        (lambda d: d.update(status="done"), "status is none of started, complete"),
        (lambda d: d.update(settings=[]), "damaged"),
    ),
    "certify.json": (
        (lambda d: d["of"].pop("model"), "of lacks model"),
        (lambda d: d.update(command=3), "command is no string"),
    ),
    "counterexamples.jsonl": (
        (lambda d: d.update(solver_calls=-1), "solver_calls is too small"),
        (lambda d: d.update(inputs="1"), "damaged|no records"),
        (lambda d: d.update(evidence="certain"), "not a counterexample record"),
    ),
    "trust-map.json": ((lambda d: d.update(hash="0" * 64), "hash does not fit"),),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_what_does_not_fit_is_named(spoilt, name):
    text = (spoilt / name).read_text()
    for change, said in CHANGES[name]:
        data = json.loads(text.splitlines()[0] if name.endswith("l") else text)
        change(data)
        (spoilt / name).write_text(json.dumps(data) + "\n")
        with pytest.raises(ValueError, match=said):
            check_file(spoilt / name)


def hostile(folder):
    """Files that are made to do harm, or nonsense, of every container."""
    bomb = b'{"format": 1, "inputs": [], "found": ' + b"[" * 100_000
    (folder / "deep.json").write_bytes(bomb)
    (folder / "null.json").write_bytes(b"{\x00" * 100)
    (folder / "list.json").write_text("[1, 2]")
    (folder / "other.json").write_text('{"a": 1}')
    (folder / "empty.h5").write_bytes(b"")
    (folder / "half.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 64)
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["x"] = [1.0]
        file.attrs["format"] = np.array([1, 2])
    with h5py.File(folder / "link.h5", "w") as file:
        file.attrs["format"] = "assay-snapshots-1"
        file["inputs"] = h5py.ExternalLink("/etc/passwd", "/")
    np.savez(folder / "pickle.npz", about=np.array([{"a": 1}], dtype=object))
    np.savez(folder / "words.npz", about=np.array("{"))
    np.savez(folder / "none.npz", x=np.zeros(2))
    with zipfile.ZipFile(folder / "names.npz", "w") as archive:
        archive.writestr("../about.npy", b"x")
    (folder / "long.safetensors").write_bytes((1 << 31).to_bytes(8, "little") + b"{" * 64)
    (folder / "other.safetensors").write_bytes(safetensors({"x": np.zeros(2)}))
    (folder / "header.safetensors").write_bytes(safetensors({"x": np.zeros(2)}, metadata={"assay": '{"format": []}'}))
    (folder / "escape.json").write_text('{"\\u001b[2J": 1}')
    (folder / "text.jsonl").write_text("cos(1)\n")
    return sorted(folder.iterdir())


def test_hostile_files_are_one_line_each_and_exit_code_2(tmp_path, capsys):
    files = hostile(tmp_path)
    for file in files:
        assert run(["check", str(file)]) == 2, file
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 1 and file.name in out and err == "" and len(out) < 700, out
        assert out.rstrip("\n").isprintable()
    assert run(["check", "--json", *map(str, files)]) == 2
    found = json.loads(capsys.readouterr().out)["files"]
    assert [one["whole"] for one in found] == [False] * len(files)


def test_the_verb_tells_of_a_folder_and_of_what_is_unfinished(written, spoilt, capsys):
    assert run(["check", str(written)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(WRITTEN) and all("whole" in line for line in lines)
    data = json.loads((spoilt / "run.json").read_text())
    (spoilt / "run.json").write_text(json.dumps({**data, "status": "started"}))
    assert run(["check", str(spoilt / "run.json")]) == 3
    assert "unfinished: interrupted, or being made: go on with `assay train" in capsys.readouterr().out
    assert run(["check", "--schema", "records"]) == 0
    assert json.loads(capsys.readouterr().out) == schema("records")
    for words, said in (([], "say which files"), (["--schema", "x"], "there is no schema 'x'")):
        assert run(["check", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_training_checkpoint_is_told(tmp_path):
    path = tmp_path / "training.checkpoint"
    about = [0, 7, 1.5, [1.0, float("nan")], "", "someone"]
    np.savez(tmp_path / "c.npz", about=np.array(json.dumps(about)), leaf000=np.zeros(3))
    (tmp_path / "c.npz").rename(path)
    found = check_file(path)
    assert found.schema == "training-checkpoint" and found.whole is None and "at step 7" in found.said


def test_the_validator_tells_what_json_schema_tells():
    """By values of which the answer is plain."""
    assert misfit("result", {"of": {"problem": "", "model": "", "versions": {}}, "command": ""}) == ""
    for value in (None, [], 1, "x", True, {}, {"of": 1, "command": ""}):
        assert misfit("result", value)
    record = {"format": True}
    assert misfit("records", record)
