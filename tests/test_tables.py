"""Tables of any problem: which grids it has, what fits it, what failed, what is kept, and how much time it may take."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assay import cli
from assay.benchmarks.subjects.own import corner, flow, scalar
from assay.benchmarks.tables import table_output, table_picture
from assay.benchmarks.tables.clock import Clock
from assay.benchmarks.tables.contestants import fitting, usual
from assay.benchmarks.tables.effort import GRIDS, QUICK, Effort, quick_settings
from assay.benchmarks.tables.grids import Transfer, axes, finer, ratios, resolutions
from assay.benchmarks.tables.parts import Parts
from assay.benchmarks.tables.table import run_table
from assay.benchmarks.tables.yardstick import Yardstick, why_no_reference
from assay.solvers.box import Box
from assay.solvers.problem import SolveError
from assay.solvers.problems.black_box import BlackBox, black_box
from assay.solvers.problems.catalogue import PROBLEMS, problem
from assay.solvers.problems.elasticity import Elasticity
from assay.solvers.problems.heat import Heat

LINE = Box(("a",), np.array([1.0]), np.array([2.0]))
TINY = Effort(seeds=(0,), snapshots=12, seconds=0.5, batch=4, draws=6, search=False)


def quick(name):
    return problem(name, **quick_settings(name, {})[0])


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_finer_grid_has_the_problem_as_its_coarser_one(name):
    here = quick(name)
    assert set(GRIDS.get(name, {})) <= set(here.settings) and why_no_reference(here) == ""
    fine = finer(here, 1)
    assert fine.settings["cells"] == 2 * here.settings["cells"]
    assert [p.settings for p in resolutions(fine, 2)] == [fine.settings, here.settings]
    if hasattr(type(fine), "coarser"):
        assert fine.coarser.settings == here.settings


def test_time_is_refined_so_that_its_error_shrinks_like_that_of_the_grid():
    assert ratios(Heat(cells=8, steps=16)) == {"cells": 2, "steps": 4}  # implicit Euler: first order
    assert ratios(Heat(cells=8, steps=16, scheme="crank-nicolson")) == {"cells": 2, "steps": 2}
    assert ratios(Elasticity(cells=8)) == {"cells": 2}
    assert ratios(black_box(lambda p: p * np.ones(3), LINE)) == {}


def test_grids_that_are_no_tensor_grid_are_known_before_any_work():
    cook = Elasticity(geometry="cook", cells=8)
    assert axes(cook) is None and "no tensor grid" in why_no_reference(cook)
    with pytest.raises(ValueError, match="no tensor grid"):
        Transfer(cook, Elasticity(geometry="cook", cells=16))


@pytest.mark.parametrize("name", ["heat", "elasticity", "helmholtz", "burgers", "cavity"])
def test_transfer_is_exact_for_linear_fields_in_time_in_space_and_in_every_component(name):
    coarse = quick(name)
    fine = finer(coarse, 1)

    def field(problem):
        times, nodes, components = problem.shape
        x = problem.coordinates
        x = x if len(x) == times * nodes else x[::components]
        one = 1 + x @ np.arange(2.0, 2 + x.shape[1])
        return np.stack([(c + 1) * one for c in range(components)], axis=-1).reshape(1, -1)

    np.testing.assert_allclose(Transfer(coarse, fine)(field(coarse)), field(fine), atol=1e-12)
    np.testing.assert_allclose(Transfer(fine, coarse)(field(fine)), field(coarse), atol=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_default_list_holds_what_fits(name):
    here = quick(name)
    fits = here.affine_decomposition is not None
    assert fits or name not in ("thermal-block", "elasticity")
    assert not fits or name not in ("lognormal-diffusion", "helmholtz", "heat")
    names, remarks = fitting(here)
    assert names == [n for n in usual() if fits or n != "reduced-basis"]
    assert len(remarks) == (0 if fits else 1) and all("not affine in few terms" in r for r in remarks)
    if not fits:
        with pytest.raises(ValueError, match="reduced-basis is left out"):
            fitting(here, ["linear", "reduced-basis"])


@pytest.fixture(scope="module")
def cornered():
    return run_table(corner(), None, TINY)


def test_rows_that_the_solver_fails_at_are_left_out_counted_and_explained(cornered):
    assert any("the solver failed at" in n and "NaN" in n for n in cornered.notes)
    assert all("snapshots failed" in row.note for row in cornered.rows)
    assert {row.name for row in cornered.rows} == set(usual()) - {"reduced-basis"}
    text = json.dumps(table_output.to_json(cornered))
    assert "nan" not in text.lower().replace("values nan", "")
    assert all(np.isfinite([*row.errors.mean.values(), *row.errors.worst.values()]).all() for row in cornered.rows)


def test_a_solver_of_one_accuracy_is_compared_with_nobody(cornered):
    assert len(cornered.curve) == 1 and cornered.curve[0].errors.worst["discrete"] == 0
    assert all(row.verdicts == {"discrete": "not comparable"} and not row.matches for row in cornered.rows)
    assert not any(": win" in v for v in cornered.verdicts)
    text = table_output.to_markdown(cornered)
    assert "not comparable: the solver's cost is known at one accuracy only; name what" in text


def test_the_picture_names_the_norm_and_draws_zero_at_the_edge(cornered):
    from matplotlib.figure import Figure

    figure = Figure()
    axis = figure.subplots()
    table_picture._draw(axis, cornered, "discrete")
    figure.draw_without_rendering()
    assert axis.get_title().replace("\n", " ") == f"{cornered.norm}, against the discrete truth"
    low, high = axis.get_ylim()
    errors = [e for row in cornered.rows for e in (row.errors.mean["discrete"], row.errors.worst["discrete"])]
    assert low < min(errors) < 10 * low * 1.25 and max(errors) < high  # no decade that holds nothing
    solver = next(line for line in axis.lines if str(line.get_label()).startswith("solver"))
    assert solver.get_ydata() == [low] and "lower edge: error 0" in axis.get_ylabel()
    for one, ends in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        shown = [t for t in one.get_majorticklocs() if ends[0] <= t <= ends[1]]
        assert 2 <= len(shown) <= 8 and not any(label.get_text() for label in one.get_minorticklabels())


def test_a_knob_makes_a_curve_and_a_surrogate_that_is_far_off_does_not_win():
    def solve(p, accuracy=0.0):
        time.sleep(2e-3 if accuracy == 0 else 1e-3)
        return p * np.ones(3) * (1 + accuracy)

    table = run_table(
        black_box(solve, LINE, loosen="accuracy"), ["linear", "mean"], replace(TINY, tolerances=(0.5, 0.1))
    )
    errors = {p.tolerance: p.errors.worst["discrete"] for p in table.curve}
    assert errors == {None: 0.0, 0.5: pytest.approx(0.5), 0.1: pytest.approx(0.1)}
    assert [p.label for p in table.curve] == ["the solver, level 0.5", "the solver, level 0.1", "the solver"]
    linear, mean = table.rows
    assert linear.errors.worst["discrete"] < 1e-6 and linear.verdicts["discrete"] == "win"
    assert mean.errors.worst["discrete"] > 0.3 and mean.verdicts["discrete"] == "no use"  # much faster than any solve
    assert mean.matches["discrete"]["worst"]["n"].speedup > 5


def test_a_table_of_one_number_and_its_picture(tmp_path):
    table = run_table(scalar(), ["mean", "nearest"], TINY)
    assert [row.name for row in table.rows] == ["mean", "nearest"] and table.norm in table_output.to_markdown(table)
    table_picture.plot(table, tmp_path / "table.png")
    assert (tmp_path / "table.png").stat().st_size > 10_000


def test_one_surrogate_that_cannot_be_trained_is_not_the_end_of_a_table():
    few = Effort(snapshots=1, draws=3, batch=2)
    table = run_table(black_box(lambda p: p * np.ones(3), LINE), ["nearest", "linear"], few)
    assert [row.name for row in table.rows] == ["nearest"]
    assert any(n.startswith("linear is left out: ") and "1" in n for n in table.notes)


def test_a_solver_that_answers_nowhere_is_undecided_and_says_why():
    calls = []

    def away(p):
        calls.append(p)
        if len(calls) > 1:
            raise OSError("licence server: no seats left")
        return p * np.ones(3)

    with pytest.raises(SolveError, match="none of the draws .* no seats left"):
        run_table(black_box(away, LINE), ["mean"], TINY)


class ZeroAtOne(BlackBox):
    """u = (a - 1) (1, 1, 1), zero at the lower end of the box, which counts below 0.5."""

    @property
    def zero_scale(self):
        return 0.5


def test_errors_beside_a_solution_of_zero_are_scaled():
    plain = black_box(lambda p: (p - 1) * np.ones(3), LINE)
    scaled = ZeroAtOne(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})
    yardstick = Yardstick(scaled, draws=4)
    sizes = yardstick.P[:, 0] - 1
    assert sizes.min() == 0  # a corner of the box
    errors = yardstick.rows(yardstick.truths + 0.01)["discrete"]
    np.testing.assert_allclose(errors, 0.01 / (0.5 + sizes), rtol=1e-12)
    assert any("plus 0.5: it is zero somewhere" in note for note in run_table(scaled, ["mean"], TINY).notes)
    unscaled = Yardstick(plain, draws=4)
    assert unscaled.rows(unscaled.truths + 0.01)["discrete"].max() == np.inf  # and never fine
    assert unscaled.rows(unscaled.truths)["discrete"].max() == 0


def test_errors_by_component_are_relative_to_each_ones_own_size():
    yardstick = Yardstick(flow(), draws=5)
    u = yardstick.truths.reshape(len(yardstick.P), -1, 2)
    wrong = u.copy()
    wrong[:, :, 1] *= 1.1
    found = yardstick.errors(wrong.reshape(len(u), -1)).components
    (first, *_), second = found.values()
    each = np.linalg.norm(u[:, :, 1], axis=1)
    assert first == 0 and list(found) == list(flow().component_names)
    assert second[1] == pytest.approx(0.1 * each.max() / np.sqrt((each**2).mean()))
    table = run_table(flow(), ["mean"], TINY)
    assert "L2 error by component" in table_output.to_markdown(table) and len(table.rows[0].errors.components) == 2


# ---- interruptions ---------------------------------------------------------------------------------------------------


class Counted:
    """A solver that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, p):
        self.calls += 1
        return p[0] * np.arange(1.0, 6.0)


@pytest.mark.smoke
@pytest.mark.parametrize("stage", ["timing the solver", "snapshots", "training pod-mlp-0", "measuring surrogates"])
def test_an_interrupted_table_goes_on_with_what_it_has(tmp_path, stage):
    solver, stop = Counted(), [True]
    subject, names = black_box(solver, LINE), ["pod-mlp", "nearest"]
    effort = replace(TINY, seconds=5.0) if stage.startswith("training") else TINY  # time for a first report

    def progress(where, done, total):
        if stop and where == stage and (done or where == "training pod-mlp-0"):
            stop.clear()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_table(subject, names, effort, keep=tmp_path / "parts", progress=progress)
    before = solver.calls
    table = run_table(subject, names, effort, keep=tmp_path / "parts")
    assert [row.name for row in table.rows] == names
    missing = TINY.snapshots if stage in ("timing the solver", "snapshots") else 0
    assert solver.calls - before <= missing  # nothing is solved twice but what was in progress
    assert any("measured earlier" in n for n in table.notes)
    again = run_table(subject, names, effort, keep=tmp_path / "parts")
    assert again.rows == table.rows and again.curve == table.curve


def test_a_damaged_part_is_named(tmp_path):
    parts = Parts(tmp_path)
    made, about = parts.rows("truths", 3, lambda: (np.ones((2, 3)), {"seconds": float("inf")}))
    again, told = parts.rows("truths", 3, lambda: pytest.fail("made twice"))
    assert np.array_equal(made, again) and told == about
    with (tmp_path / "truths.rows").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ValueError, match=r"truths\.rows is damaged"):
        parts.rows("truths", 3, lambda: pytest.fail("made twice"))


# ---- time ------------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_the_time_is_left_out_and_said():
    clock = Clock(10.0)
    assert clock.allows("little", 0.0, wait=1.0) and not clock.allows("much", 0.0, wait=11.0)
    assert not clock.allows("much", 11.0) and not clock.allows("half", 0.0, 0.5, wait=6.0)
    assert list(clock.cut) == ["much", "half"]
    assert Clock().allows("everything", 1e9)


def test_sizes_follow_from_what_a_solve_takes():
    clock = Clock(60.0)
    assert QUICK.within(clock, 1e-3) == QUICK and not clock.cut
    slow = QUICK.within(clock, 1.0)
    assert slow.snapshots == 12 and slow.batch == 1 and len(clock.cut) == 2
    assert Effort(limit=60.0, fixed=frozenset({"snapshots"})).within(clock, 1.0).snapshots == 512
    with pytest.raises(ValueError, match="a solve takes 5 s"):
        QUICK.within(clock, 5.0)
    assert Effort().within(Clock(), 5.0) == Effort()


def test_what_was_asked_for_is_not_left_out():
    subject, none = black_box(lambda p: p * np.ones(3), LINE), replace(TINY, limit=0.1)
    assert [row.name for row in run_table(subject, ["mean"], replace(none, fixed=frozenset({"surrogates"}))).rows] == [
        "mean"
    ]
    table = run_table(subject, ["mean", "pod-mlp"], replace(none, fixed=frozenset({"seconds", "draws"})))
    assert [row.name for row in table.rows] == ["pod-mlp"]
    assert any(note.startswith("means over 6 draws") for note in table.notes)
    assert any(note.startswith("left out to stay within 0.1 s") and "mean" in note for note in table.notes)


def test_a_slow_solver_is_asked_for_no_more_than_the_time_allows():
    def slow(p):
        time.sleep(0.05)
        return p * np.ones(4)

    table = run_table(black_box(slow, LINE), ["mean", "nearest"], replace(TINY, snapshots=500, limit=4.0))
    assert any("left out to stay within 4 s" in n and "snapshots" in n for n in table.notes)


# ---- on the command line ---------------------------------------------------------------------------------------------

MODULE = """
import numpy as np
from assay.solvers.problems.black_box import black_box
from assay.solvers.box import Box
calls = []
def solve(p):
    calls.append(p)
    if {fails}:
        raise RuntimeError("no seats left")
    return p * np.ones(3)
subject = black_box(solve, Box(("a",), np.array([1.0]), np.array([2.0])))
"""
SHORT = ["--quick", "--surrogate", "mean", "--snapshots", "8", "--draws", "4", "--batch", "2"]


def bench(capsys, *words):
    code = cli.run(["bench", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, fails):
        (tmp_path / f"{name}.py").write_text(MODULE.format(fails=fails))
        return f"{name}:subject"

    return write


def test_a_bench_ends_with_a_table_in_every_form(capsys, module, tmp_path):
    word = module("bench_good", "False")
    code, out, _ = bench(capsys, word, *SHORT, "--out", "run", "--json")
    data = json.loads(out)
    assert code == 0 and data["tables"][0]["rows"][0]["verdicts"] == {"discrete": "not comparable"}
    files = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")}
    assert files == {"run.json", "bench_good-subject.md", "bench_good-subject.json", "bench_good-subject.png"}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"


def test_a_bench_whose_solver_fails_is_undecided_and_in_nobodys_way(capsys, module):
    bad, good = module("bench_bad", "len(calls) > 1"), module("bench_fine", "False")
    code, out, err = bench(capsys, bad, good, *SHORT, "--json")
    assert code == 3 and "no seats left" in err and len(json.loads(out)["tables"]) == 1  # the other one is made
    code, _, err = bench(capsys, bad, *SHORT, "--out", "run")
    assert code == 3 and "no seats left" in err
    assert bench(capsys, good, *SHORT, "--out", "run", "--json")[0] == 0  # the corrected command


def test_parts_do_not_lead_out_of_their_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "parts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link"):
        run_table(scalar(), ["mean"], TINY, keep=tmp_path / "parts")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_surrogate_that_does_not_fit_is_a_mistake_before_any_work(capsys, tmp_path):
    code, _, err = bench(capsys, "burgers", "--surrogate", "reduced-basis", "--out", str(tmp_path / "run"))
    assert code == 2 and "reduced-basis" in err and not (tmp_path / "run").exists()


@pytest.mark.smoke
def test_a_killed_bench_loses_no_finished_part(module, tmp_path):
    word = module("bench_slow", "__import__('time').sleep(0.02)")
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "assay", "bench", word, *SHORT[1:], "--snapshots", "100", "--out", "run", "--json"]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{tmp_path}"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = tmp_path / "run" / "bench_slow-subject.parts" / "snapshots.h5.journal"
    for _ in range(600):
        if journal.exists() and journal.stat().st_size > 1000:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert (journal.parent / "truths.rows").exists() and (journal.parent / "solver-00.json").exists()
    kept = journal.stat().st_size
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and kept > 1000, done.stderr
    assert any("measured earlier" in n for n in json.loads(done.stdout)["tables"][0]["notes"])
