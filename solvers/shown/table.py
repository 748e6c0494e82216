"""Results as small tables of HTML, for notebooks: what is shown may come from anybody, and is text there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any


def html_table(title: str, rows: Mapping[str, Any]) -> str:
    """Names with values; None is left out, and numbers are said with few digits."""
    left = ' style="text-align:left"'
    cells = "".join(
        f"<tr><th{left}>{escape(name)}</th><td{left}>{escape(_said(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None
    )
    return f"<table><caption><b>{escape(title)}</b></caption><tbody>{cells}</tbody></table>"


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "not a number" if math.isnan(value) else "infinite"
    if isinstance(value, list | tuple):
        return "; ".join(map(_said, value))
    return str(value)
