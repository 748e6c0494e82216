"""What training of a network of fields begins with: which rows are held out, what the loss is evaluated on, and what
fields and inputs are scaled by.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from ...solvers.problem import Problem
from ..training.pod import Data, box_points
from ..training.twins import groups_of
from .base_field import base_fields
from .design import Design
from .field_loss import Sets
from .field_network import field_normaliser
from .left_out import LeftOut, sizes_of
from .vanishing import vanishing_array

HELD, ENOUGH = 0.125, 16  # share of the snapshots that is held out, and from how many on
DRAW_SEED = 7_919


def held_rows(data: Data, seed: int) -> Bool[np.ndarray, " n"]:
    """Which rows are held out; rows that nearly repeat each other together."""
    held = np.zeros(len(data.inputs), dtype=bool)
    if len(held) >= ENOUGH:
        groups = groups_of(data.features)
        order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
        held = np.isin(groups, order[: max(1, int(HELD * len(order)))])
    return held & ~held.all()


def sets_of(
    problem: Problem, data: Data, held: np.ndarray, weight: float, points: int, seed: int, norm: str
) -> tuple[Sets, LeftOut]:
    """What the loss is evaluated on, in its norm, and what all are judged by; of physics alone it is no part of it."""
    truths = np.asarray(jax.jit(jax.vmap(problem.prescribe))(data.inputs, data.fields))
    sizes = sizes_of(problem, norm, data.inputs, truths)
    own = sizes if norm == "problem" else sizes_of(problem, "problem", data.inputs, truths)
    left = LeftOut(problem, data.inputs[held], truths[held], own[held])
    P = box_points(data.box, points, seed + DRAW_SEED) if weight else np.zeros((0, data.inputs.shape[1]))
    held = held & (weight < 1)
    parts = (data.inputs[~held], truths[~held], sizes[~held], data.inputs[held], truths[held], sizes[held], P)
    return Sets(*(jnp.asarray(a) for a in parts)), left


def normalisers(design: Design, problem: Problem, data: Data, base: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    U = data.fields / data.amplitudes[:, None]
    mean = U.mean(axis=0)
    if design.keeps_shifts(problem):  # the mean of a sample breaks what a shifted input's answer keeps
        mean = np.broadcast_to(mean.reshape(problem.shape).mean(axis=1, keepdims=True), problem.shape).ravel()
    base = base | vanishing_array(problem, data)
    away = U - np.asarray(base_fields({"norm.mean": mean, **base}, jnp.asarray(data.features)))
    by_component = away.reshape(len(U), -1, problem.shape[2])
    scale = np.sqrt(np.mean(by_component**2, axis=(0, 1)) / max(data.free.mean(), 1e-12))
    scale = np.where(scale > 0, scale, 1.0)
    arrays = {**data.arrays, **base, "norm.mean": mean, "norm.scale": scale}
    if design.sees_fields:
        arrays |= field_normaliser(np.asarray(problem.input_fields(data.inputs)))
    return arrays
