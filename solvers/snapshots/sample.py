"""Snapshots: the truth at a Sobol design, computed wherever an executor runs, resumable after a kill at any moment.

``snapshot_file.py`` has the type and says how the files stay whole.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..identity import check_problem, check_rows, confirm
from ..precision import in_float64
from ..problem import Problem
from ..processes.rows import IN_FLIGHT, solved_rows
from ..processes.sending import check_executor
from ..seed import checked_seed
from .journal import Journal
from .snapshot_file import (
    Snapshots,
    as_json,
    check_journal,
    check_owner,
    joined,
    journal_path,
    load_snapshots,
    owner_of,
    stored_at,
    write,
)

__all__ = ["Snapshots", "load_snapshots", "sample"]

SAME = 1e-10  # relative: two draws of one design differ by rounding only


@in_float64
def sample(
    problem: Problem,
    n: int,
    seed: int = 0,
    *,
    independent: bool = False,
    path: str | os.PathLike[str] | None = None,
    executor: concurrent.futures.Executor | None = None,
    progress: Callable[[int, int], object] | None = None,
    retry: bool = True,
) -> Snapshots:
    """The truth at the first n points of the problem's Sobol design; a larger n begins with the same rows.

    Args:
        independent: at n independent draws from the sampling laws (``Box.draw``) instead: tests that statistics may
            count. A Sobol design covers the box more evenly, so that its points depend on each other.
        path: HDF5 file that keeps the rows. One that exists is continued; with n or more rows there it is only read.
        executor: where the solves run, a ``concurrent.futures.Executor``: threads, ``WorkerProcesses(N)`` (a
            ProcessPoolExecutor must be started by "spawn": JAX does not survive a fork), a cluster
            (``processes/cluster.py``); left out, here. Processes and clusters need a problem that can be pickled. The
            rows are the same to the bit wherever processors, libraries and their threads are.
        progress: called with (rows done, n) at the start and after every row.
        retry: solve rows again that failed before (the solver may have been away); False keeps them failed.

    Raises:
        ValueError: n or seed is no such number; the file belongs to another problem (of a black box one stored row is
            solved again), other settings or another seed, is damaged, foreign or being written by another process; the
            executor's processes are forked, or the problem cannot be sent to them.
    """
    check_problem(problem)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a whole number of at least 1, not {n!r}")
    n, seed = int(n), checked_seed(seed)
    check_executor(executor)
    if path is None:
        rows = _Rows(problem, n, seed, independent)
        _fill(rows, n, problem, executor, progress, None)
        return rows.snapshots(n)
    return _sample_on_disk(problem, n, seed, independent, Path(path), executor, progress, retry)


def _sample_on_disk(
    problem: Problem,
    n: int,
    seed: int,
    independent: bool,
    path: Path,
    executor: concurrent.futures.Executor | None,
    progress: Callable[[int, int], object] | None,
    retry: bool,
) -> Snapshots:
    owner = owner_of(problem, seed)
    stored = stored_at(path, owner)
    if stored is not None and len(stored) >= n and not (retry and not stored.valid[:n].all()):
        check_rows(str(path), problem, stored)
        _Rows(problem, n, seed, independent).adopt(path, stored.first(n))
        if progress is not None:
            progress(n, n)
        return stored.first(n)
    path.parent.mkdir(parents=True, exist_ok=True)
    width = problem.inputs.dimension + problem.size + 1
    with Journal(journal_path(path), owner, width) as journal:
        check_journal(journal.path, journal.owner, width)
        check_owner(journal.path, journal.owner, owner)
        stored = joined(stored_at(path, owner), owner, {})  # read again, now that nobody else writes
        room = max([n, len(stored), *(i + 1 for i in journal.rows)])
        if room > max(n, len(stored) + len(journal.rows) + 2 * IN_FLIGHT):  # in order, but for some on their way
            raise ValueError(f"{journal.path} is damaged: it holds row {room - 1} and not those before: delete it")
        rows = _Rows(problem, room, seed, independent)
        rows.adopt(path, stored)
        for i, row in journal.rows.items():
            rows.adopt(journal.path, joined(None, owner, {0: row}), i)
        check_rows(str(path), problem, rows.snapshots(len(rows.done)))
        if retry:
            rows.done &= np.isfinite(rows.fields).all(axis=1)
        _fill(rows, n, problem, executor, progress, journal)
        whole = int(np.argmin(np.append(rows.done, False)))  # an earlier, larger run may have left rows beyond a gap
        write(path, rows.snapshots(whole))
        if not rows.done[whole:].any():
            journal.remove()
    return rows.snapshots(n)


class _Rows:
    """The rows of a design while they are being filled in."""

    def __init__(self, problem: Problem, room: int, seed: int, independent: bool) -> None:
        self.inputs = (problem.inputs.draw if independent else problem.inputs.sample)(room, seed)
        self.fields = np.full((room, problem.size), np.nan)
        self.residuals = np.full(room, np.nan)
        self.done = np.zeros(room, dtype=bool)
        self.scale = np.maximum(np.abs(problem.inputs.lower), np.abs(problem.inputs.upper))
        self.reasons: dict[int, str] = {}
        self.about = (seed, problem.name, as_json(problem.settings), problem.inputs, problem.fingerprint)

    def put(self, i: int, u: np.ndarray, residual: float, why: str) -> None:
        self.fields[i] = u if np.isfinite(u).all() else np.nan
        self.residuals[i] = residual
        self.done[i] = True
        self.reasons.pop(i, None)
        if why:
            self.reasons[i] = why

    def adopt(self, path: Path, stored: Snapshots, start: int = 0) -> None:
        """Take over stored rows, at the inputs that they were solved at."""
        rows = slice(start, start + len(stored))
        other = ~np.isclose(stored.inputs, self.inputs[rows], rtol=SAME, atol=SAME * self.scale).all(axis=1)
        if other.any():
            i = int(np.argmax(other))
            raise ValueError(
                f"{path}: row {start + i} was solved at {stored.inputs[i].tolist()}, but the design has "
                f"{self.inputs[rows][i].tolist()} there (independent draws and Sobol points? another version of "
                "scipy?): sample into another file"
            )
        self.inputs[rows], self.fields[rows], self.residuals[rows] = stored.inputs, stored.fields, stored.residuals
        self.done[rows] = True
        self.reasons.update({start + i: why for i, why in stored.reasons.items()})

    def snapshots(self, n: int) -> Snapshots:
        return Snapshots(self.inputs, self.fields, self.residuals, *self.about, self.reasons).first(n)


def _fill(
    rows: _Rows,
    n: int,
    problem: Problem,
    executor: concurrent.futures.Executor | None,
    progress: Callable[[int, int], object] | None,
    journal: Journal | None,
) -> None:
    missing = np.flatnonzero(~rows.done[:n]).tolist()
    done = n - len(missing)
    if progress is not None:
        progress(done, n)
    for i, attempt, why in solved_rows(problem, rows.inputs, missing, executor):
        rows.put(i, np.asarray(attempt.u), float(attempt.residual), why)
        confirm(problem, rows.inputs[i], rows.fields[i])
        if journal is not None:
            journal.append(i, np.concatenate([rows.inputs[i], rows.fields[i], rows.residuals[i : i + 1]]))
        done += 1
        if progress is not None:
            progress(done, n)
