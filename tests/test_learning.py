"""What a training leaves in its run folder and says of itself: the learning curve, and what architectures report."""

import json
from pathlib import Path

import numpy as np
import pytest

import assay
from assay import cli
from assay.drawing.learning import keep_curve
from assay.surrogates.training.optimise import LOOK

SMALL = {
    "resnet": ["--option", "width=4", "--option", "layers=4"],
    "autoencoder": ["--option", "width=2", "--option", "levels=2"],
}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A family of functions on 40 nodes with one parameter, in a file."""
    monkeypatch.chdir(tmp_path)
    x = np.linspace(0, 1, 40)
    bumps = np.exp(-(((x - np.random.default_rng(0).random((40, 1))) / 0.3) ** 2))
    assay.save_dataset(assay.dataset(bumps[..., None], bumps**2, x), "bumps.h5")


def report():
    """Facts of the training in `assay report` of the run."""
    assert cli.run(["report", "run"]) == 0
    sections = {section["key"]: section for section in json.loads(Path("run/report.json").read_text())["sections"]}
    return {fact["name"]: fact["value"] for fact in sections["training"]["facts"]}


@pytest.mark.parametrize("name", SMALL)
def test_a_network_leaves_its_curve_and_says_what_it_is(rows, name, capsys):
    words = ["train", "--data", "bumps.h5", "--surrogate", name, "--steps", str(2 * LOOK + 3), "--out", "run"]
    assert cli.run([*words, *SMALL[name]]) == 0
    said = capsys.readouterr().out
    training = assay.load("run/model.safetensors", assay.load_dataset("bumps.h5").problem).training
    found = json.loads(Path("run/learning.json").read_text())
    assert found["what"] == "squared mean error on held-out snapshots" and found["steps"] == [0, LOOK, 2 * LOOK]
    assert found["loss"] == training["curve"] and found["loss"][0] >= found["loss"][2] > 0
    picture = Path("run/learning.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(picture[16:20], "big") > 400  # its width
    if name == "resnet":
        changes, mean = training["change_per_layer"], training["mean_change_per_layer"]
        assert len(changes) == 3 and mean == pytest.approx(np.mean(changes)) and min(changes) > 0
        line = f"change of the weights from layer to layer: {', '.join(f'{x:.3g}' for x in changes)} (mean {mean:.3g})"
        assert line in " ".join(said.split())
        assert report()["change per layer"] == changes
    else:
        own = training["intrinsic_dimension"]
        assert 0.7 < own < 1.6  # the sizes of code and inputs are 40
        line = f"numbers of the code: 40; inputs: 40; dimension of the snapshots: about {own:.2g}, estimated"
        assert line in " ".join(said.split())
        facts = report()
        assert (facts["latent"], facts["inputs"], facts["intrinsic dimension"]) == (40, 40, own)


def test_without_a_curve_there_is_no_picture(tmp_path):
    keep_curve(tmp_path, {"curve": []})
    keep_curve(tmp_path, {"loss": 1.0})
    assert not list(tmp_path.iterdir())
    keep_curve(tmp_path, {"curve": [1.0, 0.25], "held_out": 0})
    told = {"what": "loss", "steps": [0, LOOK], "loss": [1.0, 0.25]}
    assert json.loads((tmp_path / "learning.json").read_text()) == told and (tmp_path / "learning.png").exists()
