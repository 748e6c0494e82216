"""Public data sets that networks are compared on: generated ones against their equations, files without their code."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from assay.benchmarks.learning.darcy import load, mirrored, read_tensors
from assay.benchmarks.learning.li_burgers import burgers, initial_states


def test_the_states_of_burgers_solve_the_equation():
    u = initial_states(4, 256)
    np.testing.assert_allclose(burgers(burgers(u, 0.1, 0.1), 0.1, 0.2), burgers(u, 0.1, 0.3), atol=1e-13)
    wave = 2j * np.pi * np.fft.rfftfreq(256, 1 / 256)

    def slope(v):
        return np.fft.irfft(np.fft.rfft(v) * wave)

    w, h = burgers(u, 0.1, 0.2), 1e-4
    speed = (burgers(u, 0.1, 0.2 + h) - burgers(u, 0.1, 0.2 - h)) / (2 * h)
    np.testing.assert_allclose(speed, 0.1 * slope(slope(w)) - slope(w**2 / 2), atol=1e-5)
    np.testing.assert_allclose(w.mean(axis=1), u.mean(axis=1), atol=1e-15)  # conserved
    assert np.abs(speed).max() > 0.1


def test_initial_states_have_the_deviations_of_their_measure():
    hats = np.fft.rfft(initial_states(20_000, 64)) / 64
    k = np.arange(1, 6)
    found = np.sqrt(np.mean(np.abs(hats[:, 1:6]) ** 2, axis=0)) * np.sqrt(2)
    np.testing.assert_allclose(found, np.sqrt(2) * 25 / ((2 * np.pi * k) ** 2 + 25), rtol=0.03)
    assert abs(np.std(hats[:, 0].real) - 1) < 0.03


class Tensor:
    """Pickled as torch pickles one, by names of its functions."""

    def __init__(self, key, kind, shape, strides):
        self.about = key, kind, shape, strides

    def __reduce__(self):
        key, kind, shape, strides = self.about
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, ((kind, key), 0, shape, strides, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, tuple) and len(obj) == 2 and isinstance(obj[0], type):
            return "storage", obj[0], obj[1], "cpu", 0
        return None


def archive(path, header, storages):
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(header)
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", buffer.getvalue())
        for key, data in storages.items():
            out.writestr(f"archive/data/{key}", data)


@pytest.fixture
def kinds(monkeypatch):
    """What torch is called, without it."""

    def function(*_):
        raise AssertionError("no code of the file's choosing is run")

    function.__name__ = function.__qualname__ = "_rebuild_tensor_v2"
    function.__module__ = "torch._utils"
    made = {name: type(name, (), {"__module__": "torch"}) for name in ("BoolStorage", "FloatStorage")}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    vars(torch).update(made)
    utils._rebuild_tensor_v2 = function
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return made


def test_the_darcy_set_is_read_in_the_order_of_its_strides(tmp_path, kinds):
    x = np.random.default_rng(0).random((3, 16, 16)) < 0.5
    y = np.random.default_rng(1).random((3, 16, 16)).astype(np.float32)
    for part in ("train", "test"):
        tensors = {"x": Tensor("0", kinds["BoolStorage"], x.shape, (1, 3, 48))}
        tensors["y"] = Tensor("1", kinds["FloatStorage"], y.shape, (256, 16, 1))
        a = x if part == "train" else ~x
        storages = {"0": np.asfortranarray(a).tobytes(order="F"), "1": y.tobytes()}
        archive(tmp_path / f"darcy_{part}_16.pt", tensors, storages)
    found = read_tensors(tmp_path / "darcy_train_16.pt")
    np.testing.assert_array_equal(found["x"], x)
    np.testing.assert_array_equal(found["y"], y)
    data, learnt = load(tmp_path, images=False)
    assert learnt == 3 and data.problem.grid_shape == (16, 16)
    np.testing.assert_array_equal(data.snapshots.inputs[:3].reshape(x.shape), x)
    assert len(load(tmp_path, images=True)[0]) == 8 * 3 + 3


def test_a_file_with_code_or_too_few_numbers_is_refused(tmp_path, kinds):
    class Code:
        def __reduce__(self):
            return os.getcwd, ()

    archive(tmp_path / "code.pt", {"x": Code()}, {})
    with pytest.raises(ValueError, match="getcwd is none of a tensor's parts"):
        read_tensors(tmp_path / "code.pt")
    archive(tmp_path / "short.pt", {"x": Tensor("0", kinds["FloatStorage"], (4, 4), (4, 1))}, {"0": bytes(60)})
    with pytest.raises(ValueError, match="beyond its storage"):
        read_tensors(tmp_path / "short.pt")
    (tmp_path / "none.pt").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"none.pt is no file of the Darcy set"):
        read_tensors(tmp_path / "none.pt")


def test_the_images_of_a_sample_are_those_under_the_symmetries_of_the_square():
    """f = g(s, t) on the inner points goes to g of the eight images of (s, t)."""
    s, t = np.meshgrid(np.arange(16) / 16, np.arange(16) / 16, indexing="ij")

    def g(s, t):
        return s + t**2 * s

    images = mirrored(g(s, t)[None], (np.sin(np.pi * s) * g(s, t))[None])[0][:, 1:, 1:]
    wanted = [g(*pair) for a in (s, 1 - s) for b in (t, 1 - t) for pair in ((a, b), (b, a))]
    for image in images:
        assert sum(np.allclose(image, w[1:, 1:], atol=1e-14) for w in wanted) == 1
    assert len({np.round(image, 12).tobytes() for image in images}) == 8
