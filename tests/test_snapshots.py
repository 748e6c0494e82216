"""Snapshots: the design's prefix property, what a kill at any moment leaves behind, and what the files refuse."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from assay.solvers import Box, Snapshots, ThermalBlock, affine, black_box, load_snapshots, sample
from assay.solvers.snapshots.journal import Journal, read
from assay.solvers.snapshots.snapshot_file import journal_path

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def block():
    return ThermalBlock(blocks=(2, 1), cells=8)


@pytest.fixture(scope="module")
def six(block):
    return sample(block, 6, seed=3)


def counted(box=None, size=5, fail_at=()):
    """A black box that counts its solves; the solves numbered in ``fail_at`` answer NaN."""
    calls = []

    def solve(p):
        calls.append(p)
        return np.full(size, np.nan) if len(calls) - 1 in fail_at else np.outer(np.arange(size), p).sum(axis=1)

    problem = black_box(solve, box or Box(("a", "b"), np.array([0.0, -1.0]), np.array([1.0, 1.0])))
    calls.clear()  # the one at the centre
    return problem, calls


def same(a: Snapshots, b: Snapshots) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=True)
        for x, y in ((a.inputs, b.inputs), (a.fields, b.fields), (a.residuals, b.residuals))
    )


@pytest.mark.rounding
def test_fields_are_the_truth_at_the_design(block, six):
    np.testing.assert_array_equal(six.inputs, block.inputs.sample(6, 3))
    np.testing.assert_array_equal(six.fields, block.solve_batch(six.inputs))
    assert six.fields.shape == (6, block.size) and len(six) == 6
    # 2e-13: the rounding floor of this grid is far below; 1e-12 is the default tolerance
    assert (six.residuals <= 1e-12).all() and six.valid.all()
    assert (six.problem_name, six.problem_settings, six.seed) == ("thermal-block", block.settings, 3)


def test_a_longer_sample_begins_with_the_shorter_one(block, six):
    assert same(sample(block, 9, seed=3).first(6), six)


def test_independent_draws_are_another_design_and_stay_in_their_file(tmp_path):
    problem, calls = counted()
    path = tmp_path / "test.h5"
    drawn = sample(problem, 6, seed=3, independent=True, path=path)
    np.testing.assert_array_equal(drawn.inputs, problem.inputs.draw(6, 3))
    assert same(sample(problem, 4, seed=3, independent=True, path=path), drawn.first(4)) and len(calls) == 6
    with pytest.raises(ValueError, match="independent draws and Sobol points"):
        sample(problem, 4, seed=3, path=path)


def test_another_seed_is_another_design(block, six):
    assert not np.isin(sample(block, 6, seed=4).inputs, six.inputs).any()


def test_the_hash_is_that_of_the_content(block, six):
    assert six.hash == sample(block, 6, seed=3).hash
    assert len(six.hash) == 64
    changed = six.fields.copy()
    changed[2, 40] = np.nextafter(changed[2, 40], 1)
    other = Snapshots(six.inputs, changed, six.residuals, 3, six.problem_name, six.problem_settings, six.box)
    assert len({six.hash, other.hash, six.first(5).hash, sample(block, 6, seed=4).hash}) == 4


def test_arrays_cannot_be_changed(six):
    with pytest.raises(ValueError, match="read-only"):
        six.fields[0, 0] = 1.0


def test_failed_rows_are_stored_and_marked(tmp_path):
    problem, calls = counted(fail_at=(1, 4))
    result = sample(problem, 6, path=tmp_path / "s.h5")
    assert result.valid.tolist() == [True, False, True, True, False, True]
    assert np.isnan(result.fields[[1, 4]]).all() and np.isfinite(result.fields[result.valid]).all()
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["valid"][:].tolist() == result.valid.tolist()
    assert same(sample(problem, 6, path=tmp_path / "s.h5", retry=False), result) and len(calls) == 6


def test_failed_rows_say_why_and_are_tried_again(tmp_path):
    path, away = tmp_path / "s.h5", [True]

    def solve(p):
        if away[0] and p[0] > 0.6:
            raise RuntimeError("licence server: no seats left")
        return p * np.ones(3)

    problem = black_box(solve, Box(("a",), [0.0], [1.0]))
    first = sample(problem, 16, path=path)
    failed = int((first.inputs[:, 0] > 0.6).sum())
    assert first.why_failed() == {"raised RuntimeError: licence server: no seats left": failed} and failed > 2
    assert "licence server" in repr(first)
    kept = load_snapshots(path)
    assert kept.why_failed() == first.why_failed() and kept.hash == first.hash
    away[0] = False
    assert sample(problem, 16, path=path, retry=False).why_failed() == first.why_failed()

    def stop(done, n):
        if done == n - failed + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(problem, 20, path=path, progress=stop)  # two of them stand in the journal
    assert sum(load_snapshots(path).why_failed().values()) == failed - 2 or len(load_snapshots(path)) == 16
    whole = sample(problem, 16, path=path)
    assert whole.valid.all() and not whole.why_failed() and same(whole, sample(problem, 16))
    assert load_snapshots(path).valid.all()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_gives_the_same_rows(kind, block, six, tmp_path):
    if kind == "threads":
        pool = ThreadPoolExecutor(2)
    else:
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    block.solve(np.ones(2))  # holds compiled functions now, which cannot be pickled
    with pool:
        result = sample(block, 6, seed=3, path=tmp_path / "s.h5", executor=pool)
    np.testing.assert_array_equal(result.inputs, six.inputs)
    # another process may be compiled for other vector instructions: equal to solver accuracy, not bit for bit
    np.testing.assert_allclose(result.fields, six.fields, rtol=0, atol=1e-12 * np.abs(six.fields).max())


def test_a_problem_that_cannot_be_pickled_says_so():
    problem, _ = counted()
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(ValueError, match=r"black-box problem cannot be sent to another process .* ThreadPoolExecutor"),
    ):
        sample(problem, 2, executor=pool)


def test_forked_processes_are_refused_before_they_hang():
    problem, calls = counted()
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool,
        pytest.raises(ValueError, match=r"mp_context=multiprocessing\.get_context\('spawn'\)"),
    ):
        sample(problem, 2, executor=pool)
    assert not calls


def test_a_file_that_is_open_elsewhere_is_read_and_replaced(tmp_path):
    problem, path = counted()[0], tmp_path / "s.h5"
    four = sample(problem, 4, path=path)
    for mode in ("r", "a"):
        with h5py.File(path, mode):
            assert same(load_snapshots(path).first(4), four)
            sample(problem, 8 if mode == "r" else 12, path=path)
    assert same(load_snapshots(path).first(4), four) and len(load_snapshots(path)) == 12
    with h5py.File(path, "a") as file:
        file["fields"][0, 0] += 1
        file.flush()
        with pytest.raises(ValueError, match="damaged, or being changed"):
            load_snapshots(path)


class Backwards:
    """An executor that finishes its tasks in reverse order, and breaks down after some of them."""

    def __init__(self, together: int, breaks_after: int = 10**9) -> None:
        self.together, self.left, self.waiting = together, breaks_after, []

    def submit(self, fn, *args):
        future = Future()
        self.waiting.append((future, fn, args))
        if len(self.waiting) == self.together:
            for future_, fn_, args_ in reversed(self.waiting):
                self.left -= 1
                if self.left < 0:
                    future_.set_exception(MemoryError("no worker is left"))
                else:
                    future_.set_result(fn_(*args_))
            self.waiting.clear()
        return future


def test_rows_may_arrive_in_any_order_and_what_arrived_is_kept(tmp_path):
    problem, calls = counted()
    path = tmp_path / "s.h5"
    expected = sample(problem, 8)
    calls.clear()
    with pytest.raises(MemoryError, match="no worker is left"):
        sample(problem, 8, path=path, executor=Backwards(4, breaks_after=6))
    assert sorted(read(journal_path(path)).rows) == [0, 1, 2, 3, 6, 7] and not path.exists()
    assert same(load_snapshots(path), expected.first(4))  # up to the gap
    assert same(sample(problem, 3, path=path), expected.first(3)) and len(calls) == 6
    assert sorted(read(journal_path(path)).rows) == [0, 1, 2, 3, 6, 7]  # rows beyond the gap are not thrown away
    assert same(sample(problem, 8, path=path), expected) and len(calls) == 8
    assert not journal_path(path).exists()


def test_a_file_is_read_extended_and_never_solved_twice(tmp_path):
    problem, calls = counted()
    path = tmp_path / "new folder" / "s.h5"
    first, seen = sample(problem, 5, path=path), []
    before = path.read_bytes()
    assert same(sample(problem, 3, path=path), first.first(3))
    assert path.read_bytes() == before and len(calls) == 5
    longer = sample(problem, 9, path=path, progress=lambda done, n: seen.append((done, n)))
    assert len(calls) == 9 and same(longer.first(5), first)
    assert seen == [(5, 9), (6, 9), (7, 9), (8, 9), (9, 9)]
    assert same(load_snapshots(path, problem), longer) and load_snapshots(path).hash == longer.hash
    assert [p.name for p in path.parent.iterdir()] == ["s.h5"]


def test_a_torn_write_at_any_byte_loses_only_the_row_in_progress(tmp_path):
    problem, calls = counted(size=2)
    whole, torn = tmp_path / "whole.h5", tmp_path / "torn.h5"
    with pytest.raises(KeyboardInterrupt):
        sample(problem, 8, path=whole, progress=lambda done, n: interrupt_at(done, 3))
    data = journal_path(whole).read_bytes()
    expected = sample(problem, 4)
    record = 8 * (1 + 2 + 2 + 1) + 16
    header = len(data) - 3 * record
    for cut in [*range(0, header, 37), *range(header, len(data) + 1)]:
        journal_path(torn).write_bytes(data[:cut])
        kept = max(0, (cut - header) // record)
        calls.clear()
        assert same(sample(problem, 4, path=torn), expected)
        assert len(calls) == 4 - kept
        torn.unlink()


def interrupt_at(done, when):
    if done == when:
        raise KeyboardInterrupt


def test_a_damaged_byte_in_the_journal_ends_what_is_believed(tmp_path):
    problem, calls = counted(size=2)
    path = tmp_path / "s.h5"
    with pytest.raises(KeyboardInterrupt):
        sample(problem, 8, path=path, progress=lambda done, n: interrupt_at(done, 5))
    data = bytearray(journal_path(path).read_bytes())
    data[-100] ^= 1  # in the fourth of five records of 64 bytes
    journal_path(path).write_bytes(data)
    expected = sample(problem, 8)
    calls.clear()
    assert same(sample(problem, 8, path=path), expected)
    assert len(calls) == 5


@pytest.mark.parametrize("step", ["replace", "unlink"])
def test_stopping_while_the_file_is_replaced_loses_nothing(step, tmp_path, monkeypatch):
    problem, calls = counted()
    path = tmp_path / "s.h5"
    sample(problem, 4, path=path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*(os, "replace") if step == "replace" else (Path, "unlink"), stop)
        with pytest.raises(KeyboardInterrupt):
            sample(problem, 7, path=path)
    assert len(load_snapshots(path, problem)) == 7
    assert same(sample(problem, 8, path=path), sample(counted()[0], 8))
    assert len(calls) == 8 and [p.name for p in tmp_path.iterdir()] == ["s.h5"]


CHILD = """
import sys
import numpy as np
from assay.solvers import Box, black_box, sample
N = 20_000  # long records: a kill often falls into the middle of writing one
problem = black_box(lambda p: np.sin(np.arange(N) * p[0]), Box(("a",), [1.0], [2.0]))
for n in range(int(sys.argv[2]) + 7, 10**6, 7):  # joins journal and file every seven rows
    sample(problem, n, path=sys.argv[1], progress=lambda done, n: print(done, flush=True))
"""


@pytest.mark.smoke
def test_a_killed_process_loses_at_most_the_row_in_progress(tmp_path):
    path, reported = tmp_path / "s.h5", 0
    rng = np.random.default_rng(0)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(reported)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        first = [child.stdout.readline() for _ in range(2)]  # what was there, and a row: it has compiled
        time.sleep(rng.uniform(0, 0.3))
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0].splitlines()
        stored = path.exists() or (journal_path(path).exists() and read(journal_path(path)).rows)
        kept = load_snapshots(path) if stored else None
        reported = max([reported, *(int(line) for line in [*first, *rest] if line)])
        assert reported <= (0 if kept is None else len(kept)) <= reported + 1
    assert reported > 0
    np.testing.assert_array_equal(kept.fields, np.sin(np.arange(20_000)[None] * kept.inputs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": 16}, "cells is 8 there and 16 here"),
        ({"high": 11.0}, "high is 10.0 there and 11.0 here"),
        ({"blocks": (1, 2)}, r"blocks is \[2, 1\] there and \[1, 2\] here"),
    ],
)
def test_other_settings_are_named(change, message, block, six, tmp_path):
    sample(block, 1, path=tmp_path / "s.h5")
    other = ThermalBlock(**{"blocks": (2, 1), "cells": 8, **change})
    with pytest.raises(ValueError, match=message):
        sample(other, 2, path=tmp_path / "s.h5")
    with pytest.raises(ValueError, match=message):
        load_snapshots(tmp_path / "s.h5", other)


def test_another_seed_or_problem_is_named_and_nothing_is_lost(tmp_path):
    path, (problem, _) = tmp_path / "s.h5", counted()
    sample(problem, 2, path=path, seed=1)
    before = path.read_bytes()
    wider, _ = counted(Box(("a", "b"), np.array([0.0, -1.0]), np.array([1.0, 2.0])))
    for other, seed, message in (
        (problem, 2, "seed is 1 there and 2 here"),
        (ThermalBlock(cells=8), 1, 'problem is "black-box" there and "thermal-block" here'),
        (wider, 1, r"box upper is \[1.0, 1.0\] there and \[1.0, 2.0\] here"),
        (counted(size=4)[0], 1, "field size is 5 there and 4 here"),
    ):
        with pytest.raises(ValueError, match=message):
            sample(other, 4, path=path, seed=seed)
    assert path.read_bytes() == before and not journal_path(path).exists()


def test_the_journal_of_another_run_is_named(tmp_path):
    path, (problem, _) = tmp_path / "s.h5", counted()
    with pytest.raises(KeyboardInterrupt):
        sample(problem, 4, path=path, seed=1, progress=lambda done, n: interrupt_at(done, 2))
    before = journal_path(path).read_bytes()
    with pytest.raises(ValueError, match="seed is 1 there and 2 here"):
        sample(problem, 4, path=path, seed=2)
    assert journal_path(path).read_bytes() == before


def test_a_second_writer_is_refused(tmp_path):
    path = journal_path(tmp_path / "s.h5")
    names = "from pathlib import Path; from assay.solvers.snapshots.journal import Journal"
    code = f"{names}; Journal(Path({str(path)!r}), {{}}, 1)"
    with Journal(path, {}, 1):
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "another process is writing" in result.stderr


def test_damaged_and_foreign_files_are_refused(block, tmp_path):
    path = tmp_path / "s.h5"
    sample(block, 4, path=path)
    good = path.read_bytes()

    def refused(data, message):
        path.write_bytes(data)
        for use in (lambda: load_snapshots(path), lambda: sample(block, 8, path=path)):
            with pytest.raises(ValueError, match=message):
                use()
        assert path.read_bytes() == data

    for length in (0, 100, len(good) // 2, len(good) - 1):
        refused(good[:length], "cannot be read as HDF5 snapshots")
    refused(b"once upon a time", "cannot be read as HDF5 snapshots")
    at = good.index(np.float64(load_field_value(block)).tobytes())
    refused(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], "is damaged")
    with h5py.File(path, "w") as file:
        file["inputs"] = np.zeros(3)
    refused(path.read_bytes(), "not one of this library's snapshots")
    path.unlink()
    journal_path(path).write_text("once upon a time")
    with pytest.raises(ValueError, match="not a journal"):
        sample(block, 8, path=path)
    assert journal_path(path).read_text() == "once upon a time"


def load_field_value(block):
    """An entry of the first field, to find the fields in the file."""
    return sample(block, 1).fields[0, block.size // 2]


def test_missing_files_and_senseless_numbers(block, tmp_path):
    with pytest.raises(ValueError, match="there are no snapshots"):
        load_snapshots(tmp_path / "nothing.h5")
    for n, seed in ((0, 0), (-1, 0), (2.5, 0), (True, 0), (3, -1), (3, 0.5)):
        with pytest.raises(ValueError, match="must be a whole number"):
            sample(block, n, seed)
    with pytest.raises(ValueError, match="cannot be read"):
        sample(block, 2, path=tmp_path)  # a folder


def test_a_design_drawn_by_other_code_is_refused(tmp_path, monkeypatch):
    path, (problem, _) = tmp_path / "s.h5", counted()
    sample(problem, 4, path=path)
    drawn = Box.sample
    monkeypatch.setattr(Box, "sample", lambda self, n, seed: np.clip(drawn(self, n, seed) + 1e-9, -1, 1))
    with pytest.raises(ValueError, match="row 0 was solved at"):
        sample(problem, 6, path=path)
    monkeypatch.setattr(Box, "sample", lambda self, n, seed: drawn(self, n, seed) * (1 + 1e-15))
    assert len(sample(problem, 6, path=path)) == 6  # rounding is no difference


def test_an_affine_problem_is_sampled_in_threads():
    box = Box(("k",), np.array([1.0]), np.array([2.0]))
    problem = affine([np.diag([2.0, 4.0])], None, np.ones(2), box)
    with ThreadPoolExecutor(3) as pool:
        result = sample(problem, 7, executor=pool)
    np.testing.assert_allclose(result.fields, 1 / (result.inputs * [2.0, 4.0]), rtol=1e-14)
