"""The figures of this library: they need no window, and notebooks show them."""

from __future__ import annotations

from matplotlib import figure

from .files import picture


class Figure(figure.Figure):
    """A matplotlib figure that is its own picture where a notebook shows it."""

    def _repr_png_(self) -> bytes:
        return picture(self, "png")
