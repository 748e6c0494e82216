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
from assay.surrogates.training.options import check_option

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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_option_has_a_kind_that_its_default_is_of(name):
    kinds, options = ARCHITECTURES[name].kinds, ARCHITECTURES[name].options
    for key in set(options) - {"checkpoint", "progress", "physics_weight"}:
        if options[key] is not None:
            check_option(key, options[key], kinds[key])
        for wrong in ({}, float("nan"), -1, object):
            with pytest.raises(ValueError, match=f"^{key} is .*, not "):
                check_option(key, wrong, kinds[key])


WRONG = {
    "seconds": (0, -1.0, float("nan"), float("inf"), "5", True, np.ones(2)),
    "steps": (0, -3, 1.5, "10", float("nan"), float("inf"), True),
    "physics_weight": (-0.1, 2, float("nan"), "a", True),
    "progress": (3,),
    "checkpoint": (3,),
    "box": (3,),
    "widths": (0, (), (-1, 2), (2.5, 2), "ab"),
    "optimiser": (3, "adan"),
}
OF_FIELDS = {"rate": ("a", float("inf")), "batch": (1.5,), "project": (1.5, -1), "patience": ("a",), "power": (3,)}
OF_FIELDS |= {"norm": ("l3",), "symmetry": ("mean", "average")}
OF_BASIS = {"max_rank": ("a", 1.5), "tolerance": ("a", float("nan")), "skip": ("yes",), "teacher": ("maybe",)}
OF_BASIS |= {"smoothness": (float("inf"), "a"), "derivatives": (1.5,), "physics_points": (2.5,)}


@pytest.mark.parametrize(("name", "more"), [("mlp", OF_FIELDS), ("pod-mlp", OF_BASIS)])
def test_what_makes_no_sense_is_refused_before_anything_is_solved(name, more):
    solved = []
    problem = black_box(lambda p: solved.append(p) or p * np.ones(5), Box(("a",), np.zeros(1), np.ones(1)), size=5)
    rows = (np.linspace(0, 1, 4)[:, None], np.ones((4, 5)))
    for key, values in (WRONG | more).items():
        for value in values:
            with pytest.raises(ValueError, match=key) as told:
                train(problem, name, rows, **{key: value})
            assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="has no residual"):
        train(problem, name, None)
    assert not solved
    with pytest.raises(ValueError, match=r"the problem is a str: assay.problem\('numbers'\) makes one"):
        train("numbers", name, rows)


def test_a_wrong_option_ends_the_command_before_its_folder_is_made(capsys, tmp_path):
    about = ["train", "thermal-block", "--set", "cells=4", "--out", str(tmp_path / "run")]
    for option, said in (
        ("max_rank=a", "max_rank is a whole number of at least 1, not 'a'"),
        ("steps=5", "steps is no option: it has a flag of its own, --steps"),
        ("seed=5", "it has a flag of its own, --seed"),
        ("skip=yes", "skip is true or false, not 'yes'"),
    ):
        assert run([*about, "--option", option]) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert run([*about, "--physics-weight", "2"]) == 2 and run([*about, "--surrogate", "rollout"]) == 2
    assert run([*about, "--sweep", "seconds=a"]) == 2 and run([*about, "--sweep", "max_rank=4,0"]) == 2
    assert "max_rank is a whole number of at least 1, not 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_into_memory_says_what_would(monkeypatch):
    def train_huge(problem, snapshots, seed=0, box=None):
        raise MemoryError("Unable to allocate 16.0 TiB")

    monkeypatch.setitem(ARCHITECTURES, "mean", ARCHITECTURES["mean"]._replace(train=train_huge))
    problem = PROBLEMS["steady"]
    with pytest.raises(ValueError, match=r"mean .* does not fit into memory \(Unable to allocate 16.0 TiB\): fewer"):
        train(problem, "mean", (problem.inputs.sample(4, 0), np.ones((4, problem.size))))
    with pytest.raises(ValueError, match="octaves is at most 32"):
        train(problem, "coordinate", None, octaves=2000)
