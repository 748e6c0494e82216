"""Run folders: fresh, resumed, refused; nothing that exists is ever overwritten."""

import json

import pytest

from assay.run_folder import RunFolder, about_problem, write_json
from assay.solvers.problems.catalogue import problem
from assay.terminal.errors import UserError

SETTINGS = {"problem": {"name": "thermal-block", "settings": {"cells": 8}}, "training": {"seed": 0, "steps": None}}


def test_a_missing_and_an_empty_folder_are_taken(tmp_path):
    for path in (tmp_path / "new" / "deep", tmp_path):
        folder = RunFolder.start(path / "run", SETTINGS) if path == tmp_path else RunFolder.start(path, SETTINGS)
        assert not folder.resumed
        assert json.loads(folder.file("run.json").read_text())["settings"] == SETTINGS


def test_an_interrupted_run_of_the_same_settings_goes_on(tmp_path):
    RunFolder.start(tmp_path / "run", SETTINGS).file("snapshots.h5").write_bytes(b"what was done")
    assert RunFolder.start(tmp_path / "run", SETTINGS).resumed


def test_other_settings_are_refused_naming_the_difference_and_change_nothing(tmp_path):
    RunFolder.start(tmp_path / "run", SETTINGS).file("snapshots.h5").write_bytes(b"what was done")
    before = (tmp_path / "run" / "run.json").read_bytes()
    other = {**SETTINGS, "training": {"seed": 1, "steps": None}}
    with pytest.raises(UserError, match="training seed is 0 there and 1 here"):
        RunFolder.start(tmp_path / "run", other)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_run_that_left_nothing_is_in_nobodys_way(tmp_path):
    RunFolder.start(tmp_path / "run", SETTINGS)
    other = {**SETTINGS, "training": {"seed": 1, "steps": None}}
    assert not RunFolder.start(tmp_path / "run", other).resumed
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"] == other


def test_a_complete_run_is_refused_and_opened(tmp_path):
    RunFolder.start(tmp_path / "run", SETTINGS).complete({"errors": {"mean": 0.1}})
    with pytest.raises(UserError, match="complete"):
        RunFolder.start(tmp_path / "run", SETTINGS)
    assert RunFolder.open(tmp_path / "run").facts["results"] == {"errors": {"mean": 0.1}}


def test_another_version_does_not_resume(tmp_path):
    folder = RunFolder.start(tmp_path / "run", SETTINGS)
    folder.file("snapshots.h5").write_bytes(b"what was done")
    facts = {**folder.facts, "versions": {**folder.facts["versions"], "jax": "0.1"}}
    write_json(folder.file("run.json"), facts)
    del folder  # and with it the lock
    with pytest.raises(UserError, match=r"jax is \"0\.1\" there"):
        RunFolder.start(tmp_path / "run", SETTINGS)


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("everything")
    with pytest.raises(UserError, match="not empty and holds no run"):
        RunFolder.start(tmp_path, SETTINGS)
    with pytest.raises(UserError, match="is a file"):
        RunFolder.start(tmp_path / "thesis.tex", SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other"}', '{"format": "assay-run-1"}'])
def test_a_damaged_run_json_is_a_clear_error(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    for use in (RunFolder.open, lambda path: RunFolder.start(path, SETTINGS)):
        with pytest.raises(UserError, match=r"run\.json"):
            use(tmp_path)


def test_opening_what_is_no_run(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no run\.json"):
        RunFolder.open(tmp_path)
    RunFolder.start(tmp_path / "run", SETTINGS, "assay train thermal-block")
    with pytest.raises(UserError, match="interrupted run: go on with `assay train thermal-block`"):
        RunFolder.open(tmp_path / "run")


def test_the_problem_is_built_again_from_its_settings(tmp_path):
    owner = problem("thermal-block", blocks=(2, 1), cells=8)
    folder = RunFolder.start(tmp_path / "run", {"problem": about_problem("thermal-block", {}, owner)})
    assert folder.problem().settings == owner.settings
    with pytest.raises(UserError, match="not of heat"):
        folder.problem("heat")
    with pytest.raises(UserError, match=r"model\.safetensors"):
        folder.surrogate(owner)


def test_two_cannot_work_in_one_folder(tmp_path):
    first = RunFolder.start(tmp_path / "run", SETTINGS)
    with pytest.raises(OSError, match="another process is working here"):
        RunFolder.start(tmp_path / "run", SETTINGS)
    first.complete({})
    del first
    assert RunFolder.open(tmp_path / "run").facts["status"] == "complete"
