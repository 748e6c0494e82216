"""Data without a solver: arrays, files of PDEBench and The Well, and what can be verified with them."""

import json
import pickle
import re

import numpy as np
import pytest

import assay
from assay import cli
from assay.solvers.datasets.dataset import Dataset
from assay.solvers.problem import SolveError
from assay.verify.statistics.conformal import least_rows, quantile

X, T = np.linspace(0, 1, 9), np.array([0.25, 0.5, 1.0])
A = np.random.default_rng(0).standard_normal((40, 2))


def state(t: float, amplitudes: np.ndarray = A) -> np.ndarray:
    """Of the heat equation, exactly; a linear function of the first state."""
    rates = np.exp(-0.1 * (np.arange(1, 3) * np.pi) ** 2 * t)
    return (amplitudes * rates) @ np.sin(np.outer(np.arange(1, 3), np.pi * X))


def heat(amplitudes: np.ndarray = A, **more) -> Dataset:
    later = np.stack([state(t, amplitudes) for t in T], axis=1)
    first = state(0.0, amplitudes)[..., None]
    return assay.dataset(first, later, (X,), **{"times": T, "names": ["u"], "name": "heat-data"} | more)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return heat()


@pytest.fixture(scope="module")
def parts(data):
    return data.split(0.5)


@pytest.fixture(scope="module")
def mean(data, parts):
    return assay.train(data.problem, "mean", parts[0])


@pytest.fixture(scope="module")
def linear(data, parts):
    return assay.train(data.problem, "linear", parts[0])


# ---- a problem without a solver --------------------------------------------------------------------------------------


def test_a_data_set_is_a_problem(data):
    problem = data.problem
    assert problem.shape == (3, 9, 1) and problem.grid_shape == (9,) and problem.inputs.dimension == 9
    assert repr(problem) == "dataset('heat-data', u on the nodes -> 27 values, known at 40 inputs)"
    np.testing.assert_array_equal(problem.input_fields(data.snapshots.inputs)[..., 0], state(0.0))
    assert problem.input_field_names == ("u",) and len(problem.edges) == 8
    assert repr(data) == "Dataset(40 rows of heat-data, each 3 times x 9 nodes)"
    assert repr(assay.dataset(A, np.ones((40, 3, 2)))) == "Dataset(40 rows of dataset, each 3 nodes x 2 components)"
    low, high = problem.inputs.lower, problem.inputs.upper
    assert (low == state(0.0).min()).all() and (high == state(0.0).max()).all(), "one range for all values"
    other = pickle.loads(pickle.dumps(problem))
    assert other.fingerprint == problem.fingerprint


def test_solutions_are_known_at_the_rows_and_nowhere_else(data):
    problem, P = data.problem, data.snapshots.inputs
    np.testing.assert_array_equal(problem.solve(P[3]), data.snapshots.fields[3])
    with pytest.raises(
        SolveError, match="the solver is missing: of a data set solutions are known at its 40 inputs alone"
    ):
        problem.solve(P[3] * 0.5)
    found = assay.sample(problem, 1)
    assert not found.valid.any() and "is missing" in repr(found)


def test_the_order_of_rows_is_no_part_of_what_it_is_and_each_number_is(data):
    assert heat(A[::-1]).problem.fingerprint == data.problem.fingerprint
    assert heat(A[:39]).problem.fingerprint != data.problem.fingerprint
    changed = A.copy()
    changed[7, 1] = np.nextafter(changed[7, 1], 9.0)
    assert heat(changed).problem.fingerprint != data.problem.fingerprint
    assert heat(norm="max").problem.fingerprint != data.problem.fingerprint


def test_a_split_is_drawn_at_random_and_repeats(data, parts):
    train, test = parts
    assert len(train) == len(test) == 20
    both = {tuple(row) for row in np.concatenate([train.inputs, test.inputs])}
    assert both == {tuple(row) for row in data.snapshots.inputs}
    assert (data.split(0.5)[1].inputs == test.inputs).all() and (data.split(0.5, seed=1)[1].inputs != test.inputs).any()
    with pytest.raises(ValueError, match="leaves none to hold out"):
        data.split(0.001)


def test_a_surrogate_knows_whose_it_is(data, parts, linear, tmp_path):
    train, test = parts
    np.testing.assert_allclose(linear(test.inputs), test.fields, atol=1e-12)  # of this data the truth is linear
    path = assay.save(linear, tmp_path / "model.safetensors")
    assert (assay.load(path, data.problem)(test.inputs) == linear(test.inputs)).all()
    with pytest.raises(ValueError, match="of another heat-data"):
        assay.load(path, heat(A[:39]).problem)
    with pytest.raises(ValueError, match="pass the problem as well"):
        assay.load(path)
    with pytest.raises(ValueError, match=re.escape("fields [n, 27], not [20, 9] and [20, 26]")):
        assay.train(data.problem, "linear", (train.inputs, train.fields[:, 1:]))


# ---- what can be verified --------------------------------------------------------------------------------------------


def test_falsify_compares_what_is_known(data, parts, mean, linear):
    test = parts[1]
    found = assay.falsify(data.problem, mean, 1e-2, tests=test)
    assert found.verdict == "falsified" and found.solver_calls == 0 and found.draws == found.draws_failed == 20
    worst = max(
        float(data.problem.relative_error(p, mean(p[None])[0], u))
        for p, u in zip(test.inputs, test.fields, strict=True)
    )
    assert found.worst == pytest.approx(worst, rel=1e-12)
    assert any("there is no solver: nothing is known of errors at other inputs" in note for note in found.notes)
    right = assay.falsify(data.problem, linear, 1e-2, tests=test)
    assert right.verdict == "not falsified" and right.failure_probability_upper == pytest.approx(1 - 0.05 ** (1 / 20))
    every = assay.falsify(data.problem, linear, 1e-2)
    assert every.verdict == "not falsified" and every.draws == 0
    assert any(
        "errors are at the 40 rows of the data, those that it was trained on among them" in note for note in every.notes
    )
    record = found.counterexamples[0]
    assert assay.replay(data.problem, record).fails


def test_a_relation_is_held_against_the_answers():
    """The end values of a state are zero."""

    def ends(p, u):
        return u.reshape(3, 9)[:, [0, 8]]

    data = heat(residual=ends)
    right, lifted = (lambda P: np.zeros((len(P), 27))), (lambda P: np.full((len(P), 27), 0.5))
    notes = [assay.falsify(data.problem, s, 10.0, tests=data.snapshots, starts=8).notes for s in (right, lifted)]
    assert any("is off by up to 0 in the surrogate's answers" in note for note in notes[0])
    assert any(f"is off by up to {0.5 * 6**0.5:.3g} in the surrogate's answers" in note for note in notes[1])


def test_what_is_not_possible_is_said(data, parts, linear):
    P = parts[1].inputs[:2]
    bounds = assay.certify(data.problem, linear, P)
    assert np.isinf(bounds.relative_upper).all()
    assert any("no bound can be proved for heat-data, a data set without a solver" in note for note in bounds.notes)
    guarded = assay.guard(data.problem, linear)(np.stack([P[0], P[1] * 0.5]))
    assert list(guarded.route) == ["solved", "failed"] and np.isnan(guarded.u[1]).all()
    assert any("the solver is missing" in note for note in guarded.notes)


def test_conformal_bars_hold_as_often_as_they_say():
    """2000 new errors of a surrogate that is wrong by a drawn factor: exact quantiles, and the share within them."""
    rng = np.random.default_rng(1)
    assert least_rows(0.9) == 9 and least_rows(0.8) == 4 and least_rows(0.5) == 1
    assert quantile(np.arange(1.0, 10.0), 0.9) == 9 and quantile(np.arange(1.0, 9.0), 0.9) == np.inf
    factors = np.abs(rng.standard_normal((2000, 19)))
    held = [np.abs(rng.standard_normal()) <= quantile(row, 0.9) for row in factors]
    assert abs(np.mean(held) - 0.9) < 4 * np.sqrt(0.09 / 2000)  # k / (n + 1) = 18 / 20


def test_conformal_bars_of_a_data_set(data, parts, mean):
    test = parts[1]
    bars = assay.conformal(data.problem, mean, test, level=0.9)
    errors = [
        float(data.problem.relative_error(p, u, v))
        for p, u, v in zip(test.inputs, mean(test.inputs), test.fields, strict=True)
    ]
    assert bars.error == pytest.approx(sorted(errors)[18], rel=1e-12)  # k = ceil(21 * 0.9) = 19
    inside = np.abs(mean(test.inputs)[1::2] - test.fields[1::2]) <= bars.band * (1 + 1e-12)
    assert inside.all(axis=1).sum() == 10, "k = ceil(11 * 0.9) = 10 of 10"
    few = assay.conformal(data.problem, mean, test, level=0.99)
    assert few.error == np.inf and "20 rows are too few for a level of 0.99: it takes 99" in few.remarks
    assert repr(few).startswith("Bars(no bar at probability 0.99, by 20 rows: 20 rows are too few"), (
        "nothing statistical"
    )
    silent = assay.conformal(data.problem, lambda P: np.full((len(P), 27), np.nan), test)
    assert "no bar at probability 0.9" in repr(silent) and silent.error == np.inf and np.isinf(silent.band).all(), (
        "no answer is no small error"
    )
    with pytest.raises(ValueError, match="a probability between 0 and 1"):
        assay.conformal(data.problem, mean, test, level=1.0)


# ---- bad arrays ------------------------------------------------------------------------------------------------------


def test_nan_is_located():
    U = np.stack([state(t) for t in T], axis=1)
    U[5, 1, 4] = np.nan
    U[9, 0, 0] = np.inf
    first = state(0.0)[..., None]
    place = "the field of sample 5 is nan at node 4 (0.5), time 0.5, and 1 other samples are not finite either"
    with pytest.raises(ValueError, match=re.escape(place)):
        assay.dataset(first, U, (X,), times=T)
    dropped = assay.dataset(first, U, (X,), times=T, drop=True)
    assert len(dropped) == 38 and dropped.remarks == ("2 of 40 samples are not finite and were left out, the first 5",)
    first = first.copy()
    first[2, 3, 0] = np.nan
    with pytest.raises(ValueError, match=re.escape("the input of sample 2 is nan at node 3 (0.375)")):
        assay.dataset(first, np.ones((40, 9)), (X,))
    with pytest.raises(ValueError, match="the input of sample 1 is inf at entry 0"):
        assay.dataset([[1.0], [np.inf]], np.ones((2, 9)))


def test_equal_inputs():
    twice = heat(np.concatenate([A, A[:3]]))
    assert len(twice) == 40 and twice.remarks == ("3 samples repeat another one and were left out",)
    with pytest.raises(
        ValueError, match="samples 0 and 2 have the same input and fields that differ by 1 of their size"
    ):
        assay.dataset([[1.0], [2.0], [1.0]], np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 2.0]]))
    with pytest.raises(ValueError, match="fields that differ by 1 of their size"):  # the first of them is zero
        assay.dataset([[1.0], [2.0], [1.0]], np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 2.0]]))


@pytest.mark.parametrize(
    ("inputs", "fields", "more", "words"),
    [
        (np.ones((4, 2)), np.ones((5, 9)), {}, "as many of both, not shapes [4, 2] and [5, 9]"),
        (np.ones((4, 2)), np.ones((4, 9)), {}, "inputs x1, x2 never change in this data"),
        (np.eye(4)[:, :1], np.ones((4, 8)), {"coordinates": X}, "the fields must have shape [n, 9 nodes, components]"),
        (np.eye(4)[:, :1], np.ones((4, 9)), {"coordinates": X, "times": T}, "[n, 3 times, 9 nodes, components]"),
        (np.ones((4, 7, 1)), np.ones((4, 9)), {}, "on the nodes of the fields, not [4, 7, 1]: interpolate them there"),
        (np.eye(4)[:, :1], np.ones((4, 9)) * 1j, {}, "complex values"),
        (np.eye(4)[:, :1], np.ones((4, 9, 2)), {"components": ["u"]}, "components must be 2 different words"),
        (np.eye(4)[:, :1], np.ones((4, 9)), {"name": ""}, "name is a word"),
        (np.c_[np.eye(4), np.ones(4)], np.ones((4, 9)), {}, "input x5 never changes in this data"),
        (np.eye(4), np.ones((4, 2)), {"coordinates": [0.0, np.nan]}, "the coordinates of node 1 are [nan]"),
    ],
)
def test_arrays_that_make_no_data_set(inputs, fields, more, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        assay.dataset(inputs, fields, **more)


def test_a_grid_may_stand_for_the_nodes():
    rng = np.random.default_rng(0)
    k, u = rng.random((5, 3, 4)), rng.random((5, 3, 4, 2))
    made = assay.dataset(k[..., None], u, (np.arange(3.0), np.linspace(0, 1, 4)), components=["p", "q"])
    assert made.problem.shape == (1, 12, 2) and made.problem.grid_shape == (3, 4)
    assert (made.snapshots.fields == u.reshape(5, -1)).all() and (made.snapshots.inputs == k.reshape(5, -1)).all()
    numbers = assay.dataset(rng.random((5, 2)), u.reshape(5, 12, 2), names=["a", "b"])
    assert numbers.problem.inputs.names == ("a", "b") and numbers.problem.input_fields(
        numbers.snapshots.inputs
    ).shape == (5, 12, 2)


# ---- the command line ------------------------------------------------------------------------------------------------


def test_a_run_of_data_is_trained_searched_and_asked(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assay.save_dataset(data, tmp_path / "heat.h5", "pdebench", dtype="float64")
    assert cli.run(["train", "--data", "heat.h5", "--surrogate", "linear", "--test", "16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test_inputs"] == 16 and found["errors"]["max"] < 1e-12 and found["solver_calls"] == 0
    assert "a new input drawn as the data was has an error of at most" in found["conformal"]
    (tmp_path / "heat.h5").unlink()  # the run keeps its own copy
    run = "runs/data-heat-linear"
    assert cli.run(["falsify", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "not falsified" and told["draws"] == 16 and told["solver_calls"] == 0
    assert cli.run(["certify", run, "--random", "1"]) == 3
    assert "no bound can be proved for heat, a data set" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["guard", run, "--random", "1"]) == 3
    assert "the solver is missing" in " ".join(capsys.readouterr().out.split())
    assert cli.run(["falsify", run, "--problem", "heat"]) == 2
    assert "is a run of data: leave --problem heat out" in capsys.readouterr().err


def test_what_is_wrong_with_a_run_of_data_is_told_first(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assay.save_dataset(data, tmp_path / "heat.h5", "pdebench")
    for words, told in (
        (["heat", "--data", "heat.h5"], "--data stands in the place of the problem: leave heat out, or --data"),
        ([], "say which problem is learnt, or with --data FILE.h5 which data"),
        (["--data", "none.h5"], "there is no data file at none.h5"),
        (
            ["--data", "heat.h5", "--set", "sample=3"],
            "no setting of a data file called 'sample'; did you mean",
        ),
        (["--data", "heat.h5", "--snapshots", "39"], "has 40 rows: 39 to learn from and 8 held out"),
    ):
        assert cli.run(["train", *words]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_functions_of_many_nodes_are_shown_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    a = rng.random((20, 50))
    wide = assay.dataset(a[..., None], a * rng.random((20, 1)), (np.linspace(0, 1, 50),), name="wide")
    assay.save_dataset(wide, tmp_path / "wide.h5")
    assert wide.problem.inputs.listed == "input[0], input[1], input[2], input[3], input[4], input[5], ... (50 in all)"
    assert cli.run(["train", "--data", "wide.h5", "--surrogate", "mean"]) == 0
    capsys.readouterr()
    assert cli.run(["falsify", "runs/data-wide-mean"]) == 1
    out = capsys.readouterr().out
    assert "the first 6 of 50 inputs" in " ".join(out.split()) and len(out) < 6000
    assert cli.run(["certify", "runs/data-wide-mean", "--random", "1"]) == 3
    assert "... (50 in all)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"times": [0, 1, np.nan]}, "times must be finite numbers, all different"),
        ({"times": [0.0, 0.0, 1.0]}, "times must be finite numbers, all different"),
        ({"times": [2.0, 1.0, 0.0]}, "the times must increase: sort them"),
        ({"residual": 5}, "residual is a function"),
        ({"periodic": "no"}, "periodic is true or false, not 'no'"),
        ({"drop": "no"}, "drop is true or false, not 'no'"),
        ({"box": 3}, "box is an assay.Box, not 3"),
        ({"names": 5}, "names must be 1 different words, not 5"),
        ({"components": 5}, "components must be 1 different words, not 5"),
    ],
)
def test_arguments_of_another_kind_are_told(more, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        heat(**more)


def test_arrays_of_nothing_and_axes_that_repeat_are_told():
    P, U = A, np.ones((40, 9))
    for inputs, fields in ((P[:, :0], U), (P, U[:, :0])):
        with pytest.raises(ValueError, match="hold no numbers at all"):
            assay.dataset(inputs, fields)
    for ticks, said in (((), "an empty tuple"), ((np.zeros(9),), "must be finite numbers, all different")):
        with pytest.raises(ValueError, match=said):
            assay.dataset(P, U, ticks)
    for share in (float("nan"), "a", None, 0, 1):
        with pytest.raises(ValueError, match="leaves none to hold out or none to learn from"):
            assay.dataset(P, U).split(share)
    with pytest.raises(ValueError, match="names must be 2 words"):
        assay.dataset(P, U, names="ab")


@pytest.mark.parametrize("ask", [assay.falsify, assay.certify, assay.guard, assay.conformal, assay.calibrate])
def test_the_data_where_its_problem_goes_is_told(data, linear, ask):
    more = (data.snapshots.inputs,) if ask is assay.certify else ()
    with pytest.raises(ValueError, match=r"the problem is a Dataset: its \.problem is one"):
        ask(data, linear, *more)
    with pytest.raises(ValueError, match=r"a str: assay.problem\('burgers'\) makes one"):
        ask("burgers", linear, *more)


def test_a_data_set_is_no_rows(data, linear):
    with pytest.raises(ValueError, match=r"rows of a data set \(its \.snapshots, or what \.split\(\) gives\)"):
        assay.train(data.problem, "linear", data)
    with pytest.raises(ValueError, match="what Dataset.split holds out"):
        assay.falsify(data.problem, linear, tests=data)


def test_tensors_that_numpy_does_not_read_are_told():
    """As PyTorch's tensors with a gradient, which raise RuntimeError, and those on a device, which raise TypeError."""

    class Tensor:
        def __init__(self, error):
            self.error = error

        def __array__(self, *args, **more):
            raise self.error("not to numpy")

        def detach(self):
            return self

    for error in (RuntimeError, TypeError):
        with pytest.raises(
            ValueError, match="the inputs have a Tensor that numpy cannot read .*: hand over its .detach"
        ):
            assay.dataset(Tensor(error), np.ones((40, 9)))


def test_a_file_of_data_where_a_problem_goes_is_told(data, tmp_path, monkeypatch, capsys):
    """And what is told works: a model of one's own, held against data, with no run."""
    monkeypatch.chdir(tmp_path)
    assay.save_dataset(data, "heat.h5")
    (tmp_path / "mine_of_heat.py").write_text(
        "import assay, numpy as np\ndata = assay.load_dataset('heat.h5')\nmodel = lambda P: np.ones((len(P), 27))\n"
    )
    ask = ["falsify", "mine_of_heat:model", "--problem"]
    assert cli.run([*ask, "heat.h5"]) == 2
    assert "say --problem mine:data.problem" in capsys.readouterr().err
    assert cli.run([*ask, "mine_of_heat:data"]) == 2
    assert "say mine_of_heat:data.problem" in capsys.readouterr().err
    assert cli.run([*ask, "mine_of_heat:data.problem"]) == 1
    assert "errors are at the 40 rows of the data" in capsys.readouterr().out
