"""The argument: every claim has its words, a result whose verdict follows from its numbers, and a picture."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assay.benchmarks.argument import __main__ as script
from assay.benchmarks.argument import page, registry
from assay.benchmarks.argument.claim import EVIDENCE, VERDICTS
from assay.benchmarks.argument.run import (
    Run,
    correlation_of,
    exponent_of,
    mean_of,
    mean_share_of,
    rounded,
    share_of,
    text,
)

NAMES = list(registry.files())
LONGEST = 150  # lines of a claim
NAN = "nan"  # as it is stored


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_claim(name):
    words = registry.words(name)
    assert all([words.claim, words.said, words.experiment, words.limits, words.rule])
    assert words == registry.experiment(name).CLAIM
    assert registry.files()[name].read_text(encoding="utf-8").count("\n") <= LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_follows_from_what_is_stored(name):
    result = registry.stored(name)
    assert result is not None, f"measure it: {page.COMMAND} {name} --write"
    assert registry.experiment(name).verdict(result) == (result["verdict"], result["sentence"])
    assert result["verdict"] in VERDICTS and not result["quick"] and result["seeds"] >= 3
    assert len({tuple(row) for row in result["rows"]}) == 1  # the same columns
    assert all(row["evidence"] in EVIDENCE for row in result["rows"])
    assert result == rounded(result) == json.loads(text(result))


NONE, SOME = [NAN] * 3, [1.0, "-inf", "inf"]
PLANTED = [  # values of columns in all rows, and the verdicts that they allow
    ("random-features", {"random-features / network": [2.0] * 3, "kernel-ridge / network": [0.1] * 3}, "failed"),
    ("random-features", {"random-features / network": NONE}, "failed"),
    ("existence-is-not-construction", {"fit": [1e-9] * 3}, "failed"),
    ("existence-is-not-construction", {"fit": SOME}, "depends"),
    ("existence-is-not-construction", {"worst error": NONE}, "depends"),
    ("edge-of-stability", {"not finite": 1}, "failed"),
    ("edge-of-stability", {"late sharpness * eta/2": NONE}, "failed"),
    ("edge-of-stability", {"of them reach it": 0}, "failed"),
    ("alarms", {"misses": 1}, "failed"),
    ("alarms", {"undecided": NAN}, "depends"),
    ("right-without-physics", {"of right": 0}, "depends"),
    ("noether", {"of seeds the most": 1e-3}, "failed"),
    ("rounding-mode", {"mean error": [0.1] * 3}, "failed"),
    ("rounding-mode", {"mean error": NONE}, "depends"),
    ("hopfield-memory", {"held": NONE}, "failed"),
    ("hopfield-memory", {"mean / nearest": NONE}, "depends"),
    ("tangent-hulls", {"failures inside": NONE}, "failed"),
    ("tangent-hulls", {"times chance": NAN, "failures inside": [1.0] * 3}, "depends"),
    ("more-data", {"exponent, worst": [-0.1, -0.3, 0.1]}, "depends"),
    ("more-data", {"exponent, mean": [0.1, 0.0, 0.2]}, "failed"),
    ("more-data", {"exponent, mean": NONE}, "depends"),
    ("overfitting", {"at the largest / best": NAN}, "failed"),
    ("coarse-graining", {"exponent of the error": NONE}, "failed"),
    ("learned-optimisers", {"equal steps": NONE}, "failed"),
    ("learned-optimisers", {"equal steps": [0.5, 0.4, 0.6], "800 steps": NONE}, "depends"),
    ("repair-guides", {"worst / even's": NONE}, "depends"),
    ("repair-guides", {"mean / even's": NONE}, "depends"),
    ("repair-guides", {"mean / even's": [0.9] * 3, "certified - even's": [0.1] * 3}, "failed"),
    ("linear-solvers", {"mean": NONE}, "depends"),
    ("linear-solvers", {"mean": ["inf", NAN, NAN]}, "depends"),
    ("linear-solvers", {"mean": [0.1] * 3}, "failed"),
    ("named-shifts", {"times unshifted": NONE}, "depends"),
    ("named-shifts", {"times unshifted": [1.0] * 3}, "depends"),
    ("named-shifts", {"residual warns": NAN}, "depends"),
    ("named-shifts", {"distance warns": 1.0}, "failed"),
    ("small-models", {"mean error": NONE}, "depends"),
    ("small-models", {"worst error": NONE}, "failed"),
    ("training-inputs", {"fresh / trained": NONE}, "depends"),
    ("training-inputs", {"fresh / trained": SOME}, "failed"),
    ("training-inputs", {"fresh / trained": ["inf", NAN, NAN]}, "depends"),
    ("batch-normalisation", {"wider by, decades": NONE}, "depends"),
    ("batch-normalisation", {"worst / without": NONE}, "depends"),
    ("batch-normalisation", {"worst / without": [2.0] * 3}, "failed"),
    ("batch-normalisation", {"training loss": ["inf", NAN, NAN]}, "depends"),
]


@pytest.mark.parametrize(("name", "values", "verdict"), PLANTED)
def test_planted_results_do_not_hold(name, values, verdict):
    result = registry.stored(name)
    assert all(values.keys() <= row.keys() for row in result["rows"])
    planted = [{**row, **{k: v for k, v in values.items() if row[k] != ""}} for row in result["rows"]]
    assert registry.experiment(name).verdict({**result, "rows": planted})[0] == verdict


def test_a_checkerboard_of_large_contrast_alone_decides_between_held_and_depends():
    made, result = registry.experiment("coarse-graining"), registry.stored("coarse-graining")
    rows = [{**row, "geometric": 1e-3} if row["of"] == "checkerboard" else row for row in result["rows"]]
    assert made.verdict({**result, "rows": rows})[0] == "held"
    for contrast, verdict in ((100, "depends"), (4, "failed")):
        one = {"of": "one period", "contrast": contrast}
        slow = [{**r, "exponent of the error": [0.1, 0.0, 0.2]} if one.items() <= r.items() else r for r in rows]
        assert made.verdict({**result, "rows": slow})[0] == verdict


def test_more_data_must_not_help_where_only_hard_constraints_do():
    """Of planted ratios of worst errors, hard ones and those of more data to soft ones."""
    made, result = registry.experiment("more-inputs"), registry.stored("more-inputs")
    points = [
        [*p[:3], [0.1] * 4, [9.0 if p[2] > 1 else 0.1] * 4, [9.0 if p[2] > 1 else 0.1] * 4] for p in result["points"]
    ]
    sure, none = [0.5, 0.4, 0.6], [1.0, 0.9, 1.1]
    for hard, data, verdict in [
        (sure, none, "held"),
        (sure, NONE, "depends"),
        (NONE, none, "depends"),
        (sure, sure, "depends"),
    ]:
        planted = {"points": points, "worst error / soft": {"hard": hard, "more data": data}}
        assert made.verdict({**result, **planted})[0] == verdict


@pytest.mark.parametrize("name", ["residual-flows", "robustness-parameters"])
@pytest.mark.parametrize(("interval", "verdict"), [(NONE, "depends"), (SOME, "failed"), (["inf", NAN, NAN], "depends")])
def test_planted_exponents_do_not_hold(name, interval, verdict):
    result = registry.stored(name)
    planted = {**result, "exponents": dict.fromkeys(result["exponents"], interval)}
    assert registry.experiment(name).verdict(planted)[0] == verdict


@pytest.mark.parametrize(
    ("parameters", "snapshots", "most", "verdict"),
    [
        ([2.0, 1.8, 2.2], [1.0, 0.8, 1.2], 16, "held"),
        ([2.0, 1.8, 2.2], [1.0, 0.8, 1.2], 512, "depends"),  # not all data were enough
        ([1.0, 0.8, 1.2], [2.0, 1.8, 2.2], 16, "failed"),
        ([2.0, 1.8, 2.2], NONE, 16, "depends"),
    ],
)
def test_exponents_of_sizes_that_were_not_reached_decide_nothing(parameters, snapshots, most, verdict):
    made, result = registry.experiment("parameters-and-inputs"), registry.stored("parameters-and-inputs")
    planted = {"exponents": {"parameters": parameters, "snapshots": snapshots}, "points": [[1, 10, most]]}
    assert made.verdict({**result, **planted})[0] == verdict


def test_an_unsure_exponent_is_named():
    result = registry.stored("more-data")
    result["rows"][1]["exponent, mean"][2] = 0.1
    verdict, sentence = registry.experiment("more-data").verdict(result)
    assert verdict == "depends" and "mean error of mlp" in sentence and "worst" not in sentence


def test_problems_without_proofs_are_not_judged():
    result = registry.stored("alarms")
    result["rows"] = [row for row in result["rows"] if row["problem"] != "cavity"]
    assert registry.experiment("alarms").verdict(result)[0] == "held"


def test_edges_of_stability_count_runs_that_begin_below(monkeypatch):
    """Of one that begins above, one that stays below, one that reaches 2/eta and one that diverges."""
    made = registry.experiment("edge-of-stability")
    sharpness = np.outer([3.0, 0.1, 0.5, 0.5], np.ones(made.LOOKS)) / 0.04
    sharpness[2, 10:], sharpness[3, 10:] = 1.0 / 0.04 * 2, np.nan
    run = Run("edge-of-stability", quick=True)
    monkeypatch.setattr(run, "row", lambda *_: {"sharpness": sharpness, "loss": np.ones_like(sharpness)})
    monkeypatch.setattr(made, "RATES", (0.04,))
    row = made.measure(run)["rows"][0]
    counts = [row[k] for k in ("begin below 2/eta", "of them reach it", "not finite")]
    assert counts == [3, 1, 1] and row["late sharpness * eta/2"][0] == pytest.approx(1.0)


def test_nothing_is_stored_that_nobody_claims():
    assert {path.stem for path in registry.RESULTS.glob("*")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_drawn_from_what_is_stored(name):
    assert page.picture(name, registry.stored(name), "png").startswith(b"\x89PNG")


def test_the_page_holds_every_claim():
    results = page.results()
    made = page.page(results, "pictures")
    of_summary = [line.replace("\\|", "") for line in made.splitlines() if line.startswith("| [")]
    assert {line.count("|") for line in of_summary} == {5}, "four cells each"
    for name, result in results.items():
        assert f"(#{name})" in made and f"### {page.heading(name)}" in made and f"(pictures/{name}.svg)" in made
        assert made.replace("\\|", "|").count(result["sentence"]) == 2


def test_claims_are_listed_without_importing_jax():
    code = "import sys; sys.argv[1:] = ['--list']; from assay.benchmarks.argument.__main__ import main; main()"
    code += "; print({'jax', 'numpy'} & {*sys.modules})"
    root = Path(__file__).resolve().parent.parent
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    *lines, imported = out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES and imported == "set()"


@pytest.mark.parametrize("wrong", [["no-such-claim"], [*NAMES[:1], "--quick", "--write"]])
def test_mistakes_are_told_in_one_sentence(wrong, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["argument", *wrong])
    assert script.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_rows_are_measured_once(tmp_path):
    for expected in (1, 0):
        asked = []
        run = Run(NAMES[0], keep=tmp_path)
        assert run.row("a", lambda asked=asked: asked.append(1) or [1.0]) == [1.0]
        assert len(asked) == expected


def test_intervals_are_those_of_the_textbooks():
    # Student's 97.5 % quantile of two degrees of freedom is 4.302653
    assert mean_of([1.0, 2.0, 3.0]) == pytest.approx([2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], rel=1e-6)
    assert mean_share_of([0.0, 0.5, 1.0]) == [0.5, 0.0, 1.0]
    assert mean_of([1.0, 10.0, 100.0], logarithms=True)[0] == pytest.approx(10.0)
    assert share_of(0, 100) == pytest.approx([0.0, 0.0, 1 - 0.025**0.01])
    assert exponent_of([1, 2, 4, 8], [3, 12, 48, 192])[0] == pytest.approx(2.0)
    assert correlation_of([0.5, 0.5, 0.5]) == pytest.approx([0.5, 0.5, 0.5])
    assert rounded({"a": [1.23456, float("inf"), 3, True]}) == {"a": [1.235, float("inf"), 3, True]}


@pytest.mark.smoke
@pytest.mark.parametrize("name", NAMES[1::3])  # a third of them: each takes 20 s of a processor
def test_a_claim_is_measured_quickly(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["argument", name, "--quick", "--json"])
    assert script.main() == 0
    assert json.loads(capsys.readouterr().out)["verdict"] in VERDICTS
