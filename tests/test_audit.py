"""Audits: a proof is accepted from its file alone, and every lie in it is found, hashes recomputed or not."""

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("flint", reason="audits need python-flint: pip install 'assay-pde[audit]'")

from assay.benchmarks.faulty import Quadratic
from assay.benchmarks.tampering import LIES, tampered
from assay.solvers import Box, ThermalBlock, affine
from assay.verify.audit import audit
from assay.verify.certificate import certify
from assay.verify.certify_box import certify_box
from assay.verify.fingerprint import of_problem

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


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_found_though_its_hash_fits(written, surrogate, tmp_path, lie):
    path = tampered(written, lie, tmp_path / "trust-map.json")
    with pytest.raises(ValueError, match="leaf|witness|another|falsified|failure|volumes|bound|box"):
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
