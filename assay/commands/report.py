"""`assay report`: what lies in a run folder as one page that can be filed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..report.report import report as read_run
from ..run_folder import RunFolder
from ..terminal.errors import DONE, UserError
from ..terminal.output import check_new, emit
from ..terminal.settings import Config, Json, ProblemOption, Set, pairs


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="RUN/report.html if left out, written anew; JSON beside it."),
    ] = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """One HTML page, and JSON, of all that a run folder holds, every number with its evidence; reads, computes nothing.

    The same folder gives the same bytes.
    """
    folder = RunFolder.open(run)
    if out is not None:
        if out.suffix.lower() != ".html":
            raise UserError(f"a report is a page, FILE.html, with its JSON beside it, not {out.name!r}")
        check_new(out)
        check_new(out.with_suffix(".json"))
    path = folder.file("report.html") if out is None else out
    folder.file("report.json")
    known = None
    if problem is not None or not folder.names_own:
        known = folder.problem(problem, pairs(set_ or [], "--set"))
    made = read_run(folder, known)
    files = made.write(path)
    payload: dict[str, Any] = {"out": str(files[0]), "json": str(files[1]), **made.to_json()}

    def people(console: Console) -> None:
        for section in made.sections:
            if section.summary:
                console.print(f"{section.title}: {section.summary}")
        for section in made.missing:
            console.print(f"{section.title}: {section.missing}" + f": {section.command}" * bool(section.command))
        if known is None:
            console.print(
                "without --problem nothing is known of where its values lie: fields are drawn by their numbers"
            )
        console.print(f"written: {files[0]} and {files[1]}")

    emit(as_json, payload, people)
    return DONE
