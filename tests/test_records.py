"""Files of findings: none lost, none twice, nothing believed that a stranger wrote."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.verify.evidence import Evidence
from assay.verify.falsify import falsify
from assay.verify.search.counterexample import Counterexample, replay
from assay.verify.search.records import add_records, database_file, known_failures, read_records
from assay.verify.search.unsolved_input import UnsolvedInput


def test_records_are_added_once_and_none_is_lost(tmp_path):
    field = np.zeros(3)
    about = {"tolerance": 0.1, "found": "here", "solver_calls": 1, "field": field, "problem_name": "x"}
    made = [
        Counterexample(np.array([p]), 0.5, 0.5, 0.5, Evidence.PROVED, **about, problem_settings={}, seed=0)
        for p in (1.0, 2.0, 3.0)
    ]
    path = tmp_path / "c.jsonl"
    assert add_records(path, made[:2]) == [0, 1]
    assert add_records(path, made[1:]) == [1, 2]
    assert [float(c.inputs[0]) for c in read_records(path)] == [1.0, 2.0, 3.0]


def test_two_searches_at_once_keep_the_records_of_both(tmp_path):
    """Each reads the file anew when it writes, under a lock."""
    path = tmp_path / "c.jsonl"
    about = {"tolerance": 0.1, "found": "here", "solver_calls": 1, "field": np.zeros(3), "problem_name": "x"}

    def store(number):
        record = Counterexample(
            np.array([float(number)]), 0.5, 0.5, 0.5, Evidence.PROVED, **about, problem_settings={}, seed=0
        )
        return add_records(path, [record])[0]

    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(store, range(24)))
    kept = [float(c.inputs[0]) for c in read_records(path)]
    assert [kept[place] for place in places] == list(range(24))


SQUARE = Box(("a", "b"), [0.0, 0.0], [1.0, 1.0])


def solve(p):
    if p[1] > 0.9:
        raise RuntimeError("no seats left")
    return np.array([1.0, p[0], p[1]])


def narrow(P):
    """Wrong in a square of a fiftieth of the box, which few calls miss."""
    wrong = (np.abs(P - [0.31, 0.62]) < 0.01).all(axis=1)
    return np.column_stack([1 + wrong, P])


@pytest.fixture(scope="module")
def problem():
    return black_box(solve, SQUARE, name="square")


def test_what_one_surrogate_fails_at_is_tried_first_with_the_next(problem, tmp_path):
    database = tmp_path / "database"
    first = falsify(problem, lambda P: 2 * np.column_stack([np.ones(len(P)), P]), 1e-2, 30, 0, database=database)
    assert first.verdict == "falsified" and first.unsolved
    kept = read_records(database_file(database, problem))
    assert len(kept) == len(first.counterexamples) + len(first.unsolved)
    assert {u.reason for u in kept if isinstance(u, UnsolvedInput)} == {u.reason for u in first.unsolved}
    assert replay(problem, next(c for c in kept if isinstance(c, Counterexample))).fails
    assert falsify(problem, narrow, 1e-2, 10, 1).verdict == "not falsified"
    hit = falsify(problem, narrow, 1e-2, 1, 1, database=database)
    assert hit.verdict == "not falsified" and any("0 of 1 inputs of the database" in note for note in hit.notes)
    record = first.counterexamples[0].to_json() | {"inputs": [0.31, 0.62], "error": 9.0}
    with database_file(database, problem).open("a") as file:
        file.write(json.dumps(record) + "\n")
    hit = falsify(problem, narrow, 1e-2, 1, 1, database=database)
    assert hit.verdict == "falsified" and hit.solver_calls == 1
    assert hit.counterexamples[0].found == "in the database"


def test_failures_of_an_interrupted_search_are_tried_first_by_the_next(tmp_path):
    """The solver's fifth call is interrupted; what failed until then is known."""
    calls = []

    def solver(p):
        calls.append(p)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return np.ones(3)

    interrupted = black_box(solver, Box(("a", "b"), [0.0, 0.0], [1.0, 1.0]))
    wrong = lambda P: np.full((len(P), 3), 2.0)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        falsify(interrupted, wrong, 1e-2, 30, 0, database=tmp_path)
    kept = read_records(database_file(tmp_path, interrupted))
    assert kept and {tuple(c.inputs) for c in kept} <= {tuple(p) for p in calls[:4]}
    again = falsify(interrupted, wrong, 1e-2, 30, 0, database=tmp_path)
    assert any(f"{len(kept)} of {len(kept)} inputs of the database fail again" in note for note in again.notes)


def test_a_database_knows_whose_its_records_are(problem, tmp_path):
    falsify(problem, lambda P: np.zeros((len(P), 3)), 1e-2, 10, 0, database=tmp_path)
    mine, said = known_failures(tmp_path, problem)
    assert len(mine) and not said and SQUARE.contains(mine).all()
    other = black_box(solve, SQUARE, name="another")
    assert len(known_failures(tmp_path, other)[0]) == 0
    database_file(tmp_path, problem).rename(database_file(tmp_path, other))  # a stranger's, under this name
    theirs, said = known_failures(tmp_path, other)
    assert len(theirs) == 0 and "of another problem, or outside its box" in said[0]
    with pytest.raises(ValueError, match="a database is a folder"):
        database_file(database_file(tmp_path, other), problem)
    database_file(tmp_path, problem).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link"):
        database_file(tmp_path, problem)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record | {"inputs": ["x"]},
        lambda record: record | {"inputs": None},
        lambda record: record | {"format": 2},
        lambda record: {k: v for k, v in record.items() if k != "reason"},
        lambda record: record | {"seed": "1e999"},
        lambda record: record | {"settings": 3},
    ],
)
def test_a_damaged_record_of_the_truth_failing_is_named(tmp_path, spoil):
    record = UnsolvedInput(np.array([1.0]), "the solver raised", "explored", "x", {}, "abc", 0)
    path = tmp_path / "r.jsonl"
    assert add_records(path, [record]) == add_records(path, [record]) == [0]
    (read,) = read_records(path)
    assert read.to_json() == record.to_json()
    path.write_text(path.read_text() + json.dumps(spoil(record.to_json())) + "\n")
    with pytest.raises(ValueError, match=r"r\.jsonl, line 2: not a record of an unsolved input"):
        read_records(path)
