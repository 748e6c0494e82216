"""`assay bench`: the speed and accuracy table, with the verdicts whichever way they fall."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import Executor
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from ..connections import file_name
from ..own_code import find_problem
from ..run_folder import RunFolder, about_problem, write_json
from ..solvers.files import replace
from ..solvers.problem import Problem, SolveError
from ..surrogates.architectures import surrogate_name
from ..terminal.errors import DONE, UNDECIDED, UserError, keeps, one_line
from ..terminal.output import emit, progress_bar
from ..terminal.settings import Config, Json, Seed, Set, pairs
from ..terminal.streams import say
from ..terminal.workers import Dask, flag_of, pool

if TYPE_CHECKING:
    from ..benchmarks.tables.effort import Effort
    from ..benchmarks.tables.table import Table

SolvedBy = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Solve what is not timed in N processes at a time; here if left out."
    ),
]


def bench(
    problems: Annotated[
        list[str] | None, typer.Argument(metavar="[PROBLEM]...", help="thermal-block if left out.")
    ] = None,
    surrogate: Annotated[
        list[str] | None, typer.Option("--surrogate", metavar="NAME", help="May be repeated; all that fit if left out.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Coarse grids, one seed, at most 60 s a problem; other flags win.")
    ] = False,
    snapshots: Annotated[int | None, typer.Option(min=1, help="How many solves to learn from (512).")] = None,
    seconds: Annotated[float | None, typer.Option(help="Training time of a network (60).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How often a network is trained (3).")] = None,
    seed: Seed = 0,
    batch: Annotated[int | None, typer.Option(min=1, help="Queries in a batch (256).")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Test inputs from the sampling law (48).")] = None,
    search: Annotated[bool | None, typer.Option(help="Let a search look for the worst error (it does).")] = None,
    truth: Annotated[
        bool, typer.Option("--truth", help="Instead: our solvers against other people's, on several grids.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Tables and pictures go here too.")] = None,
    workers: SolvedBy = None,
    dask: Dask = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """The speed/accuracy table: surrogates and dull baselines against the solver's own curve.

    With --out every finished part is kept: the same command goes on after an interruption.
    """
    if truth:
        if flag := flag_of(workers, dask):
            raise UserError(f"{flag} is about solves that are not timed, and --truth times all: leave it out")
        return _truth(as_json)
    from ..benchmarks.tables import table_output  # here, so that the other verbs start without the benchmarks

    words = list(dict.fromkeys(problems or ["thermal-block"]))
    asked = pairs(set_ or [], "--set")
    if len(words) > 1 and asked:
        raise UserError("--set goes with one problem at a time")
    if seconds is not None and not seconds > 0:
        raise UserError(f"--seconds must be positive, not {seconds}")
    flags = {"snapshots": snapshots, "seconds": seconds, "batch": batch, "draws": draws, "search": search}
    given: dict[str, Any] = {k: v for k, v in flags.items() if v is not None}
    fixed = {*given, *["seeds"] * (seeds is not None), *["surrogates"] * bool(surrogate)}
    effort = replaced(_base(quick, seed, seeds), **given, fixed=frozenset(fixed))
    subjects = {word: _subject(word, asked, surrogate, quick) for word in words}
    folder = None
    if out is not None:
        about = {word: about_problem(word, asked, subject.problem) for word, subject in subjects.items()}
        folder = RunFolder.start(out, {"bench": about, "surrogates": surrogate, **_as_json(effort)})
    with pool(workers, dask) as executor:
        tables, failed = _tables(subjects, effort, folder, executor)
    if folder is not None and not failed:
        folder.complete({"verdicts": {word: table.verdicts for word, table in tables.items()}})
        for word in subjects:
            shutil.rmtree(_parts(folder, word), ignore_errors=True)

    def people(console: Console) -> None:
        for table in tables.values():
            console.print(table_output.to_rich(table))
        if out is not None and tables:
            console.print(f"written to {out}")

    emit(as_json, {"tables": [table_output.to_json(table) for table in tables.values()], "failed": failed}, people)
    return UNDECIDED if failed else DONE


class _Subject(NamedTuple):
    """A problem, the names of what is trained on it, None for all that fit, and what is to be said of it."""

    problem: Problem
    names: list[str] | None
    remarks: list[str]


def _subject(word: str, asked: dict[str, Any], surrogates: list[str] | None, quick: bool) -> _Subject:
    """
    Raises:
        ValueError, UserError: an unknown problem, setting or surrogate, or a surrogate that does not fit the problem.
    """
    from ..benchmarks.tables.contestants import fitting  # here, so that the other verbs start without the benchmarks
    from ..benchmarks.tables.effort import quick_settings

    settings, coarse = quick_settings(word, asked) if quick else (asked, [])
    found = find_problem(word, settings)
    names = None if not surrogates else [surrogate_name(name) for name in surrogates]
    fitting(found, names)
    return _Subject(found, names, [f"--quick: {', '.join(coarse)}"] if coarse else [])


def _base(quick: bool, seed: int, seeds: int | None) -> Effort:
    """The defaults, or the quick ones, with the seeds that are asked for."""
    from ..benchmarks.tables.effort import QUICK, Effort

    base = QUICK if quick else Effort()
    return replaced(base, seeds=tuple(seed + k for k in range(len(base.seeds) if seeds is None else seeds)))


def _as_json(effort: Effort) -> dict[str, Any]:
    return {**effort.__dict__, "seeds": list(effort.seeds), "fixed": sorted(effort.fixed)}


def _parts(folder: RunFolder, word: str) -> Path:
    return folder.file(f"{file_name(word)}.parts")


def _tables(
    subjects: dict[str, _Subject], effort: Effort, folder: RunFolder | None, executor: Executor | None
) -> tuple[dict[str, Table], dict[str, str]]:
    """Tables by word; problems whose solver failed are said, and do not end the others'."""
    from ..benchmarks.tables.table import run_table

    tables: dict[str, Table] = {}
    failed: dict[str, str] = {}

    def kept() -> str:
        done = f"tables done so far: {', '.join(tables) or 'none'}"
        return done if folder is None else f"{done}; what was done is kept in {folder.path}: the same command goes on"

    for word, subject in subjects.items():
        with keeps(kept), progress_bar(word) as bar:

            def progress(stage: str, done: int, total: int, bar: Any = bar) -> None:
                bar(done, total, "", stage)

            try:
                table = run_table(
                    subject.problem,
                    subject.names,
                    effort,
                    keep=None if folder is None else _parts(folder, word),
                    remarks=subject.remarks,
                    progress=progress,
                    executor=executor,
                )
            except SolveError as error:
                failed[word] = one_line(error)
                say(f"assay: undecided: {failed[word]}")
                continue
            except ValueError:  # a mistake: the corrected command must find no remains
                if folder is not None and not tables:
                    shutil.rmtree(_parts(folder, word), ignore_errors=True)
                raise
        tables[word] = table
        if folder is not None:
            write(table, folder.path, file_name(word))
    return tables, failed


def _truth(as_json: bool) -> int:
    """In a process of its own, for one thread of linear algebra: a second one beside the compiler's disturbs both."""
    command = [sys.executable, "-m", "assay.benchmarks.peers.truth", *(["--json"] if as_json else [])]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError("the comparison ended early: what went wrong stands above")
    if as_json:
        emit(True, json.loads(done.stdout), lambda console: None)
    return DONE


def write(table: Table, folder: Path, name: str) -> list[Path]:
    """NAME.md, NAME.json and NAME.png."""
    from ..benchmarks.tables import table_output, table_picture

    files = [folder / f"{name}{ending}" for ending in (".md", ".json", ".png")]
    replace(files[0], table_output.to_markdown(table))
    write_json(files[1], table_output.to_json(table))
    table_picture.plot(table, files[2])
    return files
