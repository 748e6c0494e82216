"""What of a table is finished, kept in a folder: a run that was interrupted, or killed, goes on with what it has.

A part is one file, written in one step. Whose parts they are is the folder's business (``run_folder.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers import files


class Parts:
    """Without a folder nothing is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.resumed = False  # whether anything was found

    def path(self, name: str) -> Path | None:
        """Where a part is; None where nothing is kept.

        Raises:
            ValueError: a link is in its place, which would lead out of the folder.
        """
        if self.folder is None:
            return None
        path = self.folder / name
        for place in (self.folder, path):
            if place.is_symlink():
                raise ValueError(f"{place} is a link, which is not followed: remove it")
        return path

    def json(self, name: str, make: Callable[[], Any]) -> Any:
        """The part, from its file or made now."""
        path = self.path(f"{name}.json")
        if path is not None and path.exists():
            self.resumed = True
            return files.parse_json(files.read_text(path), nan=True)
        made = make()
        if path is not None:
            path.parent.mkdir(exist_ok=True)
            files.replace(path, json.dumps(made))
        return made

    def rows(
        self, name: str, width: int, make: Callable[[], tuple[Float[np.ndarray, "n width"], dict[str, Any]]]
    ) -> tuple[Float[np.ndarray, "n width"], dict[str, Any]]:
        """The same for rows of float64 with what is to be said of them; in the file that stands in the first line.

        Raises:
            ValueError: the file holds no rows of this width.
        """
        path = self.path(f"{name}.rows")
        if path is not None and path.exists():
            self.resumed = True
            line, _, content = files.read_bytes(path, path.stat().st_size).partition(b"\n")
            about = files.parse_json(line, nan=True)
            if len(content) % (8 * width) or not isinstance(about, dict):
                raise ValueError(f"{path} is damaged: it holds no rows of {width} numbers. Delete it")
            return np.frombuffer(content, dtype="<f8").reshape(-1, width), about
        made, about = make()
        if path is not None:
            path.parent.mkdir(exist_ok=True)
            numbers = np.ascontiguousarray(made, dtype="<f8")
            files.replace(path, lambda s: (s.write(json.dumps(about).encode() + b"\n"), s.write(numbers.data)))
        return made, about
