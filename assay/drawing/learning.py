"""Learning curves, and errors against what a sweep varied: as JSON and as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from ..run_folder import own_file, write_json
from ..scaling_laws import error_of
from ..surrogates.training.optimise import LOOK
from .canvas import Figure
from .files import save

ERRORS = {"mean": ("o", "-"), "worst found": ("^", "--")}  # of data: at rows held out, which no search goes beyond
ALONE = {"mean": "#0072b2", "worst found": "#d55e00"}  # of one series
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MOST_TICKS = 8
MOST_INSIDE = 4  # series that a legend inside the panel names


def keep_curve(folder: Path, training: dict[str, Any]) -> None:
    """Write ``learning.json`` and ``learning.png`` into a run folder: the loss at first and every ``LOOK`` steps.

    Nothing where there is no curve: a baseline's training has no steps.

    Raises:
        OSError: a file cannot be written.
    """
    curve = training.get("curve")
    if not curve:
        return
    steps = [LOOK * i for i in range(len(curve))]
    write_json(own_file(folder, "learning.json"), {"what": _what(training), "steps": steps, "loss": list(curve)})
    save(learning_figure(training), own_file(folder, "learning.png"))


def learning_figure(training: Mapping[str, Any]) -> Figure:
    """The loss by steps of a training that has a curve."""
    curve = np.asarray(training["curve"], dtype=float)
    steps = LOOK * np.arange(len(curve))
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogy(
        steps, np.maximum(curve, 1e-300), color="#0072b2", marker="o" if len(curve) < 20 else None, markersize=4
    )
    took = f" in {training['seconds']:.0f} s" if "seconds" in training else ""
    axes.set(xlabel="steps", ylabel=_what(training), title=f"{training.get('steps', steps[-1])} steps{took}")
    axes.grid(alpha=0.3, which="both")
    return figure


def _what(training: Mapping[str, Any]) -> str:
    return "squared mean error on held-out snapshots" if training.get("held_out") else "loss"


Series = tuple[str, Sequence[Sequence[Mapping[str, Any]]]]  # its name, and its runs, those of one place together


def plot_sweep(panels: Mapping[str, Sequence[Series]], path: Path) -> Path:
    """Mean and worst found error against "samples" and "parameters", one panel each with a line a series; against the
    number of the run ("run") where neither was varied.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(5.2 * len(panels), 4.2), layout="constrained")
    for i, (axis, lines) in enumerate(panels.items()):
        panel = figure.add_subplot(1, len(panels), i + 1)
        colours = dict(ALONE)
        shades = COLOURS if len(lines) <= len(COLOURS) else colormaps["viridis"](np.linspace(0, 0.95, len(lines)))
        for number, (label, places) in enumerate(lines):
            if len(lines) > 1:
                colours = dict.fromkeys(ERRORS, shades[number])
                panel.plot([], [], "-", color=colours["mean"], label=label)
            for which, (mark, dash) in ERRORS.items():
                _line(panel, axis, which, places, mark, dash, colours[which])
        for which, (mark, dash) in ERRORS.items():
            colour = "0.3" if len(lines) > 1 else colours[which]
            panel.plot([], [], dash, marker=mark, markersize=4, color=colour, label=which)
        panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
        if axis != "run":
            panel.set_xscale("log")
            _tick(panel, [float(np.median([row[axis] for row in runs])) for _, places in lines for runs in places])
        panel.set(xlabel=axis, ylabel="relative error")
        if len(lines) <= MOST_INSIDE:
            panel.legend(fontsize=8, loc="lower left")  # errors fall to the right
        else:
            panel.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return save(figure, path)


def _line(
    panel: Any, axis: str, which: str, places: Sequence[Sequence[Mapping[str, Any]]], mark: str, dash: str, colour: str
) -> None:
    """Every run, and a line through the middle ones of the places."""
    x = [[float(n + 1 if axis == "run" else row[axis]) for row in runs] for n, runs in enumerate(places)]
    errors = [[error_of(row, which) for row in runs] for runs in places]
    panel.plot(np.concatenate(x), np.concatenate(errors), mark, color=colour, alpha=0.6, markersize=4)
    middles = sorted((float(np.median(a)), float(np.median(e))) for a, e in zip(x, errors, strict=True))
    panel.plot(*zip(*middles, strict=True), dash, color=colour)


def _tick(panel: Any, places: Sequence[float]) -> None:
    """Ticks where runs are, so far as their numbers have room."""
    apart: list[float] = []
    for place in sorted(places):
        if not apart or place > 1.25 * apart[-1]:
            apart.append(place)
    if len(apart) <= MOST_TICKS:
        panel.set_xticks(apart, [f"{place:.3g}" if place < 1000 else f"{place / 1000:.3g}k" for place in apart])
        panel.set_xticks([], minor=True)
