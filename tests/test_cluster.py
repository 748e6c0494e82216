"""Solves on a Dask cluster: the same rows as in one process, and what is told where there is no cluster."""

import json

import distributed
import numpy as np
import pytest
from solvers_to_send import bumped, problem

from assay.benchmarks.tables.yardstick import Yardstick
from assay.cli import run
from assay.solvers.datasets.dataset import dataset
from assay.solvers.datasets.files import save_dataset
from assay.solvers.processes import cluster as of_dask
from assay.solvers.processes.cluster import cluster
from assay.solvers.snapshots.sample import load_snapshots, sample
from assay.verify.falsify import falsify


@pytest.fixture(scope="module")
def address():
    """Two workers in threads of this process: what Dask sends is what it sends anywhere."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="tcp://"
    ) as local:
        yield local.scheduler_address


def test_a_cluster_gives_the_same_to_the_bit(address):
    here = falsify(problem(), bumped, 1e-2, 24, 3)
    with cluster(address) as executor:
        assert sample(problem(), 40, seed=1, executor=executor).hash == sample(problem(), 40, seed=1).hash
        there = falsify(problem(), bumped, 1e-2, 24, 3, executor=executor)
    assert [c.to_json() for c in there.counterexamples] == [c.to_json() for c in here.counterexamples] != []


def test_the_command_line_solves_there(address, tmp_path, capsys):
    out = tmp_path / "s.h5"
    words = ["sample", "solvers_to_send:problem", "--n", "12", "--dask", address, "--out", str(out), "--json"]
    assert run(words) == 0 and json.loads(capsys.readouterr().out)["failed"] == 0
    np.testing.assert_array_equal(load_snapshots(out).fields, sample(problem(), 12).fields)
    assert run([*words, "--workers", "2"]) == 2
    assert "leave one of them out" in capsys.readouterr().err


def test_an_address_where_nobody_answers_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(of_dask, "WAIT", 0.5)
    for nowhere in ("tcp://127.0.0.1:1", "nonsense", "http://127.0.0.1:1"):
        assert run(["sample", "solvers_to_send:problem", "--dask", nowhere, "--out", str(tmp_path / "s.h5")]) == 2
        assert f"no Dask scheduler answers at {nowhere}" in capsys.readouterr().err


def test_what_solves_nothing_that_could_be_shared_says_so(tmp_path, capsys):
    data = tmp_path / "data.h5"
    rows = np.linspace(0, 1, 12)[:, None]
    save_dataset(dataset(rows, np.hstack([rows, rows**2]), name="data"), data)
    for words, why in (
        (["prepare", "cavity", "--workers", "2"], "each stage is made from the one before it"),
        (["replay", "records.jsonl", "--dask", "tcp://127.0.0.1:1"], "it is one solve"),
        (["surrogates", "--workers", "2"], "it makes no solves that could be shared"),
        (["bench", "--truth", "--workers", "2"], "--truth times all"),
        (["certify", "somewhere", "--workers", "2"], "the solves of --truth"),
        (["train", "--data", str(data), "--workers", "2", "--out", str(tmp_path / "run")], "there is no solver of"),
        (["train", "--data", str(data), "--seeds", "2", "--dask", "x", "--out", str(tmp_path / "s")], "no solver of"),
    ):
        assert run(words) == 2, words
        assert why in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]


def test_a_table_solves_what_is_not_timed_there(address, tmp_path):
    with cluster(address) as executor:
        there = Yardstick(problem(), 20, executor=executor)
    here = Yardstick(problem(), 20)
    np.testing.assert_array_equal(there.truths, here.truths)
    assert there.seconds > 0 and len(there.P) == 24


def test_without_dask_the_remedy_is_told(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(of_dask.importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"pip install 'assay-pde\[cluster\]'"), cluster("tcp://127.0.0.1:1"):
        pass
