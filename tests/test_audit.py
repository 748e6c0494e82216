"""Audits: a proof is accepted from its file alone, and every lie in it is found, hashes recomputed or not."""

import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from assay.benchmarks.soundness.faulty import Quadratic
from assay.benchmarks.soundness.tampering import LIES, certified, tampered
from assay.cli import run
from assay.solvers import Box, ThermalBlock, affine, black_box
from assay.solvers.processes.worker_processes import WorkerProcesses
from assay.verify.audit import Changed, NotReproduced, Refuted, audit
from assay.verify.certify import certify
from assay.verify.certify_box import certify_box
from assay.verify.proofs.prover import proof_of

PROBLEM = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5)
CORNERS = PROBLEM.inputs.from_unit(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float))


@pytest.fixture(scope="module")
def surrogate():
    return Quadratic(PROBLEM)


@pytest.fixture(scope="module")
def written(surrogate, tmp_path_factory):
    """A map with certified, falsified and undecided leaves, proved with order 2: sharp enough, and quick to compile."""
    tolerance = 0.5 * float(certify(PROBLEM, surrogate, CORNERS).relative_lower.max())
    trust = certify_box(PROBLEM, surrogate, tolerance, seconds=20, order=2, max_leaves=40, width=1 / 4)
    assert min(trust.certified_volume, trust.falsified_volume) > 0
    path = tmp_path_factory.mktemp("audit") / "trust-map.json"
    trust.save(path)
    return path


def test_an_honest_map_is_accepted(written, surrogate):
    steps = []
    found = audit(written, PROBLEM, surrogate, progress=lambda done, total: steps.append((done, total)))
    assert found.proved == found.leaves >= 20 and found.witnesses >= 1 and found.falsified >= 1
    assert steps[0] == (0, found.proved) and steps[-1] == (found.proved, found.proved) and found.boxes >= found.proved
    assert audit(written, PROBLEM, surrogate, sample=6).proved == 6
    assert any("notes" in what for what in found.not_checked)


def test_every_lie_is_found_though_its_hash_fits(written, surrogate, tmp_path):
    for lie in LIES:
        path = tampered(written, lie, tmp_path / "trust-map.json")
        with pytest.raises((Changed, Refuted), match="leaf|witness|another|fail|volumes|bound|box|'|format|units"):
            audit(path, PROBLEM, surrogate)
    assert len(LIES) >= 30


def test_what_does_not_hold_is_told_apart(written, surrogate, tmp_path):
    def told(change, **budget):
        path = tampered(written, change, tmp_path / "trust-map.json")
        with pytest.raises((Changed, Refuted, NotReproduced)) as caught:
            audit(path, PROBLEM, surrogate, **budget)
        return type(caught.value), str(caught.value)

    def lower(data):
        data["bound"][certified(data)[0]] *= 0.4

    kind, text = told(lower)
    assert kind is Refuted and "leaf" in text and "is proved, above its bound" in text
    kind, text = told(lambda data: None, seconds=1e-9)
    assert kind is NotReproduced and "1e-09 s" in text
    assert told(lambda data: data["bound"].pop())[0] is Changed
    path = tmp_path / "trust-map.json"
    path.write_text(written.read_text().replace("certif", "CERTIF").replace("0.", "1.", 1))
    with pytest.raises(Changed, match="changed after it was written"):
        audit(path, PROBLEM, surrogate)


@pytest.mark.parametrize("budget", [{"seconds": 0.0}, {"seconds": np.nan}, {"boxes": 0}, {"sample": 0}])
def test_budgets_are_positive(written, surrogate, budget):
    with pytest.raises(ValueError, match="budgets must be positive"):
        audit(written, PROBLEM, surrogate, **budget)


def test_leaves_are_proved_by_an_executor(written, surrogate):
    with ThreadPoolExecutor(2) as pool:
        found = audit(written, PROBLEM, surrogate, executor=pool)
    assert found.proved == found.leaves
    with WorkerProcesses(2) as pool:  # what is sent there is plain data
        assert audit(written, PROBLEM, surrogate, executor=pool, sample=4).proved == 4


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

    assert proof_of(bar(1.0, 1.0)).problem_hash() == proof_of(bar(1.0, 1.0)).problem_hash()
    three = (bar(1.0, 1.0), bar(1.0 + 1e-15, 1.0), bar(1.0, 1.1))
    assert len({proof_of(problem).problem_hash() for problem in three}) == 3


@pytest.mark.parametrize(
    ("error", "answer", "code"),
    [(Changed, "changed", 1), (Refuted, "refuted", 1), (NotReproduced, "not reproduced", 3)],
)
def test_the_command_line_tells_the_answers_apart(monkeypatch, written, capsys, error, answer, code):
    def check(path, problem, surrogate, sample, **budget):
        assert (budget["boxes"], budget["seconds"], budget["executor"]) == (7, 2.5, None)
        raise error("why")

    monkeypatch.setattr("assay.commands.audit.check", check)
    target = SimpleNamespace(problem=PROBLEM, surrogate=None, folder=None)
    monkeypatch.setattr("assay.commands.audit.find_surrogate", lambda *_: target)
    assert run(["audit", str(written), "--boxes", "7", "--seconds", "2.5", "--json"]) == code
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["holds"], told["answer"], told["reason"]) == (False, answer, "why") and "why" in said.err


def test_a_map_that_proves_nothing_is_not_called_false(tmp_path):
    problem = black_box(lambda p: p, Box(("a",), np.zeros(1), np.ones(1)), name="mine")
    certify_box(problem, lambda P: P, 0.1).save(tmp_path / "map.json")
    with pytest.raises(NotReproduced, match="proves nothing .*no proved bound is known"):
        audit(tmp_path / "map.json", problem, lambda P: P)
