"""pod-mlp tried alone on some of its snapshots, and judged beside the dull baselines at those left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..training.dull import dull_warning
from ..training.pod import Data
from ..training.reduced_operator import ReducedOperator
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
    own = r.error(np.asarray(targets_of_network(architecture, arrays, jnp.asarray(r.x))))
    network, where = own, "its own snapshots"  # which flatter it, if nothing was left out
    if taught:
        P = r.data.box.sample(CHECKED, seed + TEACHER_SEED + 1)
        x, _ = r.data.scaled(P)
        said = found(x)
        off = np.sum((np.asarray(targets_of_network(architecture, arrays, jnp.asarray(x))) - said) ** 2, axis=1)
        size = np.sum(said**2, axis=1)
        apart = float(np.sqrt(np.mean(off / np.maximum(size, 1e-6 * np.mean(size) + 1e-300))))
        network, where = float(np.hypot(judged.error, apart)), "left-out snapshots"
    elif alone is not None and alone.after(steps) > own:
        network, where = alone.after(steps), "left-out snapshots"
    held_out = {name: error for name, error in judged.errors.items() if np.isfinite(error)}
    return {
        "validation": {
            "network": network if np.isfinite(network) else None,
            "at": where,
            "dull": held_out,
            "taught": taught,
            "corrects_polynomial": corrects,
        },
        "teacher": judged.mixture if taught else {},
        "warnings": dull_warning(held_out, network, where),
    }
