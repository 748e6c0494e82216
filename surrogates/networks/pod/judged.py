"""pod-mlp tried alone on some of its snapshots, and judged beside the dull baselines at those left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...training.dull import Beside, HeldOut, close_warning, dull_warning, refitted
from ...training.pod import Data
from ...training.reduced_operator import ReducedOperator
from .energy_loss import Rows, assemble, field_rows
from .pod_network import Mlp, compiled_parts, targets_of_network
from .teacher import CHECKED, TEACHER_SEED, TRIAL, Teacher, without
from .trial import Trial, tried

EXPECTED = "left-out snapshots, as expected of fits to all others"
FAR = 20.0  # times the network's error, from which on all rows bring no baseline near it
GAINS = "kernel-ridge"  # the baseline whose gain from more rows is taken for the network's


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
    own = r.each_error(said)
    network, mean, where = _size(own), float(np.mean(own)), "its own snapshots"  # which flatter it
    off = _off_its_teacher(architecture, arrays, found, seed) if taught else np.zeros(1)
    lone = alone.after(steps) if alone is not None and not taught else None
    if taught:
        network, mean = float(np.hypot(judged.error, _size(off))), float(np.hypot(judged.mean, np.mean(off)))
        where = "left-out snapshots"
    elif lone is not None and np.mean(lone) > mean:
        network, mean, where = max(_size(lone), network), float(np.mean(lone)), "left-out snapshots"
    else:
        lone = None
    near = [name for name, error in judged.means.items() if not error > FAR * mean]
    residuals = refitted(r, dict.fromkeys((*near, *judged.mixture, GAINS)), found.fitted, seed)
    left = {name: np.linalg.norm(a * r.weights[:, None], axis=1) for name, a in residuals.items()}
    if taught:
        rows = _taught(found, residuals, left, float(np.mean(off)))
    elif lone is not None:
        held = found.split.held
        others = {name: errors[held] for name, errors in left.items()}
        rows = Beside(lone / _gain(judged, left), others, r.groups[held], EXPECTED)
    else:
        rows = Beside(own, left, r.groups, "snapshots that it learnt from, which flatter it")
    known = {name: error for name, error in judged.errors.items() if np.isfinite(error)}
    dull = {name: judged.means[name] for name in known}
    ratios = rows.ratios()
    warnings = close_warning(rows, ratios, surely=True)
    warnings = warnings or dull_warning(dull, mean, where) or dull_warning(known, network, where)
    return {
        "validation": {
            "network": mean if np.isfinite(mean) else None,
            "at": where,
            "dull": dull,
            "ratios": {name: [a if np.isfinite(a) else None for a in ratio] for name, ratio in ratios.items()},
            "taught": taught,
            "corrects_polynomial": corrects,
        },
        "teacher": judged.mixture if taught else {},
        "warnings": warnings or close_warning(rows, ratios),
    }


def _size(errors: Float[np.ndarray, " n"]) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _off_its_teacher(
    architecture: dict[str, Any], arrays: dict[str, Any], found: Teacher, seed: int
) -> Float[np.ndarray, " m"]:
    """Relative distances of the network from its teacher, at further inputs."""
    data = found.regression.data
    x, _ = data.scaled(data.box.sample(CHECKED, seed + TEACHER_SEED + 1))
    wanted = found(x)
    off = np.linalg.norm(np.asarray(targets_of_network(architecture, arrays, jnp.asarray(x))) - wanted, axis=1)
    size = np.linalg.norm(wanted, axis=1)
    return np.asarray(off / np.maximum(size, 1e-3 * np.sqrt(np.mean(size**2)) + 1e-300))


def _taught(found: Teacher, residuals: dict[str, Any], left: dict[str, Any], off: float) -> Beside:
    """A taught network is its teacher, off by that much. Beside it stand all baselines but one that taught it alone."""
    r, judged = found.regression, found.judged
    if set(judged.mixture) <= set(residuals):
        mixed = sum(share * residuals[name] for name, share in judged.mixture.items())
        teacher, at = np.linalg.norm(mixed * r.weights[:, None], axis=1), np.arange(len(r.x))
    else:
        teacher, at = judged.each, judged.rows
    others = {name: errors[at] for name, errors in left.items() if judged.mixture.get(name) != 1}
    return Beside(np.hypot(teacher, off), others, r.groups[at], EXPECTED)


def _gain(judged: HeldOut, left: dict[str, Any]) -> float:
    """By what factor errors fall when no part of the rows is missing, as far as those of a kernel tell, whose form is
    the same with fewer. The network was tried with fewer rows, the baselines beside it are judged with all; of six
    networks drawn at random five gained more than the kernel (1.6 to 6 times, and it 1.1 to 1.6).
    """
    if GAINS not in left or GAINS not in judged.means:
        return 1.0
    return max(1.0, judged.means[GAINS] / max(float(np.mean(left[GAINS][judged.rows])), 1e-300))
