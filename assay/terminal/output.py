"""What a command says: rich text for people or JSON for programs on stdout, progress on stderr."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..solvers.files import replace
from ..verify.search.counterexample import json_number
from .errors import UserError
from .streams import stdout  # the first for every verb

WIDEST = 10_000  # columns of a table that goes into a file or a pipe
FIRST, EACH = 10.0, 60.0  # seconds until a line of progress where no bar can be seen, and between two


def plain(value: Any) -> Any:
    """``value`` as JSON: arrays become lists, numbers that JSON does not have become strings."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return json_number(value)
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)


def emit(as_json: bool, payload: dict[str, Any], people: Callable[[Console], None]) -> None:
    """Print the same facts to stdout, for a program or for people.

    Args:
        payload: what ``plain`` takes.
        people: what prints them for people; in a file or a pipe its console is as wide as anything in it.
    """
    stream = stdout()
    if as_json:
        stream.write(json.dumps(plain(payload), indent=2) + "\n")
        stream.flush()
    else:
        people(Console(file=stream, width=columns(stream), highlight=False, soft_wrap=True, markup=False))


def columns(stream: TextIO) -> int | None:
    """How wide a table may be: None for a terminal's own width; in a file or a pipe nothing is cut or folded."""
    return None if stream.isatty() else WIDEST


def check_new(path: Path | None) -> None:
    """Before any work: a file to be written must not exist, and its folder must.

    Raises:
        UserError: otherwise.
    """
    if path is None:
        return
    if path.exists():
        raise UserError(f"{path} exists: choose another --out")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}: make it, or choose another --out")


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write a .npz file in one step: it is complete or not there at all.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    replace(path, lambda stream: np.savez(stream, **arrays))


def table(*headings: str) -> Table:
    """A table whose first column holds names and whose others hold numbers; a narrow terminal folds them."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for i, heading in enumerate(headings):
        made.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    return made


def number(x: float | None, digits: int = 3) -> str:
    """A number for people: few digits, infinity spelled out, nothing for None."""
    if x is None:
        return ""
    if math.isinf(x):
        return "infinite"
    return f"{x:.{digits}g}"


def upward(x: float, digits: int = 3) -> str:
    """An upper bound for people: what is printed is never below the bound."""
    if not math.isfinite(x) or x == 0:
        return number(x)
    scale = 10.0 ** (math.floor(math.log10(abs(x))) - digits + 1)
    return f"{math.ceil(x / scale * (1 - 1e-14)) * scale:.{digits}g}"


def downward(x: float, digits: int = 3) -> str:
    """A lower bound for people: what is printed is never above the bound."""
    if not math.isfinite(x) or x == 0:
        return number(x)
    scale = 10.0 ** (math.floor(math.log10(abs(x))) - digits + 1)
    return f"{math.floor(x / scale * (1 + 1e-14)) * scale:.{digits}g}"


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """``update(done, total, note="")`` moves a bar on stderr, which shows the time left; one that never moved is
    taken away. Where stderr is no terminal, long work says a line now and then instead, and the bar is its last.
    """
    console = Console(stderr=True)
    began, told = time.monotonic(), 0.0
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        row = bar.add_task(what, total=None, note="")
        moved = False

        def update(done: float, total: float | None, note: str = "", stage: str = "") -> None:
            nonlocal moved, told
            moved, spent = True, time.monotonic() - began
            if not console.is_terminal and spent >= (told + EACH if told else FIRST):
                told = spent
                of = "" if total is None else f" of {total:g}"
                console.print(f"{what} {stage}".strip() + f": {done:g}{of} after {spent:.0f} s", highlight=False)
            bar.update(row, completed=done, total=total, note=note, description=f"{what} {stage}".strip())

        try:
            yield update
        finally:
            if not moved:
                bar.remove_task(row)
