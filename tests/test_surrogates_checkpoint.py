"""One file per surrogate: the same predictions to the bit in another process, and nothing else is believed."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import ARCHITECTURES, load, save, train

QUICK = {"pod-mlp": {"steps": 2, "widths": (6, 5)}, "mlp": {"steps": 20, "widths": (8,), "precision": "float32"}}
QUICK["resnet"] = {"steps": 20, "width": 8, "layers": 2}
QUICK["coordinate"] = {"steps": 1, "width": 4, "layers": 1, "octaves": 1}
QUICK["graph"] = {"steps": 1, "width": 4, "rounds": 1}
QUICK["transformer"] = {"steps": 1, "width": 4, "layers": 1, "slices": 2}
QUICK["autoencoder"] = {"steps": 1, "width": 2, "levels": 2}
QUICK["fno"] = {"steps": 1, "width": 2, "layers": 1, "modes": 2}
QUICK["unet"] = {"steps": 1, "width": 2, "levels": 2}
QUICK["deeponet"] = {"steps": 1, "branch": (4,), "trunk": (4,), "terms": 3}
QUICK["rollout"] = {"steps": 1, "width": 2, "layers": 1}
FRESH = """
import sys, numpy as np
from pathlib import Path
import assay
from assay.surrogates import load
folder = Path(sys.argv[1])
for file in sorted(folder.glob("*.safetensors")):
    np.save(file.with_suffix(".npy"), load(file)(np.load(file.with_suffix(".inputs.npy"))))
"""


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(cells=8, low=0.5, high=2.0)


@pytest.fixture(scope="module")
def snapshots(problem):
    return sample(problem, 32)


@pytest.fixture
def model(problem, snapshots, tmp_path):
    s = train(problem, "linear", snapshots, box=problem.inputs.split(1)[0], seed=3)
    return s, save(s, tmp_path / "model.safetensors")


@pytest.mark.smoke
def test_a_fresh_process_predicts_the_same_bits(problem, snapshots, tmp_path):
    """Every architecture that there is, networks after a step or a few."""
    in_time = Heat(cells=4, steps=2)
    here = {}
    for name, kind in ARCHITECTURES.items():
        of, rows = (problem, snapshots) if name != "rollout" else (in_time, sample(in_time, 8))
        if name not in ("pod-mlp", "mlp") and kind.kind == "network":
            rows = rows.first(8)  # none left out: half the time
        s = train(of, name, rows, **(QUICK[name] if kind.kind == "network" else {}))
        P = of.inputs.sample(37, seed=2)
        save(s, tmp_path / f"{name}.safetensors")
        np.save(tmp_path / f"{name}.inputs.npy", P)
        here[name] = s(P)
    done = subprocess.run([sys.executable, "-c", FRESH, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, U in here.items():
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), U), name


def test_everything_that_is_known_comes_back(model, problem):
    s, file = model
    for back in (load(file), load(file, problem)):
        assert (back.architecture, back.seed, back.data_hash) == (s.architecture, 3, s.data_hash)
        assert (back.versions, back.training) == (s.versions, s.training)
        assert back.box.to_json() == s.box.to_json() and back.problem_settings == problem.settings
        assert all(np.array_equal(back.arrays[key], a) for key, a in s.arrays.items())
    assert load(file, problem).problem is problem
    assert not list(file.parent.glob("*.partial"))


def test_a_file_that_is_cut_or_foreign_says_so(model, tmp_path):
    _, file = model
    whole = file.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="truncated, damaged or no surrogate file"):
            load(cut)
    foreign = tmp_path / "foreign"
    foreign.write_text("weights, weights, weights")
    with pytest.raises(ValueError, match="no surrogate file"):
        load(foreign)
    save_file({"x": np.zeros(3)}, foreign)
    with pytest.raises(ValueError, match="lacks the 'assay' header"):
        load(foreign)
    save_file({"basis": np.zeros((3, 1))}, foreign, metadata={"assay": "not json"})
    with pytest.raises(ValueError, match="header that cannot be read"):
        load(foreign)
    save_file({"basis": np.zeros((3, 1))}, foreign, metadata={"assay": json.dumps({"format": "assay-surrogate-9"})})
    with pytest.raises(ValueError, match="format 'assay-surrogate-9'"):
        load(foreign)
    with pytest.raises(ValueError, match="there is no surrogate at"):
        load(tmp_path / "nowhere")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match=r"no surrogate at .*: .*model\.safetensors is one of its files"):
        load(tmp_path)


def test_another_problem_is_refused_and_the_difference_named(model):
    _, file = model
    with pytest.raises(ValueError, match=r"cells is 8 there and 16 here; high is 2.0 there and 3.0 here"):
        load(file, ThermalBlock(cells=16, low=0.5, high=3.0))
    with pytest.raises(ValueError, match="surrogate of thermal-block, not of heat"):
        load(file, Heat(cells=4, steps=2))


def test_a_problem_of_the_users_own_must_be_given_again(tmp_path):
    def made(upper, size=5):
        box = Box(("a",), [1.0], [upper])
        return affine([np.eye(size)], None, np.ones(size), box)

    problem = made(2.0)
    file = save(train(problem, "reduced-basis", sample(problem, 4)), tmp_path / "model")
    P = np.array([[1.5]])
    np.testing.assert_allclose(load(file, problem)(P), np.full((1, 5), 1 / 1.5))
    with pytest.raises(ValueError, match="pass the problem as well"):
        load(file)
    with pytest.raises(ValueError, match=r"the inputs' upper is \[2.0\] there and \[3.0\] here"):
        load(file, made(3.0))
    with pytest.raises(ValueError, match="fields have 5 entries there and 6 here"):
        load(file, made(2.0, size=6))


def test_an_unknown_architecture_is_refused(model, tmp_path):
    from dataclasses import replace

    s, _ = model
    file = save(replace(s, architecture={"name": "oracle", "lift": False}), tmp_path / "model")
    with pytest.raises(ValueError, match="holds a 'oracle' surrogate, which this version does not know"):
        load(file)


def test_a_normaliser_or_box_of_another_surrogate_is_refused(problem, model, tmp_path):
    _, path = model
    with safe_open(path, framework="numpy") as stored:
        header = json.loads(stored.metadata()["assay"])
        arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    wide = problem.inputs.replace(upper=2 * problem.inputs.upper).to_json()
    whole = problem.inputs.to_json()
    spoilt = tmp_path / "spoilt.safetensors"
    for facts, numbers, said in (
        ({}, {"shift": 0.9 * arrays["shift"]}, "does not have the hash written in it"),
        ({}, {"gain": arrays["gain"][:1]}, "does not have the hash written in it"),  # broadcasts
        ({"box": whole}, {}, "does not have the hash written in it"),
        ({"box": wide}, {}, "the training box must lie inside the problem's"),
        ({"training": {"warnings": ["none"]}}, {}, "does not have the hash written in it"),
        ({"training": {"warnings": 5}}, {}, "has a header that cannot be read"),
    ):
        save_file({**arrays, **numbers}, spoilt, {"assay": json.dumps({**header, **facts})})
        with pytest.raises(ValueError, match=said):
            load(spoilt)
    del header["digest"]  # as earlier versions wrote it
    save_file(arrays, spoilt, {"assay": json.dumps(header)})
    np.testing.assert_array_equal(load(spoilt)(problem.inputs.sample(3, 0)), load(path)(problem.inputs.sample(3, 0)))
