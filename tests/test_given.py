"""What is wrong with the rows that something is learnt from, or asks too much of them, is said in one sentence."""

import numpy as np
import pytest

from assay.cli import run
from assay.solvers.box import Box
from assay.solvers.problems.affine import affine
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import ARCHITECTURES, load, save, train
from assay.surrogates.architectures import FIELD_NETWORKS
from assay.surrogates.networks.field_training import _cut

X = np.linspace(0.0, 1.0, 8)
BOX = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])
PROBLEM = black_box(lambda p: p[0] + p[1] * X, BOX, size=8, coordinates=X[:, None], name="ramps")
PAIRS = black_box(lambda p: p[0] * np.ones(6), BOX, size=6, components=("u", "v"), name="pairs")
P = BOX.sample(20, seed=0)
U = P[:, :1] + P[:, 1:] * X
DIRECT = ("mean", "nearest", "linear", "polynomial", "kernel-ridge", "pod-interpolation", "random-features")

FIELDS = {design.name: design for design in FIELD_NETWORKS}


def told(problem, P, U, name="linear", **options):
    return train(problem, name, (P, U), **options).training["warnings"]


@pytest.mark.parametrize("name", [*DIRECT, "gaussian-process", "reduced-basis"])
def test_baselines_have_warnings_too_and_keep_them(name, tmp_path):
    problem = ThermalBlock(cells=4) if name == "reduced-basis" else PROBLEM
    Q = problem.inputs.sample(20, seed=0)
    rows = (Q, np.stack([problem.solve(q) for q in Q]) if name == "reduced-basis" else U)
    assert train(problem, name, rows).training["warnings"] == []
    timed = train(problem, name, rows, seconds=3.0, steps=5)
    assert timed.training["warnings"] == [
        f"{name} is fitted in one step whatever seconds and steps may be: leave seconds and steps out"
    ]
    assert load(save(timed, tmp_path / "m.safetensors"), problem).training["warnings"] == timed.training["warnings"]


@pytest.mark.parametrize("name", ["linear", "gaussian-process", "pod-mlp", "mlp"])
def test_fields_that_are_all_equal_are_told(name):
    options = {"steps": 1} if "steps" in ARCHITECTURES[name].options else {}
    said = (
        "the fields of all 20 snapshots are equal, so that nothing is learnt of how they depend on the inputs: check "
        "that the solver looks at its inputs, or take mean, which is all that they need"
    )
    assert told(PROBLEM, P, np.tile(1 + X, (20, 1)), name, **options).count(said) == 1
    assert said not in told(PROBLEM, P, 1 + X + 1e-10 * U, name, **options)
    assert name == "pod-mlp" or said in told(PROBLEM, P, np.zeros((20, 8)), name, **options)


def test_one_input_that_was_solved_often_is_no_constant_solver():
    assert told(PROBLEM, np.repeat(P[:1], 4, axis=0), np.repeat(U[:1], 4, axis=0), "mean") == []


def test_what_is_not_finite_is_located():
    broken, inputs = U.copy(), P.copy()
    broken[3, 5], broken[7] = np.nan, np.inf
    assert told(PROBLEM, P, broken) == [
        "2 of 20 snapshots are not finite and left out (the first row 3, its field is nan at node 5, counted from 0): "
        "mend them, unless that is a solve that failed"
    ]
    inputs[2, 1] = -np.inf
    assert told(PROBLEM, inputs, U) == [
        "1 of 20 snapshots is not finite and left out (row 2, its input b is -inf, counted from 0): mend it, unless "
        "that is a solve that failed"
    ]
    fields = P[:, :1] * np.ones(6)
    fields[4, 3] = np.nan  # the second number of the second node
    assert "(row 4, its field is nan at node 1, v, counted from 0)" in told(PAIRS, P, fields)[0]


def test_twins_that_contradict_each_other_are_told_by_how_much():
    twice, fields = np.concatenate([P, P[[4, 9, 11]]]), np.concatenate([U, U[[4, 9, 11]]])
    assert told(PROBLEM, twice, fields) == []
    fields[20] *= 1 + 1e-8  # as a solver repeats itself
    assert told(PROBLEM, twice, fields) == []
    fields[21] *= 1.25
    said = (
        "1 snapshot repeats the input of another, and the fields of these differ by up to 0.2 of their size (rows 9 "
        "and 21, counted from 0): averages were learnt, so leave out what is wrong, or add the input in which they "
        "differ"
    )
    s = train(PROBLEM, "linear", (twice, fields))
    assert s.training["warnings"] == [said] and s.training["dropped"]["repeated"] == 3
    fields[22] *= 2
    twice, fields = np.concatenate([np.full((1, 2), np.nan), twice]), np.concatenate([U[:1], fields])
    _, said = told(PROBLEM, twice, fields)  # a row that is left out counts
    assert (
        said.startswith("2 snapshots repeat the inputs of others,") and "by up to 0.5 of their size (rows 12 " in said
    )


def test_twins_by_a_known_scaling_are_told_as_such():
    """With A(p) = p A the solution at 2p is half of that at p."""
    line = 2 * np.eye(4) - np.eye(4, k=1) - np.eye(4, k=-1)
    problem = affine([line], lambda p: p, np.ones(4), Box(("a",), [1.0], [4.0]))
    inputs = np.array([[1.0], [2.0], [3.0]])
    u = np.linalg.solve(line, np.ones(4))
    assert train(problem, "mean", (inputs, u / inputs)).training["warnings"] == []
    (said,) = train(problem, "mean", (inputs, u / [[1.0], [2.0], [6.0]])).training["warnings"]
    assert said.startswith(
        "1 snapshot differs from another by a known scaling alone, and the fields of these differ by up to 0.5"
    )


def test_more_modes_than_there_are_samples_are_told_of():
    problem = ThermalBlock(cells=8, low=0.5, high=2.0)
    rows = sample(problem, 18)
    s = train(problem, "mlp", rows, steps=1, project=32, widths=(8,))
    has = s.basis.shape[1]
    assert has <= 16 and s.training["warnings"][0] == (
        "project=32 asks for more modes than the 16 snapshots have that the basis is made of, which has "
        f"{has}: take more snapshots, or project={has}"
    )
    few = train(problem, "mlp", rows, steps=1, project=2, widths=(8,))
    assert few.basis.shape[1] == 2 and not any("modes" in line for line in few.training["warnings"])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (
            "fno",
            {"modes": 32, "width": 4},
            "modes=32 asks for more modes than the grid of thermal-block has, and [5, 5] ",
        ),
        (
            "fno",
            {"modes": [3, 9], "width": 4},
            "modes=[3, 9] asks for more modes than the grid of thermal-block has, and [3",
        ),
        ("fno", {"width": 4}, ""),  # six of each axis: the default is cut without a word
        ("fno", {"modes": 5, "width": 4}, ""),
        ("unet", {"levels": 6, "width": 4}, "levels=6 asks for more levels than the grid of thermal-block has, and 2 "),
        (
            "autoencoder",
            {"levels": 6, "width": 4},
            "levels=6 asks for more levels than the grid of thermal-block has, and 3 ",
        ),
    ],
)
def test_what_a_grid_cuts_of_what_was_asked_for_is_told(name, options, said):
    problem = ThermalBlock(cells=8)
    assert problem.grid_shape == (9, 9)
    net = FIELDS[name].build(problem, **options)
    found = _cut(net, problem, options)
    assert len(found) == bool(said) and all(line.startswith(said) for line in found)


def test_the_command_says_what_was_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = "import numpy as np\nfrom assay import Box, black_box\nX = np.linspace(0, 1, 8)\n"
    program += "def solve(p):\n    if p[0] > 0.75: raise RuntimeError('no seats left')\n    return p[0] + X\n"
    program += "problem = black_box(solve, Box(('a',), [0.0], [1.0]), size=8)\n"
    (tmp_path / "left_out.py").write_text(program)
    about = ["train", "left_out:problem", "--surrogate", "linear", "--snapshots", "16", "--test", "0", "--out", "run"]
    assert run([*about, "--box", "a=0:0.5", "--seconds", "3"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "rows left out: 4 failed, 4 outside the box" in shown and "averaged" not in shown
    assert "warning: linear is fitted in one step whatever seconds may be: leave seconds out" in shown


def test_a_loss_that_is_no_number_at_the_start_is_the_users_to_mend(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = "import jax.numpy as jnp\nimport numpy as np\nfrom assay import Box, black_box\n"
    program += "problem = black_box(lambda p: p[0] + np.ones(4), Box(('a',), [0.0], [1.0]), size=4,\n"
    program += "                    residual=lambda p, u: jnp.log(u - 30))\n"
    (tmp_path / "logarithm.py").write_text(program)
    about = ["train", "logarithm:problem", "--surrogate", "mlp", "--snapshots", "0", "--physics-weight", "1"]
    assert run([*about, "--steps", "1", "--test", "0", "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert "assay: training cannot start, for its loss is not finite at the initial weights: most likely" in said
    assert "Traceback" not in said
