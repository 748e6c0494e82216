"""Audits: a proof is accepted from its file alone, and every lie in it is found, hashes recomputed or not."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("flint", reason="audits need python-flint: pip install 'assay-pde[audit]'")

from assay.benchmarks.faulty import Quadratic
from assay.solvers import Box, ThermalBlock, affine
from assay.verify.audit import audit
from assay.verify.certificate import certify
from assay.verify.certify_box import certify_box
from assay.verify.fingerprint import of_problem
from assay.verify.trust_map import canonical

PROBLEM = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5)
CORNERS = PROBLEM.inputs.from_unit(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float))


@pytest.fixture(scope="module")
def surrogate():
    return Quadratic(PROBLEM)


@pytest.fixture(scope="module")
def written(surrogate, tmp_path_factory):
    """A map with certified, falsified and undecided leaves, proved with order 2: sharp enough, and quick to compile."""
    tolerance = 0.5 * float(certify(PROBLEM, surrogate, CORNERS).relative_lower.max())
    trust = certify_box(PROBLEM, surrogate, tolerance, seconds=20, order=2, boxes=40, width=1 / 4)
    assert min(trust.certified_volume, trust.falsified_volume) > 0
    path = tmp_path_factory.mktemp("audit") / "trust-map.json"
    trust.save(path)
    return path


def test_an_honest_map_is_accepted(written, surrogate):
    found = audit(written, PROBLEM, surrogate, sample=6)
    assert found.proved == 6 and found.leaves >= 20 and found.witnesses >= 1 and found.falsified >= 1


def certified(data):
    """Numbers of certified leaves, the one with the largest bound first."""
    leaves = [i for i, (a, v) in enumerate(zip(data["axis"], data["verdicts"], strict=True)) if a < 0 and v == 0]
    return sorted(leaves, key=lambda i: -data["bound"][i])


def falsified(data):
    return next(i for i, (a, v) in enumerate(zip(data["axis"], data["verdicts"], strict=True)) if a < 0 and v == 1)


def _lower_bound(data):
    data["bound"] = [b * 0.3 if isinstance(b, float) else b for b in data["bound"]]


def _call_certified(data):
    node = falsified(data)
    data["verdicts"][node], data["bound"][node] = 0, 0.99 * data["tolerance"]


def _call_falsified(data):
    data["verdicts"][certified(data)[-1]] = 1


def _move_failure(data):
    data["failures"][str(falsified(data))] = [0.0, 0.0]


def _raise_tolerance_of_failures(data):
    data["tolerance"] *= 1.9
    data["verdicts"] = [1 if v == 1 else 2 for v in data["verdicts"]]


def _exaggerate_witness(data):
    data["witness_lower"][0] *= 1.01


def _other_axis(data):
    data["axis"][0] = 1 - data["axis"][0]
    data["bound"] = [b * 0.5 if isinstance(b, float) else b for b in data["bound"]]


def _smaller_box(data):
    data["box"]["upper"] = [x / 2 for x in data["box"]["upper"]]


def _other_model(data):
    data["model_hash"] = "0" * 64


def _other_problem(data):
    data["problem_hash"] = "0" * 64


LIES = (
    _lower_bound, _call_certified, _call_falsified, _move_failure, _raise_tolerance_of_failures, _exaggerate_witness,
    _other_axis, _smaller_box, _other_model, _other_problem,
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_found_though_its_hash_fits(written, surrogate, tmp_path, lie):
    data = json.loads(written.read_text())
    lie(data)
    path = tmp_path / "trust-map.json"
    path.write_text(canonical(data))
    with pytest.raises(ValueError, match="leaf|witness|another|falsified|volumes|bound"):
        audit(path, PROBLEM, surrogate)


def test_another_surrogate_or_problem_is_refused(written, surrogate):
    other = Quadratic(PROBLEM)
    other.weights = other.weights.copy()
    other.weights[0, 0] = np.nextafter(other.weights[0, 0], 1)
    with pytest.raises(ValueError, match="another surrogate"):
        audit(written, PROBLEM, other)
    with pytest.raises(ValueError, match="another problem"):
        audit(written, ThermalBlock((2, 1), 8, low=0.3, high=3.3), surrogate)


def test_problems_from_matrices_are_told_apart_by_their_matrices():
    def bar(stiffness, load):
        k = sp.diags([-np.ones(3), 2 * np.ones(4), -np.ones(3)], [-1, 0, 1])
        box = Box(("a", "b"), np.ones(2), np.full(2, 2.0))
        return affine([k, stiffness * sp.identity(4)], None, np.full(4, load), box)

    assert of_problem(bar(1.0, 1.0)) == of_problem(bar(1.0, 1.0))
    assert len({of_problem(bar(1.0, 1.0)), of_problem(bar(1.0 + 1e-15, 1.0)), of_problem(bar(1.0, 1.1))}) == 3
