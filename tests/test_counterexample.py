"""Records of failures: what is measured, what is written, and what a replay says."""

import json

import numpy as np
import pytest

from assay.solvers.problems.thermal_block import ThermalBlock
from assay.verify.evidence import Evidence
from assay.verify.measured_error import measured_error
from assay.verify.search.counterexample import Counterexample, replay
from assay.verify.search.records import read_records, write_records


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


def test_records_come_back_from_disk_bit_for_bit(tmp_path, record):
    infinite = Counterexample(**{**record.__dict__, "error": np.inf, "upper": np.inf, "lower": np.inf})
    path = tmp_path / "records.jsonl"
    write_records(path, [record, infinite])
    first, second = read_records(path)
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
    healed = replay(small, record, lambda P: np.repeat(u[None], len(P), axis=0))
    assert not healed.fails and healed.error < 1e-9
    broken = replay(small, record, lambda P: np.full((len(P), 81), np.nan))
    assert broken.fails and broken.error == np.inf


def test_an_absolute_error_is_part_of_the_record(tmp_path, small, record, case):
    _, u = case
    size = float(small.norm(record.inputs, u))
    scale = 4 * size
    error, lower, upper, evidence = measured_error(small, record.inputs, record.field, u, scale)
    allowed = Counterexample(
        **{**record.__dict__, "error": error, "lower": lower, "upper": upper, "absolute": 1e-2 * scale}
    )
    path = tmp_path / "records.jsonl"
    write_records(path, [allowed])
    (read,) = read_records(path)
    again = replay(small, read)
    assert again.fails and again.absolute == 1e-2 * scale and again.evidence is Evidence.PROVED
    assert again.error == pytest.approx(0.1 / 5, rel=1e-9)
    assert not replay(small, read, absolute=0.1 * size).fails
    assert replay(small, read, absolute=0).error == pytest.approx(0.1, rel=1e-9)
    with pytest.raises(ValueError, match="zero or positive"):
        replay(small, read, absolute=-1.0)


def test_records_made_before_there_were_absolute_errors_have_none(tmp_path, record):
    path = tmp_path / "records.jsonl"
    write_records(path, [record])
    old = json.loads(path.read_text())
    del old["absolute"], old["component_errors"]
    path.write_text(json.dumps(old) + "\n")
    (read,) = read_records(path)
    assert read.absolute == 0.0 and read.component_errors == {}


def test_a_replay_that_compares_nothing_says_so(small, record, monkeypatch):
    monkeypatch.setattr(type(small), "norm", lambda self, p, u: np.nan)
    again = replay(small, record)
    assert again.fails is None and np.isnan(again.error)


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
        lambda text: text.replace('"absolute": 0.0', '"absolute": -1.0'),
        lambda text: text.replace('"absolute": 0.0', '"absolute": "nan"'),
        lambda text: text.replace('"component_errors": {}', '"component_errors": [1]'),
        lambda text: text.replace('"solver_calls": ', '"solver_calls": 1e999, "calls": '),
        lambda text: text.replace('"settings": ', '"settings": ' + "[" * 100_000 + "]" * 100_000 + ', "other": '),
    ],
)
def test_files_that_are_not_records_are_refused_with_a_reason(tmp_path, record, spoil):
    path = tmp_path / "records.jsonl"
    write_records(path, [record])
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError, match=r"records\.jsonl"):
        read_records(path)


def test_a_missing_file_is_a_user_mistake(tmp_path):
    with pytest.raises(ValueError, match="could not be read"):
        read_records(tmp_path / "nothing.jsonl")
