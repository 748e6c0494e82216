"""What can be trained is listed with what it needs, and what does not fit a problem says so and what does instead."""

import json

import numpy as np
import pytest

from assay.cli import run
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.burgers import Burgers
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.surrogates import ARCHITECTURES, train

PROBLEMS = {
    "numbers without places": black_box(lambda p: p * np.ones(5), Box(("a",), np.zeros(1), np.ones(1)), name="numbers"),
    "in time": Burgers(cells=8, steps=2),
    "steady": ThermalBlock(cells=4),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_misfit_is_one_sentence_that_names_what_fits(name):
    for problem in PROBLEMS.values():
        why = ARCHITECTURES[name].misfit(problem)
        if not why:
            continue
        others = [other for other in ARCHITECTURES if other in why.replace(name, "") and other != name]
        assert "\n" not in why and any(not ARCHITECTURES[other].misfit(problem) for other in others), why
        with pytest.raises(ValueError, match="needs|not affine"):
            train(problem, name, (problem.inputs.sample(4, 0), np.ones((4, problem.size))))


def test_what_has_times_or_a_mesh_is_told_apart():
    fits = {label: {n for n, kind in ARCHITECTURES.items() if not kind.misfit(p)} for label, p in PROBLEMS.items()}
    assert "rollout" in fits["in time"] and "rollout" not in fits["steady"]
    assert {"fno", "unet", "graph"} <= fits["steady"] and not {"fno", "unet", "graph"} & fits["numbers without places"]
    assert "reduced-basis" in fits["steady"] and "reduced-basis" not in fits["in time"]


def test_the_command_lists_all_with_what_they_need(capsys):
    assert run(["surrogates", "--problem", "thermal-block", "--json"]) == 0
    found = {about["name"]: about for about in json.loads(capsys.readouterr().out)["surrogates"]}
    assert list(found) == list(ARCHITECTURES)
    assert found["fno"]["fits"] and not found["rollout"]["fits"] and "deeponet" not in found["fno"]["misfit"]
    assert found["mlp"]["options"]["widths"] == [128, 128] and not found["mlp"]["basis"] and found["pod-mlp"]["basis"]
    assert not {"checkpoint", "progress"} & set(found["mlp"]["options"])


def test_the_command_shows_options_as_train_takes_them(capsys):
    assert run(["surrogates", "resnet"]) == 0
    shown = capsys.readouterr().out
    assert "--option width=96" in shown and '--option precision="float64"' in shown and "None" not in shown
    assert run(["surrogates", "resnest"]) == 2
    assert "did you mean 'resnet'?" in capsys.readouterr().err
