"""Hostile files of numbers: they claim, unpack or nest more than there is, lead elsewhere, or are of other kinds."""

import base64
import copy
import io
import json
import struct
import tracemalloc
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from safetensors.numpy import save as safetensors

from assay import surrogates
from assay.run_folder import RunFolder, about_problem
from assay.solvers import ThermalBlock, load_snapshots, sample
from assay.solvers.files import read_arrays
from assay.solvers.snapshots.journal import MAGIC, _digest, _header, read
from assay.solvers.snapshots.snapshot_file import journal_path, owner_of
from assay.surrogates.checkpoint import load
from assay.terminal.errors import UserError
from assay.verify.boxes.map_file import load_trust_map
from assay.verify.boxes.trust_map import canonical
from assay.verify.evidence import Evidence
from assay.verify.search import records
from assay.verify.search.counterexample import Counterexample
from assay.verify.search.records import read_records, write_records

DEEP = "[" * 200_000 + "]" * 200_000
MUCH = 100 << 20  # bytes that no refusal may take


@pytest.fixture(scope="module")
def block():
    return ThermalBlock((2, 1), 4)


@pytest.fixture(scope="module")
def honest(block, tmp_path_factory):
    """Every kind of file, as bytes by name."""
    folder = tmp_path_factory.mktemp("honest")
    snapshots = sample(block, 4, path=folder / "s.h5")
    surrogates.save(surrogates.train(block, "pod-mlp", snapshots, steps=1, widths=(4,)), folder / "m.safetensors")
    record = Counterexample(
        inputs=np.ones(2), error=1.0, lower=1.0, upper=1.0, evidence=Evidence.OBSERVED, tolerance=0.01, found="draw",
        solver_calls=1, field=np.zeros(block.size), problem_name=block.name, problem_settings=block.settings, seed=0,
    )  # fmt: skip
    write_records(folder / "c.jsonl", [record])
    RunFolder.start(folder / "run", {"problem": about_problem(block.name, {}, block)}).complete({})
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refuses(tmp_path):
    """Whether reading these bytes as that kind of file is refused in one line, for little memory."""

    def check(name, data, use):
        path = tmp_path / name
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises((ValueError, OSError)) as caught:
                use(path)
            assert tracemalloc.get_traced_memory()[1] < MUCH
        finally:
            tracemalloc.stop()
        assert "\n" not in str(caught.value), caught.value
        return str(caught.value)

    return check


def assert_one_line(error, part=""):
    assert part in str(error) and "\n" not in str(error)


# --- HDF5 -------------------------------------------------------------------------------------------------------------


def elsewhere(file, key):
    del file[key]


def external_link(file, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["fields"] = file["fields"][:]
    elsewhere(file, "fields")
    file["fields"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "fields")


def external_data(file, tmp_path):
    shape = file["fields"].shape
    (tmp_path / "other").write_bytes(bytes(8 * shape[0] * shape[1]))
    elsewhere(file, "fields")
    file.create_dataset("fields", shape, "<f8", external=[(str(tmp_path / "other"), 0, h5py.h5f.UNLIMITED)])


def virtual_data(file, tmp_path):
    shape = file["fields"].shape
    elsewhere(file, "fields")
    layout = h5py.VirtualLayout(shape, "<f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "fields", shape=shape)
    file.create_virtual_dataset("fields", layout)


def soft_link(file, tmp_path):
    file.move("fields", "hidden")
    file["fields"] = h5py.SoftLink("/hidden")


def claims_much(file, tmp_path):
    elsewhere(file, "fields")
    file.create_dataset("fields", (10**7, 10**6), "<f8", chunks=(100, 100))  # nothing of it is stored


def claims_much_in_one_piece(file, tmp_path):
    elsewhere(file, "fields")
    space = h5py.h5s.create_simple((10**7, 10**6))
    h5py.h5d.create(file.id, b"fields", h5py.h5t.IEEE_F64LE, space)


def packed(file, tmp_path):
    elsewhere(file, "fields")
    file.create_dataset("fields", data=np.zeros((4000, 4000)), compression="gzip")


def of_kind(value):
    def change(file, tmp_path):
        elsewhere(file, "fields")
        file["fields"] = value

    return change


def attribute(key, value):
    def change(file, tmp_path):
        file.attrs[key] = value

    return change


CHANGES = {
    **{f.__name__: f for f in (external_link, external_data, virtual_data, soft_link, packed)},
    **{f.__name__: f for f in (claims_much, claims_much_in_one_piece)},
    "complex": of_kind(np.ones((4, 25), complex)),
    "texts": of_kind(np.array([["a"]], dtype="S1")),
    "scalar": of_kind(1.0),
    "one row": of_kind(np.ones((1, 25))),
    "no columns": of_kind(np.ones((4, 0))),
    "format of another kind": attribute("format", 3),
    "settings": attribute("settings", "[]"),
    "deep settings": attribute("settings", '{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"),
    "seed": attribute("seed", "-1"),
    "seed that is true": attribute("seed", "true"),
    "box": attribute("box", "{}"),
    "box of NaN": attribute("box", '{"names": ["a", "b"], "lower": [NaN, 0], "upper": [1, 1]}'),
    "box of words": attribute("box", '{"names": 3, "lower": "x", "upper": [], "log": 1, "units": 1, "laws": 1}'),
    "hash": attribute("hash", np.ones(3)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_snapshot_files(honest, refuses, block, tmp_path, change):
    (tmp_path / "s.h5").write_bytes(honest["s.h5"])
    with h5py.File(tmp_path / "s.h5", "a") as file:
        change(file, tmp_path)
    data = (tmp_path / "s.h5").read_bytes()
    refuses("s.h5", data, load_snapshots)
    refuses("s.h5", data, lambda path: sample(block, 8, path=path))


def test_a_table_of_reasons_that_cannot_be(honest, refuses, tmp_path):
    (tmp_path / "s.h5").write_bytes(honest["s.h5"])
    for text in ("[]", DEEP[:100] + DEEP[-100:], '{"x": "y"}', '{"0": 1}'):
        with h5py.File(tmp_path / "s.h5", "a") as file:
            if "reasons" in file:
                del file["reasons"]
            file["reasons"] = np.frombuffer(text.encode(), np.uint8)
        refuses("s.h5", (tmp_path / "s.h5").read_bytes(), load_snapshots)


# --- journals ---------------------------------------------------------------------------------------------------------


def a_header(text):
    head = MAGIC + struct.pack("<Q", len(text)) + text
    return head + _digest(head)


def a_record(number, row):
    record = struct.pack("<Q", number) + np.asarray(row, "<f8").tobytes()
    return record + _digest(record)


@pytest.mark.parametrize(
    "text", [DEEP, "[]", "{}", '{"owner": [], "width": 3}', '{"owner": {}, "width": -3}', '{"owner": {}, "width": "3"}']
)
def test_journals_of_other_kinds(refuses, text):
    assert "not a journal" in refuses("s.h5.journal", a_header(text.encode()), read)


def test_journals_that_claim_much(refuses, block, tmp_path):
    refuses("s.h5.journal", MAGIC + struct.pack("<Q", 1 << 60) + bytes(100), read)
    path = tmp_path / "s.h5"
    journal_path(path).write_bytes(_header(owner_of(block, 0), 1 << 50) + bytes(1000))
    assert not read(journal_path(path)).rows
    with journal_path(path).open("wb") as stream:  # a hole of a terabyte
        stream.write(_header(owner_of(block, 0), 28))
        stream.truncate(1 << 40)
    assert not read(journal_path(path)).rows
    far = _header(owner_of(block, 0), 28) + a_record(1 << 60, np.ones(28))
    journal_path(path).unlink()
    refuses("s.h5.journal", far, lambda _: sample(block, 2, path=path))
    owner = {**owner_of(block, 0), "size": 10**12}
    refuses("s.h5.journal", _header(owner, 28), lambda _: sample(block, 2, path=path))
    for key in ("box", "settings", "problem", "seed", "size"):
        for value in (None, [], "x", {}, -1, True):
            data = _header({**owner_of(block, 0), key: value}, 28) + a_record(0, np.ones(28))
            refuses("s.h5.journal", data, lambda _: sample(block, 2, path=path))
            refuses("s.h5.journal", data, lambda _: load_snapshots(path, block))


# --- models, training checkpoints -------------------------------------------------------------------------------------


def header_of(data):
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    return json.loads(header["__metadata__"]["assay"])


def arrays_of(data, tmp_path):
    from safetensors.numpy import load as loads

    return loads(data)


@pytest.mark.parametrize("value", [None, True, -1, 10**400, "x", [], {}, [[]], ["x"], {"name": []}, "\u0000"])
def test_model_headers_of_other_kinds(honest, tmp_path, value):
    refused = set()
    arrays, header = arrays_of(honest["m.safetensors"], tmp_path), header_of(honest["m.safetensors"])
    for key in header:
        for changed in ({**header, key: value}, {k: v for k, v in header.items() if k != key}):
            (tmp_path / "m.safetensors").write_bytes(safetensors(arrays, {"assay": json.dumps(changed)}))
            try:
                load(tmp_path / "m.safetensors")
            except ValueError as error:
                assert_one_line(error, "m.safetensors")
                refused.add(key)
            else:
                assert key in (
                    "seed",
                    "data_hash",
                    "versions",
                    "training",
                    "box",
                    "architecture",
                    "settings",
                    "fingerprint",
                    "digest",  # files of earlier versions have none
                )
    assert refused == set(header)  # changed or left out


def test_models_that_do_not_fit(honest, refuses, tmp_path):
    data = honest["m.safetensors"]
    arrays, header = arrays_of(data, tmp_path), header_of(data)
    for key in arrays:
        for value in (np.zeros((0, 3)), np.full_like(arrays[key], np.nan), np.ones((2, 2, 2))):
            refuses("m.safetensors", safetensors({**arrays, key: value}, {"assay": json.dumps(header)}), load)
        left = {k: v for k, v in arrays.items() if k != key}
        refuses("m.safetensors", safetensors(left, {"assay": json.dumps(header)}), load)
    refuses("m.safetensors", safetensors(arrays, {"assay": DEEP}), load)
    refuses("m.safetensors", struct.pack("<Q", 1 << 60) + data[8:], load)
    claim = json.dumps({"basis": {"dtype": "F64", "shape": [10**7, 10**6], "data_offsets": [0, 8 * 10**13]}}).encode()
    refuses("m.safetensors", struct.pack("<Q", len(claim)) + claim, load)


def npy(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "packing"),
    [
        (npy((10**7, 10**6)), zipfile.ZIP_STORED),
        (npy((3,), "|O") + b"cos\nsystem\n(S'touch sprung'\ntR.", zipfile.ZIP_STORED),
        (npy((1 << 24,)) + bytes(8 << 24), zipfile.ZIP_DEFLATED),
        (b"cos\nsystem\n(S'touch sprung'\ntR.", zipfile.ZIP_STORED),
        (b"", zipfile.ZIP_STORED),
    ],
)
def test_training_checkpoints(refuses, tmp_path, content, packing):
    with zipfile.ZipFile(tmp_path / "t", "w", packing) as archive:
        archive.writestr("about.npy", content)
    refuses("t", (tmp_path / "t").read_bytes(), read_arrays)


def test_a_training_checkpoint_that_cannot_be_is_named(block, honest, refuses, tmp_path):
    (tmp_path / "s.h5").write_bytes(honest["s.h5"])
    rows = load_snapshots(tmp_path / "s.h5", block)
    for about in ("[]", DEEP, '[0, -1, 0, [], "", ""]', '[true, 1, 0, [], "", ""]', "x", '[0, 1, 0, ["x"], "", ""]'):
        stream = io.BytesIO()
        np.savez(stream, about=np.array(about))
        said = refuses("t", stream.getvalue(), lambda path: surrogates.train(block, "pod-mlp", rows, checkpoint=path))
        assert "delete it" in said


# --- records, maps, run.json ------------------------------------------------------------------------------------------


def test_a_record_that_unpacks_to_much(honest, refuses, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 1 << 20)
    packing = zlib.compressobj(9)
    bomb = b"".join([*(packing.compress(bytes(1 << 24)) for _ in range(20)), packing.flush()])
    data = {**json.loads(honest["c.jsonl"]), "field": base64.b64encode(bomb).decode()}
    assert len(bomb) < 400_000
    said = refuses("c.jsonl", json.dumps(data).encode(), read_records)
    assert "line 1: not a counterexample record: ValueError: its field takes more than 1048576 bytes" in said


def test_many_records_share_what_they_may_unpack_to(honest, refuses, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 3 * 8 * 25)
    assert "line 4: " in refuses("c.jsonl", honest["c.jsonl"] * 5, read_records)


VALUES = [None, True, -1, 0, 1.5, 10**400, "x", "nan", "-inf", [], {}, [[]], ["x"], [None], {"a": {}}, [10**30] * 2]


@pytest.mark.parametrize("value", VALUES)
def test_records_of_other_kinds(honest, tmp_path, block, value):
    refused = 0
    data = json.loads(honest["c.jsonl"])
    for key in data:
        for changed in ({**data, key: value}, {k: v for k, v in data.items() if k != key}):
            (tmp_path / "c.jsonl").write_text(json.dumps(changed))
            try:
                read_records(tmp_path / "c.jsonl")
            except ValueError as error:
                assert_one_line(error)
                refused += 1
    assert refused > len(data)  # changed and left out: two a key


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 200_000, "[NaN]", "null", '"x"', "[" * 64 + "]" * 64])
def test_json_that_no_reader_takes(refuses, text):
    for name, use in (("c.jsonl", read_records), ("t.json", load_trust_map)):
        refuses(name, text.encode(), use)


@pytest.mark.parametrize("value", VALUES)
def test_run_folders_of_other_kinds(honest, tmp_path, value):
    refused = 0
    found = json.loads(honest["run.json"])
    places = [(found, key) for key in found] + [(found["settings"], "problem")]
    places += [(found["settings"]["problem"], key) for key in found["settings"]["problem"]]
    for holder, key in places:
        changed = copy.deepcopy(found)
        for part in (changed, changed["settings"], changed["settings"]["problem"]):
            if set(part) == set(holder):
                part[key] = value
                break
        (tmp_path / "run.json").write_text(json.dumps(changed))
        try:
            RunFolder.open(tmp_path).problem()
        except (UserError, ValueError) as error:
            assert_one_line(error)
            refused += 1
    assert refused >= 8  # of 14 places


def test_a_map_of_other_kinds(tmp_path):
    for value in VALUES:
        (tmp_path / "t.json").write_text(canonical({"format": 1, "box": value, "axis": value, "failures": value}))
        with pytest.raises(ValueError, match="not a trust map"):
            load_trust_map(tmp_path / "t.json")
