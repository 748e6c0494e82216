"""`assay cache`: where compiled programs are kept, how many, and how to be rid of them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from .. import compilation_cache
from ..solvers.private_folder import NotPrivate
from ..terminal.errors import DONE, UserError
from ..terminal.output import emit
from ..terminal.settings import Json


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of them; they are compiled again.")] = False,
    as_json: Json = False,
) -> int:
    """Compiled programs that are kept for the next command: where, how many, how large."""
    off = compilation_cache.switched_off()
    try:
        root = compilation_cache.place()
        cleared = compilation_cache.clear(root) if clear else None
    except (compilation_cache.Unusable, NotPrivate) as error:
        raise UserError(str(error)) from None
    entries, size = compilation_cache.contents(root)
    payload = {
        "folder": str(root),
        "entries": entries,
        "bytes": size,
        "largest": compilation_cache.LARGEST,
        "off": off,
        "cleared": None if cleared is None else {"entries": cleared[0], "bytes": cleared[1]},
    }

    def people(console: Console) -> None:
        if cleared is not None:
            console.print(f"removed: {cleared[0]} compiled programs, {cleared[1] / 1e6:.1f} MB")
        console.print(
            f"{root}: {entries} compiled programs, {size / 1e6:.1f} MB of at most "
            f"{compilation_cache.LARGEST / 1e6:.0f} MB"
        )
        if off is not None:
            console.print(f"not used: {off}")

    emit(as_json, payload, people)
    return DONE
