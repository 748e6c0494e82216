"""The benchmark of one truth solve: what it reports, and that it says so when something is missing or missed."""

import copy
import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console

from assay.benchmarks.peers import truth
from assay.benchmarks.peers import truth_peers as peers
from assay.solvers import ThermalBlock


@pytest.fixture(scope="module")
def report():
    return truth.measure([4], repeats=7)  # no multigrid level at all: quick to compile


@pytest.mark.smoke
def test_every_solver_reached_the_residual_it_is_timed_at(report):
    names = [row["method"] for row in report["solvers"]]
    assert names[0] == "assay multigrid + CG" and any("splu" in name for name in names)
    for row in report["solvers"]:
        assert 0 <= row["true_residual"] <= truth.RESIDUAL
        assert 0 < row["best_ms"] <= row["median_ms"]
    assert report["solvers"][0]["times_ours_best"] == 1


@pytest.mark.smoke
def test_approximate_truths_come_with_their_error(report):
    errors = {row["method"]: row["worst_error"] for row in report["approximate"]}
    assert errors["full multigrid, 1 cycle"] <= 1e-12  # the coarsest grid is solved exactly
    assert errors["multigrid + CG, residual 1e-01"] <= 0.5
    assert report["gradient"]["adjoint_against_tangent"] <= 1e-8


@pytest.mark.smoke
def test_the_report_is_json_and_its_table_can_be_read(report):
    assert json.loads(json.dumps(report)) == report
    out = io.StringIO()
    truth.show(report, Console(file=out, width=120))
    assert "scipy splu" in out.getvalue() and "adjoint against tangent" in out.getvalue()


def test_a_missing_rival_is_named_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyamg", None)
    problem = ThermalBlock(cells=4)
    found, notes = peers.others(problem, np.ones(9))
    assert len(found) == 2 + 3 - len(notes) and "pyamg is not installed" in notes[0]


@pytest.mark.smoke
def test_what_was_missed_is_said(report):
    slow = copy.deepcopy(report)
    for row in slow["solvers"]:
        row["cells"], row["problem"] = 128, "thermal-block"
        row["times_ours_best"] = row["times_ours_median"] = 1.0 if row["method"].startswith("assay") else 9.9
    slow["gradient"]["solves_best"] = 2.6
    lines = "\n".join(truth.verdicts(slow))
    assert "9.9 times faster" in lines and lines.count("MISSED") == 2
    fast = copy.deepcopy(slow)
    for row in fast["solvers"][1:]:
        row["times_ours_best"] = row["times_ours_median"] = 10.1
    fast["gradient"]["solves_best"] = 2.4
    assert "MISSED" not in "\n".join(truth.verdicts(fast))


def test_turns_time_every_method_on_every_input():
    seen = []
    method = peers.Method("waits", lambda p: p, lambda p: seen.append(float(p[0])) or np.zeros(1))
    peers.take_turns([method], np.array([[1.0], [2.0]]), repeats=7)
    assert len(method.last) == 7 and set(seen) == {1.0, 2.0} and len(method.times) == len(seen) - 1


def test_senseless_options_end_with_exit_code_two(capsys):
    for arguments in (["--repeats", "3"], ["--cells", "7"]):
        with pytest.raises(SystemExit) as stop:
            truth.main(arguments)
        assert stop.value.code == 2
    assert "must be even" in capsys.readouterr().err
