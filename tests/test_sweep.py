"""Sweeps: every combination once, exponents against exact powers, and going on where one was cut."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from assay import cli, dataset, save_dataset
from assay.commands.sweeping import asked_sweep
from assay.run_folder import about_problem
from assay.run_training import Plan
from assay.scaling_laws import fits
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.sweep import Sweep, run_sweep
from assay.terminal.errors import UserError

PLAN = Plan("linear", 8, 4, 3, None, None, None, None, {})


def row(samples, mean, worst, parameters=5):
    return {"samples": samples, "parameters": parameters, "errors": {"mean": mean}, "worst_found": worst}


def test_exponents_of_exact_powers_are_found_exactly():
    rows = [row(n, 3 * n**-1.5, 7 * n**-0.25) for n in (8, 16, 32, 64)]
    mean, worst = fits(rows)
    assert (mean["of"], worst["of"]) == ("mean", "worst found") and {mean["against"], worst["against"]} == {"samples"}
    assert mean["exponent"] == pytest.approx(1.5, abs=1e-12) and mean["constant"] == pytest.approx(3, rel=1e-12)
    assert worst["exponent"] == pytest.approx(0.25, abs=1e-12) and worst["half_width"] < 1e-6


def test_the_interval_holds_the_true_exponent_about_as_often_as_it_says():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        rows = [row(n, n**-1.0 * np.exp(0.3 * rng.standard_normal()), 1.0) for n in (8, 16, 32, 64, 128)]
        fit = fits(rows)[0]
        inside += abs(fit["exponent"] - 1.0) <= fit["half_width"]
    assert 360 <= inside <= 396  # 95 % of 400 is 380, its deviation 4.4: four of them


def test_what_was_not_varied_or_found_nothing_has_no_exponent():
    assert fits([row(8, 0.1, 0.2), row(16, 0.05, 0.1)]) == []
    assert fits([row(n, 0.0, float("inf")) for n in (8, 16, 32)]) == []


def test_a_power_is_one_of_a_network_or_of_a_number_of_samples():
    """Two networks with laws of their own; another seed's basis may have a mode more, which is no other place."""
    power = {4: 0.5, 16: 2.0}
    rows = [
        row(n, w * n ** -power[w], 1.0, 10 * w + seed) | {"at": {"samples": n, "widths": [w], "seed": seed}}
        for n in (8, 16, 32) for w in power for seed in (0, 1, 2)
    ]  # fmt: skip
    found = {fit["label"]: fit for fit in fits(rows) if fit["of"] == "mean"}
    assert {label: fit["against"] for label, fit in found.items()} == {"widths 4": "samples", "widths 16": "samples"}
    assert [fit["exponent"] for fit in found.values()] == pytest.approx(list(power.values()), abs=1e-12)
    third = row(8, 1.0, 1.0, 640) | {"at": {"samples": 8, "widths": [64], "seed": 0}}
    assert [(fit["label"], fit["against"]) for fit in fits([*rows, third])][-2:] == [("samples 8", "parameters")] * 2


def test_every_combination_has_a_plan_of_its_own():
    plans = Sweep({"samples": [4, 8], "ridge": [0.1]}, seeds=2).plans(PLAN)
    assert [(at["samples"], at["seed"]) for at, _ in plans] == [(4, 3), (4, 4), (8, 3), (8, 4)]
    assert all(plan.snapshots == at["samples"] and plan.seed == at["seed"] for at, plan in plans)
    assert all(plan.options == {"ridge": 0.1} for _, plan in plans)
    for axes, seeds in (({"samples": [0]}, 1), ({"samples": [2.5]}, 1), ({"samples": []}, 1), ({}, 0)):
        with pytest.raises(UserError):
            Sweep(axes, seeds).plans(PLAN)


def test_values_as_they_are_written():
    assert asked_sweep(["samples=32,64", "widths=16,[8,4]"], 1, "pod-mlp").axes == {
        "samples": [32, 64],
        "widths": [[16, 16], [8, 4]],
    }
    with pytest.raises(UserError, match="KEY=VALUE"):
        asked_sweep(["samples"], 1, "pod-mlp")


def test_a_sweep_that_was_cut_goes_on_and_another_is_refused(tmp_path):
    calls = []

    def solve(p):
        calls.append((threading.current_thread().name, p))
        return np.array([p[0], p[0] ** 2, 1.0])

    problem = black_box(solve, Box(("a",), np.zeros(1), np.ones(1)), name="square", size=3)
    about = about_problem("mine:problem", {}, problem)
    sweep = Sweep({"samples": [4, 8]})
    result = run_sweep(tmp_path, problem, about, PLAN, sweep, "")
    assert [r["at"]["samples"] for r in result["rows"]] == [4, 8]
    assert (tmp_path / "sweep.png").stat().st_size > 1000
    file = tmp_path / "sweep.json"
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({**stored, "rows": stored["rows"][:1]}))  # as if it had been cut before the last row
    calls.clear()
    again = run_sweep(tmp_path, problem, about, PLAN, sweep, "")
    assert [r["errors"] for r in again["rows"]] == [r["errors"] for r in result["rows"]]
    assert again["rows"][1]["worst_found"] == result["rows"][1]["worst_found"]
    calls.clear()
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as executor:
        there = run_sweep(tmp_path / "there", problem, about, PLAN, sweep, "", executor=executor)
    assert [{**r, "seconds": 0} for r in there["rows"]] == [{**r, "seconds": 0} for r in result["rows"]]
    solved = [who for who, _ in calls]
    assert len(solved) > 4 + 4 + 8 + 4 and solved[0].startswith("worker") and solved.count("MainThread") < 8
    for spoilt in ({"at": 3}, {"errors": {}}, {"worst_found": "much"}, {"errors": None}, {"warnings": [3]}):
        file.write_text(json.dumps({**stored, "rows": [{**stored["rows"][0], **spoilt}]}))
        with pytest.raises(UserError, match="damaged"):
            run_sweep(tmp_path, problem, about, PLAN, sweep, "")
    file.write_text(json.dumps(stored))
    with pytest.raises(UserError, match="another sweep"):
        run_sweep(tmp_path, problem, about, PLAN, Sweep({"samples": [4, 16]}), "")


def test_rows_of_data_are_swept_as_solves_are(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((24, 1))
    save_dataset(dataset(x, np.exp(x * np.linspace(0, 1, 5)), name="exponentials"), "data.h5")
    words = ["train", "--data", "data.h5", "--surrogate", "linear", "--test", "4", "--seeds", "2", "--out", "s"]
    assert cli.run([*words, "--sweep", "samples=8,16", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(r["at"]["samples"], r["at"]["seed"], r["samples"]) for r in rows] == [
        (8, 0, 8), (8, 1, 8), (16, 0, 16), (16, 1, 16),
    ]  # fmt: skip
    assert all(r["worst_found"] == pytest.approx(r["errors"]["max"], rel=1e-12) for r in rows)  # of the rows held out
    assert len({r["errors"]["mean"] for r in rows}) == 4
    assert cli.run([*words[:-1], "other", "--sweep", "samples=8,32"]) == 2
    assert "exponentials has 24 rows: 32 to learn from and 4 held out" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_warnings_of_runs_are_shown_beside_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((24, 1))
    save_dataset(dataset(x, np.ones((24, 5)), name="constants"), "data.h5")
    words = ["train", "--data", "data.h5", "--surrogate", "linear", "--test", "4", "--out", "s"]
    words += ["--sweep", "samples=8,16", "--seconds", "1"]
    assert cli.run(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "warnings" in shown
    assert "warning of 2 of 2 runs: linear is fitted in one step whatever seconds may be: leave seconds out" in shown
    assert "warning of 1 of 2 runs: the fields of all 8 snapshots are equal" in shown
    assert [len(row["warnings"]) for row in json.loads((tmp_path / "s" / "sweep.json").read_text())["rows"]] == [2, 2]
