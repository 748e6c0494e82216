"""Where pictures are written: formats, and bytes that are the same whenever the same is drawn."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..solvers.files import replace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
DPI = 150
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}  # a date would change the bytes


def check_path(path: str | Path) -> Path:
    """
    Raises:
        ValueError: a picture of another format, or a folder that does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"pictures are written as {', '.join(FORMATS)}, not {path.name!r}")
    if not path.resolve().parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    return path


def save(figure: Figure, path: Path) -> Path:
    """Write a picture in one step, of the format that the path's ending names.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    replace(path, picture(figure, path.suffix[1:].lower()))
    return path


def picture(figure: Figure, kind: str) -> bytes:
    """The bytes of a picture, "svg", "png" or "pdf": the same whenever the same is drawn by the same matplotlib."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "assay"}):
        figure.savefig(stream, format=kind, dpi=DPI, metadata=UNDATED[kind])
    return stream.getvalue()


@contextmanager
def own_style() -> Iterator[None]:
    """Drawn in here is what matplotlib draws by itself, whatever the user's own settings of it say."""
    from matplotlib import style

    with style.context("default"):
        yield
