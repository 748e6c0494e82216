"""The figures of this library: they need no window, notebooks show them, and words of anybody's can stand in them."""

from __future__ import annotations

from typing import Any

from matplotlib import cbook, figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from .files import picture


class Figure(figure.Figure):
    """A matplotlib figure that is its own picture where a notebook shows it."""

    def draw(self, renderer: Any) -> None:
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            if not _is_formula(text.get_text()):
                text.set_parse_math(False)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return picture(self, "png")


def _is_formula(words: str) -> bool:
    """Whether what stands between dollars can be set as a formula, as the names of inputs may be; or there is none."""
    if not cbook.is_math_text(words):
        return True
    try:
        MathTextParser("path").parse(words)
    except ValueError:
        return False
    return True
