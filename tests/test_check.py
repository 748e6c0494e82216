"""Records of counterexamples in a run folder: none lost, none twice."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from assay.commands.check import store_records
from assay.verify.evidence import Evidence
from assay.verify.search.counterexample import Counterexample, read_counterexamples


def test_records_are_added_once_and_none_is_lost(tmp_path):
    field = np.zeros(3)
    about = {"tolerance": 0.1, "found": "here", "solver_calls": 1, "field": field, "problem_name": "x"}
    made = [
        Counterexample(np.array([p]), 0.5, 0.5, 0.5, Evidence.PROVED, **about, problem_settings={}, seed=0)
        for p in (1.0, 2.0, 3.0)
    ]
    path = tmp_path / "c.jsonl"
    assert store_records(path, made[:2]) == [0, 1]
    assert store_records(path, made[1:]) == [1, 2]
    assert [float(c.inputs[0]) for c in read_counterexamples(path)] == [1.0, 2.0, 3.0]


def test_two_searches_at_once_keep_the_records_of_both(tmp_path):
    """Each reads the file anew when it writes, under a lock."""
    path = tmp_path / "c.jsonl"
    about = {"tolerance": 0.1, "found": "here", "solver_calls": 1, "field": np.zeros(3), "problem_name": "x"}

    def store(number):
        record = Counterexample(
            np.array([float(number)]), 0.5, 0.5, 0.5, Evidence.PROVED, **about, problem_settings={}, seed=0
        )
        return store_records(path, [record])[0]

    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(store, range(24)))
    kept = [float(c.inputs[0]) for c in read_counterexamples(path)]
    assert [kept[place] for place in places] == list(range(24))
