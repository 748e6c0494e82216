"""Errors under named changes of the question, where they are known beforehand."""

import json
import sys

import numpy as np
import pytest

import assay
from assay.cli import run
from assay.solvers.classes.finer import doubled
from assay.solvers.classes.richardson import restrict
from assay.verify.shifts.named import widened

BOX = assay.Box(("a", "b"), np.array([1.0, 1.0]), np.array([2.0, 4.0]), log=(False, True))


def line(p):
    return np.array([p[0], p[1], 1.0])


@pytest.fixture(scope="module")
def plane():
    return assay.black_box(line, BOX, name="plane", norm="max")


def clipped(P):
    """Right in the box, and as at its edge beyond."""
    Q = np.clip(P, BOX.lower, BOX.upper)
    return np.column_stack([Q, np.ones(len(P))])


def test_a_surrogate_that_stops_at_the_edge_is_wrong_beyond_it_alone(plane):
    found = assay.shifts(plane, clipped, n=40, widen=2)
    assert [row.name for row in found.rows] == ["none", "wider a", "wider b", "wider, all inputs"]
    assert found["none"].worst == 0.0 and found.solver_calls == 160
    for j, name in enumerate("ab"):
        row = found[f"wider {name}"]
        away = np.abs(row.inputs - np.clip(row.inputs, BOX.lower, BOX.upper))
        assert (away[:, j] > 0).all() and (away[:, 1 - j] == 0).all()  # beyond in this one alone
        sizes = np.abs(np.stack([line(p) for p in row.inputs])).max(axis=1)
        np.testing.assert_allclose(row.errors, away[:, j] / sizes, rtol=1e-12)
        assert row.worst == row.errors.max() and row.mean == pytest.approx(row.errors.mean())
        assert (row.worst_inputs == row.inputs[row.errors.argmax()]).all()
        ends = widened(BOX, 2)
        assert (row.inputs[:, j] >= ends[0][j]).all() and (row.inputs[:, j] <= ends[1][j]).all()
    assert {each.name for each in found.refused} == {"rougher", "boundary", "finer grid"}
    assert all(each.why for each in found.refused)


def test_widened_ranges_keep_their_sign_and_their_scale():
    low, high = widened(BOX, 2)
    np.testing.assert_allclose(low, [0.5, 0.5])
    np.testing.assert_allclose(high, [2.5, 8.0])  # of the logarithm
    from_zero = assay.Box(("a", "b", "c"), np.array([0.0, 0.1, -1.0]), np.array([1.0, 1.0, 1.0]))
    low, high = widened(from_zero, 3)
    np.testing.assert_allclose(low, [0.0, 0.1 / 3, -3.0])
    np.testing.assert_allclose(high, [2.0, 1.9, 3.0])


def test_the_truth_failing_beyond_the_range_is_said_and_not_read_as_fine():
    def fails(p):
        if p[0] > 2:
            raise RuntimeError("no state")
        return line(p)

    problem = assay.black_box(fails, BOX, name="failing", norm="max")
    found = assay.shifts(problem, clipped, n=20, kinds=["wider"])
    row = found["wider a"]
    beyond = row.inputs[:, 0] > 2
    assert 0 < beyond.sum() < 20 and np.isnan(row.errors[beyond]).all() and np.isfinite(row.known).all()
    assert len(row.known) == 20 - beyond.sum() and any("no state" in note for note in row.notes)
    never = assay.black_box(lambda p: line(p) if BOX.contains(p[None])[0] else np.full(3, np.nan), BOX, name="never")
    found = assay.shifts(never, clipped, n=3, kinds=["wider"])
    assert [row.name for row in found.rows] == ["none"]
    assert {each.name for each in found.refused} == {"wider a", "wider b", "wider, all inputs"}


def test_an_answer_that_is_no_number_is_infinitely_wrong(plane):
    def breaks(P):
        return np.where(P[:, :1] > 2, np.nan, clipped(P))

    row = assay.shifts(plane, breaks, n=20, kinds=["wider"], inputs=["a"])["wider a"]
    assert row.worst == np.inf == row.mean


def test_the_exact_surrogate_is_off_by_the_grids_own_error_on_the_finer_one():
    problem = assay.problem("thermal-block", blocks=(2, 1), cells=4)
    found = assay.shifts(problem, lambda P: np.asarray(problem.solve_batch(P)), n=3, kinds=["finer"])
    row = found["finer grid"]
    assert found["none"].worst < 1e-12 and (row.inputs == found["none"].inputs).all()
    fine = doubled(problem)
    p = row.inputs[0]
    truth = restrict(fine, problem, np.asarray(fine.solve(p)))
    assert row.errors[0] == pytest.approx(float(problem.relative_error(p, np.asarray(problem.solve(p)), truth)))
    assert row.errors[0] > 1e-3


def test_modes_that_the_surrogate_is_not_told():
    problem = assay.problem("lognormal-diffusion", d=2, cells=8)
    exact = lambda P: np.asarray(problem.solve_batch(P))  # noqa: E731
    found = assay.shifts(problem, exact, n=3, kinds=["rougher"], rough=1.5)
    row = found["rougher"]
    assert found["none"].worst < 1e-12 and row.worst > 1e-3 and "d=3 in the place of 2" in row.what
    more = assay.problem("lognormal-diffusion", d=3, cells=8)
    P = more.inputs.draw(3, 0)
    assert np.array_equal(row.inputs, P[:, :2])
    truth = np.asarray(more.solve(P[0]))
    assert row.errors[0] == pytest.approx(float(problem.relative_error(P[0, :2], exact(P[:1, :2])[0], truth)))


def test_other_boundary_data_and_other_settings():
    problem = assay.problem("advection-diffusion", cells=4)
    exact = lambda P: np.asarray(problem.solve_batch(P))  # noqa: E731
    found = assay.shifts(
        problem, exact, n=2, kinds=["boundary"], settings=[{"scheme": "no such"}, {"cells": 8}],
        others={"the same": problem},
    )  # fmt: skip
    assert found["boundary"].worst > 0.1 and "data=step in the place of source" in found["boundary"].what
    assert found["the same"].worst < 1e-12
    reasons = {each.name: each.why for each in found.refused}
    assert "scheme" in reasons["scheme=no such"] and "its inputs or its nodes" in reasons["cells=8"]


def test_what_makes_no_sense_is_refused(plane):
    for wrong, message in (
        ({"n": 0}, "n is a whole number"),
        ({"widen": 1.0}, "widen is a finite factor above 1"),
        ({"rough": np.nan}, "rough is a finite factor above 1"),
        ({"kinds": ["widr"]}, "did you mean 'wider'"),
        ({"inputs": ["c"]}, "there is no input of plane"),
    ):
        with pytest.raises(ValueError, match=message):
            assay.shifts(plane, clipped, **wrong)
    many = assay.Box(tuple(f"x{i}" for i in range(13)), np.zeros(13), np.ones(13))
    wide = assay.black_box(lambda p: p, many, name="wide")
    found = assay.shifts(wide, lambda P: P, n=2)
    assert [row.name for row in found.rows] == ["none", "wider, all inputs"]
    assert any("13 inputs are many" in each.why for each in found.refused)


def test_the_verb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_shifts.py").write_text(
        "import numpy as np, assay\nbox = assay.Box(('a',), np.array([1.0]), np.array([2.0]))\n"
        "plane = assay.black_box(lambda p: np.array([p[0], 1.0]), box, name='plane', norm='max')\n"
        "def clipped(P): return np.column_stack([np.clip(P[:, 0], 1, 2), np.ones(len(P))])\n"
    )
    monkeypatch.delitem(sys.modules, "mine_shifts", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    words = ["shifts", "mine_shifts:clipped", "--problem", "mine_shifts:plane", "--n", "10"]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["shift"] for row in found["rows"]] == ["none", "wider a", "wider, all inputs"]
    assert found["rows"][0]["worst"] == 0 < found["rows"][1]["worst"] and found["solver_calls"] == 30
    assert run(words) == 0
    out = capsys.readouterr().out
    assert "wider a" in out and "not shifted: finer grid: plane has no doubled grid" in out and "OOD" not in out
    for wrong, message in (
        (["--widen", "1"], "widen is a finite factor above 1"),
        (["--kind", "x"], "there is no kind of shift called 'x'"),
        (["--change", "speed=2"], "--change: plane has no setting 'speed'"),
    ):
        assert run([*words, *wrong]) == 2
        err = capsys.readouterr().err
        assert message in err and err.strip().count("\n") == 0
