"""Learning curves, and errors against what a sweep varied: as JSON and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .pictures import save
from .run_folder import own_file, write_json
from .surrogates.training.optimise import LOOK


def keep_curve(folder: Path, training: dict[str, Any]) -> None:
    """Write ``learning.json`` and ``learning.png`` into a run folder: the loss at first and every ``LOOK`` steps.

    Nothing where there is no curve: a baseline's training has no steps.

    Raises:
        OSError: a file cannot be written.
    """
    curve = training.get("curve")
    if not curve:
        return
    what = "mean square relative error" + (" on held-out snapshots" if training.get("held_out") else " of training")
    steps = [LOOK * i for i in range(len(curve))]
    write_json(own_file(folder, "learning.json"), {"what": what, "steps": steps, "loss": list(curve)})
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogy(steps, np.maximum(curve, 1e-300), color="#0072b2")
    axes.set(xlabel="steps", ylabel=what, title=f"{training['steps']} steps in {training['seconds']:.0f} s")
    axes.grid(alpha=0.3, which="both")
    save(figure, own_file(folder, "learning.png"))
