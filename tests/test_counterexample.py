"""Records of failures: what is measured, what is written, and what a replay says."""

import json

import numpy as np
import pytest

from assay.solvers.thermal_block import ThermalBlock
from assay.verify.counterexample import (
    Counterexample,
    measured_error,
    read_counterexamples,
    replay,
    write_counterexamples,
)
from assay.verify.evidence import Evidence


@pytest.fixture(scope="module")
def case(small):
    p = small.inputs.sample(3, seed=8)[1]
    return p, np.asarray(small.solve(p))


@pytest.fixture(scope="module")
def record(small, case):
    p, u = case
    field = 1.1 * u
    error, lower, upper, evidence = measured_error(small, p, field, u)
    return Counterexample(
        p, error, lower, upper, evidence, 1e-2, "climbed the bound", 3, field, small.name, small.settings, 0
    )


def test_the_error_of_a_scaled_truth_is_the_scale(record):
    assert record.error == pytest.approx(0.1, rel=1e-10)
    assert record.lower <= 0.1 <= record.upper and record.upper - record.lower < 1e-8
    assert record.evidence is Evidence.PROVED


def test_a_rough_truth_leaves_a_wide_interval(small, case):
    p, u = case
    rough = np.asarray(small.solve(p, 1e-2))
    error, lower, upper, _ = measured_error(small, p, 1.1 * u, rough)
    assert lower < 0.1 < upper and upper - lower > 1e-6


def test_a_field_that_is_not_finite_is_infinitely_wrong(small, case):
    p, u = case
    field = u.copy()
    field[40] = np.nan
    assert measured_error(small, p, field, u)[:3] == (np.inf, np.inf, np.inf)


def test_records_come_back_from_disk_bit_for_bit(tmp_path, record):
    infinite = Counterexample(**{**record.__dict__, "error": np.inf, "upper": np.inf, "lower": np.inf})
    path = tmp_path / "records.jsonl"
    write_counterexamples(path, [record, infinite])
    first, second = read_counterexamples(path)
    np.testing.assert_array_equal(first.field, record.field)
    np.testing.assert_array_equal(first.inputs, record.inputs)
    assert {k: v for k, v in first.__dict__.items() if k not in ("field", "inputs")} == {
        k: v for k, v in record.__dict__.items() if k not in ("field", "inputs")
    }
    assert second.error == np.inf
    assert [f.name for f in tmp_path.iterdir()] == ["records.jsonl"]
    for line in path.read_text().splitlines():  # strict JSON: no bare Infinity
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_replay_confirms_the_failure(small, record, case):
    again = replay(small, record)
    assert again.fails and again.error == pytest.approx(record.error, rel=1e-9)
    p, u = case
    healed = replay(small, record, lambda P: u[None])
    assert not healed.fails and healed.error < 1e-9
    broken = replay(small, record, lambda P: np.full((1, 81), np.nan))
    assert broken.fails and broken.error == np.inf


def test_a_record_of_another_problem_is_refused(record):
    with pytest.raises(ValueError, match="not of thermal-block"):
        replay(ThermalBlock((2, 2), 16), record)


def test_a_record_whose_field_has_another_length_is_refused(small, record):
    for length in (80, 1, 0):
        short = Counterexample(**{**record.__dict__, "field": record.field[:length]})
        with pytest.raises(ValueError, match=f"a field of {length} values"):
            replay(small, short)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "not json\n",
        lambda text: "[1, 2]\n",
        lambda text: "",
        lambda text: text.replace('"format": 1', '"format": 99'),
        lambda text: text.replace('"tolerance"', '"tolerence"'),
        lambda text: text.replace('"evidence": "proved"', '"evidence": "certain"'),
        lambda text: text.replace('"field": "', '"field": "!!'),
        lambda text: text.replace('"tolerance": 0.01', '"tolerance": NaN'),
        lambda text: text.replace('"solver_calls": ', '"solver_calls": 1e999, "calls": '),
        lambda text: text.replace('"settings": ', '"settings": ' + "[" * 100_000 + "]" * 100_000 + ', "other": '),
    ],
)
def test_files_that_are_not_records_are_refused_with_a_reason(tmp_path, record, spoil):
    path = tmp_path / "records.jsonl"
    write_counterexamples(path, [record])
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError, match=r"records\.jsonl"):
        read_counterexamples(path)


def test_a_missing_file_is_a_user_mistake(tmp_path):
    with pytest.raises(ValueError, match="could not be read"):
        read_counterexamples(tmp_path / "nothing.jsonl")
