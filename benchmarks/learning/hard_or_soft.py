"""What is known of solutions, built into a network or left to its loss: the same data, seeds and steps.

    prescribed values   heat, whose initial and boundary values are known; and Burgers
    conservation        the energy of waves, the mass of periodic flow (Burgers)
    symmetry            of the thermal block: not said, penalised, averaged over the group, in canonical form

A network with soft constraints has the squared relative defect added to its loss (``field_loss.py``). Mean and worst
errors are relative, at inputs that nothing was fitted to; "broken" is how far answers are there from what is known:
prescribed values, |u - v| / |v| in plain numbers, v the answer with them; the conserved number, its spread in time by
its size; symmetries, the largest difference between an answer and its image, relative in the problem's norm.

    python -m assay.benchmarks.learning.hard_or_soft [--quick] [--json]
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from ...run_training import errors_at
from ...solvers.problem import Problem
from ...solvers.problems.catalogue import problem
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from .. import command

CONSTRAINTS: list[tuple[str, dict[str, Any]]] = [("hard", {}), ("soft", {"constraints": "soft"})]
WAYS: list[tuple[str, dict[str, Any]]] = [(w, {"symmetry": w}) for w in ("none", "soft", "average", "canonical")]
PERIODIC = {"boundary": "periodic", "modes": 1, "cells": 16, "steps": 8}
CASES: list[tuple[str, str, dict[str, Any], list[tuple[str, dict[str, Any]]]]] = [
    ("prescribed values", "heat", {"cells": 8, "steps": 8}, CONSTRAINTS),
    ("prescribed values", "burgers", {"cells": 16, "steps": 8}, CONSTRAINTS),
    ("conservation", "wave", {"cells": 8, "steps": 16}, CONSTRAINTS),
    ("conservation", "burgers", PERIODIC, CONSTRAINTS),
    ("symmetry", "thermal-block", {"cells": 8}, WAYS),
]
KEPT = {"hard", "average", "canonical"}
ROUNDING = 1e-12


def broken(about: str, of: Problem, model: Any, P: np.ndarray) -> float:
    """How far answers are from what is known (module docstring), the mean over inputs."""
    p, u = jnp.asarray(P), jnp.asarray(model(P))
    if about == "symmetry":
        known: Any = jax.jit(jax.vmap(of.norm))
        images = [jnp.asarray(model(P[:, g.inputs]))[:, np.argsort(g.entries)] for g in of.symmetries]
        away = [np.asarray(known(p, image - u)) for image in images]
        return float(np.mean(np.max(away, axis=0) / np.asarray(known(p, u))))
    if about == "conservation":
        kept = np.asarray(jax.jit(jax.vmap(of.conserved))(p, u))  # type: ignore[attr-defined]
        return float(np.ptp(kept, axis=1).mean() / np.abs(kept).mean())
    v = jax.jit(jax.vmap(of.prescribe))(p, u)
    return float(np.mean(np.linalg.norm(u - v, axis=1) / np.linalg.norm(v, axis=1)))


def measure(quick: bool) -> dict[str, Any]:
    steps, samples, seeds, tests = (200, 32, 1, 32) if quick else (4000, 64, 3, 256)
    rows: list[dict[str, Any]] = []
    for about, name, settings, ways in CASES:
        of = problem(name, **settings)
        data, new = sample(of, samples, seed=1), sample(of, tests, seed=7, independent=True)
        P = np.asarray(new.inputs)
        base = "linear" if name == "wave" else "mean"  # a wave's mean vanishes, and nothing scales zero to an energy
        for way, options in ways:
            made = [train(of, "mlp", data, seed=k, steps=steps, base=base, **options) for k in range(seeds)]
            errors = np.array([errors_at(of, model, new).errors for model in made])
            rows.append(
                {
                    "known": about,
                    "problem": f"periodic {name}" if settings is PERIODIC else name,
                    "how": way,
                    "mean": float(errors.mean()),
                    "mean, least": float(errors.mean(axis=1).min()),
                    "mean, most": float(errors.mean(axis=1).max()),
                    "worst": float(errors.max()),
                    "broken": float(np.mean([broken(about, of, model, P) for model in made])),
                }
            )
            command.progress(rows[-1])
    kept = all(row["broken"] <= ROUNDING for row in rows if row["how"] in KEPT)
    return {"rows": rows, "holds": {f"what is built in is kept to {ROUNDING:g}": kept}}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Built in, or left to the loss", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
