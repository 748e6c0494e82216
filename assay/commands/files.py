"""`assay check`: what files are, whose, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..formats.file_check import FileCheck, check_file
from ..formats.schema import schema as schema_of
from ..solvers.answers import printable
from ..terminal.errors import DONE, MISTAKE, UNDECIDED, UserError
from ..terminal.output import emit
from ..terminal.settings import Json


def check(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files, or run folders: all that lies in them.")
    ] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="KIND", help="Print the JSON Schema of a kind of file instead.")
    ] = None,
    as_json: Json = False,
) -> int:
    """What files of this library are, whose, and whether they are whole, a line each; nothing in them is run.

    Exit code 0 where all are whole, 2 where one is damaged or of no format of this library, 3 where one is of something
    unfinished: a run, or snapshots, that were interrupted.
    """
    if schema is not None:
        if files:
            raise UserError("--schema prints a schema and checks no file: leave one of them out")
        found = schema_of(schema)
        emit(True, found, lambda console: None)
        return DONE
    if not files:
        raise UserError("say which files: assay check FILE..., or --schema KIND")
    checks = [_checked(path) for file in files for path in _inside(file)]
    payload = {"files": [one if isinstance(one, dict) else one.to_json() for one in checks]}

    def people(console: Console) -> None:
        for one in checks:
            console.print(one["said"] if isinstance(one, dict) else printable(str(one)))

    emit(as_json, payload, people)
    wholes = [one["whole"] if isinstance(one, dict) else one.whole for one in checks]
    return MISTAKE if False in wholes else UNDECIDED if None in wholes else DONE


def _inside(path: Path) -> list[Path]:
    """The files of a folder that hold what this library found; the file itself."""
    if not path.is_dir():
        return [path]
    found = sorted(
        file for file in path.iterdir() if file.suffix in ENDINGS and file.name not in MADE and file.is_file()
    )
    if not found:
        raise UserError(f"{path} is a folder without files of this library")
    return found


MADE = ("report.json", "learning.json")  # of what the other files hold, for people
ENDINGS = (".h5", ".safetensors", ".jsonl", ".npz", ".json", ".checkpoint")


def _checked(path: Path) -> FileCheck | dict[str, Any]:
    try:
        return check_file(path)
    except ValueError as error:
        about = dict.fromkeys(("kind", "schema", "problem", "whose"), "")
        return {"path": str(path), **about, "whole": False, "sealed": False, "said": printable(str(error))}
