"""`assay demo`: all of it on the thermal block, ending in the table, a picture and three sentences."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..run_folder import RunFolder
from ..terminal.errors import DONE, keeps
from ..terminal.output import emit, progress_bar
from ..terminal.settings import Json, Seed
from ..terminal.streams import say


def fresh(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that is not there."""
    if not folder.exists():
        return folder
    return next(path for k in count(2) if not (path := folder.with_name(f"{folder.name}-{k}")).exists())


def demo(
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="assay-demo, or the next free name, if left out.")
    ] = None,
    seed: Seed = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A coarse grid and little training: seconds.")] = False,
    as_json: Json = False,
) -> int:
    """All of it on the thermal block in about a minute: sample, train, certify, falsify, guard, compare."""
    from ..demo import Demo, settings  # here, so that the other verbs start without the benchmarks

    path = out or fresh(Path("assay-demo"))
    chosen = settings(seed, quick)
    command = f"assay demo --out {path}" + (f" --seed {seed}" if seed else "") + (" --quick" if quick else "")
    folder = RunFolder.start(path, chosen.settings(), command)
    with keeps(lambda: f"what was done is kept in {path}; `{command}` goes on from there"):
        with progress_bar("") as bar:
            run = Demo(folder, chosen, lambda stage, done, total, note="": bar(done, total, note, stage), say)
            report = run()
        folder.complete(report.results)

    def people(console: Console) -> None:
        console.print()
        console.print(report.table)
        console.print()
        for line in report.sentences:
            console.print(line)
        console.print(f"\npicture: {report.picture}")
        console.print(f"everything else: {path}; try `assay certify {path} --random 5 --truth`")

    emit(as_json, {"out": str(path), **report.results}, people)
    return DONE
