"""`assay bench`: the speed and accuracy table, with the verdicts whichever way they fall."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..registry import surrogate_name
from ..run_folder import RunFolder, about_problem, write_json
from ..solvers.files import replace
from ..surrogates import SURROGATES
from ..targets import find_problem
from .errors import DONE, UserError, keeps
from .output import emit, progress_bar
from .settings import Config, Json, Seed, Set, pairs

if TYPE_CHECKING:
    from ..benchmarks.table import Table


def bench(
    problems: Annotated[
        list[str] | None, typer.Argument(metavar="[PROBLEM]...", help="thermal-block if left out.")
    ] = None,
    surrogate: Annotated[
        list[str] | None, typer.Option("--surrogate", metavar="NAME", help="May be repeated; all if left out.")
    ] = None,
    snapshots: Annotated[int, typer.Option(min=1, help="How many solves to learn from.")] = 512,
    seconds: Annotated[float, typer.Option(help="Training time of a network.")] = 60.0,
    seeds: Annotated[int, typer.Option(min=1, help="How often a network is trained.")] = 3,
    seed: Seed = 0,
    batch: Annotated[int, typer.Option(min=1, help="Queries in a batch.")] = 256,
    draws: Annotated[int, typer.Option(min=1, help="Test inputs from the sampling law.")] = 48,
    search: Annotated[bool, typer.Option(help="Let a search look for the worst error.")] = True,
    truth: Annotated[
        bool, typer.Option("--truth", help="Instead: our solvers against other people's, on several grids.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Tables and pictures go here too.")] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """The speed/accuracy table: surrogates and dull baselines against the solver's own curve."""
    from ..benchmarks.table import run_table  # here, so that the other verbs start without it

    if truth:
        return _truth(as_json)
    words = problems or ["thermal-block"]
    asked = pairs(set_ or [], "--set")
    if len(words) > 1 and asked:
        raise UserError("--set goes with one problem at a time")
    if not seconds > 0:
        raise UserError(f"--seconds must be positive, not {seconds}")
    owners = {word: find_problem(word, asked) for word in words}
    names = [surrogate_name(name) for name in surrogate or SURROGATES]
    options: dict[str, Any] = {
        "snapshots": snapshots,
        "seconds": seconds,
        "batch": batch,
        "draws": draws,
        "search": search,
    }
    options["seeds"] = [seed + k for k in range(seeds)]
    folder = None
    if out is not None:
        about = {word: about_problem(word, asked, owner) for word, owner in owners.items()}
        folder = RunFolder.start(out, {"bench": about, "surrogates": names, **options})
    tables: dict[str, Table] = {}
    for word, owner in owners.items():
        with keeps(lambda: f"tables done so far: {', '.join(tables) or 'none'}"), progress_bar(word) as bar:

            def progress(stage: str, done: int, total: int, bar: Any = bar) -> None:
                bar(done, total, "", stage)

            tables[word] = run_table(owner, surrogates=names, progress=progress, **options)
        if folder is not None:
            write(tables[word], folder.path, word.replace(":", "-"))
    if folder is not None:
        folder.complete({"verdicts": {word: table.verdicts for word, table in tables.items()}})

    def people(console: Console) -> None:
        for table in tables.values():
            console.print(table.to_rich())
        if out is not None:
            console.print(f"written to {out}")

    emit(as_json, {"tables": [table.to_json() for table in tables.values()]}, people)
    return DONE


def _truth(as_json: bool) -> int:
    """In a process of its own, for one thread of linear algebra: a second one beside the compiler's disturbs both."""
    command = [sys.executable, "-m", "assay.benchmarks.truth", *(["--json"] if as_json else [])]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError("the comparison ended early: what went wrong stands above")
    if as_json:
        emit(True, json.loads(done.stdout), lambda console: None)
    return DONE


def write(table: Table, folder: Path, name: str) -> list[Path]:
    """NAME.md, NAME.json and NAME.png."""
    files = [folder / f"{name}{ending}" for ending in (".md", ".json", ".png")]
    replace(files[0], table.to_markdown())
    write_json(files[1], table.to_json())
    table.plot(files[2])
    return files
