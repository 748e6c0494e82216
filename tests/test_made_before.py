"""Files made before there were fingerprints in them: each loads, or is refused in one line.

They were written by the code at commit f8c5a33.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from assay import surrogates
from assay.run_folder import RunFolder
from assay.solvers import Box, ThermalBlock, affine, black_box, load_snapshots, sample
from assay.verify.search.records import read_records

BOX = Box(("a", "b"), [1.0, 1.0], [2.0, 2.0])
X = np.linspace(0.1, 1.0, 5)
LAPLACE = sp.diags([-np.ones(4), 2 * np.ones(5), -np.ones(4)], [-1, 0, 1]).tocsr()


def linear(slope=1.0):
    return black_box(lambda p: slope * p[1] * X, BOX)


def matrices(scale=1.0):
    return affine([LAPLACE * scale, sp.identity(5, format="csr")], None, np.ones(5), BOX)


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(Path(__file__).parent / "made_before", tmp_path / "old"))


def test_snapshots_of_a_black_box_and_of_matrices(old):
    for name, make in (("black-box.h5", linear), ("affine.h5", matrices)):
        assert not load_snapshots(old / name, make()).fingerprint
        with pytest.raises(ValueError, match="is of another"):
            load_snapshots(old / name, make(1.001))
        longer = sample(make(), 5, path=old / name)
        assert longer.valid.all() and load_snapshots(old / name).fingerprint == make().fingerprint


def test_a_journal_is_gone_on_with(old):
    block = ThermalBlock((2, 1), 4)
    assert len(load_snapshots(old / "begun.h5", block)) == 2
    whole = sample(block, 4, path=old / "begun.h5")
    np.testing.assert_allclose(whole.fields, sample(block, 4).fields, rtol=0, atol=1e-12)


def test_models(old):
    assert surrogates.load(old / "black-box.safetensors", linear()).name == "mean"
    assert surrogates.load(old / "run" / "model.safetensors")(np.ones((2, 2))).shape == (2, 25)


def test_a_run_folder_and_its_record(old):
    folder = RunFolder.open(old / "run")
    problem = folder.problem()
    assert problem.settings == ThermalBlock((2, 1), 4).settings
    assert folder.surrogate(problem)(np.ones((1, 2))).shape == (1, 25)
    (record, *_) = read_records(old / "run" / "counterexamples.jsonl")
    assert record.fingerprint == "" and record.field.shape == (25,)
