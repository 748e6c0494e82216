"""The door from a result to its picture.

A result knows that it can be drawn; how, ``assay/drawing`` knows, which knows all results. It is imported, and
matplotlib with it, when the first picture is asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = __name__.split(".")[0]


def drawn(what: str, path: str | os.PathLike[str] | None, *arguments: Any, **options: Any) -> Figure:
    """The figure that ``assay/drawing/figures.py`` makes of ``what``, written where a path is given.

    Raises:
        ValueError: there is nothing to draw; a path of another format (.png, .pdf, .svg), or in no folder.
        OSError: the file cannot be written.
    """
    files = import_module(f"{ROOT}.drawing.files")
    place = None if path is None else files.check_path(Path(path))
    figure: Figure = getattr(import_module(f"{ROOT}.drawing.figures"), what)(*arguments, **options)
    if place is not None:
        files.save(figure, place)
    return figure
