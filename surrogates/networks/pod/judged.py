"""pod-mlp tried alone on some of its snapshots, and judged beside the dull baselines at those left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...training.dull import close_warning, dull_warning
from ...training.pod import Data
from ...training.reduced_operator import ReducedOperator
from .energy_loss import Rows, assemble, field_rows
from .pod_network import Mlp, compiled_parts, targets_of_network
from .teacher import CHECKED, TEACHER_SEED, TRIAL, Teacher, without
from .trial import Trial, tried


def tried_alone(
    network: Mlp,
    loss: Callable[[Any, Rows], Array],
    weights: Any,
    data: Data,
    V: np.ndarray,
    operator: ReducedOperator | None,
    terms: np.ndarray,
    found: Teacher,
) -> Trial:
    """The network on snapshots alone."""
    split = found.split
    rows, T = assemble([(1.0, without(field_rows(data, V, operator), split.held))], terms)
    head, layer = compiled_parts(network)
    x = jnp.asarray(data.features[split.held])

    def answer(weights: Any) -> np.ndarray:
        return np.asarray(layer(weights, x) @ head(weights, rows)) @ T.T

    return tried(loss, weights, rows, answer, found.regression, split, TRIAL)


def validated(
    architecture: dict[str, Any],
    arrays: dict[str, Any],
    found: Teacher,
    alone: Trial | None,
    taught: bool,
    corrects: bool,
    steps: int,
    seed: int,
) -> dict[str, Any]:
    """What rows that were left out say of network and dull baselines, with a warning where one of these does better."""
    r, judged = found.regression, found.judged
    said = np.asarray(targets_of_network(architecture, arrays, jnp.asarray(r.x)))
    own, own_mean = r.error(said), r.mean_error(said)
    network, mean, where = own, own_mean, "its own snapshots"  # which flatter it, if nothing was left out
    if taught:
        P = r.data.box.sample(CHECKED, seed + TEACHER_SEED + 1)
        x, _ = r.data.scaled(P)
        wanted = found(x)
        off = np.linalg.norm(np.asarray(targets_of_network(architecture, arrays, jnp.asarray(x))) - wanted, axis=1)
        size = np.linalg.norm(wanted, axis=1)
        off = off / np.maximum(size, 1e-3 * np.sqrt(np.mean(size**2)) + 1e-300)
        network = float(np.hypot(judged.error, np.sqrt(np.mean(off**2))))
        mean, where = float(np.hypot(judged.mean, np.mean(off))), "left-out snapshots"
    elif alone is not None:
        tried_error, tried_mean = alone.after(steps)
        if tried_mean > own_mean:
            network, mean, where = max(tried_error, own), tried_mean, "left-out snapshots"
    known = {name: error for name, error in judged.errors.items() if np.isfinite(error)}
    dull = {name: judged.means[name] for name in known}
    others = {name: error for name, error in dull.items() if not (taught and name in judged.mixture)}
    warnings = dull_warning(dull, mean, where) or dull_warning(known, network, where) or close_warning(others, mean)
    return {
        "validation": {
            "network": mean if np.isfinite(mean) else None,
            "at": where,
            "dull": dull,
            "taught": taught,
            "corrects_polynomial": corrects,
        },
        "teacher": judged.mixture if taught else {},
        "warnings": warnings,
    }
