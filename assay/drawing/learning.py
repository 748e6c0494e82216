"""Learning curves, and errors against what a sweep varied: as JSON and as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..run_folder import own_file, write_json
from ..surrogates.training.optimise import LOOK
from .canvas import Figure
from .files import save


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


def plot_sweep(rows: Sequence[Mapping[str, Any]], axes: Sequence[str], path: Path) -> Path:
    """Mean and worst found error of all runs against each of ``axes`` ("samples", "parameters"), one panel each;
    against the number of the run where neither was varied.

    Raises:
        OSError: the file cannot be written.
    """
    figure = Figure(figsize=(5.2 * max(1, len(axes)), 4.2), layout="constrained")
    for i, axis in enumerate(axes or ["run"]):
        panel = figure.add_subplot(1, max(1, len(axes)), i + 1)
        x = [row[axis] if axes else number + 1 for number, row in enumerate(rows)]
        for name, errors, colour, mark in (
            ("mean, at independent draws", [row["errors"]["mean"] for row in rows], "#0072b2", "o"),
            ("worst found by a search", [row["worst_found"] for row in rows], "#d55e00", "^"),
        ):
            panel.plot(x, errors, mark, color=colour, alpha=0.6, label=name)
            places = sorted(set(x))
            middles = [np.median([e for w, e in zip(x, errors, strict=True) if w == place]) for place in places]
            panel.plot(places, middles, "-", color=colour)
        if axes:
            panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set(xlabel=axis, ylabel="relative error")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    return save(figure, path)
