"""pod-mlp tried alone on some of its snapshots, and judged beside the dull baselines at those left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...surrogate import Surrogate
from ...training.dull import DULL, Beside, close_warning, dull_warning, little_added, targets_of
from ...training.paired import ROUNDING, ratio_of_means
from ...training.pod import Data
from ...training.reduced_operator import ReducedOperator, or_mean
from .energy_loss import LossRows, Rows, assemble, field_rows
from .pod_network import Mlp, compiled_parts, targets_of_network
from .teacher import CHECKED, TEACHER_SEED, TRIAL, Teacher, without
from .trial import Trial, tried

EXPECTED = "left-out snapshots, as expected of fits to all others"
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
    slopes: tuple[LossRows, Int[np.ndarray, " m"]] | None = None,
) -> Trial:
    """The network on snapshots alone, or on these and derivatives there.

    Args:
        slopes: the rows of derivatives, and the number of each one's snapshot.
    """
    split = found.split
    parts = [(1.0, without(field_rows(data, V, operator), split.held))]
    if slopes is not None:
        parts.append((1.0, without(slopes[0], np.flatnonzero(np.isin(slopes[1], split.held)))))
    rows, T = assemble(parts, terms)
    head, layer = compiled_parts(network)
    x = jnp.asarray(data.features[split.held])

    def answer(weights: Any) -> np.ndarray:
        return np.asarray(layer(weights, x) @ head(weights, rows)) @ T.T

    return tried(loss, weights, rows, answer, found.regression, split, TRIAL)


def better_alone(alone: Trial, found: Teacher, seed: int) -> bool:
    """Whether the network alone is better than its teacher at the rows that it did not see, by more than chance: as
    expected of all rows, for the teacher saw all of these but one. Of several looks at the network the best counts,
    which favours it.
    """
    held = found.split.held
    best = alone.best
    if best is None:
        return False
    expected = best / _gain(found, seed)
    return ratio_of_means(expected, found.errors[held], found.regression.groups[held]).high < 1


def validated(
    architecture: dict[str, Any],
    arrays: dict[str, Any],
    found: Teacher,
    alone: Trial | None,
    taught: bool,
    corrects: bool,
    steps: int,
    seed: int,
    more: str,
    learnt: bool = True,
) -> dict[str, Any]:
    """What rows that were left out say of network and dull baselines, with a warning where one of these does better,
    and what may help then (``more``).

    Args:
        learnt: whether the fields of the snapshots were; else all of them are left out, as with physics alone.
    """
    r, held = found.regression, found.split.held
    said = np.asarray(targets_of_network(architecture, arrays, jnp.asarray(r.x)))
    own = r.each_error(said)
    network, mean, where = _size(own), float(np.mean(own)), "its own snapshots"  # which flatter it
    lone = alone.after(steps) if alone is not None and not taught else None
    if taught:
        at, off = np.flatnonzero(np.isfinite(found.errors)), _off_its_teacher(architecture, arrays, found, seed)
        network, mean = float(np.hypot(found.error, _size(off))), float(np.hypot(found.mean, np.mean(off)))
        where = "left-out snapshots"
        rows = _beside(np.hypot(found.errors[at], np.mean(off)), at, found, EXPECTED, found.name)
    elif lone is not None and np.mean(lone) > mean:
        network, mean, where = max(_size(lone), network), float(np.mean(lone)), "left-out snapshots"
        rows = _beside(lone / _gain(found, seed), held, found, EXPECTED)
    elif learnt:
        rows = _beside(own, np.arange(len(own)), found, "snapshots that it learnt from, which flatter it")
    else:
        where = "snapshots whose fields it did not learn"
        rows = _beside(own, np.arange(len(own)), found, where)
    sizes = {name: float(np.sqrt(np.nanmean(errors**2))) for name, errors in found.judged.items()}
    dull = {name: float(np.nanmean(errors)) for name, errors in found.judged.items()}
    ratios = rows.ratios()
    warnings = close_warning(rows, ratios, surely=True, more=more)
    warnings = warnings or dull_warning(dull, mean, where, more) or dull_warning(sizes, network, where, more)
    return {
        "validation": {
            "network": mean if np.isfinite(mean) else None,
            "at": where,
            "dull": dull,
            "ratios": {name: [a if np.isfinite(a) else None for a in ratio] for name, ratio in ratios.items()},
            "taught": taught,
            "corrects_polynomial": corrects,
        },
        "teacher": found.name if taught else None,
        "warnings": warnings or close_warning(rows, ratios),
    }


def added_to_its_base(
    architecture: dict[str, Any],
    arrays: dict[str, Any],
    base: Surrogate,
    data: Data,
    operator: ReducedOperator,
    weight: float,
    seed: int,
    more: str,
) -> list[str]:
    """A sentence if the network adds little to a polynomial that learnt the same with the share ``weight`` of physics,
    by solutions in the basis at further inputs; none otherwise.
    """
    P, x, s = operator.teaching(data, data.box.sample(CHECKED, seed + TEACHER_SEED + 1))
    wanted = operator.solution(P) / s[:, None]
    size = or_mean(np.linalg.norm(wanted, axis=1))

    def off(said: Float[np.ndarray, "n k"]) -> float:
        return float(np.mean(np.linalg.norm(said - wanted, axis=1) / size))

    before = off(targets_of(base, x))
    after = off(np.asarray(targets_of_network(architecture, arrays, jnp.asarray(x))))
    how = f" with physics_weight={weight:g}"
    return little_added("polynomial", before, before, after, more, where="further inputs", how=how)


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


def _beside(
    network: Float[np.ndarray, " h"], at: Int[np.ndarray, " h"], found: Teacher, where: str, teacher: str = ""
) -> Beside:
    """The network's errors at some rows beside those of all baselines that are known there, but of its teacher's."""
    dull = {name: errors[at] for name, errors in found.judged.items() if name != teacher}
    dull = {name: errors for name, errors in dull.items() if np.isfinite(errors).all()}
    return Beside(network, dull, found.regression.groups[at], where)


def _gain(found: Teacher, seed: int) -> float:
    """By what factor errors fall when no part of the rows is missing, as far as those of a kernel tell, whose form is
    the same with fewer. The network was tried with fewer rows, the baselines beside it are judged with all; of six
    networks drawn at random five gained more than the kernel (1.6 to 6 times, and it 1.1 to 1.6).
    """
    r, (fit, held) = found.regression, found.split
    if GAINS not in found.judged or not np.isfinite(found.judged[GAINS][held]).all():
        return 1.0
    fewer = r.mean_error(targets_of(DULL[GAINS].fit(r.some(fit), seed), r.x[held]), held)
    return max(1.0, (fewer + ROUNDING) / (float(np.mean(found.judged[GAINS][held])) + ROUNDING))
