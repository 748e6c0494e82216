"""The rules of the comparison and the table: matched times, references, verdicts, and every form it is printed in."""

import io
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from assay.benchmarks import command
from assay.benchmarks.soundness import effectivity, guard_speed
from assay.benchmarks.soundness.bump import bumped
from assay.benchmarks.soundness.faulty import PodGalerkin
from assay.benchmarks.tables import table_output, table_picture
from assay.benchmarks.tables.effort import Effort
from assay.benchmarks.tables.fairness import breakeven, is_curve, matched_time, timed, verdict
from assay.benchmarks.tables.grids import Transfer, resolutions
from assay.benchmarks.tables.readme_table import BEGIN, END, replace_between
from assay.benchmarks.tables.solver_curve import full_multigrid
from assay.benchmarks.tables.table import run_table
from assay.benchmarks.tables.yardstick import Yardstick, reference_error
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.thermal_block import ThermalBlock


def test_the_time_at_equal_error_is_read_off_the_lower_envelope():
    curve = [(1e-1, 1.0), (1e-3, 100.0), (1e-2, 500.0), (1e-2, 10.0), (0.0, 1000.0)]
    assert matched_time(curve, 1e-2) == (pytest.approx(10.0), True)  # the dear way there does not count
    assert matched_time(curve, 10**-2.5) == (pytest.approx(10**1.5), True)  # log-log between two points
    assert matched_time(curve, 1.0) == (1.0, True)  # nothing is cheaper than the cheapest
    assert matched_time(curve, 1e-6) == (1000.0, True)  # no interpolation towards an error of zero
    assert matched_time(curve[:4], 1e-6) == (100.0, False)  # as accurate as it gets, and said so
    assert matched_time([*curve, (np.nan, 1e-9), (np.inf, 1e-9)], 1.0) == (1.0, True)  # a way that failed is no way
    assert matched_time(curve, np.nan) == (1000.0, False)
    with pytest.raises(ValueError, match="no way"):
        matched_time([(np.inf, 1.0)], 1e-2)


def test_one_accuracy_is_no_curve():
    assert not is_curve([]) and not is_curve([0.0] * 5) and not is_curve([1e-3, np.inf, np.nan])
    assert is_curve([0.0, 1e-3]) and is_curve([1e-2, 1e-3, np.inf])


def test_training_is_repaid_or_never():
    assert breakeven(60.0, 1e-2, 4e-3) == pytest.approx(1e4)
    assert breakeven(60.0, 1e-3, 1e-3) == np.inf
    assert breakeven(60.0, 1e-3, 2e-3) == np.inf


def test_a_verdict_is_the_least_favourable():
    assert [verdict(x) for x in ([5.0, 1.2], [5.0, 1.0], [5.0, 0.5])] == ["win", "tie", "lose"]
    assert [verdict(x, 0.52) for x in ([5.4, 9.0], [1.0, 5.0], [0.5, 5.0])] == ["no use", "no use", "lose"]
    assert verdict([5.0], np.inf) == "no use" and verdict([5.0], np.nan) == "no use" and verdict([5.0], 0.1) == "win"


def test_times_are_medians_with_their_spread_and_the_first_call_apart(monkeypatch):
    """By a clock that the calls themselves set forward: 8 s the first time, then 1 to 5 s."""
    now, calls = [0.0], []
    monkeypatch.setattr("assay.benchmarks.tables.fairness.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def work():
        calls.append(1)
        now[0] += [8.0, 3.0, 1.0, 5.0, 2.0, 4.0][len(calls) - 1]

    t = timed(work, queries=4, repeats=3)
    assert len(calls) == 6  # never fewer than five, and one before
    assert (t.low, t.median, t.high, t.compile) == (0.25, 0.75, 1.25, 5.0)


def test_coarser_grids_nest_and_stop_at_the_blocks():
    assert [p.cells for p in resolutions(ThermalBlock((2, 2), 16))] == [16, 8, 4, 2]
    assert [p.cells for p in resolutions(ThermalBlock((3, 3), 24))] == [24, 12, 6, 3]
    assert [p.cells for p in resolutions(ThermalBlock((2, 2), 6))] == [6]  # 3 is not a multiple of 2
    box = Box(("a",), np.array([1.0]), np.array([2.0]))
    alone = black_box(lambda p: p * np.ones(3), box)
    assert resolutions(alone) == [alone]


def test_transfer_reproduces_bilinear_fields_and_restricts_exactly():
    coarse, fine = ThermalBlock((2, 2), 4), ThermalBlock((2, 2), 16)

    def field(problem):
        x, y = problem.coordinates.T
        return np.stack([1 + 2 * x - y + 3 * x * y, np.minimum(x, 0.5)])

    np.testing.assert_allclose(Transfer(coarse, fine)(field(coarse)), field(fine), atol=1e-14)
    np.testing.assert_allclose(Transfer(fine, coarse)(field(fine)), field(coarse), atol=1e-14)


@pytest.mark.parametrize("q", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("factor", [4, 8])
def test_the_references_own_error_is_found_by_halving(q, factor):
    def grid(h):
        return 3.0 * h**q  # u_h - u

    last = grid(1 / factor) - grid(2 / factor)
    before = grid(2 / factor) - grid(1.0)
    estimate = reference_error(np.abs(np.array([last])), np.abs(np.array([before])), factor)
    np.testing.assert_allclose(estimate, grid(1 / factor), rtol=0.02)


def test_full_multigrid_nears_the_solution(small, small_pool):
    one, two = (full_multigrid(small, cycles)(small_pool.P[:6]) for cycles in (1, 2))
    e1, e2 = (np.linalg.norm(u - small_pool.U[:6], axis=1) for u in (one, two))
    assert (e1 < 0.2 * np.linalg.norm(small_pool.U[:6], axis=1)).all() and (e2 < e1).all()


@pytest.fixture(scope="module")
def yardstick(small):
    return Yardstick(small, draws=12)


def test_the_yardstick_measures_the_truth_and_wrong_fields(small, yardstick):
    exact = yardstick.errors(yardstick.truths)
    assert exact.worst["discrete"] < 1e-12
    assert 0.001 < exact.mean["PDE"] < 0.2 and yardstick.reference.error < 0.5 * exact.mean["PDE"]
    scaled = yardstick.errors(1.1 * yardstick.truths)
    assert scaled.mean["discrete"] == pytest.approx(0.1) and scaled.worst["discrete"] == pytest.approx(0.1)
    broken = yardstick.truths.copy()
    broken[3, 40] = np.nan
    assert yardstick.errors(broken).worst == {"PDE": np.inf, "discrete": np.inf}


class Slow:
    """The truth, after a pause."""

    def __init__(self, problem, seconds):
        self.problem, self.seconds = problem, seconds

    def __call__(self, P):
        time.sleep(self.seconds)
        return 1.05 * np.asarray(self.problem.solve_batch(P))


@pytest.fixture(scope="module")
def made(small, small_pool):
    given = {"good basis": PodGalerkin(small, 12, pool=small_pool), "slow": Slow(small, 0.05)}
    return run_table(small, given, Effort(batch=8, draws=12, search=False))


@pytest.mark.smoke
def test_a_slow_surrogate_loses_in_print(made):
    slow = next(r for r in made.rows if r.name == "slow")
    assert slow.errors.mean["discrete"] == pytest.approx(0.05)
    assert set(slow.verdicts.values()) == {"lose"}
    assert slow.matches["discrete"]["worst"]["n"].breakeven == np.inf
    assert any(v.startswith("slow: lose (discrete") for v in made.verdicts)
    text = table_output.to_markdown(made)
    assert "lose" in text and "never" in text and all(v in text for v in made.verdicts)


@pytest.mark.smoke
def test_every_row_has_every_entry(made):
    assert [r.name for r in made.rows] == ["good basis", "slow", "guarded good basis", "guarded slow"]
    for row in made.rows:
        assert set(row.verdicts) == {"PDE", "discrete"}
        for measure in row.matches.values():
            assert set(measure) == {"mean", "worst"} and all(set(m) == {"1", "n"} for m in measure.values())
        assert row.batch.low <= row.batch.median <= row.batch.high
    assert len({p.cells for p in made.curve}) == 3 and len(made.curve) >= 8  # 8, 4, 2 cells: as far as they nest
    assert any(p.errors.worst["discrete"] < 1e-9 for p in made.curve)
    guarded = made.rows[2]
    assert guarded.errors.worst["discrete"] <= 1e-2 and "tolerance 0.01" in guarded.note


@pytest.mark.smoke
def test_the_table_prints_in_every_form(made, tmp_path):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_output.to_rich(made))
    text = console.export_text()
    assert "The solver's own curve" in text and "good basis" in text and "full multigrid, 1" in text
    data = json.loads(json.dumps(table_output.to_json(made), allow_nan=False))
    assert len(data["rows"]) == 4 and data["rows"][1]["matches"]["PDE"]["mean"]["n"]["breakeven"] == "inf"
    table_picture.plot(made, tmp_path / "table.png")
    assert (tmp_path / "table.png").stat().st_size > 10_000


def test_the_readme_keeps_what_is_around_the_table():
    text = f"# Title\n{BEGIN}\nold\n{END}\nafter\n"
    new = replace_between(text, "| new |")
    assert new.startswith("# Title\n") and new.endswith("\nafter\n") and "| new |" in new and "old" not in new
    assert replace_between(new, "| new |") == new
    with pytest.raises(ValueError, match="marks"):
        replace_between("nothing here", "x")


@pytest.mark.smoke
def test_effectivities_count_only_above_the_floors(small):
    rows = {r["bound"]: r for r in effectivity.effectivities(small, 12)}
    assert rows["default"]["max"] <= 1.15 and rows["default"]["lower, min"] >= 0.9
    assert rows["default"]["solves"] == 1 and rows["one reference"]["max"] > rows["default"]["max"]
    assert rows["reduced, all references"]["max"] < 2


@pytest.mark.smoke
def test_the_guard_count_sees_every_kind_of_fault(small, small_pool):
    inner = ThermalBlock(small.blocks, small.cells, low=small.low * 2, high=small.high / 2)
    surrogate = PodGalerkin(inner, 12)
    rows = guard_speed.count_wrong(small, surrogate, 240)
    assert sum(r["queries"] for r in rows) == 240
    assert sum(r["queries"] for r in rows[1:]) >= 70  # outside the training box, or broken
    assert all(r["above tolerance"] == 0 and r["above its own bound"] == 0 for r in rows)
    assert rows[0]["accepted"] > 100
    named = {r["surrogate"]: r for r in rows}
    assert named["broken: raises, fields"]["accepted"] == 0


def test_the_fastest_way_must_be_accurate_enough():
    rows = [
        {"way": "guard", "e": 1e-3, "us / query": 1.0},
        {"way": "CG, loose", "e": 1e-1, "us / query": 2.0},
        {"way": "CG, tight", "e": 1e-4, "us / query": 9.0},
        {"way": "multigrid", "e": 1e-3, "us / query": 5.0},
    ]
    assert guard_speed.fastest(rows, "e", 1e-3)["way"] == "multigrid"
    assert guard_speed.fastest(rows, "e", 1e-3, "CG")["way"] == "CG, tight"
    assert guard_speed.fastest(rows, "e", 1e-9) is None


def test_a_bump_is_where_it_should_be(small):
    surrogate = bumped(small, np.full(4, 0.5))
    P = small.inputs.from_unit(np.array([[0.5] * 4, [0.55, 0.5, 0.5, 0.5], [0.9] * 4]))
    factor = np.asarray(surrogate(P))[:, 40] / np.asarray(small.solve_batch(P))[:, 40]
    np.testing.assert_allclose(factor, [1.3, 1 + 0.3 * np.exp(-0.5), 1.0], rtol=1e-9)


@pytest.mark.parametrize(("claim", "code"), [(True, 0), (False, 1)])
def test_a_script_prints_json_and_its_exit_code_says_whether_the_claims_hold(monkeypatch, capsys, claim, code):
    monkeypatch.setattr("sys.argv", ["x", "--json", "--quick"])
    result = {"rows": [{"a": np.float64(1.5)}], "holds": {"it holds": claim}}
    assert command.run("Doc.", lambda quick: {**result, "quick": quick}, lambda r, c: None) == code
    data = json.loads(capsys.readouterr().out)
    assert data["quick"] is True and data["rows"] == [{"a": 1.5}]
    monkeypatch.setattr("sys.argv", ["x"])
    show = lambda r, c: c.print(command.table("Title", r["rows"]))  # noqa: E731
    assert command.run("Doc.", lambda quick: dict(result), show) == code
    assert ("holds" if claim else "misses") in capsys.readouterr().out


def test_measured_rows_are_kept_and_not_measured_again(tmp_path):
    file, measured = str(tmp_path / "rows.json"), []

    def measure():
        measured.append(1)
        return {"mean": 0.25, "worst": float("inf")}

    first = command.Kept(file, {"quick": True}).row("block", measure)
    assert command.Kept(file, {"quick": True}).row("block", measure) == first and len(measured) == 1
    with pytest.raises(SystemExit, match="rows of other settings"):
        command.Kept(file, {"quick": False})
